"""Writing with a unit held: how the label of what is written moves with its value.

As Radford et al. 2017, section 4.3 and figure 7, but counted, and judged by a classifier that has
never seen the language model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from elman import api, tasks
from elman.data.examples import Examples
from elman.data.splits import Split
from elman.errors import ConfigError
from elman.lab.units.finding import FoundUnits, check_number
from elman.lab.units.states import Unit, Watch, check_unit, values_of
from elman.text.summary import Summary, Table
from elman.text.terminal import counted
from elman.training.fitting import fit
from elman.training.trained import Trained

if TYPE_CHECKING:
    from elman.tasks.classify.predictor import TextClassifierModel

COUNT = 200
LONGEST = {"characters": 200, "bytes": 200, "words": 50, "bpe": 80}
EXAMPLES = 3
SAMPLE = 500
"""Texts that the lowest and the highest value are taken of."""
EDGE = 0.01
"""Share of the values on the way through these that is lower, or higher."""


class Written(msgspec.Struct, frozen=True):
    """What was written with the unit held at one value."""

    value: float | None
    """None: not held."""
    shares: dict[str, float]
    """For each label the share of the texts to which the judge gave it."""
    mean_length: float
    """Characters of a text."""
    nats: float
    """How unlikely the model finds a token of them when nothing is held: it rises where the value
    makes it write what it otherwise would not."""
    examples: list[str]


class Steering(Summary, msgspec.Struct, frozen=True):
    """How the label of what a language model writes moves with one of its units."""

    unit: str
    label: str
    """What the unit was found to tell."""
    high: bool
    count: int
    """Texts that were written for each value."""
    judge: str
    judge_accuracy: float | None
    """Of the judge on the held-out texts, where it has the same labels."""
    real: dict[str, float]
    """What the judge says of the held-out texts, which people have written."""
    rows: list[Written]
    """The unit not held, then held from low to high."""

    def margin(self, share: float) -> float:
        """Return the standard error of a share of the written texts."""
        return math.sqrt(share * (1 - share) / self.count)

    def head(self) -> str:
        """Say what was held, and who judged."""
        side = "high" if self.high else "low"
        told = "" if self.judge_accuracy is None else f", right on {self.judge_accuracy:.1%}"
        return (
            f"unit {self.unit}, {side} for {self.label}: {counted(self.count, 'text')} a row, "
            f"judged by {self.judge}{told}"
        )

    def table(self) -> Table:
        """Return the share of each label for each value of the unit, and what else is told."""
        labels = list(self.real)
        rows = []
        for one in self.rows:
            name = "not held" if one.value is None else f"{one.value:+.3f}"
            shares = (one.shares[label] for label in labels)
            cells = (f"{s:.1%} ± {self.margin(s):.1%}" for s in shares)
            rows.append([name, *cells, f"{one.nats:.2f}", f"{one.mean_length:.0f}"])
        rows.append(["real texts", *(f"{self.real[label]:.1%}" for label in labels)])
        return Table(["held at", *labels, "nats", "characters"], rows)

    def summary(self) -> Iterator[str | Table]:
        """Say how the shares of labels move."""
        yield self.head()
        yield self.table()
        yield "± is a standard error; .rows has examples of what was written"


def steer(
    found: FoundUnits,
    *,
    unit: Unit | str | None = None,
    label: str | None = None,
    values: Sequence[float] | None = None,
    n: int = COUNT,
    judge: TextClassifierModel | Trained[Any, Any] | str | Path | None = None,
    max_new_tokens: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    watch: Watch | None = None,
) -> Steering:
    """Write with a unit held at several values, and let a classifier judge what was written.

    Args:
        found: what ``find_units`` returned.
        unit: which is held; None is the best for ``label``.
        label: what it is to move; None is the label that has the best unit.
        values: what it is held at; None takes five from low to high: the median of the texts with
            the label and of those without, their middle, and nearly the lowest and the highest
            that it has on its way through the texts.
        n: texts for each value.
        judge: a classifier, what ``train`` returned, or a folder; None trains one of n-grams on the
            training half.
        max_new_tokens: where a text ends in any case; None is 200 characters, 50 words, 80 pieces.
        temperature: of the writing.
        seed: of the writing.
        watch: is told of the progress.

    Raises:
        ConfigError: there is no such unit or label, or the judge is no classifier.
    """
    check_number("n", n, 1)
    target = found.report.of(label)
    unit = Unit.parse(target.best.unit if unit is None else str(unit))
    check_unit(found.model, unit)
    score = found.score(unit, target.label)
    held = _values(found, unit, target.label) if values is None else sorted(map(float, values))
    if not held or not all(map(math.isfinite, held)):
        raise ConfigError("values are none, or not finite; give numbers, as in -1,0,1")
    longest = max_new_tokens or LONGEST[found.model.coder.level]
    say = watch or (lambda share, text: None)
    say(0.0, "training the judge")
    judging, name = _judge(found.split, judge, seed)
    rows = []
    steps: list[float | None] = [None, *held]
    for i, value in enumerate(steps):
        say((i + 1) / (len(steps) + 1), "writing")
        written = found.model.generate(
            n=n,
            max_new_tokens=longest,
            temperature=temperature,
            seed=seed,
            clamp=None if value is None else {(unit.layer, unit.state, unit.unit): value},
        )
        texts = [row["text"] for row in written]
        length = fmean(map(len, texts))
        nats = fmean(row["nats"] for row in found.model.answer(texts))
        rows.append(Written(value, _shares(judging, texts), length, nats, texts[:EXAMPLES]))
    say(1.0, "writing")
    return Steering(
        unit=str(unit),
        label=target.label,
        high=score.high,
        count=n,
        judge=name,
        judge_accuracy=_accuracy(judging, found.split.test),
        real=_shares(judging, found.split.test.texts),
        rows=rows,
    )


def _values(found: FoundUnits, unit: Unit, label: str) -> list[float]:
    """Return five values from low to high, by what the unit holds for the training half.

    In the middle those of the texts, with the label and without; at the ends nearly the lowest and
    the highest that the unit has on its way through them.
    """
    has = found.told(label).train
    values = found.train[:, found.units.index(unit)]
    sides = sorted(float(np.median(side)) for side in (values[has], values[~has]))
    along = values_of(found.model, found.split.train.texts[:SAMPLE], unit)
    ends = np.quantile(along, (EDGE, 1 - EDGE))
    return sorted({*map(float, ends), *sides, sum(sides) / 2})


def _judge(split: Split[Examples], judge: Any, seed: int) -> tuple[TextClassifierModel, str]:
    """Return a classifier: the one that is given, or n-grams of the training half."""
    if judge is not None:
        given = api.model_given(judge, name="judge")
        if given.task.name != "classify":
            raise ConfigError(
                f"the judge is a model of the task {given.task.name}; give a classifier, or leave "
                "it out to have one trained"
            )
        loaded: Any = given.load("cpu")
        return loaded, str(judge) if isinstance(judge, str | Path) else f"the {loaded.kind}"
    classify = tasks.find("classify")
    learner = classify.prepare(split, api.make_options(classify, {"model": "ngrams", "seed": seed}))
    fitted = fit(learner)
    if fitted.interrupt is not None:
        raise fitted.interrupt
    made: Any = classify.predictor(learner)
    return made, "n-grams of the training half"


def _shares(judge: TextClassifierModel, texts: Sequence[str]) -> dict[str, float]:
    """Return to which share of the texts the judge gives each label."""
    answered = judge.labels.decide(judge.predict_proba(texts)).mean(axis=0)
    return dict(zip(judge.classes, map(float, answered), strict=True))


def _accuracy(judge: TextClassifierModel, test: Examples) -> float | None:
    if judge.several != test.several or not {*test.sizes()} <= {*judge.classes}:
        return None
    scores = judge.evaluate(test)
    return scores.metrics.get("accuracy")
