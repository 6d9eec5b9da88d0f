"""A weighted sum of few units: logistic regression whose weights cost their absolute values."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.lab.units import measures
from elman.lab.units.measures import Flags, Floats

STRENGTHS = 8
"""How many strengths of the penalty are tried at most: from one that leaves hardly a unit, each
half of the last."""
BETTER = 0.001
"""By how much a weaker penalty, which lets in more units, must be better to be taken."""
PATIENCE = 2
"""Strengths without a better score before no weaker ones are tried."""


@dataclass(frozen=True)
class Probe:
    """What was fitted, on values whose mean is 0 and deviation 1.

    Attributes:
        weights: (units,), most of them 0.
        c: the inverse of the penalty's strength.
    """

    weights: Floats
    c: float

    def scores(self, values: NDArray[np.float32]) -> Floats:
        """Return how much speaks for the label in each text, (texts,), but for a constant."""
        found: Floats = values.astype(np.float64) @ self.weights
        return found


def fit(values: NDArray[np.float32], flags: Flags, inner: Flags, *, seed: int = 0) -> Probe:
    """Fit a probe; how strong the penalty is, is chosen by the AUC on an inner part.

    Tibshirani 1996, "Regression Shrinkage and Selection via the Lasso"; so used by Radford et al.
    2017, section 3.2.

    Args:
        values: (texts, units), of mean 0 and deviation 1.
        flags: (texts,) which have the label.
        inner: (texts,) those that are kept apart until the strength is chosen; the others have
            texts with the label and without, as have these.
        seed: of the solver.
    """
    from sklearn.svm import l1_min_c

    outer = ~inner
    first = l1_min_c(values[outer], flags[outer], loss="log")
    best, chosen, worse = 0.0, first, 0
    for strength in range(1, STRENGTHS + 1):
        c = first * 2**strength
        weights = _weights(values[outer], flags[outer], c, seed)
        score = float(measures.aucs((values[inner] @ weights)[:, None], flags[inner][None])[0, 0])
        if score > best + BETTER:
            best, chosen, worse = score, c, 0
        else:
            worse += 1
        if worse == PATIENCE:
            break
    return Probe(_weights(values, flags, chosen, seed), float(chosen))


def _weights(values: NDArray[np.float32], flags: Flags, c: float, seed: int) -> Floats:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # scikit-learn 1.8 has another name for it.
    new = LogisticRegression().get_params()["penalty"] == "deprecated"
    lasso: dict[str, Any] = {"l1_ratio": 1.0} if new else {"penalty": "l1"}
    solver = LogisticRegression(C=c, solver="liblinear", random_state=seed % 2**32, **lasso)
    with warnings.catch_warnings():
        # Close to the solution is enough to judge it by what it says of other texts.
        warnings.simplefilter("ignore", ConvergenceWarning)
        weights: Floats = solver.fit(values, flags).coef_[0]
    return weights
