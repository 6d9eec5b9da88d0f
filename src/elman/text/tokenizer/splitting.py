"""Texts cut into words and signs, as vocabularies of words and of their pieces have them."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

from elman.text.cleaning import without_surrogates
from elman.text.tokenizer.patterns import UNSEEN, WORD_PATTERN
from elman.text.vocabulary import UNKNOWN_ID, Vocabulary


def words(text: str, *, case: bool = False) -> list[str]:
    """Return the entries of the words and signs of ``text``, in order, as a vocabulary has them.

    Args:
        text: any text.
        case: keep capital letters, which a vocabulary does not have.
    """
    [text] = without_surrogates([text])
    return entries_of(text, case=case)


def entries_of(text: str, *, case: bool = False) -> list[str]:
    """Return what ``words`` does of a text without lone surrogates."""
    normal, pieces = _splitter(case)
    return [piece for piece, _ in pieces(normal(text))]


def splitting(model: Any) -> Any:
    """Return a tokenizer of the library that cuts and spells words as Elman does."""
    from tokenizers import Regex, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Inner

    inner = Inner(model)
    # Form C comes last: an unseen mark may stand between a letter and its accent.
    inner.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(UNSEEN), ""), normalizers.NFC()]
    )
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="removed", invert=True)
    return inner


def word_level(vocabulary: Vocabulary) -> Any:
    """Return a tokenizer of the library that reads whole words."""
    from tokenizers import models

    unknown = vocabulary.tokens[UNKNOWN_ID]
    return splitting(models.WordLevel(vocab=vocabulary.ids, unk_token=unknown))


def end_of(text: str, end: int, limit: int) -> int:
    """Return the end of a token with the accents and variation selectors behind it.

    The library's offsets leave out what was deleted or became one with its letter.
    """
    for i in range(end, limit):
        if text[i].isspace():
            break
        if unicodedata.category(text[i]) != "Cf":
            end = i + 1
    return end


@cache
def _splitter(case: bool) -> tuple[Any, Any]:
    inner = word_level(Vocabulary.from_counts({}))
    normal = inner.normalizer
    if case:
        from tokenizers import normalizers

        normal = normalizers.Sequence([normal[1], normal[2]])  # all but Lowercase
    return normal.normalize_str, inner.pre_tokenizer.pre_tokenize_str
