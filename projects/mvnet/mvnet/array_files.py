"""Arrays by name in one ``.npz`` file, which is there when it is whole."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.files import check_regular, written_aside

DAMAGE = (ValueError, TypeError, LookupError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise of damaged bytes, of an array alone, and of pickles."""


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays of numbers."""
    with written_aside(path) as temporary, open(temporary, "wb") as file:
        # No allow_pickle, which numpy before 2.1 takes for an array's name: `read_arrays` reads no pickle.
        np.savez(file, **arrays)


def read_arrays(path: str | os.PathLike[str], *names: str) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote.

    Args:
        path: The file.
        names: Of the arrays to read; without any, all.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged or of another form; the text names it.
    """
    check_regular(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names or file.files}
    except (FileNotFoundError, PermissionError):
        raise
    except DAMAGE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} is damaged, or no .npz of arrays ({reason}); write it again") from error
