"""A trained classifier with its tokenizer and classes: from texts to answers."""

from __future__ import annotations

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
from elman.tasks.classify import cleaning
from elman.tasks.classify.inspection import refuse_unknown
from elman.tasks.classify.metrics import Classification, evaluate
from elman.tasks.classify.model import Classifier, ClassifierConfig
from elman.tasks.classify.options import ClassifyAnswers
from elman.text.cleaning import Cleaner, load_cleaner
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
    clean: str | None = None
    """The steps of cleaning; what they need is in a file of its own."""


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
        cleaner: what cleans texts before they are read, as in training; None for nothing.
        prior: (C,) share of each class in the training part; the answer to an empty text.
    """

    task = "classify"

    def __init__(
        self,
        module: Classifier,
        tokenizer: Tokenizer,
        classes: Sequence[str],
        prior: NDArray[np.float32],
        cleaner: Cleaner | None = None,
    ):
        self.module = module.eval()
        self.tokenizer = tokenizer
        self.classes = tuple(classes)
        self.prior = prior
        self.cleaner = cleaner

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

    def predict(self, texts: Iterable[str]) -> list[str]:
        """Return the most probable label of each text.

        Args:
            texts: strings in a list, an array, a column or a table of one column; those of NumPy,
                pandas, polars and Arrow too.

        Raises:
            InputError: as ``predict_proba``.
        """
        return [self.classes[i] for i in self.predict_proba(texts).argmax(axis=1)]

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return the probabilities (texts, C) of the classes; an empty text gets the prior.

        Raises:
            InputError: ``texts`` is one string or a table of several columns, or holds something
                that is missing or no string.
        """
        return self.probabilities(self._encode(texts_of(texts)))

    def probabilities(self, encoded: Encoded) -> NDArray[np.float32]:
        """Return the probabilities (rows, C) for texts already encoded."""
        result = np.tile(self.prior, (len(encoded), 1))
        for rows, tokens in batches(encoded, device_of(self.module)):
            logits = self._run(tokens)
            result[rows] = logits.softmax(dim=1).numpy(force=True)
        return result

    def steps(self, text: str) -> list[Step]:
        """Return the network's opinion after each token of ``text``.

        The opinion after k tokens is the answer to a text of these k tokens alone, whatever the
        pooling and the directions; the last one is the answer to the whole text.
        """
        [text] = self._cleaned(texts_of([text]))
        ids = self.tokenizer.encode([text]).values
        counts = np.arange(1, len(ids) + 1)
        # Row k of this ragged array is the first k tokens.
        where = np.arange(counts.sum()) - np.repeat(offsets_of(counts), counts)
        opinions = self.probabilities(Encoded(ids[where], counts))
        pieces = self.tokenizer.split(text)
        return [Step(piece, row) for piece, row in zip(pieces, opinions, strict=True)]

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return one vector a text, (texts, H * directions); an empty text gets zeros."""
        encoded = self._encode(texts_of(texts))
        result = np.zeros((len(encoded), self.module.output.in_features), dtype=np.float32)
        for rows, tokens in batches(encoded, device_of(self.module)):
            with torch.inference_mode():
                result[rows] = self.module.pooled(tokens).numpy(force=True)
        return result

    def answer(
        self, inputs: Iterable[str], *, top: int | None = None, steps: bool = False
    ) -> list[dict[str, Any]]:
        """Return a row of plain JSON for each text.

        A row has the ``text``, its most probable ``label`` and the ``top`` classes with their
        probabilities (1 of them, with ``steps`` 3); with ``steps`` also the same after each token.
        ``empty`` marks a text without a token, ``truncated`` one that is longer than the model
        reads.
        """
        texts = texts_of(inputs)
        ClassifyAnswers(top=top, steps=steps)  # refuses what cannot be
        count = min(top or (3 if steps else 1), len(self.classes))
        encoded = self._encode(texts)
        truncated = set(encoded.truncated_rows)
        rows = []
        for i, probabilities in enumerate(self.probabilities(encoded)):
            best = self._ranked(probabilities, count)
            row: dict[str, Any] = {
                "text": texts[i],
                "label": best[0][0],
                "top": [{"label": label, "probability": p} for label, p in best],
            }
            if not encoded.lengths[i]:
                row["empty"] = True
            if i in truncated:
                row["truncated"] = True
            if steps:
                row["steps"] = [
                    {
                        "token": step.token,
                        "probabilities": dict(self._ranked(step.probabilities, count)),
                    }
                    for step in self.steps(texts[i])
                ]
            rows.append(row)
        return rows

    def _ranked(self, probabilities: NDArray[np.float32], count: int) -> list[tuple[str, float]]:
        order = (-probabilities).argsort(kind="stable")[:count]
        return [(self.classes[i], float(probabilities[i])) for i in order]

    def evaluate(self, examples: Examples) -> Classification:
        """Score labelled texts; texts of length 0 are left out and counted.

        Of a text that cleaning emptied the answer is judged like any other.

        Raises:
            DataError: there is no text to judge on.
            InputError: these are no examples, as the parts of ``trained.split`` are.
        """
        _check_labelled(examples)
        encoded = self._encode(examples.texts)
        rows = np.flatnonzero(self._judged(examples.texts, encoded))
        if not len(rows):
            raise DataError(f"{examples.source}: there is no text to judge on")
        kept = examples.take(rows)
        refuse_unknown(kept, self.classes)
        return evaluate(
            self.probabilities(encoded)[rows],
            kept.labels,
            self.classes,
            kept.texts,
            skipped=len(examples) - len(kept),
            truncated=encoded.truncated,
        )

    def predictions(self, examples: Examples) -> Iterator[dict[str, Any]]:
        """Yield for each text its label and what the model answers, with that probability.

        A text of length 0 is not judged and so has no answer.

        Raises:
            InputError: as ``evaluate``.
        """
        _check_labelled(examples)
        encoded = self._encode(examples.texts)
        probabilities = self.probabilities(encoded)
        best, judged_rows = probabilities.argmax(axis=1), self._judged(examples.texts, encoded)
        for i, (text, label) in enumerate(zip(examples.texts, examples.labels, strict=True)):
            judged = bool(judged_rows[i])
            yield {
                "text": text,
                "label": label,
                "predicted": self.classes[best[i]] if judged else None,
                "probability": round(float(probabilities[i, best[i]]), 6) if judged else None,
            }

    def parts(self) -> tuple[ModelConfig, dict[str, bytes]]:
        """Return what ``load`` makes a classifier of, but the weights."""
        config = ModelConfig(
            network=self.module.config,
            classes=list(self.classes),
            prior=[float(p) for p in self.prior],
            clean=None if self.cleaner is None else str(self.cleaner.steps),
        )
        cell = ir_text.write(self.module.recurrent.cell.graph)
        files = {TOKENIZER: self.tokenizer.to_json(), CELL: cell.encode()}
        if self.cleaner is not None:
            files[cleaning.FILE] = self.cleaner.to_json()
        return config, files

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model to the folder ``path``, from which ``elman.load`` reads it.

        Raises:
            BundleError: ``path`` exists and ``force`` is false, or it cannot be written.
        """
        bundle.check_destination(Path(path), force=force)
        bundle.save(Path(path), self, training={}, files={}, force=force)

    def _cleaned(self, texts: Sequence[str]) -> Sequence[str]:
        return texts if self.cleaner is None else self.cleaner.clean(texts)

    def _encode(self, texts: Sequence[str]) -> Encoded:
        return self.tokenizer.encode(self._cleaned(texts))

    def _judged(self, texts: Sequence[str], encoded: Encoded) -> NDArray[np.bool_]:
        """Return which texts are judged: those with a token, and those that cleaning emptied."""
        if self.cleaner is None:
            return encoded.lengths > 0
        return np.array([bool(text) and not text.isspace() for text in texts], dtype=bool)

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
    prior = np.asarray(config.prior, dtype=np.float32)
    counts = {len(config.classes), len(set(config.classes)), len(prior), network.num_classes}
    if len(counts) > 1 or not (prior >= 0).all() or abs(prior.sum() - 1) > 1e-3:
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
    cleaner = None if config.clean is None else stored.parse(cleaning.FILE, load_cleaner)
    return TextClassifierModel(module, tokenizer, config.classes, prior, cleaner)


def _check_labelled(examples: object) -> None:
    if not isinstance(examples, Examples):
        raise InputError(
            f"examples is {examples!r:.80}; give a part of trained.split, or a file or table to "
            "elman.evaluate"
        )
