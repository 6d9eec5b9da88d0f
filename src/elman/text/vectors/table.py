"""Word vectors in memory, and what one asks of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError, WordError
from elman.text.cleaning import normalise
from elman.text.summary import Summary
from elman.text.terminal import counted
from elman.text.vectors import files
from elman.text.vectors.subwords import Subwords

Rows = NDArray[np.float32]
_AT_ONCE = 65_536  # rows
_LOOKED_AT = 50_000  # words among which near spellings are looked for


@dataclass(frozen=True)
class Coverage:
    """How many words of a vocabulary have a vector."""

    words: int
    """Of the vocabulary."""
    found: int
    """Of these, with a vector of their own."""
    composed: int
    """Of these, with a vector by their n-grams alone."""
    running: int
    """Words of the texts, each as often as it comes."""
    running_found: int
    """Of these, with a vector of either kind."""

    @property
    def share(self) -> float:
        """The share of the vocabulary that has a vector."""
        return (self.found + self.composed) / max(self.words, 1)

    @property
    def running_share(self) -> float:
        """The share of running words that have a vector."""
        return self.running_found / max(self.running, 1)

    def __str__(self) -> str:
        by_parts = f", {self.composed:,} of them by their n-grams" if self.composed else ""
        return (
            f"{self.found + self.composed:,} of {counted(self.words, 'word')} ({self.share:.0%})"
            f"{by_parts}, and {self.running_share:.1%} of the running words"
        )


class Vectors(Summary):
    """A vector a word.

    A word is found by its very spelling, else in lower case, else in the first other case that
    there is (``paris`` finds ``Paris``). With the n-grams of a model of fastText every word has a
    vector.

    Attributes:
        words: the V words, those of files with the most frequent first.
        matrix: (V, D) float32.
        subwords: the vectors of n-grams, or None.
        source: where they come from, for messages.
        notes: what there was to say when they were read, one sentence each.
    """

    def __init__(
        self,
        words: Sequence[str],
        matrix: Any,
        *,
        subwords: Subwords | None = None,
        composed: Iterable[str] = (),
        source: str = "memory",
        notes: Sequence[str] = (),
    ):
        """Store what is given.

        Raises:
            ConfigError: the matrix has not a row a word, or a word stands there twice.
        """
        self.words = list(words)
        self.matrix: Rows = matrix if isinstance(matrix, np.ndarray) else np.asarray(matrix)
        self.subwords = subwords
        self.source = source
        self.notes = tuple(notes)
        self._rows: dict[str, int] = {}
        for i, word in enumerate(self.words):
            self._rows.setdefault(normalise(word), i)
        self._composed = frozenset(composed)
        if self.matrix.ndim != 2 or len(self.matrix) != len(self.words):
            raise ConfigError(
                f"{len(self.words):,} words but a matrix of shape {self.matrix.shape}; "
                "it must have a row a word"
            )
        if len({*self.words}) < len(self.words):
            raise ConfigError("a word stands twice among the words; each has one vector")

    @classmethod
    def load(
        cls, path: str | Path, *, words: Iterable[str] | None = None, limit: int | None = None
    ) -> Vectors:
        """Read vectors of word2vec (text or binary), GloVe, fastText (.vec, .bin) or Elman.

        Which of them it is, is told from the content; text and word2vec's binary form may be
        compressed with gzip.

        Args:
            path: a file, or a folder that ``elman embed`` wrote.
            words: those whose vectors are read, so that a large file costs no more memory than they
                need; None for all.
            limit: how many rows are read at most; files have the most frequent words first.

        Raises:
            DataError, BundleError: there is no such file, it is of another kind, cut off or
                damaged; the message names file and line.
        """
        table = files.read(path, words, limit)
        return cls(
            table.words,
            table.matrix,
            subwords=table.subwords,
            composed=table.composed,
            source=str(path),
            notes=table.notes,
        )

    @property
    def size(self) -> int:
        """D, the numbers of a vector."""
        return int(self.matrix.shape[1])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        """Whether there is a vector for ``word``, if only by its n-grams."""
        return isinstance(word, str) and (
            self.row(word) is not None
            or (self.subwords is not None and len(self.subwords.rows(normalise(word))) > 0)
        )

    def __getitem__(self, word: str) -> Rows:
        """Return the vector of a word, (D,).

        Raises:
            WordError: a `KeyError`; there is none, and the message has near spellings.
        """
        row = self.row(word)
        if row is not None:
            return np.array(self.matrix[row])
        composed = None if self.subwords is None else self.subwords.vector(normalise(word))
        if composed is None:
            raise self._unknown(word)
        return composed

    def row(self, word: str) -> int | None:
        """Return the row of a word; None where it has no vector of its own."""
        word = normalise(word)
        for spelling in (word, word.lower()):
            if spelling in self._rows:
                return self._rows[spelling]
        return self._folded.get(word.lower())

    @cached_property
    def _folded(self) -> dict[str, int]:
        """The first row of each word in lower case, whatever its case."""
        folded: dict[str, int] = {}
        for word, i in self._rows.items():
            folded.setdefault(word.lower(), i)
        return folded

    def _unknown(self, word: str) -> WordError:
        known = list(islice((w for w in self.words if abs(len(w) - len(word)) < 3), _LOOKED_AT))
        near = difflib.get_close_matches(word, known, n=3) or difflib.get_close_matches(
            word.lower(), known, n=3
        )
        hint = f"there are {', '.join(near)}" if near else "nor one that is spelt nearly so"
        return WordError(
            f"{word!r} is not among the {counted(len(self), 'word')} of {self.source}; {hint}"
        )

    # ---------------------------------------------------------------------------------------------
    # What one asks

    @cached_property
    def norms(self) -> Rows:
        """The length of each vector, (V,); 1 for a vector of zeros."""
        norms = np.ones(len(self), dtype=np.float32)
        for start in range(0, len(self), _AT_ONCE):
            part = np.asarray(self.matrix[start : start + _AT_ONCE])
            norms[start : start + _AT_ONCE] = np.linalg.norm(part, axis=1)
        norms[norms == 0] = 1
        return norms

    def cosines(self, vector: Any) -> Rows:
        """Return the cosine of each word with a vector (D,), (V,)."""
        length = float(np.linalg.norm(vector)) or 1.0
        scaled = np.asarray(vector, dtype=np.float32) / np.float32(length)
        products: Any = self.matrix @ scaled
        return np.asarray(products / self.norms)

    def similarity(self, first: str, second: str) -> float:
        """Return the cosine of two words, -1 to 1.

        Raises:
            WordError: one of them has no vector.
        """
        a, b = self[first], self[second]
        return float(a @ b / ((np.linalg.norm(a) * np.linalg.norm(b)) or 1.0))

    def similar(self, word: str | Rows, count: int = 10) -> list[tuple[str, float]]:
        """Return the words whose vectors have the largest cosine with that of a word.

        Args:
            word: the word, which is not among them; or a vector (D,).
            count: how many.

        Raises:
            WordError: the word has no vector.
        """
        if isinstance(word, str):
            return self._nearest(self[word], count, without=[self.row(word)])
        return self._nearest(word, count, without=[])

    def analogy(self, first: str, second: str, third: str, count: int = 10) -> list[Any]:
        """Return the words nearest to first - second + third: king - man + woman.

        By 3CosAdd (Mikolov et al. 2013, "Linguistic Regularities in Continuous Space Word
        Representations"): each vector has length 1; the three words are not among the answers.

        Args:
            first: as ``king``.
            second: what is taken from it, as ``man``.
            third: what is added, as ``woman``.
            count: how many.

        Returns:
            Pairs of a word and its cosine, the nearest first.

        Raises:
            WordError: a word has no vector.
        """
        a, b, c = (_unit(self[word]) for word in (first, second, third))
        return self._nearest(a - b + c, count, without=map(self.row, (first, second, third)))

    def _nearest(
        self, vector: Rows, count: int, without: Iterable[int | None]
    ) -> list[tuple[str, float]]:
        if count < 1:
            raise ConfigError(f"count is {count}; it must be 1 or more")
        if np.shape(vector) != (self.size,):
            raise ConfigError(
                f"a vector of shape {np.shape(vector)} has none like it here; these have "
                f"{self.size:,} numbers"
            )
        cosines = self.cosines(vector)
        left_out = [row for row in without if row is not None]
        cosines[left_out] = -np.inf
        count = min(count, len(self) - len(set(left_out)))
        best: list[int] = np.argpartition(-cosines, max(count - 1, 0))[:count].tolist()
        order = sorted(best, key=lambda i: (-cosines[i], i))
        return [(self.words[i], float(cosines[i])) for i in order]

    def coverage(self, counts: Mapping[str, int]) -> Coverage:
        """Return how much of a vocabulary has a vector.

        Args:
            counts: how often each of its words comes.
        """
        own = {w for w in counts if self.row(w) is not None and w not in self._composed}
        composed = {word for word in counts if word not in own and word in self}
        return Coverage(
            words=len(counts),
            found=len(own),
            composed=len(composed),
            running=sum(counts.values()),
            running_found=sum(counts[word] for word in own | composed),
        )

    def summary(self) -> Iterable[str]:
        """Say how many there are, how large, and the first few words."""
        grams = self.subwords
        more = f" and {counted(len(grams.matrix), 'vector')} of n-grams" if grams else ""
        yield f"{self.source}: {counted(len(self), 'vector')}{more} of {self.size} numbers"
        yield f"{', '.join(self.words[:10])}{', …' if len(self) > 10 else ''}"
        yield from self.notes


def _unit(vector: Rows) -> Rows:
    return vector / np.float32(np.linalg.norm(vector) or 1.0)
