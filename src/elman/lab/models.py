"""Saved models side by side on the same labelled examples: are they really different?

Each example is answered by every model, so what is compared is paired: the interval of a difference
is a bootstrap over examples (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section
13.3, percentiles), in which all models see the same resample, and right and wrong answers are
compared by McNemar's test in its exact form, a binomial of 0.5 over the examples on which one of
two models is right and the other wrong (McNemar 1947; Dietterich 1998, "Approximate Statistical
Tests for Comparing Supervised Classification Learning Algorithms", section 3.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Unpack

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman import api, tasks
from elman.errors import ConfigError, DataError
from elman.keywords import DataOptions
from elman.text.summary import Summary, Table
from elman.text.terminal import counted
from elman.training.options import Device
from elman.training.report import Metric, shown_as
from elman.training.task import Predictor, Task
from elman.training.trained import Trained

RESAMPLES = 2_000
CONFIDENCE = 0.95
CHANCE = 0.05
"""A probability from which on a difference is called chance."""
_FEW_PAIRS = 3  # whose sentences fit a screen
_AT_ONCE = 1_000_000  # weights of resamples in memory at a time

Rows = list[dict[str, Any]]
Values = dict[str, NDArray[np.float64]]


class Judged(msgspec.Struct, frozen=True):
    """One of the models, by itself."""

    name: str
    metrics: dict[str, float]
    parameters: int


class Difference(msgspec.Struct, frozen=True):
    """Of one metric: the second model less the first, with its interval."""

    value: float
    low: float
    high: float


class Pair(msgspec.Struct, frozen=True):
    """Two of the models on the same examples."""

    first: str
    second: str
    differences: dict[str, Difference]
    """By names of the task's metrics."""
    only_first: int | None = None
    """Examples on which the first is right and the second wrong; None where a task's answers are
    neither right nor wrong."""
    only_second: int | None = None
    p_value: float | None = None
    """How probable counts at least as uneven are between equally good models (McNemar, exact)."""

    def sentences(self, metrics: Mapping[str, Metric], noun: str) -> Iterator[str]:
        """Say in plain words by how much the two differ, and whether that may be chance."""
        for name, one in self.differences.items():
            metric = shown_as(name, metrics)
            yield f"{metric.title}: {self._by_how_much(one, metric)}"
        if self.p_value is None or self.only_first is None or self.only_second is None:
            return
        if not self.only_first + self.only_second:
            yield f"{self.first} and {self.second} are right and wrong on the same examples"
            return
        chance = self.p_value >= CHANCE
        verdict = "this may well be chance" if chance else "that is hardly chance"
        yield (
            f"{self.second} is right on {counted(self.only_second, noun)} where {self.first} is "
            f"wrong, and wrong on {self.only_first:,} where {self.first} is right: "
            f"{_probability(self.p_value)} (McNemar's exact test), {verdict}"
        )

    def _by_how_much(self, one: Difference, metric: Metric) -> str:
        interval = f"95 % interval {one.low:+.{metric.digits}f} to {one.high:+.{metric.digits}f}"
        size = f"{abs(one.value):.{metric.digits}f}"
        if not float(size):
            return f"{self.second} and {self.first} are equal ({interval})"
        side = "above" if one.value > 0 else "below"
        return f"{self.second} is {size} {side} {self.first} ({interval})"


class ModelComparison(Summary, msgspec.Struct, frozen=True):
    """What ``elman compare --models`` prints."""

    task: str
    data: str
    count: int
    """Examples that every model has judged."""
    skipped: int
    """Examples to which one of them has no answer, such as a text of length 0."""
    models: list[Judged]
    pairs: list[Pair]
    """Each model with each that comes after it."""
    resamples: int
    confidence: float
    """Of the intervals."""
    seed: int
    left_out: list[str] = []
    """What models were asked to be good at and single answers do not tell, so not compared."""

    def sentences(self, most: int | None = None) -> Iterator[str]:
        """Say of each pair, or of the first ``most``, how it differs."""
        task = tasks.find(self.task)
        noun = tasks.pages(task).NOUN
        for pair in self.pairs[:most]:
            yield from pair.sentences(task.metrics, noun)
        for name in self.left_out:
            title = shown_as(name, task.metrics).title
            yield (
                f"{title} (--metric) rests on all probabilities and is not compared; "
                "`elman evaluate` has it for each model"
            )

    def head(self) -> str:
        """Say what the models were judged on."""
        noun = tasks.pages(tasks.find(self.task)).NOUN
        skipped = f" ({self.skipped:,} without an answer left out)" if self.skipped else ""
        return f"{self.data}: {counted(self.count, noun)}{skipped}"

    def summary(self) -> Iterator[str | Table]:
        """Say how good each model is, and of each pair how it differs."""
        yield self.head()
        metrics = self.models[0].metrics
        rows = [
            [one.name, *(f"{one.metrics[name]:.4f}" for name in metrics)] for one in self.models
        ]
        yield Table(["", *metrics], rows)
        most = _FEW_PAIRS if len(self.pairs) <= _FEW_PAIRS else 1
        yield from self.sentences(most)
        if len(self.pairs) > most:
            yield f"and {counted(len(self.pairs) - most, 'more pair')}: .sentences() has all"


@api.shows(DataOptions)
def compare_models(
    models: Sequence[Predictor | Trained[Any, Any] | str | Path],
    data: Any,
    *,
    device: Device = "cpu",
    resamples: int = RESAMPLES,
    seed: int = 0,
    **options: Unpack[DataOptions],
) -> ModelComparison:
    """Judge two or more models on the same labelled examples, and say whether they differ.

    Args:
        models: models, what ``train`` returned, or folders; of one task and the same classes.
        data: as ``evaluate`` takes it; files are read as the first model's training data were.
        device: what computes, for those that are folders.
        resamples: how often the examples are drawn anew for the intervals.
        seed: of the drawing.
        **options: the task's columns, such as ``text="review"``, and how files are read.

    Raises:
        BundleError, ConfigError, DataError: the request cannot work.
    """
    if isinstance(models, str | Path) or not isinstance(models, Sequence) or len(models) < 2:
        raise ConfigError(f"models is {models!r:.80}; give a list of two or more models")
    for name, number, least in (("resamples", resamples, 100), ("seed", seed, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ConfigError(f"{name} is {number!r}; it must be a whole number of {least} or more")
    given = [api.model_given(one) for one in models]
    names = _names(models)
    task = given[0].task
    for name, one in zip(names, given, strict=True):
        if one.task.name != task.name:
            raise ConfigError(
                f"{names[0]} is a model of the task {task.name}, {name} of {one.task.name}; "
                "models of one task can be compared"
            )
    examples = api.read_labelled(given[0], data, options)
    loaded = [one.load(device) for one in given]
    _refuse_other_classes(names, loaded)
    return compare_answers(
        task, examples, dict(zip(names, loaded, strict=True)), resamples=resamples, seed=seed
    )


def compare_answers(
    task: Task,
    examples: Any,
    models: Mapping[str, Predictor],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ModelComparison:
    """Compare models, by their names, on examples of their task.

    By the headline metrics, and first by those that the models were asked to be good at.

    Raises:
        DataError: there is nothing to judge on, or a model answers another kind of labels.
    """
    answers = [_answers(name, model, examples) for name, model in models.items()]
    judged = _judged_by_all(answers)
    if not judged or not judged[0]:
        raise DataError(f"{examples.source}: there is nothing to judge on")
    count = len(judged[0])
    wanted = [*dict.fromkeys(model.metric for model in models.values() if model.metric)]
    answered = [*zip(models.values(), judged, strict=True)]
    metrics = [_metrics(task, *one, np.ones((1, count)), wanted) for one in answered]
    drawn = _resampled(task, answered, wanted, resamples, seed)
    return ModelComparison(
        task=task.name,
        data=examples.source,
        count=count,
        skipped=len(examples) - count,
        models=[
            Judged(name, {key: float(values[0]) for key, values in own.items()}, one.num_parameters)
            for (name, one), own in zip(models.items(), metrics, strict=True)
        ],
        pairs=[
            _pair(names, [metrics[i] for i in at], [drawn[i] for i in at], [judged[i] for i in at])
            for at, names in zip(
                combinations(range(len(models)), 2), combinations(models, 2), strict=True
            )
        ],
        resamples=resamples,
        confidence=CONFIDENCE,
        seed=seed,
        left_out=[name for name in wanted if name not in metrics[0]],
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Args:
        only_first: how often the first alone is right.
        only_second: how often the second alone is right.
    """
    from scipy.stats import binomtest

    if not only_first + only_second:
        return 1.0
    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)


def _answers(name: str, model: Predictor, examples: Any) -> Rows:
    try:
        return list(model.predictions(examples))
    except DataError as error:
        raise DataError(f"{name} cannot be judged on the data: {error}") from error


def _judged_by_all(answers: Sequence[Rows]) -> list[Rows]:
    """Return for each model its rows of those examples to which every model has an answer."""
    whole = [
        i
        for i, rows in enumerate(zip(*answers, strict=True))
        if all(row.get("correct", True) is not None for row in rows)
    ]
    return [[rows[i] for i in whole] for rows in answers]


def _metrics(
    task: Task,
    model: Predictor,
    rows: Rows,
    weights: NDArray[np.float64],
    wanted: Sequence[str],
) -> Values:
    """Return the metrics that are wanted, and the headline ones, for each row of ``weights``."""
    values = task.resampled(rows, weights, predictor=model, metrics=wanted)
    headline = (name for name, one in task.metrics.items() if one.headline)
    return {name: values[name] for name in (*wanted, *headline) if name in values}


def _resampled(
    task: Task,
    answered: Sequence[tuple[Predictor, Rows]],
    wanted: Sequence[str],
    resamples: int,
    seed: int,
) -> list[Values]:
    """Return for each model its metrics over each resample: the same resamples for all."""
    rng, count = np.random.default_rng(seed), len(answered[0][1])
    parts: list[list[Values]] = []
    done = 0
    while done < resamples:
        size = min(max(_AT_ONCE // count, 1), resamples - done)
        places = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        often = np.bincount(places.ravel(), minlength=size * count).reshape(size, count)
        weights = often.astype(np.float64)
        parts.append([_metrics(task, *one, weights, wanted) for one in answered])
        done += size
    return [
        {name: np.concatenate([part[i][name] for part in parts]) for name in parts[0][i]}
        for i in range(len(answered))
    ]


def _pair(
    names: tuple[str, str],
    metrics: Sequence[Values],
    drawn: Sequence[Values],
    rows: Sequence[Rows],
) -> Pair:
    tails = 100 * (1 - CONFIDENCE) / 2
    differences = {}
    for name in metrics[0]:
        low, high = np.percentile(drawn[1][name] - drawn[0][name], [tails, 100 - tails])
        value = metrics[1][name][0] - metrics[0][name][0]
        differences[name] = Difference(float(value), float(low), float(high))
    if "correct" not in rows[0][0]:
        return Pair(*names, differences)
    right = [np.array([row["correct"] for row in own]) for own in rows]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Pair(*names, differences, only_first, only_second, mcnemar(only_first, only_second))


def _names(models: Sequence[Any]) -> list[str]:
    """Return a name for each model: that of its folder, where these differ."""
    paths = [
        str(one) if isinstance(one, str | Path) else f"model {i}"
        for i, one in enumerate(models, start=1)
    ]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError(f"two of the models are both {path}; give different ones")
    short = [Path(path).name or path for path in paths]
    return short if len({*short}) == len(short) else paths


def _refuse_other_classes(names: Sequence[str], models: Sequence[Predictor]) -> None:
    first = {*getattr(models[0], "classes", ())}
    for name, model in zip(names[1:], models[1:], strict=True):
        others = {*getattr(model, "classes", ())}
        if others == first:
            continue
        who = (names[0], name) if first - others else (name, names[0])
        more = sorted(first - others or others - first)
        shown = ", ".join(map(repr, more[:5])) + (" …" if len(more) > 5 else "")
        raise ConfigError(
            f"{who[0]} knows classes that {who[1]} does not ({shown}); models of the same classes "
            "can be compared"
        )


def _probability(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
