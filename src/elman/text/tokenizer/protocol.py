"""What all tokenizers have in common: what they return, their names, the form they are saved in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

Level = Literal["characters", "words", "bpe", "unigram", "bytes"]
NAMES: dict[Level, str] = {
    "characters": "characters",
    "words": "words",
    "bpe": "subwords (BPE)",
    "unigram": "subwords (unigram)",
    "bytes": "bytes",
}
"""What a model reads, as people are told."""
SUBWORDS: tuple[Level, ...] = ("bpe", "unigram")
MAX_LENGTH: dict[Level, int] = {
    "characters": 512,
    "words": 256,
    "bpe": 384,
    "unigram": 384,
    "bytes": 1024,
}


@dataclass(frozen=True)
class Encoded:
    """Token ids of many texts, ragged.

    Attributes:
        values: (N,) int32, the ids of all rows, one row after the other.
        lengths: (rows,) int64, the number of tokens in each row; 0 for an empty text.
        truncated_rows: those whose texts were longer than the tokenizer's ``max_length``.
        unknown: the different words that the vocabulary lacks, where they were asked for; their
            ids are those behind the vocabulary's.
    """

    values: NDArray[np.int32]
    lengths: NDArray[np.int64]
    truncated_rows: Sequence[int] = ()
    unknown: Sequence[str] = ()

    @property
    def truncated(self) -> int:
        """How many texts were longer than the tokenizer's ``max_length``."""
        return len(self.truncated_rows)

    def __len__(self) -> int:
        return len(self.lengths)


class Tokenizer(Protocol):
    """What models need of a tokenizer."""

    max_length: int

    @property
    def level(self) -> Level:
        """What a token is."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, the two special ones included."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the token ids of ``texts``."""

    def split(self, text: str) -> list[str]:
        """Return the pieces of ``text`` that ``encode`` numbers, as a person would read them."""

    def to_json(self) -> bytes:
        """Return the tokenizer as JSON, from which ``load_tokenizer`` restores it."""


class Saved(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The form of tokenizer.json."""

    level: Level
    max_length: int
    tokens: tuple[str, ...] = ()
    words: dict[str, Any] = {}
    coder: dict[str, Any] = {}
    """Of a language model's tokenizer: what its coder writes."""
    before: int = 0
    """Likewise: the id that stands before a text."""


def written(saved: Saved) -> bytes:
    """Return tokenizer.json."""
    return msgspec.json.format(msgspec.json.encode(saved), indent=1)


def joined(arrays: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    """Return the arrays one after the other; of none an empty one."""
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=dtype)
