"""The classifier by words beside the strongest linear models, on a collection of English and
Russian sets, each cut three times.

    python benchmarks/words.py [--sets trec,cr,...] [--seeds 3] [--texts N] [--json FILE]

Prints one table: accuracy and macro-F1 in percent, means over the seeds. Each set is cut 80/20,
stratified, with another seed each time, its equal texts cut to one; all models see the same 80 %.
Nothing is chosen here: the defaults were, on validation parts of the 80 % alone. ``--sets
trial`` takes the cuts of the trial that this model came of: TREC's own test part, the hate-speech
tweets 80/20 and RuSentiTweet 85/15, equal texts and all. With ``--inner`` the test parts are left
alone, and a fifth of each training part takes their place: choices are made there.

* words 1-2: TF-IDF of words 1-2 that stand in two texts, logistic regression: what Elman had beside
  the network before.
* linear: TF-IDF of characters 1-5 within words and words 1-2, logistic regression with C = 10.
* NB-SVM: Wang & Manning 2012, words 1-2, as a linear support vector machine.
* fastText: Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification": the mean of the
  vectors of words and pairs, 10 dimensions, 5 epochs (Russian and small sets need more: 25).

The sets are the built-in tweets and files of ``../shared/data`` (or ``$ELMAN_DATA``); those that
are not there are skipped.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

import elman
from elman.data.source import read_data
from elman.text.tokenizer import words

DATA = Path(os.environ.get("ELMAN_DATA", Path(__file__).parents[2] / "shared" / "data"))
Pairs = list[tuple[str, str]]


def csv_rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def label_first(name: str) -> Pairs:
    lines = []
    for line in (DATA / name).read_bytes().split(b"\n"):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            lines.append(line.decode("latin-1"))
    split = (line.strip().split(" ", 1) for line in lines)
    return [(one[1], one[0]) for one in split if len(one) == 2]


def sentences(name: str) -> Iterator[tuple[str, str]]:
    """Yield (sent_id, text) of a CoNLL-U file."""
    path = DATA / name
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open() as file:
        for line in file:
            if line.startswith("# sent_id"):
                name = line.split("=")[1].strip()
            if line.startswith("# text ="):
                text = line.split("=", 1)[1].strip()
                if len(text) > 10:
                    yield name, text


def cedr() -> Pairs:
    """Sentences with one emotion, or none."""
    found = ((row["text"], re.findall(r"\d", row["labels"])) for row in csv_rows(CEDR))
    return [(text, labels[0] if labels else "none") for text, labels in found if len(labels) < 2]


CEDR = "sentiment_ru/cedr_train.csv"
GENRES = {
    "news and wiki": "pos/ru_gsd-ud-dev.conllu",
    "web": "pos/ru_taiga-ud-dev.conllu",
    "poetry": "pos/ru_poetry-ud-dev.conllu",
    "social": "pos/ru_GramEval2020-Taiga-social-train.conllu",
}
SETS: dict[str, Callable[[], Pairs]] = {
    "trec": lambda: label_first("sentiment_en/TREC.train.all"),
    "reviews": lambda: label_first("sentiment_en/custrev.all"),
    "rusentitweet": lambda: [
        (row["text"], row["label"]) for row in csv_rows("sentiment_ru/rusentitweet_train.csv")
    ],
    "cedr": cedr,
    "ewt genres": lambda: [
        (text, name.split("-")[0]) for name, text in sentences("pos/en_ewt-ud-train.conllu.gz")
    ],
    "ru genres": lambda: [
        (text, genre) for genre, name in GENRES.items() for _, text in sentences(name)
    ],
    "tweets": lambda: [*zip(*(lambda e: (e.texts, e.labels))(read_data("tweets")), strict=True)],
    "hate": lambda: [
        (row["tweet"], row["label"]) for row in csv_rows("sentiment_en/twitter_hate_train.csv")
    ],
}


TRIAL: dict[str, tuple[str, float | str]] = {
    "trec own test": ("trec", "sentiment_en/TREC.test.all"),
    "hate 80/20": ("hate", 0.2),
    "ruse 85/15": ("rusentitweet", 0.15),
}
"""Whose texts, and the share or file to test on."""


def cut(name: str, seed: int, most: int | None) -> tuple[Pairs, Pairs]:
    """Return the texts to train and to test on."""
    if name not in TRIAL:
        return different(SETS[name](), seed, most)
    of, rest = TRIAL[name]
    pairs = SETS[of]()
    if isinstance(rest, str):
        return pairs, label_first(rest)
    train, test = train_test_split(
        pairs, test_size=rest, random_state=seed, stratify=[label for _, label in pairs]
    )
    return train, test


def different(pairs: Pairs, seed: int, most: int | None) -> tuple[Pairs, Pairs]:
    """Return 80 and 20 % of the different texts, stratified."""
    unique = list({text: (text, label) for text, label in reversed(pairs)}.values())
    counts = Counter(label for _, label in unique)
    unique = [pair for pair in unique if counts[pair[1]] >= 5]
    if most and len(unique) > most:
        unique, _ = train_test_split(
            unique, train_size=most, random_state=0, stratify=[label for _, label in unique]
        )
    train, test = train_test_split(
        unique, test_size=0.2, random_state=seed, stratify=[label for _, label in unique]
    )
    return train, test


def before(texts: list[str], labels: list[str], test: list[str]) -> np.ndarray:
    features = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2), min_df=2,
        sublinear_tf=True,
    )  # fmt: skip
    model = make_pipeline(features, LogisticRegression(C=10, max_iter=200, tol=1e-3))
    return model.fit(texts, labels).predict_proba(test)


def linear(texts: list[str], labels: list[str], test: list[str]) -> np.ndarray:
    shared = {"sublinear_tf": True, "dtype": np.float32}
    features = make_union(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), **shared),
        TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), **shared),
    )
    model = make_pipeline(features, LogisticRegression(C=10, max_iter=300, tol=1e-3))
    return model.fit(texts, labels).predict_proba(test)


class _Ratio:
    """Binary features scaled by their log-count ratios, then a linear machine."""

    def __init__(self) -> None:
        self.machine = LinearSVC(C=0.1, random_state=0)

    def get_params(self, deep: bool = True) -> dict:
        return {}

    def fit(self, x, y):
        inside, outside = (1 + np.asarray(x[y == one].sum(0)).ravel() for one in (1, 0))
        self.ratio = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
        self.classes_ = np.unique(y)
        self.machine.fit(x.multiply(self.ratio).tocsr(), y)
        return self

    def decision_function(self, x):
        return self.machine.decision_function(x.multiply(self.ratio).tocsr())


def nb_svm(texts: list[str], labels: list[str], test: list[str]) -> np.ndarray:
    count = CountVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), binary=True)
    matrix, target = count.fit_transform(texts).astype(np.float64), np.asarray(labels)
    other = count.transform(test).astype(np.float64)
    names = np.unique(target)
    scores = [
        _Ratio().fit(matrix, (target == name).astype(int)).decision_function(other)
        for name in names
    ]
    return np.stack(scores, axis=1)


def fast_text(texts: list[str], labels: list[str], test: list[str], epochs: int) -> np.ndarray:
    """Return class scores of fastText's supervised recipe, with its own defaults."""
    torch.manual_seed(0)
    names = {name: i for i, name in enumerate(sorted(set(labels)))}
    ids: dict[str, int] = {}

    def rows(some: list[str], grow: bool) -> list[list[int]]:
        found = []
        for text in some:
            words = re.findall(r"\w+|[^\w\s]", text.lower())
            tokens = [*words, *map(" ".join, pairwise(words))]
            if grow:
                found.append([ids.setdefault(t, len(ids)) for t in tokens])
            else:
                found.append([ids[t] for t in tokens if t in ids])
        return found

    def packed(some: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        sizes = np.array([len(one) for one in some])
        return torch.tensor([i for one in some for i in one]), torch.from_numpy(
            np.cumsum(sizes) - sizes
        )

    read, target = rows(texts, True), torch.tensor([names[label] for label in labels])
    bag = torch.nn.EmbeddingBag(len(ids) + 1, 10, mode="mean", sparse=True)
    torch.nn.init.uniform_(bag.weight, -0.1, 0.1)
    out = torch.nn.Linear(10, len(names), bias=False)
    torch.nn.init.zeros_(out.weight)
    optimiser = torch.optim.SGD([*bag.parameters(), *out.parameters()], lr=0.5)
    steps = epochs * len(read) // 8
    for step in range(steps):
        chosen = torch.randint(len(read), (8,)).tolist()
        optimiser.param_groups[0]["lr"] = 0.5 * 8 * (1 - step / steps)
        loss = torch.nn.functional.cross_entropy(
            out(bag(*packed([read[i] for i in chosen]))), target[chosen]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.inference_mode():
        return out(bag(*packed(rows(test, False)))).numpy()


def scores(predicted: np.ndarray, truth: list[str]) -> tuple[float, float]:
    right = float(np.mean(predicted == np.asarray(truth)))
    return 100 * right, 100 * float(f1_score(truth, predicted, average="macro"))


def one_run(
    name: str, seed: int, most: int | None, inner: bool, options: dict[str, object]
) -> dict[str, float]:
    """Train all models on one cut; return their figures."""
    train, test = cut(name, seed, most)
    if inner:
        train, test = different(train, seed, None)
    (texts, labels), (unseen, truth) = (
        tuple(map(list, zip(*part, strict=True))) for part in (train, test)
    )
    names = np.unique(labels)
    figures: dict[str, float] = {"texts": len(texts)}

    def add(who: str, probabilities: np.ndarray) -> None:
        figures[f"{who} accuracy"], figures[f"{who} f1"] = scores(
            names[probabilities.argmax(axis=1)], truth
        )
        if len(names) == 2:
            last = np.asarray(truth) == names[1]
            column = probabilities[:, 1] - probabilities[:, 0]
            figures[f"{who} rare f1"] = 100 * f1_score(last, probabilities.argmax(axis=1) == 1)
            figures[f"{who} average precision"] = 100 * average_precision_score(last, column)

    add("words 1-2", before(texts, labels, unseen))
    add("linear", linear(texts, labels, unseen))
    add("nb-svm", nb_svm(texts, labels, unseen))
    for epochs in (5, 25):
        add(f"fastText {epochs}", fast_text(texts, labels, unseen, epochs))
    start = time.perf_counter()
    trained = elman.train(train, test=test, seed=seed, task="classify", **options)
    figures["seconds"] = time.perf_counter() - start
    add("elman", trained.model.predict_proba(unseen))
    if len(names) == 2:  # with the threshold that was chosen
        answered = np.asarray(trained.model.predict(unseen)) == names[1]
        figures["elman rare f1"] = 100 * f1_score(np.asarray(truth) == names[1], answered)
    figures["calibration"] = trained.report.test.calibration_error
    figures["by chance"] = trained.report.test.calibration.by_chance
    for one in trained.report.baselines[1:]:
        key = "network" if "network" in one.name else "ngrams"
        figures[f"{key} accuracy"] = 100 * one.test.metrics["accuracy"]
        figures[f"{key} f1"] = 100 * one.test.metrics["macro_f1"]
    return figures


LINEAR = ("linear", "nb-svm", "fastText 5", "fastText 25")


def row(name: str, runs: list[dict[str, float]]) -> str:
    """Return a set's line: means over its cuts."""
    mean = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
    best = [max(mean[f"{one} {key}"] for one in LINEAR) for key in ("accuracy", "f1")]
    cells = [f"{mean[f'{one} accuracy']:5.1f}/{mean[f'{one} f1']:4.1f}" for one in LINEAR]
    cells += [
        f"{mean[f'{one} accuracy']:5.1f}/{mean[f'{one} f1']:4.1f}"
        for one in ("words 1-2", "ngrams", "network", "elman")
    ]
    ahead = [mean["elman accuracy"] - best[0], mean["elman f1"] - best[1]]
    rare = ""
    if "elman rare f1" in mean:
        rare = " ".join(
            f"{mean[f'{one} rare f1']:.1f}/{mean[f'{one} average precision']:.1f}"
            for one in ("linear", "elman")
        )
    return (
        f"{name:13s}{mean['texts']:7,.0f} "
        + " ".join(cells)
        + f"  {ahead[0]:+5.2f}/{ahead[1]:+5.2f}  {mean['calibration']:.3f}/{mean['by chance']:.3f}"
        + f" {mean['seconds']:5.0f} {rare}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--texts", type=int)
    parser.add_argument("--json")
    parser.add_argument("--inner", action="store_true", help="leave test parts alone: for choices")
    parser.add_argument("--options", type=json.loads, default={}, help="of elman.train, as JSON")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"{torch.get_num_threads()} threads, {asked.seeds} cuts; accuracy/macro-F1 in percent")
    heads = ("linear", "NB-SVM", "fastText5", "fastText25")
    heads += ("words 1-2", "n-grams", "network", "elman")
    print(
        f"{'set':13s}{'texts':>7} "
        + " ".join(f"{head:>10s}" for head in heads)
        + "  ahead of best  ECE/by chance seconds  rare class F1/AP: linear, elman"
    )
    found = {}
    for name in TRIAL if asked.sets == "trial" else asked.sets.split(","):
        try:
            found[name] = [
                one_run(name, seed, asked.texts, asked.inner, asked.options)
                for seed in range(asked.seeds)
            ]
        except FileNotFoundError as error:
            print(f"{name}: skipped, as there is no {error.filename}")
            continue
        print(row(name, found[name]), flush=True)
    if found:
        mean = {
            key: np.mean([max_ahead(runs, key) for runs in found.values()])
            for key in ("accuracy", "f1")
        }
        print(
            f"mean ahead of the best linear model: {mean['accuracy']:+.2f} accuracy, "
            f"{mean['f1']:+.2f} macro-F1"
        )
    if asked.json:
        Path(asked.json).write_text(json.dumps(found, indent=1))


def max_ahead(runs: list[dict[str, float]], key: str) -> float:
    """Return by how much Elman is ahead of the best linear model of a set, in the mean."""
    mean = {one: np.mean([run[f"{one} {key}"] for run in runs]) for one in (*LINEAR, "elman")}
    return float(mean["elman"] - max(mean[one] for one in LINEAR))


if __name__ == "__main__":
    main()
