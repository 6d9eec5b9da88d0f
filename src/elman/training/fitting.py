"""One training after another: a learner's model, fitted, before the eyes of who watches."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from elman.data.splits import Split
from elman.errors import TrainingError, is_out_of_memory, signal_of
from elman.text.summary import Summary, Table
from elman.text.terminal import counted
from elman.training.checkpoint import Checkpoint, forget
from elman.training.history import Epoch, kept
from elman.training.options import RunOptions
from elman.training.task import Learner, Predictor, Task

if TYPE_CHECKING:
    from elman.training.trainer import Progress, Trainer


@dataclass(frozen=True, repr=False)
class Fitted(Summary):
    """How training went.

    Attributes:
        history: what happened in each whole epoch.
        stopped: ``""``, or why training was cut short, one sentence.
        failed: whether it was cut short by a loss that was not finite or for want of memory; if
            that was before the end of the first epoch, the history is empty and the weights are
            the first ones.
        ended: ``""``, or why training ended by itself, as the end of "training ended".
        interrupt: what the user or the system stopped it with.
        astray: ``""``, or how the best weights are far worse than untrained ones, one sentence.
        beside: seconds of what was fitted beside the network, such as n-grams.
    """

    history: list[Epoch]
    stopped: str = ""
    failed: bool = False
    ended: str = ""
    interrupt: KeyboardInterrupt | None = None
    astray: str = ""
    beside: float = 0.0

    @property
    def seconds(self) -> float:
        """Of training the network alone."""
        return sum(epoch.seconds for epoch in self.history)

    @property
    def all_seconds(self) -> float:
        """Of training the network and what stands beside it."""
        return self.seconds + self.beside

    def summary(self) -> Iterator[str | Table]:
        """Say how long it took and how it ended."""
        yield f"{counted(len(self.history), 'epoch')} in {self.seconds:.1f} s {self.stopped}"


class Watcher(Protocol):
    """Who wants to see a run as it goes."""

    def on_training(self, name: str, number: int, count: int) -> None:
        """One of several trainings is next, the ``number``-th of ``count``, from 1."""

    def on_preparing(self, share: float, text: str) -> None:
        """Something is learnt before training: how far that is, 0 to 1, and what it is."""

    def begin(self, task: Task, split: Split[Any], learner: Learner) -> None:
        """The data are ready and training begins."""

    def on_batch(self, progress: Progress) -> None:
        """One more update is done."""

    def on_epoch(self, epoch: Epoch) -> None:
        """One more epoch is done."""

    def end(self, fitted: Fitted) -> None:
        """Training has ended; the test scores and baselines are next."""


def fit(
    learner: Learner,
    *,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    on_batch: Callable[[Progress], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fitted:
    """Train a learner's model; a Ctrl-C, or what the command line takes as one, ends only that.

    Args:
        learner: what a task's ``prepare`` returned; its model gets the best weights. After a loss
            that was not finite, or where memory runs out, these are the last good ones, and
            ``failed`` is true.
        checkpoint: where to keep the state after each epoch; None keeps none.
        resume: go on from ``checkpoint``.
        on_batch: called after each update.
        on_epoch: called after each epoch.

    Raises:
        KeyboardInterrupt: stopped before the first epoch was whole, so there is nothing to keep.
    """
    if not learner.schedule.epochs:
        return Fitted([])  # nothing is trained by the epoch
    from elman.training.trainer import Trainer

    trainer = Trainer(learner)
    if resume and checkpoint is not None:
        checkpoint.restore(trainer)

    def after_epoch(epoch: Epoch) -> None:
        if checkpoint is not None:
            checkpoint.save(trainer)
        if on_epoch is not None:
            on_epoch(epoch)

    epochs = trainer.state.history
    try:
        trainer.fit(on_batch=on_batch, on_epoch=after_epoch)
    except KeyboardInterrupt as stop:
        if trainer.state.best is None:
            raise
        trainer.load_best()
        stopped = f"stopped by {by_whom(stop)} after epoch {len(epochs)}"
        return Fitted(epochs, stopped, interrupt=stop)
    except TrainingError as error:
        return Fitted(epochs, str(error), failed=True)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        trainer.load_best()
        said = (
            f"training stopped in epoch {len(epochs) + 1}: not enough memory; "
            "make --hidden-size or --batch-size smaller"
        )
        return Fitted(epochs, said, failed=True)
    return Fitted(epochs, ended=_ended(trainer), astray=trainer.astray)


def _ended(trainer: Trainer) -> str:
    schedule, done = trainer.schedule, len(trainer.state.history)
    if done < schedule.epochs:
        return f"as no score was higher for {counted(schedule.patience, 'epoch')} (--patience)"
    return f"with the last of {counted(done, 'epoch')} (--epochs)"


@dataclass(frozen=True)
class Job:
    """A training to be done.

    Attributes:
        name: how people know it among others: ``seed 3``, ``fold 1``; "" where there is one only.
        split: what it learns from, is tuned on and is judged on.
        options: as asked for.
        tuned: models that lend what a validation part would decide, where there is none.
    """

    name: str
    split: Split[Any]
    options: RunOptions
    tuned: Sequence[Predictor] = ()

    @property
    def folder(self) -> str:
        """Where its checkpoint stands among those of the run."""
        return self.name.replace(",", "").replace(" ", "-")


@dataclass(frozen=True)
class Member:
    """A training that is done, with what came of it."""

    job: Job
    learner: Learner
    fitted: Fitted
    predictor: Predictor

    @property
    def name(self) -> str:
        """How people know it among others."""
        return self.job.name

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept."""
        epoch = kept(self.fitted.history)
        return 0 if epoch is None else epoch.epoch

    @property
    def score(self) -> float | None:
        """Of the validation part, where there is one; higher is better."""
        epoch = kept(self.fitted.history)
        return None if epoch is None else epoch.score

    @property
    def failed(self) -> str:
        """Why the training has failed, one sentence, or ""."""
        return self.fitted.astray or (self.fitted.stopped if self.fitted.failed else "")


@dataclass(frozen=True)
class Workshop:
    """Where the trainings of one run are done.

    Attributes:
        task: what is trained.
        out: where the bundle will stand; None keeps no state beside it.
        resume: go on with what was stopped there.
        plan: what makes the run what it is beside the options.
        init: a model to go on from.
        watcher: who wants to see.
    """

    task: Task
    out: Path | None = None
    resume: bool = False
    plan: Mapping[str, Any] | None = None
    init: Predictor | None = None
    watcher: Watcher | None = None

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse to resume what is not there, or is of another run.

        Raises:
            ConfigError, BundleError: as ``Checkpoint.check``.
        """
        checkpoints = [one for job in jobs if (one := self._checkpoint(job)) is not None]
        if not self.resume or not checkpoints:
            return
        checkpoints[0].check_plan()
        for one in checkpoints:
            if len(jobs) == 1 or one.file.is_file():
                one.check()

    def train_all(
        self, jobs: Sequence[Job], *, anew: bool = False
    ) -> tuple[list[Member], KeyboardInterrupt | None]:
        """Train one after another; what stops them leaves those that are done.

        Of a training that is stopped on its way only its checkpoint is left, unless it is the
        first. ``anew`` forgets what an earlier run has left in the place of this one.

        Raises:
            KeyboardInterrupt: stopped before anything was worth keeping.
            TrainingError: one has failed before its first epoch was whole.
        """
        members: list[Member] = []
        for number, job in enumerate(jobs, start=1):
            if self.watcher is not None and job.name:
                self.watcher.on_training(job.name, number, len(jobs))
            try:
                same = (one.predictor for one in members if one.job.split is job.split)
                member = self.train(job, anew=anew and number == 1, twin=next(same, None))
            except KeyboardInterrupt as stop:
                if not members:
                    raise
                return members, stop
            stopped = member.fitted.interrupt
            if stopped is None or not members:
                members.append(member)
            if stopped is not None:
                return members, stopped
        return members, None

    def train(self, job: Job, *, anew: bool = False, twin: Predictor | None = None) -> Member:
        """Do one training; ``anew`` forgets what was stopped in its place.

        ``twin`` is a model of another seed on the same parts.

        Raises:
            KeyboardInterrupt: stopped before the first epoch was whole.
            TrainingError: it has failed before that.
        """
        checkpoint = self._checkpoint(job)
        watch = None if self.watcher is None else self.watcher.on_preparing
        learner = self.task.prepare(job.split, job.options, init=self.init, watch=watch)
        if anew and self.out is not None:
            forget(self.out)
        if self.watcher is not None:
            self.watcher.begin(self.task, job.split, learner)
        fitted = fit(
            learner,
            checkpoint=checkpoint,
            resume=self.resume and checkpoint is not None and checkpoint.file.is_file(),
            on_batch=None if self.watcher is None else self.watcher.on_batch,
            on_epoch=None if self.watcher is None else self.watcher.on_epoch,
        )
        if fitted.failed and not fitted.history:
            raise TrainingError(_named(job, fitted.stopped))  # there is nothing worth keeping
        if self.watcher is not None:
            self.watcher.end(fitted)
        start = time.perf_counter()
        predictor = self.task.predictor(learner, tuned=job.tuned, twin=twin)
        fitted = replace(fitted, beside=time.perf_counter() - start)
        return Member(job, learner, fitted, predictor)

    def _checkpoint(self, job: Job) -> Checkpoint | None:
        if self.out is None:
            return None
        return Checkpoint(
            self.out,
            self.task.name,
            job.options,
            job.split.digest(),
            name=job.folder,
            plan=self.plan,
        )


def _named(job: Job, said: str) -> str:
    return f"{job.name}: {said}" if job.name else said


def by_whom(stop: KeyboardInterrupt) -> str:
    """Return what stopped a run, as the end of "stopped by"."""
    number = signal_of(stop)
    return "Ctrl-C" if number == signal.SIGINT else number.name


def several(options: RunOptions, split: Split[Any], count: int) -> list[Job]:
    """Return the trainings of ``count`` seeds, from that of the options on."""
    if count == 1:
        return [Job("", split, options)]
    seeds = [options.seed + i for i in range(count)]
    return [
        Job(f"seed {seed}", split, msgspec.structs.replace(options, seed=seed)) for seed in seeds
    ]


def together(task: Task, predictors: Sequence[Predictor]) -> Predictor:
    """Return the mean of several models, or the only one."""
    if len(predictors) == 1 or task.combine is None:
        return predictors[0]
    return task.combine(predictors)
