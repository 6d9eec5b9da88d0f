"""Scores from counts alone: of many resamples of the same answers, and of several parts as one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.tasks.classify.metrics import (
    MISTAKES,
    Classification,
    ClassScore,
    Labelling,
    LabelMistake,
    Mistake,
    of_ratings,
)
from elman.tasks.classify.objective import MEASURES, Counts, Flags, Judged, Objective


def resampled(
    rows: Sequence[Mapping[str, Any]],
    weights: NDArray[np.float64],
    *,
    classes: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> dict[str, NDArray[np.float64]]:
    """Return accuracy and macro-F1 (R,) of answers, as ``evaluate`` does of each counted once.

    Of several labels a text, which stand as lists, the accuracy is that of the whole list.

    Args:
        rows: what ``TextClassifierModel.predictions`` returns.
        weights: (R, rows) how often each row counts.
        classes: that the model knows.
        metrics: what else is returned, by names as ``--metric`` takes them, such as ``f1:spam``.
            What rests on probabilities is told of two classes alone, as a row has one number.
    """
    several = all(str(row[key]).startswith("[") for row in rows for key in _COLUMNS)
    truth, answers = (
        [json.loads(row[key]) if several else [row[key]] for row in rows] for key in _COLUMNS
    )
    names = {name: i for i, name in enumerate(classes)}
    for found in (*truth, *answers):
        for name in found:
            names.setdefault(name, len(names))
    both = [
        [name for name in one if name in other] for one, other in zip(truth, answers, strict=True)
    ]
    hits = _sums(weights, both, names)
    support, answered = _sums(weights, truth, names), _sums(weights, answers, names)
    either = support + answered
    f1 = 2 * hits / np.maximum(either, 1)  # of a class that occurs nowhere 0, and not counted
    right = np.array([one == other for one, other in zip(truth, answers, strict=True)])
    found = {
        "subset_accuracy" if several else "accuracy": weights[:, right].sum(axis=1)
        / weights.sum(axis=1),
        "macro_f1": f1.sum(axis=1) / np.maximum((either > 0).sum(axis=1), 1),
    }
    sums = [*zip(hits, answered, support, weights.sum(axis=1), strict=True)]
    for metric in metrics:
        kind, _, label = metric.partition(":")
        if kind == "f1" or (kind in MEASURES and MEASURES[kind].of_counts is not None):
            objective = Objective(kind, label or None, names[label] if label else 0)
            found[metric] = np.array([objective.of_counts(Counts(*one)) for one in sums])
        elif len(names) == len(classes) == 2 and not several:
            found[metric] = _of_probabilities(metric, rows, weights, classes)
    return found


def _of_probabilities(
    metric: str,
    rows: Sequence[Mapping[str, Any]],
    weights: NDArray[np.float64],
    classes: Sequence[str],
) -> NDArray[np.float64]:
    """Return a metric (R,) that rests on the probabilities of two classes."""
    given = np.array([row["probability"] for row in rows])
    first = np.array([row["predicted"] == classes[0] for row in rows])
    first_probability = np.where(first, given, 1 - given)
    probabilities = np.stack([first_probability, 1 - first_probability], axis=1)
    truth = np.array([[row["label"] == name for name in classes] for row in rows])
    if metric == "log_loss":
        losses = Judged(probabilities, truth, truth).losses
        mean: NDArray[np.float64] = weights @ losses / weights.sum(axis=1)
        return mean
    asked = metric.partition(":")[2]
    columns = [i for i, name in enumerate(classes) if asked in ("", name)]
    areas = [_areas(probabilities[:, i], truth[:, i], weights) for i in columns]
    present = [weights @ truth[:, i] > 0 for i in columns]
    counted: NDArray[np.float64] = np.sum(areas, axis=0) / np.maximum(np.sum(present, axis=0), 1)
    return counted


def _areas(
    probability: NDArray[np.float64], positive: Flags, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the average precision (R,): with weights of 1 as ``objective`` defines it."""
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    answered = np.cumsum(weights[:, order], axis=1)[:, last]
    hits = np.cumsum(weights[:, order] * positive[order], axis=1)[:, last]
    gained = np.diff(hits, axis=1, prepend=0)
    areas: NDArray[np.float64] = (gained * hits / np.maximum(answered, 1)).sum(axis=1)
    return areas / np.maximum(hits[:, -1], 1)


def pooled(parts: Sequence[Classification | Labelling]) -> Classification | Labelling:
    """Return the scores of several parts as one: each text counts once.

    What answers are right follows from counts. What rests on probabilities (average precision, log
    loss, calibration error) is the mean of the parts', by their sizes.
    """
    sizes = [one.count for one in parts]
    names = sorted({row.label for part in parts for row in part.classes})
    whole = [_counts_of(part, names) for part in parts]
    counts = Counts(
        np.sum([one.hits for one in whole], axis=0),
        np.sum([one.answered for one in whole], axis=0),
        np.sum([one.support for one in whole], axis=0),
        sum(sizes),
    )
    first, mistakes = parts[0], [one for part in parts for one in part.mistakes]
    shared: dict[str, Any] = {
        "count": counts.rows,
        **_of_counts(counts, "macro_f1", "weighted_f1", "micro_f1"),
        **{name: _mean(parts, name, sizes) for name in _OF_PROBABILITIES},
        "classes": [
            ClassScore(name, float(p), float(r), float(f), _area(parts, name), int(n))
            for name, p, r, f, n in zip(
                names, counts.precision, counts.recall, counts.f1, counts.support, strict=True
            )
        ],
        "metric": first.metric,
        "curves": [],
        "skipped": sum(one.skipped for one in parts),
        "truncated": sum(one.truncated for one in parts),
    }
    if isinstance(first, Labelling):
        return Labelling(
            **shared | {name: _mean(parts, name, sizes) for name in _OF_LISTS},
            mistakes=[one for one in mistakes if isinstance(one, LabelMistake)][:MISTAKES],
            thresholds=[],
            unlabelled=sum(one.unlabelled for one in parts if isinstance(one, Labelling)),
        )
    confusion = _confusion([one for one in parts if isinstance(one, Classification)], names)
    surest = sorted(
        (one for one in mistakes if isinstance(one, Mistake)), key=lambda one: -one.confidence
    )
    return Classification(
        **shared | _of_counts(counts, "accuracy", "balanced_accuracy", "mcc"),
        **of_ratings(names, confusion),
        confusion=confusion.tolist(),
        mistakes=surest[:MISTAKES],
    )


_OF_PROBABILITIES = ("macro_average_precision", "log_loss", "calibration_error")
_OF_LISTS = ("subset_accuracy", "hamming_loss", "ranking_average_precision")


def _of_counts(counts: Counts, *names: str) -> dict[str, Any]:
    return {name: Objective(name).of_counts(counts) for name in names}


def _counts_of(part: Classification | Labelling, names: Sequence[str]) -> Counts:
    """Return how often each of ``names`` was answered, and rightly."""
    rows = {row.label: row for row in part.classes}
    found = [rows.get(name) for name in names]
    support = np.array([0.0 if row is None else row.support for row in found])
    hits = np.round([0.0 if row is None else row.recall * row.support for row in found])
    if isinstance(part, Classification):
        columns = dict(zip(rows, np.asarray(part.confusion).sum(axis=0).tolist(), strict=True))
        answered = np.array([float(columns.get(name, 0)) for name in names])
    else:  # of a label that is never right it does not matter how often it was answered
        precision = [0.0 if row is None else row.precision for row in found]
        answered = np.round(np.divide(hits, precision, out=np.zeros_like(hits), where=hits > 0))
    return Counts(hits, answered, support, part.count)


def _mean(parts: Sequence[Any], name: str, sizes: Sequence[int]) -> float:
    return float(np.average([getattr(one, name) for one in parts], weights=sizes))


def _area(parts: Sequence[Classification | Labelling], name: str) -> float:
    """Return the mean average precision of a class, by how often it is there."""
    rows = [row for part in parts for row in part.classes if row.label == name and row.support]
    total = sum(row.support for row in rows)
    return sum(row.average_precision * row.support for row in rows) / max(total, 1)


def _confusion(parts: Sequence[Classification], names: Sequence[str]) -> NDArray[np.int64]:
    place = {name: i for i, name in enumerate(names)}
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    for part in parts:
        rows = [place[row.label] for row in part.classes]
        confusion[np.ix_(rows, rows)] += np.asarray(part.confusion, dtype=np.int64)
    return confusion


_COLUMNS = ("label", "predicted")


def _sums(
    weights: NDArray[np.float64], labels: Sequence[Sequence[str]], names: Mapping[str, int]
) -> NDArray[np.float64]:
    """Return the weight of each class (R, C) of the ``labels`` of each row."""
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *map(len, labels)])
    columns = [names[label] for row in labels for label in row]
    matrix = csr_array((np.ones(len(columns)), columns, ends), shape=(len(labels), len(names)))
    sums: NDArray[np.float64] = weights @ matrix
    return sums
