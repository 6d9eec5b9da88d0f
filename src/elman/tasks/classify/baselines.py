"""What a model has to beat: the largest class, and the network and the n-grams each by itself."""

from __future__ import annotations

import time

import msgspec
import numpy as np

from elman.data.examples import Examples
from elman.data.splits import Split
from elman.tasks.classify.assembly import assemble, combine
from elman.tasks.classify.labels import about, shares
from elman.tasks.classify.learner import prepare
from elman.tasks.classify.linear import affordable
from elman.tasks.classify.metrics import judge
from elman.tasks.classify.options import ClassifyOptions
from elman.tasks.classify.predictor import TextClassifierModel
from elman.training.fitting import fit
from elman.training.report import SCRATCH, Baseline

NGRAMS = "n-grams + logistic"


def majority(train: Examples, test: Examples, metric: str | None) -> Baseline:
    """Always answer the largest class of the training part, or of several labels the same ones.

    The probabilities are the shares of the classes, which no other constant answer betters.
    """
    start = time.perf_counter()
    labels = about(train, metric)
    classes = labels.classes(train.labels)
    prior = shares(labels.truth(train.labels, classes))
    answer = labels.named(labels.decide(prior[None]), classes)[0]
    said = (", ".join(answer) or "no label") if labels.several else answer
    scores = judge(labels, np.tile(prior, (len(test), 1)), test.labels, classes)
    seconds = time.perf_counter() - start
    return Baseline(f"always {said}", scores, seconds, len(train), constant=True)


def parts(
    split: Split[Examples], options: ClassifyOptions, model: TextClassifierModel, seconds: float
) -> list[Baseline]:
    """Judge the network and the n-grams each by itself.

    Where the model is the network alone, n-grams are fitted as ``--model ngrams`` does.

    Args:
        split: the data.
        options: settled.
        model: what is judged beside them.
        seconds: the network took to train.
    """
    if options.model == "ngrams":
        return []
    count = len(split.train)
    seen = len(affordable(split.train.texts, options.seed))
    start = time.perf_counter()
    if not len(model.module.linear):
        without = {"vectors": None, "unlabelled": None, "vectors_mode": "tuned", "from_": None}
        changed = msgspec.structs.replace(options, model="ngrams", linear="on", **without)
        alone = assemble(prepare(split, changed))
        scores = alone.evaluate(split.test)
        return [Baseline(NGRAMS, scores, time.perf_counter() - start, seen)]
    found = model.part_scores(split.test)
    half = (time.perf_counter() - start) / 2
    return [
        Baseline("the network alone", found["network"], seconds + half, count, network=True),
        Baseline(NGRAMS, found["ngrams"], model.linear_seconds + half, seen),
    ]


def scratch(split: Split[Examples], model: TextClassifierModel) -> list[Baseline]:
    """Train from scratch the network that started from a language model; nothing of others.

    It has the same sizes and the same tokenizer, and is trained as classifiers usually are, from as
    many seeds.
    """
    asked = model.asked
    if asked is None or asked.from_ is None:
        return []
    start = time.perf_counter()
    trained = []
    for i in range(len(model.module.networks)):
        alone = msgspec.structs.replace(asked, seed=asked.seed + i, linear="off")
        learner = prepare(split, alone, fresh=True)
        fitted = fit(learner)
        if fitted.interrupt is not None:
            raise fitted.interrupt
        trained.append(assemble(learner))
    scores = (trained[0] if len(trained) == 1 else combine(trained)).evaluate(split.test)
    return [Baseline(SCRATCH, scores, time.perf_counter() - start, len(split.train))]
