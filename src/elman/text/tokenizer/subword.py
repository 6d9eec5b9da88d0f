"""One token a piece of a word: neighbours merged (BPE), or the likeliest pieces (unigram)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from elman.text.cleaning import without_surrogates
from elman.text.tokenizer import subword_models
from elman.text.tokenizer.protocol import MAX_LENGTH, Level
from elman.text.tokenizer.splitting import entries_of, splitting
from elman.text.tokenizer.word import SplitTokenizer

MAX_SUBWORDS = 4_000


class _SubwordTokenizer(SplitTokenizer):
    """One token a piece of a word, as the word tokenizer cuts and spells words.

    What has a character that the vocabulary lacks is read as unknown from there to the next one
    that it has.
    """

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        *,
        min_count: int = 2,
        max_length: int | None = None,
        max_size: int = MAX_SUBWORDS,
    ) -> Self:
        """Learn the pieces from the words of the texts.

        ``min_count`` is how often a character must be seen (with BPE a pair of pieces, too).
        """
        counts: Counter[str] = Counter()
        for text in without_surrogates(texts):
            counts.update(entries_of(text)[: max_length or MAX_LENGTH[cls.level]])
        return cls(splitting(cls._model(counts, min_count, max_size)), max_length=max_length)

    @staticmethod
    def _model(counts: Mapping[str, int], min_count: int, size: int) -> Any:
        raise NotImplementedError


class BpeTokenizer(_SubwordTokenizer):
    """Pieces that come of merging frequent neighbours."""

    level: ClassVar[Level] = "bpe"

    @staticmethod
    def _model(counts: Mapping[str, int], min_count: int, size: int) -> Any:
        return subword_models.bpe(counts, min_count=min_count, size=size)


class UnigramTokenizer(_SubwordTokenizer):
    """Pieces that are likeliest together."""

    level: ClassVar[Level] = "unigram"

    @staticmethod
    def _model(counts: Mapping[str, int], min_count: int, size: int) -> Any:
        return subword_models.unigram(counts, min_count=min_count, size=size)
