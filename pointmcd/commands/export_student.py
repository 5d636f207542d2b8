"""Export the student of a checkpoint: the point network alone, with all it needs to classify, segment or
embed a file.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pointmcd.apis import export_student
from pointmcd.commands.common import plain_errors
from pointmcd.engine import load_config


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the config of the training, pointmcd_* or baseline_*")
    parser.add_argument("checkpoint", type=Path, help="checkpoint (epoch_N.pth)")
    parser.add_argument("out", type=Path, help="file to write, such as student.pth")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override the config, as in training",
    )
    args = parser.parse_args(argv)
    with plain_errors():
        if not args.checkpoint.is_file():
            raise FileNotFoundError(f"there is no checkpoint {args.checkpoint}")
        exported = export_student(load_config(args.config, args.cfg_options), args.checkpoint, args.out)
    size = args.out.stat().st_size / 2**20
    print(f"wrote {args.out}: {says(exported)}, {size:.1f} MiB")


def says(exported: dict[str, Any]) -> str:
    """What the student can say of a shape."""
    classes = len(exported["class_names"])
    if exported["model"]["head"] is None:
        return "an encoder without a head"
    if "part_names" in exported:
        return f"{len(exported['part_names'])} parts of {classes} categories"
    return f"{classes} classes"
