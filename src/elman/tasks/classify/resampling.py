"""Scores from counts alone: of many resamples of the same answers, and of several parts as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.tasks.classify.metrics import MISTAKES, Classification, ClassScore


def resampled(
    rows: Sequence[Mapping[str, Any]], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return accuracy and macro-F1 (R,) of answers, as ``evaluate`` does of each counted once.

    Args:
        rows: what ``TextClassifierModel.predictions`` returns.
        weights: (R, rows) how often each row counts.
    """
    names = {name: i for i, name in enumerate({row[key] for row in rows for key in _COLUMNS})}
    truth, answers = (np.array([names[row[key]] for row in rows]) for key in _COLUMNS)
    right = truth == answers
    hits = _sums(weights[:, right], truth[right], len(names))
    either = _sums(weights, truth, len(names)) + _sums(weights, answers, len(names))
    f1 = 2 * hits / np.maximum(either, 1)  # of a class that occurs nowhere 0, and not counted
    return {
        "accuracy": hits.sum(axis=1) / weights.sum(axis=1),
        "macro_f1": f1.sum(axis=1) / (either > 0).sum(axis=1),
    }


def pooled(parts: Sequence[Classification]) -> Classification:
    """Return the scores of several parts as one: each text counts once.

    All follows from the sum of the confusion matrices, but for the calibration error, which is the
    mean of those of the parts, by their sizes.
    """
    count = sum(one.count for one in parts)
    names = sorted({row.label for part in parts for row in part.classes})
    place = {name: i for i, name in enumerate(names)}
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    for part in parts:
        rows = [place[row.label] for row in part.classes]
        confusion[np.ix_(rows, rows)] += np.asarray(part.confusion, dtype=np.int64)
    hits, support, answered = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = 2 * hits / np.maximum(support + answered, 1)
    accuracy = float(hits.sum() / max(count, 1))
    classes = zip(
        names,
        hits / np.maximum(answered, 1),
        hits / np.maximum(support, 1),
        f1,
        support,
        strict=True,
    )
    mistakes = [one for part in parts for one in part.mistakes]
    return Classification(
        count=count,
        accuracy=accuracy,
        macro_f1=float(f1[support + answered > 0].mean()),
        weighted_f1=float((f1 * support).sum() / max(support.sum(), 1)),
        micro_f1=accuracy,
        calibration_error=sum(one.calibration_error * one.count for one in parts) / max(count, 1),
        classes=[ClassScore(n, float(p), float(r), float(f), int(s)) for n, p, r, f, s in classes],
        confusion=confusion.tolist(),
        mistakes=sorted(mistakes, key=lambda one: -one.confidence)[:MISTAKES],
        skipped=sum(one.skipped for one in parts),
        truncated=sum(one.truncated for one in parts),
    )


_COLUMNS = ("label", "predicted")


def _sums(
    weights: NDArray[np.float64], classes: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Return the weight of each class (R, C) of the ``classes`` (rows)."""
    from scipy.sparse import csr_array

    rows = np.arange(len(classes))
    one_hot = csr_array((np.ones(len(classes)), (rows, classes)), shape=(len(classes), count))
    sums: NDArray[np.float64] = weights @ one_hot
    return sums
