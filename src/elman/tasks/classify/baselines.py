"""What a model has to beat: the largest class, and the network and the n-grams each by itself."""

from __future__ import annotations

import time
from collections import Counter

import msgspec
import numpy as np

from elman.data.examples import Examples
from elman.data.splits import Split
from elman.tasks.classify.assembly import assemble
from elman.tasks.classify.learner import prepare
from elman.tasks.classify.linear import affordable
from elman.tasks.classify.metrics import evaluate
from elman.tasks.classify.options import ClassifyOptions
from elman.tasks.classify.predictor import TextClassifierModel
from elman.training.task import Baseline

NGRAMS = "n-grams + logistic"


def majority(train: Examples, test: Examples) -> Baseline:
    """Always answer the largest class of the training part."""
    import sklearn.metrics  # noqa: F401 - loading it is not this baseline's time

    start = time.perf_counter()
    classes = sorted(set(train.labels))
    largest = Counter(train.labels).most_common(1)[0][0]
    probabilities = np.zeros((len(test), len(classes)), dtype=np.float32)
    probabilities[:, classes.index(largest)] = 1
    scores = evaluate(probabilities, test.labels, classes)
    seconds = time.perf_counter() - start
    return Baseline(f"always {largest}", scores, seconds, len(train), constant=True)


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
        alone = assemble(prepare(split, msgspec.structs.replace(options, model="ngrams")))
        scores = alone.evaluate(split.test)
        return [Baseline(NGRAMS, scores, time.perf_counter() - start, seen)]
    found = model.part_scores(split.test)
    half = (time.perf_counter() - start) / 2
    return [
        Baseline("the network alone", found["network"], seconds + half, count),
        Baseline(NGRAMS, found["ngrams"], model.linear_seconds + half, seen),
    ]
