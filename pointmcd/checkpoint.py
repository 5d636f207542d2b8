"""Reading weights from files that others may have written: no code is run, and what is wrong is named."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """What ``torch.save`` wrote, where it holds a dict of nothing but tensors and plain values.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds anything else, or is damaged.
    """
    _check(path)
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise _damaged(path, error) from error
    if not isinstance(saved, dict):
        raise _damaged(path, f"it holds a {type(saved).__name__}, not a dict")
    return saved


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, of a checkpoint's ``state_dict``, or of a file that is one.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds anything else, or is damaged.
    """
    if Path(path).suffix != ".safetensors":
        saved = read_checkpoint(path)
        return saved.get("state_dict", saved)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _check(path: str | Path) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")


def _damaged(path: str | Path, reason: object) -> ValueError:
    return ValueError(f"{path} is damaged, or holds no weights: {str(reason).partition(chr(10))[0]}")
