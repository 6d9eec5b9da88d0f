"""A classifier in training: its parts as numbers, its loss, its validation score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from elman.data.batching import offsets_of, padding_share, shuffled_batches
from elman.data.examples import Examples
from elman.data.splits import Split
from elman.errors import DataError
from elman.nn.batches import batches, device_of, packed_rows
from elman.tasks.classify.encoding import encode, spelling_of
from elman.tasks.classify.metrics import quick_scores
from elman.tasks.classify.mixture import cooled
from elman.tasks.classify.model import Classifier, ClassifierConfig
from elman.tasks.classify.options import ClassifyOptions, settle
from elman.text.subwords import Spelling
from elman.text.tokenizer import Encoded, Tokenizer, choose_level, fit_tokenizer
from elman.training.options import Schedule
from elman.training.task import Loss, Scores

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """Encoded texts of one part with their classes; empty texts are left out before.

    Attributes:
        encoded: token ids, ragged.
        targets: (rows,) the class of each row.
        spelling: the n-grams of its words, where the network reads them.
    """

    encoded: Encoded
    targets: Rows
    spelling: Spelling | None


@dataclass(frozen=True)
class Prepared:
    """What there is before any training.

    Attributes:
        options: as asked for, settled.
        tokenizer: text to token ids.
        classes: the C labels of the training part, sorted.
        split: the texts themselves.
        train: what is learned from.
        valid: what is judged after each epoch.
        notes: what there is to say of the data, one sentence each.
    """

    options: ClassifyOptions
    tokenizer: Tokenizer
    classes: list[str]
    split: Split[Examples]
    train: Corpus
    valid: Corpus
    notes: tuple[str, ...]

    @property
    def sizes(self) -> Rows:
        """How many training texts each class has, (C,)."""
        return np.bincount(self.train.targets, minlength=len(self.classes))

    @property
    def prior(self) -> NDArray[np.float32]:
        """The share of each class in the training part, (C,)."""
        return (self.sizes / self.sizes.sum()).astype(np.float32)


class NGramLearner:
    """A model of n-grams alone: there is nothing to train by the epoch.

    Attributes:
        prepared: the data; the linear models are fitted to its texts afterwards.
        model: empty.
    """

    def __init__(self, prepared: Prepared):
        self.prepared = prepared
        self.model = nn.Module()
        self.options = prepared.options
        self.notes = prepared.notes
        self.schedule = Schedule(
            seed=self.options.seed,
            epochs=0,
            patience=1,
            learning_rate=1.0,
            weight_decay=0.0,
            unit="texts",
        )

    def batches(self, rng: np.random.Generator) -> Sequence[Rows]:
        """Return no batch."""
        return []

    def loss(self, batch: Rows) -> Loss:
        """Never called: there is no batch."""
        raise AssertionError("a model of n-grams has no batches")

    def validate(self) -> Scores | None:
        """Return nothing: there are no epochs to choose from."""
        return None


class ClassifierLearner:
    """What the trainer knows of a classifier.

    Attributes:
        prepared: the data.
        model: the network.
    """

    def __init__(self, model: Classifier, prepared: Prepared):
        self.model = model
        self.prepared = prepared
        self.options = options = prepared.options
        self.notes = prepared.notes
        self.train, self.valid = prepared.train, prepared.valid
        lengths = self.train.encoded.lengths
        assert options.batch_size is not None
        assert options.hidden_size is not None
        work = float(lengths.mean()) * options.batch_size * options.hidden_size
        self.schedule = options.schedule(unit="texts", batch_work=work)
        self._offsets = offsets_of(lengths)
        sizes = prepared.sizes
        self._class_weights = class_weights(sizes) if options.balance else None
        self._adjustment = logit_adjustment(sizes, options.logit_adjustment)

    def batches(self, rng: np.random.Generator) -> Sequence[Rows]:
        """Return the rows of each batch of an epoch."""
        assert self.options.batch_size is not None
        return shuffled_batches(self.train.encoded.lengths, self.options.batch_size, rng)

    def loss(self, batch: Rows) -> Loss:
        """Return the mean cross-entropy, in nats, of some rows of the training part.

        With ``r_drop`` each row is read twice, with different dropout, and how far the two answers
        are apart is added (Liang et al. 2021, "R-Drop", equation 4, both terms halved).
        """
        device, share = device_of(self.model), self.options.r_drop
        assert self.options.label_smoothing is not None
        read = np.concatenate([batch, batch]) if share else batch
        order, tokens = packed_rows(self.train.encoded, self._offsets, read, device)
        weights = self._class_weights
        logits = self.model(tokens, self.train.spelling) + self._adjustment.to(device)
        loss = functional.cross_entropy(
            logits,
            torch.from_numpy(self.train.targets[order]).to(device),
            None if weights is None else weights.to(device),
            label_smoothing=self.options.label_smoothing,
        )
        if share:
            loss = loss + share * _disagreement(logits, order)
        return Loss(loss, len(batch))

    def validate(self) -> Scores | None:
        """Return the scores of the validation part.

        The score is the log loss, with its sign turned, after the best temperature: a proper score
        that is not lost where a network is only too sure of itself, which is mended afterwards.
        """
        truth, classes = self.valid.targets, len(self.prepared.classes)
        if not len(truth):
            return None
        logits = np.zeros((len(truth), classes), dtype=np.float32)
        for rows, tokens in batches(self.valid.encoded, device_of(self.model)):
            logits[rows] = self.model(tokens, self.valid.spelling).numpy(force=True)
        accuracy, macro_f1 = quick_scores(logits.argmax(axis=1), truth, classes)
        losses = -cooled(logits, truth)[np.arange(len(truth)), truth]
        return Scores(
            score=-float(losses.mean()),
            error=float(losses.std()) / math.sqrt(len(truth)),
            metrics={"loss": float(losses.mean()), "accuracy": accuracy, "macro_f1": macro_f1},
        )


def _disagreement(logits: Tensor, order: Rows) -> Tensor:
    """Return the mean symmetric divergence, in nats, of the two answers to each row."""
    pairs = torch.from_numpy(np.argsort(order, kind="stable")).to(logits.device)
    one, other = logits.log_softmax(dim=1)[pairs].view(-1, 2, logits.shape[1]).unbind(1)
    return ((one.exp() - other.exp()) * (one - other)).sum(dim=1).mean() / 2


def prepare(split: Split[Examples], options: ClassifyOptions) -> ClassifierLearner | NGramLearner:
    """Make the vocabulary from the training part, encode what training needs, make the model.

    Raises:
        DataError: nothing is left to train on.
        ConfigError: an option does not suit the kind of the texts.
    """
    train, valid = split.train, split.valid
    classes = sorted(set(train.labels))
    level = choose_level(train.texts) if options.tokens == "auto" else options.tokens
    settled = settle(options, level=level, count=len(train))
    tokenizer = fit_tokenizer(
        train.texts, level=level, min_count=settled.min_count, max_length=settled.max_length
    )
    vectors = settled.subwords or 0
    encoded = encode(tokenizer, train.texts, vectors)
    encoded_valid = encode(tokenizer, valid.texts, vectors)
    corpus = make_corpus(encoded, train.labels, classes, tokenizer, vectors)
    if not len(corpus.targets):
        raise DataError(f"{train.source}: no training text holds a single token; nothing to learn")
    truncated = encoded.truncated + encoded_valid.truncated
    prepared = Prepared(
        options=settled,
        tokenizer=tokenizer,
        classes=classes,
        split=split,
        train=corpus,
        valid=make_corpus(encoded_valid, valid.labels, classes, tokenizer, vectors),
        notes=tuple(_notes(split, settled, tokenizer, corpus, truncated)),
    )
    if settled.model == "ngrams":
        return NGramLearner(prepared)
    model = make_model(settled, vocab_size=tokenizer.vocab_size, num_classes=len(classes))
    return ClassifierLearner(model, prepared)


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
    if settled.model == "network":
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
    assert options.subwords is not None
    assert options.embedding_dropout is not None
    assert options.token_dropout is not None
    config = ClassifierConfig(
        vocab_size=vocab_size,
        num_classes=num_classes,
        embedding_size=options.embedding_size,
        hidden_size=options.hidden_size,
        num_layers=options.num_layers,
        bidirectional=options.bidirectional,
        pairs=min(options.pairs, vocab_size**2),
        subwords=options.subwords,
        pooling=options.pooling,
        dropout=options.dropout,
        embedding_dropout=options.embedding_dropout,
        token_dropout=options.token_dropout,
    )
    torch.manual_seed(options.seed)
    return Classifier(config, options.cells()["cell"], backend=options.backend)


def make_corpus(
    encoded: Encoded,
    labels: Sequence[str],
    classes: Sequence[str],
    tokenizer: Tokenizer,
    vectors: int,
) -> Corpus:
    """Keep the rows that hold a token and a known label."""
    index = {label: i for i, label in enumerate(classes)}
    targets = np.asarray([index.get(label, -1) for label in labels], dtype=np.int64)
    keep = (encoded.lengths > 0) & (targets >= 0)
    if not keep.all():
        values = encoded.values[np.repeat(keep, encoded.lengths)]
        encoded = Encoded(values, encoded.lengths[keep], unknown=encoded.unknown)
    return Corpus(encoded, targets[keep], spelling_of(encoded, tokenizer, vectors))


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
