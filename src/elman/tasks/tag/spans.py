"""Precision, recall and F1 of spans: one is right where its ends and its type are.

From the spans of ``elman.text.tag_schemes.spans`` with ``strict`` these are the scores of seqeval's
strict mode, without it those of conlleval (Tjong Kim Sang and De Meulder, 2003).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from elman.text.tag_schemes import Span


@dataclass(frozen=True)
class Counts:
    """How many spans there are, were answered, and both; scores without any are 0."""

    true: int
    answered: int
    right: int

    @property
    def precision(self) -> float:
        """Share of the answered spans that are right."""
        return self.right / self.answered if self.answered else 0.0

    @property
    def recall(self) -> float:
        """Share of the true spans that were answered."""
        return self.right / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.right / (self.true + self.answered) if self.right else 0.0


@dataclass(frozen=True)
class SpanCounts:
    """The counts of each type, the most frequent in truth first."""

    types: dict[str, Counts]

    @cached_property
    def total(self) -> Counts:
        """Those of all types, whose scores are the micro-averages."""
        rows = self.types.values()
        return Counts(
            sum(row.true for row in rows),
            sum(row.answered for row in rows),
            sum(row.right for row in rows),
        )


def is_judged(span: Span, unknown: set[int]) -> bool:
    """Whether a span can be said to be right or wrong: all its words have a known tag.

    Args:
        span: one that a model has given.
        unknown: the words of the sentence whose true tag nobody has given.
    """
    start, end, _ = span
    return unknown.isdisjoint(range(start, end))


def count_spans(true: Sequence[Iterable[Span]], answered: Sequence[Iterable[Span]]) -> SpanCounts:
    """Count the spans of sentences.

    Args:
        true: those of each sentence.
        answered: those that a model has given, in the same order.

    Raises:
        ValueError: these are not the same number of sentences.
    """
    there, said, right = Counter[str](), Counter[str](), Counter[str]()
    for truth, answer in zip(true, answered, strict=True):
        truth, answer = set(truth), set(answer)
        there.update(kind for _, _, kind in truth)
        said.update(kind for _, _, kind in answer)
        right.update(kind for _, _, kind in truth & answer)
    kinds = sorted({*there, *said}, key=lambda kind: (-there[kind], kind))
    return SpanCounts({kind: Counts(there[kind], said[kind], right[kind]) for kind in kinds})
