"""Files of weights: written whole or not at all, with a hash, and read without running any code of theirs."""

import hashlib
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pointmcd.files import written_aside

ZIP, ZIP_END = b"PK\x03\x04", b"PK\x05\x06"
ZIP_END_SIZE = 22  # of the record that ends an archive without a comment, whose last two bytes are its length
HASH_MARK = b"pointmcd sha256 "
HASH_SIZE = len(HASH_MARK) + 64
NOT_PLAIN = "it is incomplete, or holds more than tensors and plain values"
MOST_TIMES = 10
"""How much more than it has bytes a file may hold in values, each counted as often as it is reached."""


def write_checkpoint(path: str | Path, content: dict[str, Any]) -> None:
    """Write what ``torch.load(weights_only=True)`` reads, and in the archive's comment the SHA-256 of it all.

    A reader sees the old file or the new one, never a part; where writing fails, the old one is as it was
    and nothing is left beside it.

    Args:
        path: File to write; its folder is made where it is missing.
        content: Tensors and plain values.

    Raises:
        OSError: It cannot be written: the disk is full, or the folder is not to be written to.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    if buffer.getbuffer()[-ZIP_END_SIZE:][:4] != ZIP_END:
        raise AssertionError("torch.save is expected to end its archive without a comment")
    buffer.seek(-2, io.SEEK_END)
    buffer.write(HASH_SIZE.to_bytes(2, "little"))
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    buffer.write(HASH_MARK + digest.encode())
    try:
        with written_aside(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}. What was there before is as it was"
        raise OSError(error.errno, message) from error


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return what ``write_checkpoint`` or ``torch.save`` wrote: a dict of tensors and plain values.

    A file with a hash is checked against it, an archive without one against its own checksums.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds anything else, or is damaged.
    """
    _check(path)
    try:
        _check_hash(Path(path))
        _check_size(Path(path))
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise _damaged(path, error) from error
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    # what damaged bytes make of a pickle is not foreseeable, and torch advises to run what it refuses
    except (RuntimeError, OSError, EOFError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise _damaged(path, NOT_PLAIN) from error
    except (pickle.UnpicklingError, NotImplementedError, MemoryError) as error:
        raise _damaged(path, NOT_PLAIN) from error
    if not isinstance(saved, dict):
        raise _damaged(path, f"it holds a {type(saved).__name__}, not a dict")
    try:
        unfolded = _unfolded_size(saved, {})
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its values contain themselves, or are nested too deeply") from error
    if unfolded > MOST_TIMES * Path(path).stat().st_size:
        raise _damaged(path, "its values repeat each other without end")
    return saved


def check_tensors(state: Any) -> None:
    """Check that a state dict of anybody's file is one: tensors by their names, all of their values finite.

    Raises:
        ValueError: It is none, or claims more than is stored, or a value is NaN or infinite.
    """
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ValueError("its state_dict is not a dict of named tensors")
    if strange := [key for key, value in state.items() if not _is_plain_tensor(value)]:
        raise ValueError(f"its state_dict holds something other than plain tensors: {_some(strange)}")
    # a tensor can repeat one stored number without end, and would take its whole size when it is copied
    stored = {
        value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in state.values()
    }
    if sum(value.nbytes for value in state.values()) > 4 * sum(stored.values()):
        raise ValueError("its weights claim more than the file holds")
    if broken := [key for key, value in state.items() if not bool(torch.isfinite(value).all())]:
        raise ValueError(f"its weights are not finite (NaN or infinite): {_some(broken)}")


def _is_plain_tensor(value: Any) -> bool:
    plain = type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided
    return plain and value.device.type != "meta" and not value.is_quantized


def load_weights(module: nn.Module, state: dict[str, Tensor], refusal: str) -> None:
    """Load weights of exactly a module's names and shapes.

    Args:
        module: What they are for.
        state: The weights.
        refusal: How the error begins.

    Raises:
        ValueError: Names are missing or unexpected, or tensors of another shape or kind, or not finite;
            nothing was loaded. Text (1-D uint8) may have any length: it is for the module to judge.
    """
    check_tensors(state)
    expected = module.state_dict()
    both = sorted(state.keys() & expected.keys())
    faults = {
        "missing": sorted(expected.keys() - state.keys()),
        "unexpected": sorted(state.keys() - expected.keys()),
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
            for key in both
            if state[key].shape != expected[key].shape and not _are_text(state[key], expected[key])
        ],
        "of another kind of number": [
            f"{key} {state[key].dtype} instead of {expected[key].dtype}"
            for key in both
            if state[key].is_floating_point() != expected[key].is_floating_point()
            or state[key].is_complex() != expected[key].is_complex()
        ],
    }
    if any(faults.values()):
        lines = [f"{what}: {_some(keys)}" for what, keys in faults.items() if keys]
        raise ValueError(f"{refusal}:\n" + "\n".join(lines))
    module.load_state_dict(state, strict=False)  # a frozen teacher's weights are not part of a checkpoint


def _are_text(*tensors: Tensor) -> bool:
    return all(tensor.dtype == torch.uint8 and tensor.ndim == 1 for tensor in tensors)


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name[:100] for name in names[:most]) + more


def _check_hash(path: Path) -> None:
    """Refuse an archive that is not as it was written; files of other kinds are torch's to judge."""
    with open(path, "rb") as file:
        is_zip = file.read(len(ZIP)) == ZIP
        size = file.seek(0, io.SEEK_END)
        file.seek(max(size - HASH_SIZE, 0))
        end = file.read()
        if end.startswith(HASH_MARK):
            file.seek(0)
            digest = hashlib.sha256()
            left = size - HASH_SIZE
            while left and (block := file.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
            if end[len(HASH_MARK) :] != digest.hexdigest().encode():
                raise ValueError("its bytes have changed since it was written (SHA-256)")
            return
    if is_zip:
        if end[-ZIP_END_SIZE:][:4] != ZIP_END:
            raise ValueError("its end is missing or was changed")
        with zipfile.ZipFile(path) as archive:
            if (entry := archive.testzip()) is not None:
                raise ValueError(f"{entry} in it has changed since it was written (CRC-32)")


def _unfolded_size(value: Any, known: dict[int, int]) -> int:
    """Return how many values there are, in time that those cost which are stored.

    A list can name another ten times, which names a third ten times: whoever walks such a file never ends.
    """
    if not isinstance(value, dict | list | tuple):
        return 1
    if (size := known.get(id(value))) is None:
        known[id(value)] = -1  # until it is known
        children = value.values() if isinstance(value, dict) else value
        size = 1 + sum(_unfolded_size(child, known) for child in children)
        known[id(value)] = size
    elif size == -1:
        raise ValueError("a value contains itself")
    return size


def _check_size(path: Path) -> None:
    """Refuse an archive that a few bytes would make fill the memory; ``torch.save`` does not compress."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                raise ValueError("it unpacks to more than it holds")


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` file, a checkpoint's ``state_dict``, or a file that is one.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds anything else, or is damaged.
    """
    if Path(path).suffix != ".safetensors":
        saved = read_checkpoint(path)
        state = saved.get("state_dict", saved)
        try:
            check_tensors(state)
        except ValueError as error:
            raise _damaged(path, error) from error
        return state
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check(path)
    try:
        state = load_file(path)
        check_tensors(state)
    except (SafetensorError, ValueError) as error:
        raise _damaged(path, error) from error
    return state


def _check(path: str | Path) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")


def _damaged(path: str | Path, reason: object) -> ValueError:
    return ValueError(f"{path} is damaged, or holds no weights: {str(reason).partition(chr(10))[0]}")
