"""Which column holds the text and which the label."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from elman.errors import DataError

TEXT_NAMES = (
    *("text", "sentence", "tweet", "review", "surname", "name"),
    *("текст", "предложение", "твит", "отзыв", "фамилия", "имя"),
)
LABEL_NAMES = (
    *("label", "class", "sentiment", "target", "lang", "language"),
    *("метка", "класс", "тональность", "язык"),
)
_SHOWN = 12


@dataclass(frozen=True)
class Columns:
    """The columns chosen, by position from 0; ``label`` is None where none was asked for."""

    text: int
    label: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What the user said about the columns: a name, a number from 1 as a string, or nothing."""

    text: str | None = None
    label: str | None = None
    need_label: bool = True

    @property
    def given(self) -> list[str]:
        """The names and numbers that the user gave."""
        return [given for given in (self.text, self.label) if given is not None]


def choose(names: Sequence[str], wanted: Wanted, source: str) -> Columns:
    """Return the columns of a table whose columns are called ``names``.

    Raises:
        DataError: A column that was asked for is not there, or none has a name that is known.
    """
    text = _candidates(names, wanted.text, TEXT_NAMES, "text", source)
    label = _candidates(names, wanted.label, LABEL_NAMES, "label", source)
    # A column that was given for one of the two is no candidate for the other.
    if wanted.text is None:
        text = [i for i in text if i not in label]
    elif wanted.label is None:
        label = [i for i in label if i not in text]
    found = {"text": text, "label": label} if wanted.need_label else {"text": text}
    _refuse_absent(names, found, source)
    notes = _notes_on_choice(names, found)
    if not wanted.need_label:
        return Columns(text[0], None, notes)
    if text[0] == label[0]:
        column = repr(names[text[0]])
        raise DataError(f"{source}: text and label are both said to be {column}; name two columns")
    return Columns(text[0], label[0], notes + _unused(names, text[0], label[0]))


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
    names: Sequence[str], given: str | None, known: Sequence[str], role: str, source: str
) -> list[int]:
    """Return the columns that may be the ``role``, the best first: one where it was given."""
    if given is None:
        return recognise(names, known)
    position = find(names, given)
    if position is None:
        raise _no_such_column(names, given, role, source)
    return [position]


def _refuse_absent(names: Sequence[str], found: dict[str, list[int]], source: str) -> None:
    absent = [role for role, columns in found.items() if not columns]
    what = " and ".join(f"no {role} column" for role in absent)
    if absent and len(names) == 1:
        raise DataError(
            f"{source}: {what}, for there is one column only, {listed(names)}; "
            "write a text, a tab and its label on each line, or give a table with a header"
        )
    if absent:
        options = " ".join(f"--{role} NAME" for role in absent)
        raise DataError(
            f"{source}: {what} among the columns {listed(names)}; "
            f"say which with {options} (a number from 1 where there is no header)"
        )


def _notes_on_choice(names: Sequence[str], found: dict[str, list[int]]) -> tuple[str, ...]:
    return tuple(
        f"{names[columns[0]]!r} is taken as the {role} column, though there is "
        + " and ".join(repr(names[i]) for i in columns[1:])
        for role, columns in found.items()
        if len(columns) > 1
    )


def _no_such_column(names: Sequence[str], given: str, role: str, source: str) -> DataError:
    if given.isdecimal():
        return DataError(
            f"{source} has {len(names)} columns, so --{role} {given} is none of them; "
            f"number them from 1 to {len(names)}"
        )
    by_plain = {name.strip().casefold(): name for name in names}
    near = difflib.get_close_matches(given.strip().casefold(), by_plain, n=1)
    mend = f"did you mean {by_plain[near[0]]!r}?" if near else f"give one of them with --{role}"
    return DataError(f"{source}: no column {given!r} among the columns {listed(names)}; {mend}")


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
