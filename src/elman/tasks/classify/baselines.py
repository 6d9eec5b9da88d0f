"""What a network has to beat: the largest class, and n-grams with logistic regression."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from elman.data.examples import Examples
from elman.tasks.classify.metrics import evaluate
from elman.text.tokenizer import Level, words
from elman.training.task import Baseline

# Logistic regression over n-grams needs about 100 bytes a character of text; this bounds it.
MAX_CHARACTERS = 4_000_000


def majority(train: Examples, test: Examples) -> Baseline:
    """Always answer the largest class of the training part."""
    import sklearn.metrics  # noqa: F401 - loading it is not this baseline's time

    start = time.perf_counter()
    classes = sorted(set(train.labels))
    largest = Counter(train.labels).most_common(1)[0][0]
    probabilities = np.zeros((len(test), len(classes)), dtype=np.float32)
    probabilities[:, classes.index(largest)] = 1
    scores = evaluate(probabilities, test.labels, classes)
    return Baseline(f"always {largest}", scores, time.perf_counter() - start, len(train))


def ngrams(
    train: Examples, test: Examples, *, level: Level, balance: bool = False, seed: int = 0
) -> Baseline:
    """TF-IDF of character 1-4-grams within words (or word 1-2-grams) and logistic regression.

    The settings (sublinear counts, C = 10, n-grams of one text alone left out) were the best of
    a small grid on other collections of names: this baseline is meant to be hard to beat.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    start = time.perf_counter()
    classes = sorted(set(train.labels))
    train = train.take(_affordable(train.texts, seed))
    classifier = LogisticRegression(
        C=10.0, tol=1e-3, max_iter=200, class_weight="balanced" if balance else None
    )
    model = make_pipeline(_features(level, len(train)), classifier)
    with warnings.catch_warnings():
        # Many classes with few texts are the user's data, not a mistake of his code.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        model.fit(train.texts, train.labels)
    columns = [classes.index(label) for label in classifier.classes_]
    probabilities = np.zeros((len(test), len(classes)), dtype=np.float32)
    probabilities[:, columns] = model.predict_proba(test.texts)
    name = "n-grams 1-4 + logistic" if level == "characters" else "words 1-2 + logistic"
    scores = evaluate(probabilities, test.labels, classes)
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
