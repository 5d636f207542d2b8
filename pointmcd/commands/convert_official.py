"""Turn a checkpoint of the official PointMCD release into ours.

    pointmcd convert-official IN.pth OUT.pth

    PointNet, DGCNN for classification         configs/pointmcd_{pointnet,dgcnn}_modelnet.py
    PointNet, DGCNN for part segmentation      configs/pointmcd_{pointnet,dgcnn}_shapenetpart.py
    the teacher of classification              configs/teacher_mobilenetv2_modelnet.py
    the teacher of part segmentation           configs/teacher_parts_shapenetpart.py
    the autoencoder of ShapeNetCore            configs/teacher_autoencoder_shapenetcore.py
    the autoencoder of ShapeNetPart            configs/teacher_autoencoder_shapenetpart.py

What IN is of is told by its keys; OUT is a checkpoint of the config beside it.
"""

from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import make_parser, plain_errors
from pointmcd.files import check_writable


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("input", type=Path, metavar="IN", help="state dict of the official release")
    parser.add_argument("output", type=Path, metavar="OUT", help="checkpoint to write")
    args = parser.parse_args(argv)
    from pointmcd.checkpoint import read_state_dict, write_checkpoint
    from pointmcd.models.official import convert

    check_writable(args.output, args.input)
    network, state = convert(read_state_dict(args.input))
    write_checkpoint(args.output, {"state_dict": state, "meta": {"converted_from": network}})
    print(f"{network}: {len(state)} tensors written to {args.output}")
