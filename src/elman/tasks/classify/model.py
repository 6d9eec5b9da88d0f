"""Many-to-one: one label for a whole text.

tokens -> embedding (of tokens and of pairs) -> Recurrent -> pooling over steps -> linear -> logits
"""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from elman.cell import Cell
from elman.errors import ConfigError
from elman.nn import ragged
from elman.nn.embedding import PairEmbedding
from elman.nn.pooling import AttentionPooling
from elman.nn.recurrent import Recurrent
from elman.tasks.classify.options import POOLINGS, Pooling
from elman.text.vocabulary import UNKNOWN_ID


class ClassifierConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sizes of a classifier, all of them settled."""

    vocab_size: int
    """V, token ids there are, padding and unknown included."""
    num_classes: int
    """C."""
    embedding_size: int
    """I of the first layer."""
    hidden_size: int
    """H of each direction."""
    pairs: int = 0
    """Vectors for pairs of a token and the one before it; 0 for none."""
    num_layers: int = 1
    bidirectional: bool = True
    pooling: Pooling = "last"
    """How the outputs of all steps become one vector."""
    dropout: float = 0.0
    """Before the last layer and between recurrent layers; the embedding gets half of it."""
    token_dropout: float = 0.0
    """Share of training tokens read as unknown, so that no single one is relied on."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "num_classes", "embedding_size", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.pairs < 0:
            raise ConfigError(f"pairs is {self.pairs}; it must be 0 or more")
        for name in ("dropout", "token_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must be at least 0 and under 1"
                )
        if self.pooling not in POOLINGS:
            raise ConfigError(
                f"pooling is {self.pooling!r}; it must be one of {', '.join(POOLINGS)}"
            )


class Classifier(nn.Module):
    """A recurrent text classifier over ragged batches of token ids."""

    def __init__(self, config: ClassifierConfig, cell: str | Cell, *, backend: str = "auto"):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.pairs = (
            PairEmbedding(config.vocab_size, config.embedding_size, config.pairs)
            if config.pairs
            else None
        )
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
