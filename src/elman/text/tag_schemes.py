"""How spans of tokens, such as names, are written as one tag a token: IOB1, IOB2, BIOES, BILOU.

A tag is ``O``, outside of any span, or a letter, ``-`` and the type of the span, such as ``B-PER``.
A tag that is None is one that nobody has given.

==========  =========================================================================
IOB1        ``I`` in a span; ``B`` on the first token of one right behind another of its
            type (Ramshaw and Marcus, 1995; CoNLL-2003 is written so)
IOB2        ``B`` on the first token of every span, ``I`` on the others (Tjong Kim Sang, 1999)
BIOES       ``B I E`` on the first, inner and last tokens, ``S`` on a token that is a whole span;
            also called IOBES
BILOU       the same with ``L`` for ``E`` and ``U`` for ``S`` (Ratinov and Roth, 2009)
==========  =========================================================================
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.errors import DataError

OUTSIDE = "O"
Tag = str | None
Span = tuple[int, int, str]
"""Its first token, the one behind its last, and its type."""


@dataclass(frozen=True)
class Scheme:
    """A way to write spans: the letter of each kind of token."""

    name: str
    begin: str
    """Of the first of several tokens."""
    inside: str
    end: str
    single: str
    """Of a token that is a whole span."""
    sparing: bool = False
    """Whether ``begin`` stands only where ``inside`` would go on with the span before."""

    @property
    def closed(self) -> bool:
        """Whether the last token of a span is written otherwise than an inner one."""
        return self.end != self.inside

    @property
    def openers(self) -> str:
        """The letters that always begin a span."""
        return self.begin + self.single

    @property
    def closers(self) -> str:
        """The letters that always end a span."""
        return self.end + self.single if self.closed else ""

    @property
    def letters(self) -> set[str]:
        """All letters."""
        return {self.begin, self.inside, self.end, self.single}


SCHEMES = {
    one.name: one
    for one in (
        Scheme("IOB2", "B", "I", "I", "B"),
        Scheme("IOB1", "B", "I", "I", "B", sparing=True),
        Scheme("BIOES", "B", "I", "E", "S"),
        Scheme("BILOU", "B", "I", "L", "U"),
    )
}
IOB2, IOB1, BIOES, BILOU = SCHEMES.values()

_PREFIXED = re.compile(r"([BIESLU])-(.+)", re.DOTALL)


@lru_cache(maxsize=1 << 16)
def parted(tag: str) -> tuple[str, str]:
    """Return the letter and the type of a tag: ``("B", "PER")``; ``("O", "")`` without a letter."""
    found = _PREFIXED.fullmatch(tag)
    return (found[1], found[2]) if found else (OUTSIDE, "")


# -------------------------------------------------------------------------------------------------
# Which scheme it is, and what does not fit


class Fault(NamedTuple):
    """A tag that cannot stand where it does."""

    sentence: int
    token: int
    tag: str
    before: str | None
    """The tag that it cannot follow; None where a span is open at the end of the sentence."""

    def __str__(self) -> str:
        return (
            f"{self.tag} at the end" if self.before is None else f"{self.tag} after {self.before}"
        )


def recognise(
    sequences: Sequence[Sequence[Tag]], where: Callable[[int, int], str] | None = None
) -> Scheme | None:
    """Return the scheme that tags are written in; None where they are of no spans.

    Of the schemes that have all their letters it is the one with the fewest faults. Tags that are
    all ``O`` count as IOB2.

    Args:
        sequences: the tags of each sentence.
        where: names the place of a token for messages, from the numbers of its sentence and of the
            token in it, both from 0.

    Raises:
        DataError: they are of a mixed scheme: some have a letter and some have none, the letters
            are of two schemes, or two faults and more are in over a tenth of the spans.
    """
    seen = dict.fromkeys(tag for tags in sequences for tag in tags if tag is not None)
    named = [tag for tag in seen if tag != OUTSIDE]
    spanning = [tag for tag in named if _PREFIXED.fullmatch(tag)]
    if not seen or len(spanning) * 2 < len(named):
        return None
    place = where or _place
    bare = next((tag for tag in named if tag not in spanning), None)
    if bare is not None:
        raise _mixed(
            f"{_shown(sequences, bare, place)} has no letter before its type, and "
            f"{_shown(sequences, spanning[0], place)} has"
        )
    letters = {parted(tag)[0] for tag in spanning}
    fitting = [scheme for scheme in SCHEMES.values() if letters <= scheme.letters]
    if not fitting:
        two = (next(tag for tag in spanning if tag[0] in some) for some in ("ES", "LU"))
        bioes, bilou = (_shown(sequences, tag, place) for tag in two)
        raise _mixed(f"{bioes} is of BIOES and {bilou} of BILOU")
    pairs = Counter(pair for tags in sequences for pair in _pairs(tags))
    faults = {scheme.name: _count_faults(pairs, scheme) for scheme in fitting}
    nearest = min(fitting, key=lambda scheme: faults[scheme.name])
    wrong = faults[nearest.name]
    if wrong > 1 and wrong * 10 > sum(len(spans(tags, nearest)) for tags in sequences):
        first = next(iter(_faults(sequences, nearest)))
        raise _mixed(
            f"{wrong:,} tags do not fit {nearest.name}, which is the nearest, the first of them "
            f"{first} ({place(first.sentence, first.token)})"
        )
    return nearest


def _place(sentence: int, token: int) -> str:
    return f"sentence {sentence + 1}, token {token + 1}"


def _shown(sequences: Sequence[Sequence[Tag]], tag: str, place: Callable[[int, int], str]) -> str:
    """Return a tag with the place where it first stands."""
    for number, tags in enumerate(sequences):
        if tag in tags:
            return f"{tag} ({place(number, list(tags).index(tag))})"
    return tag


def _mixed(why: str) -> DataError:
    return DataError(
        f"the tags are of a mixed scheme: {why}; write all in one of {', '.join(SCHEMES)}"
    )


def _pairs(tags: Sequence[Tag]) -> Iterator[tuple[Tag, Tag]]:
    """Yield each tag with the one before it; outside of the sentence all is outside of spans."""
    return pairwise((OUTSIDE, *tags, OUTSIDE))


def _count_faults(pairs: Counter[tuple[Tag, Tag]], scheme: Scheme) -> int:
    return sum(count for pair, count in pairs.items() if not _may_follow(*pair, scheme))


def _may_follow(before: Tag, tag: Tag, scheme: Scheme) -> bool:
    """Whether a tag may stand right behind another; anything may where one is not known."""
    if before is None or tag is None:
        return True
    (first, left), (second, right) = parted(before), parted(tag)
    if second != OUTSIDE and second not in scheme.letters:
        return False
    if scheme.sparing:
        return second != scheme.begin or left == right
    is_open = first != OUTSIDE and first not in scheme.closers
    if second in scheme.inside + scheme.end:
        return is_open and left == right
    return not (is_open and scheme.closed)


def check(sequences: Iterable[Sequence[Tag]], scheme: Scheme) -> list[Fault]:
    """Return the tags that cannot stand where they do: ``I-PER`` behind ``O`` in IOB2."""
    return list(_faults(sequences, scheme))


def _faults(sequences: Iterable[Sequence[Tag]], scheme: Scheme) -> Iterator[Fault]:
    good: set[tuple[Tag, Tag]] = set()
    for number, tags in enumerate(sequences):
        for i, pair in enumerate(_pairs(tags)):
            if pair in good:
                continue
            before, tag = pair
            if _may_follow(before, tag, scheme):
                good.add(pair)
            elif i == len(tags):
                yield Fault(number, i - 1, str(before), None)
            else:
                yield Fault(number, i, str(tag), before)


def allowed(
    tags: Sequence[str], scheme: Scheme | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which of K tags may follow each other, begin a sentence, and end one.

    Returns:
        (K, K), whether the tag of the column may stand right behind that of the row, and twice
        (K,). All is allowed without a scheme.
    """
    if scheme is None:
        count = len(tags)
        return np.ones((count, count), bool), np.ones(count, bool), np.ones(count, bool)
    return (
        np.array([[_may_follow(row, tag, scheme) for tag in tags] for row in tags], bool),
        np.array([_may_follow(OUTSIDE, tag, scheme) for tag in tags], bool),
        np.array([_may_follow(tag, OUTSIDE, scheme) for tag in tags], bool),
    )


# -------------------------------------------------------------------------------------------------
# Tags and spans


def spans(tags: Sequence[Tag], scheme: Scheme, *, strict: bool = False) -> list[Span]:
    """Return the spans of one sentence, in their order.

    A tag at fault begins a span of its own, as in conlleval (Tjong Kim Sang, 2003).

    Args:
        tags: of each token; one that is None is in no span.
        scheme: in which they are written.
        strict: leave out spans that are not written as the scheme says, as seqeval's strict mode.
    """
    found: list[Span] = []
    start, before, kind = 0, OUTSIDE, ""
    for i, tag in enumerate((*tags, OUTSIDE)):
        letter, type_ = (OUTSIDE, "") if tag is None else parted(tag)
        goes_on = (
            before != OUTSIDE
            and type_ == kind
            and letter not in scheme.openers
            and before not in scheme.closers
        )
        if not goes_on:
            if before != OUTSIDE and not (strict and _is_broken(tags, start, i, scheme)):
                found.append((start, i, kind))
            start = i
        before, kind = letter, type_
    return found


def _is_broken(tags: Sequence[Tag], start: int, end: int, scheme: Scheme) -> bool:
    """Whether a span is not written as the scheme says: its first or its last token is wrong."""
    before = tags[start - 1] if start else OUTSIDE
    first, last = parted(str(tags[start]))[0], parted(str(tags[end - 1]))[0]
    if scheme.sparing:
        return not _may_follow(before, tags[start], scheme)
    return first not in scheme.openers or (scheme.closed and last not in scheme.closers)


def from_spans(found: Iterable[Span], length: int, scheme: Scheme) -> list[str]:
    """Return the tags of a sentence of ``length`` tokens with these spans.

    Raises:
        ValueError: a span is empty or not within the sentence, or two overlap.
    """
    tags = [OUTSIDE] * length
    for start, end, kind in sorted(found):
        if not 0 <= start < end <= length or tags[start] != OUTSIDE:
            raise ValueError(f"no place for {(start, end, kind)} among {length} tokens")
        if end - start == 1:
            letters = [scheme.single]
        else:
            letters = [scheme.begin, *[scheme.inside] * (end - start - 2), scheme.end]
        if scheme.sparing and not (start and parted(tags[start - 1])[1] == kind):
            letters[0] = scheme.inside
        tags[start:end] = [f"{letter}-{kind}" for letter in letters]
    return tags


def convert(tags: Sequence[Tag], source: Scheme, target: Scheme) -> list[Tag]:
    """Return the tags of one sentence in another scheme.

    Tags at fault are read as in :func:`spans`. Where the new tag hangs on one that is not known
    (is the token before the last of its span?) it is not known, either.
    """
    around = [OUTSIDE, *tags, OUTSIDE]
    return [
        tag
        if tag is None or parted(tag)[0] == OUTSIDE
        else _rewritten(tag, before, after, source, target)
        for before, tag, after in zip(around, tags, around[2:], strict=False)
    ]


def _rewritten(tag: str, before: Tag, after: Tag, source: Scheme, target: Scheme) -> Tag:
    kind = parted(tag)[1]
    begins, ends = _begins(before, tag, source), _ends(tag, after, source)
    if begins is None or (target.closed and ends is None):
        return None
    if target.sparing:
        if begins and before is None:
            return None
        begins = begins and parted(str(before))[1] == kind
        return f"{target.begin if begins else target.inside}-{kind}"
    if begins:
        return f"{target.single if ends else target.begin}-{kind}"
    return f"{target.end if ends else target.inside}-{kind}"


def _begins(before: Tag, tag: str, scheme: Scheme) -> bool | None:
    """Whether a tag begins a span; None where that hangs on what is not known."""
    letter, kind = parted(tag)
    if letter in scheme.openers:
        return True
    if before is None:
        return None if scheme.sparing else False
    letter_before, kind_before = parted(before)
    return kind_before != kind or letter_before in scheme.closers


def _ends(tag: str, after: Tag, scheme: Scheme) -> bool | None:
    """Whether a tag ends a span; None where that hangs on what is not known."""
    if parted(tag)[0] in scheme.closers:
        return True
    if after is None:
        return False if scheme.closed else None
    return parted(after)[1] != parted(tag)[1] or parted(after)[0] in scheme.openers
