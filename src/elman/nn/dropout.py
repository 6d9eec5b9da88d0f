"""Dropout for sequences: one draw for all steps of a row, or for all places of a word."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.nn import ragged


def variational(packed: PackedSequence, rate: float, *, training: bool) -> PackedSequence:
    """Drop the same units at every step of a row, what stays scaled by 1 / (1 - rate).

    Gal & Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent Neural
    Networks", section 4: what is dropped differs from row to row and from call to call.

    Args:
        packed: data (N, D).
        rate: the share of units that are dropped.
        training: whether anything is.
    """
    if not rate or not training or not len(packed.data):
        return packed
    data, sizes = packed.data, packed.batch_sizes
    rows = int(sizes[0])
    mask = data.new_empty(rows, data.shape[1]).bernoulli_(1 - rate).div_(1 - rate)
    if int(sizes[-1]) == rows:  # a rectangle
        dropped = (data.view(len(sizes), rows, -1) * mask).view_as(data)
    else:
        starts = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
        place = torch.arange(len(data), device="cpu") - starts
        dropped = data * mask.index_select(0, place.to(data.device))
    return ragged.replace(packed, dropped)


def words(table: Tensor, rate: float, *, training: bool) -> Tensor:
    """Drop whole rows of an embedding (V, I), each word everywhere in the batch.

    Gal & Ghahramani 2016, section 4.2; Merity et al. 2018, section 4.3.
    """
    if not rate or not training:
        return table
    mask = table.new_empty(len(table), 1).bernoulli_(1 - rate).div_(1 - rate)
    return table * mask
