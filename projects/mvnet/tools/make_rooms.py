"""Render synthetic rooms in ScanNet's layout, with lists of those to train and to test on.

python -m projects.mvnet.tools.make_rooms --out data/rooms_raw
python -m projects.mvnet.tools.prepare_scenes --source data/rooms_raw --out data/rooms --points 2048 \\
        --every 1 --stride 1 --train data/rooms_raw/train.txt --test data/rooms_raw/test.txt

With --furnished rooms have more furniture, anywhere, and boxes.npz of it: see prepare_detection.py.
"""

from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import make_parser, plain_errors
from pointmcd.progress import track
from projects.mvnet.mvnet.boxes import write_boxes
from projects.mvnet.mvnet.detection.rooms import furnished_room
from projects.mvnet.mvnet.room import random_room, write_room


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the scenes")
    add("--train", type=int, default=16, help="rooms to train on (16)")
    add("--test", type=int, default=8, help="rooms to test on (8)")
    add("--frames", type=int, default=12, help="frames of a room (12)")
    add("--furnished", action="store_true", help="rooms for detection")
    args = parser.parse_args(argv)
    names = {"train": range(args.train), "test": range(args.train, args.train + args.test)}
    for split, numbers in names.items():
        for number in track(numbers, f"{split} rooms"):
            folder = args.out / f"room{number:04d}"
            room, boxes = furnished_room(number) if args.furnished else (random_room(number), None)
            write_room(folder, room, args.frames, (160, 120), number)
            if boxes is not None:
                write_boxes(folder / "boxes.npz", boxes)
        (args.out / f"{split}.txt").write_text("".join(f"room{number:04d}\n" for number in numbers), "utf-8")
    print(f"wrote {args.train} and {args.test} rooms to {args.out}")


if __name__ == "__main__":
    main()
