"""Many-to-one: one label for a whole text.

tokens -> embedding -> Recurrent -> pooling over steps -> linear -> logits
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from elman.cell import Cell
from elman.models.config import ClassifierConfig
from elman.nn import ragged
from elman.nn.recurrent import Recurrent
from elman.text.vocabulary import UNKNOWN_ID


class Classifier(nn.Module):
    """A recurrent text classifier over ragged batches of token ids."""

    def __init__(self, config: ClassifierConfig, cell: str | Cell, *, backend: str = "auto"):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.recurrent = Recurrent(
            cell,
            config.embedding_size,
            config.hidden_size,
            num_layers=config.num_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            backend=backend,
        )
        width = self.recurrent.output_size
        self.attention = AttentionPooling(width) if config.pooling == "attention" else None
        self.output = nn.Linear(width, config.num_classes)

    def forward(self, tokens: PackedSequence) -> Tensor:
        """Return the logits (B, C) of a ragged batch of token ids, in the batch's own row order."""
        return self.output(
            functional.dropout(self.pooled(tokens), self.config.dropout, self.training)
        )

    def pooled(self, tokens: PackedSequence) -> Tensor:
        """Return one vector a text, (B, H * directions): what ``embed`` gives."""
        outputs, finals = self._recur(tokens)
        match self.config.pooling:
            case "last":
                return self.recurrent.last(outputs, finals)
            case "max":
                return ragged.max(outputs)
            case "mean":
                return ragged.mean(outputs)
        assert self.attention is not None
        return self.attention(outputs)

    def _recur(self, tokens: PackedSequence) -> tuple[PackedSequence, dict[str, Tensor]]:
        tokens = self._with_unknown(tokens)
        if not (self.training and self.config.dropout):
            return self.recurrent(tokens, table=self.embedding.weight)
        vectors = functional.dropout(self.embedding(tokens.data), self.config.dropout / 2)
        return self.recurrent(ragged.replace(tokens, vectors))

    def _with_unknown(self, tokens: PackedSequence) -> PackedSequence:
        if not (self.training and self.config.token_dropout):
            return tokens
        ids = tokens.data
        hidden = torch.rand(ids.shape, device=ids.device) < self.config.token_dropout
        return ragged.replace(tokens, ids.masked_fill(hidden, UNKNOWN_ID))


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
