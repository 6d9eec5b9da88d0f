"""What is told of units: scores of single ones, of the probe, and of both with shuffled labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, stdev

import msgspec

from elman.errors import ConfigError
from elman.text.terminal import counted

SHOWN = 10
"""Units that a report has for each label."""
IN_TABLE = 3


class UnitScore(msgspec.Struct, frozen=True):
    """How well one unit tells the texts with a label from the others."""

    unit: str
    """Layer, state and unit, as in ``0.c.123``."""
    high: bool
    """Whether it is high for the label, or low; by the training half."""
    train_auc: float
    """On the training half."""
    auc: float
    """On the held-out texts, as what follows."""
    threshold: float
    """Beyond it the unit says the label; from the training half."""
    balanced_accuracy: float
    mutual_information: float
    """Bits that the unit's value says of the label."""


class ProbeScore(msgspec.Struct, frozen=True):
    """How well a weighted sum of units tells them, on the held-out texts."""

    units: int
    """How many units have a weight."""
    auc: float
    balanced_accuracy: float
    mutual_information: float
    c: float
    """The inverse of the penalty's strength."""
    weights: dict[str, float]
    """The largest weights, of values whose mean is 0 and deviation 1."""


class Shuffle(msgspec.Struct, frozen=True):
    """The same with labels that are shuffled: what chance makes of the best of so many units."""

    unit: UnitScore
    """The best by the training half, where its AUC is by chance over a half."""
    probe: ProbeScore


class LabelUnits(msgspec.Struct, frozen=True):
    """What was found for one label against the rest."""

    label: str
    train_texts: int
    """Texts of the label in the training half."""
    test_texts: int
    units: list[UnitScore]
    """The best by the training half, the best first."""
    probe: ProbeScore
    control: list[Shuffle]
    length: UnitScore
    """What the number of a text's characters tells, which a unit may do no more than count."""

    @property
    def best(self) -> UnitScore:
        """The unit that was best on the training half."""
        return self.units[0]


class UnitReport(msgspec.Struct, frozen=True):
    """What ``elman units --json`` prints."""

    data: str
    model: str
    pool: str
    train_texts: int
    test_texts: int
    units: int
    """How many the model has."""
    layers: int
    states: list[str]
    labels: list[LabelUnits]
    seed: int
    notes: list[str]

    def of(self, label: str | None = None) -> LabelUnits:
        """Return what was found for a label; without one for that which has the best unit.

        Raises:
            ConfigError: it was not looked for.
        """
        if label is None:
            return max(self.labels, key=lambda one: one.best.train_auc)
        for one in self.labels:
            if one.label == label:
                return one
        there = ", ".join(one.label for one in self.labels[:20])
        raise ConfigError(f"no units were looked for that tell {label!r}; there are {there}")


TITLES = ("", "unit", "AUC, training half", "AUC", "balanced acc.", "bits")


def heading(report: UnitReport) -> str:
    """Say what was read through what."""
    return (
        f"{report.data}: {counted(report.train_texts, 'text')} to choose by, "
        f"{report.test_texts:,} held out; {counted(report.units, 'unit')} of {report.model} "
        f"({report.pool})"
    )


def head_of(found: LabelUnits, report: UnitReport) -> str:
    """Say how many of the held-out texts have the label."""
    return f"{found.label}: {found.test_texts:,} of {counted(report.test_texts, 'held-out text')}"


def table(found: LabelUnits) -> Iterator[list[str]]:
    """Yield the rows under ``TITLES``: units, the probe, and both with shuffled labels."""
    for i, one in enumerate(found.units[:IN_TABLE]):
        name = "best unit" if not i else f"{i + 1}."
        yield [name, f"{one.unit} {'high' if one.high else 'low'}", *_cells([one])]
    yield ["probe of all", counted(found.probe.units, "unit"), *_cells([found.probe])]
    side = "long" if found.length.high else "short"
    yield ["length of the text", side, *_cells([found.length])]
    if not found.control:
        return
    units, probes = zip(*((one.unit, one.probe) for one in found.control), strict=True)
    yield ["shuffled: best unit", counted(len(units), "shuffle"), *_cells(units)]
    used = fmean(one.units for one in probes)
    yield ["shuffled: probe", f"{used:.0f} units", *_cells(probes)]


FEW = 3
"""Labels that are shown in full."""
SHORT_TITLES = (
    *("label", "texts", "best unit", "AUC", "shuffled", "probe AUC", "units", "shuffled", "length"),
)


def short_table(report: UnitReport) -> Iterator[list[str]]:
    """Yield a row for each label under ``SHORT_TITLES``: AUCs on the held-out texts."""
    for one in report.labels:
        yield [
            one.label,
            f"{one.test_texts:,}",
            f"{one.best.unit} {'high' if one.best.high else 'low'}",
            f"{one.best.auc:.3f}",
            _mean_auc([shuffle.unit for shuffle in one.control]),
            f"{one.probe.auc:.3f}",
            f"{one.probe.units:,}",
            _mean_auc([shuffle.probe for shuffle in one.control]),
            f"{one.length.auc:.3f}",
        ]


def _mean_auc(scores: Sequence[UnitScore | ProbeScore]) -> str:
    return f"{fmean(one.auc for one in scores):.3f}" if scores else ""


def _cells(scores: Sequence[UnitScore | ProbeScore]) -> Iterator[str]:
    """Yield means, and of several the standard deviations."""
    for name in ("train_auc", "auc", "balanced_accuracy", "mutual_information"):
        values = [getattr(one, name) for one in scores if hasattr(one, name)]
        spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
        yield f"{fmean(values):.3f}{spread}" if values else ""
