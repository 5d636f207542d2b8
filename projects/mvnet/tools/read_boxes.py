"""Read the boxes of ScanNet or of SUN RGB-D, and write boxes.npz into the folder of each scene.

    python -m projects.mvnet.tools.read_boxes scannet --source scans --label-map scannetv2-labels.combined.tsv
    python -m projects.mvnet.tools.read_boxes sunrgbd --source SUNRGBD

Their form: projects/mvnet/mvnet/boxes.py. Classes are places in SCANNET20 (scenes.py) or in SUNRGBD10
(box_files.py). A scene that cannot be read is named at the end, and the others are written.
"""

from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import make_parser, plain_errors
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.progress import track
from projects.mvnet.mvnet.box_files import read_label_map, read_scannet_boxes, read_sunrgbd_boxes
from projects.mvnet.mvnet.boxes import write_boxes


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("layout", choices=["scannet", "sunrgbd"])
    add("--source", type=Path, required=True, help="folder of the scenes")
    add("--label-map", type=Path, help="of ScanNet: scannetv2-labels.combined.tsv")
    args = parser.parse_args(argv)
    if args.layout == "scannet":
        if args.label_map is None:
            raise ValueError("ScanNet needs --label-map scannetv2-labels.combined.tsv, which comes with it")
        names = read_label_map(args.label_map)
        folders = sorted(path.parent for path in args.source.glob("*/*_vh_clean_2.ply"))
    else:
        folders = sorted(path.parent.parent for path in args.source.rglob("annotation3Dfinal/index.json"))
    if not folders:
        raise SourceError(f"{args.source} holds no scene in the layout of {args.layout}")
    count, wrong = 0, []
    for folder in track(folders, "scenes"):
        try:
            found = (
                read_scannet_boxes(folder, names) if args.layout == "scannet" else read_sunrgbd_boxes(folder)
            )
        except SourceError as error:
            wrong.append(str(error))
            continue
        write_boxes(folder / "boxes.npz", found)
        count += len(found.boxes)
    print(f"{count} boxes in {len(folders) - len(wrong)} of {len(folders)} scenes of {args.source}")
    if wrong:
        raise SourceError(f"{len(wrong)} scenes have none: " + "; ".join(wrong[:5]))


if __name__ == "__main__":
    main()
