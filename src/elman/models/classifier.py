"""Many-to-one: one label for a whole text.

tokens -> embedding (of tokens and of pairs) -> Recurrent -> pooling over steps -> linear -> logits
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
from elman.text.vocabulary import PADDING_ID, UNKNOWN_ID


class Classifier(nn.Module):
    """A recurrent text classifier over ragged batches of token ids."""

    def __init__(self, config: ClassifierConfig, cell: str | Cell, *, backend: str = "auto"):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.pairs = PairEmbedding(config) if config.pairs else None
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

    def vectors(self, tokens: PackedSequence) -> Tensor:
        """Return what the first layer reads, (N, I), without dropout."""
        vectors: Tensor = self.embedding(tokens.data)
        return vectors if self.pairs is None else vectors + self.pairs(tokens)

    def _recur(self, tokens: PackedSequence) -> tuple[PackedSequence, dict[str, Tensor]]:
        tokens = self._with_unknown(tokens)
        dropout = self.config.dropout / 2 if self.training else 0.0
        if not dropout and self.pairs is None:
            return self.recurrent(tokens, table=self.embedding.weight)
        vectors = functional.dropout(self.vectors(tokens), dropout)
        return self.recurrent(ragged.replace(tokens, vectors))

    def _with_unknown(self, tokens: PackedSequence) -> PackedSequence:
        if not (self.training and self.config.token_dropout):
            return tokens
        ids = tokens.data
        hidden = torch.rand(ids.shape, device=ids.device) < self.config.token_dropout
        return ragged.replace(tokens, ids.masked_fill(hidden, UNKNOWN_ID))


class PairEmbedding(nn.Module):
    """A vector for each pair of a token and the one before it, as linear models have n-grams.

    The network need not find out first which neighbours belong together (Chen et al. 2015, "Long
    Short-Term Memory Neural Networks for Chinese Word Segmentation", section 3.4). Where there are
    more pairs than vectors, several share one (Weinberger et al. 2009, "Feature Hashing for Large
    Scale Multitask Learning").
    """

    def __init__(self, config: ClassifierConfig):
        super().__init__()
        self.vocab_size = config.vocab_size
        self.table = nn.Embedding(config.pairs, config.embedding_size)
        # Small beside those of the tokens, which come first.
        nn.init.normal_(self.table.weight, std=0.1)

    def forward(self, tokens: PackedSequence) -> Tensor:
        """Return (N, I), the first token's with padding before it."""
        before = ragged.previous(tokens, PADDING_ID)
        pairs = before.long() * self.vocab_size + tokens.data
        vectors: Tensor = self.table(pairs % self.table.num_embeddings)
        return vectors


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
