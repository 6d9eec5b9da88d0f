"""Words as a tagger sees them: what is looked up, how they are spelt, what they look like.

A corpus has each different word (form) once, with its case; a sentence is a row of numbers of
forms. What a form is made of is worked out once, and run through the network once a batch, however
often it stands there.
"""

from __future__ import annotations

import html
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.text.cleaning import normalise, without_surrogates
from elman.text.subwords import Spelling, spelling
from elman.text.vocabulary import UNKNOWN_ID, Vocabulary

if TYPE_CHECKING:
    from elman.tasks.tag.states import Readers

Ints = NDArray[np.int64]

MAX_WORDS = 100_000
MAX_SHAPES = 100
LONGEST = 40
"""Characters of a word that are read, half from either end: an address has hundreds."""
ENDS, BEGINNINGS = (1, 2, 3, 4), (1, 2, 3)
AFFIXES = len(ENDS) + len(BEGINNINGS)
AFFIX_VECTORS = 4_096
"""How many vectors all ends and beginnings of words share."""
_DIGIT = re.compile(r"\d")
# Signs that mean the same: one treebank has these, another those.
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
    }
)
_QUOTES = {"''", "``", ",,", "<<", ">>"}
_RUNS = re.compile(r"(.)\1{2,}")


def key(word: str) -> str:
    """Return what a word is looked up by: in small letters, its digits all zeros."""
    return _DIGIT.sub("0", word.lower())


def shape(word: str) -> str:
    """Return what a word looks like: Xx, xx, XX, 00, X.X.; no more than two of a kind in a row."""
    kinds = "".join(
        "X" if sign.isupper() else "x" if sign.isalpha() else "0" if sign.isdigit() else sign
        for sign in word[:LONGEST]
    )
    return _RUNS.sub(r"\1\1", kinds)


@dataclass(frozen=True)
class Forms:
    """Different words, in numbers.

    Attributes:
        words: (F,) ids of the words looked up, ``UNKNOWN_ID`` for those that were not learnt.
        shapes: (F,) ids of what they look like.
        characters: (N,) ids of their characters, one form after the other.
        lengths: (F,) how many characters each has, at least one.
        spelling: the numbers of their n-grams.
    """

    words: Ints
    shapes: Ints
    characters: NDArray[np.int32]
    lengths: Ints
    spelling: Spelling
    affixes: Ints
    """(F, A) the numbers of their ends of one to four characters, and of their beginnings of one to
    three."""


class States(Protocol):
    """The states of language models at the words of many sentences."""

    def of(self, rows: Ints) -> NDArray[np.float32]:
        """Return those of the words of some sentences (n, S), one sentence after the other."""


@dataclass(frozen=True)
class Sentences:
    """Sentences as rows of numbers of forms.

    Attributes:
        values: (N,) int32 the form of each token, one sentence after the other.
        lengths: (rows,) how many tokens each sentence has.
        forms: the different words.
        states: those of language models at the words, where the tagger reads such.
    """

    values: NDArray[np.int32]
    lengths: Ints
    forms: Forms
    states: States | None = None

    def __len__(self) -> int:
        return len(self.lengths)


class FormEncoder:
    """From words to numbers; made from the training part alone.

    Args:
        words: the entries that have a vector of their own, as ``key`` writes them.
        characters: those that have a vector.
        shapes: likewise.
        spellings: how many vectors the n-grams of all words share; 0 for none.
        readers: language models whose states are read, too.
    """

    def __init__(
        self,
        words: Vocabulary,
        characters: Vocabulary,
        shapes: Vocabulary,
        spellings: int,
        readers: Readers | None = None,
    ):
        self.words, self.characters, self.shapes = words, characters, shapes
        self.spellings = spellings
        self.readers = readers

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sequence[str]],
        *,
        min_count: int,
        spellings: int,
        known: Iterable[str] = (),
    ) -> FormEncoder:
        """Take the words seen ``min_count`` times, those ``known``, and what they consist of."""
        counts = Counter(word for sentence in sentences for word in sentence)
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        shapes: Counter[str] = Counter()
        for word, count in counts.items():
            [word] = _readable([word])
            words[key(word)] += count
            shapes[shape(word)] += count
            for sign in word[:LONGEST]:
                characters[sign] += count
        for entry in known:
            words[entry] = max(words[entry], min_count)
        return cls(
            Vocabulary.from_counts(words, min_count=min_count, max_size=MAX_WORDS),
            Vocabulary.from_counts(characters, min_count=min_count),
            Vocabulary.from_counts(shapes, min_count=min_count, max_size=MAX_SHAPES),
            spellings,
        )

    def knows(self, word: str) -> bool:
        """Whether a word has a vector of its own: it was seen often enough."""
        return key(_readable([word])[0]) in self.words

    def encode(self, sentences: Sequence[Sequence[str]]) -> Sentences:
        """Return the sentences in numbers."""
        ids: dict[str, int] = {}
        values = [ids.setdefault(word, len(ids)) for sentence in sentences for word in sentence]
        lengths = np.fromiter(map(len, sentences), dtype=np.int64, count=len(sentences))
        states = None if self.readers is None else self.readers.states(sentences)
        return Sentences(np.asarray(values, dtype=np.int32), lengths, self.forms([*ids]), states)

    def forms(self, words: Sequence[str]) -> Forms:
        """Return different words in numbers."""
        words = _readable(words)
        keys = [key(word) for word in words]
        spelt = [_both_ends(word) for word in words]
        look_up = self.characters.ids.get
        return Forms(
            words=_ids(keys, self.words.ids),
            shapes=_ids(map(shape, words), self.shapes.ids),
            characters=np.asarray(
                [look_up(sign, UNKNOWN_ID) for word in spelt for sign in word], dtype=np.int32
            ),
            lengths=np.fromiter(map(len, spelt), dtype=np.int64, count=len(spelt)),
            spelling=spelling(keys, range(len(keys)) if self.spellings else (), self.spellings),
            affixes=np.array([*map(_affixes, keys)], dtype=np.int64).reshape(-1, AFFIXES),
        )

    def saved(self) -> SavedEncoder:
        """Return the form in which a bundle keeps it."""
        parts = (self.words.tokens, self.characters.tokens, self.shapes.tokens)
        return SavedEncoder(*parts, self.spellings)


class SavedEncoder(msgspec.Struct, forbid_unknown_fields=True):
    """The form of forms.json."""

    words: tuple[str, ...]
    characters: tuple[str, ...]
    shapes: tuple[str, ...]
    spellings: int

    def restored(self) -> FormEncoder:
        """Return the encoder.

        Raises:
            ValueError: an entry is there twice.
        """
        words, characters, shapes = map(Vocabulary, (self.words, self.characters, self.shapes))
        return FormEncoder(words, characters, shapes, self.spellings)


def _readable(words: Sequence[str]) -> Sequence[str]:
    """Return words that can be read: in form C, none of them empty, without half a character.

    Signs that mean the same are written alike, also where they stand as HTML (``&quot;``).
    """
    return [_readable_word(word) for word in without_surrogates(words)]


def _readable_word(word: str) -> str:
    if "&" in word and ";" in word:
        word = html.unescape(word)
    word = normalise(word).translate(_SIGNS).replace("…", "...")
    return '"' if word in _QUOTES else word or " "


def _affixes(entry: str) -> list[int]:
    """Return the numbers of an entry's ends and beginnings, of which several are alike."""
    framed = f"<{entry}>"
    ends = [f"-{framed[-size - 1 :]}" for size in ENDS]
    begins = [f"+{framed[: size + 1]}" for size in BEGINNINGS]
    return [zlib.crc32(part.encode()) % AFFIX_VECTORS for part in (*ends, *begins)]


def _both_ends(word: str) -> str:
    if len(word) <= LONGEST:
        return word
    return word[: LONGEST // 2] + word[-(LONGEST // 2) :]


def _ids(entries: Iterable[str], ids: Mapping[str, int]) -> Ints:
    numbers: list[Any] = [ids.get(entry, UNKNOWN_ID) for entry in entries]
    return np.asarray(numbers, dtype=np.int64)
