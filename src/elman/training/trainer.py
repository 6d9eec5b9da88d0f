"""The training loop: plain PyTorch over ragged batches.

Everything random in epoch e follows from (seed, e) alone, so a run that goes on from the end of an
epoch does exactly what an unbroken run would have done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from elman.data.batching import offsets_of, shuffled_batches
from elman.errors import TrainingError
from elman.models.classifier import Classifier
from elman.models.predictor import batches, packed_rows
from elman.text.tokenizer import Encoded
from elman.training.config import TrainConfig
from elman.training.diagnosis import where_not_finite
from elman.training.history import Epoch
from elman.training.metrics import quick_scores, soft_score

CLIP_NORM = 1.0
SHARED_WORK = 150_000  # tokens times units of a batch from which on threads pay
WARM_UP = 0.1  # share of all updates over which the learning rate rises


@dataclass(frozen=True)
class Corpus:
    """Encoded texts of one part with their classes; empty texts are left out before.

    Attributes:
        encoded: token ids, ragged.
        targets: (rows,) the class of each row.
    """

    encoded: Encoded
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Progress:
    """How far an epoch has come; given to ``on_batch`` after every update."""

    epoch: int
    epochs: int
    texts: int
    """Training texts seen in this epoch."""
    of_texts: int
    loss: float
    """Mean over this epoch so far."""
    texts_per_second: float
    score: float | None
    """Best validation score so far."""


@dataclass
class TrainingState:
    """All that changes while training, between two epochs."""

    history: list[Epoch] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights are kept."""
        return next((e for e in reversed(self.history) if e.best), None)


class Trainer:
    """Fits a classifier; ``state`` holds the history and the best weights at any time.

    Args:
        model: what to train.
        config: settled options.
        train: the part to learn from.
        valid: the part that early stopping looks at.
    """

    def __init__(self, model: Classifier, config: TrainConfig, train: Corpus, valid: Corpus):
        self.model = model
        self.config = config
        self.train = train
        self.valid = valid
        self.state = TrainingState()
        self._first_weights = _copied(model)
        self._parameters = list(model.parameters())
        self.optimiser = make_optimiser(model, config)
        self._offsets = offsets_of(train.encoded.lengths)
        self._class_weights = class_weights(train.targets, model.config.num_classes, config)
        self._adjustment = logit_adjustment(train.targets, model.config.num_classes, config)

    def fit(
        self,
        *,
        on_batch: Callable[[Progress], None] | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> None:
        """Train until the last epoch or until the score stops rising, and load the best weights.

        KeyboardInterrupt goes through to the caller; ``state`` then is that of the last whole
        epoch and ``load_best`` brings its best weights back.

        Raises:
            TrainingError: the loss or a gradient was not finite; the model then holds the last
                good weights.
        """
        assert self.config.epochs is not None
        with worthwhile_threads(self.model, self.config, self.train):
            self._epochs(self.config.epochs, on_batch, on_epoch)
        self.load_best()

    def _epochs(
        self,
        most: int,
        on_batch: Callable[[Progress], None] | None,
        on_epoch: Callable[[Epoch], None] | None,
    ) -> None:
        while len(self.state.history) < most and not self.stalled:
            epoch = self.epoch(on_batch)
            self.state.history.append(epoch)
            if on_epoch is not None:
                on_epoch(epoch)

    @property
    def stalled(self) -> bool:
        """Whether the score has not risen for ``patience`` epochs."""
        assert self.config.patience is not None
        scores = [epoch.score for epoch in self.state.history]
        if not scores or not len(self.valid.targets):
            return False
        return len(scores) - 1 - scores.index(max(scores)) >= self.config.patience

    def load_best(self) -> None:
        """Put the best weights so far into the model, or before any are judged its first ones."""
        self.model.load_state_dict(self.state.best_weights or self._first_weights)

    def epoch(self, on_batch: Callable[[Progress], None] | None = None) -> Epoch:
        """Train on every text once and judge; the caller adds the result to the history."""
        config, number = self.config, len(self.state.history) + 1
        assert config.batch_size is not None
        assert config.epochs is not None
        torch.manual_seed(_seed_of(config.seed, number))
        rng = np.random.default_rng([config.seed, number])
        plan = shuffled_batches(self.train.encoded.lengths, config.batch_size, rng)
        updates = len(plan) * config.epochs
        best = self.state.best
        start, total, seen = time.perf_counter(), 0.0, 0
        self.model.train()
        for i, rows in enumerate(plan):
            done = (number - 1) * len(plan) + i + 1
            self._set_learning_rate(schedule(done / updates))
            total += self._update(rows, epoch=number, batch=i + 1)
            seen += len(rows)
            if on_batch is not None:
                speed = seen / (time.perf_counter() - start)
                score = None if best is None else best.score
                count = len(self.train.targets)
                on_batch(Progress(number, config.epochs, seen, count, total / seen, speed, score))
        seconds = time.perf_counter() - start
        return self._judged(number, total / seen, seconds, seen / seconds)

    def _update(self, rows: NDArray[np.int64], *, epoch: int, batch: int) -> float:
        """Take one step of the optimiser and return the sum of the losses of ``rows``."""
        order, tokens = packed_rows(self.train.encoded, self._offsets, rows)
        targets = torch.from_numpy(self.train.targets[order])
        for parameter in self._parameters:  # as zero_grad does, without its look around
            parameter.grad = None
        loss = functional.cross_entropy(
            self.model(tokens) + self._adjustment,
            targets,
            self._class_weights,
            label_smoothing=self.config.label_smoothing,
        )
        value = loss.item()
        if math.isfinite(value):
            loss.backward()  # type: ignore[no-untyped-call]
            if math.isfinite(self._clip()):
                self.optimiser.step()
                return value * len(rows)
        raise self._not_finite(tokens, f"in epoch {epoch}, batch {batch}")

    def _clip(self) -> float:
        """Scale the gradients down to the largest norm allowed; return what it was."""
        grads = [one.grad for one in self._parameters if one.grad is not None]
        # As torch's clip_grad_norm_, which multiplies by 1 where nothing is to be clipped.
        norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))))
        if norm > CLIP_NORM:
            torch._foreach_mul_(grads, CLIP_NORM / (norm + 1e-6))
        return norm

    def _not_finite(self, tokens: PackedSequence, when: str) -> TrainingError:
        where = where_not_finite(self.model, tokens)
        self.load_best()
        return TrainingError(
            f"training stopped {when}: {where}; a lower --learning-rate usually mends it"
        )

    def _judged(self, number: int, loss: float, seconds: float, speed: float) -> Epoch:
        """Score the validation part and keep the weights if they are the best."""
        self.model.eval()
        predicted, sure = self._validate(number)
        judged = len(predicted) > 0
        classes = self.model.config.num_classes
        truth = self.valid.targets
        accuracy, macro_f1 = quick_scores(predicted, truth, classes) if judged else (0.0, 0.0)
        score = soft_score(sure, truth, classes) if judged else 0.0
        # A difference under one standard error is chance: the later epoch, whose learning rate is
        # lower, is then the better bet (the rule of Breiman et al. 1984, section 3.4.3, for trees).
        # Without a validation part nothing says when to stop: the last weights are kept.
        chance = float(sure.std()) / math.sqrt(len(sure)) if judged else 0.0
        highest = max((epoch.score for epoch in self.state.history), default=0.0)
        is_best = score >= highest - chance
        if is_best:
            self.state.best_weights = _copied(self.model)
        rate = self.optimiser.param_groups[0]["lr"]
        return Epoch(
            epoch=number,
            loss=loss,
            valid_loss=float(-np.log(np.maximum(sure, 1e-12)).mean()) if judged else 0.0,
            valid_accuracy=accuracy,
            valid_macro_f1=macro_f1,
            score=score,
            best=is_best,
            learning_rate=float(rate),
            seconds=seconds,
            texts_per_second=speed,
        )

    def _validate(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the predicted class of each validation text and how probable the true one is."""
        targets = self.valid.targets
        predicted = np.zeros(len(targets), dtype=np.int64)
        sure = np.zeros(len(targets), dtype=np.float32)
        with torch.inference_mode():
            for rows, tokens in batches(self.valid.encoded):
                probabilities = self.model(tokens).softmax(dim=1).numpy()
                if not np.isfinite(probabilities).all():
                    raise self._not_finite(tokens, f"after epoch {number}, validation")
                predicted[rows] = probabilities.argmax(axis=1)
                sure[rows] = probabilities[np.arange(len(rows)), targets[rows]]
        return predicted, sure

    def _set_learning_rate(self, factor: float) -> None:
        assert self.config.learning_rate is not None
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * factor


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@contextmanager
def worthwhile_threads(model: Classifier, config: TrainConfig, train: Corpus) -> Iterator[None]:
    """Use one of torch's threads where a batch is too small to share.

    Threads wait for each other in every product. For names (batches of 1,000 characters, 112
    units) two threads on two idle cores gain a fifth; with another program on these cores they
    lose a factor of five and more. The result then depends on the number of cores, too.
    """
    assert config.batch_size is not None
    tokens = float(train.encoded.lengths.mean()) * config.batch_size
    threads = torch.get_num_threads()
    if tokens * model.config.hidden_size < SHARED_WORK:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def schedule(progress: float) -> float:
    """Return the factor of the learning rate after a share of all updates, 0 to 1.

    A linear rise over the first tenth, then a half cosine down to nothing (Loshchilov & Hutter
    2017, "SGDR", equation 5, without restarts).
    """
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return fused AdamW (Loshchilov & Hutter 2019); vectors and biases do not decay."""
    assert config.learning_rate is not None
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    # A second-moment memory of 100 updates rather than 1,000 suits runs of a few thousand.
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)


def class_weights(
    targets: NDArray[np.int64], num_classes: int, config: TrainConfig
) -> Tensor | None:
    """Return weights (C,) inverse to the class sizes (scikit-learn's "balanced"), or None."""
    if not config.balance:
        return None
    sizes = np.bincount(targets, minlength=num_classes)
    weights = len(targets) / (num_classes * np.maximum(sizes, 1))
    return torch.tensor(weights, dtype=torch.float32)


def logit_adjustment(targets: NDArray[np.int64], num_classes: int, config: TrainConfig) -> Tensor:
    """Return what training adds to the logits (C,): a share of the logarithm of each class's size.

    The network then need not learn that share itself, and without the addition, as it is used
    afterwards, answers small classes more often (Menon et al. 2021, equation 10).
    """
    sizes = np.bincount(targets, minlength=num_classes)
    shares = np.maximum(sizes, 1) / max(len(targets), 1)
    return torch.tensor(config.logit_adjustment * np.log(shares), dtype=torch.float32)


def _seed_of(seed: int, epoch: int) -> int:
    # Neighbouring seeds and epochs must not share random numbers: let NumPy mix them.
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
