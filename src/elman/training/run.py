"""One whole run of any task: parts of data in, a judged model in a folder out."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from elman.data.splits import Split
from elman.errors import BundleError, TrainingError, is_out_of_memory, signal_of
from elman.text.summary import Summary, Table
from elman.text.terminal import counted
from elman.training import bundle, history, machine, provenance
from elman.training.checkpoint import Checkpoint
from elman.training.history import Epoch, History
from elman.training.options import RunOptions
from elman.training.task import Baseline, Evaluation, Learner, Predictor, Report, Task, headline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from elman.training.trainer import Progress, Trainer


METRICS = "metrics.json"


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
    """

    history: list[Epoch]
    stopped: str = ""
    failed: bool = False
    ended: str = ""
    interrupt: KeyboardInterrupt | None = None
    astray: str = ""

    @property
    def seconds(self) -> float:
        """Of training alone."""
        return sum(epoch.seconds for epoch in self.history)

    def summary(self) -> Iterator[str | Table]:
        """Say how long it took and how it ended."""
        yield f"{counted(len(self.history), 'epoch')} in {self.seconds:.1f} s {self.stopped}"


ModelT = TypeVar("ModelT", bound=Predictor)
ScoresT = TypeVar("ScoresT", bound=Evaluation)


@dataclass(frozen=True, repr=False)
class Trained(Summary, Generic[ModelT, ScoresT]):
    """What a run gives.

    Attributes:
        model: ready to use.
        report: test scores, baselines, sizes and notes.
        history: what happened in each epoch.
        split: the parts that it was trained, tuned and judged on.
        failed: whether training was cut short by a loss that was not finite or for want of memory,
            or went astray.
        interrupt: what the user or the system stopped it with.
    """

    model: ModelT
    report: Report[ScoresT]
    history: History
    split: Split[Any]
    failed: bool = False
    interrupt: KeyboardInterrupt | None = None

    def plot(self) -> Figure:
        """Draw the learning curve; returns a figure of matplotlib, which notebooks show."""
        return self.history.plot()

    def summary(self) -> Iterator[str | Table]:
        """Say what the report says, and what the model is."""
        yield from self.report.summary()
        yield f"{self.model!r} in .model; .history, .report, .plot()"


class Watcher(Protocol):
    """Who wants to see a run as it goes."""

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
        number = signal_of(stop)
        by = "Ctrl-C" if number == signal.SIGINT else number.name
        return Fitted(epochs, f"stopped by {by} after epoch {len(epochs)}", interrupt=stop)
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


def run(
    task: Task,
    split: Split[Any],
    options: RunOptions,
    *,
    out: Path | None = None,
    force: bool = False,
    resume: bool = False,
    watcher: Watcher | None = None,
    request: Mapping[str, Any] | None = None,
) -> Trained[Predictor, Evaluation]:
    """Train on the parts of ``split``, judge, and write the bundle to ``out``.

    While it goes, the state after each epoch is kept in ``<out>.training``; it stays there if the
    run is stopped or cannot be saved, and ``resume`` goes on from it. A model at ``out`` is
    replaced where ``may_replace`` says so. ``request`` says where the data came from, for the
    bundle's ``train.toml``.

    Raises:
        KeyboardInterrupt: stopped before the first epoch was whole.
        ConfigError: ``resume`` with nothing to resume, or with other options or data.
        BundleError: the state after an epoch cannot be written.
        TrainingError: the loss was not finite before the first epoch was whole, or the model
            cannot be written to ``out``.
    """
    split.require_test()
    checkpoint = None if out is None else Checkpoint(out, task.name, options, split.digest())
    if resume and checkpoint is not None:
        checkpoint.check()
    learner = task.prepare(split, options)
    with machine.threads(options.threads):
        fitted = _watched(task, split, learner, checkpoint, resume=resume, watcher=watcher)
        predictor = task.predictor(learner)
        report = judge(task, split, learner, predictor, fitted)
    if out is not None and checkpoint is not None:
        settled = provenance.shareable(learner.options)
        files = _files(task, split, learner, fitted, report, settled, request or {}, name=out.name)
        replace = may_replace(out, force=force, resume=resume)
        try:
            bundle.save(out, predictor, training=settled, files=files, force=replace)
        except BundleError as error:
            raise TrainingError(_not_saved(error, checkpoint)) from error
        if not fitted.stopped:
            checkpoint.remove()
    epochs, failed = History(fitted.history, task.metrics), fitted.failed or bool(fitted.astray)
    return Trained(predictor, report, epochs, split, failed, fitted.interrupt)


def _files(
    task: Task,
    split: Split[Any],
    learner: Learner,
    fitted: Fitted,
    report: Report[Any],
    settled: Mapping[str, Any],
    request: Mapping[str, Any],
    *,
    name: str,
) -> dict[str, bytes]:
    """Return the files that tell of a run."""
    from elman.training import figures

    recipe = provenance.train_toml(task, settled, request)
    told = task.files(name, learner, report)
    told["README.md"] += provenance.section(report, split, recipe).encode("utf-8", "replace")
    if fitted.history:
        curve = figures.learning_curve(fitted.history, task.metrics)
        told["history.jsonl"] = history.to_lines(fitted.history)
        told["learning-curve.png"] = figures.render(curve, "png")
    return {
        **told,
        METRICS: msgspec.json.format(msgspec.json.encode(report), indent=1),
        bundle.TRAIN_OPTIONS: recipe,
    }


def _watched(
    task: Task,
    split: Split[Any],
    learner: Learner,
    checkpoint: Checkpoint | None,
    *,
    resume: bool,
    watcher: Watcher | None,
) -> Fitted:
    """Train before the eyes of ``watcher``."""
    if watcher is not None:
        watcher.begin(task, split, learner)
    fitted = fit(
        learner,
        checkpoint=checkpoint,
        resume=resume,
        on_batch=None if watcher is None else watcher.on_batch,
        on_epoch=None if watcher is None else watcher.on_epoch,
    )
    if fitted.failed and not fitted.history:
        raise TrainingError(fitted.stopped)  # there is nothing worth keeping
    if watcher is not None:
        watcher.end(fitted)
    return fitted


def may_replace(out: Path, *, force: bool, resume: bool) -> bool:
    """Whether a model that stands at ``out`` is to make room for a run's.

    That is so where it was asked for, and where the run that is resumed left it as it stopped.
    """
    if force or not resume:
        return force
    try:
        return bool(msgspec.json.decode((out / METRICS).read_bytes())["stopped"])
    except (OSError, KeyError, TypeError, msgspec.DecodeError):
        return False


def _not_saved(error: BundleError, checkpoint: Checkpoint) -> str:
    return (
        f"{bundle.without_fix(error)}; what was trained is kept in {checkpoint.folder}: "
        "fix that, and the same command with --resume saves it"
    )


def judge(
    task: Task, split: Split[Any], learner: Learner, predictor: Predictor, fitted: Fitted
) -> Report[Evaluation]:
    """Judge a trained model on the test part, beside its baselines."""
    test = predictor.evaluate(split.test)
    # Who stops a run wants the model now, not after a baseline.
    baselines: list[Baseline] = []
    if not fitted.stopped:
        baselines = task.baselines(split, learner.options, predictor, fitted.seconds)
    return Report(
        task=task.name,
        data=provenance.name_of(split.train.source),
        test=test,
        baselines=baselines,
        sizes=task.sizes(split),
        parameters=predictor.num_parameters,
        seconds=fitted.seconds,
        epochs=len(fitted.history),
        best_epoch=History(fitted.history).kept,
        stopped=fitted.stopped,
        notes=provenance.told_by_name(learner.notes, split),
        ended=fitted.ended,
        test_notes=provenance.told_by_name(split.test_notes, split),
        digest=split.digest(),
        parts=split.counts(),
        warnings=_warnings(task, test, baselines, fitted),
    )


def _warnings(
    task: Task, test: Evaluation, baselines: Sequence[Baseline], fitted: Fitted
) -> list[str]:
    if fitted.astray:
        return [fitted.astray]
    return [
        f"the network is no better than {one.name}: it has learned nothing; try another "
        "--learning-rate or more --epochs, and look at the labels"
        for one in baselines
        if one.constant and not _is_better(task, test, one.test)
    ]


def _is_better(task: Task, scores: Evaluation, others: Evaluation) -> bool:
    """Whether any metric of the short tables is better."""
    return any(
        (scores.metrics[name] - others.metrics[name]) * (1 if metric.higher_is_better else -1) > 0
        for name, metric in headline(scores.metrics, task.metrics).items()
    )
