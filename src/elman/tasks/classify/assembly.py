"""After the training of a network: the linear models beside it, and how much each counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from elman.data.examples import Examples
from elman.tasks.classify.labels import averaged, decided
from elman.tasks.classify.learner import ClassifierLearner, NGramLearner, Prepared
from elman.tasks.classify.linear import LinearModel, fit_models
from elman.tasks.classify.mixture import fit_weights
from elman.tasks.classify.model import Ensemble
from elman.tasks.classify.objective import Flags
from elman.tasks.classify.predictor import HeldOut, TextClassifierModel


def assemble(
    learner: ClassifierLearner | NGramLearner,
    *,
    tuned: Sequence[TextClassifierModel] = (),
    twin: TextClassifierModel | None = None,
) -> TextClassifierModel:
    """Return the learner's model with all that belongs to it.

    The weights of the models are chosen on the validation part, where the linear ones have seen the
    training part alone; then these are fitted again, to both parts. Without such a part they are
    those of the models ``tuned``, in the mean. The linear models of a ``twin``, of another seed on
    the same parts, are taken as they are.
    """
    start = time.perf_counter()
    prepared = learner.prepared
    networks = []
    if isinstance(learner, ClassifierLearner):
        # A layer that has not come to learn by the last epoch may do so in another training.
        networks = [learner.model.requires_grad_(True)]
    if twin is not None and twin.held_out is not None:
        linear, held_out = list(twin.module.linear), twin.held_out
    else:
        linear, held_out = _linear(prepared)
    model = TextClassifierModel(
        Ensemble(networks, linear).to(prepared.options.device),
        prepared.tokenizer,
        prepared.classes,
        prepared.prior,
        [],
        prepared.labels,
    )
    model.held_out = held_out
    if tuned and not len(held_out.truth):
        model.weights = _mean_weights(tuned)
        model.decisions = {"": averaged([one.labels for one in tuned])}
    else:
        _decide(model, held_out)
    model.cleaner = prepared.cleaner  # the prepared texts are cleaned
    model.asked = prepared.asked
    model.linear_seconds = time.perf_counter() - start
    return model


def _linear(prepared: Prepared) -> tuple[list[LinearModel], HeldOut]:
    """Return the linear models, and what they said of the validation part before they saw it."""
    split, several = prepared.split, prepared.labels.several
    texts, truth = _filled(prepared, [split.valid])
    linear: list[LinearModel] = []
    if prepared.options.model == "ngrams" or prepared.options.linear == "on":
        linear = fit_linear(prepared, [split.train])
    opinions: dict[str, Any] = {one.kind: one.opinions(texts, several=several) for one in linear}
    held_out = HeldOut(texts, truth, opinions, prepared.options.threshold)
    if linear and len(prepared.valid):
        linear = fit_linear(prepared, [split.train, split.valid])
    return linear, held_out


def fit_linear(prepared: Prepared, parts: Sequence[Examples]) -> list[LinearModel]:
    """Return the linear models, fitted to the texts of some parts that have a known label."""
    texts, truth = _filled(prepared, parts)
    return fit_models(
        texts,
        truth,
        vectoriser=prepared.options.vectoriser,
        ngrams=prepared.options.ngrams,
        several=prepared.labels.several,
        balance=prepared.options.balance,
        seed=prepared.options.seed,
    )


def _filled(prepared: Prepared, parts: Sequence[Examples]) -> tuple[list[str], Flags]:
    """Return the texts that hold something and, of one label each, have a known one; the truth."""
    labels = prepared.labels
    texts = [text for part in parts for text in part.texts]
    truth = labels.truth([label for part in parts for label in part.labels], prepared.classes)
    filled = np.array([bool(text.strip()) for text in texts], dtype=bool)
    rows = np.flatnonzero(filled & (truth.any(axis=1) | labels.several))
    return [texts[i] for i in rows], truth[rows]


def _decide(model: TextClassifierModel, held_out: HeldOut) -> None:
    """Choose how much the networks and each linear model count, and when a class is answered."""
    labels, truth = model.labels, held_out.truth
    opinions = dict(held_out.linear)
    if model.network is not None:
        opinions = {"network": model.network_opinions(held_out.texts), **opinions}
    choices = [labels.choices(one) for one in opinions.values()]
    model.weights = tuple(fit_weights(list(opinions), choices, labels.chosen_rows(truth)))
    if len(truth):
        model.decisions = {
            name: decided(labels, held_out.threshold, probabilities, truth, model.classes)
            for name, probabilities in model.mixtures(opinions).items()
        }


def combine(models: Sequence[TextClassifierModel]) -> TextClassifierModel:
    """Return one model whose networks are those of all: their answer is the mean of these.

    The models were trained on the same parts, so that tokenizer, classes and linear models are the
    same. How much the networks count beside the linear models is chosen anew, as they are less sure
    of themselves together, and so is when a class is answered; without a validation part it is the
    mean of what was chosen.
    """
    first = models[0]
    networks = [network for one in models for network in one.module.networks]
    result = TextClassifierModel(
        Ensemble(networks, list(first.module.linear)),
        first.tokenizer,
        first.classes,
        first.prior,
        _mean_weights(models),
        averaged([one.labels for one in models]),
        first.cleaner,
    )
    result.held_out = first.held_out
    result.asked = first.asked
    if first.held_out is not None and len(first.held_out.truth):
        _decide(result, first.held_out)
    result.linear_seconds = sum(one.linear_seconds for one in models)
    return result


def _mean_weights(models: Sequence[TextClassifierModel]) -> tuple[float, ...]:
    return tuple(float(weight) for weight in np.mean([one.weights for one in models], axis=0))
