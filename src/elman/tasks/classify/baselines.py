"""What a network has to beat: the largest class, and n-grams with logistic regression."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elman.data.examples import Examples
from elman.tasks.classify.labels import Labels, decided, shares
from elman.tasks.classify.metrics import judge
from elman.text.tokenizer import Level, words
from elman.training.task import Baseline

# Logistic regression over n-grams needs about 100 bytes a character of text; this bounds it.
MAX_CHARACTERS = 4_000_000


def majority(train: Examples, test: Examples, kind: Labels) -> Baseline:
    """Always answer the largest class of the training part, or of several labels the same ones.

    The probabilities are the shares of the classes, which no other constant answer betters.
    """
    start = time.perf_counter()
    classes = kind.classes(train.labels)
    prior = shares(kind.truth(train.labels, classes))
    answer = kind.named(kind.decide(prior[None]), classes)[0]
    said = ", ".join(answer) or "no label" if kind.several else answer
    scores = judge(kind, np.tile(prior, (len(test), 1)), test.labels, classes)
    seconds = time.perf_counter() - start
    return Baseline(f"always {said}", scores, seconds, len(train), constant=True)


def ngrams(
    train: Examples,
    valid: Examples,
    test: Examples,
    kind: Labels,
    *,
    level: Level,
    threshold: float | Literal["auto"] | None = None,
    balance: bool = False,
    seed: int = 0,
) -> Baseline:
    """TF-IDF of character 1-4-grams within words (or word 1-2-grams) and logistic regression.

    The settings (sublinear counts, C = 10, n-grams of one text alone left out) were the best of
    a small grid on other collections of names: this baseline is meant to be hard to beat. Of
    several labels each has a regression of its own. Its threshold is chosen as the network's is.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    start = time.perf_counter()
    classes = kind.classes(train.labels)
    train = train.take(_affordable(train.texts, seed))
    classifier = LogisticRegression(
        C=10.0, tol=1e-3, max_iter=200, class_weight="balanced" if balance else None
    )
    truth = kind.truth(train.labels, classes)
    columns = np.flatnonzero(truth.any(axis=0))
    model = make_pipeline(
        _features(level, len(train)),
        OneVsRestClassifier(classifier) if kind.several else classifier,
    )
    with warnings.catch_warnings():
        # Many classes with few texts, or a label that all have, are the user's data.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        warnings.filterwarnings("ignore", message="Label .* is present in all training")
        model.fit(
            train.texts, truth[:, columns].astype(int) if kind.several else truth.argmax(axis=1)
        )

    def probabilities(texts: Sequence[str]) -> NDArray[np.float32]:
        found = np.zeros((len(texts), len(classes)), dtype=np.float32)
        if len(texts):
            found[:, columns] = model.predict_proba(texts)
        return found

    name = "n-grams 1-4 + logistic" if level == "characters" else "words 1-2 + logistic"
    if len(valid):
        known = kind.truth(valid.labels, classes)
        kind = decided(kind, threshold, probabilities(valid.texts), known, classes)
    scores = judge(kind, probabilities(test.texts), test.labels, classes)
    return Baseline(name, scores, time.perf_counter() - start, len(train))


def _features(level: Level, count: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    # An n-gram of a single text tells nothing about others, but tiny data have no other ones.
    shared = {"sublinear_tf": True, "dtype": np.float32, "min_df": 2 if count >= 1000 else 1}
    if level == "characters":
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), **shared)
    # The words of the network, which are lower-cased already.
    return TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2), **shared
    )


def _affordable(texts: Sequence[str], seed: int) -> Sequence[int]:
    """Return all rows, or a random share of them that holds about MAX_CHARACTERS."""
    total = sum(map(len, texts))
    if total <= MAX_CHARACTERS:
        return range(len(texts))
    share = int(len(texts) * MAX_CHARACTERS / total)
    return np.sort(np.random.default_rng(seed).permutation(len(texts))[:share]).tolist()
