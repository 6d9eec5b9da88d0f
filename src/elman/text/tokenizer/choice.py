"""Which tokenizer suits the texts, made from them or restored from its JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from elman.errors import ConfigError, DataError
from elman.text.tokenizer.character import CharacterTokenizer
from elman.text.tokenizer.coded import CodedTokenizer
from elman.text.tokenizer.protocol import MAX_LENGTH, Level, Saved, Tokenizer
from elman.text.tokenizer.subword import MAX_SUBWORDS, BpeTokenizer, UnigramTokenizer
from elman.text.tokenizer.word import WordTokenizer

# Texts this short (median) are names, codes or single words: their characters carry the meaning.
SHORT_TEXT = 32


def choose_level(texts: Sequence[str]) -> Level:
    """Return ``"characters"`` for short texts and for scripts without spaces, else ``"words"``.

    Judged on at most 10,000 texts spread evenly over all.
    """
    sample = texts[:: max(1, len(texts) // 10_000)]
    lengths = [len(text) for text in sample]
    if not lengths or np.median(lengths) <= SHORT_TEXT:
        return "characters"
    words = sum(len(text.split()) for text in sample)
    # Twelve characters between two spaces is no word of an alphabetic script.
    return "characters" if sum(lengths) > 12 * words else "words"


def fit_tokenizer(
    texts: Sequence[str],
    *,
    level: Level,
    min_count: int | None = None,
    max_length: int | None = None,
    known: Iterable[str] = (),
    vocab_size: int | None = None,
) -> Tokenizer:
    """Make a tokenizer of the given level from the training texts.

    Args:
        texts: the training part alone; validation and test texts must not shape the vocabulary.
        level: ``"characters"``, ``"words"``, ``"bpe"`` or ``"unigram"``.
        min_count: tokens seen less often share the unknown entry; 2 when not given, so that the
            unknown entry is itself trained on the rare ones.
        max_length: longer texts are truncated; 512 characters, 256 words or 384 pieces of words
            when not given.
        known: words that enter a vocabulary of words however seldom the texts have them.
        vocab_size: pieces of words at most, the two special entries included; 4,000 when not given.

    Raises:
        ConfigError: a number under 1.
    """
    for name, value in (("min_count", min_count), ("max_length", max_length)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; it must be 1 or more")
    sizes = {"min_count": min_count or 2, "max_length": max_length or MAX_LENGTH[level]}
    if level == "characters":
        return CharacterTokenizer.fit(texts, **sizes)
    if level == "words":
        return WordTokenizer.fit(texts, **sizes, known=known)
    kind = BpeTokenizer if level == "bpe" else UnigramTokenizer
    return kind.fit(texts, **sizes, max_size=vocab_size or MAX_SUBWORDS)


def load_tokenizer(data: bytes, *, source: str = "tokenizer.json") -> Tokenizer:
    """Restore a tokenizer from its JSON.

    Raises:
        DataError: when ``data`` is not what ``to_json`` writes; names ``source``.
    """
    try:
        saved = msgspec.json.decode(data, type=Saved)
        kind = CodedTokenizer if saved.coder else _KINDS[saved.level]
        tokenizer: Tokenizer = kind.from_saved(saved)
        return tokenizer
    except Exception as error:
        raise DataError(f"{source} is not a tokenizer that Elman wrote ({error})") from error


_KINDS: dict[Level, Any] = {
    kind.level: kind for kind in (CharacterTokenizer, WordTokenizer, BpeTokenizer, UnigramTokenizer)
}
