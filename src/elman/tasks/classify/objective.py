"""What a model is asked to be good at: ``--metric``, as a number for answers and truth.

All is computed from matrices of a row a text and a column a class, alike for one label a text and
for several. The definitions are scikit-learn's, whose functions are the oracle in the tests.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]

SMALLEST = 1e-7
"""A probability under this counts as this much where its logarithm is taken."""


# -------------------------------------------------------------------------------------------------
# Answers beside the truth


@dataclass(frozen=True)
class Counts:
    """How often each class was answered, and how often rightly.

    Attributes:
        hits: (C,) texts of each class for which it was answered.
        answered: (C,) texts for which it was answered.
        support: (C,) texts of it.
        rows: texts in all.
    """

    hits: Floats
    answered: Floats
    support: Floats
    rows: int

    @property
    def precision(self) -> Floats:
        """The share of its answers that are right, (C,); 0 for a class never answered."""
        return _share(self.hits, self.answered)

    @property
    def recall(self) -> Floats:
        """The share of its texts that were found, (C,); 0 for a class without a text."""
        return _share(self.hits, self.support)

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall, (C,)."""
        return _share(2 * self.hits, self.answered + self.support)

    @property
    def present(self) -> Flags:
        """Which classes occur in the truth or among the answers, (C,)."""
        return (self.support + self.answered) > 0

    def ordered(self, columns: Sequence[int]) -> Counts:
        """Return the counts of the classes in another order."""
        return Counts(self.hits[columns], self.answered[columns], self.support[columns], self.rows)


@dataclass(frozen=True)
class Judged:
    """Answers beside the truth, text by text.

    Attributes:
        probabilities: (rows, C).
        predicted: (rows, C) whether a class is answered.
        truth: (rows, C) whether a class is true; a row whose label is none of the C has none.
        several: whether a text may have several labels, or none.
    """

    probabilities: Floats
    predicted: Flags
    truth: Flags
    several: bool = False

    @cached_property
    def counts(self) -> Counts:
        """The same, summed over the texts."""
        sums = (self.predicted & self.truth, self.predicted, self.truth)
        hits, answered, support = (one.sum(axis=0).astype(float) for one in sums)
        return Counts(hits, answered, support, len(self.truth))

    def average_precision(self, column: int) -> float:
        """Return the average precision of one class; 0 where it has no text."""
        return average_precision(self.probabilities[:, column], self.truth[:, column])

    @cached_property
    def losses(self) -> Floats:
        """The negative logarithm of what the truth was given, (rows,), in nats.

        Of several labels the mean over the classes, as binary cross-entropy has it.
        """
        if self.several:
            given = np.where(self.truth, self.probabilities, 1 - self.probabilities)
            return -_logarithm(given).mean(axis=1)
        return -_logarithm((self.probabilities * self.truth).sum(axis=1))


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _logarithm(probabilities: Floats) -> Floats:
    return np.log(np.clip(probabilities.astype(np.float64), SMALLEST, 1))


def average_precision(probability: Floats, positive: Flags) -> float:
    """Return the mean of the precisions at which each positive example is found; 0 without any.

    Args:
        probability: (rows,).
        positive: (rows,) what is true.
    """
    if not positive.any():
        return 0.0
    _, hits, answered = falling(probability, positive)
    gained = np.diff(hits, prepend=0) / positive.sum()
    return float((gained * hits / answered).sum())


def falling(
    probability: Floats, positive: Flags | Floats
) -> tuple[Floats, NDArray[np.float64], NDArray[np.int64]]:
    """Return what each threshold gives, the highest first.

    Returns:
        The different probabilities; how many of the examples that have at least that much are
        positive; and how many examples these are.
    """
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    last = np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]
    hits = np.cumsum(positive[order], dtype=np.float64)[last]
    return ranked[last], hits, np.flatnonzero(last) + 1


# -------------------------------------------------------------------------------------------------
# Numbers


def _accuracy(counts: Counts) -> float:
    return float(counts.hits.sum() / max(counts.rows, 1))


def _macro_f1(counts: Counts) -> float:
    return _mean(counts.f1[counts.present])


def _weighted_f1(counts: Counts) -> float:
    return float((counts.f1 * counts.support).sum() / max(counts.support.sum(), 1e-9))


def _micro_f1(counts: Counts) -> float:
    total = counts.answered.sum() + counts.support.sum()
    return float(2 * counts.hits.sum() / max(total, 1e-9))


def _balanced_accuracy(counts: Counts) -> float:
    return _mean(counts.recall[counts.support > 0])


def _mcc(counts: Counts) -> float:
    """Matthews' correlation, for several classes that of Gorodkin 2004, equation 8."""
    rows = counts.rows
    together = counts.hits.sum() * rows - (counts.answered * counts.support).sum()
    spreads = [rows**2 - (one**2).sum() for one in (counts.answered, counts.support)]
    return float(together / np.sqrt(spreads[0] * spreads[1])) if min(spreads) > 1e-9 else 0.0


def _hamming_loss(counts: Counts) -> float:
    wrong = counts.answered + counts.support - 2 * counts.hits
    return float(wrong.sum() / max(counts.rows * len(wrong), 1))


def _subset_accuracy(judged: Judged) -> float:
    return _mean((judged.predicted == judged.truth).all(axis=1).astype(float))


def _macro_average_precision(judged: Judged) -> float:
    columns = np.flatnonzero(judged.truth.any(axis=0))
    return _mean(np.array([judged.average_precision(int(i)) for i in columns]))


def _log_loss(judged: Judged) -> float:
    return _mean(judged.losses)


Kind = Literal["one", "several", "any"]


@dataclass(frozen=True)
class Measure:
    """One thing to be good at, over all classes."""

    title: str
    of_counts: Callable[[Counts], float] | None = None
    """Of answers alone: what a threshold changes."""
    of_texts: Callable[[Judged], float] | None = None
    labels: Kind = "any"
    """For how many labels a text it is there."""
    higher_is_better: bool = True

    def of(self, judged: Judged) -> float:
        """Return the number."""
        if self.of_counts is not None:
            return self.of_counts(judged.counts)
        assert self.of_texts is not None
        return self.of_texts(judged)


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure("accuracy", _accuracy, labels="one"),
    "macro_f1": Measure("macro-F1", _macro_f1),
    "weighted_f1": Measure("weighted-F1", _weighted_f1),
    "micro_f1": Measure("micro-F1", _micro_f1),
    "balanced_accuracy": Measure("balanced accuracy", _balanced_accuracy, labels="one"),
    "mcc": Measure("Matthews' correlation", _mcc, labels="one"),
    "subset_accuracy": Measure("subset accuracy", of_texts=_subset_accuracy, labels="several"),
    "hamming_loss": Measure(
        "Hamming loss", _hamming_loss, labels="several", higher_is_better=False
    ),
    "macro_average_precision": Measure(
        "macro average precision", of_texts=_macro_average_precision
    ),
    "log_loss": Measure("log loss", of_texts=_log_loss, higher_is_better=False),
}

OF_CLASS: Mapping[str, str] = {"f1": "F1", "average_precision": "average precision"}
"""What is asked for by class, as ``f1:spam``, and its title."""
_OVER_SIZES = ("macro_f1", "balanced_accuracy", "macro_average_precision")


def names(labels: Kind = "any") -> list[str]:
    """Return all that ``--metric`` takes, for one label a text, for several, or at all."""
    fit = [
        name for name, one in MEASURES.items() if labels == "any" or one.labels in ("any", labels)
    ]
    return [*fit, "f1:CLASS", "average_precision", "average_precision:CLASS"]


# -------------------------------------------------------------------------------------------------
# What was asked for


@dataclass(frozen=True)
class Objective:
    """What was asked for.

    Attributes:
        name: a row of ``MEASURES`` or of ``OF_CLASS``.
        label: the class it is about; None where it is about all, or not yet known.
        column: the place of that class among the classes.
    """

    name: str
    label: str | None = None
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return self.name if self.label is None else f"{self.name}:{self.label}"

    @property
    def title(self) -> str:
        """What people read."""
        if self.label is None:
            return MEASURES[self.name].title
        return f"{OF_CLASS[self.name]} of {self.label}"

    @property
    def decides(self) -> bool:
        """Whether it judges answers, which a threshold changes, and not probabilities."""
        if self.label is not None:
            return self.name == "f1"
        measure = MEASURES[self.name]
        return measure.of_counts is not None or self.name == "subset_accuracy"

    @property
    def higher_is_better(self) -> bool:
        """Whether more of it is better."""
        return self.label is not None or MEASURES[self.name].higher_is_better

    def of(self, judged: Judged) -> float:
        """Return the number itself."""
        if self.label is None:
            return MEASURES[self.name].of(judged)
        if self.name == "f1":
            return float(judged.counts.f1[self.column])
        return judged.average_precision(self.column)

    def of_counts(self, counts: Counts) -> float:
        """Return the number for answers that are only counted; for what ``decides`` alone."""
        if self.label is not None:
            return float(counts.f1[self.column])
        of_counts = MEASURES[self.name].of_counts
        assert of_counts is not None
        return of_counts(counts)

    def score(self, judged: Judged) -> float:
        """Return the number, turned so that higher is better."""
        return self.of(judged) if self.higher_is_better else -self.of(judged)

    def error(self, judged: Judged) -> float:
        """Return how much of the number may be chance: about its standard error.

        That of a mean for the log loss. Else that of a share of as many texts as it rests on,
        which is near enough to tell a better epoch from a lucky one.
        """
        rows, value = len(judged.truth), self.of(judged)
        if self.name == "log_loss":
            return float(judged.losses.std() / np.sqrt(max(rows, 1)))
        support = judged.counts.support
        if self.label is not None:
            return _error(value, support[self.column])
        if self.name not in _OVER_SIZES:
            return _error(value, rows)
        errors = [_error(value, size) for size in support[support > 0]]
        return float(np.sqrt(np.square(errors).sum()) / max(len(errors), 1))


def _error(share: float, count: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return float(np.sqrt(share * (1 - share) / max(count, 1)))


def parse(text: str) -> Objective:
    """Return the objective that ``--metric`` names; whether its class is there is not yet known.

    Raises:
        ConfigError: there is no such metric; with those that there are.
    """
    name, colon, label = (part.strip() for part in text.partition(":"))
    name = name.lower().replace("-", "_")
    known = name in OF_CLASS or (name in MEASURES and not colon)
    if known and bool(colon) == bool(label):
        return Objective(name, label or None)
    known_names = OF_CLASS if colon else [*OF_CLASS, *MEASURES]
    near = difflib.get_close_matches(name, known_names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0] + (colon + label if label else '')}? " if near else ""
    raise ConfigError(f"there is no metric {text!r}; {hint}there are {', '.join(names())}")


def settled(
    objective: Objective, classes: Sequence[str], sizes: Sequence[int], *, several: bool = False
) -> Objective:
    """Return the objective with its class found among ``classes``.

    Of two classes the rarer one is meant where none is named.

    Args:
        objective: as parsed.
        classes: the C labels of the training part.
        sizes: (C,) how many texts each has there.
        several: whether a text may have several labels, or none.

    Raises:
        ConfigError: there is no such class, or none is named where that must be.
    """
    kind: Kind = "several" if several else "one"
    if objective.name in MEASURES:
        if MEASURES[objective.name].labels not in ("any", kind):
            raise ConfigError(
                f"the metric {objective} is not for {kind} label{'s' * several} a text; there are "
                f"{', '.join(names(kind))}"
            )
        return objective
    if objective.label is None and len(classes) == 2 and not several:
        return settled(replace(objective, label=classes[rarer(sizes)]), classes, sizes)
    if objective.label is None and objective.name == "average_precision":
        return Objective("macro_average_precision")
    shown = ", ".join(classes[:10]) + (" …" if len(classes) > 10 else "")
    if objective.label is None:
        raise ConfigError(
            f"the metric {objective} is of one class: name it, as {objective}:{classes[0]}, or "
            f"take macro_f1; the classes are {shown}"
        )
    if objective.label not in classes:
        plain = {name.casefold(): name for name in classes}
        near = difflib.get_close_matches(objective.label.casefold(), plain, n=1)
        hint = f"did you mean {objective.name}:{plain[near[0]]}? " if near else ""
        raise ConfigError(f"the metric {objective} names no class; {hint}the classes are {shown}")
    return replace(objective, column=classes.index(objective.label))


def rarer(sizes: Sequence[int]) -> int:
    """Return which of two classes has fewer texts; the second where they are equal."""
    return 0 if sizes[0] < sizes[1] else 1


def are_ratings(classes: Sequence[str]) -> bool:
    """Whether classes are at least three whole numbers that follow each other, as stars do."""
    if len(classes) < 3 or not all(re.fullmatch(r"-?\d{1,4}", name) for name in classes):
        return False
    numbers = sorted(int(name) for name in classes)
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))
