"""How good word vectors are, by tests that people made: likeness of pairs, and analogies.

Pairs with a mark (WordSim-353, Finkelstein et al. 2002; SimLex-999, Hill et al. 2015; and whatever
has that form) are judged by the rank correlation of marks and cosines; questions "a is to b as c is
to?" (Mikolov et al. 2013, questions-words.txt) by how often the right word is the nearest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.errors import DataError
from elman.text.vectors.table import Rows, Vectors

FORMS = (
    "two words and a mark a line (WordSim-353, SimLex-999), or sections with four words a line "
    "(Google's questions-words.txt)"
)
_AT_ONCE = 1 << 25  # cosines


@dataclass(frozen=True)
class Pairs:
    """Pairs of words with the mark that people gave to their likeness."""

    source: str
    pairs: Sequence[tuple[str, str]]
    marks: Sequence[float]


@dataclass(frozen=True)
class Analogies:
    """Questions ``a b c d``, a is to b as c is to d, in sections."""

    source: str
    sections: dict[str, list[tuple[str, str, str, str]]]


class PairScores(msgspec.Struct, frozen=True, kw_only=True):
    """How well cosines agree with marks."""

    kind: str = "pairs"
    file: str
    count: int
    """Pairs of the file."""
    judged: int
    """Pairs of which both words have a vector; the others do not count."""
    composed: int
    """Of these, with a word that has one by its n-grams alone."""
    spearman: float | None
    """Rank correlation, -1 to 1; None where fewer than three pairs are left."""


class Section(msgspec.Struct, frozen=True):
    """One section of questions, or all of them."""

    name: str
    count: int
    judged: int
    """Questions of which all four words have a vector; the others do not count."""
    right: int
    """Of these, with the right word as the nearest."""

    @property
    def accuracy(self) -> float | None:
        """The share of right answers among those judged."""
        return self.right / self.judged if self.judged else None


class AnalogyScores(msgspec.Struct, frozen=True, kw_only=True):
    """How many questions are answered rightly."""

    kind: str = "analogies"
    file: str
    count: int
    judged: int
    right: int
    accuracy: float | None
    sections: list[Section]


# -------------------------------------------------------------------------------------------------
# Reading


def read_test(path: str | Path) -> Pairs | Analogies:
    """Read a test of word vectors; which kind it is, is told from its content.

    Raises:
        DataError: the file cannot be read, or a line is of neither kind.
    """
    source = str(path)
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{source} cannot be read ({reason}); check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not UTF-8 text; give a file of {FORMS}") from error
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if any(line.startswith(":") for _, line in lines[:1]):
        return _analogies(lines, source)
    return _pairs(lines, source)


def _analogies(lines: Sequence[tuple[int, str]], source: str) -> Analogies:
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    name = ""
    for number, line in lines:
        if line.startswith(":"):
            name = line.removeprefix(":").strip()
            sections.setdefault(name, [])
            continue
        parts = line.split()
        if len(parts) != 4:
            raise DataError(
                f"{source} line {number} has {len(parts)} words; a question has four: a b c d"
            )
        sections[name].append((parts[0], parts[1], parts[2], parts[3]))
    return Analogies(source, sections)


def _pairs(lines: Sequence[tuple[int, str]], source: str) -> Pairs:
    """Read two words and a mark a line; further columns are passed over.

    The mark is the first column of numbers: SimLex-999 has a part of speech before it.
    """
    rows = [(number, re.split(r"\s*[\t,;]\s*", line)) for number, line in lines]
    if all(len(row) == 1 for _, row in rows):
        rows = [(number, row[0].split()) for number, row in rows]
    if rows and not any(map(_is_number, rows[0][1][2:])):  # the names of the columns
        rows = rows[1:]
    first = rows[0][1] if rows else []
    column = next((i for i, cell in enumerate(first) if i > 1 and _is_number(cell)), None)
    if column is None:
        raise DataError(f"{source} is no test of word vectors; give a file of {FORMS}")
    for number, row in rows:
        if len(row) <= column or not _is_number(row[column]):
            raise DataError(f"{source} line {number} is not two words and a mark; mend or drop it")
    pairs = [(row[0], row[1]) for _, row in rows]
    return Pairs(source, pairs, [float(row[column]) for _, row in rows])


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None


# -------------------------------------------------------------------------------------------------
# Judging


def judge(vectors: Vectors, test: Pairs | Analogies) -> PairScores | AnalogyScores:
    """Return how well vectors do in a test."""
    return _judge_pairs(vectors, test) if isinstance(test, Pairs) else _judge(vectors, test)


def _judge_pairs(vectors: Vectors, test: Pairs) -> PairScores:
    known = [i for i, (a, b) in enumerate(test.pairs) if a in vectors and b in vectors]
    cosines = [vectors.similarity(*test.pairs[i]) for i in known]
    own = [i for i in known if all(vectors.row(word) is not None for word in test.pairs[i])]
    marks = [test.marks[i] for i in known]
    return PairScores(
        file=test.source,
        count=len(test.pairs),
        judged=len(known),
        composed=len(known) - len(own),
        spearman=spearman(marks, cosines) if len(known) > 2 else None,
    )


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the correlation of ranks, equal values sharing a rank; None where all are equal."""
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else None


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, place, sizes = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    return ranks


def _judge(vectors: Vectors, test: Analogies) -> AnalogyScores:
    unit = np.asarray(vectors.matrix) / vectors.norms[:, None]
    sections = [
        _judge_section(vectors, unit, name, questions) for name, questions in test.sections.items()
    ]
    judged, right = (sum(getattr(one, name) for one in sections) for name in ("judged", "right"))
    return AnalogyScores(
        file=test.source,
        count=sum(one.count for one in sections),
        judged=judged,
        right=right,
        accuracy=right / judged if judged else None,
        sections=sections,
    )


def _judge_section(
    vectors: Vectors, unit: Rows, name: str, questions: Sequence[tuple[str, str, str, str]]
) -> Section:
    rows = [[vectors.row(word) for word in question] for question in questions]
    known = np.array([row for row in rows if None not in row], dtype=np.int64).reshape(-1, 4)
    right = sum(int((found == part[:, 3]).sum()) for part, found in _answered(unit, known))
    return Section(name, len(questions), len(known), right)


def _answered(
    unit: Rows, questions: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield questions with the row nearest to b - a + c, which is none of these three."""
    step = max(1, _AT_ONCE // max(len(unit), 1))
    for start in range(0, len(questions), step):
        part = questions[start : start + step]
        a, b, c = (unit[part[:, i]] for i in range(3))
        cosines = (b - a + c) @ unit.T
        np.put_along_axis(cosines, part[:, :3], -np.inf, axis=1)
        yield part, cosines.argmax(axis=1)
