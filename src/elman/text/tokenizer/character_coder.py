"""One id a character, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from elman.text.cleaning import is_normal, normalise
from elman.text.tokenizer.character import code_point_table, code_points
from elman.text.tokenizer.coding import (
    END,
    END_ID,
    REPLACEMENT,
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


class CharacterCoder:
    """One token a Unicode code point of the text in normalisation form C.

    Args:
        tokens: the characters, without the special ones.
    """

    level: Coding = "characters"

    def __init__(self, tokens: Sequence[str]):
        self.tokens = tuple(tokens)
        if any(len(token) != 1 for token in self.tokens):
            raise ValueError("a token is not one character")
        self._table = code_point_table(numbered(self.tokens))
        self._codes = code_points("".join((REPLACEMENT, REPLACEMENT, *self.tokens)))

    @classmethod
    def fit(
        cls, pieces: Iterable[str], *, min_count: int = 1, vocab_size: int | None = None
    ) -> CharacterCoder:
        """Make the vocabulary of the characters seen at least ``min_count`` times."""
        counts = np.zeros(0x110000, dtype=np.int64)
        for run in in_runs(pieces):
            found = np.bincount(code_points("".join(map(_normal, run))))
            counts[: len(found)] += found
        counts[0xD800:0xE000] = 0  # lone surrogates stay unknown: JSON cannot hold them
        seen = {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}
        return cls(most_frequent(seen, min_count=min_count, vocab_size=vocab_size))

    @property
    def vocab_size(self) -> int:
        """Number of ids, the two special ones included."""
        return len(self._codes)

    def encode(self, text: str) -> Ids:
        """Return the (N,) ids of the characters."""
        return self._table[code_points(_normal(text))]

    def decode(self, ids: Numbers) -> str:
        """Return the text: U+FFFD for an unknown character, nothing for an end."""
        numbers = np.asarray(ids, dtype=np.int64)
        return self._codes[numbers[numbers != END_ID]].tobytes().decode("utf-32-le")

    def to_bytes(self, id: int) -> bytes:
        """Return one character in UTF-8; the sign of the unknown token, nothing for an end."""
        return b"" if id == END_ID else chr(self._codes[id]).encode()

    def pieces(self, text: str) -> list[str]:
        """Return the characters, known or not."""
        return list(_normal(text))

    def token(self, id: int) -> str:
        """Return one character, or the name of a special token."""
        return {END_ID: END, UNKNOWN_ID: UNKNOWN}.get(int(id)) or chr(self._codes[id])

    def to_json(self) -> bytes:
        """Return the coder as JSON."""
        return written(SavedCoder(self.level, tokens=self.tokens))

    @classmethod
    def from_saved(cls, saved: SavedCoder) -> CharacterCoder:
        """Restore what ``to_json`` wrote."""
        return cls(saved.tokens)


def _normal(text: str) -> str:
    return text if is_normal(text) else normalise(text)
