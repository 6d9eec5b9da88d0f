"""From token ids to batches: rows of one running text side by side, or texts that stand alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.data.batching import pack_rows, shuffled_batches
from elman.text.lengths import offsets_of

Ids = NDArray[np.unsignedinteger[Any]]
Ints = NDArray[np.int64]
END_ID = 0
"""Stands behind a text that stands alone, and before its first token."""


@dataclass(frozen=True)
class Batch:
    """What is read and what comes next.

    Attributes:
        tokens: ids that are read (N,).
        targets: (N,) int64, the id after each.
        labels: (B,) of each row, in the order in which the states are.
        first: whether the rows begin here, and not where those of the batch before have ended.
    """

    tokens: PackedSequence
    targets: Tensor
    labels: Tensor | None
    first: bool


class RunningBatches:
    """One text in rows of equal length, chunk by chunk: each goes on where the last one has ended.

    Args:
        ids: (n,) the text.
        rows: B.
        starts: where chunks begin and, at last, end, in each row.
        device: where the batches are wanted.
    """

    def __init__(self, ids: Ids, rows: int, starts: Sequence[int], device: torch.device):
        self.ids = ids
        self.starts = starts
        self.device = device
        # Each row needs one token more than it reads, which is the next row's first.
        self._rows = np.arange(rows) * ((len(ids) - 1) // rows)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[Batch]:
        for start, end in pairwise(self.starts):
            steps = np.arange(start, end + 1)[:, None]
            ids = torch.from_numpy(self.ids[steps + self._rows].astype(np.int64)).to(self.device)
            sizes = torch.full((end - start,), len(self._rows))
            tokens = PackedSequence(ids[:-1].reshape(-1), sizes)
            yield Batch(tokens, ids[1:].reshape(-1), None, start == self.starts[0])


def chunk_starts(length: int, chunk: int, rng: np.random.Generator | None) -> list[int]:
    """Return where the chunks of a row of ``length`` tokens begin, and where the last one ends.

    Chunks vary in length, so that not always the same tokens stand at their ends: most by a
    twentieth, and every twentieth is half as long (Merity et al. 2018, section 4.1). Without random
    numbers they are all alike.
    """
    starts = [0]
    if rng is not None:  # nor do all epochs begin at the same token
        starts = [int(rng.integers(min(chunk, max(length - 1, 1))))]
    while starts[-1] < length:
        size = chunk
        if rng is not None:
            mean = chunk if rng.random() < 0.95 else chunk / 2
            size = max(1, round(rng.normal(mean, chunk / 20)))
        starts.append(min(starts[-1] + size, length))
    return starts


@dataclass(frozen=True)
class Texts:
    """Texts that stand alone, in numbers.

    Attributes:
        values: (N,) ids of all texts, each with an end before and behind it.
        lengths: (rows,) what is read of each: one token less than stands there.
        labels: (rows,) int64, or None.
    """

    values: Ids
    lengths: Ints
    labels: Ints | None

    @classmethod
    def of(
        cls, rows: Sequence[NDArray[Any]], labels: Ints | None, size: int, *, before: int = END_ID
    ) -> Texts:
        """Put the ends around texts, each of at most ``size`` tokens."""
        lengths = np.array([min(len(row), size) + 1 for row in rows], dtype=np.int64)
        values = np.full(int((lengths + 1).sum()), END_ID, dtype=np.uint32)
        starts = offsets_of(lengths + 1)
        for row, start, length in zip(rows, starts.tolist(), lengths.tolist(), strict=True):
            values[start] = before
            values[start + 1 : start + length] = row[: length - 1]
        return cls(values, lengths, labels)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def offsets(self) -> Ints:
        """Where each text begins."""
        return offsets_of(self.lengths + 1)

    def batch(self, rows: Ints, offsets: Ints, device: torch.device) -> tuple[Batch, Ints]:
        """Return some texts as a batch, and which ones they are, longest first."""
        read = pack_rows(self.values, self.lengths, offsets, rows)
        following = pack_rows(self.values, self.lengths, offsets + 1, rows)
        labels = None
        if self.labels is not None:
            labels = torch.from_numpy(self.labels[read.rows]).to(device)
        ids, targets = (
            torch.from_numpy(one.values.astype(np.int64)).to(device) for one in (read, following)
        )
        tokens = PackedSequence(ids, torch.from_numpy(read.batch_sizes))
        return Batch(tokens, targets, labels, True), read.rows


class ShuffledTexts:
    """Texts in random order, those of nearly equal length together."""

    def __init__(self, texts: Texts, rows: int, rng: np.random.Generator, device: torch.device):
        self.texts, self.device = texts, device
        self._offsets = texts.offsets
        self._rows = shuffled_batches(texts.lengths, rows, rng)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Batch]:
        for rows in self._rows:
            yield self.texts.batch(rows, self._offsets, self.device)[0]
