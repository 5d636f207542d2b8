"""How a process works on the CPU: memory that one step frees and the next one takes, and matrix products."""

import ctypes
import sys
from pathlib import Path

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's names for them: malloc.h of glibc
_OWN_MAPPING, _LARGEST = 32 * 2**20, 2**30


def set_up_cpu() -> None:
    """Keep the memory that is freed, and take the faster products; for whoever runs a network at length."""
    keep_freed_memory()
    use_onednn_products()


def keep_freed_memory(keep: bool = True) -> bool:
    """Let malloc keep large blocks that are freed, or give them back to the system, as it does by itself.

    Every tensor of 32 MiB and more, such as the edges of PointNet++, is otherwise a mapping of its own, whose
    pages the system clears anew in every step. The process then holds on to the most memory that it needed
    at once.

    Args:
        keep: False undoes it, and gives back what is free.

    Returns:
        Whether malloc took the setting; glibc's does.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return False
    mapped = _LARGEST if keep else _OWN_MAPPING
    taken = all([libc.mallopt(_MMAP_THRESHOLD, mapped), libc.mallopt(_TRIM_THRESHOLD, 2 * mapped - 1)])
    if not keep:
        libc.malloc_trim(0)
    return taken


def use_onednn_products() -> bool:
    """Let oneDNN compute products in float32 where MKL, which torch takes, is slow.

    On processors with AVX-512 that are not Intel's, MKL takes kernels for AVX2, and oneDNN's are about twice
    as fast (measured on AMD EPYC). torch goes to oneDNN where products may round their inputs to bfloat16;
    without AMX it does not round them, which is looked at here.

    Returns:
        Whether oneDNN was taken.
    """
    if _is_intel() or torch.cpu._is_amx_tile_supported() or not torch.cpu._is_avx512_supported():
        return False
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    fine = torch.full((256, 256), 1 + 2**-20)  # bfloat16 would make it 1
    exact = torch.equal(torch.mm(fine, torch.eye(256)), fine)
    if not exact:
        torch.set_float32_matmul_precision(before)
    return exact


def _is_intel() -> bool:
    """Return whether Intel made the processor; where no file says so, it is taken for one of theirs."""
    known = Path("/proc/cpuinfo")
    return not known.exists() or "GenuineIntel" in known.read_text()
