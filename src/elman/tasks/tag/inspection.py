"""What tagged sentences look like before any training, and what looks wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from elman.data.tagged import Tagged
from elman.errors import DataError
from elman.text.terminal import counted
from elman.training.report import Findings

LONG = 1_000
"""From so many words on a sentence is probably a file without blank lines."""


class TagFindings(Findings, frozen=True):
    """What ``elman check`` says of tagged sentences."""

    tokens: int
    words: int
    """Different ones."""
    shortest: int
    median: int
    longest: int
    scheme: str
    """How spans are written, or ""."""
    kinds: dict[str, int]
    """How many spans there are of each type, or words of each tag, the most frequent first."""


def inspect(examples: Tagged, others: Mapping[str, Tagged]) -> TagFindings:
    """Return tags, lengths and what looks wrong."""
    lengths = sorted(map(len, examples.tokens))
    kinds = examples.sizes()
    notes = [*examples.notes, *_notes(examples, kinds)]
    for name, part in others.items():
        unseen = sorted(set(part.sizes()) - set(kinds))
        if unseen:
            notes.append(
                f"in the {name} part but not in the training part: {', '.join(unseen[:10])}"
            )
    return TagFindings(
        rows=len(examples),
        notes=notes,
        tokens=sum(lengths),
        words=len({word for words in examples.tokens for word in words}),
        shortest=lengths[0] if lengths else 0,
        median=lengths[len(lengths) // 2] if lengths else 0,
        longest=lengths[-1] if lengths else 0,
        scheme="" if examples.scheme is None else examples.scheme.name,
        kinds=dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
    )


def _notes(examples: Tagged, kinds: Counter[str]) -> list[str]:
    notes = []
    rare = sorted(kind for kind, count in kinds.items() if count < 3)
    if rare:
        noun = "tag" if examples.scheme is None else "type"
        notes.append(
            f"{counted(len(rare), noun)} with fewer than three examples: {', '.join(rare[:10])}"
        )
    if examples.scheme is not None and not kinds:
        notes.append("every tag is O: there is no span to learn")
    longest = max(range(len(examples)), key=lambda i: len(examples.tokens[i]), default=0)
    if len(examples) and len(examples.tokens[longest]) > LONG:
        line = examples.lines[longest] if examples.lines else 0
        where = f", at line {line:,}" if line else ""
        notes.append(
            f"the longest sentence has {len(examples.tokens[longest]):,} words{where}; is a blank "
            "line missing?"
        )
    return notes


def refuse_other_kind(part: Tagged, examples: Tagged) -> None:
    """Refuse a part with tags of spans where the training part has none, or the other way round.

    Raises:
        DataError: they do not suit each other.
    """
    if (part.scheme is None) == (examples.scheme is None):
        return
    has, wants = ("spans", "a tag a word") if examples.scheme is None else ("a tag a word", "spans")
    raise DataError(
        f"{part.source} (column {part.column}) has {has}, and {examples.source} (column "
        f"{examples.column}) has {wants}; choose the column with --column"
    )
