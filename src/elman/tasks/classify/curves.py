"""What thresholds cost and gain, and whether probabilities are honest: as plain data."""

from __future__ import annotations

import msgspec
import numpy as np

from elman.tasks.classify.objective import Flags, Floats, falling

CALIBRATION_BINS = 15
_RECALLS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_KEPT = 60
"""Points of a curve that are kept: enough for a picture."""
_DIGITS = 5


class Point(msgspec.Struct, frozen=True):
    """What answering a class from one probability on gives."""

    threshold: float
    precision: float
    recall: float
    f1: float


class Curve(msgspec.Struct, frozen=True):
    """Precision and recall of one class at falling thresholds."""

    label: str
    average_precision: float
    share: float
    """Of its texts among all: the precision of answering it always."""
    points: list[Point]

    def table(self) -> list[Point]:
        """Return about ten points: the highest thresholds that reach given shares of recall."""
        found: list[Point] = []
        for recall in _RECALLS:
            point = next((one for one in self.points if one.recall >= recall - 1e-9), None)
            if point is not None and point not in found:
                found.append(point)
        return found


def precision_recall(label: str, probability: Floats, positive: Flags) -> Curve | None:
    """Return the curve of one class against all others; None where there is no text of it.

    Args:
        label: its name.
        probability: (rows,).
        positive: (rows,) whether it is true.
    """
    total = int(positive.sum())
    if not total:
        return None
    thresholds, hits, answered = falling(probability, positive)
    precision, recall = hits / answered, hits / total
    area = float((np.diff(recall, prepend=0) * precision).sum())
    kept = _spread(recall)
    points = [
        Point(*(round(float(n), _DIGITS) for n in row))
        for row in zip(
            thresholds[kept],
            precision[kept],
            recall[kept],
            2 * hits[kept] / (answered[kept] + total),
            strict=True,
        )
    ]
    return Curve(label, area, total / len(positive), points)


def _spread(recall: Floats) -> list[int]:
    """Return points that lie evenly along ``recall``, which rises: for each step the first."""
    steps = np.union1d(np.linspace(0, 1, _KEPT), _RECALLS)
    first = np.searchsorted(recall, steps - 1e-9)
    return sorted({int(i) for i in first if i < len(recall)})


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
