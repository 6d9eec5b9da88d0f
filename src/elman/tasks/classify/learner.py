"""A classifier in training: its parts as numbers, its loss, its validation score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import offsets_of, padding_share, shuffled_batches
from elman.data.examples import Examples
from elman.data.splits import Split
from elman.errors import DataError
from elman.nn.batches import batches, device_of, packed_rows
from elman.tasks.classify.labels import (
    Labels,
    about,
    asked_for,
    decided,
    refuse_threshold,
    shares,
)
from elman.tasks.classify.model import Classifier, ClassifierConfig
from elman.tasks.classify.objective import MEASURES, Flags, Objective
from elman.tasks.classify.options import ClassifyOptions, settle
from elman.text.tokenizer import Encoded, Tokenizer, choose_level, fit_tokenizer
from elman.training.task import Loss, Scores

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """Encoded texts of one part with their classes; empty texts are left out before.

    Attributes:
        encoded: token ids, ragged.
        truth: (rows, C) which classes are true of each row.
    """

    encoded: Encoded
    truth: Flags

    def __len__(self) -> int:
        return len(self.truth)


class ClassifierLearner:
    """What the trainer knows of a classifier.

    Attributes:
        model: the network.
        options: as asked for, settled.
        tokenizer: text to token ids.
        classes: the C labels of the training part, sorted.
        kind: whether a text has one of them or any, and what was asked for.
        prior: (C,) the share of each in the training part.
        notes: what there is to say of the data, one sentence each.
        train: what is learned from.
        valid: what is judged after each epoch.
    """

    def __init__(
        self,
        model: Classifier,
        options: ClassifyOptions,
        *,
        tokenizer: Tokenizer,
        classes: Sequence[str],
        kind: Labels,
        train: Corpus,
        valid: Corpus,
        notes: Sequence[str] = (),
    ):
        self.model = model
        self.options = options
        self.tokenizer = tokenizer
        self.classes = list(classes)
        self.kind = kind
        self.train = train
        self.valid = valid
        self.notes = tuple(notes)
        lengths = train.encoded.lengths
        assert options.batch_size is not None
        assert options.hidden_size is not None
        work = float(lengths.mean()) * options.batch_size * options.hidden_size
        self.schedule = options.schedule(unit="texts", batch_work=work)
        self._offsets = offsets_of(lengths)
        sizes = train.truth.sum(axis=0)
        self.prior = shares(train.truth)
        self.objective = asked_for(kind.metric or None, classes, sizes, several=kind.several)
        self._class_weights = class_weights(sizes) if options.balance else None
        # Of several labels each is a question of its own, which no other one's size bears on.
        lean = 0.0 if kind.several else options.logit_adjustment
        self._adjustment = logit_adjustment(sizes, lean)

    def batches(self, rng: np.random.Generator) -> Sequence[Rows]:
        """Return the rows of each batch of an epoch."""
        assert self.options.batch_size is not None
        return shuffled_batches(self.train.encoded.lengths, self.options.batch_size, rng)

    def loss(self, batch: Rows) -> Loss:
        """Return the mean cross-entropy, in nats, of some rows of the training part."""
        device = device_of(self.model)
        order, tokens = packed_rows(self.train.encoded, self._offsets, batch, device)
        weights = self._class_weights
        loss = self.kind.loss(
            self.model(tokens) + self._adjustment.to(device),
            torch.from_numpy(self.train.truth[order]).to(device),
            weights=None if weights is None else weights.to(device),
            smoothing=self.options.label_smoothing,
        )
        return Loss(loss, len(batch))

    def validate(self) -> Scores | None:
        """Return the scores of the validation part; the score is what was asked for."""
        if not len(self.valid):
            return None
        truth = self.valid.truth
        probabilities = np.zeros(truth.shape, dtype=np.float32)
        for rows, tokens in batches(self.valid.encoded, device_of(self.model)):
            probabilities[rows] = self.kind.probabilities(self.model(tokens)).numpy(force=True)
        kind = self.decided(probabilities)
        judged, objective = kind.judge(probabilities, truth), self.objective
        usual = ("macro_f1", "micro_f1") if kind.several else ("accuracy", "macro_f1")
        metrics = {"loss": float(judged.losses.mean())}
        metrics |= {} if objective is None else {str(objective): objective.of(judged)}
        metrics |= {name: MEASURES[name].of(judged) for name in usual}
        objective = objective or Objective("log_loss")
        return Scores(objective.score(judged), objective.error(judged), metrics)

    def decided(self, probabilities: NDArray[np.float32]) -> Labels:
        """Return how to answer, from ``probabilities`` (rows, C) of the validation part."""
        threshold, truth = self.options.threshold, self.valid.truth
        return decided(self.kind, threshold, probabilities, truth, self.classes)


def prepare(split: Split[Examples], options: ClassifyOptions) -> ClassifierLearner:
    """Make the vocabulary from the training part, encode what training needs, make the model.

    Raises:
        DataError: nothing is left to train on.
    """
    train, valid = split.train, split.valid
    kind = about(train, options.metric)
    classes = kind.classes(train.labels)
    refuse_threshold(options.threshold, kind, classes)
    level = choose_level(train.texts) if options.tokens == "auto" else options.tokens
    settled = settle(options, level=level, count=len(train))
    tokenizer = fit_tokenizer(
        train.texts, level=level, min_count=settled.min_count, max_length=settled.max_length
    )
    encoded, encoded_valid = tokenizer.encode(train.texts), tokenizer.encode(valid.texts)
    corpus = make_corpus(encoded, train.labels, classes, kind)
    if not len(corpus):
        raise DataError(f"{train.source}: no training text holds a single token; nothing to learn")
    return ClassifierLearner(
        make_model(settled, vocab_size=tokenizer.vocab_size, num_classes=len(classes)),
        settled,
        tokenizer=tokenizer,
        classes=classes,
        kind=kind,
        train=corpus,
        valid=make_corpus(encoded_valid, valid.labels, classes, kind),
        notes=_notes(
            split, settled, tokenizer, corpus, encoded.truncated + encoded_valid.truncated
        ),
    )


def _notes(
    split: Split[Examples],
    settled: ClassifyOptions,
    tokenizer: Tokenizer,
    corpus: Corpus,
    truncated: int,
) -> list[str]:
    notes = [*split.train.notes, *split.notes]
    useful = padding_share(
        corpus.encoded.lengths, settled.batch_size or 1, np.random.default_rng(0)
    )
    notes.append(
        f"ragged batches: 100 % useful work, no padding (padded batches would do {useful:.0%})"
    )
    if not len(split.valid):
        chosen = ", and no threshold is chosen" if settled.metric or split.train.several else ""
        notes.append(
            f"no validation part: every epoch is run and the last weights are kept{chosen}"
        )
    if truncated:
        count = len(split.train) + len(split.valid)
        notes.append(
            f"longer than {tokenizer.max_length} {tokenizer.level} and truncated (--max-length): "
            f"{truncated:,} of {count:,} texts to train and validate on"
        )
    return notes


def make_model(options: ClassifyOptions, *, vocab_size: int, num_classes: int) -> Classifier:
    """Return a fresh model; the seed decides its first weights."""
    assert options.embedding_size is not None
    assert options.hidden_size is not None
    assert options.pooling is not None
    assert options.pairs is not None
    assert options.dropout is not None
    assert options.token_dropout is not None
    config = ClassifierConfig(
        vocab_size=vocab_size,
        num_classes=num_classes,
        embedding_size=options.embedding_size,
        hidden_size=options.hidden_size,
        num_layers=options.num_layers,
        bidirectional=options.bidirectional,
        pairs=min(options.pairs, vocab_size**2),
        pooling=options.pooling,
        dropout=options.dropout,
        token_dropout=options.token_dropout,
    )
    torch.manual_seed(options.seed)
    return Classifier(config, options.cells()["cell"], backend=options.backend)


def make_corpus(
    encoded: Encoded, labels: Sequence[Any], classes: Sequence[str], kind: Labels
) -> Corpus:
    """Keep the rows that hold a token, and of one label each a known one."""
    truth = kind.truth(labels, classes)
    keep = (encoded.lengths > 0) & (truth.any(axis=1) | kind.several)
    if not keep.all():
        values = encoded.values[np.repeat(keep, encoded.lengths)]
        encoded = Encoded(values, encoded.lengths[keep])
    return Corpus(encoded, truth[keep])


def class_weights(sizes: Rows) -> Tensor:
    """Return weights (C,) inverse to the class sizes (scikit-learn's "balanced")."""
    weights = sizes.sum() / (len(sizes) * np.maximum(sizes, 1))
    return torch.tensor(weights, dtype=torch.float32)


def logit_adjustment(sizes: Rows, share: float) -> Tensor:
    """Return what training adds to the logits (C,): a share of the logarithm of each class's size.

    The network then need not learn that share itself, and without the addition, as it is used
    afterwards, answers small classes more often (Menon et al. 2021, equation 10).
    """
    shares = np.maximum(sizes, 1) / max(sizes.sum(), 1)
    return torch.tensor(share * np.log(shares), dtype=torch.float32)
