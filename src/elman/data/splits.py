"""Cutting examples of any task into parts to train, tune and test on."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError, DataError
from elman.text.lengths import steps_of

_Ints = NDArray[np.integer[Any]]
_TRAIN, _VALID, _TEST = 0, 1, 2


class Part(Protocol):
    """Examples of any task: what the engine needs of them."""

    @property
    def source(self) -> str:
        """The file's name as the user gave it, or the data set's."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say to the user, one sentence each."""

    def __len__(self) -> int: ...

    def digest(self) -> str:
        """Return a hash of all that is learned from or judged on, in its order."""

    def take(self, rows: Any) -> Any:
        """Return the examples of these rows, in that order; ``split`` asks for it."""


PartT = TypeVar("PartT", bound=Part)


@dataclass(frozen=True)
class Split(Generic[PartT]):
    """The three parts, and what there is to say to the user about the cut, a sentence each."""

    train: PartT
    valid: PartT
    test: PartT
    notes: tuple[str, ...]
    test_notes: tuple[str, ...] = ()
    """Those of the notes without which scores on the test part would be misread."""

    def digest(self) -> str:
        """Return a hash of all three parts."""
        parts = (self.train, self.valid, self.test)
        return hashlib.sha256("".join(part.digest() for part in parts).encode()).hexdigest()

    def require_test(self) -> None:
        """Refuse to go on where there is nothing to judge a model on.

        Raises:
            ConfigError: the test part is empty.
        """
        if not len(self.test):
            raise ConfigError("the test part is empty; give it a share, as in 0.8,0.1,0.1")

    def counts(self) -> dict[str, int]:
        """Return how many examples each part has."""
        return {"train": len(self.train), "valid": len(self.valid), "test": len(self.test)}


@dataclass(frozen=True)
class _Grouped:
    """Rows in groups of equal examples."""

    rows: _Ints  # the first row of each pair of example and stratum
    group: _Ints  # of each of these rows
    label: _Ints  # of each of these rows
    stratum: _Ints  # of each group: its rarest label
    all_groups: _Ints  # of every row, duplicates too
    classes: list[str]
    duplicates: int
    conflicts: int


def parse_fractions(text: str) -> tuple[float, float, float]:
    """Return the shares of training, validation and test parts from ``"0.8,0.1,0.1"``.

    Commas, slashes, colons, semicolons or blanks stand between them, and they sum to 1 or to 100.

    Raises:
        ConfigError: They are not three such numbers, the first above 0.
    """
    try:
        numbers = [
            float(part.removesuffix("%")) for part in re.split(r"\s*[,;:/]\s*|\s+", text.strip())
        ]
    except ValueError:
        numbers = []
    return _checked_fractions(numbers, text)


def split(
    examples: PartT,
    *,
    keys: Callable[[PartT], list[str]],
    strata: Callable[[PartT], Sequence[str]],
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    valid: PartT | None = None,
    test: PartT | None = None,
    noun: str = "text",
) -> Split[PartT]:
    """Cut examples into training, validation and test parts, stratum by stratum.

    Equal examples never stand on both sides of the cut, and one that comes again in the same
    stratum counts once. Parts that are given are taken as they are, and what they share with the
    training part is counted and left alone. With a test part from elsewhere, training examples keep
    their frequency too: how often one occurs is then part of the task that someone else has set. A
    stratum that is too small for three parts goes to the training part. The same examples and seed
    give the same cut.

    Args:
        examples: What to cut.
        keys: What two examples must share to count as equal; ``keys_of`` for texts.
        strata: What each part is to have its share of: a class for each example, or nothing but
            equal strings.
        fractions: Shares of the training, validation and test parts; they sum to 1 or to 100.
            With ``test`` given, the validation part gets its share of the first two, and likewise
            with ``valid``.
        seed: Of the shuffling.
        valid: A validation part from elsewhere.
        test: A test part from elsewhere.
        noun: What an example is called in notes.

    Raises:
        ConfigError: The fractions do not sum to 1.
        DataError: There are too few different examples.
    """
    shares = cut_shares(fractions, valid, test)
    own = keys(examples)
    grouped = _group(own, strata(examples))
    _refuse_too_little(grouped, shares, examples.source, noun)
    keep_duplicates = test is not None
    assigned = _assign(grouped, shares, np.random.default_rng(seed))
    rows = np.arange(len(examples)) if keep_duplicates else grouped.rows
    part = assigned[grouped.all_groups[rows]]
    train, cut_valid, cut_test = (examples.take(rows[part == p]) for p in range(3))
    notes = _notes_on_groups(grouped, noun, kept=keep_duplicates)
    train_keys = {own[row] for row in rows[part == _TRAIN].tolist()}
    overlaps = [
        () if given is None else _notes_on_overlap(given, keys(given), train_keys, noun)
        for given in (valid, test)
    ]
    return Split(
        train,
        cut_valid if valid is None else valid,
        cut_test if test is None else test,
        (*notes, *overlaps[0], *overlaps[1]),
        overlaps[1],
    )


def folds(
    examples: PartT,
    *,
    keys: Callable[[PartT], list[str]],
    strata: Callable[[PartT], Sequence[str]],
    count: int,
    valid: float,
    seed: int = 0,
    noun: str = "text",
) -> list[Split[PartT]]:
    """Cut examples into ``count`` parts of equal make-up, each of which is the test part once.

    Equal examples stand in one part, as for ``split``. A stratum of a single example is always in
    the training part: nothing could be learned of it otherwise.

    Args:
        examples: What to cut.
        keys: As for ``split``.
        strata: As for ``split``.
        count: How many splits to make.
        valid: Share of what is not the test part on which each training is validated.
        seed: Of the shuffling.
        noun: What an example is called in notes.

    Raises:
        ConfigError: There are fewer different examples than so many parts need.
    """
    grouped = _group(keys(examples), strata(examples))
    if len(grouped.stratum) < max(2 * count, 6):  # three at least to train and validate on
        texts = _count(len(grouped.stratum), f"different {noun}")
        raise ConfigError(
            f"{examples.source} has {texts}, too few for {count} folds; ask for fewer folds"
        )
    fold = _folded(grouped, count, np.random.default_rng(seed))[grouped.group]
    notes = _notes_on_groups(grouped, noun, kept=False)
    cuts = []
    for number in range(count):
        rest = examples.take(grouped.rows[fold != number])
        cut = split(
            rest,
            keys=keys,
            strata=strata,
            fractions=(1 - valid, valid, 0.0),
            seed=seed,
            noun=noun,
        )
        test = examples.take(grouped.rows[fold == number])
        cuts.append(Split(cut.train, cut.valid, test, notes))
    return cuts


def _folded(grouped: _Grouped, count: int, rng: np.random.Generator) -> _Ints:
    """Return the fold of each group, -1 for what is never tested on."""
    stratum = grouped.stratum
    sizes = np.bincount(stratum, minlength=len(grouped.classes))
    order = np.lexsort((rng.permutation(len(stratum)), stratum))
    order = order[sizes[stratum[order]] > 1]
    fold = np.full(len(stratum), -1)
    fold[order] = np.arange(len(order)) % count  # neighbours are of one stratum
    return fold


def _checked_fractions(
    numbers: list[float] | tuple[float, ...], said: object
) -> tuple[float, float, float]:
    given = list(numbers)
    if not all(isinstance(one, Real) and not isinstance(one, bool) for one in given):
        given = []
    total = next(
        (whole for whole in (1, 100) if math.isclose(sum(given), whole, rel_tol=1e-6)), None
    )
    if len(given) != 3 or total is None or min(given) < 0 or given[0] <= 0:
        raise ConfigError(
            f"the split {str(said)!r} is not three shares that sum to 1 or to 100, the first above "
            "0; write it as 0.8,0.1,0.1 (train, valid, test)"
        )
    return given[0] / total, given[1] / total, given[2] / total


def cut_shares(
    fractions: tuple[float, float, float], valid: object | None, test: object | None
) -> tuple[float, float]:
    """Return the shares of the examples that become validation and test part.

    Raises:
        ConfigError: the fractions do not sum to 1.
    """
    train, for_valid, for_test = _checked_fractions(fractions, fractions)
    if valid is not None and test is not None:
        return 0.0, 0.0
    if test is not None:
        return for_valid / (train + for_valid), 0.0
    if valid is not None:
        return 0.0, for_test / (train + for_test)
    return for_valid, for_test


def keys_of(texts: Sequence[str]) -> list[str]:
    """Return what two texts must share to count as equal."""
    return [unicodedata.normalize("NFC", text).strip() for text in texts]


def _group(keys: Sequence[str], labels: Sequence[str]) -> _Grouped:
    numbers: dict[str, int] = {}
    group = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    classes = sorted(set(labels))
    codes = {name: code for code, name in enumerate(classes)}
    label = np.array([codes[name] for name in labels], dtype=np.int64)
    _, first = np.unique(group * len(classes) + label, return_index=True)
    rows = np.sort(first)
    all_groups, group, label = group, group[rows], label[rows]
    # A group goes with its rarest label, so that a rare class is not lost to a common one.
    rarity = np.bincount(label, minlength=len(classes))[label]
    order = np.lexsort((label, rarity, group))
    _, starts = np.unique(group[order], return_index=True)
    return _Grouped(
        rows=rows,
        group=group,
        label=label,
        stratum=label[order][starts],
        all_groups=all_groups,
        classes=classes,
        duplicates=len(keys) - len(rows),
        conflicts=int((np.bincount(group) > 1).sum()) if len(rows) else 0,
    )


def _refuse_too_little(
    grouped: _Grouped, shares: tuple[float, float], source: str, noun: str
) -> None:
    need = 2 + sum(share > 0 for share in shares)
    if len(grouped.stratum) < need:
        texts = _count(len(grouped.stratum), f"different {noun}")
        raise DataError(
            f"{source} has {texts}, too few to train on and test; "
            f"give at least {need}, better some hundreds"
        )


def _assign(grouped: _Grouped, shares: tuple[float, float], rng: np.random.Generator) -> _Ints:
    """Return the part of each group, stratified by its class."""
    stratum = grouped.stratum
    sizes = np.bincount(stratum, minlength=len(grouped.classes))
    n_valid, n_test = _part_sizes(sizes, shares)
    order = np.lexsort((rng.permutation(len(stratum)), stratum))
    rank = np.empty_like(order)
    rank[order] = steps_of(sizes)
    part = np.full(len(stratum), _TRAIN)
    part[rank < (n_valid + n_test)[stratum]] = _VALID
    part[rank < n_test[stratum]] = _TEST
    for wanted, share in ((_TEST, shares[1]), (_VALID, shares[0])):
        if share > 0 and not (part == wanted).any():
            part[_spare(part, stratum, rank)] = wanted
    return part


def _part_sizes(sizes: _Ints, shares: tuple[float, float]) -> tuple[_Ints, _Ints]:
    """Return how many groups of each class go to validation and test: one at least of three."""
    for_valid, for_test = shares
    large = sizes >= 3
    n_test = _rounded(sizes, for_test, sizes - 1 - int(for_valid > 0)) * large
    n_valid = _rounded(sizes, for_valid, sizes - 1 - n_test) * large
    return n_valid, n_test


def _rounded(sizes: _Ints, share: float, most: _Ints) -> _Ints:
    if share == 0:
        return np.zeros_like(sizes)
    return np.clip(np.floor(sizes * share + 0.5).astype(np.int64), 1, np.maximum(most, 1))


def _spare(part: _Ints, stratum: _Ints, rank: _Ints) -> int:
    """Return a training group of the class that has the most of them."""
    training = np.flatnonzero(part == _TRAIN)
    largest = np.bincount(stratum[training]).argmax()
    own = training[stratum[training] == largest]
    return int(own[rank[own].argmin()])


def _notes_on_groups(grouped: _Grouped, noun: str, *, kept: bool) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if grouped.duplicates:
        fate = "kept, as the test part is given" if kept else "dropped"
        notes += (f"{_count(grouped.duplicates, 'exact duplicate')} {fate}",)
    if grouped.conflicts == 1:
        notes += (f"1 {noun} occurs with more than one label; it stays on one side",)
    elif grouped.conflicts:
        count = f"{grouped.conflicts:,} {noun}s"
        notes += (f"{count} occur with more than one label; each stays on one side",)
    return notes


def _notes_on_overlap(
    given: Part, keys: Sequence[str], train_keys: set[str], noun: str
) -> tuple[str, ...]:
    shared = sum(key in train_keys for key in keys)
    if not shared:
        return ()
    return (
        f"{shared:,} of {_count(len(given), noun)} of {given.source} "
        "also occur in the training part; left as they are",
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
