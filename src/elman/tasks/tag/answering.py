"""From words to answers: tags and spans of sentences, each with its probability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elman.tasks.tag import decoding
from elman.tasks.tag.decoding import Beliefs, Types
from elman.tasks.tag.forms import FormEncoder
from elman.tasks.tag.model import Tagger
from elman.text.tag_schemes import BIOES, Scheme, Span, from_spans, spans


@dataclass
class Sentence:
    """What is answered on one sentence; nothing where it has no words."""

    tags: list[str] = field(default_factory=list)
    tag_chances: list[float] = field(default_factory=list)
    """How probable each tag is."""
    spans: list[Span] = field(default_factory=list)
    span_chances: list[float] = field(default_factory=list)
    """How probable each span is."""
    in_tags: list[bool] = field(default_factory=list)
    """Whether each span is in the tags: no other, more probable one overlaps it."""


@dataclass(frozen=True)
class Answering:
    """What answers on sentences of words.

    Attributes:
        module: the network.
        encoder: from words to numbers.
        tags: in the order of the scores; those of spans in BIOES.
        types: of spans; None where each word has a tag by itself.
        scheme: how answers write spans.
        longest: words of a span, at most, where spans are looked for by their probability.
    """

    module: Tagger
    encoder: FormEncoder
    tags: Sequence[str]
    types: Types | None
    scheme: Scheme | None
    longest: int

    def answers(
        self, tokens: Sequence[Sequence[str]], least: Mapping[str, float], *, temperature: float
    ) -> list[Sentence]:
        """Return what is answered on each sentence.

        Args:
            tokens: the words of each.
            least: from which probability on each type, or tag, is answered; empty for the best
                sequence.
            temperature: what the scores are divided by.
        """
        answers = [Sentence() for _ in tokens]
        if not any(map(len, tokens)):
            return answers
        sentences = self.encoder.encode(tokens)
        for batch in decoding.beliefs(self.module, sentences, temperature=temperature):
            if self.types is None:
                self._fill_in_tags(answers, batch, least)
            else:
                self._fill_in_spans(answers, batch, self.types, least)
        return answers

    def _fill_in_tags(
        self, answers: Sequence[Sentence], batch: Beliefs, least: Mapping[str, float]
    ) -> None:
        """Fill in the tag of each word by itself; one that is not probable enough is ``_``."""
        chances = batch.marginals[np.arange(len(batch.tags)), batch.tags].tolist()
        tags = [self.tags[k] for k in batch.tags.tolist()]
        if least:
            tags = [
                tag if chance >= least[tag] else "_"
                for tag, chance in zip(tags, chances, strict=True)
            ]
        for row, start, length in _rows(batch):
            answers[row].tags = tags[start : start + length]
            answers[row].tag_chances = chances[start : start + length]

    def _fill_in_spans(
        self,
        answers: Sequence[Sentence],
        batch: Beliefs,
        types: Types,
        least: Mapping[str, float],
    ) -> None:
        """Fill in the spans, and the tags that they make."""
        rows = batch.rows.tolist()
        for i, start, size, kind, chance, in_tags in self._spans(batch, types, least):
            answer = answers[rows[i]]
            answer.spans.append((start, start + size, types.names[kind]))
            answer.span_chances.append(chance)
            answer.in_tags.append(in_tags)
        numbers = {tag: i for i, tag in enumerate(self.tags)}
        assert self.scheme is not None
        for row, start, length in _rows(batch):
            answer = answers[row]
            kept = [
                span for span, in_tags in zip(answer.spans, answer.in_tags, strict=True) if in_tags
            ]
            best = [numbers[tag] for tag in from_spans(kept, length, BIOES)]
            words = np.arange(start, start + length)
            answer.tag_chances = batch.marginals[words, best].tolist()
            answer.tags = from_spans(kept, length, self.scheme)

    def _spans(
        self, batch: Beliefs, types: Types, least: Mapping[str, float]
    ) -> Iterator[tuple[int, int, int, int, float, bool]]:
        """Yield sentence, first word, words, type, probability, and whether it is in the tags.

        Of spans that overlap the most probable ones are.
        """
        if least:
            bounds = np.array([least[name] for name in types.names], dtype=np.float32)
            answered, chances = decoding.candidates(batch, types, bounds, self.longest)
            in_tags = np.zeros(len(answered), dtype=bool)
            in_tags[decoding.without_overlap(answered, chances)] = True
        else:
            answered = decoding.best_spans(batch, self.tags, types)
            chances = decoding.span_probabilities(batch, answered, types)
            in_tags = np.ones(len(answered), dtype=bool)
        for i in np.lexsort((-chances, answered[:, 1], answered[:, 0])).tolist():
            row, start, size, kind = answered[i].tolist()
            yield row, start, size, kind, min(float(chances[i]), 1.0), bool(in_tags[i])

    def nbest(
        self, tokens: Sequence[Sequence[str]], count: int, *, temperature: float
    ) -> list[list[dict[str, Any]]]:
        """Return the best sequences of tags of each sentence, with their probabilities."""
        best: list[list[dict[str, Any]]] = [[] for _ in tokens]
        for row, sequences in decoding.nbest(
            self.module, self.encoder.encode(tokens), count, temperature=temperature
        ):
            best[row] = [
                {"tags": self._in_scheme([self.tags[k] for k in tags]), "probability": chance}
                for tags, chance in sequences
            ]
        return best

    def _in_scheme(self, tags: Sequence[str]) -> list[str]:
        if self.scheme is None:
            return list(tags)
        return from_spans(spans(tags, BIOES), len(tags), self.scheme)


def _rows(batch: Beliefs) -> Iterator[tuple[int, int, int]]:
    """Yield each sentence's number, its first word in the batch, and how many it has."""
    yield from zip(batch.rows.tolist(), batch.starts.tolist(), batch.lengths.tolist(), strict=True)
