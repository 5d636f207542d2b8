"""``pointmcd COMMAND ...``, installed with the package; also ``python -m pointmcd``.

A command is the ``main`` of its module in ``pointmcd.commands``, and also a script in ``tools/``. Its line in
``COMMANDS`` is all that registers it; it is imported when it is typed.
"""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pointmcd import __version__

COMMANDS = {
    "demo": ("demo", "the whole job on built-in shapes, in minutes"),
    "prepare": ("prepare_data", "meshes or scans into points, views and masks of what each view sees"),
    "browse": ("browse_dataset", "a picture of shapes with their views and the points that these see"),
    "distill": ("distill", "a student with and without a frozen image network, compared: one command"),
    "cache-teacher": ("cache_teacher", "write down what an image teacher says of every shape"),
    "embed-text": ("embed_text", "names into vectors by an image-text model"),
    "train": ("train", "train what a config describes"),
    "test": ("test", "test a checkpoint: figures, tables, pictures"),
    "compare": ("compare_runs", "two methods over several seeds, with 95 % intervals"),
    "export": ("export_student", "a checkpoint into a student that needs no config"),
    "predict": ("predict", "classes, parts or embeddings of files, folders and archives"),
    "report": ("report", "a test or a prepared set as one HTML page to look at"),
    "linear-svm": ("linear_svm", "judge frozen features by a linear SVM"),
    "few-shot": ("few_shot", "judge frozen features by few-shot episodes"),
    "retrieval": ("retrieval", "judge frozen features by what they retrieve"),
    "finetune": (
        "finetune",
        "a pre-trained backbone beside training from scratch, at fractions of the labels",
    ),
    "robustness": ("robustness", "exported students side by side on turned, noisy and cut shapes"),
    "zero-shot": ("zero_shot", "judge a student that learned no label by the names of the classes"),
    "extract-features": ("extract_features", "save the features of a prepared set"),
    "print-config": ("print_config", "a config as a run would use it"),
    "convert-official": ("convert_official", "a checkpoint of the official release into ours"),
}
"""What is typed: the module in ``pointmcd.commands``, and a line of help."""


def main(argv: Sequence[str] | None = None) -> object:
    """Run the command that the first word names, with the words behind it.

    Returns:
        What the command's ``main`` does: an exit code, or None for 0.
    """
    name, *words = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name == "--version":
        print(f"pointmcd {__version__}")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name.replace("_", "-"), COMMANDS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "pointmcd --help lists the commands"
        print(f"pointmcd: there is no command {name!r}; {hint}", file=sys.stderr)
        return 2
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # configs of a checkout import projects.<name>
    sys.argv[0] = f"pointmcd {name}"  # what usage and messages begin with
    return import_module(f"pointmcd.commands.{COMMANDS[name][0]}").main(words)


def usage() -> str:
    """Return all commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {help}" for name, (_, help) in COMMANDS.items())
    return (
        f"usage: pointmcd COMMAND ...\n\n{lines}\n\n"
        "pointmcd COMMAND --help says more of one. A CONFIG is a file, or the name of one that comes with\n"
        "pointmcd, such as pointmcd_dgcnn_modelnet."
    )


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[arg-type]  # an exit code or None
