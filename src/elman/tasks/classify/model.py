"""Many-to-one: one label for a whole text.

tokens -> embedding (of tokens, of pairs, of words by their spelling) -> Recurrent -> pooling over
steps -> linear -> logits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from elman.cell import Cell
from elman.errors import ConfigError
from elman.nn import ragged
from elman.nn.embedding import SMALL, PairEmbedding, SubwordEmbedding
from elman.nn.pooling import AttentionPooling
from elman.nn.recurrent import Recurrent
from elman.tasks.classify.linear import LinearModel
from elman.tasks.classify.options import POOLINGS, Pooling
from elman.text.subwords import Spelling
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
    subwords: int = 0
    """Vectors for the character n-grams of words; 0 for none."""
    num_layers: int = 1
    bidirectional: bool = True
    learn_state: bool = False
    """Whether the states that a text begins with are learnt, and not zeros."""
    pooling: Pooling = "last"
    """How the outputs of all steps become one vector."""
    dropout: float = 0.0
    """Before the last layer and between recurrent layers."""
    embedding_dropout: float = 0.0
    """Of the values that the first layer reads."""
    token_dropout: float = 0.0
    """Share of training tokens read as unknown, so that no single one is relied on."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "num_classes", "embedding_size", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        for name in ("pairs", "subwords"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("dropout", "embedding_dropout", "token_dropout"):
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
        self.subwords = None
        if config.subwords:
            self.subwords = SubwordEmbedding(config.embedding_size, config.subwords)
            nn.init.normal_(self.embedding.weight, std=SMALL)
        self.recurrent = Recurrent(
            cell,
            config.embedding_size,
            config.hidden_size,
            num_layers=config.num_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            backend=backend,
        )
        self.first = nn.ParameterDict()
        if config.learn_state:
            rows = config.num_layers * self.recurrent.num_directions
            for name in self.recurrent.cell.states:
                self.first[name] = torch.zeros(rows, 1, config.hidden_size)
        width = self.recurrent.output_size
        self.attention = AttentionPooling(width) if config.pooling == "attention" else None
        self.output = nn.Linear(width * (1 + config.pooling.count("+")), config.num_classes)

    def forward(self, tokens: PackedSequence, spelling: Spelling | None = None) -> Tensor:
        """Return the logits (B, C) of a ragged batch of token ids, in the batch's own row order.

        Args:
            tokens: token ids; those behind the vocabulary are unknown words.
            spelling: the n-grams of all ids, where the config asks for subwords.
        """
        return self.output(
            functional.dropout(self.pooled(tokens, spelling), self.config.dropout, self.training)
        )

    def pooled(self, tokens: PackedSequence, spelling: Spelling | None = None) -> Tensor:
        """Return one vector a text, (B, width): what ``embed`` gives.

        The width is H times the directions, times the ways that the pooling puts together.
        """
        outputs, finals = self._recur(tokens, spelling)
        match self.config.pooling:
            case "last":
                return self.recurrent.last(outputs, finals)
            case "max":
                return ragged.max(outputs)
            case "mean":
                return ragged.mean(outputs)
            case "max+mean":
                return torch.cat([ragged.max(outputs), ragged.mean(outputs)], dim=1)
            case "last+max+mean":
                last = self.recurrent.last(outputs, finals)
                return torch.cat([last, ragged.max(outputs), ragged.mean(outputs)], dim=1)
        assert self.attention is not None
        return self.attention(outputs)

    def vectors(self, tokens: PackedSequence, spelling: Spelling | None = None) -> Tensor:
        """Return what the first layer reads, (N, I), without dropout of its values.

        In training some tokens are read as unknown.
        """
        hidden = self._hidden(tokens.data)
        known = ragged.replace(tokens, self._known(tokens.data, hidden))
        vectors: Tensor = self.embedding(known.data)
        if self.pairs is not None:
            vectors = vectors + self.pairs(known)
        if self.subwords is not None:
            assert spelling is not None
            # A word that is hidden is still spelt: as unknown words will be.
            vectors = vectors + self.subwords(tokens.data, spelling)
        return vectors

    def _recur(
        self, tokens: PackedSequence, spelling: Spelling | None
    ) -> tuple[PackedSequence, dict[str, Tensor]]:
        dropout = self.config.embedding_dropout if self.training else 0.0
        if not dropout and self.pairs is None and self.subwords is None:
            ids = self._known(tokens.data, self._hidden(tokens.data))
            read = ragged.replace(tokens, ids)
            return self.recurrent(read, self._begin(tokens), table=self.embedding.weight)
        vectors = functional.dropout(self.vectors(tokens, spelling), dropout)
        return self.recurrent(ragged.replace(tokens, vectors), self._begin(tokens))

    def _begin(self, tokens: PackedSequence) -> dict[str, Tensor] | None:
        """Return the states that each row begins with; None for zeros."""
        rows = ragged.count(tokens)
        return {name: state.expand(-1, rows, -1) for name, state in self.first.items()} or None

    def _hidden(self, ids: Tensor) -> Tensor | None:
        """Return which tokens are read as unknown in this update (N,), if any."""
        if not (self.training and self.config.token_dropout):
            return None
        return torch.rand(ids.shape, device=ids.device) < self.config.token_dropout

    def _known(self, ids: Tensor, hidden: Tensor | None) -> Tensor:
        """Return ids of the vocabulary alone: hidden and unknown words share one."""
        if self.subwords is not None:  # else no word has an id behind the vocabulary's
            ids = ids.masked_fill(ids >= self.config.vocab_size, UNKNOWN_ID)
        return ids if hidden is None else ids.masked_fill(hidden, UNKNOWN_ID)


class Ensemble(nn.Module):
    """All that a text classifier has weights of: networks, and linear models beside them.

    Args:
        networks: alike but for their weights; none for a model of n-grams alone.
        linear: none for the pure network.
    """

    def __init__(self, networks: Sequence[Classifier], linear: Sequence[LinearModel]):
        super().__init__()
        self.networks = cast("Sequence[Classifier]", nn.ModuleList(networks))
        self.linear = cast("Sequence[LinearModel]", nn.ModuleList(linear))
