"""What the reversible tokenizers have in common: ids, names, and the form they are saved in.

They are for text that a model writes: ids turn into the very text that they were made of.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

Coding = Literal["characters", "bytes", "words", "bpe"]
END, UNKNOWN = "<end>", "<unk>"
END_ID = 0
"""The end of a text, and what stands before its first token."""
UNKNOWN_ID = 1
NUM_SPECIAL = 2
REPLACEMENT = "\ufffd"
"""What an unknown token is written as, and bytes that are no UTF-8."""
RUN_CHARACTERS = 1 << 20

Ids = NDArray[np.int32]
Numbers = Sequence[int] | NDArray[np.integer[Any]]


class TextCoder(Protocol):
    """Running text to token ids, and back to the same text but for tokens that are not known."""

    level: Coding

    @property
    def vocab_size(self) -> int:
        """Number of ids; the first two are ``END_ID`` and ``UNKNOWN_ID``."""

    def encode(self, text: str) -> Ids:
        """Return the (N,) ids of a text, without an end."""

    def decode(self, ids: Numbers) -> str:
        """Return the text: U+FFFD for the unknown token, nothing for an end."""

    def to_bytes(self, id: int) -> bytes:
        """Return one token in UTF-8: the parts of a text that ``decode`` returns."""

    def pieces(self, text: str) -> list[str]:
        """Return what stands in a text for each of the ids that ``encode`` gives, known or not.

        Together they are the text, in the normalisation form that the coder reads. Of tokens that
        end within a character the last one has it, and the others have nothing of it.
        """

    def token(self, id: int) -> str:
        r"""Return one token as a person is shown it; of a byte that is no character ``\xNN``."""

    def to_json(self) -> bytes:
        """Return the coder as JSON, from which ``load_coder`` restores it."""


class Flow:
    """Text as its tokens come: a character of several bytes comes out when it is whole."""

    def __init__(self, coder: TextCoder):
        self._bytes = coder.to_bytes
        self._decode = getincrementaldecoder("utf-8")("replace").decode

    def add(self, token: int) -> str:
        """Return what can be read with one more token."""
        return self._decode(self._bytes(token))


class SavedCoder(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The form in which a coder is saved."""

    coding: Coding
    tokens: tuple[str, ...] = ()
    """Without the special ones."""
    is_cut: bool = False
    """Of words: whether the text has blanks between all of its tokens."""
    pieces: dict[str, Any] = {}
    """Of BPE: as the ``tokenizers`` library writes it."""


def written(saved: SavedCoder) -> bytes:
    """Return the JSON of a coder."""
    return msgspec.json.format(msgspec.json.encode(saved), indent=1)


def most_frequent(
    counts: Mapping[str, int], *, min_count: int, vocab_size: int | None
) -> tuple[str, ...]:
    """Return the tokens counted often enough, the most frequent first, equal ones in their order.

    ``vocab_size`` bounds their number together with the special ones.
    """
    kept = [token for token, count in counts.items() if count >= min_count]
    kept.sort(key=lambda token: (-counts[token], token))
    return tuple(kept if vocab_size is None else kept[: max(vocab_size - NUM_SPECIAL, 0)])


def numbered(tokens: Sequence[str]) -> dict[str, int]:
    """Return the ids of the tokens.

    Raises:
        ValueError: one stands twice.
    """
    ids = {token: i for i, token in enumerate(tokens, start=NUM_SPECIAL)}
    if len(ids) != len(tokens):
        raise ValueError("a token stands twice")
    return ids


def in_runs(pieces: Iterable[str]) -> Iterator[list[str]]:
    """Yield the pieces in lists of about a million characters, so that short ones cost little."""
    run: list[str] = []
    size = 0
    for piece in pieces:
        run.append(piece)
        size += len(piece)
        if size >= RUN_CHARACTERS:
            yield run
            run, size = [], 0
    if run:
        yield run
