"""Export the student of a checkpoint: the point network alone, with all it needs to classify, segment or
embed a file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="the config of the training, pointmcd_* or baseline_*")
    parser.add_argument("checkpoint", type=Path, help="checkpoint (epoch_N.pth)")
    parser.add_argument("out", type=Path, help="file to write, such as student.pth")
    add_cfg_options(parser, "override the config, as in training")
    args = parser.parse_args(argv)
    from pointmcd.apis import export_student
    from pointmcd.engine import load_config

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
