"""Which of the tokens may come next, and how probable each is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError, ElmanError

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

_COLDEST = 1e-200
"""Colder than this makes no difference, and its inverse is still a number."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Args:
        temperature: what logits are divided by: under 1 the probable gets more so; 0 takes the
            most probable token each time (greedy), of equal ones the first.
        top_k: only so many tokens, the most probable.
        top_p: only the most probable tokens that together have this probability (nucleus
            sampling: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration").
        min_p: only tokens with this share of the most probable token's probability (Nguyen et al.
            2024, "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs").
        repetition_penalty: what the logits of tokens that were written already are divided by
            (Keskar et al. 2019, "CTRL", section 4.1); those under 0 are multiplied by it, since
            division would make them more probable.

    Raises:
        ConfigError: one is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        self._check("temperature", self.temperature >= 0, "0, for greedy, or more")
        if self.top_k is not None:
            whole = isinstance(self.top_k, int | np.integer)
            self._check("top_k", whole and self.top_k >= 1, "a whole number of at least 1")
        if self.top_p is not None:
            self._check("top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        if self.min_p is not None:
            self._check("min_p", 0 <= self.min_p <= 1, "from 0 to 1")
        self._check("repetition_penalty", self.repetition_penalty > 0, "above 0; 1 is none")

    def _check(self, name: str, fits: bool, wanted: str) -> None:
        value = getattr(self, name)
        if not fits or not math.isfinite(value):
            raise ConfigError(f"{name} is {value!r}; it must be {wanted}")

    @property
    def is_plain(self) -> bool:
        """Whether tokens are drawn from the model's own probabilities."""
        return self == Sampling()


def probabilities(
    logits: NDArray[Any],
    sampling: Sampling,
    *,
    seen: Mask | None = None,
    banned: Sequence[int] = (),
) -> Numbers:
    """How probable each token is as the next one.

    In this order: the repetition penalty, the temperature, top_k, top_p of what that left, min_p.
    Of equally probable tokens those with the lower ids are kept. A logit of infinity takes all
    probability, which several of them share.

    Args:
        logits: (B, V).
        sampling: how.
        seen: (B, V), which tokens the repetition penalty is for.
        banned: ids that get no probability.

    Returns:
        (B, V), rows that sum to 1.

    Raises:
        ConfigError: no token is left.
        ElmanError: a logit is not a number.
    """
    weights = token_weights(logits, sampling, seen, banned)
    return weights / weights.sum(1, keepdims=True)


def log_probabilities(logits: NDArray[Any]) -> Numbers:
    """The logarithms of the model's own probabilities, (B, V), from logits (B, V).

    A row of nothing but -inf stays as it is.

    Raises:
        ElmanError: a logit is not a number.
    """
    shifted = _shifted(logits.astype(np.float64), allow_empty=True)
    totals = np.exp(shifted).sum(1, keepdims=True)
    shifted -= np.log(totals, out=np.zeros_like(totals), where=totals > 0)
    return shifted


def token_weights(
    logits: NDArray[Any], sampling: Sampling, seen: Mask | None, banned: Sequence[int]
) -> Numbers:
    """What `probabilities` gives, but for one factor a row: (B, V), the largest 1."""
    values = logits.astype(np.float64)
    penalty = sampling.repetition_penalty
    if seen is not None and penalty != 1:
        with np.errstate(over="ignore"):
            changed = np.where(values > 0, values / penalty, values * penalty)
        values = np.where(seen, changed, values)
    if banned:
        values[:, banned] = -np.inf
    values = _shifted(values)
    if not sampling.temperature:
        weights = np.zeros_like(values)
        weights[np.arange(len(values)), values.argmax(1)] = 1
        return weights
    if sampling.temperature != 1:
        values *= 1 / max(sampling.temperature, _COLDEST)
    if sampling.top_k is not None and sampling.top_k < values.shape[1]:
        values[~best(values, sampling.top_k)] = -np.inf
    weights = np.exp(values, out=values)
    if sampling.top_p is not None and sampling.top_p < 1:
        weights *= _nucleus(weights, sampling.top_p)
    if sampling.min_p:
        weights *= weights >= sampling.min_p
    return weights


def _shifted(values: Numbers, *, allow_empty: bool = False) -> Numbers:
    """The same with 0 for the largest of each row, in the same memory; infinities taken away."""
    largest = np.maximum.reduce(values, axis=1, keepdims=True)
    if not math.isfinite(np.add.reduce(largest, axis=None)):
        _limit(values, largest, allow_empty)
    with np.errstate(over="ignore"):
        values -= largest
    return values


def _limit(values: Numbers, largest: Numbers, allow_empty: bool) -> None:
    """Rows with a logit of infinity as what they come near: 0 there, and -inf elsewhere."""
    if np.isnan(largest).any():
        raise ElmanError(
            "the model's scores of the next token are not numbers (nan): its weights or states "
            "grew without bounds; train it anew, with a lower learning rate"
        )
    if not allow_empty and (largest == -np.inf).any():
        raise nothing_left(values.shape[1])
    rows = largest[:, 0] == np.inf
    values[rows] = np.where(values[rows] == np.inf, 0.0, -np.inf)
    largest[np.isinf(largest)] = 0


def nothing_left(vocab_size: int) -> ConfigError:
    """What to raise where no token has any probability."""
    return ConfigError(
        f"no token can be written: each of the {vocab_size} is banned or impossible to the model; "
        "ban fewer"
    )


def best(values: Numbers, count: int | NDArray[np.int64]) -> Mask:
    """Which are the largest of each row, (B, V): exactly so many, of equal ones the first."""
    ordered = np.sort(values, axis=1)
    at = values.shape[1] - np.broadcast_to(count, len(values))
    least = ordered[np.arange(len(values)), at][:, None]
    mask: Mask = values >= least
    wanted = values.shape[1] - at[:, None]
    if np.count_nonzero(mask) > wanted.sum():
        ties = values == least
        room = wanted - (mask & ~ties).sum(1, keepdims=True)
        mask &= ~ties | (ties.cumsum(1) <= room)
    return mask


def _nucleus(weights: Numbers, share: float) -> Mask:
    ordered = np.sort(weights, axis=1)[:, ::-1]
    mass = ordered.cumsum(1)
    # As many as do not reach the share, and the one that does.
    count = 1 + (mass[:, :-1] < share * mass[:, -1:]).sum(1)
    return best(weights, count)
