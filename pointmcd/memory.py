"""Memory of work on the CPU: what one step frees, the next one takes."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's names for them: malloc.h of glibc
_OWN_MAPPING, _LARGEST = 32 * 2**20, 2**30


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
