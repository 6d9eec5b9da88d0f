"""The training loop: plain PyTorch, of any task.

Everything random in epoch e follows from (seed, e) alone, so a run that goes on from the end of an
epoch does exactly what an unbroken run would have done.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from elman.errors import TrainingError
from elman.training import optimisers
from elman.training.diagnosis import where_not_finite
from elman.training.history import Epoch, kept
from elman.training.options import Schedule
from elman.training.task import Learner, Loss, Scores

_log = logging.getLogger(__name__)

SHARED_WORK = 150_000  # tokens times units of a batch from which on threads pay
WARM_UP = 0.1  # share of all updates over which the learning rate rises
ASTRAY = 10.0
"""Times the loss of untrained weights. Losses are in nats; a first batch that happens to hold one
class alone may have next to none, so they count as 1 at least."""


@dataclass(frozen=True)
class Progress:
    """How far an epoch has come; given to ``on_batch`` after every update."""

    epoch: int
    epochs: int
    batch: int
    """Updates done in this epoch."""
    batches: int
    """Updates of an epoch."""
    loss: float
    """Mean over this epoch so far."""
    per_second: float
    """Items trained on, in the schedule's unit."""
    score: float | None
    """Of the epoch whose weights are kept so far."""
    sample: str | None = None
    """What the model has just written, where it is time to look."""
    updates: int = 0
    """Updates done in all epochs."""


@dataclass
class TrainingState:
    """All that changes while training, between two epochs."""

    history: list[Epoch] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    first_loss: float | None = None
    """Of the first batch, before any update."""

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights are kept."""
        return kept(self.history)


class Trainer:
    """Fits a learner's model; ``state`` holds the history and the best weights at any time."""

    def __init__(self, learner: Learner):
        self.learner = learner
        self.model = learner.model.to(learner.options.device)
        self.schedule = learner.schedule
        self.state = TrainingState()
        self.optimiser = optimisers.make(self.model, self.schedule)
        self._first_weights = _copied(self.model)
        self._parameters: list[Tensor] = list(self.model.parameters())

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
        with worthwhile_threads(self.schedule):
            while len(self.state.history) < self.schedule.epochs and not self.stalled:
                epoch = self.epoch(on_batch)
                self.state.history.append(epoch)
                if on_epoch is not None:
                    on_epoch(epoch)
        self.load_best()

    @property
    def astray(self) -> str:
        """What is to be said where the kept weights are far worse than untrained ones, or ""."""
        first, best = self.state.first_loss, self.state.best
        if first is None or best is None or best.loss <= ASTRAY * max(first, 1.0):
            return ""
        return (
            f"the loss in epoch {best.epoch}, the best, is {best.loss:.2g}, where untrained "
            f"weights have {first:.2g}: training went astray; a lower --learning-rate usually helps"
        )

    @property
    def stalled(self) -> bool:
        """Whether the score has not risen for ``patience`` epochs."""
        scores = self._scores()
        if not scores:
            return False
        return len(scores) - 1 - scores.index(max(scores)) >= self.schedule.patience

    def _scores(self) -> list[float]:
        return [epoch.score for epoch in self.state.history if epoch.score is not None]

    def load_best(self) -> None:
        """Put the best weights so far into the model, or before any are judged its first ones."""
        # Of tensors that are one (tied) a checkpoint has the first.
        self.model.load_state_dict(self.state.best_weights or self._first_weights, strict=False)

    def epoch(self, on_batch: Callable[[Progress], None] | None = None) -> Epoch:
        """Train on every example once and judge; the caller adds the result to the history."""
        schedule, number = self.schedule, len(self.state.history) + 1
        torch.manual_seed(_seed_of(schedule.seed, number))
        batches = self.learner.batches(np.random.default_rng([schedule.seed, number]), number)
        best = self.state.best
        score = None if best is None else best.score
        start, total, count = time.perf_counter(), 0.0, 0
        before = sum(epoch.updates for epoch in self.state.history)
        samples: dict[int, str] = {}
        self.model.train()
        for i, batch in enumerate(batches, start=1):
            done = (number - 1) * len(batches) + i
            self._set_learning_rate(done / (len(batches) * schedule.epochs))
            loss, size = self._update(batch, f"in epoch {number}, batch {i}")
            if self.state.first_loss is None:
                self.state.first_loss = loss
            total, count = total + loss * size, count + size
            sample = self._sample(before + i)
            if sample is not None:
                samples[before + i] = sample
            if on_batch is not None:
                progress = Progress(
                    number,
                    schedule.epochs,
                    i,
                    len(batches),
                    total / count,
                    count / (time.perf_counter() - start),
                    score,
                    sample,
                    before + i,
                )
                on_batch(progress)
        seconds = time.perf_counter() - start
        if self._stagnates() and optimisers.start_averaging(self.optimiser):
            _log.info("from epoch %d on weights are averaged", number + 1)
        epoch = self._judged(number, total / count, seconds, count / seconds)
        return replace(epoch, updates=len(batches), samples=samples)

    def _sample(self, update: int) -> str | None:
        """Return what the model writes after so many updates, where it is time to look."""
        self.model.eval()
        try:
            return self.learner.sample(update)
        finally:
            self.model.train()

    def _stagnates(self) -> bool:
        """Whether the score has not risen for so long that weights are to be averaged."""
        after, scores = self.schedule.average_after, self._scores()
        return after is not None and len(scores) > after and scores[-1] < max(scores[:-after])

    def _update(self, batch: Any, when: str) -> tuple[float, int]:
        """Take one step of the optimiser; return the mean loss and over how many items it is."""
        for parameter in self._parameters:  # as zero_grad does, without its look around
            parameter.grad = None
        loss: Loss = self.learner.loss(batch)
        value = loss.mean.item()
        if math.isfinite(value):
            loss.mean.backward()  # type: ignore[no-untyped-call]
            if math.isfinite(optimisers.clip_(self._parameters, self.schedule.clip_norm)):
                self.optimiser.step()
                return value, loss.count
        raise self._not_finite(lambda: self.learner.loss(batch), when)

    def _not_finite(self, again: Callable[[], object], when: str) -> TrainingError:
        where = where_not_finite(self.model, again)
        self.load_best()
        return TrainingError(
            f"training stopped {when}: {where}; a lower --learning-rate usually helps"
        )

    def _judged(self, number: int, loss: float, seconds: float, speed: float) -> Epoch:
        """Score the validation part and keep the weights if they are the best."""
        self.model.eval()
        with optimisers.averaged(self.optimiser):
            with torch.inference_mode():
                scores = self.learner.validate()
            if scores is not None and not math.isfinite(scores.score):
                raise self._not_finite(self.learner.validate, f"after epoch {number}, validation")
            is_best = self._is_best(scores)
            if is_best:
                self.state.best_weights = _copied(self.model)
        return Epoch(
            epoch=number,
            loss=loss,
            score=None if scores is None else scores.score,
            best=is_best,
            metrics={} if scores is None else scores.metrics,
            learning_rate=float(self.optimiser.param_groups[0]["lr"]),
            seconds=seconds,
            per_second=speed,
        )

    def _is_best(self, scores: Scores | None) -> bool:
        """Whether the weights are to be kept."""
        if scores is None:  # nothing says when to stop: the last weights are kept
            return True
        # A difference under one standard error is chance: the later epoch, whose learning rate is
        # lower, is then the better bet (the rule of Breiman et al. 1984, section 3.4.3, for trees).
        return scores.score >= max(self._scores(), default=-math.inf) - scores.error

    def _set_learning_rate(self, progress: float) -> None:
        factor = rate_factor(progress) if self.schedule.decay else 1.0
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.learning_rate * factor * group["rate"]


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@contextmanager
def worthwhile_threads(schedule: Schedule) -> Iterator[None]:
    """Use one of torch's threads where a batch is too small to share.

    Threads wait for each other in every product. For names (batches of 1,000 characters, 112
    units) two threads on two idle cores gain a fifth; with another program on these cores they
    lose a factor of five and more. The result then depends on the number of cores, too.
    """
    threads = torch.get_num_threads()
    if schedule.batch_work < SHARED_WORK:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def rate_factor(progress: float) -> float:
    """Return the factor of the learning rate after a share of all updates, 0 to 1.

    A linear rise over the first tenth, then a half cosine down to nothing (Loshchilov & Hutter
    2017, "SGDR", equation 5, without restarts).
    """
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def _seed_of(seed: int, epoch: int) -> int:
    # Neighbouring seeds and epochs must not share random numbers: let NumPy mix them.
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
