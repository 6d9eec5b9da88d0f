"""Telling whether a table's first row is its header, and which column is for what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from elman.data.columns import HEADER_WORDS, Columns, Role, Wanted, choose, numbered, recognise
from elman.data.records import Dialect


@dataclass(frozen=True)
class Layout:
    """Where the columns of a table are."""

    header: bool
    names: list[str]
    columns: Columns


def _width(sample: list[list[str]]) -> int:
    """Return how many fields most rows of a table without a header have.

    Those at the end that are empty in all rows do not count.
    """
    width = Counter(map(len, sample)).most_common(1)[0][0]
    while width > 1 and not any(row[width - 1].strip() for row in sample if len(row) >= width):
        width -= 1
    return width


def lay_out(
    sample: list[list[str]], wanted: Wanted, dialect: Dialect, source: str, header: bool | None
) -> Layout:
    """Return where the columns of a table are, from its first rows.

    Args:
        sample: The fields of the first rows that are not blank.
        wanted: What the user said about the columns.
        dialect: The table's.
        source: The file's name for messages.
        header: Whether the first row is a header, where the user said it.

    Raises:
        DataError: The columns cannot be found.
    """
    found, columns = _found(sample, wanted, dialect, source, header)
    names = sample[0] if found else [str(i + 1) for i in range(_width(sample))]
    if found and has_row_names(sample):
        places = {role: place + 1 for role, place in columns.places.items()}
        columns, names = replace(columns, places=places), ["", *names]
    return Layout(found, names, columns)


def _found(
    sample: list[list[str]], wanted: Wanted, dialect: Dialect, source: str, header: bool | None
) -> tuple[bool, Columns]:
    """Return whether the first record is a header, and the columns."""
    first = sample[0]
    if header is True:
        return True, choose(first, wanted, source)
    if header is None and _names_columns(sample, wanted):
        return True, _noted(choose(first, wanted, source), first, wanted)
    columns = _by_position(sample, wanted, source, said=header is False)
    if columns is None and header is None:
        return True, choose(first, wanted, source)
    if columns is None:
        return False, choose([str(i + 1) for i in range(_width(sample))], wanted, source)
    if header is None and _is_unknown_header(sample, columns, wanted, dialect):
        return True, _noted(choose(first, wanted, source), first, wanted)
    return False, columns


def _names_columns(sample: list[list[str]], wanted: Wanted) -> bool:
    """Return whether the first row plainly names the columns."""
    first, below = sample[0], sample[1:]
    if wanted.named:
        return True
    folded = [name.strip().casefold() for name in first]
    known = {role.name: recognise(first, role.names) for role in wanted.roles}
    numbers = {
        role.name: numbered(wanted.given.get(role.name), len(first)) for role in wanted.roles
    }
    # A name of a column stands in its own column once; a word of the data comes again.
    repeats = [
        place
        for role in wanted.roles
        if role.repeats
        for place in (numbers[role.name], *known[role.name][:1], len(first) - 1)
        if place is not None
    ][:1]
    if len(wanted.roles) == 1:  # of which no column need be labels
        own = known[wanted.roles[0].name]
        repeats = [i for i, name in enumerate(first) if name and i not in own]
    if any(first[i] == row[i] for i in repeats for row in below if len(row) > i):
        return False
    if _numbers_below_a_word(sample) or _are_positions(sample):
        return True
    if any(places for role, places in known.items() if role not in wanted.given):
        return True
    # By number: only a row of names alone is no data.
    return sum(name in HEADER_WORDS for name in folded if name) * 2 > len(first)


def _are_positions(sample: list[list[str]]) -> bool:
    """Return whether the first row counts the columns, as pandas names those without a name."""
    first, below = sample[0], sample[1:]
    numbers = [str(i) for i in range(len(first))]
    if len(first) < 2 or first not in (numbers, ["", *numbers[:-1]]):
        return False
    return not any(_is_number(row[-1]) for row in below if len(row) == len(first))


def _numbers_below_a_word(sample: list[list[str]]) -> bool:
    """Return whether a column is a word first and numbers from there on."""
    first, below = sample[0], sample[1 : 1 + 200]
    if len(below) < 2:
        return False
    for i, cell in enumerate(first):
        cells = [row[i] for row in below if len(row) > i and row[i].strip()]
        if cell.strip() and not _is_number(cell) and len(cells) > 1 and all(map(_is_number, cells)):
            return True
    return False


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell.strip()) is not None


_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?")


def _noted(columns: Columns, first: list[str], wanted: Wanted) -> Columns:
    """Say what was taken for a header where the user did not name the columns by it."""
    if (not wanted.given and len(first) > 1) or wanted.named:
        return columns
    names = ", ".join(repr(name) for name in first[:8]) + (" ..." if len(first) > 8 else "")
    note = f"the first row is taken as the header: {names} (--no-header reads it as data)"
    return Columns(columns.places, (note, *columns.notes))


def _by_position(
    sample: list[list[str]], wanted: Wanted, source: str, *, said: bool
) -> Columns | None:
    """Return the columns of a table without a header, or None where they cannot be told."""
    width, roles = _width(sample), wanted.roles
    places = {role.name: numbered(wanted.given.get(role.name), width) for role in roles}
    if any(places[name] is None for name in wanted.given):
        return None  # a number that is no column's: `choose` says so
    if width == len(roles) == 1:
        return Columns({roles[0].name: 0})
    order = _usual_order(sample, roles)
    free = [i for i in order if i not in places.values()]
    for name, place in places.items():
        if place is None and free:
            places[name] = free.pop(0)
    chosen = {name: place for name, place in places.items() if place is not None}
    if len(chosen) < len(roles) or len({*chosen.values()}) < len(roles):
        return None
    read = [f"column {place + 1} is read as the {name}" for name, place in chosen.items()]
    return Columns(chosen, () if said else ("no header found: " + ", ".join(read),))


def _usual_order(sample: list[list[str]], roles: Sequence[Role]) -> list[int]:
    """Return the columns in the order of the roles, where their number tells which is which."""
    width = _width(sample)
    if width != max(len(roles), 2):
        return []
    # The text comes first, unless the first column is plainly the labels.
    labelled = len(roles) == 1 or roles[-1].repeats
    return [1, 0] if width == 2 and labelled and _text_position(sample) else [*range(width)]


def _text_position(sample: list[list[str]]) -> int:
    """Return 0 or 1: the text comes first, unless the first column is plainly the labels.

    Labels are few and come again; where there are too few rows to tell by that, they are the column
    of single words that come again beside one of several words.
    """
    columns = [[row[i].strip() for row in sample if len(row) > 1] for i in (0, 1)]
    first, second = (set(column) for column in columns)
    if len(first) * 2 <= len(second):
        return 1
    words, texts = columns
    single = not any(" " in cell for cell in first)
    several = sum(" " in cell for cell in texts) * 2 > len(texts)
    repeats = len(first) < len(words) and len(first) < len(second)
    numbers = all(map(_is_number, words))
    if numbers and repeats and not any(map(_is_number, texts)):
        return 1
    return 1 if single and several and (repeats or numbers) else 0


def _is_unknown_header(
    sample: list[list[str]], columns: Columns, wanted: Wanted, dialect: Dialect
) -> bool:
    """Return whether the first record names columns, though by no name that is known.

    A label comes again further down and the name of the column does not. Where labels hardly
    repeat at all that says nothing: a comma then speaks for a header, a tab against one.
    """
    repeating = [columns.places[role.name] for role in wanted.roles if role.repeats]
    if wanted.given or not repeating:
        # By number all is data, but for a word where labels come again and again.
        rest = [i for i in range(len(sample[0])) if i not in columns.places.values()]
        return any(_is_above_labels(sample, i) for i in repeating or rest)
    label = repeating[0]
    below = [row[label] for row in sample[1:] if len(row) > label]
    if len(sample[0]) <= label or sample[0][label] in below or _is_number(sample[0][label]):
        return False
    telling = len(below) >= 10 and len(set(below)) * 2 <= len(below)
    return telling or dialect.delimiter != "\t"


def _is_above_labels(sample: list[list[str]], place: int) -> bool:
    """Return whether a column is labels, each of which comes again, but for the first word."""
    first, *below = (row[place] for row in sample if len(row) > place)
    counts = Counter(below)
    if first in counts or not first.strip() or _is_number(first) or len(below) < 10:
        return False
    return min(counts.values()) > 1


def has_row_names(sample: list[list[str]]) -> bool:
    """Return whether each row has a number before the columns of the header, as R writes it.

    R keeps the numbers of rows that it shuffles or chooses from.
    """
    width, below = len(sample[0]), sample[1:]
    if len(below) < 2 or any(len(row) != width + 1 for row in below):
        return False
    numbers = {row[0] for row in below}
    return len(numbers) == len(below) and all(map(str.isdecimal, numbers))
