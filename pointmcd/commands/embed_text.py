"""Turn names into vectors by an image-text model (CLIP, SigLIP ...), for students that are aligned with it.

    pointmcd embed-text ViT-B-32-quickgelu --weights openai --data data/modelnet40 --out clip.npy
    pointmcd embed-text FOLDER --names chair stool 'office chair' --out chairs.npy
    pointmcd embed-text FOLDER --data data/modelnet40 --templates '{}' --out bare.npy

FOLDER is a model as the Hub holds it (hf download timm/vit_base_patch32_clip_224.openai --local-dir FOLDER).
Beside the vectors lies what they are of: clip.json. Needs the extra text: pip install 'pointmcd[text]'.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import make_parser, plain_errors
from pointmcd.evaluation.statistics import counted
from pointmcd.files import check_writable


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("model", help="a name of open_clip's, or a folder")
    add(
        "--weights",
        metavar="FILE",
        help="file, tag of open_clip's (a download), or random; folders have some",
    )
    names = parser.add_mutually_exclusive_group(required=True)
    names.add_argument("--names", nargs="+", metavar="NAME", help="the names")
    names.add_argument("--data", type=Path, help="prepared set whose classes are the names")
    add("--templates", nargs="+", metavar="TEXT", help="with {} for the name; '{}' alone: the bare name")
    add("--out", type=Path, required=True, metavar="FILE.npy", help="file to write, with FILE.json beside it")
    return parser.parse_args(argv)


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.out.suffix != ".npy":
        raise ValueError(f"vectors are saved as .npy, not as {args.out}")
    check_writable(args.out)
    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.datasets.text_vectors import check_text_place, write_text_vectors
    from pointmcd.models.teachers.image_text import TEMPLATES, ImageTextModel

    check_text_place(args.out)
    names = args.names or PreparedSet(args.data).class_names
    text = ImageTextModel(args.model, args.weights).embed_names(names, args.templates or TEMPLATES)
    write_text_vectors(args.out, text)
    print(
        f"wrote {args.out} and {args.out.with_suffix('.json').name}: {counted(len(text.names), 'name')}, "
        f"{text.vectors.shape[1]} channels, the mean over {counted(len(text.templates), 'template')}, "
        f"by {text.model}"
    )
