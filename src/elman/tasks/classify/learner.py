"""A classifier in training: its parts as numbers, its loss, its validation score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.batching import padding_share, shuffled_batches
from elman.data.examples import Examples
from elman.data.splits import Split
from elman.errors import DataError
from elman.nn.batches import batches, device_of, packed_rows
from elman.nn.embedding import Standing
from elman.tasks.classify import continuing, pretrained, transfer
from elman.tasks.classify.cleaning import cleaned, fit_cleaner
from elman.tasks.classify.encoding import encode, spelling_of
from elman.tasks.classify.labels import (
    Labels,
    about,
    asked_for,
    decided,
    refuse_threshold,
    shares,
)
from elman.tasks.classify.mixture import cooled
from elman.tasks.classify.model import Classifier, ClassifierConfig
from elman.tasks.classify.objective import MEASURES, Flags, Objective
from elman.tasks.classify.options import ClassifyOptions, settle
from elman.tasks.classify.predictor import TextClassifierModel
from elman.text.cleaning import Cleaner
from elman.text.lengths import offsets_of
from elman.text.subwords import Spelling
from elman.text.tokenizer import (
    NAMES,
    Encoded,
    Level,
    Tokenizer,
    WordTokenizer,
    choose_level,
    fit_tokenizer,
)
from elman.training.options import Schedule
from elman.training.task import Loss, Scores, Watch
from elman.training.transfer import Layers, agreed, read_language_model

Rows = NDArray[np.int64]

FEW_TEXTS = 500


@dataclass(frozen=True)
class Corpus:
    """Encoded texts of one part with their classes; empty texts are left out before.

    Attributes:
        encoded: token ids, ragged.
        truth: (rows, C) which classes are true of each row.
        spelling: the n-grams of its words, where the network reads them.
    """

    encoded: Encoded
    truth: Flags
    spelling: Spelling | None = None

    def __len__(self) -> int:
        return len(self.truth)


@dataclass(frozen=True)
class Prepared:
    """What there is before any training.

    Attributes:
        asked: the options as asked for.
        options: the same, settled.
        cleaner: what cleans the texts; None for nothing.
        tokenizer: text, cleaned, to token ids.
        classes: the C labels of the training part, sorted.
        labels: whether a text has one of them or any, and what was asked for.
        split: the texts themselves, cleaned.
        train: what is learned from.
        valid: what is judged after each epoch.
        notes: what there is to say of the data, one sentence each.
    """

    asked: ClassifyOptions
    options: ClassifyOptions
    cleaner: Cleaner | None
    tokenizer: Tokenizer
    classes: list[str]
    labels: Labels
    split: Split[Examples]
    train: Corpus
    valid: Corpus
    notes: tuple[str, ...]

    @property
    def sizes(self) -> Rows:
        """How many training texts each class has, (C,)."""
        return self.train.truth.sum(axis=0)

    @property
    def prior(self) -> NDArray[np.float32]:
        """The share of each class in the training part, (C,)."""
        return shares(self.train.truth)

    @property
    def objective(self) -> Objective | None:
        """What was asked for; None where nothing was said."""
        asked, several = self.labels.metric or None, self.labels.several
        return asked_for(asked, self.classes, self.sizes.tolist(), several=several)

    def decided(self, probabilities: NDArray[np.float32], truth: Flags) -> Labels:
        """Return how to answer, from ``probabilities`` (rows, C) of validation texts."""
        threshold = self.options.threshold
        return decided(self.labels, threshold, probabilities, truth, self.classes)


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

    def batches(self, rng: np.random.Generator, epoch: int) -> Sequence[Rows]:
        """Return no batch."""
        return []

    def loss(self, batch: Rows) -> Loss:
        """Never called: there is no batch."""
        raise AssertionError("a model of n-grams has no batches")

    def validate(self) -> Scores | None:
        """Return nothing: there are no epochs to choose from."""
        return None

    def sample(self, update: int) -> None:
        """A classifier writes nothing."""


class ClassifierLearner:
    """What the trainer knows of a classifier.

    Attributes:
        prepared: the data.
        model: the network.

    Args:
        standing: rows of its embedding that stand still in the first epochs.
        standing_epochs: in how many.
        layers: those of a network that starts from a language model.
    """

    def __init__(
        self,
        model: Classifier,
        prepared: Prepared,
        *,
        standing: Standing | None = None,
        standing_epochs: int = 0,
        layers: Layers | None = None,
    ):
        self.model = model
        self.prepared = prepared
        self._standing, self._standing_epochs = standing, standing_epochs
        self._layers = layers
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
        # Of several labels each is a question of its own, which no other one's size bears on.
        lean = 0.0 if prepared.labels.several else options.logit_adjustment
        self._adjustment = logit_adjustment(sizes, lean)
        self._objective = prepared.objective

    def batches(self, rng: np.random.Generator, epoch: int) -> Sequence[Rows]:
        """Return the rows of each batch of an epoch."""
        if self._standing is not None:
            self._standing.held = epoch <= self._standing_epochs
        if self._layers is not None:
            self._layers.begin(epoch)
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
        labels = self.prepared.labels
        loss = labels.loss(
            logits,
            torch.from_numpy(self.train.truth[order]).to(device),
            weights=None if weights is None else weights.to(device),
            smoothing=self.options.label_smoothing,
        )
        if share:
            loss = loss + share * labels.disagreement(*_twice(logits, order))
        return Loss(loss, len(batch))

    def sample(self, update: int) -> None:
        """A classifier writes nothing."""

    def validate(self) -> Scores | None:
        """Return the scores of the validation part.

        The score is what was asked for, with the best threshold where one will be chosen. Else it
        is the log loss, with its sign turned, after the best temperature: a proper score that is
        not lost where a network is only too sure of itself, which is mended afterwards.
        """
        if not len(self.valid):
            return None
        labels, truth = self.prepared.labels, self.valid.truth
        logits = np.zeros(truth.shape, dtype=np.float32)
        for rows, tokens in batches(self.valid.encoded, device_of(self.model)):
            logits[rows] = self.model(tokens, self.valid.spelling).numpy(force=True)
        cool = cooled(labels.choices(logits), labels.chosen_rows(truth))
        probabilities = labels.unchosen(np.exp(cool), truth.shape[1])
        decision = self.prepared.decided(probabilities, truth)
        judged = decision.judge(probabilities, truth)
        usual = ("macro_f1", "micro_f1") if labels.several else ("accuracy", "macro_f1")
        metrics = {"loss": float(judged.losses.mean())}
        objective = self._objective or Objective("log_loss")
        value = objective.of(judged)
        if self._objective is not None:
            if self.options.threshold in (None, "auto"):
                value = decision.reached(probabilities, truth, objective)
            metrics[str(objective)] = value
        metrics |= {n: MEASURES[n].of(judged) for n in usual if n not in metrics}
        score = value if objective.higher_is_better else -value
        return Scores(score, objective.error(judged), metrics)


def _twice(logits: Tensor, order: Rows) -> tuple[Tensor, Tensor]:
    """Return the first and the second answer (B, C) to each row that was read twice."""
    pairs = torch.from_numpy(np.argsort(order, kind="stable")).to(logits.device)
    one, other = logits[pairs].view(-1, 2, logits.shape[1]).unbind(1)
    return one, other


def prepare(
    split: Split[Examples],
    options: ClassifyOptions,
    *,
    init: TextClassifierModel | None = None,
    watch: Watch | None = None,
    fresh: bool = False,
) -> ClassifierLearner | NGramLearner:
    """Make the vocabulary from the training part, encode what training needs, make the model.

    With ``init`` the cleaning, the vocabulary and the first weights are that model's; with the
    option ``from_`` vocabulary, sizes and first weights are those of a language model. Where the
    network is to be ``fresh`` that leaves the language model's weights out.

    Raises:
        DataError: nothing is left to train on.
        BundleError: there is no language model where one is named.
        ConfigError: an option does not suit the kind of the texts, or the language model.
    """
    if init is not None:
        continuing.check(init)
        pretrained.check_alone(options)
    asked = options
    base = None if options.from_ is None else read_language_model(options.from_)
    if base is not None:
        options = agreed(options, transfer.decided(base))
    cleaner = fit_cleaner(split.train.texts, options) if init is None else init.cleaner
    level: Level
    if base is not None:
        level = base.coder.level
    elif options.tokens == "auto":  # what the texts are, not what cleaning leaves of them
        level = choose_level(split.train.texts)
    else:
        level = options.tokens
    split = cleaned(split, cleaner)
    train, valid = split.train, split.valid
    labels = about(train, options.metric)
    classes = labels.classes(train.labels)
    refuse_threshold(options.threshold, labels, classes)
    settled = settle(options, level=level, count=len(train), fresh=fresh)
    start = pretrained.find(
        split,
        options,
        level=level,
        size=settled.embedding_size or 1,
        clean=None if cleaner is None else cleaner.clean,
        watch=watch,
    )
    if start is not None:
        settled = msgspec.structs.replace(settled, embedding_size=start.vectors.size)
    if init is not None:
        tokenizer = init.tokenizer
    elif base is not None:
        tokenizer = transfer.tokenizer_of(base, settled.max_length)
    else:
        tokenizer = fit_tokenizer(
            train.texts,
            level=level,
            min_count=settled.min_count,
            max_length=settled.max_length,
            known=() if start is None else start.vectors.words,
            vocab_size=settled.vocab_size,
        )
    vectors = settled.subwords or 0
    encoded = encode(tokenizer, train.texts, vectors)
    encoded_valid = encode(tokenizer, valid.texts, vectors)
    corpus = make_corpus(encoded, labels.truth(train.labels, classes), tokenizer, vectors, labels)
    if not len(corpus):
        raise DataError(f"{train.source}: no training text holds a single token; nothing to learn")
    truncated = encoded.truncated + encoded_valid.truncated
    prepared = Prepared(
        asked=asked,
        options=settled,
        cleaner=cleaner,
        tokenizer=tokenizer,
        classes=classes,
        labels=labels,
        split=split,
        train=corpus,
        valid=make_corpus(
            encoded_valid, labels.truth(valid.labels, classes), tokenizer, vectors, labels
        ),
        notes=(
            *_notes(split, settled, tokenizer, corpus, truncated),
            *(() if start is None else start.notes),
            *(() if base is None else (f"starts from the language model {base}",)),
            *([] if init is None else continuing.notes_on_classes(classes, init)),
        ),
    )
    if settled.model == "ngrams":
        return NGramLearner(prepared)
    earlier = base.network if base is not None else None if init is None else init.network
    model = make_model(
        settled,
        vocab_size=tokenizer.vocab_size,
        num_classes=len(classes),
        learn_state=earlier is not None and earlier.config.learn_state,
    )
    if init is not None:
        continuing.take_weights(model, classes, init)
    if base is not None and not fresh:
        return ClassifierLearner(model, prepared, layers=transfer.start(model, base))
    if start is None:
        return ClassifierLearner(model, prepared)
    assert isinstance(tokenizer, WordTokenizer)
    return ClassifierLearner(
        model,
        prepared,
        standing=start.put(model.embedding, tokenizer.entries),
        standing_epochs=start.frozen_epochs(settled.epochs or 1),
    )


def _is_cyrillic(texts: Sequence[str]) -> bool:
    """Whether most letters are Cyrillic, judged on some texts of a set that is not tiny."""
    sample = "".join(texts[:: max(1, len(texts) // FEW_TEXTS)])
    letters = sum(map(str.isalpha, sample))
    return (
        len(texts) >= FEW_TEXTS and 2 * sum("а" <= sign.lower() <= "ё" for sign in sample) > letters
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
    if settled.model == "network":
        notes.append(
            f"ragged batches: 100 % useful work, no padding (padded batches would do {useful:.0%})"
        )
        if not len(split.valid):
            chosen = ", and no threshold is chosen" if settled.metric or split.train.several else ""
            notes.append(
                f"no validation part: every epoch is run and the last weights are kept{chosen}"
            )
    has_ngrams = settled.model == "ngrams" or settled.linear == "on"
    words_as_written = tokenizer.level == "words" and settled.clean is None
    if has_ngrams and words_as_written and _is_cyrillic(split.train.texts):
        notes.append(
            "mostly Cyrillic: --clean lemmas, which takes the basic form of Russian words, helped "
            "the n-grams on Russian tweets (docs/cleaning.md)"
        )
    if truncated:
        count = len(split.train) + len(split.valid)
        notes.append(
            f"longer than {tokenizer.max_length} {NAMES[tokenizer.level]} and truncated "
            f"(--max-length): "
            f"{truncated:,} of {count:,} texts to train and validate on"
        )
    return notes


def make_model(
    options: ClassifyOptions, *, vocab_size: int, num_classes: int, learn_state: bool = False
) -> Classifier:
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
        learn_state=learn_state,
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
    encoded: Encoded, truth: Flags, tokenizer: Tokenizer, vectors: int, labels: Labels
) -> Corpus:
    """Keep the rows that hold a token, and of one label each a known one."""
    keep = (encoded.lengths > 0) & (truth.any(axis=1) | labels.several)
    if not keep.all():
        values = encoded.values[np.repeat(keep, encoded.lengths)]
        encoded = Encoded(values, encoded.lengths[keep], unknown=encoded.unknown)
    return Corpus(encoded, truth[keep], spelling_of(encoded, tokenizer, vectors))


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
