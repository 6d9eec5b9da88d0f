"""After the training of a network: the linear models beside it, and how much each counts."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from elman.data.examples import Examples
from elman.tasks.classify.labels import averaged
from elman.tasks.classify.learner import ClassifierLearner, NGramLearner, Prepared
from elman.tasks.classify.linear import LinearModel, fit_both
from elman.tasks.classify.mixture import fit_weights
from elman.tasks.classify.model import Ensemble
from elman.tasks.classify.objective import Flags
from elman.tasks.classify.predictor import TextClassifierModel


def assemble(
    learner: ClassifierLearner | NGramLearner, *, tuned: Sequence[TextClassifierModel] = ()
) -> TextClassifierModel:
    """Return the learner's model with all that belongs to it.

    The weights of the models are chosen on the validation part, where the linear ones have seen the
    training part alone; then these are fitted again, to both parts. Without such a part they are
    those of the models ``tuned``, in the mean.
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
    decide(model, prepared, tuned)
    if linear and len(prepared.valid):
        linear = fit_linear(prepared, [prepared.split.train, prepared.split.valid])
        model.module = Ensemble(networks, linear).to(prepared.options.device).eval()
    model.linear_seconds = time.perf_counter() - start
    return model


def fit_linear(prepared: Prepared, parts: Sequence[Examples]) -> list[LinearModel]:
    """Return both linear models, fitted to the texts of some parts that have a known label."""
    texts, truth = _filled(prepared, parts)
    return fit_both(
        texts,
        truth,
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


def decide(
    model: TextClassifierModel, prepared: Prepared, tuned: Sequence[TextClassifierModel]
) -> None:
    """Choose how much each model counts, and when a class is answered.

    Without a validation part both are the mean of what was chosen for the models ``tuned``.
    """
    if tuned and not len(prepared.valid):
        model.weights = tuple(_mean_weights(tuned))
        model.decisions = {"": averaged([one.labels for one in tuned])}
        return
    labels = prepared.labels
    texts, truth = _filled(prepared, [prepared.split.valid])
    opinions = model.opinions(texts)
    choices = [labels.choices(one) for one in opinions.values()]
    model.weights = tuple(fit_weights(list(opinions), choices, labels.chosen_rows(truth)))
    if texts:
        model.decisions = {
            name: prepared.decided(probabilities, truth)
            for name, probabilities in model.mixtures(opinions).items()
        }


def combine(models: Sequence[TextClassifierModel]) -> TextClassifierModel:
    """Return one model whose networks are those of all: their answer is the mean of these.

    The models were trained on the same parts, so that tokenizer, classes and linear models are the
    same; how much the networks count beside the linear models, and from when on a class is
    answered, is the mean of what was chosen.
    """
    first = models[0]
    networks = [network for one in models for network in one.module.networks]
    module = Ensemble(networks, list(first.module.linear))
    labels = averaged([one.labels for one in models])
    result = TextClassifierModel(
        module, first.tokenizer, first.classes, first.prior, _mean_weights(models), labels
    )
    result.linear_seconds = sum(one.linear_seconds for one in models)
    return result


def _mean_weights(models: Sequence[TextClassifierModel]) -> list[float]:
    return [float(weight) for weight in np.mean([one.weights for one in models], axis=0)]
