"""What is given to be tagged: texts, which are cut into words, or lists of words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from elman.errors import InputError
from elman.text.segmentation import Word, segment


def cut(given: str | Sequence[str], *, pretokenized: bool) -> tuple[str, list[list[Word]]]:
    """Return a text, and its sentences with the places of their words in it.

    Raises:
        InputError: it is neither a text nor a list of words.
    """
    if not isinstance(given, str):
        [tokens] = token_lists([given])
        text = " ".join(tokens)
        starts = accumulate((len(token) + 1 for token in tokens[:-1]), initial=0)
        words = [Word(t, s, s + len(t)) for t, s in zip(tokens, starts, strict=False)]
        return text, [words] if words else []
    if pretokenized:
        words, start = [], 0
        for token in given.split():
            start = given.index(token, start)
            words.append(Word(token, start, start + len(token)))
            start += len(token)
        return given, [words] if words else []
    return given, segment(given)


def token_lists(sentences: Iterable[Sequence[str]]) -> list[list[str]]:
    """Return lists of words as they are.

    Raises:
        InputError: these are none.
    """
    if isinstance(sentences, str) or not isinstance(sentences, Iterable):
        raise InputError(
            f"give a list of sentences, each a list of words; this is {sentences!r:.60}"
        )
    rows = []
    for i, sentence in enumerate(sentences):
        if isinstance(sentence, str) or not isinstance(sentence, Iterable):
            raise InputError(
                f"sentence {i} is {sentence!r:.60}; give a list of words, or a text to answer()"
            )
        row = list(sentence)
        for word in row:
            if not isinstance(word, str):
                raise InputError(f"sentence {i} holds {word!r:.60}, which is no string")
        rows.append(row)
    return rows
