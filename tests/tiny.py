"""Data and models so small that a test trains one in a fraction of a second."""

from itertools import product

import numpy as np

from elman.data.examples import Examples
from elman.data.splits import Split

JAPANESE = [
    a + b
    for a, b in product(
        ("ka", "mi", "yo", "shi", "ta", "no", "ha"), ("moto", "kawa", "mura", "yama")
    )
]
GERMAN = [
    a + b
    for a, b in product(
        ("bau", "schmi", "wag", "hof", "lang", "krau", "stei"), ("mann", "er", "berg", "stein")
    )
]
NAMES = JAPANESE + GERMAN
LABELS = ["ja"] * len(JAPANESE) + ["de"] * len(GERMAN)
LINES = "".join(f"{name}\t{label}\n" for name, label in zip(NAMES, LABELS, strict=True))

# Small, quick, and with all that is random in training.
OPTIONS = {
    "embedding_size": 8,
    "hidden_size": 8,
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 0.02,
    "dropout": 0.1,
    "min_count": 1,
}

# Sentences with names, and their tags as CoNLL-2003 has them.
TAGGED = "".join(
    f"{name.title()} B-PER\n{verb} O\nin O\n{place} B-LOC\n. O\n\n"
    for name, (verb, place) in zip(
        NAMES,
        product(("lives", "works", "sings", "sleeps", "runs"), ("Bern", "Oslo", "Nara", "Tula")),
        strict=False,
    )
)
TAG_OPTIONS = {
    "embedding_size": 8,
    "hidden_size": 8,
    "character_size": 4,
    "subwords": 64,
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 0.02,
    "dropout": 0.1,
    "min_count": 1,
}

# Verse: a running text in which most is to be foretold.
VERSE = "".join(
    f"{name.title()} {verb} in {place}.\n"
    for name, (verb, place) in zip(
        NAMES,
        product(("lives", "works", "sings", "sleeps", "runs"), ("Bern", "Oslo", "Nara", "Tula")),
        strict=False,
    )
)
GENERATE_OPTIONS = {
    "embedding_size": 8,
    "hidden_size": 8,
    "epochs": 3,
    "batch_size": 4,
    "chunk_length": 20,
    "learning_rate": 0.02,
    "dropout": 0.1,
    "min_count": 1,
}


def examples(texts=NAMES, labels=LABELS, source="names") -> Examples:
    return Examples(list(texts), list(labels), source)


def parts(texts=NAMES, labels=LABELS) -> Split:
    """Three parts, each with some of every class: of eight texts six train."""
    whole = examples(texts, labels)
    rows = np.arange(len(whole))
    return Split(
        whole.take(rows[rows % 8 < 6]),
        whole.take(rows[rows % 8 == 6]),
        whole.take(rows[rows % 8 == 7]),
        (),
    )


def train(data, *, out=None, **options):
    import elman

    return elman.train(data, out=out, **{**OPTIONS, **options})
