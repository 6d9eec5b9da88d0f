"""Ragged batches: rows of different lengths, held without any padding.

The type is ``torch.nn.utils.rnn.PackedSequence`` itself, so batches go to and from existing
PyTorch code unchanged: ``data`` holds the tokens step by step, rows sorted by falling length, and
``batch_sizes[t]`` says how many rows have a step t. All functions here take and give rows in the
order in which they were packed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.errors import DataError

__all__ = [
    "PackedSequence",
    "last",
    "lengths",
    "max",
    "mean",
    "pack",
    "previous",
    "replace",
    "rows",
    "softmax",
    "sum",
    "unpack",
]


def pack(values: Tensor, lengths: Tensor | Sequence[int]) -> PackedSequence:
    """Pack rows that lie one after the other, without padding them first.

    Args:
        values: (N, ...), the tokens of the first row, then those of the second, and so on.
        lengths: (B,), how many tokens each row has; their sum is N.

    Raises:
        DataError: a row is empty, there is no row, or the lengths do not add up to N.
    """
    if not isinstance(lengths, Tensor):
        lengths = torch.tensor(lengths, device="cpu")
    lengths = lengths.detach().to("cpu", torch.int64)
    _check_lengths(lengths, len(values))
    _, order = lengths.sort(descending=True, stable=True)
    # How many rows are longer than t, from how many have each length.
    ended = torch.bincount(lengths).cumsum(0)[:-1]  # (T,)
    batch_sizes = len(lengths) - ended
    steps = torch.repeat_interleave(batch_sizes)  # (N,)
    row = torch.arange(len(values), device="cpu") - (batch_sizes.cumsum(0) - batch_sizes)[steps]
    firsts = (lengths.cumsum(0) - lengths)[order]
    data = values.index_select(0, (firsts[row] + steps).to(values.device))
    return _packed(data, batch_sizes, order.to(values.device))


def _check_lengths(lengths: Tensor, tokens: int) -> None:
    if lengths.dim() != 1 or not len(lengths):
        raise DataError("a ragged batch needs at least one row; give lengths of shape (B,)")
    if int(lengths.min()) < 1:
        row = int(lengths.argmin())
        raise DataError(f"row {row} of the batch has length {int(lengths[row])}; leave it out")
    if int(lengths.sum()) != tokens:
        raise DataError(
            f"the lengths add up to {int(lengths.sum())}, but there are {tokens} tokens; "
            "values must hold the rows one after the other"
        )


def _packed(data: Tensor, batch_sizes: Tensor, order: Tensor) -> PackedSequence:
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    return PackedSequence(data, batch_sizes, order, inverse)


def unpack(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    """The inverse of `pack`: values (N, ...) row by row, and lengths (B,) on the CPU."""
    size = lengths(packed)
    row = torch.repeat_interleave(size)  # (N,)
    step = torch.arange(len(row), device="cpu") - (size.cumsum(0) - size)[row]
    unsorted = packed.unsorted_indices
    place = row if unsorted is None else unsorted.cpu()[row]
    at = (_starts(packed)[step] + place).to(packed.data.device)
    return packed.data.index_select(0, at), size


def lengths(packed: PackedSequence) -> Tensor:
    """How many tokens each row has: (B,), int64, on the CPU."""
    falling = _falling_lengths(packed.batch_sizes)
    unsorted = packed.unsorted_indices
    return falling if unsorted is None else falling[unsorted.cpu()]


def rows(packed: PackedSequence) -> Tensor:
    """Which row each token belongs to: (N,), int64, on the device of the data."""
    sizes = packed.batch_sizes
    at = torch.arange(len(packed.data), device="cpu") - torch.repeat_interleave(
        _starts(packed), sizes
    )
    at = at.to(packed.data.device)
    return at if packed.sorted_indices is None else packed.sorted_indices[at]


def replace(packed: PackedSequence, data: Tensor) -> PackedSequence:
    """The same rows with other values: ``data`` is (N, ...) in the layout of ``packed.data``."""
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


def previous(packed: PackedSequence, first: float) -> Tensor:
    """The value before each token in its row, and ``first`` before a row's first: (N, ...)."""
    sizes, data = packed.batch_sizes, packed.data
    rows = int(sizes[0])
    back = torch.repeat_interleave(sizes[:-1], sizes[1:])  # (N - B,)
    at = torch.arange(rows, len(data), device="cpu") - back
    before = data.index_select(0, at.to(data.device))
    return torch.cat([torch.full_like(data[:rows], first), before])


def last(packed: PackedSequence) -> Tensor:
    """The value at each row's own last token: (B, ...)."""
    size = lengths(packed)
    unsorted = packed.unsorted_indices
    place = torch.arange(len(size), device="cpu") if unsorted is None else unsorted.cpu()
    at = _starts(packed)[size - 1] + place
    return packed.data.index_select(0, at.to(packed.data.device))


def sum(packed: PackedSequence) -> Tensor:
    """The sum over each row's tokens: (B, ...)."""
    total = packed.data.new_zeros(int(packed.batch_sizes[0]), *packed.data.shape[1:])
    return total.index_add(0, rows(packed), packed.data)


def mean(packed: PackedSequence) -> Tensor:
    """The mean over each row's tokens: (B, ...)."""
    total = sum(packed)
    count = lengths(packed).to(total)
    return total / count.view(-1, *[1] * (total.dim() - 1))


def max(packed: PackedSequence) -> Tensor:
    """The largest value over each row's tokens, unit by unit: (B, ...)."""
    data = packed.data
    lowest = data.new_full((int(packed.batch_sizes[0]), *data.shape[1:]), -torch.inf)
    row = rows(packed).view(-1, *[1] * (data.dim() - 1)).expand_as(data)
    return lowest.scatter_reduce(0, row, data, "amax")


def softmax(packed: PackedSequence) -> PackedSequence:
    """The softmax over each row's tokens, for attention: data (N, ...), summing to 1 a row."""
    row = rows(packed)
    top = max(replace(packed, packed.data.detach()))
    weights = replace(packed, (packed.data - top[row]).exp())
    return replace(packed, weights.data / sum(weights)[row])


def _starts(packed: PackedSequence) -> Tensor:
    """Where each step begins in the data: (T,)."""
    return packed.batch_sizes.cumsum(0) - packed.batch_sizes


def _falling_lengths(batch_sizes: Tensor) -> Tensor:
    """The lengths of the sorted rows, from how many rows each step has."""
    ending = batch_sizes - torch.cat([batch_sizes[1:], batch_sizes.new_zeros(1)])
    # ending[t] rows have length t + 1; the longest come first.
    return len(batch_sizes) - torch.repeat_interleave(ending.flip(0))
