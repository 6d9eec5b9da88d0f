"""After the training of a network: the linear models beside it, and how much each counts."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from elman.data.examples import Examples
from elman.tasks.classify.learner import ClassifierLearner, NGramLearner, Prepared
from elman.tasks.classify.linear import LinearModel, fit_both
from elman.tasks.classify.mixture import fit_weights
from elman.tasks.classify.model import Ensemble
from elman.tasks.classify.predictor import TextClassifierModel


def assemble(learner: ClassifierLearner | NGramLearner) -> TextClassifierModel:
    """Return the learner's model with all that belongs to it.

    The weights of the models are chosen on the validation part, where the linear ones have seen the
    training part alone; then these are fitted again, to both parts.
    """
    start = time.perf_counter()
    prepared = learner.prepared
    networks = [learner.model] if isinstance(learner, ClassifierLearner) else []
    linear: list[LinearModel] = []
    if prepared.options.model == "ngrams" or prepared.options.linear == "on":
        linear = fit_linear(prepared, [prepared.split.train])
    model = TextClassifierModel(
        Ensemble(networks, linear), prepared.tokenizer, prepared.classes, prepared.prior, []
    )
    model.module.to(prepared.options.device)
    weights = _weights(model, prepared)
    if linear and len(prepared.valid.targets):
        linear = fit_linear(prepared, [prepared.split.train, prepared.split.valid])
        model.module = Ensemble(networks, linear).to(prepared.options.device).eval()
    model.weights = tuple(weights)
    model.linear_seconds = time.perf_counter() - start
    return model


def fit_linear(prepared: Prepared, parts: Sequence[Examples]) -> list[LinearModel]:
    """Return both linear models, fitted to the texts of some parts that have a known label."""
    index = {label: i for i, label in enumerate(prepared.classes)}
    rows = [
        (text, index[label])
        for part in parts
        for text, label in zip(part.texts, part.labels, strict=True)
        if label in index
    ]
    return fit_both(
        [text for text, _ in rows],
        np.asarray([target for _, target in rows], dtype=np.int64),
        len(prepared.classes),
        balance=prepared.options.balance,
        seed=prepared.options.seed,
    )


def _weights(model: TextClassifierModel, prepared: Prepared) -> list[float]:
    valid = prepared.split.valid
    index = {label: i for i, label in enumerate(prepared.classes)}
    rows = [i for i, label in enumerate(valid.labels) if label in index and valid.texts[i].strip()]
    opinions = model.opinions([valid.texts[i] for i in rows])
    truth = np.asarray([index[valid.labels[i]] for i in rows], dtype=np.int64)
    return fit_weights(list(opinions), list(opinions.values()), truth)
