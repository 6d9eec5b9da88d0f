"""When a class is answered: chosen on the validation part for what a model is asked to be good at.

Which threshold happened to be best on some hundred texts is mostly luck. So the probabilities are
first fitted to the truth (Platt 1999, "Probabilistic outputs for support vector machines": two
numbers), and that threshold is taken from which most is to be expected if they then are right. On
linear models of hate-speech tweets and Russian emotions (5 labels, 30 draws of 300 validation
texts) this gave an F1 0.8 to 1.5 points above that of the threshold that was best on the draw, and
with 2,500 texts the same.

Of more than two classes one number is chosen: how far answers lean against the sizes of the
classes, or towards one of them. For the macro-F1 of n-grams (12 draws of 500 and of 1,000 texts) it
was worth 0.4 to 0.8 points on Russian tweets of 5 classes, 3.8 to 4.0 on Russian emotions, and
nothing on TREC's questions, where half the draws lost some tenths; the least gain that is asked
for is there for these.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from elman.tasks.classify.objective import (
    SMALLEST,
    Counts,
    Flags,
    Floats,
    Objective,
    falling,
)

EVEN = 0.5
MOST = 400
"""Thresholds that are tried: as many quantiles of the probabilities."""
_FEWEST = 3
"""Texts of either class that a choice needs."""
_WORTH = 0.005
"""What offsets must gain on the validation part."""


def choose(
    probability: Floats, positive: Flags, score: Callable[[Counts], float] | None = None
) -> float:
    """Return from which ``probability`` on the positive class should be answered.

    Args:
        probability: (rows,) of the positive class, of texts that were not trained on.
        positive: (rows,) whether it is true.
        score: what is to be high, of counts of the other class and the positive one, in this
            order; None takes the F1 of the positive class.

    Returns:
        A threshold between 0 and 1; a half where too little is known to choose.
    """
    if min(positive.sum(), (~positive).sum()) < _FEWEST:
        return EVEN
    expected = _fitted(probability, positive)
    if expected is None:
        return EVEN
    thresholds, scores = _tried(probability, expected, score)
    best = int(scores.argmax())
    after = thresholds[best + 1] if best + 1 < len(thresholds) else thresholds[best]
    return float((thresholds[best] + after) / 2)


def highest(
    probability: Floats, positive: Flags, score: Callable[[Counts], float] | None = None
) -> float:
    """Return the most that any threshold gives; the arguments are those of ``choose``.

    For what is asked for from epoch to epoch this is steadier than what a chosen threshold gives.
    """
    if not positive.any():
        return 0.0
    return float(_tried(probability, positive.astype(float), score)[1].max())


def _tried(
    probability: Floats, positive: Floats, score: Callable[[Counts], float] | None
) -> tuple[Floats, Floats]:
    """Return thresholds, the highest first, and what each gives where so much is ``positive``."""
    thresholds, hits, answered = falling(probability, positive)
    if len(thresholds) > MOST:
        some = np.unique(np.linspace(0, len(thresholds) - 1, MOST).astype(int))
        thresholds, hits, answered = thresholds[some], hits[some], answered[some]
    count, total = len(positive), float(positive.sum())
    if score is None:
        return thresholds, 2 * hits / (answered + total)
    pairs = zip(hits, answered, strict=True)
    return thresholds, np.array([score(_counts(h, a, total, count)) for h, a in pairs])


def choose_offsets(probabilities: Floats, truth: Flags, objective: Objective) -> list[float]:
    """Return what to add to the logarithms of ``probabilities`` before the largest is answered.

    Args:
        probabilities: (rows, C) of texts that were not trained on.
        truth: (rows, C) which class is true.
        objective: what is to be high; it judges answers.

    Returns:
        (C,) a multiple of minus the logarithm of the size of each class, or of 1 for the class that
        the objective is about and 0 for the others; empty where there is nothing to gain.
    """
    sizes = truth.sum(axis=0)
    if len(truth) < _FEWEST * truth.shape[1]:
        return []
    if objective.label is None:
        direction = -np.log(np.maximum(sizes, 1) / len(truth))
        shares = np.linspace(-0.2, 1.5, 35)
    else:
        direction = (np.arange(len(sizes)) == objective.column).astype(float)
        shares = np.linspace(-3, 3, 61)
    logarithms = np.log(np.maximum(probabilities, SMALLEST))
    answers = [(logarithms + share * direction).argmax(axis=1) for share in shares]
    # What was, and what was to be expected: the one is honest, the other steady.
    gains = np.mean(
        [[_gained(best, part, objective) for best in answers] for part in (truth, probabilities)],
        axis=0,
    )
    # The mean over neighbours: a single peak is luck.
    smooth = np.convolve(np.pad(gains, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    if smooth.max() <= smooth[np.abs(shares).argmin()] + _WORTH:
        return []
    return [float(one) for one in shares[smooth.argmax()] * direction]


def _gained(answers: NDArray[np.intp], truth: Flags | Floats, objective: Objective) -> float:
    """Return the objective of ``answers`` (rows,), of which so much is right: (rows, C)."""
    classes = truth.shape[1]
    right = truth[np.arange(len(answers)), answers].astype(float)
    hits = np.bincount(answers, weights=right, minlength=classes).astype(float)
    answered = np.bincount(answers, minlength=classes).astype(float)
    return objective.of_counts(
        Counts(hits, answered, truth.sum(axis=0).astype(float), len(answers))
    )


def _counts(hits: float, answered: float, total: float, count: int) -> Counts:
    """Return the counts of two classes of which so many examples are answered the positive one."""
    left = count - answered
    right = left - (total - hits)  # of the other class
    return Counts(
        np.array([right, hits]),
        np.array([left, answered], dtype=float),
        np.array([count - total, total]),
        count,
    )


def _fitted(probability: Floats, positive: Flags) -> Floats | None:
    """Return how probable the positive class is as the truth has it, by a logistic regression.

    None where the truth says that less of ``probability`` means more.
    """
    from sklearn.linear_model import LogisticRegression

    clipped = np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6)
    logits = np.log(clipped / (1 - clipped))[:, None]
    model = LogisticRegression(C=1e3).fit(logits, positive)
    if model.coef_[0, 0] <= 0:
        return None
    fitted: Floats = model.predict_proba(logits)[:, 1]
    return fitted
