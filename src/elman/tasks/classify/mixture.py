"""Several models' opinions as one: how much each counts is chosen on the validation part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Targets = NDArray[np.int64]

USUAL: Mapping[str, float] = {"network": 0.4, "ngrams": 0.45, "naive Bayes": 0.2}
"""The weights of models at their best temperatures that come out for the development collection
(docs/words.md), rounded; alone a model counts once."""
STRENGTH = 10.0
"""How many nats of the validation texts a distance of 1 from the usual weights must be worth: few
texts hardly move them, thousands decide by themselves."""
LARGEST = 5.0
COOLING = (-4.0, 1.0)
"""Bounds of the logarithm of one over the temperature: networks are too sure of themselves, seldom
not sure enough, and a few texts that are all right must not make it endless."""
FLOOR = -14.0
"""The lowest logarithm of a probability that counts: nothing is that unlikely."""


def fit_weights(names: Sequence[str], opinions: Sequence[Floats], truth: Targets) -> list[float]:
    """Return how much each model's logarithms of probabilities count, from 0 on.

    Each model first gets the temperature that suits it best (Guo et al. 2017, "On Calibration of
    Modern Neural Networks", section 4.2). The weights then minimise the log loss of the product of
    experts, ``p(c) ~ prod_m p_m(c) ** w_m`` (Genest & Zidek 1986, "Combining Probability
    Distributions", section 3.3), near the usual weights. As their sum is free, that is a
    temperature for the whole, too.

    Args:
        names: of the models, as in ``USUAL``.
        opinions: for each model (rows, C), logarithms of probabilities.
        truth: (rows,) the class of each row; none where there is no validation part.
    """
    from scipy.optimize import minimize

    usual = np.array([USUAL[name] for name in names])
    usual /= 1.0 if len(names) > 2 else usual.sum()
    if not len(truth):
        return [float(weight) for weight in usual]
    logs = np.stack([np.maximum(one, FLOOR) for one in opinions]).astype(np.float64)  # (M, n, C)
    factors = np.array([sharpness(one, truth) for one in logs])
    logs *= factors[:, None, None]
    here = np.arange(len(truth))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = np.tensordot(weights, logs, axes=1)  # (n, C)
        scores -= scores.max(axis=1, keepdims=True)
        shares = np.exp(scores)
        shares /= shares.sum(axis=1, keepdims=True)
        away = weights - usual
        value = -np.log(np.maximum(shares[here, truth], 1e-300)).sum() + STRENGTH * away @ away
        slope = (shares * logs).sum(axis=(1, 2)) - logs[:, here, truth].sum(axis=1)
        return value / len(truth), (slope + 2 * STRENGTH * away) / len(truth)

    found = minimize(loss, usual, jac=True, bounds=[(0.0, LARGEST)] * len(names))
    weights = found.x if np.isfinite(found.fun) else usual
    # At least one counts: a mixture of nothing would say that all classes are equal.
    return [float(weight) for weight in factors * (weights if weights.sum() > 0.01 else usual)]


def shares(weights: Sequence[float]) -> list[float]:
    """Return weights that sum to 1, in the same proportions; equal ones of zeros."""
    total = sum(weights)
    return [weight / total if total > 0 else 1 / len(weights) for weight in weights]


def cooled(logits: NDArray[Any], truth: Targets) -> NDArray[Any]:
    """Return logarithms of probabilities (rows, C) at the temperature that suits ``truth`` best."""
    return _log_softmax(logits * sharpness(logits, truth))


def sharpness(logits: NDArray[Any], truth: Targets) -> float:
    """Return one over the temperature at which the log loss is the least.

    Args:
        logits: (rows, C).
        truth: (rows,) the class of each row, at least one row.
    """
    from scipy.optimize import minimize_scalar

    here = np.arange(len(truth))
    found = minimize_scalar(
        lambda exponent: -float(_log_softmax(logits * math.exp(exponent))[here, truth].mean()),
        bounds=COOLING,
        method="bounded",
    )
    return math.exp(float(found.x))


def _log_softmax(scores: NDArray[Any]) -> NDArray[Any]:
    scores = scores - scores.max(axis=1, keepdims=True)
    result: NDArray[Any] = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return result


def mixed(weights: Sequence[float], opinions: Sequence[Floats]) -> Floats:
    """Return the probabilities (rows, C) of the mixture."""
    scores = sum(w * np.maximum(one, FLOOR) for w, one in zip(weights, opinions, strict=True))
    scores = np.asarray(scores) - np.asarray(scores).max(axis=1, keepdims=True)
    shares = np.exp(scores)
    result: Floats = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    return result
