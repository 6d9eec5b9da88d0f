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
    values, largest, totals = normalised(logits)
    return values - largest - totals


def normalised(logits: NDArray[Any]) -> tuple[NDArray[Any], Numbers, Numbers]:
    """What logarithms of probabilities are made of, for who wants them of few tokens.

    Returns:
        The logits without infinities (B, V), and two numbers of each row (B, 1) to subtract from
        them, one after the other.
    """
    values, largest = _settled(logits, allow_empty=True)
    with np.errstate(over="ignore"):
        shifted = values - largest
    totals = np.exp(shifted, out=shifted).sum(1, keepdims=True, dtype=np.float64)
    np.log(totals, out=totals, where=totals > 0)
    return values, largest.astype(np.float64), totals


def token_weights(
    logits: NDArray[Any], sampling: Sampling, seen: Mask | None, banned: Sequence[int]
) -> Numbers:
    """What `probabilities` gives, but for one factor a row: (B, V), the largest 1."""
    values = logits.astype(np.float64)
    penalty = sampling.repetition_penalty
    if seen is not None and penalty != 1:
        factors = np.where(values > 0, 1 / penalty, penalty)
        np.multiply(values, factors, out=values, where=seen)
    if banned:
        values[:, banned] = -np.inf
    values, largest = _settled(values)
    values -= largest
    if not sampling.temperature:
        weights = np.zeros_like(values)
        weights[np.arange(len(values)), values.argmax(1)] = 1
        return weights
    if sampling.temperature != 1:
        values *= 1 / max(sampling.temperature, _COLDEST)
    if sampling.top_k is not None and sampling.top_k < values.shape[1]:
        np.copyto(values, -np.inf, where=~best(values, int(sampling.top_k)))
    weights = np.exp(values, out=values)
    if sampling.top_p is not None and sampling.top_p < 1:
        weights *= _nucleus(weights, sampling.top_p)
    if sampling.min_p:
        weights *= weights >= sampling.min_p
    return weights


def _settled(
    values: NDArray[Any], *, allow_empty: bool = False
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same without infinities that cannot be calculated with, and the largest of each row.

    A row with a logit of infinity is what it comes near: 0 there, and -inf elsewhere.
    """
    largest = np.maximum.reduce(values, axis=1, keepdims=True)
    if math.isfinite(np.add.reduce(largest, axis=None)):
        return values, largest
    if np.isnan(largest).any():
        raise ElmanError(
            "the model's scores of the next token are not numbers (nan): its weights or states "
            "grew without bounds; train it anew, with a lower learning rate"
        )
    if not allow_empty and (largest == -np.inf).any():
        raise nothing_left(values.shape[1])
    limits = np.where(values == np.inf, 0.0, -np.inf)
    settled = np.where(largest == np.inf, limits, values).astype(values.dtype)
    return settled, np.where(np.isinf(largest), 0.0, largest).astype(values.dtype)


def nothing_left(vocab_size: int) -> ConfigError:
    """What to raise where no token has any probability."""
    return ConfigError(
        f"no token can be written: each of the {vocab_size} is banned or impossible to the model; "
        "ban fewer"
    )


def best(values: NDArray[Any], count: int) -> Mask:
    """Which are the largest of each row, (B, V): exactly so many, of equal ones the first."""
    return _from(values, np.partition(values, -count, axis=1)[:, -count], count)


def _nucleus(weights: Numbers, share: float) -> Mask:
    ordered = np.sort(weights, axis=1)[:, ::-1]
    mass = np.add.accumulate(ordered, axis=1)
    last = (mass >= share * mass[:, -1:]).argmax(1)
    return _from(weights, ordered[np.arange(len(ordered)), last], last + 1)


def _from(values: NDArray[Any], least: NDArray[Any], count: int | NDArray[np.int64]) -> Mask:
    """Those of each row from its ``least`` on, (B,): exactly so many, of equal ones the first."""
    mask: Mask = values >= least[:, None]
    wanted = count * len(values) if isinstance(count, int) else np.add.reduce(count)
    if np.count_nonzero(mask) > wanted:
        ties = values == least[:, None]
        room = np.reshape(count, (-1, 1)) - (mask & ~ties).sum(1, keepdims=True)
        mask &= ~ties | (ties.cumsum(1) <= room)
    return mask
