"""Scores of a language model: how well it expects what comes, per token."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.text.summary import Table
from elman.text.terminal import counted
from elman.training.report import Evaluation, Metric

METRICS = {
    "nats": Metric("nats", higher_is_better=False, headline=True),
    "bits": Metric("bits", higher_is_better=False, headline=True),
    "perplexity": Metric("perplexity", 2, higher_is_better=False, headline=True),
    "bits_per_character": Metric("bits per character", higher_is_better=False),
}
UNITS = {"characters": "character", "bytes": "byte", "words": "word", "bpe": "piece of a word"}
PLURALS = {"characters": "characters", "bytes": "bytes", "words": "words", "bpe": "pieces"}
LARGEST = 700.0
"""Nats of which the perplexity is still a number."""


class Modelled(Evaluation, frozen=True, kw_only=True):
    """How well a text was expected: means over its tokens, or over those of many texts."""

    nats: float
    """Mean of -log probability, to the base e."""
    bits: float
    """The same to the base 2."""
    perplexity: float
    """e to the power of ``nats``: among how many equally likely tokens the model hesitates."""
    bits_per_character: float
    """Bits of all tokens over all characters: what models of other units can be compared by."""
    unit: str
    """What a token is: character, byte, word, piece of a word."""
    characters: int
    unknown: int
    """Tokens that the vocabulary lacks; they count as the unknown entry."""

    @classmethod
    def of(cls, nats: float, *, tokens: int, characters: int, unknown: int, unit: str) -> Modelled:
        """Make the scores of the sum of ``nats`` of so many tokens."""
        mean = nats / max(tokens, 1)
        return cls(
            count=tokens,
            nats=mean,
            bits=mean / math.log(2),
            perplexity=math.exp(min(mean, LARGEST)),
            bits_per_character=nats / math.log(2) / max(characters, 1),
            unit=unit,
            characters=characters,
            unknown=unknown,
        )

    def summary(self) -> Iterable[str | Table]:
        """Say how well, with the unit."""
        yield (
            f"{counted(self.count, self.unit)}: {self.nats:.4f} nats, {self.bits:.4f} bits a "
            f"{self.unit}, perplexity {self.perplexity:.2f}"
        )


def pooled(parts: list[Modelled]) -> Modelled:
    """Return the scores of several parts as one, each token once."""
    return Modelled.of(
        sum(one.nats * one.count for one in parts),
        tokens=sum(one.count for one in parts),
        characters=sum(one.characters for one in parts),
        unknown=sum(one.unknown for one in parts),
        unit=parts[0].unit,
    )


def resampled(
    rows: Sequence[Mapping[str, Any]], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return nats, bits and perplexity of lines or texts that count so many times each.

    Args:
        rows: what ``LanguageModel.predictions`` returned.
        weights: (R, rows) how often each counts, in each of R drawings.
    """
    nats, tokens = (np.array([row[key] for row in rows], float) for key in ("nats", "tokens"))
    means = (weights @ nats) / np.maximum(weights @ tokens, 1)
    return {
        "nats": means,
        "bits": means / math.log(2),
        "perplexity": np.exp(np.minimum(means, LARGEST)),
    }
