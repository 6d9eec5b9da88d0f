"""Tokenizers for text that a model writes: ids turn back into the very text they were made of.

Unlike the others of this package they know no texts, no longest length and no lower case; what
they read is running text, its line ends among the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError, DataError
from elman.text.tokenizer.byte_coders import BpeCoder, ByteCoder
from elman.text.tokenizer.character_coder import CharacterCoder
from elman.text.tokenizer.coding import END as END
from elman.text.tokenizer.coding import END_ID as END_ID
from elman.text.tokenizer.coding import UNKNOWN as UNKNOWN
from elman.text.tokenizer.coding import UNKNOWN_ID as UNKNOWN_ID
from elman.text.tokenizer.coding import Coding as Coding
from elman.text.tokenizer.coding import Flow as Flow
from elman.text.tokenizer.coding import SavedCoder
from elman.text.tokenizer.coding import TextCoder as TextCoder
from elman.text.tokenizer.word_coder import WordCoder

CODINGS: dict[Coding, str] = {
    "characters": "characters",
    "bytes": "bytes",
    "words": "words",
    "bpe": "subwords (BPE)",
}
"""What a language model reads and writes, as people are told."""


def fit_coder(
    pieces: Callable[[], Iterable[str]],
    *,
    level: Coding,
    min_count: int | None = None,
    vocab_size: int | None = None,
) -> TextCoder:
    """Make a tokenizer of the given level from the training part.

    Args:
        pieces: gives the text, as often as it is asked for, in runs of about a million characters
            at most that are cut at line ends.
        level: ``"characters"``, ``"bytes"``, ``"words"`` or ``"bpe"``.
        min_count: characters and words seen less often are unknown, pairs of bytes not merged; 1
            for characters and else 2 when not given. Bytes are all known.
        vocab_size: tokens at most, the two special ones included: 50,000 words or 4,000 runs of
            bytes when not given. Bytes are always 258.

    Raises:
        ConfigError: a number is too small.
    """
    for name, value, least in (("min_count", min_count, 1), ("vocab_size", vocab_size, 3)):
        if value is not None and value < least:
            raise ConfigError(f"{name} is {value}; it must be {least} or more")
    sizes = {"min_count": min_count, "vocab_size": vocab_size}
    given: dict[str, Any] = {name: value for name, value in sizes.items() if value is not None}
    match level:
        case "characters":
            return CharacterCoder.fit(pieces(), **given)
        case "bytes":
            return ByteCoder()
        case "words":
            return WordCoder.fit(pieces, **given)
        case "bpe":
            return BpeCoder.fit(pieces(), **given)
    raise ConfigError(f"there are no tokens {level!r}; there are {', '.join(CODINGS)}")


def load_coder(data: bytes, *, source: str = "tokenizer.json") -> TextCoder:
    """Restore a tokenizer from its JSON.

    Raises:
        DataError: ``data`` is not what ``to_json`` writes; names ``source``.
    """
    try:
        saved = msgspec.json.decode(data, type=SavedCoder)
        coder: TextCoder = _KINDS[saved.coding].from_saved(saved)
        return coder
    except Exception as error:
        raise DataError(f"{source} is not a tokenizer that Elman wrote ({error})") from error


_KINDS: dict[Coding, Any] = {
    kind.level: kind for kind in (CharacterCoder, ByteCoder, WordCoder, BpeCoder)
}


def first_id(coder: TextCoder, *, running: bool) -> int:
    """Return the id that stands before a text's first token: an end, or that of a line.

    Args:
        coder: the tokenizer.
        running: whether the language model has learnt from one running text.
    """
    if not running:
        return END_ID
    line_end = coder.encode("\n")
    return int(line_end[-1]) if len(line_end) else END_ID


def encode_stream(coder: TextCoder, pieces: Iterable[str]) -> NDArray[np.unsignedinteger[Any]]:
    """Return the ids of a text in pieces as one array, with next to no memory beside it.

    Args:
        coder: the tokenizer.
        pieces: the text, cut at line ends, so that no token stands across a cut.

    Returns:
        (N,) ids of the smallest unsigned type that holds all of the vocabulary.
    """
    dtype = np.min_scalar_type(coder.vocab_size - 1)
    # A bytearray grows in place, where joining arrays would need all twice.
    whole = bytearray()
    for piece in pieces:
        whole += coder.encode(piece).astype(dtype).tobytes()
    return np.frombuffer(whole, dtype=dtype)
