"""Cut scenes into crops, as a prepared set: posed RGB-D frames (ScanNet, 7-Scenes), meshes, rooms of points.

    python -m projects.mvnet.tools.prepare_scenes --source scans --out data/scannet \\
        --train scannetv2_train.txt --test scannetv2_val.txt

A list file names one scene a line, or of a scene the frames from one number to another: NAME FIRST LAST.
No frame may be listed twice. With --views the crops keep frames that see them, for pre-training. S3DIS needs
no lists: each of its areas is a split. An interrupted run goes on with the same command.
"""

from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import make_parser, plain_errors
from projects.mvnet.mvnet.room_files import areas
from projects.mvnet.mvnet.scene_lists import read_list
from projects.mvnet.mvnet.scene_sets import prepare_scenes


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--source", type=Path, required=True, help="folder of the scenes, or an archive of it")
    add("--out", type=Path, required=True, help="folder of the prepared set")
    add(
        "--form",
        choices=["frames", "mesh", "s3dis"],
        default="frames",
        help="what a scene is: posed frames (default), a mesh of ScanNet, or a room of S3DIS",
    )
    add("--train", type=Path, metavar="FILE", help="names of the scenes to train on (S3DIS: its six areas)")
    add("--test", type=Path, metavar="FILE", help="names of the scenes to test on")
    add("--points", type=int, default=4096, help="points of a crop (4096)")
    add("--radius", type=float, default=1.5, help="of a crop, in metres (1.5)")
    add("--views", type=int, default=0, help="frames kept of each crop, with depths and cameras (0)")
    add("--image-size", type=int, default=96, help="side of these in pixels (96)")
    add("--every", type=int, default=20, help="take every so many frames (20)")
    add("--stride", type=int, default=2, help="take every so many pixels (2)")
    add(
        "--voxel",
        type=float,
        default=0.02,
        help="side of voxels that keep one point, in metres (0.02)",
    )
    args = parser.parse_args(argv)
    lists = {split: getattr(args, split) for split in ("train", "test")}
    if args.form == "s3dis" and lists == {"train": None, "test": None}:
        scenes = areas(args.source)
    elif None in lists.values():
        parser.error("--train FILE and --test FILE are needed")
    else:
        scenes = {split: read_list(path) for split, path in lists.items()}
    counts = prepare_scenes(
        args.source,
        args.out,
        scenes,
        args.points,
        args.radius,
        args.views,
        args.image_size,
        args.form,
        every=args.every,
        stride=args.stride,
        voxel=args.voxel,
    )
    print(f"{args.out} is ready: {', '.join(f'{count} {split}' for split, count in counts.items())} crops")


if __name__ == "__main__":
    main()
