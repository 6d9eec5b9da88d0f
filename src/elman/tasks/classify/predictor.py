"""A trained classifier: networks, linear models, tokenizer and classes; from texts to answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from elman.data.examples import Examples
from elman.errors import DataError, InputError
from elman.nn.batches import batches, device_of
from elman.tasks.classify import answers, explanation, saved
from elman.tasks.classify.encoding import encode, spelling_of
from elman.tasks.classify.inspection import refuse_unknown
from elman.tasks.classify.labels import Labels
from elman.tasks.classify.metrics import Classification, Labelling, judge
from elman.tasks.classify.mixture import mixed, shares
from elman.tasks.classify.model import Classifier, Ensemble
from elman.tasks.classify.objective import Flags
from elman.tasks.classify.options import ClassifyOptions, ClassifyScoring
from elman.tasks.classify.saved import ModelConfig
from elman.text.cleaning import Cleaner, normalise, without_surrogates
from elman.text.inputs import texts_of
from elman.text.summary import Table
from elman.text.tokenizer import NAMES, SUBWORDS, CodedTokenizer, Encoded, Tokenizer
from elman.training import bundle

_SETTINGS = (
    *("embedding_size", "hidden_size", "num_layers", "bidirectional", "pooling", "pairs"),
    "subwords",
)


class Step(NamedTuple):
    """The network's opinion after reading one more token."""

    token: str
    probabilities: NDArray[np.float32]
    """(C,)"""


@dataclass(frozen=True)
class HeldOut:
    """The validation part, on which was chosen how much each model counts.

    Attributes:
        texts: those with a token and a known label.
        truth: (texts, C) which classes are true of them.
        linear: what each linear model said of them before it saw them, (texts, C).
        threshold: what was asked for of when a class is answered.
    """

    texts: list[str]
    truth: Flags
    linear: dict[str, NDArray[np.float32]]
    threshold: float | Literal["auto"] | None


class TextClassifierModel:
    """What ``elman.load`` returns for a classifier.

    Attributes:
        module: the networks and linear models, a ``torch.nn.Module``.
        tokenizer: text to token ids.
        classes: the C labels, in the order of the probabilities.
        prior: (C,) share of each class in the training part; the answer to an empty text.
        weights: how much the networks and each linear model count; chosen on the validation part,
            they make the probabilities calibrated ones.
        decisions: ``labels`` under "", and those of the parts that are judged alone after training.
        cleaner: what cleans texts before they are read, as in training; None for nothing.
        linear_seconds: how long the linear models and the weights took; 0 of a loaded model.
        held_out: what the weights were chosen on; None of a loaded model.
        asked: the options as they were asked for; None of a loaded model.
    """

    task = "classify"

    def __init__(
        self,
        module: Ensemble,
        tokenizer: Tokenizer,
        classes: Sequence[str],
        prior: NDArray[np.float32],
        weights: Sequence[float],
        labels: Labels,
        cleaner: Cleaner | None = None,
    ):
        self.module = module.eval()
        self.tokenizer = tokenizer
        self.classes = tuple(classes)
        self.prior = prior
        self.weights = tuple(weights)
        self.decisions = {"": labels}
        self.cleaner = cleaner
        self.linear_seconds = 0.0
        self.held_out: HeldOut | None = None
        self.asked: ClassifyOptions | None = None

    def __repr__(self) -> str:
        return f"<{self.kind}, {len(self.classes)} classes, {self.num_parameters:,} parameters>"

    def _repr_html_(self) -> str:
        classes = ", ".join(self.classes[:10]) + (", …" if len(self.classes) > 10 else "")
        rows = {f"{len(self.classes)} classes": classes, "parameters": f"{self.num_parameters:,}"}
        if self.network is not None:
            config = self.network.config
            directions = "two directions" if config.bidirectional else "one direction"
            cell = f"{self.network.recurrent.cell.name}, {config.hidden_size} units, {directions}"
            reads = f"{self.tokenizer.vocab_size:,} {NAMES[self.tokenizer.level]}"
            rows = {"cell": cell, "reads": reads, **rows}
        if len(self.module.linear):
            rows["n-grams"] = f"{sum(len(one.weight) for one in self.module.linear):,}"
        return Table(["classifier", ""], [*rows.items()]).html()

    @property
    def network(self) -> Classifier | None:
        """The first of the networks, None in a model of n-grams alone."""
        return self.module.networks[0] if len(self.module.networks) else None

    @property
    def kind(self) -> str:
        """What the model is, in a few words."""
        if self.network is None:
            return "n-gram classifier"
        cell = self.network.recurrent.cell.name
        count = len(self.module.networks)
        several = f" of {count} networks" if count > 1 else ""
        return f"{cell} classifier{several}{' with n-grams' if len(self.module.linear) else ''}"

    @property
    def labels(self) -> Labels:
        """Whether a text has one of the classes or any of them, and when each is answered."""
        return self.decisions[""]

    @property
    def metric(self) -> str:
        """What it was asked to be good at (``--metric``); nothing was said where it is empty."""
        return self.labels.metric

    @property
    def several(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.labels.several

    @property
    def num_parameters(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def settings(self) -> dict[str, Any]:
        """The options that the model has decided: sizes, and how it reads."""
        reads = {
            # Bytes cannot be asked for: they are a language model's, which this one started from.
            "tokens": "auto" if self.tokenizer.level == "bytes" else self.tokenizer.level,
            "max_length": self.tokenizer.max_length,
            "min_count": None,  # the vocabulary is there
            "vocab_size": self.tokenizer.vocab_size if self.tokenizer.level in SUBWORDS else None,
            "clean": None if self.cleaner is None else str(self.cleaner.steps),
        }
        if self.network is None:
            return {**reads, "model": "ngrams"}
        sizes = {name: getattr(self.network.config, name) for name in _SETTINGS}
        return {**reads, "model": "network", "cell": self.network.recurrent.cell, **sizes}

    def predict(self, texts: Iterable[str], *, threshold: float | None = None) -> list[Any]:
        """Return the label of each text, or where there may be several a list of them.

        Args:
            texts: strings in a list, an array, a column or a table of one column; those of NumPy,
                pandas, polars and Arrow too.
            threshold: from which probability on the rarer of two classes, or a label, is answered;
                None takes the model's own.

        Raises:
            InputError: as ``predict_proba``.
            ConfigError: there are more than two classes, and a threshold was given.
        """
        labels = self.labels_at(threshold)
        return labels.named(labels.decide(self.predict_proba(texts)), self.classes)

    def labels_at(self, threshold: float | None) -> Labels:
        """Return ``labels`` with a threshold for this once; None takes the model's own.

        Raises:
            ConfigError: it cannot be, or there are more than two classes.
        """
        ClassifyScoring(threshold=threshold)  # refuses what cannot be
        return self.labels.at(threshold, self.classes)

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return the probabilities (texts, C) of the classes; an empty text gets the prior.

        Raises:
            InputError: ``texts`` is one string or a table of several columns, or holds something
                that is missing or no string.
        """
        return self.judged(self.cleaned(texts_of(texts)))[0]

    def opinions(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return what each kind of model thinks by itself: logarithms of probabilities (texts, C).

        Where a text may have several labels these are the log odds of each.

        The keys are "network", where there is one, and the kinds of the linear models; in their
        order ``weights`` says how much each counts. What a network thinks of a text without a token
        is the prior.
        """
        texts = self.cleaned(texts)
        return self._opinions(texts, self._encode(texts))

    def network_opinions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return what the networks think of cleaned texts, as ``opinions`` has it."""
        return self._networks(self._encode(texts))

    def cleaned(self, texts: Sequence[str]) -> Sequence[str]:
        """Return the texts as they are read, cleaned as in training."""
        return texts if self.cleaner is None else self.cleaner.clean(texts)

    def _opinions(self, texts: Sequence[str], encoded: Encoded) -> dict[str, NDArray[np.float32]]:
        found = {}
        if self.network is not None:
            found["network"] = self._networks(encoded)
        for one in self.module.linear:
            found[one.kind] = one.opinions(texts, several=self.several)
        return found

    def _mixed(
        self, weights: Sequence[float], opinions: Iterable[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return the probabilities (texts, C) of several opinions."""
        found = mixed(weights, [self.labels.choices(one) for one in opinions])
        return self.labels.unchosen(found, len(self.classes))

    def mixtures(self, opinions: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
        """Return the probabilities (texts, C) of the whole, and of parts by themselves.

        Args:
            opinions: of all models, as ``opinions`` returns them.

        Returns:
            Those of all under "", of the others under "network" and "ngrams", where there are both.
        """
        found = {"": self._mixed(self.weights, opinions.values())}
        if self.network is not None and len(opinions) > 1:
            first, *others = opinions.values()
            found["network"] = self._mixed([1.0], [first])
            found["ngrams"] = self._mixed(shares(self.weights[1:]), others)
        return found

    def _encode(self, texts: Sequence[str]) -> Encoded:
        config = None if self.network is None else self.network.config
        return encode(self.tokenizer, texts, 0 if config is None else config.subwords)

    def _networks(self, encoded: Encoded) -> NDArray[np.float32]:
        """Return the networks' opinion, that of their mean probabilities, (rows, C)."""
        assert self.network is not None
        result = np.tile(self.prior, (len(encoded), 1))
        spelling = spelling_of(encoded, self.tokenizer, self.network.config.subwords)
        for rows, tokens in batches(encoded, device_of(self.module)):
            with torch.inference_mode():
                each = [
                    self.labels.probabilities(one(tokens, spelling)) for one in self.module.networks
                ]
                result[rows] = torch.stack(each).mean(dim=0).numpy(force=True)
        return self.labels.opinion(result)

    def judged(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Encoded]:
        """Return of cleaned texts the probabilities (texts, C), and their token ids.

        A text without a token gets the prior.
        """
        encoded = self._encode(texts)
        result = self._mixed(self.weights, self._opinions(texts, encoded).values())
        result[encoded.lengths == 0] = self.prior
        return result, encoded

    def steps(self, text: str) -> list[Step]:
        """Return the model's opinion after each token of ``text``.

        The opinion after k tokens is the answer to the text as far as the end of token k, whatever
        the pooling and the directions; the last one is the answer to the whole text.
        """
        [text] = self.cleaned(texts_of([text]))
        pieces = self.tokenizer.split(text)
        [whole] = without_surrogates([text])
        if self.tokenizer.level == "characters" or isinstance(self.tokenizer, CodedTokenizer):
            whole = normalise(whole)
        ends, end = [], 0
        for piece in pieces:
            end = whole.index(piece, end) + len(piece)
            ends.append(end)
        opinions = self.judged([whole[:end] for end in ends])[0]
        return [Step(piece, row) for piece, row in zip(pieces, opinions, strict=True)]

    def explain(self, text: str, label: str | None = None, *, top: int = 10) -> dict[str, Any]:
        """Return the n-grams of ``text`` that speak most for and against a class.

        What an n-gram contributes is its value times its weight, less the mean over the classes
        (of several labels a text nothing is taken off), times how much its linear model counts;
        summed over the linear models. The network's opinion is no part of it.

        Args:
            text: any.
            label: one of the classes; None for the most probable one, or what is answered.
            top: how many n-grams at most.

        Returns:
            The ``label`` and its ``ngrams``, the largest contributions of either sign first, each
            with its ``unit`` (words, characters), the ``ngram`` and its ``contribution``.

        Raises:
            InputError: the model is a network alone, or the label is none of its classes.
            ConfigError: ``top`` is under 1.
        """
        return explanation.explain(self, text, label, top)

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return one vector a text, (texts, width); an empty text gets zeros.

        It is what the last layer of the (first) network reads.

        Raises:
            InputError: the model has n-grams alone.
        """
        if self.network is None:
            raise InputError("a model of n-grams has no vectors; train one with a network")
        encoded = self._encode(self.cleaned(texts_of(texts)))
        spelling = spelling_of(encoded, self.tokenizer, self.network.config.subwords)
        result = np.zeros((len(encoded), self.network.output.in_features), dtype=np.float32)
        for rows, tokens in batches(encoded, device_of(self.module)):
            with torch.inference_mode():
                result[rows] = self.network.pooled(tokens, spelling).numpy(force=True)
        return result

    def answer(
        self,
        inputs: Iterable[str],
        *,
        top: int | None = None,
        steps: bool = False,
        explain: bool = False,
        threshold: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return a row of plain JSON for each text.

        A row has the ``text``, its ``label`` and the ``top`` classes with their probabilities (1 of
        them, with ``steps`` 3, first the label); with ``steps`` also the same after each token.
        With several labels it has all ``labels`` from their thresholds on and the ``probabilities``
        of every one; ``top`` are these labels, or where it is given or there is none the most
        probable ones. ``empty`` marks a text without a token, ``cleaned`` one of these that
        cleaning emptied, ``truncated`` one that is longer than the model reads. With ``explain``
        ``explained`` holds what ``explain`` returns for the label, or for each of several.

        Raises:
            ConfigError: an option cannot be.
            InputError: the answers are to be explained, and the model is a network alone.
        """
        return answers.answer(
            self, inputs, top=top, steps=steps, explain=explain, threshold=threshold
        )

    def evaluate(
        self, examples: Examples, *, threshold: float | None = None
    ) -> Classification | Labelling:
        """Score labelled texts; texts of length 0 are left out and counted.

        Of a text that cleaning emptied the answer, the prior, is judged like any other.

        Args:
            examples: as the parts of ``trained.split`` are.
            threshold: from which probability on the rarer of two classes, or a label, is answered;
                None takes the model's own.

        Raises:
            DataError: there is no text to judge on.
            InputError: these are no examples.
            ConfigError: there are more than two classes, and a threshold was given.
        """
        return self._scores(examples, {"": self.labels_at(threshold)})[""]

    def part_scores(self, examples: Examples) -> dict[str, Classification | Labelling]:
        """Score labelled texts by the network and by the n-grams alone, after a training.

        Returns:
            The scores under "network" and "ngrams", where there are both.

        Raises:
            DataError, InputError: as ``evaluate``.
        """
        names = [name for name in ("network", "ngrams") if self._has_parts]
        return self._scores(
            examples, {name: self.decisions.get(name, self.labels) for name in names}
        )

    @property
    def _has_parts(self) -> bool:
        return self.network is not None and len(self.module.linear) > 0

    def _scores(
        self, examples: Examples, wanted: Mapping[str, Labels]
    ) -> dict[str, Classification | Labelling]:
        """Score what is ``wanted``, by names as ``mixtures`` has them, each as it answers."""
        self.check_labelled(examples)
        texts = self.cleaned(examples.texts)
        encoded = self._encode(texts)
        rows = np.flatnonzero(self.has_text(examples.texts, encoded))
        if not len(rows):
            raise DataError(f"{examples.source}: there is no text to judge on")
        kept = examples.take(rows)
        refuse_unknown(kept, self.classes)
        opinions = self._opinions(texts, encoded)
        found = self.mixtures(opinions)
        # The same proportions without the temperature that the weights are, too.
        plain = {"": self._mixed(shares(self.weights), opinions.values())}
        for one in (*found.values(), *plain.values()):
            one[encoded.lengths == 0] = self.prior
        return {
            name: judge(
                labels,
                found[name][rows],
                kept.labels,
                self.classes,
                kept.texts,
                uncalibrated=plain[name][rows] if name in plain else None,
                skipped=len(examples) - len(kept),
                truncated=encoded.truncated,
            )
            for name, labels in wanted.items()
        }

    def predictions(
        self, examples: Examples, *, threshold: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield for each text its label and what the model answers, with that probability.

        A text of length 0 is not judged and so has no answer. Of several labels there are lists,
        as JSON writes them.

        Raises:
            DataError: no label is among the classes.
            InputError, ConfigError: as ``evaluate``.
        """
        return answers.predictions(self, examples, threshold)

    def check_labelled(self, examples: object) -> None:
        """Refuse what is no examples, or has one label a text where the model answers several.

        Raises:
            InputError, DataError: with what it is.
        """
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

    def has_text(self, texts: Sequence[str], encoded: Encoded) -> NDArray[np.bool_]:
        """Return which texts are judged: those with a token, and those that cleaning emptied."""
        if self.cleaner is None:
            return encoded.lengths > 0
        return np.array([bool(text) and not text.isspace() for text in texts], dtype=bool)

    def parts(self) -> tuple[ModelConfig, dict[str, bytes]]:
        """Return what a classifier is loaded from, but the weights."""
        return saved.parts(self)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model to the folder ``path``, from which ``elman.load`` reads it.

        Raises:
            BundleError: ``path`` exists and ``force`` is false, or it cannot be written.
        """
        bundle.check_destination(Path(path), force=force)
        bundle.save(Path(path), self, training={}, files={}, force=force)
