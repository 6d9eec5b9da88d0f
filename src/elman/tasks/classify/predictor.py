"""A trained classifier with its tokenizer and classes: from texts to answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.cell import Cell
from elman.data.batching import offsets_of
from elman.data.examples import Examples
from elman.data.inputs import texts_of
from elman.errors import BundleError, DataError, InputError
from elman.ir import text as ir_text
from elman.nn.batches import batches, device_of
from elman.tasks.classify.inspection import refuse_unknown
from elman.tasks.classify.labels import Labels, OneOf
from elman.tasks.classify.metrics import Classification, Labelling, judge
from elman.tasks.classify.model import Classifier, ClassifierConfig
from elman.tasks.classify.options import ClassifyAnswers, ClassifyScoring
from elman.text.summary import Table
from elman.text.tokenizer import Encoded, Tokenizer, load_tokenizer
from elman.training import bundle

TOKENIZER = "tokenizer.json"
CELL = "cell.txt"


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A classifier's part of config.json."""

    network: ClassifierConfig
    classes: list[str]
    prior: list[float]
    """Share of each class in the training part."""
    labels: Labels = OneOf()
    """Whether a text has one of the classes or any of them, and from which probability on."""


class Step(NamedTuple):
    """The network's opinion after reading one more token."""

    token: str
    probabilities: NDArray[np.float32]
    """(C,)"""


class TextClassifierModel:
    """What ``elman.load`` returns for a classifier.

    Attributes:
        module: the ``Classifier`` itself, a ``torch.nn.Module``.
        tokenizer: text to token ids.
        classes: the C labels, in the order of the probabilities.
        prior: (C,) share of each class in the training part; the answer to an empty text.
        kind: whether a text has one of the classes or any of them, and when each is answered.
    """

    task = "classify"

    def __init__(
        self,
        module: Classifier,
        tokenizer: Tokenizer,
        classes: Sequence[str],
        prior: NDArray[np.float32],
        kind: Labels | None = None,
    ):
        self.kind: Labels = kind or OneOf()
        self.module = module.eval()
        self.tokenizer = tokenizer
        self.classes = tuple(classes)
        self.prior = prior

    def __repr__(self) -> str:
        cell = self.module.recurrent.cell.name
        return (
            f"<{cell} classifier, {len(self.classes)} classes, {self.num_parameters:,} parameters>"
        )

    def _repr_html_(self) -> str:
        config = self.module.config
        classes = ", ".join(self.classes[:10]) + (", …" if len(self.classes) > 10 else "")
        directions = "two directions" if config.bidirectional else "one direction"
        rows = {
            "cell": f"{self.module.recurrent.cell.name}, {config.hidden_size} units, {directions}",
            f"{len(self.classes)} classes": classes,
            "reads": f"{self.tokenizer.vocab_size:,} {self.tokenizer.level}",
            "parameters": f"{self.num_parameters:,}",
        }
        return Table(["classifier", ""], [*rows.items()]).html()

    @property
    def num_parameters(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def several(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.kind.several

    def predict(self, texts: Iterable[str], *, threshold: float | None = None) -> list[Any]:
        """Return the label of each text, or with several labels a list of them.

        Args:
            texts: strings in a list, an array, a column or a table of one column; those of NumPy,
                pandas, polars and Arrow too.
            threshold: from which probability on the rarer of two classes, or a label, is answered;
                None takes the model's own.

        Raises:
            InputError: as ``predict_proba``.
            ConfigError: there are more than two classes, and a threshold was given.
        """
        kind = self._kind_at(threshold)
        return kind.named(kind.decide(self.predict_proba(texts)), self.classes)

    def _kind_at(self, threshold: float | None) -> Labels:
        ClassifyScoring(threshold=threshold)  # refuses what cannot be
        return self.kind.at(threshold, self.classes)

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return the probabilities (texts, C) of the classes; an empty text gets the prior.

        Raises:
            InputError: ``texts`` is one string or a table of several columns, or holds something
                that is missing or no string.
        """
        return self.probabilities(self.tokenizer.encode(texts_of(texts)))

    def probabilities(self, encoded: Encoded) -> NDArray[np.float32]:
        """Return the probabilities (rows, C) for texts already encoded."""
        result = np.tile(self.prior, (len(encoded), 1))
        for rows, tokens in batches(encoded, device_of(self.module)):
            logits = self._run(tokens)
            result[rows] = self.kind.probabilities(logits).numpy(force=True)
        return result

    def steps(self, text: str) -> list[Step]:
        """Return the network's opinion after each token of ``text``.

        The opinion after k tokens is the answer to a text of these k tokens alone, whatever the
        pooling and the directions; the last one is the answer to the whole text.
        """
        ids = self.tokenizer.encode(texts_of([text])).values
        counts = np.arange(1, len(ids) + 1)
        # Row k of this ragged array is the first k tokens.
        where = np.arange(counts.sum()) - np.repeat(offsets_of(counts), counts)
        opinions = self.probabilities(Encoded(ids[where], counts))
        pieces = self.tokenizer.split(text)
        return [Step(piece, row) for piece, row in zip(pieces, opinions, strict=True)]

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return one vector a text, (texts, H * directions); an empty text gets zeros."""
        encoded = self.tokenizer.encode(texts_of(texts))
        result = np.zeros((len(encoded), self.module.output.in_features), dtype=np.float32)
        for rows, tokens in batches(encoded, device_of(self.module)):
            with torch.inference_mode():
                result[rows] = self.module.pooled(tokens).numpy(force=True)
        return result

    def answer(
        self,
        inputs: Iterable[str],
        *,
        top: int | None = None,
        steps: bool = False,
        threshold: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return a row of plain JSON for each text.

        A row has the ``text``, its ``label`` and the ``top`` classes with their probabilities (1 of
        them, with ``steps`` 3, first the label); with ``steps`` also the same after each token.
        With several labels it has all ``labels`` from their thresholds on and the ``probabilities``
        of every one; ``top`` are these labels, or where it is given or there is none the most
        probable ones. ``empty`` marks a text without a token, ``truncated`` one that is longer than
        the model reads.

        Raises:
            ConfigError: an option cannot be.
        """
        texts = texts_of(inputs)
        ClassifyAnswers(top=top, steps=steps, threshold=threshold)  # refuses what cannot be
        kind = self.kind.at(threshold, self.classes)
        encoded = self.tokenizer.encode(texts)
        truncated = set(encoded.truncated_rows)
        found = self.probabilities(encoded)
        named = kind.named(kind.decide(found), self.classes)
        rows = []
        for i, probabilities in enumerate(found):
            row = {"text": texts[i], **self._told(named[i], probabilities, top, steps=steps)}
            if not encoded.lengths[i]:
                row["empty"] = True
            if i in truncated:
                row["truncated"] = True
            if steps:
                count = len(row["top"])
                row["steps"] = [
                    {
                        "token": step.token,
                        "probabilities": dict(self._ranked(step.probabilities, count)),
                    }
                    for step in self.steps(texts[i])
                ]
            rows.append(row)
        return rows

    def _told(
        self, answered: Any, probabilities: NDArray[np.float32], top: int | None, *, steps: bool
    ) -> dict[str, Any]:
        """Return what a row says of one text: its label or labels, and the most probable ones."""
        usual = len(answered) or 1 if self.several and not steps else 3 if steps else 1
        best = self._ranked(probabilities, min(top or usual, len(self.classes)))
        if self.several:
            shown = dict(self._ranked(probabilities, len(self.classes)))
            labels = [label for label in shown if label in answered]
            if top is None and labels and not steps:
                best = [(label, shown[label]) for label in labels]
            told: dict[str, Any] = {"labels": labels, "probabilities": shown}
        else:
            told = {"label": answered}
            if best[0][0] != answered:  # a threshold of its own: the answer stands first
                first = (answered, float(probabilities[self.classes.index(answered)]))
                best = [first, *(one for one in best if one[0] != answered)][: len(best)]
        told["top"] = [{"label": label, "probability": p} for label, p in best]
        return told

    def _ranked(self, probabilities: NDArray[np.float32], count: int) -> list[tuple[str, float]]:
        order = (-probabilities).argsort(kind="stable")[:count]
        return [(self.classes[i], float(probabilities[i])) for i in order]

    def evaluate(
        self, examples: Examples, *, threshold: float | None = None
    ) -> Classification | Labelling:
        """Score labelled texts; texts of length 0 are left out and counted.

        Args:
            examples: as the parts of ``trained.split`` are.
            threshold: from which probability on the rarer of two classes, or a label, is answered;
                None takes the model's own.

        Raises:
            DataError: there is no text to judge on.
            InputError: these are no examples.
            ConfigError: there are more than two classes, and a threshold was given.
        """
        kind = self._kind_at(threshold)
        self._check_labelled(examples)
        encoded = self.tokenizer.encode(examples.texts)
        rows = np.flatnonzero(encoded.lengths)
        if not len(rows):
            raise DataError(f"{examples.source}: there is no text to judge on")
        kept = examples.take(rows)
        refuse_unknown(kept, self.classes)
        return judge(
            kind,
            self.probabilities(encoded)[rows],
            kept.labels,
            self.classes,
            kept.texts,
            skipped=len(examples) - len(kept),
            truncated=encoded.truncated,
        )

    def predictions(
        self, examples: Examples, *, threshold: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield for each text its label and what the model answers, with that probability.

        A text of length 0 is not judged and so has no answer. Of several labels there are lists,
        as JSON writes them.

        Raises:
            InputError, ConfigError: as ``evaluate``.
        """
        kind = self._kind_at(threshold)
        self._check_labelled(examples)
        encoded = self.tokenizer.encode(examples.texts)
        probabilities = self.probabilities(encoded)
        answered = kind.decide(probabilities)
        named = kind.named(answered, self.classes)
        for i, (text, label) in enumerate(zip(examples.texts, examples.written, strict=True)):
            judged = bool(encoded.lengths[i])
            given = [round(float(p), 6) for p in probabilities[i, answered[i]]]
            predicted, probability = (
                (_as_json(named[i]), _as_json(given)) if kind.several else (named[i], given[0])
            )
            yield {
                "text": text,
                "label": label,
                "predicted": predicted if judged else None,
                "probability": probability if judged else None,
            }

    def _check_labelled(self, examples: object) -> None:
        if not isinstance(examples, Examples):
            raise InputError(
                f"examples is {examples!r:.80}; give a part of trained.split, or a file or table "
                "to elman.evaluate"
            )
        if examples.several != self.several:
            has, answers = ("several labels", "one") if examples.several else ("one", "several")
            raise DataError(
                f"{examples.source}: a text has {has} here, and the model answers {answers}"
            )

    def parts(self) -> tuple[ModelConfig, dict[str, bytes]]:
        """Return what ``load`` makes a classifier of, but the weights."""
        config = ModelConfig(
            network=self.module.config,
            classes=list(self.classes),
            prior=[float(p) for p in self.prior],
            labels=self.kind,
        )
        cell = ir_text.write(self.module.recurrent.cell.graph)
        return config, {TOKENIZER: self.tokenizer.to_json(), CELL: cell.encode()}

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model to the folder ``path``, from which ``elman.load`` reads it.

        Raises:
            BundleError: ``path`` exists and ``force`` is false, or it cannot be written.
        """
        bundle.check_destination(Path(path), force=force)
        bundle.save(Path(path), self, training={}, files={}, force=force)

    def _run(self, tokens: PackedSequence) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = self.module(tokens)
        return logits


def load(stored: bundle.Stored, *, backend: str) -> TextClassifierModel:
    """Make a classifier of the files of a bundle.

    Raises:
        BundleError: a file is missing, or they do not fit each other.
    """
    config: ModelConfig = bundle.decode_model(stored, ModelConfig)
    network = config.network
    prior, several = np.asarray(config.prior, dtype=np.float32), config.labels.several
    counts = {len(config.classes), len(set(config.classes)), len(prior), network.num_classes}
    shares = bool((prior >= 0).all() and (prior <= 1).all())
    shares = shares and config.labels.fits(len(config.classes))
    if len(counts) > 1 or not shares or (not several and abs(prior.sum() - 1) > 1e-3):
        raise BundleError(
            f"{stored.folder / bundle.CONFIG} is damaged: classes and prior do not match "
            "num_classes; copy the folder whole or train again"
        )
    tokenizer = stored.parse(TOKENIZER, load_tokenizer)
    if tokenizer.vocab_size != network.vocab_size:
        raise BundleError(
            f"{stored.folder / TOKENIZER} has {tokenizer.vocab_size} entries, not the "
            f"{network.vocab_size} of {bundle.CONFIG}; copy the folder whole or train again"
        )
    cell = stored.parse(CELL, lambda data: Cell(ir_text.parse(data.decode("utf-8", "replace"))))
    module = bundle.restore_module(
        stored,
        lambda backend: Classifier(network, cell, backend=backend),
        backend=backend,
        num_layers=network.num_layers,
    )
    return TextClassifierModel(module, tokenizer, config.classes, prior, config.labels)


def _as_json(values: Sequence[Any]) -> str:
    return json.dumps(values, ensure_ascii=False)
