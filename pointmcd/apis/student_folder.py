"""A student as a folder in the Hub's form: ``config.json``, ``model.safetensors`` and ``README.md``."""

from pathlib import Path
from typing import Any

from pointmcd.checkpoint import read_state_dict
from pointmcd.files import file_sha256, read_json, write_json, written_aside

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
MOST_BYTES = 2**24
"""Above the size of any student's config.json."""


def write_student_folder(exported: dict[str, Any], folder: str | Path, card: str) -> None:
    """Write a student as ``load_student`` and the Hub read it.

    Each file is written aside, and ``config.json``, which names the hash of the weights, last: of a folder
    whose writing was interrupted nothing wrong is loaded.

    Args:
        exported: What ``export_student`` returned.
        folder: Made where it is missing; other files in it stay.
        card: Text of the model card (``model_card``).

    Raises:
        OSError: It cannot be written.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    config = {key: value for key, value in exported.items() if key != "state_dict"}
    state = {name: tensor.contiguous() for name, tensor in exported["state_dict"].items()}
    with written_aside(folder / WEIGHTS) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    with written_aside(folder / CARD) as temporary:
        temporary.write_text(card, "utf-8")
    write_json(
        folder / CONFIG,
        {"library_name": "pointmcd", **config, "weights_sha256": file_sha256(folder / WEIGHTS)},
    )


def read_student_folder(folder: str | Path) -> dict[str, Any]:
    """Return what ``write_student_folder`` was given, of a folder from anybody; ``check_student`` judges it.

    Raises:
        FileNotFoundError: One of the two files is missing.
        ValueError: One of them is damaged, or they do not belong together.
    """
    folder = Path(folder)
    path, weights = folder / CONFIG, folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"there is no student in {folder}: it has no {CONFIG}")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} is not a student's: it is larger than {MOST_BYTES >> 20} MiB")
    try:
        config = read_json(path)
    except RecursionError as error:
        raise ValueError(f"{path} is damaged: it is nested too deeply") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} is damaged: it is not a JSON object")
    state = read_state_dict(weights)
    if config.get("weights_sha256", (digest := file_sha256(weights))) != digest:
        raise ValueError(f"{weights} does not match the SHA-256 in {path}; use both files of the same export")
    return {**config, "state_dict": state}
