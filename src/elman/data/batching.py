"""Rows to batches: ragged, bucketed by length, never padded.

A batch has the layout of ``torch.nn.utils.rnn.PackedSequence``: time-major, rows sorted by length,
step t touching its first ``batch_sizes[t]`` rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# Rows are shuffled, cut into pools of this many batches, and sorted by length inside each pool:
# large enough that a batch holds two or three neighbouring lengths, small enough that the batches
# of an epoch differ from those of the last.
POOL_BATCHES = 64


@dataclass(frozen=True)
class Batch:
    """Rows of one batch in the packed layout.

    Attributes:
        rows: (B,) which rows of the data set these are, longest first.
        values: (N,) token ids, time-major.
        batch_sizes: (T,) how many rows have a token at each step.
    """

    rows: Ints
    values: NDArray[np.integer[Any]]
    batch_sizes: Ints


def pack_rows(values: NDArray[np.integer[Any]], lengths: Ints, offsets: Ints, rows: Ints) -> Batch:
    """Gather ``rows`` of a ragged array into one packed batch.

    Args:
        values: (N,) all rows' values, one row after the other.
        lengths: (n,) their lengths; each of the chosen rows has at least one value.
        offsets: (n,) where each row begins.
        rows: (B,) the rows to take, in any order.
    """
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    steps = np.arange(lengths[rows[0]])[:, None]  # (T, 1)
    alive = steps < lengths[rows]  # (T, B)
    where = (steps + offsets[rows])[alive]  # (N,)
    return Batch(rows, values[where], alive.sum(axis=1))


def shuffled_batches(lengths: Ints, batch_size: int, rng: np.random.Generator) -> list[Ints]:
    """Return the rows of each training batch: random, yet of nearly equal length.

    Every row stands in exactly one batch. The last batch of a pool may be smaller.
    """
    order = rng.permutation(len(lengths))
    pool = batch_size * POOL_BATCHES
    batches: list[Ints] = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches.extend(part[i : i + batch_size] for i in range(0, len(part), batch_size))
    return [batches[i] for i in rng.permutation(len(batches))]


def sorted_batches(lengths: Ints, max_tokens: int, max_rows: int) -> Iterator[Ints]:
    """Yield the rows of batches for evaluation, shortest rows first, within both bounds.

    ``max_tokens`` bounds the memory of a batch whatever the lengths are; a single longer row is a
    batch of its own.
    """
    order = np.argsort(lengths, kind="stable")
    start, tokens = 0, 0
    for end, row in enumerate(order):
        tokens += int(lengths[row])
        if end > start and (tokens > max_tokens or end - start >= max_rows):
            yield order[start:end]
            start, tokens = end, int(lengths[row])
    if start < len(order):
        yield order[start:]


def padding_share(lengths: Ints, batch_size: int, rng: np.random.Generator) -> float:
    """Return the share of useful work that padded batches in random order would do (0 to 1).

    Ragged batches do useful work alone; this says what they save.
    """
    order = lengths[rng.permutation(len(lengths))]
    computed = sum(
        int(part.max()) * len(part)
        for part in (order[i : i + batch_size] for i in range(0, len(order), batch_size))
    )
    return float(lengths.sum() / computed) if computed else 1.0
