"""The task as the engine sees it."""

import hashlib
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from elman.data import readers, splits
from elman.data.files import read_bytes
from elman.data.form import AS_TOLD, Facts
from elman.data.splits import Split
from elman.errors import DataError
from elman.training.options import OF_ANY_FILE, NetworkOptions, Option, Options
from elman.training.report import Baseline, Evaluation, Findings, Metric

name = "toy"
summary = "Train a network that continues lines."
formats = "Reads lines of text."
reading = OF_ANY_FILE
columns = {}
input_columns = ()
asked_columns = ()
shares = "0.8,0.1,0.1"
combine = None  # the mean of two guesses of the next character is no guess
metrics = {"nats": Metric("nats", higher_is_better=False, headline=True)}


class ToyOptions(NetworkOptions, frozen=True, kw_only=True):
    rules = {  # noqa: RUF012
        "batch_size": "8",
        "epochs": "2",
        "patience": "2",
        "learning_rate": "0.01",
        "weight_decay": "0.01",
        "embedding_size": "4",
        "hidden_size": "6",
        "dropout": "0.1",
    }
    smoothing: Annotated[float, Option("Of the targets.", ge=0, lt=1)] = 0.05


class ToyAnswers(Options, frozen=True, kw_only=True):
    length: Annotated[int, Option("Characters to add.", panel="output", ge=1)] = 3


options, answers, scoring = ToyOptions, ToyAnswers, Options


class Scored(Evaluation, frozen=True):
    nats: float


@dataclass(frozen=True)
class Lines:
    lines: list[str]
    source: str
    notes: tuple[str, ...] = ()
    facts: tuple[Facts, ...] = ()

    def __len__(self):
        return len(self.lines)

    def take(self, rows):
        return Lines([self.lines[i] for i in rows], self.source)

    def digest(self):
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


def claims(data):
    return isinstance(data, str | Path) and Path(data).suffix == ".toy"


def read(data, *, form=AS_TOLD, likely=None):
    lines = read_bytes(data).decode().split()
    if not lines:
        raise DataError(f"{data} is empty; give lines of text")
    return Lines(lines, str(data), facts=(Facts(str(data), "lines"),))


def join(parts):
    return Lines([line for part in parts for line in part.lines], parts[0].source)


def read_inputs(data, *, form=AS_TOLD, likely=None):
    return readers.read_inputs(data, form=form)


class Found(Findings, frozen=True):
    characters: int


def inspect(examples, others):
    return Found(len(examples), [*examples.notes], len({*"".join(examples.lines)}))


def split(examples, *, fractions=None, seed=0, valid=None, test=None):
    lines = examples.lines
    parts = [Lines(lines[i::4], examples.source) for i in range(2)]
    train = Lines(lines[2::4] + lines[3::4], examples.source)
    return Split(train, valid or parts[0], test or parts[1], ())


def folds(examples, *, count, seed):
    return splits.folds(
        examples,
        keys=lambda part: part.lines,
        strata=lambda part: [""] * len(part),
        count=count,
        valid=0.2,
        seed=seed,
        noun="line",
    )


def prepare(split, options, *, init=None, watch=None):
    from toy.network import ToyLearner

    settled = options.filled(
        batch_size=8,
        epochs=2,
        patience=2,
        learning_rate=0.01,
        weight_decay=0.01,
        embedding_size=4,
        hidden_size=6,
        dropout=0.1,
    )
    return ToyLearner(split, settled, init)


def predictor(learner, *, tuned=(), twin=None):
    from toy.network import ToyPredictor

    return ToyPredictor(learner.model, learner.characters)


def sizes(split):
    return {"lines": split.counts()}


def plain(options):
    return options


def baselines(split, options, predictor, seconds):
    text, truth = "".join(split.train.lines), "".join(split.test.lines)
    counts = Counter(text)
    total = len(text) + len({*text, *truth})
    nats = -np.mean([math.log((counts[c] + 1) / total) for c in truth])
    return [Baseline("unigram", Scored(len(truth), float(nats)), 0.0, len(split.train))]


def pooled(parts):
    count = sum(one.count for one in parts)
    return Scored(count, sum(one.nats * one.count for one in parts) / count)


def resampled(rows, weights, *, predictor=None, metrics=()):
    nats, sizes = (np.array([row[key] for row in rows]) for key in ("nats", "characters"))
    return {"nats": weights @ (nats * sizes) / (weights @ sizes)}


def files(name, learner, report):
    return {"README.md": f"# {name}\n".encode()}


def load(stored, *, backend="auto"):
    from toy.network import load

    return load(stored, backend=backend)
