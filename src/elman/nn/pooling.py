"""From the outputs of all steps to one vector a row; the plain ways are in ``elman.nn.ragged``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.nn import ragged


class AttentionPooling(nn.Module):
    """A learned weighted mean over the steps of each row.

    ``a_t = softmax_t(v . tanh(W h_t + b))`` and the result is ``sum_t a_t h_t`` (Yang et al. 2016,
    "Hierarchical Attention Networks for Document Classification", equations 5-7).
    """

    def __init__(self, width: int):
        super().__init__()
        self.projection = nn.Linear(width, width)
        self.context = nn.Linear(width, 1, bias=False)

    def forward(self, outputs: PackedSequence) -> Tensor:
        """Return (B, width) in the batch's own row order from (N, width) outputs."""
        scores = self.context(torch.tanh(self.projection(outputs.data)))  # (N, 1)
        shares = ragged.softmax(ragged.replace(outputs, scores))
        return ragged.sum(ragged.replace(outputs, shares.data * outputs.data))
