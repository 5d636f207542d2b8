"""Rows: a batch of clouds (B, N, C) seen as B * N rows, an index of points as one of rows."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor


def as_rows(x: Tensor) -> Tensor:
    """Return x (..., C) as (R, C), whatever is empty."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def flat_rows(index: Tensor, num_points: int) -> Tensor:
    """Return index (B, ...) in [0, N) as rows of the flattened (B * N) points."""
    base = num_points * torch.arange(index.shape[0], device=index.device)
    return index + base.view(-1, *[1] * (index.dim() - 1))


def check_range(name: str, index: Tensor, num_points: int) -> None:
    """Raise ``IndexError`` unless entries are in [0, N); on CUDA an assertion that nobody waits for.

    An index N of one cloud would be row 0 of the next, without a word.
    """
    if index.numel() == 0:
        return
    low, high = index.aminmax()
    if index.is_cuda:
        torch._assert_async((low >= 0) & (high < num_points))
    elif low < 0 or high >= num_points:
        raise IndexError(f"{name} holds {int(low)} to {int(high)}, outside [0, {num_points})")


def chunks(x: Tensor) -> Iterator[slice]:
    """Slice the rows x (R, C) that a torch form works on at once: on the CPU what stays in cache."""
    step = max(1, (2**24 if x.is_cuda else 2**16) // max(x.shape[1], 1))
    return (slice(first, first + step) for first in range(0, len(x), step))


def parts(x: Tensor, width: int) -> Iterator[slice]:
    """Slice x (N, ..., I) along its first axis for work that gives ``width`` channels for each row: on the
    CPU so that the results of a part stay in cache.
    """
    rows = math.prod(x.shape[1:-1])
    step = max(1, len(x) if x.is_cuda else 2**19 // max(rows * width, 1))
    return (slice(first, first + step) for first in range(0, len(x), step))


def has_odd(x: Tensor) -> bool:
    """Return whether x may hold an infinity or a NaN: by its sum, one fast pass; on CUDA it waits."""
    return not bool(x.sum().isfinite())


def bag_max(table: Tensor, members: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maximum of the rows of table (R, C) in each bag, and the first row that gave it.

    A maximum over values of which one is NaN is NaN. Bags begin at ``starts``; an empty one gives anything.
    """
    values, _, _, rows = torch.ops.aten._embedding_bag(table, members, starts, False, 2)
    if has_odd(table):  # embedding_bag passes over a NaN
        odd, _, _, odd_rows = torch.ops.aten._embedding_bag(
            table.isnan().to(table), members, starts, False, 2
        )
        values, rows = values.masked_fill(odd > 0, torch.nan), torch.where(odd > 0, odd_rows, rows)
    return values, rows
