"""Export the student of a checkpoint: the point network alone, with all it needs to classify, segment or
embed a file. Beside it --folder writes the student as the Hub keeps it, with a model card, and --onnx the
network for runtimes without torch (standard operators, any batch size).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors
from pointmcd.evaluation.statistics import counted
from pointmcd.files import check_writable


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="the config of the training, pointmcd_* or baseline_*")
    parser.add_argument("checkpoint", type=Path, help="checkpoint (epoch_N.pth)")
    parser.add_argument("out", type=Path, help="file to write, such as student.pth")
    parser.add_argument(
        "--folder", type=Path, help="also write a folder with config.json, model.safetensors and a model card"
    )
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="also write an ONNX file")
    add_cfg_options(parser, "override the config, as in training")
    args = parser.parse_args(argv)
    from pointmcd.apis import export_student
    from pointmcd.engine import load_config

    if not args.checkpoint.is_file():
        raise FileNotFoundError(f"there is no checkpoint {args.checkpoint}")
    if args.onnx is not None:
        if args.onnx == args.out:
            raise ValueError(f"--onnx {args.onnx} is the name of the student's own file")
        check_writable(args.onnx, args.checkpoint)
    config = load_config(args.config, args.cfg_options)
    exported = export_student(config, args.checkpoint, args.out)
    print(f"wrote {args.out}: {says(exported)}, {_size(args.out)}")
    if args.folder is not None:
        from pointmcd.apis.model_card import NOT_TESTED, model_card
        from pointmcd.apis.student_folder import write_student_folder

        card = model_card(exported, config, args.checkpoint, args.folder.resolve().name)
        write_student_folder(exported, args.folder, card)
        print(f"wrote {args.folder}: config.json, model.safetensors, README.md (the model card)")
        if NOT_TESTED in card:
            print(f"the card has no figures; they come from pointmcd test {args.config} {args.checkpoint}")
    if args.onnx is not None:
        from pointmcd.apis import load_student
        from pointmcd.apis.onnx import export_onnx

        export_onnx(load_student(args.out), args.onnx)
        print(f"wrote {args.onnx}: ONNX, {_size(args.onnx)}")


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f} MiB"


def says(exported: dict[str, Any]) -> str:
    """Return what the student can say of a shape."""
    classes = len(exported["class_names"])
    if exported["model"]["head"] is None:
        return "an encoder without a head"
    if "part_names" in exported:
        return f"{counted(len(exported['part_names']), 'part')} of {counted(classes, 'category')}"
    return counted(classes, "class")
