"""Sentences with their entities marked, made by a grammar of frames from lists of names.

A frame is a sentence with gaps: `{org} hired {per:last} in {date}.`, where `[a|b|]` is one of these
words or none. The entities are ambiguous on purpose: a town may be a surname (`in Miller`), a firm
be called after a person or a common word, `April` be a month or a woman, and a sentence begin with
a word that is a name elsewhere. The words around tell which. The test part that comes with a set
has names and frames that the training part does not have, and more sentences in lower case.

The draws are the set's own: Python's `random.random` gives the same numbers for a seed for ever.
Where another version of faker has other names, other sentences are made of them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TypeVar
from zlib import crc32

from elman.data.tagged import Tagged
from elman.text.segmentation import word_spans
from elman.text.tag_schemes import IOB2

ItemT = TypeVar("ItemT")

TRAIN_SENTENCES, TEST_SENTENCES = 5000, 1000
_UNSEEN = 0.7  # of the test part's sentences have names that the training part does not have
_UNSEEN_FRAMES = 0.3
_LOWER = {"train": 0.05, "test": 0.2}

_CHOICE = re.compile(r"\[([^\]]*)\]")
_GAP = re.compile(r"\{(\w+):?(\w*)\}")


@dataclass(frozen=True)
class Draw:
    """Chance, and the names that it draws from."""

    random: Callable[[], float]
    names: Mapping[str, Sequence[str]]

    def one(self, items: Sequence[ItemT]) -> ItemT:
        """Return one of ``items``."""
        return items[int(self.random() * len(items))]

    def name(self, kind: str) -> str:
        """Return one of the names of that kind."""
        return self.one(self.names[kind])

    def chance(self, share: float) -> bool:
        """Return true in that share of calls."""
        return self.random() < share


Gap = Callable[[Draw, str], str]
"""Fills a gap: of the form that the frame asks for, or of "" where it asks for none."""


@dataclass(frozen=True)
class Grammar:
    """What the sentences of a language are made of."""

    names: Mapping[str, Sequence[str]]
    frames: Sequence[str]
    test_frames: Sequence[str]
    """Those of the test part alone."""
    entities: Mapping[str, Gap]
    """Gaps whose filling is an entity, by the type in lower case."""
    words: Mapping[str, Sequence[str]]
    """Fillings of the other gaps."""
    linked: Callable[[str, str], str] = lambda text, filling: text
    """Fits the end of a text to the entity that follows."""


@dataclass(frozen=True)
class Sentence:
    """A text and its entities: start, end and type of each."""

    text: str
    entities: tuple[tuple[int, int, str], ...]


def make(source: str, grammar: Grammar) -> Tagged:
    """Return the training part, with the test part in it; ``source`` is the seed, too."""
    draw = Draw(random.Random(source).random, grammar.names)
    known = replace(draw, names=_names(grammar.names, seen=True))
    unknown = replace(draw, names=_names(grammar.names, seen=False))
    taken: set[str] = set()

    def part(name: str, size: int) -> Iterable[Sentence]:
        while size:
            test = name == "test"
            names = unknown if test and draw.chance(_UNSEEN) else known
            new = test and draw.chance(_UNSEEN_FRAMES)
            frames = grammar.test_frames if new else grammar.frames
            sentence = fill(grammar, names.one(frames), names)
            if draw.chance(_LOWER[name]):
                sentence = replace(sentence, text=sentence.text.lower())
            if sentence.text not in taken:
                taken.add(sentence.text)
                size -= 1
                yield sentence

    train, test = (
        [tagged(sentence) for sentence in part(name, size)]
        for name, size in (("train", TRAIN_SENTENCES), ("test", TEST_SENTENCES))
    )
    notes = (f"made from names of faker {version('faker')}",)
    return _record(train, source, notes, _record(test, source, notes))


def _record(
    rows: Sequence[tuple[list[str], list[str | None]]],
    source: str,
    notes: tuple[str, ...],
    test: Tagged | None = None,
) -> Tagged:
    tokens, tags = map(list, zip(*rows, strict=True))
    return Tagged(tokens=tokens, tags=tags, source=source, scheme=IOB2, notes=notes, test=test)


def fill(grammar: Grammar, frame: str, draw: Draw) -> Sentence:
    """Return a sentence of a frame."""
    frame = _CHOICE.sub(lambda choice: draw.one(choice[1].split("|")), frame)
    text, place, entities = "", 0, []
    for gap in _GAP.finditer(frame):
        text += frame[place : gap.start()]
        place, kind = gap.end(), gap[1]
        if kind in grammar.words:
            text += draw.one(grammar.words[kind])
            continue
        filling = grammar.entities[kind](draw, gap[2])
        text = grammar.linked(text, filling)
        entities.append((len(text), len(text) + len(filling), kind.upper()))
        text += filling
    text += frame[place:]
    return Sentence(text[0].upper() + text[1:], tuple(entities))


def tagged(sentence: Sentence) -> tuple[list[str], list[str | None]]:
    """Return the sentence's tokens and their tags in IOB2.

    Raises:
        ValueError: an entity does not begin or end where a token does.
    """
    words = word_spans(sentence.text)
    starts = {word.start: number for number, word in enumerate(words)}
    ends = {word.end: number for number, word in enumerate(words, start=1)}
    tags: list[str | None] = ["O"] * len(words)
    for start, end, kind in sentence.entities:
        if start not in starts or end not in ends:
            raise ValueError(f"{sentence.text[start:end]!r} is no whole tokens: {sentence.text!r}")
        tags[starts[start] : ends[end]] = [f"I-{kind}"] * (ends[end] - starts[start])
        tags[starts[start]] = f"B-{kind}"
    return [word.text for word in words], tags


def listed(words: str) -> list[str]:
    """Return words that stand in one string."""
    return words.split()


def stable(names: Iterable[str], most: int) -> list[str]:
    """Return ``most`` of the names, which depend little on how many there are."""
    return sorted(set(names), key=lambda name: (crc32(name.encode()), name))[:most]


def _names(names: Mapping[str, Sequence[str]], *, seen: bool) -> dict[str, list[str]]:
    """Return the fifth that the training part does not have, or the rest."""
    return {
        kind: [name for name in all_names if (crc32(name.encode()) % 5 > 0) == seen]
        for kind, all_names in names.items()
    }
