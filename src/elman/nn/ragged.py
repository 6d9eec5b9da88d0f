"""Ragged batches: rows of different lengths, held without any padding.

The type is ``torch.nn.utils.rnn.PackedSequence`` itself, so batches go to and from existing
PyTorch code unchanged: ``data`` holds the tokens step by step, rows sorted by falling length, and
``batch_sizes[t]`` says how many rows have a step t. All functions here take and give rows in the
order in which they were packed.

A row may have length 0. No batch size counts it, so ``sorted_indices`` alone tell of it: they hold
all B rows, those of length 0 last. Elman's functions and layers know such rows. Torch's own
(``pad_packed_sequence``, ``nn.LSTM``) raise an error; `pad` and ``elman.nn.LSTM`` take their place.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.errors import DataError

__all__ = [
    "PackedSequence",
    "count",
    "first",
    "last",
    "lengths",
    "max",
    "mean",
    "pack",
    "pad",
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
        lengths: (B,), how many tokens each row has, 0 or more; their sum is N.

    Raises:
        DataError: a length is under 0, there is no row, or the lengths do not add up to N.
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
    if int(lengths.min()) < 0:
        row = int(lengths.argmin())
        raise DataError(
            f"row {row} of the batch has length {int(lengths[row])}; lengths are at least 0"
        )
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


def pad(packed: PackedSequence, value: float = 0.0) -> tuple[Tensor, Tensor]:
    """The rows as a rectangle: (B, T, ...), filled up with ``value``, and lengths (B,) on the CPU.

    As ``pad_packed_sequence(packed, batch_first=True)``, and also where rows have length 0.
    """
    data = packed.data
    steps = torch.repeat_interleave(packed.batch_sizes).to(data.device)  # (N,)
    shape = (count(packed), len(packed.batch_sizes), *data.shape[1:])
    padded = data.new_full(shape, value).index_put((rows(packed), steps), data)
    return padded, lengths(packed)


def count(packed: PackedSequence) -> int:
    """How many rows there are, those of length 0 too: B."""
    order = packed.sorted_indices
    # Without looking into a tensor where that can be spared.
    return int(packed.batch_sizes[:1].sum()) if order is None else order.shape[0]


def lengths(packed: PackedSequence) -> Tensor:
    """How many tokens each row has: (B,), int64, on the CPU."""
    falling = _falling_lengths(packed.batch_sizes)
    unsorted = packed.unsorted_indices
    if unsorted is None:
        return falling
    empty = falling.new_zeros(len(unsorted) - len(falling))
    return torch.cat([falling, empty])[unsorted.cpu()]


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
    begun = int(sizes[:1].sum())
    back = torch.repeat_interleave(sizes[:-1], sizes[1:])  # one for each later token
    at = torch.arange(begun, len(data), device="cpu") - back
    before = data.index_select(0, at.to(data.device))
    return torch.cat([torch.full_like(data[:begun], first), before])


def first(packed: PackedSequence) -> Tensor:
    """The value at each row's own first token: (B, ...); zeros for a row of length 0."""
    return _one_a_row(packed, torch.zeros_like(lengths(packed)))


def last(packed: PackedSequence) -> Tensor:
    """The value at each row's own last token: (B, ...); zeros for a row of length 0."""
    return _one_a_row(packed, lengths(packed) - 1)


def _one_a_row(packed: PackedSequence, step: Tensor) -> Tensor:
    """The value at one step of each row, from its number (B,), which a row of length 0 ignores."""
    data, unsorted = packed.data, packed.unsorted_indices
    place = torch.arange(len(step), device="cpu") if unsorted is None else unsorted.cpu()
    filled = lengths(packed).nonzero().flatten()
    at = _starts(packed)[step[filled]] + place[filled]
    chosen = data.index_select(0, at.to(data.device))
    if len(filled) == len(step):
        return chosen
    # index_copy has a gradient and leaves the others as they are.
    nothing = data.new_zeros(len(step), *data.shape[1:])
    return nothing.index_copy(0, filled.to(data.device), chosen)


def sum(packed: PackedSequence) -> Tensor:
    """The sum over each row's tokens: (B, ...); zeros for a row of length 0."""
    total = packed.data.new_zeros(count(packed), *packed.data.shape[1:])
    return total.index_add(0, rows(packed), packed.data)


def mean(packed: PackedSequence) -> Tensor:
    """The mean over each row's tokens: (B, ...); zeros for a row of length 0."""
    total = sum(packed)
    size = lengths(packed).clamp(min=1).to(total)
    return total / size.view(-1, *[1] * (total.dim() - 1))


def max(packed: PackedSequence) -> Tensor:
    """The largest value over each row's tokens, unit by unit: (B, ...); zeros for length 0."""
    data = packed.data
    least = torch.where(lengths(packed) > 0, -torch.inf, 0.0).to(data)  # (B,)
    others = [1] * (data.dim() - 1)
    lowest = least.view(-1, *others).expand(-1, *data.shape[1:])
    row = rows(packed).view(-1, *others).expand_as(data)
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
