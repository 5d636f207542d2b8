"""Prepare posed RGB-D scenes with boxes for detection: each scene one cloud, in metres.

    python -m projects.mvnet.tools.make_rooms --furnished --out data/furnished_raw --train 160 --test 40
    python -m projects.mvnet.tools.prepare_detection --source data/furnished_raw --out data/furnished \\
        --points 2048 --every 1 --stride 1

A scene is a folder in a layout that prepare_scenes.py knows, and also holds boxes.npz: of ScanNet and of
SUN RGB-D read_boxes.py makes it, of others write_boxes of projects/mvnet/mvnet/boxes.py. Their classes are
ScanNet's 20 by position, or with --classes sunrgbd the 10 of SUN RGB-D; boxes that stand turned are replaced
by the axis-aligned ones around them. A list file has one scene per line, a folder within --source; no scene
may be listed twice. After an interrupt the same command goes on.
"""

from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import make_parser, plain_errors
from projects.mvnet.mvnet.box_files import SUNRGBD10
from projects.mvnet.mvnet.detection.preparation import prepare_scenes_with_boxes
from projects.mvnet.mvnet.scene_lists import read_list
from projects.mvnet.mvnet.scenes import SCANNET20

CLASSES = {"scannet": tuple(SCANNET20.values()), "sunrgbd": SUNRGBD10}


@plain_errors("the same command goes on from the scenes that are done")
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--source", type=Path, required=True, help="folder of the scenes")
    add("--out", type=Path, required=True, help="folder of the prepared set")
    add("--train", type=Path, metavar="FILE", help="names of the scenes to train on (train.txt of --source)")
    add("--test", type=Path, metavar="FILE", help="names of the scenes to test on (test.txt of --source)")
    add("--points", type=int, default=4096, help="points of a scene (4096)")
    add("--least-points", type=int, default=10, help="leave out boxes that hold fewer points (10)")
    add("--every", type=int, default=20, help="take every so many frames (20)")
    add("--stride", type=int, default=2, help="take every so many pixels (2)")
    add("--voxel", type=float, default=0.02, help="side of voxels that keep one point, in metres (0.02)")
    add("--classes", choices=[*CLASSES], default="scannet", help="what classes the boxes count (scannet)")
    args = parser.parse_args(argv)
    lists = {split: getattr(args, split) or args.source / f"{split}.txt" for split in ("train", "test")}
    scenes = {split: read_list(path) for split, path in lists.items()}
    reading = {"every": args.every, "stride": args.stride, "voxel": args.voxel}
    counts = prepare_scenes_with_boxes(
        args.source, args.out, scenes, args.points, args.least_points, CLASSES[args.classes], **reading
    )
    said = (
        f"{number} {split} scenes with {boxes} boxes ({unseen} unseen left out)"
        for split, (number, boxes, unseen) in counts.items()
    )
    print(f"{args.out} is ready: {', '.join(said)}")


if __name__ == "__main__":
    main()
