"""One id a word with the blank before it, and back."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain, repeat

import numpy as np

from elman.text.cleaning import is_normal, normalise, without_surrogates
from elman.text.tokenizer.coding import (
    END,
    END_ID,
    REPLACEMENT,
    RUN_CHARACTERS,
    UNKNOWN,
    UNKNOWN_ID,
    Coding,
    Ids,
    Numbers,
    SavedCoder,
    in_runs,
    most_frequent,
    numbered,
    written,
)

MAX_WORDS = 50_000
# A corpus of a gigabyte has some millions of different words, most of them seen once.
_MOST_COUNTED = 2_000_000


class WordCoder:
    """One token a word or sign, each with the one blank before it; longer blanks are tokens, too.

    So the tokens one after the other are the text, in normalisation form C. Case is kept, a line
    end is a token, apostrophes and hyphens inside a word belong to it.

    Args:
        tokens: the vocabulary, without the special ones.
        is_cut: whether the text has blanks between all its tokens already, as the Penn Treebank
            has: then it is cut nowhere else. A line end is one token with the blank before it, and
            a word that is known with its blank alone is found without, too.
    """

    level: Coding = "words"

    def __init__(self, tokens: Sequence[str], *, is_cut: bool = False):
        self.tokens = tuple(tokens)
        self.is_cut = is_cut
        self._ids = numbered(self.tokens)
        if is_cut:
            bare = {token[1:]: i for token, i in self._ids.items() if token[:1] == " "}
            self._ids = {**bare, **self._ids}
        self._written = ["", REPLACEMENT, *self.tokens]
        self._find = _pattern(is_cut).findall

    @classmethod
    def fit(
        cls,
        pieces: Callable[[], Iterable[str]],
        *,
        min_count: int | None = None,
        vocab_size: int = MAX_WORDS,
    ) -> WordCoder:
        """Make the vocabulary of the words seen at least ``min_count`` times.

        That is 2 when not given, but 1 where the text has ``<unk>`` for its rare words already.
        """
        is_cut = _is_cut(pieces())
        find = _pattern(is_cut).findall
        counts: Counter[str] = Counter()
        for run in in_runs(pieces()):
            counts.update(chain.from_iterable(map(find, map(_normal, run))))
            if len(counts) > _MOST_COUNTED:
                counts = Counter({word: count for word, count in counts.items() if count > 1})
        if min_count is None:
            min_count = 1 if is_cut and " <unk>" in counts else 2
        tokens = most_frequent(counts, min_count=min_count, vocab_size=vocab_size)
        return cls(tokens, is_cut=is_cut)

    @property
    def vocab_size(self) -> int:
        """Number of ids, the two special ones included."""
        return len(self._written)

    def encode(self, text: str) -> Ids:
        """Return the (N,) ids of the words."""
        words = self._find(_normal(text))
        found = map(self._ids.get, words, repeat(UNKNOWN_ID))
        return np.fromiter(found, dtype=np.int32, count=len(words))

    def decode(self, ids: Numbers) -> str:
        """Return the text: U+FFFD for an unknown word, nothing for an end."""
        return "".join(map(self._written.__getitem__, np.asarray(ids, dtype=np.int64).tolist()))

    def to_bytes(self, id: int) -> bytes:
        """Return one word in UTF-8; the sign of the unknown token, nothing for an end."""
        return self._written[id].encode()

    def pieces(self, text: str) -> list[str]:
        """Return the words, each with the blank before it, known or not."""
        return self._find(_normal(text))

    def token(self, id: int) -> str:
        """Return one word with its blank, or the name of a special token."""
        return {END_ID: END, UNKNOWN_ID: UNKNOWN}.get(int(id)) or self._written[id]

    def to_json(self) -> bytes:
        """Return the coder as JSON."""
        return written(SavedCoder(self.level, tokens=self.tokens, is_cut=self.is_cut))

    @classmethod
    def from_saved(cls, saved: SavedCoder) -> WordCoder:
        """Restore what ``to_json`` wrote."""
        return cls(saved.tokens, is_cut=saved.is_cut)


def _normal(text: str) -> str:
    [text] = without_surrogates([text])
    return text if is_normal(text) else normalise(text)


def _is_cut(pieces: Iterable[str]) -> bool:
    """Return whether a text has blanks before its commas and the like, as far as it begins."""
    run: Sequence[str] = next(in_runs(pieces), [])
    attached = sum(len(_ATTACHED.findall(piece[:RUN_CHARACTERS])) for piece in run)
    alone = sum(len(_ALONE.findall(piece[:RUN_CHARACTERS])) for piece in run)
    return attached < alone or attached == alone == 0


_ATTACHED = re.compile(r"[^\W_][,;!?]")
_ALONE = re.compile(r"(?<!\S)[,;!?](?!\S)")


@cache
def _pattern(is_cut: bool) -> re.Pattern[str]:
    """Return what finds the tokens of a text, which together are the whole text."""
    if is_cut:
        return re.compile(r" ?(?:\S+|\n)|[^\S\n]+")
    # What follows a letter without being one: accents, vowel signs, joiners, the soft hyphen.
    behind = rf"[{_marks()}\u200c\u200d\u00ad]"
    letter = rf"[^\W_{_IDEOGRAPHS}]"
    letters = rf"{letter}+(?:{behind}+{letter}*)*"
    word = rf"{letters}(?:['’ʼ_\-‐]{letters})*"
    shades = rf"[{_marks()}{_TONES}{_TAGS}]*"
    sign = rf"(?:[{_FLAGS}]{{2}}|[^\w\s]|_){shades}(?:\u200d[^\w\s]{shades})*"
    return re.compile(rf"\n| ?(?:{word}|[{_IDEOGRAPHS}]|{sign})|[^\S\n]+")


_IDEOGRAPHS = "々〇\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts without blanks in which a character is near to a word: Chinese and Japanese."""
_FLAGS = "\U0001f1e6-\U0001f1ff"
_TONES = "\U0001f3fb-\U0001f3ff"
_TAGS = "\U000e0020-\U000e007f"


def _marks() -> str:
    """Return all combining marks and variation selectors, for a set of a pattern."""
    planes = chain(range(0x300, 0x20000), range(0xE0100, 0xE01F0))
    return "".join(chr(code) for code in planes if unicodedata.category(chr(code))[0] == "M")
