"""A trained tagger in use: from texts or tokens to tags, spans and how probable they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import torch

from elman.cell import Cell
from elman.data.tagged import Tagged
from elman.errors import BundleError, ConfigError, DataError, InputError
from elman.ir import text as ir_text
from elman.nn.language_model import RecurrentLanguageModel
from elman.tasks.tag import states
from elman.tasks.tag.answering import Answering, Sentence
from elman.tasks.tag.cutting import cut, token_lists
from elman.tasks.tag.decoding import Types
from elman.tasks.tag.forms import FormEncoder, SavedEncoder
from elman.tasks.tag.metrics import Answers, Tagging, judge
from elman.tasks.tag.model import Tagger, TaggerConfig
from elman.tasks.tag.options import TagAnswers, TagOptions, TagScoring
from elman.tasks.tag.states import SavedReader
from elman.text.segmentation import Word
from elman.text.summary import Table
from elman.text.tag_schemes import BIOES, SCHEMES, Scheme, allowed
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
    readers: list[SavedReader] = []
    """The language models whose states are read, too."""


class TaggerModel:
    """What ``elman.load`` returns for a tagger.

    Attributes:
        module: the network, a ``torch.nn.Module``.
        encoder: from words to numbers.
        config: tags, scheme, and what was chosen on the validation part.
        asked: the options of the training as they were asked for; None of a loaded model.
    """

    task = "tag"
    metric = ""

    def __init__(self, module: Tagger, encoder: FormEncoder, config: ModelConfig):
        self.module = module.eval()
        self.encoder = encoder
        self.config = config
        self.asked: TagOptions | None = None
        self._types = Types.of(config.tags) if config.scheme is not None else None
        self._answering = Answering(
            self.module, encoder, config.tags, self._types, self.scheme, config.longest
        )

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
        return [one.tags for one in self._answers(token_lists(sentences), {})]

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
        texts = [cut(given, pretokenized=pretokenized) for given in inputs]
        tokens = [[word.text for word in words] for _, cut_up in texts for words in cut_up]
        answers = iter(self._answers(tokens, self._asked(asked.threshold, asked.recall)))
        rows = [self._row(text, cut_up, [*islice(answers, len(cut_up))]) for text, cut_up in texts]
        if nbest > 1:
            temperature = self.config.temperature
            best = iter(self._answering.nbest(tokens, nbest, temperature=temperature))
            for row, (_, cut_up) in zip(rows, texts, strict=True):
                row["nbest"] = [*islice(best, len(cut_up))]
        return rows

    def _row(
        self, text: str, sentences: Sequence[Sequence[Word]], answers: Sequence[Sentence]
    ) -> dict[str, Any]:
        tokens, entities = [], []
        for number, (words, answer) in enumerate(zip(sentences, answers, strict=True)):
            tokens += [
                {
                    "text": word.text,
                    "start": word.start,
                    "end": word.end,
                    "tag": tag,
                    "probability": chance,
                    "sentence": number,
                }
                for word, tag, chance in zip(words, answer.tags, answer.tag_chances, strict=True)
            ]
            for (start, end, label), chance, in_tags in zip(
                answer.spans, answer.span_chances, answer.in_tags, strict=True
            ):
                first, last = words[start].start, words[end - 1].end
                entities.append(
                    {
                        "text": text[first:last],
                        "start": first,
                        "end": last,
                        "label": label,
                        "probability": chance,
                        **({} if in_tags else {"overlaps": True}),
                    }
                )
        row: dict[str, Any] = {"text": text, "tokens": tokens}
        if self._types is not None:
            row["entities"] = entities
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
        reached = self.config.found.get(name, [])
        if not reached:
            return 0.5
        # The largest threshold that so many of the true spans reach.
        return reached[min(int((1 - recall) * len(reached) + 1e-9), len(reached) - 1)]

    def _answers(
        self,
        tokens: Sequence[Sequence[str]],
        least: Mapping[str, float],
        *,
        temperature: float | None = None,
    ) -> list[Sentence]:
        """Return what is answered on sentences of words."""
        temperature = self.config.temperature if temperature is None else temperature
        return self._answering.answers(tokens, least, temperature=temperature)

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
        kept = examples.take(rows)
        least = self._asked(asked.threshold, asked.recall)
        answers = self._answers(kept.tokens, least)

        def chances(answers: Sequence[Sentence]) -> list[float]:
            return [
                chance
                for one in answers
                for chance in (one.tag_chances if self._types is None else one.span_chances)
            ]

        plain = None
        if self.config.temperature != 1.0 and not least:  # other temperatures, other spans
            plain = self._answers(kept.tokens, least, temperature=1.0)
        return judge(
            kept.tokens,
            kept.in_scheme(self.scheme).tags,
            Answers(
                [one.tags for one in answers], [one.spans for one in answers], chances(answers)
            ),
            self.scheme,
            known=self.encoder.knows,
            uncalibrated=None if plain is None else chances(plain),
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
        answers = self._answers(examples.tokens, self._asked(asked.threshold, asked.recall))
        truth = examples.in_scheme(self.scheme).tags
        for words, true, answer in zip(examples.tokens, truth, answers, strict=True):
            pairs = zip(true, answer.tags, strict=True)
            judged = [(t, s) for t, s in pairs if t is not None]
            yield {
                "tokens": list(words),
                "tags": list(true),
                "predicted": answer.tags,
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
            **({} if self.encoder.readers is None else self.encoder.readers.files()),
        }

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model to the folder ``path``, from which ``elman.load`` reads it.

        Raises:
            BundleError: ``path`` exists and ``force`` is false, or it cannot be written.
        """
        bundle.check_destination(Path(path), force=force)
        bundle.save(Path(path), self, training={}, files={}, force=force)


def _first(names: Iterable[str]) -> str:
    """Return the first few names in alphabetical order."""
    shown = sorted(names)
    return ", ".join(shown[:5]) + (" …" if len(shown) > 5 else "")


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
    whole = network.state_size == sum(one.network.hidden_size for one in config.readers)
    whole &= sizes == expected and (config.scheme is None or config.scheme in SCHEMES)
    if not whole:
        raise BundleError(
            f"{stored.folder / FORMS} and {bundle.CONFIG} do not match each other; copy the folder "
            "whole or train again"
        )
    scheme = None if config.scheme is None else BIOES
    masks = tuple(torch.from_numpy(one) for one in allowed(config.tags, scheme))

    outlines = states.outlined(stored, config.readers)

    def make(backend: str) -> Tagger:
        readers = [
            RecurrentLanguageModel(saved.network, cell, backend=backend)
            for saved, _, cell in outlines
        ]
        return Tagger(network, cell, allowed=masks, readers=readers, backend=backend)  # type: ignore[arg-type]

    layers = network.num_layers + sum(one.network.num_layers for one in config.readers)
    module = bundle.restore_module(stored, make, backend=backend, num_layers=layers)
    if outlines:
        encoder.readers = states.Readers.restored(outlines, module.readers)
    return TaggerModel(module, encoder, config)
