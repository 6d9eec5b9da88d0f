"""One whole run: data in, a judged model in a folder out. `elman train` is a shell over this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from elman import cells
from elman.data.source import read_split
from elman.data.splits import Split
from elman.errors import ConfigError, TrainingError
from elman.ir import text as ir_text
from elman.models import bundle
from elman.models.predictor import TextClassifierModel
from elman.training import classify
from elman.training.checkpoint import Checkpoint, fingerprint
from elman.training.config import TrainConfig
from elman.training.history import Epoch
from elman.training.trainer import Progress


@dataclass(frozen=True)
class Trained:
    """What a run gives.

    Attributes:
        model: ready to predict.
        report: test scores, baselines, class sizes and notes.
        history: what happened in each epoch.
        failed: whether training was cut short by a loss that was not finite.
    """

    model: TextClassifierModel
    report: classify.Report
    history: list[Epoch]
    failed: bool = False


class Watcher(Protocol):
    """Who wants to see a run as it goes."""

    def begin(self, prepared: classify.Prepared) -> None:
        """The data are ready and training begins."""

    def on_batch(self, progress: Progress) -> None:
        """One more update is done."""

    def on_epoch(self, epoch: Epoch) -> None:
        """One more epoch is done."""

    def end(self, fitted: classify.Fitted) -> None:
        """Training has ended; the test scores and baselines are next."""


def train(
    data: str | Path,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    text: str | None = None,
    label: str | None = None,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    fractions: tuple[float, float, float] | None = None,
    **options: Any,
) -> Trained:
    """Train a text classifier and judge it beside its baselines.

    Args:
        data: a file, a folder with one ``<Label>.txt`` a class, or a built-in data set.
        out: the folder to write the model to; None writes nothing.
        overwrite: replace the model that stands at ``out``.
        text: the text column, by name or by number from 1.
        label: the label column, likewise.
        valid: a file to validate on, instead of a share of ``data``.
        test: a file to test on, instead of a share of ``data``.
        fractions: shares of the training, validation and test parts (0.8, 0.1, 0.1; with
            ``test`` given and 5,000 texts or more 0.98, 0.02, 0).
        **options: fields of ``elman.training.config.TrainConfig``, such as ``cell="gru"``.

    Raises:
        ConfigError, DataError, CellError, BundleError: the request cannot work.
    """
    config = TrainConfig(**options)
    if out is not None:
        bundle.check_destination(Path(out), overwrite=overwrite)
    split = read_split(
        data, text=text, label=label, valid=valid, test=test, fractions=fractions, seed=config.seed
    )
    return run(split, config, out=None if out is None else Path(out))


def run(
    split: Split,
    config: TrainConfig,
    *,
    out: Path | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> Trained:
    """Train on the parts of ``split``, judge, and write the bundle to ``out``.

    While it goes, the state after each epoch is kept in ``<out>.training``; it stays there if the
    run is stopped, and ``resume`` goes on from it.

    Raises:
        KeyboardInterrupt: stopped before the first epoch was whole.
        ConfigError: ``resume`` with nothing to resume, or with other options or data.
        BundleError: ``out`` cannot be written.
        TrainingError: the loss was not finite before the first epoch was whole.
    """
    if not len(split.test):
        raise ConfigError("the test part is empty; give it a share, as in 0.8,0.1,0.1")
    checkpoint = None if out is None else make_checkpoint(out, split, config)
    if resume and checkpoint is not None:
        checkpoint.check()
    prepared = classify.prepare(split, config)
    if watcher is not None:
        watcher.begin(prepared)
    fitted = classify.fit(
        prepared,
        checkpoint=checkpoint,
        resume=resume,
        on_batch=None if watcher is None else watcher.on_batch,
        on_epoch=None if watcher is None else watcher.on_epoch,
    )
    if fitted.failed and not fitted.history:
        raise TrainingError(fitted.stopped)  # there is nothing worth keeping
    if watcher is not None:
        watcher.end(fitted)
    # Who stops a run wants his model now, not after a baseline.
    rivals = [] if fitted.stopped else classify.run_baselines(prepared)
    report = classify.report(prepared, fitted, rivals)
    if out is not None and checkpoint is not None:
        classify.save(out, prepared, fitted, report)
        if not fitted.stopped:
            checkpoint.remove()
    return Trained(fitted.model, report, fitted.history, fitted.failed)


def make_checkpoint(out: Path, split: Split, config: TrainConfig) -> Checkpoint:
    """Return the place where the run of ``out`` keeps its state."""
    cell = ir_text.write(cells.find(config.cell).graph)
    return Checkpoint(out, config, cell, fingerprint([split.train, split.valid, split.test]))
