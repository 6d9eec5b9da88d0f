"""What cleaning does to texts, and what each of its steps is worth to a model."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from elman import api, tasks
from elman.data.columns import NOTHING
from elman.data.examples import Inputs
from elman.data.form import AS_TOLD, Facts, Form
from elman.data.source import builtin
from elman.errors import DataError
from elman.text.cleaning import Cleaner, Steps
from elman.text.summary import Summary, Table
from elman.text.terminal import counted
from elman.training import machine
from elman.training.fitting import fit
from elman.training.report import headline
from elman.training.task import Task

Model = Literal["ngrams", "network"]

ALL, NONE = "all steps", "no cleaning"
CUT = (0.7, 0.1, 0.2)
"""What is trained on, what that validates on, and what is judged on."""


class Example(msgspec.Struct, frozen=True):
    """One text."""

    before: str
    after: str


class Cleaning(msgspec.Struct, frozen=True):
    """What `elman clean` says of a file."""

    steps: str
    texts: int
    changed: int
    """Texts that are not what they were."""
    empty: int
    """Texts of which nothing is left."""
    by_step: dict[str, int]
    """For each step how many texts it changed."""
    examples: list[Example]
    """Some that were changed, spread over all."""


def read_texts(
    task: Task, data: Any, columns: Mapping[str, str | None], form: Form = AS_TOLD
) -> Inputs:
    """Return the texts of a file or a built-in data set, and what stands beside them.

    Raises:
        DataError: it cannot be read.
    """
    if builtin(data) is None:
        role = task.input_columns[0]
        return task.read_inputs(data, form=form, likely={}, **{role: columns.get(role)})
    examples = task.read(data, form=form, likely={})
    table = {"text": examples.texts, "label": examples.labels}
    return Inputs(examples.texts, table, Facts(str(data), "built in", columns={"text": "text"}))


def clean_texts(texts: Sequence[str], steps: Steps, *, rows: int) -> tuple[Cleaning, list[str]]:
    """Clean texts and say what was done to them.

    Args:
        texts: what is cleaned; ``rare`` counts the words of these.
        steps: which steps are taken.
        rows: how many examples are given, at most.

    Returns:
        What there is to say, and the texts cleaned.

    Raises:
        ConfigError: the file of stop words cannot be read.
    """
    cleaned, by_step = Cleaner.fit(texts, steps).clean_and_count(texts)
    changed = [i for i, text in enumerate(texts) if cleaned[i] != text.strip()]
    shown = changed[:: max(1, len(changed) // rows)][:rows] if rows else []
    said = Cleaning(
        steps=str(steps),
        texts=len(texts),
        changed=len(changed),
        empty=sum(not after and bool(b.strip()) for b, after in zip(texts, cleaned, strict=True)),
        by_step=by_step,
        examples=[Example(texts[i], cleaned[i]) for i in shown],
    )
    return said, cleaned


# ---------------------------------------------------------------------------------------------
# What a step is worth


class Variant(msgspec.Struct, frozen=True):
    """One way of cleaning over all seeds: means and sample standard deviations."""

    name: str
    """``all steps``, ``without X`` or ``no cleaning``."""
    left_out: str | None
    """The step that is missing; None for all or none."""
    mean: dict[str, float]
    spread: dict[str, float]
    worth: dict[str, float]
    """By how much all steps are better than this: the mean of the differences within each seed."""
    worth_spread: dict[str, float]


class Ablation(Summary, msgspec.Struct, frozen=True):
    """What `elman clean --ablate` prints."""

    task: str
    data: str
    model: str
    steps: str
    seeds: int
    judged_count: int
    """Texts that each score is of, kept apart from training."""
    variants: list[Variant]

    def summary(self) -> Iterator[str | Table]:
        """Say how good each way of cleaning is, and what it lacks to all steps."""
        metrics = headline(self.variants[0].mean, tasks.find(self.task).metrics)
        yield (
            f"{self.data}: {self.model}, {counted(self.judged_count, 'text')}, "
            f"{counted(self.seeds, 'cut')}; mean ± standard deviation"
        )
        yield Table(
            ["", *metrics],
            [
                [one.name, *(f"{one.mean[m]:.4f} ± {one.spread[m]:.3f}" for m in metrics)]
                for one in self.variants
            ],
        )

    def verdict(self, metric: str, *, higher_is_better: bool) -> Iterator[str]:
        """Say which steps helped and which hurt: by more than two standard errors."""
        if self.seeds < 2:
            yield "one cut has no spread; several tell what is chance"
            return
        sides: dict[str, list[str]] = {"helped": [], "hurt": [], "no more than chance": []}
        for one in self.variants[1:]:
            gain = one.worth[metric] if higher_is_better else -one.worth[metric]
            sure = abs(gain) > 2 * one.worth_spread[metric] / math.sqrt(self.seeds)
            side = "no more than chance" if not sure else "helped" if gain > 0 else "hurt"
            sides[side].append(one.left_out or "all together")
        for side, names in sides.items():
            if names:
                yield f"{side}: {', '.join(names)}"


def ablate(
    task: Task,
    data: Any,
    steps: Steps,
    *,
    columns: Mapping[str, str | None],
    model: Model = "ngrams",
    settings: Mapping[str, Any] = NOTHING,
    form: Form = AS_TOLD,
    seeds: int = 3,
    watch: Callable[[str, int, dict[str, float]], object] | None = None,
) -> Ablation:
    """Train with all steps, without each of them and with none, and judge on a part kept apart.

    The test part that ``elman train`` would cut is put aside first and never looked at. The rest is
    cut anew from each seed: what is judged on has been seen by neither the training nor what it
    validates on. All variants of a seed have the same cut, so that what a step is worth is a
    difference within a seed.

    Args:
        task: what is trained.
        data: what to train on.
        steps: those that are judged.
        columns: the columns that were given.
        model: ``ngrams``, which takes seconds, or the whole model with its ``network``.
        settings: the task's options beside ``clean`` and ``seed``.
        form: what was said about the form of the files.
        seeds: how many cuts.
        watch: is told the name, seed and scores of each run.

    Raises:
        ConfigError, DataError: the request cannot work.
    """
    whole = api.read_split(task, data, columns, form=form)
    rest = task.join([part for part in (whole.train, whole.valid) if len(part)])
    runs: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in _variants(steps)}
    count = 0
    for seed in range(seeds):
        cut = task.split(rest, fractions=CUT, seed=seed, valid=None, test=None)
        count = len(cut.test)
        if not count:
            raise DataError(f"{rest.source} has too few texts to judge on; give more of them")
        for name, _, asked in _variants(steps):
            clean = None if asked is None else str(asked)
            given = {**settings, "model": model, "seed": seed, "clean": clean}
            options = api.make_options(task, given)
            learner = task.prepare(cut, options)
            with machine.threads(options.threads):
                fitted = fit(learner)
            if fitted.interrupt is not None:
                raise fitted.interrupt
            runs[name].append(task.predictor(learner).evaluate(cut.test).metrics)
            if watch is not None:
                watch(name, seed, runs[name][-1])
    return Ablation(
        task=task.name,
        data=whole.train.source,
        model=model,
        steps=str(steps),
        seeds=seeds,
        judged_count=count,
        variants=[_judged(name, left, runs[name], runs[ALL]) for name, left, _ in _variants(steps)],
    )


def _variants(steps: Steps) -> list[tuple[str, str | None, Steps | None]]:
    """Return the name of each variant, the step that it lacks, and its steps."""
    without = [(f"without {name}", name, steps.without(name)) for name in steps.names]
    several = without if len(steps.names) > 1 else []
    return [(ALL, None, steps), *several, (NONE, None, None)]


def _judged(
    name: str,
    left_out: str | None,
    runs: Sequence[Mapping[str, float]],
    whole: Sequence[Mapping[str, float]],
) -> Variant:
    metrics = runs[0]
    values = {m: [run[m] for run in runs] for m in metrics}
    gains = {m: [b[m] - a[m] for a, b in zip(runs, whole, strict=True)] for m in metrics}
    return Variant(
        name=name,
        left_out=left_out,
        mean={m: statistics.fmean(values[m]) for m in metrics},
        spread={m: _spread(values[m]) for m in metrics},
        worth={m: statistics.fmean(gains[m]) for m in metrics},
        worth_spread={m: _spread(gains[m]) for m in metrics},
    )


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
