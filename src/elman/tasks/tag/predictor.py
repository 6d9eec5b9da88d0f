"""A trained tagger in use: from texts or tokens to tags, spans and how probable they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from elman.cell import Cell
from elman.data.tagged import Tagged
from elman.errors import BundleError, ConfigError, DataError, InputError
from elman.ir import text as ir_text
from elman.tasks.tag import decoding
from elman.tasks.tag.decoding import Beliefs, Types
from elman.tasks.tag.forms import FormEncoder, SavedEncoder
from elman.tasks.tag.metrics import Answers, Tagging, judge
from elman.tasks.tag.model import Tagger, TaggerConfig
from elman.tasks.tag.options import TagAnswers, TagScoring
from elman.text.segmentation import Word, segment
from elman.text.summary import Table
from elman.text.tag_schemes import BIOES, SCHEMES, Scheme, allowed, from_spans, spans
from elman.training import bundle

FORMS = "forms.json"
CELL = "cell.txt"
LEAST_KNOWN = 0.1
"""The share of the true tags that a model must know to be judged: with fewer its scores say only
that the tags are other ones."""
_SETTINGS = (
    *("encoder", "decoder", "embedding_size", "hidden_size", "num_layers", "bidirectional"),
    *("character_size", "subwords"),
)


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A tagger's part of config.json."""

    network: TaggerConfig
    tags: list[str]
    """In the order of the scores; those of spans in BIOES."""
    scheme: str | None
    """How the training data wrote spans, and answers do; None where a word has a tag by itself."""
    column: str
    """What the tags are, as the file has it: upos, ner, 4."""
    longest: int
    """Words of the longest span of the training part."""
    temperature: float
    """What the scores were divided by, so that probabilities are honest."""
    found: dict[str, list[float]]
    """For each type: how probable its spans of the validation part were, rising."""


class TaggerModel:
    """What ``elman.load`` returns for a tagger.

    Attributes:
        module: the network, a ``torch.nn.Module``.
        encoder: from words to numbers.
        config: tags, scheme, and what was chosen on the validation part.
    """

    task = "tag"
    metric = ""

    def __init__(self, module: Tagger, encoder: FormEncoder, config: ModelConfig):
        self.module = module.eval()
        self.encoder = encoder
        self.config = config
        self._types = Types.of(config.tags) if config.scheme is not None else None
        self._numbers_of_tags = {tag: i for i, tag in enumerate(config.tags)}

    def __repr__(self) -> str:
        cell = self.module.recurrent.cell.name
        return (
            f"<{cell} tagger, {len(self.types or self.tags)} "
            f"{'types of spans' if self.types else 'tags'}, {self.num_parameters:,} parameters>"
        )

    def _repr_html_(self) -> str:
        config = self.module.config
        directions = "two directions" if config.bidirectional else "one direction"
        rows = {
            "types" if self.types else "tags": ", ".join(self.types or self.tags),
            "cell": f"{self.module.recurrent.cell.name}, {config.hidden_size} units, {directions}",
            "reads": f"{config.encoder}, {config.num_words:,} words known",
            "parameters": f"{self.num_parameters:,}",
        }
        return Table(["tagger", ""], [*rows.items()]).html()

    @property
    def tags(self) -> tuple[str, ...]:
        """The K tags, in the order of the scores; those of spans in BIOES."""
        return tuple(self.config.tags)

    @property
    def types(self) -> tuple[str, ...]:
        """The types of spans; none where a word has a tag by itself."""
        return self._types.names if self._types is not None else ()

    @property
    def scheme(self) -> Scheme | None:
        """How answers write spans."""
        return None if self.config.scheme is None else SCHEMES[self.config.scheme]

    @property
    def num_parameters(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def settings(self) -> dict[str, Any]:
        """The options that the model has decided."""
        sizes = {name: getattr(self.module.config, name) for name in _SETTINGS}
        return {**sizes, "cell": self.module.recurrent.cell, "min_count": None}

    # -----------------------------------------------------------------------------------------
    # Answers

    def predict(self, sentences: Iterable[Sequence[str]]) -> list[list[str]]:
        """Return the best tags of sentences that are given as lists of words.

        Raises:
            InputError: these are no lists of strings.
        """
        return [list(tags) for tags in self._answers(_token_lists(sentences), {}).tags]

    def answer(
        self,
        inputs: Iterable[str | Sequence[str]],
        *,
        pretokenized: bool = False,
        nbest: int = 1,
        threshold: float | None = None,
        recall: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return a row of plain JSON for each text or list of words.

        A row has the ``text`` as given, its ``tokens`` (``text``, ``start``, ``end`` in the text,
        ``tag``, the tag's ``probability``, and the number of the ``sentence``), and where the tags
        make spans the ``entities`` (``text``, ``start``, ``end``, ``label``, and the exact
        ``probability`` that a span of this label stands just there). With ``nbest`` it has for each
        sentence the best sequences of ``tags`` with their probabilities. With a threshold spans may
        overlap; those that a more probable one overlaps are marked ``overlaps`` and are not in the
        tags.

        Args:
            inputs: texts, which are cut into sentences and words; or lists of words.
            pretokenized: texts are single sentences with blanks between their words.
            nbest: how many sequences.
            threshold: from which probability on a span is answered, in place of the best sequence;
                where there are no spans, a less probable tag is answered as ``_``.
            recall: the share of true spans to be found: thresholds are those that did on the
                validation part, type by type.

        Raises:
            ConfigError: an option cannot be, or the model has no spans to find.
            InputError: an input is neither a text nor a list of words.
        """
        asked = TagAnswers(
            pretokenized=pretokenized, nbest=nbest, threshold=threshold, recall=recall
        )
        if isinstance(inputs, str) or not isinstance(inputs, Iterable):
            raise InputError(f"give a list of texts; this is {inputs!r:.60}")
        texts, cut = [], []
        for given in inputs:
            text, sentences = _cut(given, pretokenized=pretokenized)
            texts.append(text)
            cut.append(sentences)
        tokens = [[word.text for word in words] for sentences in cut for words in sentences]
        found = self._answers(tokens, self._asked(asked.threshold, asked.recall))
        best = self._nbest(tokens, nbest) if nbest > 1 else None
        rows, at = [], 0
        for text, sentences in zip(texts, cut, strict=True):
            rows.append(self._row(text, sentences, found, at, best))
            at += len(sentences)
        return rows

    def _row(
        self,
        text: str,
        sentences: Sequence[Sequence[Word]],
        found: _Found,
        at: int,
        best: Sequence[Sequence[Mapping[str, Any]]] | None,
    ) -> dict[str, Any]:
        tokens, entities = [], []
        for number, words in enumerate(sentences):
            said = zip(words, found.tags[at + number], found.chances[at + number], strict=True)
            tokens += [
                {
                    "text": word.text,
                    "start": word.start,
                    "end": word.end,
                    "tag": tag,
                    "probability": chance,
                    "sentence": number,
                }
                for word, tag, chance in said
            ]
            for (start, end, label), chance, alone in zip(
                found.spans[at + number],
                found.confidence[at + number],
                found.written[at + number],
                strict=True,
            ):
                first, last = words[start].start, words[end - 1].end
                entities.append(
                    {
                        "text": text[first:last],
                        "start": first,
                        "end": last,
                        "label": label,
                        "probability": chance,
                        **({} if alone else {"overlaps": True}),
                    }
                )
        row: dict[str, Any] = {"text": text, "tokens": tokens}
        if self._types is not None:
            row["entities"] = entities
        if best is not None:
            row["nbest"] = list(best[at : at + len(sentences)])
        return row

    def _asked(self, threshold: float | None, recall: float | None) -> dict[str, float]:
        """Return from which probability on each type is answered; nothing for the best sequence."""
        if recall is None and threshold is None:
            return {}
        if self._types is None:
            if recall is not None:
                raise ConfigError(
                    "recall is for spans, and this model gives each word a tag; leave it out"
                )
            return {tag: float(threshold or 0) for tag in self.tags}
        if recall is None:
            return {name: float(threshold or 0) for name in self.types}
        if not any(self.config.found.values()):
            raise ConfigError(
                "recall needs the thresholds of a validation part, and the model was trained "
                "without one; give threshold instead"
            )
        return {name: self._threshold_for(name, recall) for name in self.types}

    def _threshold_for(self, name: str, recall: float) -> float:
        found = self.config.found.get(name, [])
        if not found:
            return 0.5
        # The largest threshold that so many of the true spans reach.
        return found[min(int((1 - recall) * len(found) + 1e-9), len(found) - 1)]

    def _answers(
        self,
        tokens: Sequence[Sequence[str]],
        least: Mapping[str, float],
        *,
        temperature: float | None = None,
    ) -> _Found:
        """Return what is answered on sentences of words, each span with its probability."""
        temperature = self.config.temperature if temperature is None else temperature
        found = _Found.empty(len(tokens))
        if not any(map(len, tokens)):
            return found
        sentences = self.encoder.encode(tokens)
        for some in decoding.beliefs(self.module, sentences, temperature=temperature):
            self._take(found, some, least)
        return found

    def _take(self, found: _Found, some: Beliefs, least: Mapping[str, float]) -> None:
        """Fill in what is thought of a batch."""
        starts = [*some.starts.tolist(), len(some.tags)]
        chances = some.marginals[np.arange(len(some.tags)), some.tags]
        if self._types is None:
            for i, row in enumerate(some.rows.tolist()):
                here = slice(starts[i], starts[i + 1])
                sure = chances[here].tolist()
                tags = [self.tags[k] for k in some.tags[here].tolist()]
                if least:
                    tags = [
                        tag if chance >= least[tag] else "_"
                        for tag, chance in zip(tags, sure, strict=True)
                    ]
                found.tags[row], found.chances[row] = tags, sure
            return
        written: list[list[tuple[int, int, str]]] = [[] for _ in some.rows]
        for i, start, size, kind, chance, alone in self._spans(some, self._types, least):
            row, span = int(some.rows[i]), (start, start + size, self.types[kind])
            found.spans[row].append(span)
            found.confidence[row].append(chance)
            found.written[row].append(alone)
            if alone:
                written[i].append(span)
        scheme, numbers = self.scheme, self._numbers_of_tags
        assert scheme is not None
        for i, row in enumerate(some.rows.tolist()):
            length = starts[i + 1] - starts[i]
            best = [numbers[tag] for tag in from_spans(written[i], length, BIOES)]
            words = np.arange(starts[i], starts[i + 1])
            found.chances[row] = some.marginals[words, best].tolist()
            found.tags[row] = from_spans(written[i], length, scheme)

    def _spans(
        self, some: Beliefs, types: Types, least: Mapping[str, float]
    ) -> Iterator[tuple[int, int, int, int, float, bool]]:
        """Yield what is answered: sentence, first word, words, type, probability, if it is written.

        Of spans that overlap the most probable ones are written as tags.
        """
        alone = None
        if least:
            bounds = np.array([least[name] for name in types.names], dtype=np.float32)
            spans, sure = decoding.candidates(some, types, bounds, self.config.longest)
            alone = np.zeros(len(spans), dtype=bool)
            alone[decoding.without_overlap(spans, sure)] = True
        else:
            spans = decoding.best_spans(some, self.tags, types)
            sure = decoding.span_probabilities(some, spans, types)
        alone = np.ones(len(spans), dtype=bool) if alone is None else alone
        for i in np.lexsort((-sure, spans[:, 1], spans[:, 0])).tolist():
            row, start, size, kind = spans[i].tolist()
            yield row, start, size, kind, min(float(sure[i]), 1.0), bool(alone[i])

    def _nbest(self, tokens: Sequence[Sequence[str]], count: int) -> list[list[dict[str, Any]]]:
        """Return the best sequences of each sentence."""
        best: list[list[dict[str, Any]]] = [[] for _ in tokens]
        sentences = self.encoder.encode(tokens)
        temperature = self.config.temperature
        for row, sequences in decoding.nbest(
            self.module, sentences, count, temperature=temperature
        ):
            best[row] = [
                {"tags": self._written([self.tags[k] for k in tags]), "probability": chance}
                for tags, chance in sequences
            ]
        return best

    def _written(self, tags: Sequence[str]) -> list[str]:
        if self.scheme is None:
            return list(tags)
        return from_spans(spans(tags, BIOES), len(tags), self.scheme)

    # -----------------------------------------------------------------------------------------
    # Scores

    def evaluate(
        self, examples: Tagged, *, threshold: float | None = None, recall: float | None = None
    ) -> Tagging:
        """Score tagged sentences; those without a word or a tag are left out and counted.

        Args:
            examples: as the parts of ``trained.split`` are.
            threshold: as in ``answer``.
            recall: as in ``answer``.

        Raises:
            DataError: there is no tag to judge, or the tags are of another kind.
            InputError: these are no tagged sentences.
            ConfigError: the model has no spans to find.
        """
        asked = TagScoring(threshold=threshold, recall=recall)
        examples = self._checked(examples)
        rows = [i for i, tags in enumerate(examples.tags) if any(tag is not None for tag in tags)]
        if not rows:
            raise DataError(f"{examples.source}: there is no tag to judge")
        kept, of_spans = examples.take(rows), self._types is not None
        least = self._asked(asked.threshold, asked.recall)
        found = self._answers(kept.tokens, least)
        plain = None
        if self.config.temperature != 1.0 and not least:  # other temperatures, other spans
            plain = self._answers(kept.tokens, least, temperature=1.0)
        return judge(
            kept.tokens,
            kept.in_scheme(self.scheme).tags,
            Answers(found.tags, found.spans, found.flat(of_spans)),
            self.scheme,
            known=self.encoder.knows,
            uncalibrated=None if plain is None else plain.flat(of_spans),
            skipped=len(examples) - len(kept),
        )

    def predictions(
        self, examples: Tagged, *, threshold: float | None = None, recall: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield for each sentence its words, true and answered tags: what ``evaluate`` reads again.

        A tag that nobody has given is None.
        """
        asked = TagScoring(threshold=threshold, recall=recall)
        examples = self._checked(examples)
        found = self._answers(examples.tokens, self._asked(asked.threshold, asked.recall))
        truth = examples.in_scheme(self.scheme).tags
        for words, true, said in zip(examples.tokens, truth, found.tags, strict=True):
            judged = [(t, s) for t, s in zip(true, said, strict=True) if t is not None]
            yield {
                "tokens": list(words),
                "tags": list(true),
                "predicted": list(said),
                "right": sum(t == s for t, s in judged),
                "judged": len(judged),
                "correct": all(t == s for t, s in judged) if judged else None,
            }

    def _checked(self, examples: object) -> Tagged:
        """Return what is judged: of a data set with a test part that one.

        Raises:
            InputError: these are no tagged sentences.
            DataError: they have tags of another kind.
        """
        if not isinstance(examples, Tagged):
            raise InputError(
                f"examples is {examples!r:.80}; give a part of trained.split, or a file to "
                "elman.evaluate"
            )
        if (examples.scheme is None) != (self.scheme is None):
            has, answers = ("a tag a word", "spans")
            if self.scheme is None:
                has, answers = answers, has
            raise DataError(
                f"{examples.source} ({examples.column}) has {has}, and the model answers {answers} "
                f"({self.config.column}); choose another --column"
            )
        examples = examples.test or examples
        sizes, own = examples.sizes(), self.types or self.tags
        known = sum(count for name, count in sizes.items() if name in own)
        if known < LEAST_KNOWN * sizes.total():
            noun = "types of spans" if self.types else "tags"
            raise DataError(
                f"{examples.source} ({examples.column}) has other {noun} ({_first(sizes)}) than "
                f"the model, which answers {_first(own)} ({self.config.column}); choose another "
                "--column or model"
            )
        return examples

    # -----------------------------------------------------------------------------------------
    # Files

    def parts(self) -> tuple[ModelConfig, dict[str, bytes]]:
        """Return what ``load`` makes a tagger of, but the weights."""
        return self.config, {
            FORMS: msgspec.json.encode(self.encoder.saved()),
            CELL: ir_text.write(self.module.recurrent.cell.graph).encode(),
        }

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model to the folder ``path``, from which ``elman.load`` reads it.

        Raises:
            BundleError: ``path`` exists and ``force`` is false, or it cannot be written.
        """
        bundle.check_destination(Path(path), force=force)
        bundle.save(Path(path), self, training={}, files={}, force=force)


@dataclass
class _Found:
    """What is answered, a list a sentence."""

    tags: list[list[str]]
    chances: list[list[float]]
    """Of the tags."""
    spans: list[list[tuple[int, int, str]]]
    confidence: list[list[float]]
    """Of the spans."""
    written: list[list[bool]]
    """Whether the spans are those of the tags: no other, more probable one overlaps."""

    @classmethod
    def empty(cls, count: int) -> _Found:
        return cls(*([[] for _ in range(count)] for _ in range(5)))  # type: ignore[arg-type]

    def flat(self, of_spans: bool) -> list[float]:
        """Return the probabilities of all spans, or of all tags, one after the other."""
        return [one for row in (self.confidence if of_spans else self.chances) for one in row]


def _cut(given: str | Sequence[str], *, pretokenized: bool) -> tuple[str, list[list[Word]]]:
    """Return a text, and its sentences with the places of their words in it."""
    if not isinstance(given, str):
        [tokens] = _token_lists([given])
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


def _first(names: Iterable[str]) -> str:
    """Return the first few names in alphabetical order."""
    shown = sorted(names)
    return ", ".join(shown[:5]) + (" …" if len(shown) > 5 else "")


def _token_lists(sentences: Iterable[Sequence[str]]) -> list[list[str]]:
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


def load(stored: bundle.Stored, *, backend: str) -> TaggerModel:
    """Make a tagger of the files of a bundle.

    Raises:
        BundleError: a file is missing, or they do not fit each other.
    """
    config: ModelConfig = bundle.decode_model(stored, ModelConfig)
    encoder = stored.parse(
        FORMS, lambda data: msgspec.json.decode(data, type=SavedEncoder).restored()
    )
    cell = stored.parse(CELL, lambda data: Cell(ir_text.parse(data.decode("utf-8", "replace"))))
    network = config.network
    sizes = (len(encoder.words), len(encoder.characters), len(encoder.shapes), len(config.tags))
    expected = (
        network.num_words,
        network.num_characters,
        network.num_shapes,
        network.num_tags,
    )
    if sizes != expected or (config.scheme is not None and config.scheme not in SCHEMES):
        raise BundleError(
            f"{stored.folder / FORMS} and {bundle.CONFIG} do not match each other; copy the folder "
            "whole or train again"
        )
    scheme = None if config.scheme is None else BIOES
    masks = tuple(torch.from_numpy(one) for one in allowed(config.tags, scheme))

    def make(backend: str) -> Tagger:
        return Tagger(network, cell, allowed=masks, backend=backend)  # type: ignore[arg-type]

    module = bundle.restore_module(stored, make, backend=backend, num_layers=network.num_layers)
    return TaggerModel(module, encoder, config)
