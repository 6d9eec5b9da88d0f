"""What is said of a model: scores, baselines, the report of a whole run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import msgspec

from elman.text.summary import Summary, Table
from elman.text.terminal import counted

SCRATCH = "the same network from scratch"
"""The name of a baseline: of a network that started from a language model."""


class Metric(msgspec.Struct, frozen=True):
    """How a number is shown and compared."""

    title: str
    digits: int = 4
    higher_is_better: bool = True
    headline: bool = False
    """Whether it stands in the short tables beside that by which a model is judged."""


class Evaluation(Summary, msgspec.Struct, frozen=True):
    """Scores of one model on one part of the data; a task adds its own fields."""

    count: int
    """Examples that were judged."""

    @property
    def metrics(self) -> dict[str, float]:
        """Every field that is declared a float, by name; the first decides who won."""
        names = (field.name for field in msgspec.structs.fields(self) if field.type is float)
        return {name: float(getattr(self, name)) for name in names}

    @property
    def main(self) -> list[str]:
        """The names of the metrics for which a table has room."""
        return [*self.metrics]

    def summary(self) -> Iterable[str | Table]:
        """Say how many examples were judged, and how well."""
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        yield f"{counted(self.count, 'example')}: {scores}"


ScoresT = TypeVar("ScoresT", bound=Evaluation)


class Findings(Summary, msgspec.Struct, frozen=True):
    """What ``elman check`` says of data; a task adds its own fields."""

    rows: int
    """Examples that would be used."""
    notes: list[str]
    """What looks wrong or was changed, one sentence each."""


class Baseline(Summary, msgspec.Struct, frozen=True):
    """One simple model's scores on the same test part."""

    name: str
    test: Evaluation
    seconds: float
    """Of training and judging it."""
    trained_on: int
    """Training examples used; fewer than all only where their size would take gigabytes."""
    constant: bool = False
    """Whether it answers everything alike: a network that is no better has learned nothing."""
    network: bool = False
    """Whether it is the model's own network, without what stands beside it."""

    def summary(self) -> Iterable[str | Table]:
        """Say what it is and how good."""
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self.test.metrics.items())
        yield f"{self.name}: {scores}"


class Training(msgspec.Struct, frozen=True):
    """One of several trainings of a run: from a seed, or for a fold."""

    name: str
    """``seed 3``, ``fold 1``."""
    seed: int
    count: int
    """Examples that it was judged on."""
    metrics: dict[str, float]
    """Of its test part, by names of the task's metrics."""
    baselines: dict[str, dict[str, float]]
    """Likewise, where they too were trained for it: of a fold."""
    score: float | None
    """What early stopping looked at, higher is better; None without a validation part."""
    epochs: int
    best_epoch: int
    seconds: float
    """Of training alone."""
    failed: str = ""
    """Why it has failed, one sentence, or nothing."""


class Spread(msgspec.Struct, frozen=True):
    """How one model does over several trainings, by names of the task's headline metrics."""

    name: str
    mean: dict[str, float]
    deviation: dict[str, float]
    """The sample's standard deviation; 0 for a single training."""

    def shown(self, name: str, metric: Metric) -> str:
        """Return mean ± standard deviation of one metric."""
        deviation = f"{self.deviation[name]:.{max(metric.digits - 1, 0)}f}"
        return f"{self.mean[name]:.{metric.digits}f} ± {deviation}"


class Final(msgspec.Struct, frozen=True):
    """A last fit, on all data; what is kept is not what was judged."""

    count: int
    """Examples that the kept model saw."""
    epochs: list[int]
    """Of each of its networks."""


@dataclass(frozen=True)
class ScoreRow:
    """A row of the table of scores: a model, or one of several trainings."""

    name: str
    values: Mapping[str, float]
    seconds: float | None
    metrics: Mapping[str, Metric]
    """The columns."""
    spread: Spread | None = None
    """Where means of several trainings are shown."""
    single: bool = False
    """Whether it is a part of what stands in another row."""

    @property
    def cells(self) -> list[str]:
        """What is shown of each metric."""
        if self.spread is not None:
            return [self.spread.shown(name, metric) for name, metric in self.metrics.items()]
        return [f"{self.values[name]:.{one.digits}f}" for name, one in self.metrics.items()]

    @property
    def shown_seconds(self) -> str:
        """The seconds, where they are known."""
        return "" if self.seconds is None else f"{self.seconds:.1f}"


class Report(Summary, msgspec.Struct, Generic[ScoresT], frozen=True):
    """What is known of a finished run: metrics.json, and what ``train --json`` prints."""

    task: str
    data: str
    test: ScoresT
    baselines: list[Baseline]
    sizes: dict[str, dict[str, int]]
    """Examples of each kind (class, tag) in each part of the split."""
    parameters: int
    seconds: float
    """Of training alone."""
    epochs: int
    best_epoch: int
    stopped: str
    """Why training was cut short, one sentence, or nothing."""
    notes: list[str]
    ended: str = ""
    """Why training ended by itself, as the end of "training ended", or nothing."""
    test_notes: list[str] = []
    """Those of the notes without which the scores would be misread."""
    digest: str = ""
    """A hash of all examples of the three parts."""
    parts: dict[str, int] = {}
    """Examples of each part of the split."""
    warnings: list[str] = []
    """What is wrong with the model, one sentence each."""
    name: str = "this model"
    """What was judged: the model, or several together."""
    trainings: list[Training] = []
    """Each of several seeds or folds; nothing of a single one."""
    spread: list[Spread] = []
    """How far these are apart: of the network, and of a cross-validation's baselines."""
    final: Final | None = None
    """Of a model that was trained on all data after the scores."""

    def rows(self, metrics: Mapping[str, Metric]) -> list[ScoreRow]:
        """Return the rows of the table of scores.

        Of several trainings each has a row, then how far they are apart. Of a cross-validation
        means stand in place of scores.
        """
        judged = [(self.name, self.test.metrics, self.seconds)]
        judged += [(one.name, one.test.metrics, one.seconds) for one in self.baselines]
        whole = [ScoreRow(name, values, seconds, metrics) for name, values, seconds in judged]
        each = [
            ScoreRow(one.name, one.metrics, one.seconds, metrics, single=True)
            for one in self.trainings
        ]
        if len(self.spread) > 1:  # of folds: every model has its own
            pairs = zip(self.spread, whole, strict=True)
            return [*each, *(replace(row, name=one.name, spread=one) for one, row in pairs)]
        apart = [ScoreRow(one.name, one.mean, None, metrics, one, True) for one in self.spread]
        return [whole[0], *each, *apart, *whole[1:]]

    def summary(self) -> Iterable[str | Table]:
        """Say how good the network is beside its baselines, and how it was trained."""
        yield f"{self.data}: {counted(self.test.count, 'test example')}"
        names = [*self.spread[0].mean] if self.spread else self.test.main
        rows = self.rows({name: Metric(name) for name in names})
        yield Table(
            ["", *names, "seconds"], [[row.name, *row.cells, row.shown_seconds] for row in rows]
        )
        if self.spread:
            yield f"mean ± standard deviation over {counted(len(self.trainings), 'training')}"
        course = f"{counted(self.epochs, 'epoch')}, the weights of epoch {self.best_epoch} kept; "
        yield f"{course if self.epochs else ''}{self.parameters:,} parameters"
        yield from self.test_notes
        if self.stopped:
            yield self.stopped
        if self.notes:
            yield f"{counted(len(self.notes), 'note')} about the data in .notes"


def shown_as(name: str, metrics: Mapping[str, Metric]) -> Metric:
    """Return how a number is shown: a row of the task's, also of one class, as in ``f1:spam``."""
    kind, _, label = name.partition(":")
    metric = metrics.get(kind, Metric(kind))
    return msgspec.structs.replace(metric, title=f"{metric.title} of {label}") if label else metric


def headline(scores: Mapping[str, float], metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Return what the short tables show of ``scores``: first that which decides who won."""
    first = next(iter(scores))
    others = (name for name, metric in metrics.items() if metric.headline and name in scores)
    return {name: shown_as(name, metrics) for name in (first, *others)}


def outdone(report: Report[Any], metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Say of each baseline that does better than what was judged by how much it does."""
    own = report.test.metrics
    for one in report.baselines:
        theirs, better = one.test.metrics, []
        for name, metric in headline(own, metrics).items():
            ahead = theirs[name] - own[name]
            if (ahead if metric.higher_is_better else -ahead) > 0:
                values = (f"{value[name]:.{metric.digits}f}" for value in (theirs, own))
                better.append(f"{metric.title} {' against '.join(values)}")
        if better:
            yield f"{one.name} does better here than this model: {', '.join(better)}"


def helped(report: Report[Any], metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Say how much it helped that the network started from a language model, where it did."""
    fresh = next((one.test for one in report.baselines if one.name == SCRATCH), None)
    if fresh is None:
        return
    alone = next((one.test for one in report.baselines if one.network), None)
    own, who = (report.test, "the network") if alone is None else (alone, "the network alone")
    name, metric = next(iter(headline(own.metrics, metrics).items()))
    with_, without = own.metrics[name], fresh.metrics[name]
    gain = (with_ - without) * (1 if metric.higher_is_better else -1)
    word = "better" if gain > 0 else "worse" if gain < 0 else "no different"
    by = f"{abs(gain):.{metric.digits}f} {word}" if gain else word
    yield (
        f"started from the language model {who} has {metric.title} {with_:.{metric.digits}f}, from "
        f"scratch {without:.{metric.digits}f}: {by}, on {counted(own.count, 'test example')}"
    )
