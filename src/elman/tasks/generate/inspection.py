"""What text looks like before any training, and what looks wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from elman.data.stream import TextStream
from elman.training.report import Findings

SHORT = 100_000
"""Characters under which a network learns little but its text by heart."""


class StreamFindings(Findings, frozen=True):
    """What ``elman check`` says of text for a language model."""

    running: bool
    """Whether it is one running text; else rows are texts that stand alone."""
    characters: int
    different: int
    """Different characters."""
    rare: dict[str, int]
    """Characters seen fewer than ten times, and how often."""
    labels: dict[str, int]


def inspect(examples: TextStream, others: Mapping[str, TextStream]) -> StreamFindings:
    """Return lengths, characters and what looks wrong."""
    counts: Counter[str] = Counter()
    for piece in examples.pieces():
        counts.update(piece)
    rare = {c: n for c, n in sorted(counts.items(), key=lambda one: one[1]) if n < 10}
    notes = list(examples.notes)
    total = sum(counts.values())
    if total < SHORT:
        notes.append(
            f"{total:,} characters are few: a network learns spelling from some 100,000 on, and "
            "sentences from a million"
        )
    for name, part in others.items():
        unseen = sorted({c for piece in part.pieces() for c in set(piece)} - set(counts))
        if unseen:
            notes.append(
                f"characters of the {name} part that the training part has not: "
                f"{''.join(unseen[:20])}"
            )
    return StreamFindings(
        rows=len(examples),
        notes=notes,
        running=examples.running,
        characters=total,
        different=len(counts),
        rare=rare,
        labels=dict(Counter(examples.labels or ()).most_common()),
    )
