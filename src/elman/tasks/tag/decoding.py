"""From a network's scores to tags, spans, and how probable each of them is.

Inside, spans are always written as BIOES. Then a span is one run of given tags, and how probable it
is, with its type and both of its ends, is the sum over all sequences of tags that have this run
(``elman.nn.crf.Posterior``). Without a random field that is the same with transitions of nothing,
but for what the scheme forbids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.nn import ragged
from elman.nn.batches import batches, device_of
from elman.nn.crf import Posterior
from elman.tasks.tag.forms import Forms, Sentences
from elman.tasks.tag.model import Tagger
from elman.text.lengths import offsets_of, places_of, steps_of
from elman.text.tag_schemes import BIOES, Span, spans

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
FORMS_AT_ONCE = 4_096
SPANS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Types:
    """Which tags the types of spans are made of.

    Attributes:
        names: the types.
        single, begin, inside, end: (types,) the numbers of their tags.
    """

    names: tuple[str, ...]
    single: Ints
    begin: Ints
    inside: Ints
    end: Ints

    @classmethod
    def of(cls, tags: Sequence[str]) -> Types:
        """Return those of tags in BIOES, of which every type has all four."""
        number = {tag: i for i, tag in enumerate(tags)}
        names = tuple(sorted({tag[2:] for tag in tags if tag != "O"}))
        columns = (
            np.array([number[f"{letter}-{name}"] for name in names], dtype=np.int64)
            for letter in "SBIE"
        )
        return cls(names, *columns)

    def run(self, kind: int, size: int) -> list[int]:
        """Return the tags of a span of ``size`` words."""
        if size == 1:
            return [int(self.single[kind])]
        return [int(self.begin[kind]), *[int(self.inside[kind])] * (size - 2), int(self.end[kind])]


@dataclass(frozen=True)
class Beliefs:
    """What a model thinks of some sentences.

    Attributes:
        rows: (B,) which sentences these are.
        lengths: (B,) how many words each has, the longest first.
        tags: (N,) the best sequences, all words one sentence after the other.
        marginals: (N, K) how probable each tag is, likewise.
        posterior: what can be asked for spans; None where there are none.
    """

    rows: Ints
    lengths: Ints
    tags: Ints
    marginals: Floats
    posterior: Posterior | None

    @property
    def starts(self) -> Ints:
        """(B,) where each sentence begins."""
        return offsets_of(self.lengths)


def beliefs(model: Tagger, sentences: Sentences, *, temperature: float = 1.0) -> Iterator[Beliefs]:
    """Yield what the model thinks, batch by batch; sentences without a word are left out."""
    for rows, packed in scored(model, sentences):
        lengths = sentences.lengths[rows]
        order = _row_by_row(lengths)
        with torch.inference_mode():
            tags = _best(model, packed)
            if model.plain:
                posterior, marginals = None, (packed.data / temperature).softmax(1)
            else:
                posterior = model.crf.posterior(packed, temperature=temperature)
                marginals = posterior.marginals()
        yield Beliefs(
            rows,
            lengths,
            tags.numpy(force=True)[order],
            marginals.float().numpy(force=True)[order],
            posterior,
        )


def scored(model: Tagger, sentences: Sentences) -> Iterator[tuple[Ints, PackedSequence]]:
    """Yield (rows, scores of their tags) of all sentences that have a word, batch by batch."""
    known = _read(model, sentences.forms)
    for rows, tokens in batches(sentences, device_of(model)):
        with torch.inference_mode():
            states = states_of(sentences, rows, tokens.data.device)
            yield rows, ragged.replace(tokens, model(tokens, sentences.forms, known, states))


def states_of(sentences: Sentences, rows: Ints, device: torch.device) -> Tensor | None:
    """Return the states of language models at the words of a packed batch (n, S), if any are read.

    Args:
        sentences: all of them.
        rows: those of the batch, the longest first.
        device: where they are wanted.
    """
    if sentences.states is None:
        return None
    states = sentences.states.of(rows)
    packed = np.empty_like(states)
    packed[_row_by_row(sentences.lengths[rows])] = states
    return torch.from_numpy(packed).to(device)


def _read(model: Tagger, forms: Forms) -> Tensor:
    """Return what the sentence's layer reads of every form (F, D): each once."""
    device = device_of(model)
    with torch.inference_mode():
        every = torch.arange(len(forms.words), device=device)
        parts = [model.read(forms, rows) for rows in torch.split(every, FORMS_AT_ONCE)]
        return torch.cat(parts) if parts else torch.zeros(0, 1, device=device)


def _best(model: Tagger, packed: PackedSequence) -> Tensor:
    return packed.data.argmax(1) if model.plain else model.crf.decode(packed)


def best_tags(model: Tagger, sentences: Sentences) -> Ints:
    """Return the best sequence of each sentence, all words one after the other."""
    best = np.zeros(len(sentences.values), dtype=np.int64)
    offsets = offsets_of(sentences.lengths)
    for rows, packed in scored(model, sentences):
        with torch.inference_mode():
            tags = _best(model, packed).numpy(force=True)
        lengths = sentences.lengths[rows]
        best[places_of(offsets[rows], lengths)] = tags[_row_by_row(lengths)]
    return best


def _row_by_row(lengths: Ints) -> Ints:
    """Return where the words of a packed batch are, row after row; ``lengths`` fall."""
    sizes = (np.arange(lengths[0])[:, None] < lengths).sum(axis=1)
    row = np.repeat(np.arange(len(lengths)), lengths)
    return np.asarray(offsets_of(sizes)[steps_of(lengths)] + row)


def nbest(
    model: Tagger, sentences: Sentences, count: int, *, temperature: float = 1.0
) -> Iterator[tuple[int, list[tuple[list[int], float]]]]:
    """Yield for each sentence that has a word its number and its best sequences, likeliest first.

    Each is its tags and its exact probability.
    """
    for rows, packed in scored(model, sentences):
        lengths = sentences.lengths[rows]
        with torch.inference_mode():
            tags, chances = model.crf.nbest(packed, count, temperature=temperature)
        ranked = tags.numpy(force=True)[_row_by_row(lengths)]
        sure = chances.exp().numpy(force=True)
        starts = offsets_of(lengths)
        for i, row in enumerate(rows.tolist()):
            here = ranked[starts[i] : starts[i] + lengths[i]]
            yield (
                row,
                [(here[:, k].tolist(), float(sure[i, k])) for k in range(count) if here[0, k] >= 0],
            )


# ---------------------------------------------------------------------------------------------
# Spans: rows of (sentence of the batch, first word, words, type)


def spans_of(numbers: Ints, lengths: Ints, tags: Sequence[str]) -> list[list[Span]]:
    """Return the spans of each sentence.

    Args:
        numbers: (N,) of the tags of all words, one sentence after the other; -1 where nobody has
            given one.
        lengths: (B,) how many words each sentence has.
        tags: (K,) their names, in BIOES.
    """
    names = [*tags, "O"]  # the last one for what nobody has given
    ends = zip(np.cumsum(lengths).tolist(), lengths.tolist(), strict=True)
    return [
        spans([names[k] for k in numbers[end - length : end].tolist()], BIOES)
        for end, length in ends
    ]


def as_rows(sentences: Sequence[Sequence[Span]], types: Types) -> Ints:
    """Return the spans of sentences as rows (S, 4)."""
    kinds = {name: i for i, name in enumerate(types.names)}
    rows = [
        (i, start, end - start, kinds[kind])
        for i, sentence in enumerate(sentences)
        for start, end, kind in sentence
    ]
    return np.asarray(rows, dtype=np.int64).reshape(-1, 4)


def best_spans(batch: Beliefs, tags: Sequence[str], types: Types) -> Ints:
    """Return the spans (S, 4) of the best sequences."""
    return as_rows(spans_of(batch.tags, batch.lengths, tags), types)


def span_probabilities(batch: Beliefs, wanted: Ints, types: Types) -> Floats:
    """Return the exact probability of each span (S,): that it stands there, with ends and type."""
    assert batch.posterior is not None
    parts = [np.zeros(0, dtype=np.float32)]
    for part in np.split(wanted, range(SPANS_AT_ONCE, len(wanted), SPANS_AT_ONCE)):
        if not len(part):
            continue
        row, start, size, kind = part.T
        step = steps_of(size)
        last = np.repeat(size, size) - 1
        of = np.repeat(kind, size)
        tags = np.where(step == 0, types.begin[of], types.inside[of])
        tags = np.where(step == last, types.end[of], tags)
        tags = np.where(last == 0, types.single[of], tags)
        with torch.inference_mode():
            chances = batch.posterior.span_probabilities(
                *(torch.from_numpy(one.copy()) for one in (row, start, size, tags))
            )
        parts.append(chances.float().numpy(force=True))
    return np.concatenate(parts)


def candidates(batch: Beliefs, types: Types, least: Floats, longest: int) -> tuple[Ints, Floats]:
    """Return all spans (S, 4) that are probable enough, and how probable each is.

    Args:
        batch: what the model thinks.
        types: what the types are made of.
        least: (types,) from which probability on spans of each are wanted.
        longest: words of a span, at most.
    """
    row = np.repeat(np.arange(len(batch.lengths)), batch.lengths)
    place = steps_of(batch.lengths)
    left = batch.lengths[row] - place
    rows = [np.zeros((0, 4), dtype=np.int64)]
    for kind, bound in enumerate(least.tolist()):
        # No span is more probable than its first or its last tag is.
        likely = batch.marginals >= max(bound, 1e-9)
        for size in range(1, min(longest, int(batch.lengths.max(initial=0))) + 1):
            run = types.run(kind, size)
            begins = likely[:, run[0]] & (left >= size)
            begins[: len(row) - size + 1] &= likely[size - 1 :, run[-1]]
            at = np.flatnonzero(begins)
            columns = (row[at], place[at], np.full(len(at), size), np.full(len(at), kind))
            rows.append(np.stack(columns, axis=1))
    wanted = np.concatenate(rows)
    chances = span_probabilities(batch, wanted, types)
    kept = chances >= least[wanted[:, 3]]
    return wanted[kept], chances[kept]


def without_overlap(wanted: Ints, chances: Floats) -> Ints:
    """Return which spans stay where each word is in one at most: the most probable first."""
    taken: set[tuple[int, int]] = set()
    kept = []
    for i in np.argsort(-chances, kind="stable").tolist():
        row, start, size, _ = wanted[i].tolist()
        words = [(row, start + k) for k in range(size)]
        if taken.isdisjoint(words):
            taken.update(words)
            kept.append(i)
    return np.array(sorted(kept), dtype=np.int64)
