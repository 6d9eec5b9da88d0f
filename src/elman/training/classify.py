"""From three parts of labelled texts to a judged model: what `elman train` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from elman import cells
from elman.data.batching import padding_share
from elman.data.examples import Examples
from elman.data.splits import Split
from elman.errors import DataError, TrainingError
from elman.models import bundle
from elman.models.classifier import Classifier
from elman.models.config import ClassifierConfig
from elman.models.predictor import TextClassifierModel
from elman.text.tokenizer import Encoded, Tokenizer, choose_level, fit_tokenizer
from elman.training import baselines
from elman.training.baselines import Baseline
from elman.training.checkpoint import Checkpoint
from elman.training.config import TrainConfig, settle
from elman.training.history import Epoch, to_lines
from elman.training.metrics import Evaluation, evaluate
from elman.training.trainer import Corpus, Progress, Trainer


@dataclass(frozen=True)
class Prepared:
    """Texts turned into numbers, and everything that followed from them.

    Attributes:
        config: the options, settled.
        classes: the C labels of the training part, sorted.
        prior: (C,) the share of each in the training part.
        notes: what there is to say, one sentence each.
    """

    split: Split
    config: TrainConfig
    tokenizer: Tokenizer
    classes: list[str]
    prior: NDArray[np.float32]
    train: Corpus
    valid: Corpus
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Fitted:
    """A trained model and how it came about.

    Attributes:
        seconds: of training alone.
        stopped: ``""``, or why training was cut short, one sentence.
        failed: whether it was cut short by a loss that was not finite; if that was before the end
            of the first epoch, the history is empty and the weights are the first ones.
    """

    model: TextClassifierModel
    history: list[Epoch]
    seconds: float
    stopped: str = ""
    failed: bool = False


class Report(msgspec.Struct, frozen=True):
    """What metrics.json holds."""

    data: str
    test: Evaluation
    baselines: list[Baseline]
    sizes: dict[str, dict[str, int]]
    """Texts of each class in each part of the split."""
    parameters: int
    seconds: float
    """Of training alone."""
    epochs: int
    best_epoch: int
    stopped: str
    notes: list[str]


def prepare(split: Split, config: TrainConfig) -> Prepared:
    """Make the vocabulary from the training part and encode what training needs.

    Raises:
        DataError: nothing is left to train on.
    """
    train = split.train
    classes = sorted(set(train.labels))
    level = choose_level(train.texts) if config.tokens == "auto" else config.tokens
    settled = settle(config, level=level, count=len(train), num_classes=len(classes))
    settled = msgspec.structs.replace(settled, tokens=level)
    tokenizer = fit_tokenizer(
        train.texts, level=level, min_count=settled.min_count, max_length=settled.max_length
    )
    encoded = tokenizer.encode(train.texts)
    notes = [*train.notes, *split.notes]
    index = {label: i for i, label in enumerate(classes)}
    corpus = make_corpus(encoded, train.labels, index)
    if not len(corpus.targets):
        raise DataError(f"{train.source}: no training text holds a single token; nothing to learn")
    sizes = np.bincount(corpus.targets, minlength=len(classes))
    useful = padding_share(
        corpus.encoded.lengths, settled.batch_size or 1, np.random.default_rng(0)
    )
    notes.append(
        f"ragged batches: 100 % useful work, no padding (padded batches would do {useful:.0%})"
    )
    if not len(split.valid):
        notes.append("no validation part: every epoch is run and the last weights are kept")
    encoded_valid = tokenizer.encode(split.valid.texts)
    cut = encoded.cut + encoded_valid.cut + tokenizer.encode(split.test.texts).cut
    if cut:
        count = len(train) + len(split.valid) + len(split.test)
        notes.append(
            f"longer than {tokenizer.max_length} {level} and cut there (--max-length): "
            f"{cut:,} of {count:,} texts"
        )
    valid = make_corpus(encoded_valid, split.valid.labels, index)
    prior = (sizes / sizes.sum()).astype(np.float32)
    return Prepared(split, settled, tokenizer, classes, prior, corpus, valid, tuple(notes))


def make_corpus(encoded: Encoded, labels: Sequence[str], index: dict[str, int]) -> Corpus:
    """Keep the rows that hold a token and a known label."""
    targets = np.asarray([index.get(label, -1) for label in labels], dtype=np.int64)
    keep = (encoded.lengths > 0) & (targets >= 0)
    if not keep.all():
        values = encoded.values[np.repeat(keep, encoded.lengths)]
        encoded = Encoded(values, encoded.lengths[keep], encoded.cut)
    return Corpus(encoded, targets[keep])


def fit(
    prepared: Prepared,
    *,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    on_batch: Callable[[Progress], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fitted:
    """Train a classifier; a Ctrl-C ends the training, not the program.

    Args:
        prepared: what ``prepare`` returned.
        checkpoint: where to keep the state after each epoch; None keeps none.
        resume: go on from ``checkpoint``.
        on_batch: called after each update.
        on_epoch: called after each epoch.

    Returns:
        The model with its best weights. After a loss that was not finite these are the last good
        ones, and ``failed`` is true.

    Raises:
        KeyboardInterrupt: stopped before the first epoch was whole, so there is nothing to keep.
    """
    trainer = make_trainer(prepared)
    if resume and checkpoint is not None:
        checkpoint.restore(trainer)

    def after_epoch(epoch: Epoch) -> None:
        if checkpoint is not None:
            checkpoint.save(trainer)
        if on_epoch is not None:
            on_epoch(epoch)

    def fitted(stopped: str = "", *, failed: bool = False) -> Fitted:
        trainer.load_best()
        history = trainer.state.history
        seconds = sum(epoch.seconds for epoch in history)
        model = TextClassifierModel(
            trainer.model, prepared.tokenizer, prepared.classes, prepared.prior
        )
        return Fitted(model, history, seconds, stopped, failed)

    try:
        trainer.fit(on_batch=on_batch, on_epoch=after_epoch)
    except KeyboardInterrupt:
        if trainer.state.best is None:
            raise
        return fitted(f"stopped by Ctrl-C after epoch {len(trainer.state.history)}")
    except TrainingError as error:
        return fitted(str(error), failed=True)
    return fitted()


def make_trainer(prepared: Prepared) -> Trainer:
    """Return a trainer with a fresh model; the seed decides its first weights."""
    config = prepared.config
    assert config.embedding_size is not None
    assert config.hidden_size is not None
    assert config.pooling is not None
    assert config.pairs is not None
    assert config.dropout is not None
    assert config.token_dropout is not None
    vocab_size = prepared.tokenizer.vocab_size
    sizes = ClassifierConfig(
        vocab_size=vocab_size,
        num_classes=len(prepared.classes),
        embedding_size=config.embedding_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        bidirectional=config.bidirectional,
        pairs=min(config.pairs, vocab_size**2),
        pooling=config.pooling,
        dropout=config.dropout,
        token_dropout=config.token_dropout,
    )
    torch.manual_seed(config.seed)
    model = Classifier(sizes, cells.find(config.cell), backend=config.backend)
    return Trainer(model, config, prepared.train, prepared.valid)


def judge(model: TextClassifierModel, examples: Examples) -> Evaluation:
    """Score ``model`` on labelled texts; texts of length 0 are left out and counted.

    Raises:
        DataError: there is no text to judge on.
    """
    encoded = model.tokenizer.encode(examples.texts)
    rows = np.flatnonzero(encoded.lengths)
    if not len(rows):
        raise DataError(f"{examples.source}: there is no text to judge on")
    probabilities = model.probabilities(encoded)[rows]
    kept = examples.take(rows)
    skipped = len(examples) - len(kept)
    return evaluate(
        probabilities, kept.labels, model.classes, kept.texts, skipped=skipped, cut=encoded.cut
    )


def run_baselines(prepared: Prepared) -> list[Baseline]:
    """Train and score the baselines on the same parts as the network."""
    split, level, config = prepared.split, prepared.tokenizer.level, prepared.config
    train, test = split.train, split.test
    return [
        baselines.majority(train.labels, test.labels, prepared.classes),
        baselines.ngrams(
            train.texts,
            train.labels,
            test.texts,
            test.labels,
            prepared.classes,
            level=level,
            balance=config.balance,
            seed=config.seed,
        ),
    ]


def report(prepared: Prepared, fitted: Fitted, rivals: Sequence[Baseline]) -> Report:
    """Judge the model on the test part and gather all there is to tell."""
    best = next((e.epoch for e in reversed(fitted.history) if e.best), 0)
    return Report(
        data=prepared.split.train.source,
        test=judge(fitted.model, prepared.split.test),
        baselines=list(rivals),
        sizes=class_sizes(prepared.split),
        parameters=fitted.model.num_parameters,
        seconds=fitted.seconds,
        epochs=len(fitted.history),
        best_epoch=best,
        stopped=fitted.stopped,
        notes=list(prepared.notes),
    )


def class_sizes(split: Split) -> dict[str, dict[str, int]]:
    """Return how many texts of each class stand in each part."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    labels = sorted({label for part in parts.values() for label in part.labels})
    counts = {name: _count(part.labels) for name, part in parts.items()}
    return {label: {name: counts[name].get(label, 0) for name in parts} for label in labels}


def save(out: Path, prepared: Prepared, fitted: Fitted, told: Report) -> None:
    """Write the bundle with its scores, history, pictures and card."""
    from elman.training.card import model_card
    from elman.training.figures import confusion_pictures

    files = {
        "metrics.json": msgspec.json.format(msgspec.json.encode(told), indent=1),
        "history.jsonl": to_lines(fitted.history),
        "README.md": model_card(out.name, prepared, told).encode(),
        **confusion_pictures(told.test),
    }
    bundle.save(out, fitted.model, training=prepared.config.to_dict(), files=files)


def _count(labels: Sequence[str]) -> dict[str, int]:
    found, counts = np.unique(np.asarray(labels, dtype=object).astype(str), return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
