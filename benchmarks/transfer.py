"""What a language model of texts without labels is worth to a model of 500 with labels.

    python benchmarks/transfer.py [tweets] [conll] [--seeds 3] [--folder transfer]

* tweets: the built-in tweets (`elman[data]`), each text once. 4,000 are the test part; for each
  seed others are drawn, 500 to train on and 200 to validate on; a language model of words learns
  from all that are left, without their labels. A classifier that starts from it stands beside the
  same network from scratch, the classifier that is trained where nothing is asked for, and n-grams.
* conll: CoNLL-2003 English (``../shared/data/ner`` or ``$ELMAN_DATA``). 500 sentences of eng.train
  to train on and 200 to validate on, drawn for each seed; two language models of characters, one in
  either direction, learn from the other sentences without their tags; judged on eng.testa. A tagger
  that reads their states stands beside one that does not, and a linear chain.

Language models are kept in the folder, and trained where they are not there. One thread; of each
model the seconds of its training are printed, which depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

import elman
from elman.data.examples import Examples
from elman.data.source import read_data
from elman.data.splits import keys_of
from elman.data.tagged import Tagged, read_tagged
from elman.errors import DataError
from elman.training.report import SCRATCH

DATA = Path(os.environ.get("ELMAN_DATA", Path(__file__).parents[2] / "shared" / "data"))
TRAIN, VALID, TEST = 500, 200, 4_000
SEEDS = 3
"""For how many seeds labelled examples are set apart; so the language models are the same."""
WORDS = {"tokens": "words", "vocab_size": 6_000, "embedding_size": 128, "hidden_size": 256}
CHARACTERS = {"tokens": "characters", "embedding_size": 64, "hidden_size": 256}
# Within ten minutes of one core; in so few epochs less dropout is better on the validation part.
MODELS = {
    "tweets": {**WORDS, "epochs": 6, "dropout": 0.2},
    "conll": {**CHARACTERS, "epochs": 8},
}

Scores = Mapping[str, tuple[Mapping[str, float], float]]
"""Of each model its metrics and how many seconds it took."""


def drawn(count: int, seed: int, apart: int = 0) -> Iterator[np.ndarray]:
    """Yield what is set apart of ``count`` examples, then 700 of each seed, then what is left."""
    rows = np.random.default_rng(seed).permutation(count)
    size = TRAIN + VALID
    yield rows[:apart]
    for i in range(SEEDS):
        yield rows[apart + i * size : apart + (i + 1) * size]
    yield rows[apart + SEEDS * size :]


# ---------------------------------------------------------------------------------------------
# Tweets


def tweets(folder: Path, seeds: int) -> list[Scores]:
    found = read_data("tweets")
    first: dict[str, int] = {}
    for i, key in enumerate(keys_of(found.texts)):
        if found.texts[i].strip():
            first.setdefault(key, i)
    found = found.take(np.array([*first.values()]))
    test, *labelled, rest = drawn(len(found), 0, TEST)
    table(folder / "test.csv", found.take(test))
    table(folder / "unlabelled.csv", found.take(rest), labels=False)
    language_model(folder / "words", folder / "unlabelled.csv", MODELS["tweets"])
    scores = []
    for seed, part in enumerate(labelled[:seeds]):
        table(folder / "train.csv", found.take(part[:TRAIN]))
        table(folder / "valid.csv", found.take(part[TRAIN:]))
        parts = {name: folder / f"{name}.csv" for name in ("valid", "test")}
        options = {**parts, "seed": seed, "threads": 1, "progress": False}
        started = elman.train(folder / "train.csv", from_=str(folder / "words"), **options)
        usual = elman.train(folder / "train.csv", **options)
        scores.append(
            {
                "started from the language model": row(started, "the network alone"),
                SCRATCH: row(started, SCRATCH),
                "the usual network": row(usual, "the network alone"),
                "n-grams": row(usual, "n-grams + logistic"),
                "started from the language model, and n-grams": row(started),
                "the usual network, and n-grams": row(usual),
            }
        )
        show(scores[-1:], ("accuracy", "macro_f1", "log_loss"))
    return scores


def table(place: Path, part: Examples, *, labels: bool = True) -> None:
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"] if labels else ["text"])
        for text, label in zip(part.texts, part.labels, strict=True):
            writer.writerow([text, label] if labels else [text])


# ---------------------------------------------------------------------------------------------
# Names in news


def conll(folder: Path, seeds: int) -> list[Scores]:
    found = read_tagged(DATA / "ner/eng.train")
    _, *labelled, rest = drawn(len(found), 0)
    news = "".join(" ".join(found.tokens[i]) + "\n" for i in np.sort(rest))
    (folder / "unlabelled.txt").write_text(news, encoding="utf-8")
    for name, reverse in (("forward", False), ("backward", True)):
        options = {**MODELS["conll"], "reverse": reverse}
        language_model(folder / name, folder / "unlabelled.txt", options)
    readers = {"states": folder / "forward", "backward_states": folder / "backward"}
    scores = []
    for seed, part in enumerate(labelled[:seeds]):
        columns(folder / "train.conll", found.take(part[:TRAIN]))
        columns(folder / "valid.conll", found.take(part[TRAIN:]))
        parts = {"valid": folder / "valid.conll", "test": DATA / "ner/eng.testa"}
        options = {**parts, "seed": seed, "threads": 1, "progress": False}
        alone = elman.train(folder / "train.conll", **options)
        reading = elman.train(folder / "train.conll", **options, **readers)
        scores.append(
            {
                "reads states, too": row(reading),
                "the usual network": row(alone),
                "linear chain (CRFsuite)": row(alone, "linear chain (CRFsuite)"),
            }
        )
        show(scores[-1:], ("f1", "precision", "recall"))
    return scores


def columns(place: Path, part: Tagged) -> None:
    sentences = (
        "".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True))
        for words, tags in zip(part.tokens, part.tags, strict=True)
    )
    place.write_text("\n".join(sentences), encoding="utf-8")


# ---------------------------------------------------------------------------------------------


def language_model(place: Path, text: Path, options: Mapping[str, Any]) -> None:
    """Train a language model, where there is none yet, on nearly all of a text."""
    if not place.exists():
        trained: Any = elman.train(
            text,
            task="generate",
            out=place,
            split=(0.96, 0.02, 0.02),
            threads=1,
            progress=False,
            **options,
        )
        scores = trained.report.test
        print(f"{place.name}: {scores} in {trained.report.seconds:.0f} s", flush=True)


def row(trained: Any, baseline: str = "") -> tuple[Mapping[str, float], float]:
    """Return the scores of a model, or of one of its baselines, and its seconds."""
    report = trained.report
    if not baseline:
        return report.test.metrics, report.seconds
    [found] = [one for one in report.baselines if one.name == baseline]
    return found.test.metrics, found.seconds


def show(scores: Sequence[Scores], names: Sequence[str]) -> None:
    """Print means over the seeds, and how far they are apart."""
    print(f"\n| | {' | '.join(names)} | seconds |\n|{'---|' * (len(names) + 2)}")
    for model in scores[0]:
        cells = []
        for name in names:
            values = [one[model][0][name] for one in scores]
            spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{fmean(values):.4f}{spread}")
        seconds = fmean(one[model][1] for one in scores)
        print(f"| {model} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="*", default=["tweets", "conll"])
    parser.add_argument("--seeds", type=int, default=SEEDS, choices=range(1, SEEDS + 1))
    parser.add_argument("--folder", type=Path, default=Path("transfer"))
    asked = parser.parse_args()
    for name, train, metrics in (
        ("tweets", tweets, ("accuracy", "macro_f1", "log_loss")),
        ("conll", conll, ("f1", "precision", "recall")),
    ):
        if name not in asked.sets:
            continue
        folder = asked.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            scores = train(folder, asked.seeds)
        except DataError as error:
            print(f"{name}: skipped ({error})")
            continue
        print(f"\n{name}, {asked.seeds} seeds: mean ± standard deviation")
        show(scores, metrics)


if __name__ == "__main__":
    main()
