"""A trained language model in use: it writes, and says how likely it finds a text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from elman.cell import Cell
from elman.data.stream import TextStream
from elman.errors import BundleError, ConfigError, DataError, InputError
from elman.ir import text as ir_text
from elman.nn.decoding import Sampling
from elman.nn.language_model import LanguageModelConfig, RecurrentLanguageModel
from elman.tasks.generate import scoring
from elman.tasks.generate.batches import Texts
from elman.tasks.generate.clamping import Held, clamp_of
from elman.tasks.generate.drafting import Draft
from elman.tasks.generate.learner import GenerateLearner
from elman.tasks.generate.metrics import UNITS, Modelled
from elman.tasks.generate.options import (
    NEW_TOKENS,
    SAMPLING,
    Decoding,
    GenerateAnswers,
    GenerateScoring,
)
from elman.tasks.generate.writing import OnText, Writing, WrittenText, blank_after
from elman.text.summary import Table
from elman.text.tokenizer.reversible import UNKNOWN_ID, TextCoder, first_id, load_coder
from elman.training import bundle

CODER = "tokenizer.json"
CELL = "cell.txt"
_SETTINGS = (*("embedding_size", "hidden_size", "num_layers", "tied", "softmax", "learn_state"),)


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A language model's part of config.json."""

    network: LanguageModelConfig
    running: bool
    """Whether it has learnt from one running text, and not from texts that stand alone."""
    labels: list[str]
    """Of texts, in the order of their numbers."""
    max_length: int
    """Tokens of a text that stands alone, at most."""
    reverse: bool = False
    """Whether it reads from the end of a text to its beginning."""


class LanguageModel:
    """What ``elman.load`` returns for a language model.

    Attributes:
        module: the network, a ``torch.nn.Module``.
        coder: from text to tokens and back.
        config: what else was decided in training.
    """

    task = "generate"
    metric = ""

    def __init__(self, module: RecurrentLanguageModel, coder: TextCoder, config: ModelConfig):
        self.module = module.eval()
        self.coder = coder
        self.config = config
        self.before = first_id(coder, running=config.running)

    def __repr__(self) -> str:
        return (
            f"<{self.module.recurrent.cell.name} language model of {self.coder.vocab_size - 2:,} "
            f"{self.coder.level}, {self.num_parameters:,} parameters>"
        )

    def _repr_html_(self) -> str:
        config = self.module.config
        rows = {
            "reads and writes": f"{self.coder.level}, {self.coder.vocab_size - 2:,} different",
            "cell": f"{self.module.recurrent.cell.name}, {config.num_layers} x "
            f"{config.hidden_size} units",
            "labels": ", ".join(self.labels) or "none",
            "parameters": f"{self.num_parameters:,}",
        }
        return Table(["language model", ""], [*rows.items()]).html()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that a text may be written for."""
        return tuple(self.config.labels)

    @property
    def running(self) -> bool:
        """Whether it has learnt from one running text."""
        return self.config.running

    @property
    def unit(self) -> str:
        """What a token is."""
        return UNITS[self.coder.level]

    @property
    def num_parameters(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def settings(self) -> dict[str, Any]:
        """The options that the model has decided."""
        sizes = {name: getattr(self.module.config, name) for name in _SETTINGS}
        text = {"tokens": self.coder.level, "vocab_size": None, "min_count": None}
        cell = self.module.recurrent.cell
        return {**sizes, **text, "reverse": self.config.reverse, "cell": cell}

    # -----------------------------------------------------------------------------------------
    # Writing

    def generate(
        self,
        prompt: str = "",
        *,
        n: int = 1,
        max_new_tokens: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        beam: int | None = None,
        stop: str | Sequence[str] | None = None,
        label: str | None = None,
        seed: int | None = None,
        clamp: Held | None = None,
        on_text: OnText | None = None,
    ) -> list[dict[str, Any]]:
        """Write texts that begin with a prompt.

        Args:
            prompt: what they begin with.
            n: how many; each has its own random numbers, so that the first ones are the same
                whatever their number.
            max_new_tokens: where they end in any case; by default 200 characters or bytes, 50
                words, 80 pieces.
            temperature: under 1 the probable gets more so; 0 takes the most probable each time.
            top_k: only so many tokens, the most probable.
            top_p: only the most probable tokens that together have this probability.
            min_p: only tokens with this share of the most probable token's probability.
            repetition_penalty: over 1 what stands there already gets less probable.
            beam: search the most probable texts, so many at a time, in place of drawing.
            stop: a text, or several, to stop at; it is not part of what was written.
            label: what kind of text to write, of a model that was trained with labels.
            seed: of the random numbers; None for others each time.
            clamp: units that are held, each at its value, after every step: by number
                (``{12: 3.0}``), as text (``{"c.12": 3.0}``) or by (layer, state, unit); or texts
                as the command line has them (``["12=3.0"]``).
            on_text: told of the number of a text and what was written of it, as it goes.

        Returns:
            A row of plain JSON for each: the ``prompt``, what was written as ``text``, how many
            ``tokens`` that are, the ``log_probability`` by the model and how it ``finished``:
            ``end``, ``stop`` or ``limit``. With unknown tokens in the prompt ``unknown``.

        Raises:
            ConfigError: a number is out of range, there is no such label or unit, or two options
                do not go together.
            InputError: the prompt is no text.
        """
        asked = Decoding(
            prompt=_text(prompt),
            n=n,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            beam=beam,
            stop=cast("list[str] | None", [stop] if isinstance(stop, str) else stop),
            label=label,
            seed=seed,
        )
        asked.check_beam()
        number = self.number_of(label)
        length = asked.max_new_tokens or NEW_TOKENS[self.coder.level]
        writing = self._writing(clamp)
        if asked.beam is not None:
            found = writing.search(
                prompt, label=number, beam_size=asked.beam, count=n, max_new_tokens=length
            )
        else:
            found = writing.write(
                prompt,
                labels=None if number is None else [number] * n,
                count=n,
                max_new_tokens=length,
                sampling=_sampling(asked),
                stop=asked.stop or (),
                seed=seed,
                on_text=on_text,
            )
        unknown = self.unknown_in(prompt)
        return [self._row(prompt, one, label, unknown) for one in found]

    def _row(
        self, prompt: str, one: WrittenText, label: str | None, unknown: Sequence[str]
    ) -> dict[str, Any]:
        row = {
            "prompt": prompt,
            "text": one.text,
            "tokens": one.tokens,
            "log_probability": one.log_prob,
            "finished": one.finished,
        }
        if label is not None:
            row["label"] = label
        if unknown:
            row["unknown"] = list(unknown)
        return row

    def draft(
        self,
        prompt: str = "",
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        label: str | None = None,
        seed: int | None = None,
        clamp: Held | None = None,
    ) -> Draft:
        """Begin a text to write together with the model, a step at a time.

        Args:
            prompt: what it begins with.
            temperature: as for ``generate``, as are all others.
            top_k: likewise.
            top_p: likewise.
            min_p: likewise.
            repetition_penalty: likewise.
            label: likewise.
            seed: likewise.
            clamp: likewise.

        Raises:
            ConfigError, InputError: as for ``generate``.
        """
        asked = Decoding(
            prompt=_text(prompt),
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            label=label,
            seed=seed,
        )
        return Draft(
            self._writing(clamp),
            prompt,
            label=self.number_of(asked.label),
            sampling=_sampling(asked),
            seed=seed,
        )

    def next(self, prompt: str = "", *, top: int = 10, **options: Any) -> list[dict[str, Any]]:
        """Return the most probable tokens after a prompt: ``token``, ``id`` and ``probability``.

        They are as they would be drawn, without what is never written.

        Args:
            prompt: what stands before.
            top: how many.
            **options: those of ``draft``.

        Raises:
            ConfigError, InputError: as for ``draft``.
        """
        return self.draft(prompt, **options).next(top)

    def unknown_in(self, text: str) -> list[str]:
        """Return the characters, or words, of a text that the vocabulary lacks, each once."""
        text = text.removesuffix(blank_after(self.coder, text))
        pairs = zip(self.coder.pieces(text), self.coder.encode(text).tolist(), strict=True)
        return [*dict.fromkeys(piece.strip() or piece for piece, i in pairs if i == UNKNOWN_ID)]

    def number_of(self, label: str | None) -> int | None:
        """Return the number of a label.

        Raises:
            ConfigError: there is none of that name, or one is wanted and not given.
        """
        if label is None:
            if self.labels:
                raise ConfigError(
                    f"the model writes texts of a label; give one as label: {_some(self.labels)}"
                )
            return None
        if not self.labels:
            raise ConfigError(
                f"label is {label!r}, but the model was trained without labels; leave it out"
            )
        if label not in self.labels:
            near = difflib.get_close_matches(label, self.labels, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {_some(self.labels)}"
            raise ConfigError(f"the model knows no label {label!r}; {hint}")
        return self.labels.index(label)

    def _writing(self, held: Held | None) -> Writing:
        if self.config.reverse:
            raise ConfigError(
                "the model reads from the end of a text to its beginning and writes none; train "
                "one without --reverse to write"
            )
        clamp = clamp_of(held or (), self.module.recurrent.cell, self.module.config.num_layers)
        try:
            return Writing(self.module, self.coder, before=self.before, clamp=clamp)
        except ConfigError as error:
            raise ConfigError(f"clamp: {error}" if clamp else str(error)) from error

    # -----------------------------------------------------------------------------------------
    # Reading

    def answer(
        self, inputs: Iterable[str], *, surprise: bool = False, label: str | None = None
    ) -> list[dict[str, Any]]:
        """Return a row of plain JSON for each text: how likely the model finds it.

        A row has the ``text``, its number of ``tokens``, the mean ``nats`` and ``bits`` of these,
        the ``perplexity``, the ``unit`` and the ``log_probability`` of the whole, of a text that
        stands alone with its end. With ``surprise`` it has the ``surprise``: each ``token`` with
        its ``nats``, a character of several bytes as one.

        Args:
            inputs: texts, each read from its beginning.
            surprise: say it of each token.
            label: read them as texts of this label.

        Raises:
            ConfigError: there is no such label.
            InputError: an input is no text.
        """
        asked = GenerateAnswers(surprise=surprise, label=label)
        if isinstance(inputs, str) or not isinstance(inputs, Iterable):
            raise InputError(f"give a list of texts; this is {inputs!r:.60}")
        texts = list(inputs)
        for one in texts:
            if not isinstance(one, str):
                raise InputError(f"give texts; this is {one!r:.60}")
        number = None if label is None and not self.labels else self.number_of(asked.label)
        ids = [self.coder.encode(text) for text in texts]
        nats = self._nats(ids, None if number is None else [number] * len(texts))
        return [
            self._answered(text, row, own, surprise=asked.surprise)
            for text, row, own in zip(texts, ids, nats, strict=True)
        ]

    def _answered(
        self, text: str, ids: np.ndarray, nats: np.ndarray, *, surprise: bool
    ) -> dict[str, Any]:
        total = float(nats.sum())
        scores = Modelled.of(
            total,
            tokens=len(nats),
            characters=len(text),
            unknown=scoring.unseen(ids, UNKNOWN_ID),
            unit=self.unit,
        )
        row: dict[str, Any] = {
            "text": text,
            "tokens": len(ids),
            "nats": scores.nats,
            "bits": scores.bits,
            "perplexity": scores.perplexity,
            "unit": self.unit,
            "log_probability": -total,
        }
        if not self.running and len(ids) > self.config.max_length:
            row["truncated"] = True
        if surprise:
            row["surprise"] = list(_surprises(self.coder.pieces(text), nats.tolist()))
        return row

    def _nats(self, ids: Sequence[np.ndarray], labels: Sequence[int] | None) -> list[np.ndarray]:
        """Return the nats of each token of texts that are read from their beginnings.

        A model that reads them from their ends has them in the order of the text, too.
        """
        found = [np.empty(0, dtype=np.float32)] * len(ids)
        if not ids:
            return found
        step = -1 if self.config.reverse else 1
        if not self.running:
            ids = [one[: self.config.max_length] for one in ids]
        ids = [one[::step] for one in ids]
        numbers = None if labels is None else np.asarray(labels, dtype=np.int64)
        size = max(1, max(map(len, ids))) if self.running else self.config.max_length
        texts = Texts.of(ids, numbers, size, before=self.before)
        for row, nats in scoring.text_nats(self.module, texts):
            own = nats[:-1][::step]
            # A running text has no end.
            found[row] = own if self.running else np.append(own, nats[-1:])
        return found

    # -----------------------------------------------------------------------------------------
    # Scores

    def evaluate(self, examples: TextStream, *, dynamic: float | None = None) -> Modelled:
        """Score a text, read from its beginning to its end; or texts that stand alone.

        Args:
            examples: as the parts of ``trained.split`` are.
            dynamic: let a copy of the model learn from what it has read, at this rate.

        Raises:
            DataError: there is nothing to judge, or text of another kind.
            ConfigError: dynamic evaluation of texts that stand alone.
            InputError: this is no text.
        """
        asked = GenerateScoring(dynamic=dynamic)
        nats, ids = self._read(examples, asked.dynamic)
        return Modelled.of(
            float(sum(float(one.sum(dtype=np.float64)) for one in nats)),
            tokens=sum(map(len, nats)),
            characters=examples.characters,
            unknown=sum(scoring.unseen(one, UNKNOWN_ID) for one in ids),
            unit=self.unit,
        )

    def predictions(
        self, examples: TextStream, *, dynamic: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield for each line, or text, what it is and how likely the model found it."""
        nats, _ = self._read(examples, GenerateScoring(dynamic=dynamic).dynamic)
        labels = examples.labels or [None] * len(examples)
        for text, label, own in zip(examples.texts(), labels, nats, strict=True):
            total = float(own.sum(dtype=np.float64))
            yield {
                "text": text.removesuffix("\n"),
                "label": label,
                "tokens": len(own),
                "characters": len(text),
                "nats": total,
            }

    def _read(
        self, examples: TextStream, dynamic: float | None
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return nats and ids of each line or text."""
        self._check(examples)
        ids = [self.coder.encode(text) for text in examples.texts()]
        if not examples.running:
            if dynamic is not None:
                raise ConfigError(
                    "dynamic evaluation is for one running text, and these stand alone; leave "
                    "dynamic out"
                )
            numbers = None
            if self.labels:
                numbers = [self.labels.index(one) for one in examples.labels or ()]
            return self._nats(ids, numbers), ids
        step = -1 if self.config.reverse else 1
        whole = np.concatenate(ids)[::step]
        nats = scoring.running_nats(self.module, whole, self.before, dynamic=dynamic)[::step]
        ends = np.cumsum([len(one) for one in ids])
        return np.split(nats, ends[:-1]), ids

    def _check(self, examples: object) -> None:
        if not isinstance(examples, TextStream):
            raise InputError(
                f"examples is {examples!r:.80}; give a part of trained.split, or a file to "
                "elman.evaluate"
            )
        if not len(examples):
            raise DataError(f"{examples.source}: there is no text to judge")
        if examples.running and self.labels:
            raise DataError(
                f"{examples.source} is one running text, and the model reads texts with labels; "
                "give a table, and --label-column"
            )
        if self.labels:
            unknown = sorted({*(examples.labels or [""])} - {*self.labels})
            if examples.labels is None:
                raise DataError(
                    f"{examples.source} was read without labels; name their column with "
                    "--label-column"
                )
            if unknown:
                raise DataError(
                    f"{examples.source} has labels that the model does not know: "
                    f"{', '.join(unknown[:5])}; it knows {_some(self.labels)}"
                )

    # -----------------------------------------------------------------------------------------
    # Files

    def parts(self) -> tuple[ModelConfig, dict[str, bytes]]:
        """Return what ``load`` makes a language model of, but the weights."""
        return self.config, {
            CODER: self.coder.to_json(),
            CELL: ir_text.write(self.module.recurrent.cell.graph).encode(),
        }

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model to the folder ``path``, from which ``elman.load`` reads it.

        Raises:
            BundleError: ``path`` exists and ``force`` is false, or it cannot be written.
        """
        bundle.check_destination(Path(path), force=force)
        bundle.save(Path(path), self, training={}, files={}, force=force)


def _surprises(pieces: Sequence[str], nats: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Yield each token that can be read, a character of several bytes as one."""
    waiting = 0.0
    for piece, one in zip(pieces, nats, strict=False):
        waiting += one
        if piece:
            yield {"token": piece, "nats": waiting}
            waiting = 0.0


def _text(prompt: object) -> str:
    if not isinstance(prompt, str):
        raise InputError(f"prompt is {prompt!r:.60}; give a text")
    return prompt


def _sampling(asked: Decoding) -> Sampling:
    return Sampling(**{name: getattr(asked, name) for name in SAMPLING})


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 20} more" if len(labels) > 20 else ""
    return ", ".join(labels[:20]) + more


def finished(learner: GenerateLearner) -> LanguageModel:
    """Return the learner's model, ready to use."""
    prepared = learner.prepared
    config = ModelConfig(
        network=learner.model.config,
        running=prepared.running,
        labels=list(prepared.labels),
        max_length=prepared.options.max_length or 1,
        reverse=prepared.options.reverse,
    )
    return LanguageModel(learner.model, prepared.coder, config)


def load(stored: bundle.Stored, *, backend: str) -> LanguageModel:
    """Make a language model of the files of a bundle.

    Raises:
        BundleError: a file is missing, or they do not fit each other.
    """
    config: ModelConfig = bundle.decode_model(stored, ModelConfig)
    coder = stored.parse(CODER, load_coder)
    cell = stored.parse(CELL, lambda data: Cell(ir_text.parse(data.decode("utf-8", "replace"))))
    network = config.network
    if (coder.vocab_size, len(config.labels)) != (network.vocab_size, network.num_labels):
        raise BundleError(
            f"{stored.folder / CODER} and {bundle.CONFIG} do not match each other; copy the folder "
            "whole or train again"
        )

    def make(backend: str) -> RecurrentLanguageModel:
        return RecurrentLanguageModel(network, cell, backend=backend)

    module = bundle.restore_module(stored, make, backend=backend, num_layers=network.num_layers)
    return LanguageModel(module, coder, config)
