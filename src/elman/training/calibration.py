"""Whether probabilities are honest, as plain data."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

CALIBRATION_BINS = 15
_DIGITS = 5


class Bin(msgspec.Struct, frozen=True):
    """Answers about which a model is equally sure."""

    confidence: float
    """Mean of their probabilities."""
    accuracy: float
    """The share of them that is right."""
    count: int


class Calibration(msgspec.Struct, frozen=True):
    """How honest probabilities are."""

    error: float
    """Expected calibration error: Guo et al. 2017, "On Calibration of Modern Neural Networks",
    equation 3."""
    by_chance: float
    """The error to be expected of a perfectly honest model on so few answers."""
    log_loss: float
    """Mean negative logarithm of what the truth was given, in nats."""
    bins: list[Bin]
    """Those of the ``CALIBRATION_BINS`` in which there are answers."""


def calibration(confidence: Floats, right: Flags, losses: Floats) -> Calibration:
    """Return how honest some answers are.

    Args:
        confidence: (rows,) how probable each is said to be.
        right: (rows,) whether it is right.
        losses: (texts,) negative logarithms of what the truth was given.
    """
    number = _bins(confidence)
    counts = np.bincount(number, minlength=CALIBRATION_BINS)
    sure = np.bincount(number, weights=confidence, minlength=CALIBRATION_BINS)
    hits = np.bincount(number, weights=right, minlength=CALIBRATION_BINS)
    bins = [
        Bin(round(float(s / n), _DIGITS), round(float(h / n), _DIGITS), int(n))
        for s, h, n in zip(sure, hits, counts, strict=True)
        if n
    ]
    loss = float(losses.mean()) if len(losses) else 0.0
    return Calibration(calibration_error(confidence, right), _by_chance(confidence), loss, bins)


def _by_chance(confidence: Floats) -> float:
    """Return the expected calibration error where each answer is as probably right as is said.

    The gap of a bin is then nearly normal about 0, and of such a variable the mean distance from 0
    is the square root of 2 / pi times its standard deviation.
    """
    variance = confidence * (1 - confidence)
    sums = np.bincount(_bins(confidence), weights=variance, minlength=CALIBRATION_BINS)
    return float(np.sqrt(2 / np.pi * sums).sum() / max(len(confidence), 1))


def calibration_error(confidence: Floats, right: Flags) -> float:
    """Return the mean distance between confidence and accuracy, 0 for a perfectly honest model."""
    gaps = np.bincount(_bins(confidence), weights=confidence - right, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / max(len(confidence), 1))


def _bins(confidence: Floats) -> np.ndarray:
    return np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
