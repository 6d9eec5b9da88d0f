"""A classifier in training: its parts as numbers, its loss, its validation score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from elman.data.batching import offsets_of, padding_share, shuffled_batches
from elman.data.examples import Examples
from elman.data.splits import Split
from elman.errors import DataError
from elman.nn.batches import batches, device_of, packed_rows
from elman.tasks.classify.cleaning import cleaned, fit_cleaner
from elman.tasks.classify.metrics import quick_scores, true_class_score
from elman.tasks.classify.model import Classifier, ClassifierConfig
from elman.tasks.classify.options import ClassifyOptions, settle
from elman.text.cleaning import Cleaner
from elman.text.tokenizer import Encoded, Tokenizer, choose_level, fit_tokenizer
from elman.training.task import Loss, Scores

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """Encoded texts of one part with their classes; empty texts are left out before.

    Attributes:
        encoded: token ids, ragged.
        targets: (rows,) the class of each row.
    """

    encoded: Encoded
    targets: Rows


class ClassifierLearner:
    """What the trainer knows of a classifier.

    Attributes:
        model: the network.
        options: as asked for, settled.
        tokenizer: cleaned text to token ids.
        cleaner: what cleans the texts; None for nothing.
        classes: the C labels of the training part, sorted.
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
        cleaner: Cleaner | None = None,
        classes: Sequence[str],
        train: Corpus,
        valid: Corpus,
        notes: Sequence[str] = (),
    ):
        self.model = model
        self.options = options
        self.tokenizer = tokenizer
        self.cleaner = cleaner
        self.classes = list(classes)
        self.train = train
        self.valid = valid
        self.notes = tuple(notes)
        lengths = train.encoded.lengths
        assert options.batch_size is not None
        assert options.hidden_size is not None
        work = float(lengths.mean()) * options.batch_size * options.hidden_size
        self.schedule = options.schedule(unit="texts", batch_work=work)
        self._offsets = offsets_of(lengths)
        sizes = np.bincount(train.targets, minlength=len(classes))
        self.prior = (sizes / sizes.sum()).astype(np.float32)
        self._class_weights = class_weights(sizes) if options.balance else None
        self._adjustment = logit_adjustment(sizes, options.logit_adjustment)

    def batches(self, rng: np.random.Generator) -> Sequence[Rows]:
        """Return the rows of each batch of an epoch."""
        assert self.options.batch_size is not None
        return shuffled_batches(self.train.encoded.lengths, self.options.batch_size, rng)

    def loss(self, batch: Rows) -> Loss:
        """Return the mean cross-entropy, in nats, of some rows of the training part."""
        device = device_of(self.model)
        order, tokens = packed_rows(self.train.encoded, self._offsets, batch, device)
        weights = self._class_weights
        loss = functional.cross_entropy(
            self.model(tokens) + self._adjustment.to(device),
            torch.from_numpy(self.train.targets[order]).to(device),
            None if weights is None else weights.to(device),
            label_smoothing=self.options.label_smoothing,
        )
        return Loss(loss, len(batch))

    def validate(self) -> Scores | None:
        """Return the scores of the validation part; the score is ``true_class_score``."""
        truth, classes = self.valid.targets, len(self.classes)
        if not len(truth):
            return None
        predicted = np.zeros(len(truth), dtype=np.int64)
        probability = np.zeros(len(truth), dtype=np.float32)  # of the true class
        for rows, tokens in batches(self.valid.encoded, device_of(self.model)):
            probabilities = self.model(tokens).softmax(dim=1).numpy(force=True)
            predicted[rows] = probabilities.argmax(axis=1)
            probability[rows] = probabilities[np.arange(len(rows)), truth[rows]]
        accuracy, macro_f1 = quick_scores(predicted, truth, classes)
        return Scores(
            score=true_class_score(probability, truth, classes),
            error=float(probability.std()) / math.sqrt(len(truth)),
            metrics={
                "loss": float(-np.log(np.maximum(probability, 1e-12)).mean()),
                "accuracy": accuracy,
                "macro_f1": macro_f1,
            },
        )


def prepare(split: Split[Examples], options: ClassifyOptions) -> ClassifierLearner:
    """Make the vocabulary from the training part, encode what training needs, make the model.

    Raises:
        DataError: nothing is left to train on.
    """
    cleaner = fit_cleaner(split.train.texts, options)
    split = cleaned(split, cleaner)
    train, valid = split.train, split.valid
    classes = sorted(set(train.labels))
    level = choose_level(train.texts) if options.tokens == "auto" else options.tokens
    settled = settle(options, level=level, count=len(train))
    tokenizer = fit_tokenizer(
        train.texts, level=level, min_count=settled.min_count, max_length=settled.max_length
    )
    encoded, encoded_valid = tokenizer.encode(train.texts), tokenizer.encode(valid.texts)
    corpus = make_corpus(encoded, train.labels, classes)
    if not len(corpus.targets):
        raise DataError(f"{train.source}: no training text holds a single token; nothing to learn")
    return ClassifierLearner(
        make_model(settled, vocab_size=tokenizer.vocab_size, num_classes=len(classes)),
        settled,
        tokenizer=tokenizer,
        cleaner=cleaner,
        classes=classes,
        train=corpus,
        valid=make_corpus(encoded_valid, valid.labels, classes),
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
        notes.append("no validation part: every epoch is run and the last weights are kept")
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


def make_corpus(encoded: Encoded, labels: Sequence[str], classes: Sequence[str]) -> Corpus:
    """Keep the rows that hold a token and a known label."""
    index = {label: i for i, label in enumerate(classes)}
    targets = np.asarray([index.get(label, -1) for label in labels], dtype=np.int64)
    keep = (encoded.lengths > 0) & (targets >= 0)
    if not keep.all():
        values = encoded.values[np.repeat(keep, encoded.lengths)]
        encoded = Encoded(values, encoded.lengths[keep])
    return Corpus(encoded, targets[keep])


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
