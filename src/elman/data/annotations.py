"""Spans of characters, as tools for annotation export them, as tags of words.

Read are ``[0, 5, "PER"]`` and objects with the place and the label by whatever names spaCy,
Prodigy, doccano, Label Studio and transformers give them. Places are in characters from 0, the end
is that behind the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from elman.errors import DataError
from elman.text.segmentation import Word
from elman.text.tag_schemes import IOB2, Span, Tag, from_spans

SPAN_NAMES = ("entities", "spans", "label", "labels", "ents", "annotations")
"""What fields of spans are called, the best first."""
Segment = Callable[[str], Sequence[Sequence[Word]]]
"""Cuts a text into sentences of words."""
_STARTS = ("start", "start_offset", "begin", "start_char")
_ENDS = ("end", "end_offset", "end_char")
_LABELS = ("label", "labels", "type", "tag", "entity_group", "entity", "class")


@dataclass(frozen=True)
class Sentence:
    """Words of a text with their tags in IOB2; None where a span is not made of whole words."""

    tokens: list[str]
    tags: list[Tag]


@dataclass(frozen=True)
class Aligned:
    """The sentences of a text, and what of the spans is not made of whole words, in words."""

    sentences: list[Sentence]
    misaligned: list[str]


def are_spans(value: Any) -> bool:
    """Whether a field plainly holds spans, at least one."""
    return isinstance(value, list) and bool(value) and all(map(_is_span, value))


def _is_span(item: Any) -> bool:
    if isinstance(item, Mapping):
        inner = item.get("value", item)
        return isinstance(inner, Mapping) and _first(inner, _STARTS) is not None
    is_list = isinstance(item, list | tuple) and len(item) >= 3
    return is_list and isinstance(item[0], int) and isinstance(item[1], int)


def unwrapped(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a task of Label Studio as its text and spans; any other object as it is."""
    data, annotations = row.get("data"), row.get("annotations")
    if not isinstance(data, Mapping) or not isinstance(annotations, list):
        return row
    text = next((value for value in data.values() if isinstance(value, str)), None)
    results = annotations[0].get("result", []) if annotations else []
    return {"text": text, "entities": [one for one in results if _is_span(one)]}


def align(text: str, spans: Any, segment: Segment) -> Aligned:
    """Return the sentences of a text with the tags of its spans.

    A sentence within which a span would be cut goes on with the next one. Blanks at the ends of a
    span do not count. The words of a span that begins or ends within one are left without a tag.

    Raises:
        DataError: a span cannot be read, is outside of the text or overlaps another; the message is
            the rest of a sentence.
    """
    found = sorted({_trimmed(text, *_read(span)) for span in spans or ()})
    for (start, end, kind), (other, behind, name) in pairwise(found):
        if other < end:
            raise DataError(
                f": the spans {[start, end, kind]} and {[other, behind, name]} overlap; "
                "keep one of them, as a word has one tag"
            )
    whole: list[Sentence] = []
    misaligned: list[str] = []
    for words in _joined(segment(text), found):
        within = [span for span in found if words[0].start < span[1] and span[0] < words[-1].end]
        tags, cut = _tagged(words, within)
        whole.append(Sentence([word.text for word in words], tags))
        misaligned += (f"{text[start:end]!r:.40}" for start, end, _ in cut)
    return Aligned(whole, misaligned)


def _joined(sentences: Sequence[Sequence[Word]], spans: Sequence[Span]) -> list[list[Word]]:
    """Return the sentences that are not empty, those with a span across their border as one."""
    joined: list[list[Word]] = []
    for words in sentences:
        if not words:
            continue
        across = joined and any(
            start < joined[-1][-1].end and words[0].start < end for start, end, _ in spans
        )
        if across:
            joined[-1].extend(words)
        else:
            joined.append([*words])
    return joined


def _tagged(words: Sequence[Word], spans: Sequence[Span]) -> tuple[list[Tag], list[Span]]:
    """Return the tags of the words, and the spans that are not made of whole ones."""
    starts = {word.start: i for i, word in enumerate(words)}
    ends = {word.end: i + 1 for i, word in enumerate(words)}
    cut = [span for span in spans if span[0] not in starts or span[1] not in ends]
    whole = [
        (starts[start], ends[end], kind)
        for start, end, kind in spans
        if start in starts and end in ends
    ]
    tags: list[Tag] = [*from_spans(whole, len(words), IOB2)]
    for start, end, _ in cut:
        for i, word in enumerate(words):
            if word.start < end and start < word.end:
                tags[i] = None
    return tags, cut


def _first(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((item[name] for name in names if item.get(name) is not None), None)


def _read(item: Any) -> Span:
    """Return the place and the label of a span.

    Raises:
        DataError: it has none, or several labels.
    """
    if isinstance(item, Mapping):
        inner = item.get("value", item)
        fields = [_first(inner, names) for names in (_STARTS, _ENDS, _LABELS)]
    else:
        fields = [*item][:3] if isinstance(item, list | tuple) else []
    label = fields[2] if len(fields) == 3 else None
    if isinstance(label, list | tuple) and len(label) == 1:
        label = label[0]
    places = [one for one in fields[:2] if isinstance(one, int) and not isinstance(one, bool)]
    if len(places) < 2 or not isinstance(label, str) or not label.strip():
        raise DataError(
            f': the span {item!r:.60} cannot be read; write it as [0, 5, "PER"] or as an object of '
            "start, end and label"
        )
    return places[0], places[1], label.strip()


def _trimmed(text: str, start: int, end: int, kind: str) -> Span:
    """Return a span without blanks at its ends.

    Raises:
        DataError: it is outside of the text, or nothing is in it.
    """
    if not 0 <= start <= end <= len(text):
        raise DataError(
            f": the span {[start, end, kind]} is not within the text, which has {len(text):,} "
            "characters; check how they were counted"
        )
    inside = text[start:end]
    if not inside.strip():
        raise DataError(f": the span {[start, end, kind]} is empty; delete it or mend its place")
    start += len(inside) - len(inside.lstrip())
    return start, start + len(inside.strip()), kind
