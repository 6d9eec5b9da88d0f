"""Which column of a table is for what: the text, the label, or any other role of a task."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType

from elman.errors import DataError

TEXT_NAMES = (
    *("text", "sentence", "tweet", "review", "surname", "name"),
    *("текст", "предложение", "твит", "отзыв", "фамилия", "имя"),
)
LABEL_NAMES = (
    *("label", "labels", "class", "category", "sentiment", "target", "lang", "language"),
    *("метка", "класс", "категория", "тональность", "язык"),
)
# Words that stand in headers and hardly in data: with them a first row is a header, though which
# column is for what has to be said.
HEADER_WORDS = frozenset(
    (
        *("id", "idx", "index", "no", "nr", "row", "number", "text", "texts", "sentence"),
        *("tweet", "review", "comment", "message", "content", "body", "title", "headline"),
        *("summary", "question", "answer", "document", "utterance", "phrase", "string", "input"),
        *("output", "word", "token", "lemma", "label", "labels", "class", "category", "topic"),
        *("sentiment", "target", "polarity", "score", "rating", "stars", "tag", "intent"),
        *("emotion", "lang", "language", "author", "user", "username", "date", "time"),
        *("timestamp", "created_at", "url", "source"),
        *("номер", "текст", "комментарий", "сообщение", "заголовок", "предложение", "твит"),
        *("отзыв", "вопрос", "ответ", "слово", "метка", "класс", "категория", "тема"),
        *("тональность", "оценка", "рейтинг", "язык", "автор", "дата", "время", "источник"),
    )
)
_SHOWN = 12


@dataclass(frozen=True)
class Role:
    """What a column can be for."""

    name: str
    """As messages and options call it; of ``label-column`` messages say ``label``."""
    names: tuple[str, ...]
    """What such columns are usually called, the best first."""
    repeats: bool = False
    """Whether its values come again and again, as labels do."""

    def preferring(self, name: str | None) -> Role:
        """Return the role with one more name, which goes before the others."""
        if name is None or name.isdecimal():
            return self
        first = name.strip().casefold()
        return replace(self, names=(first, *(one for one in self.names if one != first)))


NOTHING: Mapping[str, str] = MappingProxyType({})

TEXT = Role("text", TEXT_NAMES)
LABEL = Role("label", LABEL_NAMES, repeats=True)


@dataclass(frozen=True)
class Wanted:
    """The roles that columns are sought for, and what the user said about them.

    ``given`` has for a role the name of its column, or its number from 1 as a string.
    """

    roles: tuple[Role, ...]
    given: Mapping[str, str]
    keep: bool = False
    """Whether all columns are read, not those for the roles alone."""
    lists: bool = False
    """Whether a cell of a role that repeats may be a list, which is then read as JSON writes it."""

    @classmethod
    def of(
        cls,
        roles: Sequence[Role],
        given: Mapping[str, str | None],
        *,
        keep: bool = False,
        lists: bool = False,
    ) -> Wanted:
        """Leave out what was not said."""
        said = {name: value for name, value in given.items() if value is not None}
        return cls(tuple(roles), said, keep, lists)

    @property
    def named(self) -> list[str]:
        """The columns that were given by name."""
        return [given for given in self.given.values() if not given.isdecimal()]


@dataclass(frozen=True)
class Columns:
    """The columns chosen: for each role by name the position from 0."""

    places: Mapping[str, int]
    notes: tuple[str, ...] = ()


def choose(names: Sequence[str], wanted: Wanted, source: str) -> Columns:
    """Return the columns of a table whose columns are called ``names``.

    Raises:
        DataError: A column that was asked for is not there, or none has a name that is known.
    """
    # Columns may be called 0, 1, 2; then numbers are names if one of them is no column's number.
    by_number = all(numbered(one, len(names)) is not None for one in wanted.given.values())
    candidates = {
        role.name: _candidates(names, wanted.given.get(role.name), role, source, by_number)
        for role in wanted.roles
    }
    # A column that was given for one role is no candidate for another.
    given = {candidates[name][0] for name in wanted.given}
    for name, places in candidates.items():
        if name not in wanted.given:
            candidates[name] = [place for place in places if place not in given]
    _refuse_absent(names, candidates, source)
    chosen = {name: places[0] for name, places in candidates.items()}
    for (first, place), (second, other) in combinations(chosen.items(), 2):
        if place == other:
            raise DataError(
                f"{source}: {_noun(first)} and {_noun(second)} are both said to be "
                f"{names[place]!r}; name two columns"
            )
    notes = _notes_on_choice(names, candidates) + _notes_on_doubles(names, chosen, wanted)
    if by_number:
        notes += _notes_on_numbers(names, wanted)
    if len(chosen) > 1:  # who wants one column knows that the others are not read
        notes += _unused(names, *chosen.values())
    return Columns(chosen, notes)


def recognise(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the positions in ``names`` of those that are ``known``, in the order of ``known``."""
    plain = [name.strip().casefold() for name in names]
    return [plain.index(name) for name in known if name in plain]


def find(names: Sequence[str], given: str) -> int | None:
    """Return the position of the column that the user called ``given``, by name or number."""
    for candidates in (names, [name.strip().casefold() for name in names]):
        for spelling in (given, given.strip().casefold()):
            if spelling in candidates:
                return candidates.index(spelling)
    return numbered(given, len(names))


def numbered(given: str | None, width: int) -> int | None:
    """Return the position from 0 that ``given``, a number from 1, means; None if it means none."""
    if given is None or not given.isdecimal() or not 1 <= int(given[:9]) <= width:
        return None
    return int(given) - 1


def _candidates(
    names: Sequence[str], given: str | None, role: Role, source: str, by_number: bool
) -> list[int]:
    """Return the columns that may be for the role, the best first: one where it was given."""
    if given is None:
        return recognise(names, role.names)
    position = numbered(given, len(names)) if by_number else find(names, given)
    if position is None:
        raise no_such_column(names, given, role.name, source)
    return [position]


def _refuse_absent(
    names: Sequence[str], candidates: Mapping[str, Sequence[int]], source: str
) -> None:
    absent = [role for role, places in candidates.items() if not places]
    what = " and ".join(f"no {_noun(role)} column" for role in absent)
    if absent and len(names) == 1:
        raise DataError(
            f"{source}: {what}, for there is one column only, {listed(names)}; "
            f"write a {', a tab and its '.join(map(_noun, candidates))} on each line, "
            "or give a table with a header; --delimiter says what stands between its columns"
        )
    if absent:
        options = " ".join(f"--{role} NAME" for role in absent)
        raise DataError(
            f"{source}: {what} among the columns {listed(names)}; "
            f"say which with {options} (a number from 1, or --no-header, "
            "where the first row is data)"
        )


def _noun(role: str) -> str:
    return role.removesuffix("-column")


def _notes_on_choice(
    names: Sequence[str], candidates: Mapping[str, Sequence[int]]
) -> tuple[str, ...]:
    return tuple(
        f"{names[columns[0]]!r} is taken as the {_noun(role)} column, though there is "
        + " and ".join(repr(names[i]) for i in columns[1:])
        for role, columns in candidates.items()
        if len(columns) > 1
    )


def _notes_on_doubles(
    names: Sequence[str], chosen: Mapping[str, int], wanted: Wanted
) -> tuple[str, ...]:
    """Say where a column was chosen by a name that another has too."""
    notes = []
    for role, place in chosen.items():
        others = [i for i, name in enumerate(names) if name == names[place] and i != place]
        if others and not wanted.given.get(role, "").isdecimal():
            notes.append(
                f"{len(others) + 1} columns are called {names[place]!r}; column {place + 1} is read"
                f" as the {_noun(role)} (--{role} {others[0] + 1} reads another)"
            )
    return tuple(notes)


def _notes_on_numbers(names: Sequence[str], wanted: Wanted) -> tuple[str, ...]:
    """Say where a number was read as such though a column is called so."""
    return tuple(
        f"--{role} {given} is read as the number of column {names[int(given) - 1]!r}, though "
        f"column {names.index(given) + 1} is called {given!r}"
        for role, given in wanted.given.items()
        if given in names and names.index(given) != int(given) - 1
    )


def no_such_column(names: Sequence[str], given: str, role: str, source: str) -> DataError:
    """Return the error for a column that was asked for with ``--role`` and is not there."""
    if given.isdecimal():
        return DataError(
            f"{source} has {len(names)} columns, so --{role} {given} is none of them; "
            f"number them from 1 to {len(names)}"
        )
    by_plain = {name.strip().casefold(): name for name in names}
    near = difflib.get_close_matches(given.strip().casefold(), by_plain, n=1)
    hint = f"did you mean {by_plain[near[0]]!r}?" if near else f"give one of them with --{role}"
    return DataError(f"{source}: no column {given!r} among the columns {listed(names)}; {hint}")


def _unused(names: Sequence[str], *used: int) -> tuple[str, ...]:
    rest = [name for i, name in enumerate(names) if i not in used and not _is_index(name)]
    return (f"columns not used: {listed(rest)}",) if rest else ()


def _is_index(name: str) -> bool:
    plain = name.strip().casefold()
    return plain in ("", "index") or plain.startswith(("unnamed:", "__index_level_"))


def listed(names: Sequence[str]) -> str:
    """Return the names for a message, the first dozen of them."""
    shown = [repr(name if len(name) <= 40 else name[:39] + "…") for name in names[:_SHOWN]]
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join(shown + more)
