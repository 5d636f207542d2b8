"""Opening HDF5 files of shapes, with what can be wrong with them said."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pointmcd.datasets.preparation.sources.base import SourceError

if TYPE_CHECKING:
    import h5py


@contextlib.contextmanager
def open_hdf5(path: Path, arrays: Mapping[str, tuple]) -> Iterator["h5py.File"]:
    """Open a file for reading and check its arrays.

    Args:
        path: The file.
        arrays: The shape of each array that must be there; None is any size, and a trailing ``...`` any
            further axes. All have as many rows.

    Raises:
        SourceError: The file is missing, damaged or of other arrays, or h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise SourceError(f"{path} is HDF5, which h5py reads: pip install h5py") from error
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise SourceError(f"{path} is missing") from None
    except OSError as error:
        raise SourceError(f"{path} is not an HDF5 file, or was cut off: {error}") from error
    with file:
        for name, shape in arrays.items():
            if name not in file:
                raise SourceError(f"{path} has no {name}; it has {', '.join(file)}")
            if not _fits(file[name].shape, shape):
                raise SourceError(f"{path}: {name} has the shape {file[name].shape}, expected {_text(shape)}")
        if len({len(file[name]) for name in arrays}) > 1:
            sizes = ", ".join(f"{len(file[name])} {name}" for name in arrays)
            raise SourceError(f"{path} has {sizes}: they should be equally many")
        yield file


def read_labels(path: Path, arrays: Mapping[str, tuple], classes: int) -> np.ndarray:
    """Return the ``label`` of each shape of a file, (S,) int64; ``open_hdf5`` checks ``arrays``.

    Raises:
        SourceError: As ``open_hdf5``, or a label is none of 0 to ``classes`` - 1.
    """
    with open_hdf5(path, arrays) as file:
        labels = file["label"][:].reshape(len(file["label"]), -1)[:, 0]
    if not np.isin(labels, range(classes)).all():
        raise SourceError(f"{path} has labels {labels.min()} to {labels.max()}, not 0 to {classes - 1}")
    return labels.astype(np.int64)


def _fits(actual: tuple[int, ...], wanted: tuple) -> bool:
    if wanted and wanted[-1] is ...:
        wanted = wanted[:-1]
        actual = actual[: len(wanted)]
    return len(actual) == len(wanted) and all(w in (None, a) for a, w in zip(actual, wanted, strict=True))


def _text(shape: tuple) -> str:
    return (
        "("
        + ", ".join("any" if size is None else "..." if size is ... else str(size) for size in shape)
        + ")"
    )
