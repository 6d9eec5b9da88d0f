"""The sizes of each model, as data. Nothing here imports torch."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from elman.errors import ConfigError

Pooling = Literal["last", "max", "mean", "attention"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


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
