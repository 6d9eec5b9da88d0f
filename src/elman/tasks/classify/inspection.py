"""What there is to say of labelled texts before any training: sizes, and what looks wrong."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from elman.data.examples import Examples
from elman.data.splits import keys_of
from elman.errors import DataError
from elman.tasks.classify.objective import are_ratings
from elman.text.tokenizer import choose_level
from elman.training.report import Findings

_SHOWN = 5
# Words that programs write where there is nothing.
_MISSING = frozenset(
    ("nan", "na", "n/a", "null", "none", "nil", "nat", "-", "--", "?", "#n/a", "<na>", "missing")
)
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?")
_LIST = re.compile(r"\[.*\]|\(.*\)|\{.*\}|[^\s,;|]+(\s*[,;|]\s*[^\s,;|]+)+", re.DOTALL)
# From so many examples on, more classes than half of them are no classes.
_ENOUGH = 20
_LONG = 100  # times the median


class Lengths(msgspec.Struct, frozen=True):
    """How long texts are, in characters."""

    shortest: int
    median: int
    longest: int


class ClassifyFindings(Findings, frozen=True):
    """What labelled texts hold."""

    classes: dict[str, int]
    """Texts of each class, the largest first."""
    lengths: Lengths
    words: int
    """Median number of words, cut at blanks."""
    tokens: str
    """What a step would read."""
    duplicates: int
    """Texts that come again with the same label."""
    conflicts: int
    """Different texts that come with several labels."""
    overlap: int
    """Texts of the validation and test files that are among these, too."""
    labels_a_text: dict[int, int]
    """Where a text may have several labels: how many texts have none, one, two ..."""


def inspect(examples: Examples, others: Mapping[str, Examples]) -> ClassifyFindings:
    """Look at labelled texts.

    Args:
        examples: what is to be trained on.
        others: the parts that are given besides, by name.
    """
    sizes = examples.sizes()
    lengths = np.array([len(text) for text in examples.texts])
    keys = keys_of(examples.texts)
    labels_of: dict[str, set[str]] = defaultdict(set)
    for key, label in zip(keys, examples.written, strict=True):
        labels_of[key].add(label)
    pairs = sum(map(len, labels_of.values()))
    overlaps = {
        name: sum(key in labels_of for key in keys_of(part.texts)) for name, part in others.items()
    }
    notes = [
        *examples.notes,
        *(f"{part.source}: {note}" for part in others.values() for note in part.notes),
        *notes_on_labels(examples),
        *_notes_on_texts(examples, lengths),
        *(
            f"{count:,} of {len(others[name]):,} texts of {others[name].source} stand in "
            f"{examples.source}, too: scores on them say little"
            for name, count in overlaps.items()
            if count
        ),
        *(note for part in others.values() for note in _notes_on_unseen(part, sizes)),
    ]
    return ClassifyFindings(
        rows=len(examples),
        notes=notes,
        classes=dict(sizes.most_common()),
        lengths=Lengths(int(lengths.min()), int(np.median(lengths)), int(lengths.max())),
        words=int(np.median([len(text.split()) for text in examples.texts])),
        tokens=choose_level(examples.texts),
        duplicates=len(keys) - pairs,
        conflicts=sum(len(labels) > 1 for labels in labels_of.values()),
        overlap=sum(overlaps.values()),
        labels_a_text=dict(sorted(Counter(map(len, examples.label_sets)).items()))
        if examples.several
        else {},
    )


def refuse_no_classes(examples: Examples) -> None:
    """Refuse labels of which almost each text has its own: ids, texts, measurements.

    Raises:
        DataError: with the labels that were taken.
    """
    sizes = examples.sizes()
    if _no_classes(examples, sizes):
        raise DataError(
            f"{examples.source}: there are {len(sizes):,} different labels for "
            f"{len(examples):,} texts ({_listed(list(sizes))}), so these are no classes; "
            "name the column of the classes with --label"
        )


def _no_classes(examples: Examples, sizes: Mapping[str, int]) -> bool:
    return len(examples) >= _ENOUGH and len(sizes) * 2 > len(examples)


def refuse_no_lists(examples: Examples) -> None:
    """Refuse labels of which there should be several a text, and never are.

    Raises:
        DataError: with what to say.
    """
    if not examples.several:
        return
    counts = {*map(len, examples.label_sets)}
    if counts == {0}:
        raise DataError(f"{examples.source}: no text has a label; check which column is the label")
    if counts == {1}:
        longest = max(examples.sizes(), key=len)
        raise DataError(
            f"{examples.source}: every text has just one label, such as {longest!r}; name what "
            "stands between labels with --label-separator, or leave out --multilabel"
        )
    if len({*examples.written}) == 1:
        raise DataError(
            f"{examples.source}: all texts have the same labels "
            f"({_listed(list(examples.sizes()))}); add texts of others, or check which column is "
            "the label (--label)"
        )


def refuse_unknown(part: Examples, classes: Sequence[str]) -> None:
    """Refuse a part none of whose labels is a class of the model.

    Raises:
        DataError: with both.
    """
    labels = part.sizes()
    if labels and not set(labels) & set(classes):
        raise DataError(
            f"{part.source}: none of its labels ({_listed(list(labels))}) is among the classes "
            f"({_listed(list(classes))}); check which column is the label (--label)"
        )


def notes_on_labels(examples: Examples) -> Iterator[str]:
    """Say what is odd about the labels, one sentence each."""
    sizes = examples.sizes()
    names = list(sizes)
    if len(names) == 1 and not examples.several:
        yield f"one class only, {names[0]!r}: there is nothing to tell apart"
    numbers = [name for name in names if _NUMBER.fullmatch(name)]
    if _no_classes(examples, sizes):
        yield (
            f"almost each text has its own label ({_listed(names)}): these are no classes, and "
            "train refuses them; name the column of the classes with --label"
        )
    elif len(numbers) == len(names) > 20:
        yield (
            f"the {len(names):,} labels are numbers ({_listed(names)}): each is taken as a class "
            "of its own; for few classes cut them into ranges"
        )
    if not examples.several:
        yield from _notes_on_lists(names)
    if are_ratings(names) and not examples.several:
        numbers = sorted(names, key=int)
        yield (
            f"the labels {numbers[0]} to {numbers[-1]} are whole numbers in a row: classes like "
            "any; if they are ratings, the mean absolute error and the quadratic weighted kappa "
            "say how far answers are off"
        )
    missing = [name for name in names if name.lower() in _MISSING]
    if missing:
        count = sum(sizes[name] for name in missing)
        taken, it = (
            ("is taken as a class", "it stands")
            if len(missing) == 1
            else ("are taken as classes", "they stand")
        )
        yield (
            f"{_listed(missing)} {taken} ({count:,} texts); if {it} for a missing label, empty "
            "these cells and use --drop-unlabelled"
        )
    for group in _near(names):
        counts = " and ".join(f"{name!r} ({sizes[name]:,})" for name in group)
        yield f"classes of almost the same name: {counts}; if they are one, spell them alike"


def _notes_on_lists(names: Sequence[str]) -> Iterator[str]:
    lists = [name for name in names if _LIST.fullmatch(name)]
    if lists and len(lists) * 4 >= len(names):
        yield (
            f"labels look like lists ({_listed(lists)}): each different list is taken as one "
            "class; --multilabel reads several labels a text"
        )


def _near(names: Sequence[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        # Of numbers a sign or a point is no matter of spelling.
        same = name if _NUMBER.fullmatch(name) else re.sub(r"[\s_\-.]+", " ", plain).strip()
        groups[same].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _notes_on_texts(examples: Examples, lengths: np.ndarray) -> Iterator[str]:
    missing = Counter(text for text in examples.texts if text.strip().lower() in _MISSING)
    if missing:
        yield (
            f"{missing.total():,} text{'s' * (missing.total() > 1)} that may stand for a missing "
            f"one: {_listed(list(missing))}; read as written"
        )
    long = int(lengths.argmax())
    if lengths[long] > max(10_000, _LONG * np.median(lengths)):
        yield (
            f"the longest text has {lengths[long]:,} characters (it begins with "
            f"{examples.texts[long][:30]!r}): a quotation mark may have swallowed rows"
        )
    same = sum(
        t.strip() == label for t, label in zip(examples.texts, examples.written, strict=True)
    )
    if same * 2 > len(examples):
        yield "most texts are their own label: check which columns are text and label"


def _notes_on_unseen(part: Examples, known: Mapping[str, int]) -> Iterator[str]:
    unseen = [label for label in part.sizes() if label not in known]
    if unseen:
        yield f"{part.source} has labels that the training texts have not: {_listed(unseen)}"


def _listed(names: Sequence[str]) -> str:
    shown = [repr(name if len(name) <= 30 else name[:29] + "…") for name in names[:_SHOWN]]
    more = ["…"] if len(names) > _SHOWN else []
    return ", ".join(shown + more)
