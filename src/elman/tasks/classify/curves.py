"""What thresholds cost and gain, as plain data."""

from __future__ import annotations

import msgspec
import numpy as np

from elman.tasks.classify.objective import Flags, Floats, falling

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
