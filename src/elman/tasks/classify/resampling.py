"""Scores of many resamples of the same answers, cheaply: from counts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
