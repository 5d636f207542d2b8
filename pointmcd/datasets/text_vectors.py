"""Names as vectors: what a text encoder makes of them, written down with where they come from.

text.npy     (K, E) float32, a unit vector a name
text.json    names, templates, model, the SHA-256 of its weights and that of text.npy
"""

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pointmcd.files import file_sha256, read_json, write_json, written_aside

FORMAT = "pointmcd text 1"
SHA256 = re.compile(r"[0-9a-f]{64}")
OFF = 1e-3  # how far the length of a unit vector may be from 1


class TextVectors(NamedTuple):
    """K names in the space of an image-text model.

    Attributes:
        names: K, all different.
        vectors: (K, E) float32 of unit length.
        templates: What was said of each name, ``{}`` its place; the mean over them is the vector.
        model: Name of the model.
        weights_sha256: Of its weights, by which a student knows whether the space is its own.
    """

    names: list[str]
    vectors: np.ndarray
    templates: list[str]
    model: str
    weights_sha256: str

    def of(self, names: Sequence[str]) -> "TextVectors":
        """Return the given names alone, in their order.

        Raises:
            ValueError: None is given, one is given twice, or one is not known, with the nearest that is.
        """
        names = list(names) if not isinstance(names, str | set | frozenset) else []
        if not names or not all(isinstance(one, str) for one in names) or len(set(names)) < len(names):
            raise ValueError("names must be a list of at least one name, each different")
        for name in names:
            if name not in self.names:
                near = difflib.get_close_matches(name, self.names, 1, 0.5)
                hint = f"did you mean {near[0]!r}? " if near else ""
                known = ", ".join(self.names[:10]) + (" ..." if len(self.names) > 10 else "")
                raise ValueError(
                    f"there is no text for {name!r}; {hint}known: {known}; add more with "
                    "pointmcd embed-text MODEL --names NAME ... --out text.npy"
                )
        rows = [self.names.index(name) for name in names]
        return self._replace(names=list(names), vectors=self.vectors[rows])


def check_text_place(path: str | os.PathLike[str]) -> None:
    """Refuse a place where a file of another kind would be lost.

    Raises:
        ValueError: The JSON file beside ``path`` is not of ``write_text_vectors``.
    """
    beside = _about(path)
    if beside.exists():
        about = read_json(beside)
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise ValueError(f"{beside}, which would be written too, is another file; give another name")


def write_text_vectors(path: str | os.PathLike[str], text: TextVectors) -> None:
    """Write ``path``, and beside it what is to be known of it.

    Raises:
        ValueError: As ``check_text_place``.
    """
    check_text_place(path)
    with written_aside(path) as temporary, open(temporary, "wb") as file:
        np.save(file, text.vectors)
    about = {name: value for name, value in text._asdict().items() if name != "vectors"}
    write_json(_about(path), {"format": FORMAT, "sha256": file_sha256(path), **about})


def read_text_vectors(path: str | os.PathLike[str]) -> TextVectors:
    """Read what ``write_text_vectors`` wrote. A file from anywhere is safe to read: it is data.

    Raises:
        FileNotFoundError: One of the two files is not there.
        ValueError: They are damaged, do not belong together, or are none.
    """
    if not Path(path).exists():
        raise FileNotFoundError(
            f"there is no file of texts {path}; write it: "
            f"pointmcd embed-text MODEL --names NAME ... --out {path}"
        )
    if Path(path).suffix != ".npy":
        raise ValueError(f"texts are read from the .npy file of pointmcd embed-text, not from {path}")
    if not _about(path).exists():
        raise FileNotFoundError(
            f"{path} has no {_about(path).name} beside it, with its names; pointmcd embed-text writes both"
        )
    about = read_json(_about(path))
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"{_about(path)} was not written by pointmcd embed-text")
    for name in ("names", "templates"):
        if not _are_texts(about.get(name)):
            raise ValueError(f"{_about(path)} is damaged: its {name} are not a list of different texts")
    model, weights = about.get("model"), about.get("weights_sha256")
    if not isinstance(model, str) or not isinstance(weights, str) or not SHA256.fullmatch(weights):
        raise ValueError(f"{_about(path)} is damaged: it names no model, or no SHA-256 of its weights")
    if file_sha256(path) != about.get("sha256"):
        raise ValueError(
            f"{path} is damaged, or {_about(path)} belongs to another file: their SHA-256 sums differ"
        )
    try:
        vectors = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError) as error:
        raise ValueError(f"{path} is not an array: {error}") from error
    count = len(about["names"])
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32 or vectors.ndim != 2:
        raise ValueError(f"{path} does not hold vectors, float32 (names, channels)")
    # NaN is near nothing
    if len(vectors) != count or not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < OFF).all():
        raise ValueError(f"{path} does not hold a unit vector for each of {count} names")
    return TextVectors(about["names"], vectors, about["templates"], model, weights)


def _about(path: str | os.PathLike[str]) -> Path:
    return Path(path).with_suffix(".json")


def _are_texts(value: Any) -> bool:
    texts = isinstance(value, list) and all(isinstance(one, str) and one.isprintable() for one in value)
    return texts and len(value) > 0 and all(value) and len(set(value)) == len(value)
