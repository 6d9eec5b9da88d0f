"""Texts as weighted n-grams: what linear models read.

The terms are the textbook's (Manning, Raghavan & Schütze 2008, "Introduction to Information
Retrieval", chapter 6), the figures those of scikit-learn's ``CountVectorizer`` and of its
``TfidfVectorizer`` with ``sublinear_tf=True``. Own code, because the import of scikit-learn takes a
prediction as long as ten thousand sentences do.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError
from elman.text.characters import Trie, flat
from elman.text.cleaning import normalise, without_surrogates
from elman.text.lengths import offsets_of, places_of
from elman.text.tokenizer import words

Unit = Literal["characters", "words"]
Weighting = Literal["tfidf", "counts", "binary", "hashing"]
Ints = NDArray[np.int64]

CHUNK_TEXTS = 2048  # bounds the memory beside the result
HASHED = 2**18  # columns where n-grams have no vocabulary
MOST_KEPT = 4_000_000  # n-grams of words seen before that are kept for the next chunk


@dataclass(frozen=True)
class Rows:
    """A sparse matrix, row after row.

    Attributes:
        lengths: (rows,) entries in each row.
        columns: (N,) the column of each entry, ascending within a row.
        values: (N,) float32.
    """

    lengths: Ints
    columns: Ints
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.lengths)


class VectoriserConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is counted and how it is weighted."""

    unit: Unit
    """Characters are counted within words, as ``char_wb`` of scikit-learn has it."""
    shortest: int = 1
    longest: int = 2
    weighting: Weighting = "tfidf"
    """``counts``: how often an n-gram stands in a text; ``binary``: whether it does; ``tfidf``:
    ``(1 + ln count) * (1 + ln((1 + texts) / (1 + texts with it)))``, each text scaled to length
    1; ``hashing``: counts, each text scaled to length 1, in columns that are checksums of the
    n-grams, so that several share one (Weinberger et al. 2009, "Feature Hashing for Large Scale
    Multitask Learning", there with signs) and none is kept."""

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise ConfigError(
                f"n-grams of {self.shortest} to {self.longest} cannot be; the first number is at "
                "least 1 and no larger than the second"
            )


class NGramVectoriser:
    """The n-grams of a collection of texts as the columns of a matrix.

    Attributes:
        config: what is counted.
        entries: (F,) the n-grams, those of words with a blank between them; none with hashing.
        texts_with: (F,) in how many of the fitted texts each stands.
        count: how many texts that were.
    """

    def __init__(
        self, config: VectoriserConfig, entries: Sequence[str], texts_with: Ints, count: int
    ):
        self.config = config
        self.entries = tuple(entries)
        self.texts_with = texts_with
        self.count = count
        self._columns = (
            _Hashed()
            if config.weighting == "hashing"
            else {entry: i for i, entry in enumerate(self.entries)}
        )
        self._trie: Trie | None = None
        if config.unit == "characters" and config.weighting != "hashing":
            self._trie = Trie(self.entries)
        self._idf = (1 + np.log((1 + count) / (1 + texts_with))).astype(np.float32)

    @classmethod
    def fit(
        cls, config: VectoriserConfig, texts: Sequence[str], *, min_texts: int = 1
    ) -> NGramVectoriser:
        """Take the n-grams that stand in at least ``min_texts`` of the texts; all with hashing."""
        if config.weighting == "hashing":
            return cls(config, (), np.zeros(0, dtype=np.int64), len(texts))
        columns: dict[str, int] = {}
        found = np.zeros(0, dtype=np.int64)
        for chunk in _counted(config, texts, columns, grow=True):
            here = np.bincount(chunk.columns, minlength=len(columns))
            here[: len(found)] += found
            found = here
        kept = sorted(entry for entry, i in columns.items() if found[i] >= min_texts)
        sizes = found[[columns[entry] for entry in kept]] if kept else np.zeros(0, dtype=np.int64)
        return cls(config, kept, sizes, len(texts))

    def __len__(self) -> int:
        return len(self._columns)

    def transform(self, texts: Sequence[str]) -> Rows:
        """Return the weighted n-grams of each text; those that are not known are left out."""
        parts = [*_counted(self.config, texts, self._columns, grow=False, trie=self._trie)]
        if not parts:
            none = np.zeros(0, dtype=np.int64)
            return Rows(none, none, np.zeros(0, dtype=np.float32))
        lengths = np.concatenate([part.lengths for part in parts])
        columns = np.concatenate([part.columns for part in parts])
        values = np.concatenate([part.values for part in parts])
        return Rows(lengths, columns, self._weighted(lengths, columns, values))

    def _weighted(
        self, lengths: Ints, columns: Ints, counts: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        match self.config.weighting:
            case "counts":
                return counts
            case "binary":
                return np.ones_like(counts)
            case "hashing":
                values = counts
            case "tfidf":
                values = (1 + np.log(counts)) * self._idf[columns]
        row = np.repeat(np.arange(len(lengths)), lengths)
        norms = np.sqrt(np.bincount(row, weights=values * values, minlength=len(lengths)))
        scaled: NDArray[np.float32] = (values / np.maximum(norms, 1e-12)[row]).astype(np.float32)
        return scaled

    def named(self, text: str) -> dict[int, str]:
        """Return the known n-grams of a text by their columns; those that share one are listed."""
        [text] = without_surrogates([text])
        found: dict[int, dict[str, None]] = {}
        for ngram in _ngrams(self.config, text):
            if ngram in self._columns:
                found.setdefault(self._columns[ngram], {})[ngram] = None
        return {column: ", ".join(ngrams) for column, ngrams in found.items()}

    def saved(self) -> SavedVectoriser:
        """Return what ``restored`` makes a vectoriser of."""
        return SavedVectoriser(self.config, self.count, self.entries, self.texts_with.tolist())


class SavedVectoriser(msgspec.Struct, forbid_unknown_fields=True):
    """The form of a vectoriser in a file."""

    config: VectoriserConfig
    count: int
    entries: tuple[str, ...]
    texts_with: list[int]

    def restored(self) -> NGramVectoriser:
        """Return the vectoriser.

        Raises:
            ValueError: its parts do not fit each other.
        """
        if len(self.entries) != len(self.texts_with) or len({*self.entries}) != len(self.entries):
            raise ValueError("entries and texts_with do not match")
        sizes = np.asarray(self.texts_with, dtype=np.int64)
        return NGramVectoriser(self.config, self.entries, sizes, self.count)


def stacked(parts: Sequence[Rows], widths: Sequence[int]) -> Rows:
    """Return matrices of the same texts side by side as one.

    Args:
        parts: one matrix a vectoriser.
        widths: how many columns each has.
    """
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *widths[:-1]])
    row = np.concatenate([np.repeat(np.arange(len(part)), part.lengths) for part in parts])
    order = np.argsort(row, kind="stable")
    columns = np.concatenate([p.columns + start for p, start in zip(parts, starts, strict=True)])
    values = np.concatenate([part.values for part in parts])
    lengths = np.sum([part.lengths for part in parts], axis=0)
    return Rows(lengths, columns[order], values[order])


def character_ngrams(word: str, shortest: int, longest: int) -> Iterator[str]:
    """Yield the character n-grams of a word with a blank at either end, as ``char_wb`` does."""
    framed = f" {word} "
    for size in range(shortest, longest + 1):
        yield framed[:size]
        if size >= len(framed):
            return  # one shorter than the n-grams counts once
        for start in range(1, len(framed) - size + 1):
            yield framed[start : start + size]


class _Hashed(dict[str, int]):
    """A column for any n-gram, without keeping one."""

    def __contains__(self, ngram: object) -> bool:
        return True

    def __getitem__(self, ngram: str) -> int:
        return zlib.crc32(ngram.encode()) % HASHED

    def __len__(self) -> int:
        return HASHED


def _ngrams(config: VectoriserConfig, text: str) -> Iterator[str]:
    if config.unit == "words":
        yield from _word_ngrams(words(text), config.shortest, config.longest)
        return
    for word in normalise(text.lower()).split():
        yield from character_ngrams(word, config.shortest, config.longest)


def _word_ngrams(tokens: Sequence[str], shortest: int, longest: int) -> Iterator[str]:
    for size in range(shortest, longest + 1):
        if size == 1:
            yield from tokens
        else:
            yield from map(" ".join, zip(*(tokens[i:] for i in range(size)), strict=False))


def _counted(
    config: VectoriserConfig,
    texts: Sequence[str],
    columns: dict[str, int],
    *,
    grow: bool,
    trie: Trie | None = None,
) -> Iterator[Rows]:
    """Yield counts of n-grams for chunks of texts.

    Args:
        config: what is counted.
        texts: any.
        columns: the column of each n-gram.
        grow: give n-grams that have none the next column, rather than leave them out.
        trie: of the same n-grams of characters, where there are to be no others.
    """
    pieces = _Characters(config, columns, grow, trie) if config.unit == "characters" else None
    for start in range(0, len(texts), CHUNK_TEXTS):
        chunk = without_surrogates(texts[start : start + CHUNK_TEXTS])
        if pieces is not None:
            lengths, found = pieces.of(chunk)
        else:
            lengths, found = _columns_of(
                [_word_ngrams(words(text), config.shortest, config.longest) for text in chunk],
                columns,
                grow,
            )
        yield _with_counts(lengths, found, max(len(columns), 1))


def _columns_of(
    rows: Sequence[Iterable[str]], columns: dict[str, int], grow: bool
) -> tuple[Ints, Ints]:
    """Return how many known n-grams each row has, and the columns of all of them."""
    if grow:
        found = [[columns.setdefault(one, len(columns)) for one in row] for row in rows]
    else:
        found = [[columns[one] for one in row if one in columns] for row in rows]
    lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
    return lengths, np.fromiter(chain.from_iterable(found), dtype=np.int64)


class _Characters:
    """The columns of the n-grams of each word that has been seen so far."""

    def __init__(
        self, config: VectoriserConfig, columns: dict[str, int], grow: bool, trie: Trie | None
    ):
        self._config, self._columns, self._grow, self._trie = config, columns, grow, trie
        self._forget()

    def _forget(self) -> None:
        self._ids: dict[str, int] = {}
        self._sizes = self._found = np.zeros(0, dtype=np.int64)

    def of(self, texts: Sequence[str]) -> tuple[Ints, Ints]:
        """Return how many n-grams each text has, and the columns of all of them."""
        if len(self._found) > MOST_KEPT:
            self._forget()
        ids, before = self._ids, len(self._ids)
        tokens: list[int] = []
        counts: list[int] = []
        for text in texts:
            split = normalise(text.lower()).split()
            counts.append(len(split))
            tokens += [ids.setdefault(word, len(ids)) for word in split]
        sizes, found = self._look_up([*islice(ids, before, None)])
        self._sizes = np.concatenate([self._sizes, sizes])
        self._found = np.concatenate([self._found, found])
        token = np.asarray(tokens, dtype=np.int64)
        row = np.repeat(np.arange(len(texts)), counts)
        spans = self._sizes[token]
        lengths = np.bincount(row, weights=spans, minlength=len(texts)).astype(np.int64)
        starts = offsets_of(self._sizes)[token]
        return lengths, self._found[places_of(starts, spans)]

    def _look_up(self, words: Sequence[str]) -> tuple[Ints, Ints]:
        """Return how many n-grams each word has, and the columns of all of them."""
        shortest, longest = self._config.shortest, self._config.longest
        if self._trie is None:
            rows = [character_ngrams(word, shortest, longest) for word in words]
            return _columns_of(rows, self._columns, self._grow)
        text = flat([f" {word} " for word in words])
        owners, columns = [], []
        for size, (places, found) in enumerate(self._trie.find(text), 1):
            if size < shortest:  # only words that are no longer have such n-grams
                whole = text.first[places] & (text.room[places] == size)
                places, found = places[whole], found[whole]
            owners.append(text.word[places])
            columns.append(found)
        if not owners:
            return np.zeros(len(words), dtype=np.int64), np.zeros(0, dtype=np.int64)
        owner = np.concatenate(owners)
        sizes = np.bincount(owner, minlength=len(words))
        return sizes, np.concatenate(columns)[np.argsort(owner, kind="stable")]


def _with_counts(lengths: Ints, columns: Ints, width: int) -> Rows:
    """Return each row's different columns, with how often each stands there."""
    keys = np.repeat(np.arange(len(lengths)), lengths) * width + columns
    unique, counts = np.unique(keys, return_counts=True)
    sizes = np.bincount(unique // width, minlength=len(lengths))
    return Rows(sizes, unique % width, counts.astype(np.float32))
