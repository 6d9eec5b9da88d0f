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
        Ensemble(networks, linear),
        prepared.tokenizer,
        prepared.classes,
        prepared.prior,
        [],
        prepared.labels,
    )
    model.module.to(prepared.options.device)
    _decide(model, prepared)
    if linear and len(prepared.valid):
        linear = fit_linear(prepared, [prepared.split.train, prepared.split.valid])
        model.module = Ensemble(networks, linear).to(prepared.options.device).eval()
    model.linear_seconds = time.perf_counter() - start
    return model


def fit_linear(prepared: Prepared, parts: Sequence[Examples]) -> list[LinearModel]:
    """Return both linear models, fitted to the texts of some parts that have a known label."""
    labels = prepared.labels
    texts = [text for part in parts for text in part.texts]
    truth = labels.truth([label for part in parts for label in part.labels], prepared.classes)
    rows = np.flatnonzero(truth.any(axis=1) | labels.several)
    return fit_both(
        [texts[i] for i in rows],
        truth[rows],
        several=labels.several,
        balance=prepared.options.balance,
        seed=prepared.options.seed,
    )


def _decide(model: TextClassifierModel, prepared: Prepared) -> None:
    """Choose on the validation part how much each model counts, and when a class is answered."""
    valid, labels = prepared.split.valid, prepared.labels
    truth = labels.truth(valid.labels, prepared.classes)
    filled = np.array([bool(text.strip()) for text in valid.texts], dtype=bool)
    rows = np.flatnonzero(filled & (truth.any(axis=1) | labels.several))
    opinions = model.opinions([valid.texts[i] for i in rows])
    choices = [labels.choices(one) for one in opinions.values()]
    right = labels.chosen_rows(truth[rows])
    model.weights = tuple(fit_weights(list(opinions), choices, right))
    if len(rows):
        found = model.mixtures(opinions)
        model.decisions = {
            name: prepared.decided(probabilities, truth[rows])
            for name, probabilities in found.items()
        }
