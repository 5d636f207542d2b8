"""Render synthetic rooms in ScanNet's layout, with lists of those to train and to test on.

python -m projects.mvnet.tools.make_rooms --out data/rooms_raw
python -m projects.mvnet.tools.prepare_scenes --source data/rooms_raw --out data/rooms --points 2048 \\
        --every 1 --stride 1 --train data/rooms_raw/train.txt --test data/rooms_raw/test.txt
"""

from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import make_parser, plain_errors
from pointmcd.progress import track
from projects.mvnet.mvnet.room import random_room, write_room


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the scenes")
    add("--train", type=int, default=16, help="rooms to train on (16)")
    add("--test", type=int, default=8, help="rooms to test on (8)")
    add("--frames", type=int, default=12, help="frames of a room (12)")
    args = parser.parse_args(argv)
    names = {"train": range(args.train), "test": range(args.train, args.train + args.test)}
    for split, numbers in names.items():
        for number in track(numbers, f"{split} rooms"):
            write_room(args.out / f"room{number:04d}", random_room(number), args.frames, (160, 120), number)
        (args.out / f"{split}.txt").write_text("".join(f"room{number:04d}\n" for number in numbers), "utf-8")
    print(f"wrote {args.train} and {args.test} rooms to {args.out}")


if __name__ == "__main__":
    main()
