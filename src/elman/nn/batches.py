"""From rows of token ids in NumPy to ragged batches in torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from elman.data.batching import pack_rows, sorted_batches
from elman.text.lengths import offsets_of

# Bounds of one batch in evaluation: enough rows to fill the cores, little enough memory.
MAX_TOKENS = 32_768
MAX_ROWS = 1_024


class Rows(Protocol):
    """Token ids of many rows, as tokenizers give them."""

    @property
    def values(self) -> NDArray[np.int32]:
        """(N,), one row after the other."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(rows,), tokens of each."""


def device_of(module: nn.Module) -> torch.device:
    """Return where a module's weights are."""
    return next(module.parameters()).device


def batches(
    encoded: Rows, device: torch.device
) -> Iterator[tuple[NDArray[np.int64], PackedSequence]]:
    """Yield (rows, packed tokens) over all rows that are not empty, shortest first."""
    offsets = offsets_of(encoded.lengths)
    filled = np.flatnonzero(encoded.lengths)
    for chosen in sorted_batches(encoded.lengths[filled], MAX_TOKENS, MAX_ROWS):
        yield packed_rows(encoded, offsets, filled[chosen], device)


def packed_rows(
    encoded: Rows, offsets: NDArray[np.int64], rows: NDArray[np.int64], device: torch.device
) -> tuple[NDArray[np.int64], PackedSequence]:
    """Return ``rows``, longest first, and their tokens as one packed batch in that order."""
    batch = pack_rows(encoded.values, encoded.lengths, offsets, rows)
    tokens = torch.from_numpy(batch.values).to(device)
    return batch.rows, PackedSequence(tokens, torch.from_numpy(batch.batch_sizes))
