"""Which units of a language model carry a label (Radford, Jozefowicz & Sutskever 2017,
"Learning to Generate Reviews and Discovering Sentiment").

Thresholds, signs, the probe and how strong its penalty is come from a training half of the texts
alone, what is told of them from the other half. Beside it stands what the same procedure gives with
labels that are shuffled: that is what chance makes of the best of so many units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import msgspec
import numpy as np

from elman import api, tasks
from elman.data.examples import Examples
from elman.data.splits import Split
from elman.errors import ConfigError, DataError
from elman.keywords import DataOptions
from elman.lab.units import measures
from elman.lab.units.measures import Flags
from elman.lab.units.probe import Probe, fit
from elman.lab.units.report import (
    FEW,
    SHORT_TITLES,
    SHOWN,
    TITLES,
    LabelUnits,
    ProbeScore,
    Shuffle,
    UnitReport,
    UnitScore,
    head_of,
    heading,
    short_table,
    table,
)
from elman.lab.units.states import (
    Floats,
    Pool,
    Unit,
    Watch,
    check_unit,
    language_model,
    read_units,
    units_of,
)
from elman.tasks.generate.predictor import LanguageModel
from elman.text.summary import Summary, Table
from elman.text.terminal import counted
from elman.training.options import Device
from elman.training.trained import Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARES = (0.4, 0.1, 0.5)
"""What the probe is fitted on, what chooses the strength of its penalty, what all is judged on."""
FEWEST = 20
"""Texts that a label must have, and that must be without it."""
LIMIT = 20_000
MOST_VALUES = 40_000_000
"""Texts times units that are kept in memory at most."""


@dataclass(frozen=True)
class AllScores:
    """The scores of all units for one label, (units,) each, as ``UnitScore`` has them."""

    high: Flags
    train_auc: measures.Floats
    auc: measures.Floats
    threshold: measures.Floats
    balanced_accuracy: measures.Floats
    mutual_information: measures.Floats
    weight: measures.Floats
    """In the probe."""


@dataclass(frozen=True, repr=False)
class FoundUnits(Summary):
    """What ``find_units`` returns.

    Attributes:
        report: what was found.
        model: the language model.
        units: all of its units.
        scores: by label, of all units.
        split: the texts; training and validation part are the training half.
        train: (texts, units), what the units hold for the training half.
        test: the same for the held-out texts.
    """

    report: UnitReport
    model: LanguageModel
    units: Sequence[Unit]
    scores: Mapping[str, AllScores]
    split: Split[Examples]
    train: Floats
    test: Floats

    def best(self, label: str | None = None) -> Unit:
        """Return the best unit for a label; without one, of the label that is found best."""
        return Unit.parse(self.report.of(label).best.unit)

    def score(self, unit: Unit, label: str) -> UnitScore:
        """Return how well a unit does for a label.

        Raises:
            ConfigError: there is no such unit.
        """
        check_unit(self.model, unit)
        return _score(self.units, self.scores[label], self.units.index(unit))

    def told(self, label: str) -> Told:
        """Return which texts of each half have a label."""
        return Told.of(self.split, label)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each unit and label: its scores, and its weight in the probe."""
        for label, scores in self.scores.items():
            for i, unit in enumerate(self.units):
                one = msgspec.to_builtins(_score(self.units, scores, i))
                place = {"layer": unit.layer, "state": unit.state, "number": unit.unit}
                yield {"label": label, **one, "weight": float(scores.weight[i]), **place}

    def plot(self) -> Figure:
        """Draw what the best unit of each label holds for the held-out texts, by label."""
        from elman.lab.units.figures import histograms

        return histograms(self)

    def summary(self) -> Iterator[str | Table]:
        """Say for each label what its best unit, the probe and chance give."""
        yield heading(self.report)
        if len(self.report.labels) > FEW:
            yield Table(SHORT_TITLES, list(short_table(self.report)))
        else:
            for one in self.report.labels:
                yield head_of(one, self.report)
                yield Table(TITLES, list(table(one)))
        yield "all but the first AUC is of the held-out texts; .report, .rows(), .plot(), .best()"


# -------------------------------------------------------------------------------------------------
# Finding


@api.shows(DataOptions)
def find_units(
    model: LanguageModel | Trained[Any, Any] | str | Path,
    data: Any,
    *,
    pool: Pool = "last",
    shuffles: int = 5,
    limit: int | None = None,
    seed: int = 0,
    device: Device = "cpu",
    watch: Watch | None = None,
    **options: Unpack[DataOptions],
) -> FoundUnits:
    """Find the units of a language model that carry a label.

    Args:
        model: a language model, what ``train`` returned, or a folder.
        data: labelled texts, as the classifier reads them.
        pool: what is taken of a unit: its value after the last token (``last``), or over all
            tokens the ``mean`` or the ``max``.
        shuffles: how often the labels are shuffled for the control.
        limit: texts at most, drawn by the seed; None is 20,000, or fewer of a model with more than
            2,000 units.
        seed: of the cut into halves, the shuffles and the probe.
        device: what computes, for a model that is a folder.
        watch: is told of the progress.
        **options: the columns ``text`` and ``label``, and how files are read.

    Raises:
        BundleError, ConfigError, DataError: the request cannot work.
        LabError: a state is no finite number.
    """
    for name, number, least in (("shuffles", shuffles, 0), ("seed", seed, 0)):
        check_number(name, number, least)
    if limit is not None:
        check_number("limit", limit, 2 * FEWEST)
    loaded = language_model(model, device=device)
    examples = read_labelled(data, **options)
    units = units_of(loaded)
    most = min(LIMIT, MOST_VALUES // len(units)) if limit is None else limit
    examples, notes = _at_most(examples, most, seed)
    split = cut(examples, seed)
    labels, more = _sought(split)
    halves = [[*split.train.texts, *split.valid.texts], split.test.texts]
    whole = sum(map(len, halves))

    def reading(done: int) -> Watch | None:
        if watch is None:
            return None
        return lambda share, text: watch(0.5 * (done + share * len(halves[done > 0])) / whole, text)

    train = read_units(loaded, halves[0], pool=pool, watch=reading(0))
    test = read_units(loaded, halves[1], pool=pool, watch=reading(len(halves[0])))
    lengths = _lengths(halves[0]), _lengths(halves[1])
    search = _Search(units, (train, test), lengths, len(split.train), seed)
    found, scores, done = [], {}, 0

    def step() -> None:
        nonlocal done
        done += 1
        if watch is not None:
            watch(0.5 + 0.5 * done / (len(labels) * (1 + shuffles)), "fitting probes")

    for label in labels:
        one, scores[label] = search.label(label, Told.of(split, label), shuffles, step)
        found.append(one)
    report = UnitReport(
        data=examples.source,
        model=_name_of(model, loaded),
        pool=pool,
        train_texts=len(train),
        test_texts=len(test),
        units=len(units),
        layers=loaded.module.recurrent.num_layers,
        states=list(loaded.module.recurrent.cell.states),
        labels=found,
        seed=seed,
        notes=[*examples.notes, *notes, *split.notes, *more, *_on_unknown(loaded, halves[1])],
    )
    return FoundUnits(report, loaded, units, scores, split, train, test)


def read_labelled(data: Any, **options: Any) -> Examples:
    """Return labelled texts as the classifier reads them.

    Raises:
        DataError: they cannot be read.
        ConfigError: an option says nothing of how files are read.
    """
    api.check_data(data=data)
    classify = tasks.find("classify")
    columns, reading, others = api.sorted_out(classify, options)
    if others:
        known = ", ".join([*classify.columns, *reading.__struct_fields__])
        raise ConfigError(f"there is no option {next(iter(others))}; there are {known}")
    examples = api.read_all(classify, data, columns, reading.form())
    assert isinstance(examples, Examples)
    return examples


def cut(examples: Examples, seed: int) -> Split[Examples]:
    """Cut texts into those to choose by, in two parts, and those that are held out.

    Raises:
        DataError: there are too few, or of one label only.
    """
    if len(examples) < 2 * FEWEST:
        raise DataError(
            f"{examples.source} has {counted(len(examples), 'text')}, too few to find units by; "
            f"give at least {2 * FEWEST}, better a thousand"
        )
    split: Split[Examples] = tasks.find("classify").split(
        examples, fractions=SHARES, seed=seed, valid=None, test=None
    )
    return split


def _lengths(texts: Sequence[str]) -> Floats:
    """Return the number of characters of each text, (texts, 1)."""
    return np.array([[len(text)] for text in texts], dtype=np.float32)


def check_number(name: str, number: Any, least: int) -> None:
    """Refuse what is no whole number of at least so many.

    Raises:
        ConfigError: with the name.
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ConfigError(f"{name} is {number!r}; it must be a whole number of {least} or more")


def _name_of(model: Any, loaded: LanguageModel) -> str:
    cell = loaded.module.recurrent.cell.name
    return str(model) if isinstance(model, str | Path) else f"the {cell} language model"


def _at_most(examples: Examples, most: int, seed: int) -> tuple[Examples, tuple[str, ...]]:
    if len(examples) <= most:
        return examples, ()
    rows = np.sort(np.random.default_rng(seed).permutation(len(examples))[:most])
    note = f"{most:,} of {counted(len(examples), 'text')} drawn by the seed (--limit)"
    return examples.take(rows), (note,)


def _sought(split: Split[Examples]) -> tuple[list[str], tuple[str, ...]]:
    """Return the labels that have enough texts on all sides, and what there is to say of others.

    Of two labels one is enough, the second by name: it is what the other is not.

    Raises:
        DataError: there is none.
    """
    parts = [(part.sizes(), len(part)) for part in (split.train, split.valid, split.test)]
    names = sorted({name for sizes, _ in parts for name in sizes})
    enough = [
        name
        for name in names
        if min(sum(sizes[name] for sizes, _ in parts), sum(n - s[name] for s, n in parts)) >= FEWEST
        and all(0 < sizes[name] < count for sizes, count in parts)
    ]
    if not enough:
        raise DataError(
            f"{split.train.source} has no label with {FEWEST} texts or more, and as many without "
            "it; give more texts"
        )
    few = [name for name in names if name not in enough]
    notes: tuple[str, ...] = ()
    if few:
        shown = ", ".join(few[:5]) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
        notes = (f"labels with fewer than {FEWEST} texts are not looked for: {shown}",)
    if len(names) == 2 and not split.train.several:
        enough = enough[-1:]
    return enough, notes


@dataclass(frozen=True)
class Told:
    """Which texts have a label, (texts,), in the training half and among those held out."""

    train: Flags
    test: Flags

    @classmethod
    def of(cls, split: Split[Examples], label: str) -> Told:
        """Return which texts of a cut have it."""
        rows = [[label in row for row in part.label_sets] for part in (split.train, split.valid)]
        test = [label in row for row in split.test.label_sets]
        return cls(np.array([*rows[0], *rows[1]], dtype=bool), np.array(test, dtype=bool))

    def shuffled(self, outer: int, rng: np.random.Generator) -> Told:
        """Return the same for other texts, as many of each part.

        Args:
            outer: how many texts the first part of the training half has.
            rng: which ones.
        """
        parts = [self.train[:outer], self.train[outer:], self.test]
        first, inner, test = map(rng.permutation, parts)
        return Told(np.concatenate([first, inner]), test)


def _on_unknown(model: LanguageModel, texts: Sequence[str]) -> tuple[str, ...]:
    """Say where the model does not know what the texts are made of."""
    from elman.text.tokenizer.reversible import UNKNOWN_ID

    ids = np.concatenate([model.coder.encode(text) for text in texts])
    share = float((ids == UNKNOWN_ID).mean()) if len(ids) else 0.0
    if share < 0.01:
        return ()
    return (f"{share:.1%} of the tokens are unknown to the model: it was trained on other texts",)


Pair = tuple[Floats, Floats]
"""Values of the training half and of the held-out texts, (texts, units) each."""


class _Search:
    """The values of all units, and what is worked out of them once for all labels."""

    def __init__(self, units: Sequence[Unit], values: Pair, lengths: Pair, outer: int, seed: int):
        self.units, self.values, self.lengths, self.seed = units, values, lengths, seed
        train = values[0]
        self.inner = np.arange(len(train)) >= outer
        mean, deviation = train.mean(axis=0), train.std(axis=0)
        deviation[deviation == 0] = 1
        self.scaled = [(part - mean) / deviation for part in values]
        self.edges = measures.bin_edges(train)

    def label(
        self, label: str, told: Told, shuffles: int, step: Callable[[], object]
    ) -> tuple[LabelUnits, AllScores]:
        """Return what tells a label, and what each unit does."""
        probed, probe_score = self._probe(told)
        auc = measures.aucs(self.values[0], told.train[None])[0]
        scores = _scores(self.values, self.edges, told, auc, probed.weights)
        step()
        best = np.argsort(-scores.train_auc, kind="stable")[:SHOWN]
        found = LabelUnits(
            label,
            int(told.train.sum()),
            int(told.test.sum()),
            [_score(self.units, scores, int(i)) for i in best],
            probe_score,
            [*self._control(told, shuffles, step)],
            self._length(told),
        )
        return found, scores

    def _length(self, told: Told) -> UnitScore:
        """Return how well one does who counts the characters of a text."""
        train = self.lengths[0]
        auc = measures.aucs(train, told.train[None])[0]
        scores = _scores(self.lengths, measures.bin_edges(train), told, auc, np.zeros(1))
        return _score(["length"], scores, 0)

    def _probe(self, told: Told) -> tuple[Probe, ProbeScore]:
        found = fit(self.scaled[0], told.train, self.inner, seed=self.seed)
        train, test = (found.scores(part)[:, None] for part in self.scaled)
        high = np.array([True])
        cuts, edges = measures.thresholds(train, told.train, high), measures.bin_edges(train)
        used = np.flatnonzero(found.weights)
        largest = used[np.argsort(-np.abs(found.weights[used]), kind="stable")][:SHOWN]
        return found, ProbeScore(
            units=len(used),
            auc=float(measures.aucs(test, told.test[None])[0, 0]),
            balanced_accuracy=float(measures.balanced_accuracies(test, told.test, cuts, high)[0]),
            mutual_information=float(measures.mutual_information(test, told.test, edges)[0]),
            c=found.c,
            weights={str(self.units[i]): float(found.weights[i]) for i in largest},
        )

    def _control(self, told: Told, shuffles: int, step: Callable[[], object]) -> Iterator[Shuffle]:
        """Do the same with labels that are shuffled."""
        rng, outer = np.random.default_rng(self.seed), int((~self.inner).sum())
        shuffled = [told.shuffled(outer, rng) for _ in range(shuffles)]
        if not shuffled:
            return
        aucs = measures.aucs(self.values[0], np.array([one.train for one in shuffled]))
        for one, own in zip(shuffled, aucs, strict=True):
            best = np.abs(own - 0.5).argmax(keepdims=True)
            values = (self.values[0][:, best], self.values[1][:, best])
            scores = _scores(values, self.edges[:, best], one, own[best], np.zeros(1))
            yield Shuffle(_score([self.units[best[0]]], scores, 0), self._probe(one)[1])
            step()


def _scores(
    values: Pair,
    edges: measures.Floats,
    told: Told,
    train_auc: measures.Floats,
    weights: measures.Floats,
) -> AllScores:
    """Return the scores of units whose AUC on the training half is known, (units,)."""
    train, test = values
    high = train_auc >= 0.5
    auc = measures.aucs(test, told.test[None])[0]
    cuts = measures.thresholds(train, told.train, high)
    return AllScores(
        high=high,
        train_auc=np.where(high, train_auc, 1 - train_auc),
        auc=np.where(high, auc, 1 - auc),
        threshold=cuts,
        balanced_accuracy=measures.balanced_accuracies(test, told.test, cuts, high),
        mutual_information=measures.mutual_information(test, told.test, edges),
        weight=weights,
    )


def _score(units: Sequence[object], scores: AllScores, i: int) -> UnitScore:
    return UnitScore(
        unit=str(units[i]),
        high=bool(scores.high[i]),
        train_auc=float(scores.train_auc[i]),
        auc=float(scores.auc[i]),
        threshold=float(scores.threshold[i]),
        balanced_accuracy=float(scores.balanced_accuracy[i]),
        mutual_information=float(scores.mutual_information[i]),
    )
