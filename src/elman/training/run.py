"""One whole run of any task: parts of data in, a judged model in a folder out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from elman.data import output
from elman.data.splits import Split
from elman.errors import BundleError, ConfigError, TrainingError
from elman.training import bundle, history, machine, provenance
from elman.training.checkpoint import forget, training_folder
from elman.training.fitting import Job, Member, Watcher, Workshop, several, together
from elman.training.history import History
from elman.training.judging import judge, of_folds, of_several, whole_of, with_seeds
from elman.training.last import trained_on_all
from elman.training.options import Repeats, RunOptions
from elman.training.report import Evaluation
from elman.training.task import Learner, Predictor, Task
from elman.training.trained import Trained

METRICS = "metrics.json"
PREDICTIONS = "test-predictions.csv"
ONCE = Repeats()


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How often a run trains, from what, and where it is kept.

    Attributes:
        repeats: seeds or folds, and whether a last fit follows.
        init: a model to go on from.
        out: the folder of the bundle; None writes nothing.
        force: replace what stands there.
        resume: go on with what was stopped there.
        watcher: who wants to see.
        request: where the data came from and how often it trains, for ``train.toml``.
    """

    repeats: Repeats = ONCE
    init: Predictor | None = None
    out: Path | None = None
    force: bool = False
    resume: bool = False
    watcher: Watcher | None = None
    request: Mapping[str, Any] | None = None

    @property
    def decided(self) -> Collection[str]:
        """The options that follow from the model that the request names as ``init``."""
        named = (self.request or {}).get("init") is not None
        return tuple(self.init.settings) if self.init is not None and named else ()

    def workshop(self, task: Task, options: RunOptions) -> Workshop:
        """Return where the trainings are done."""
        digest = None if self.init is None else provenance.digest_of(self.init)
        plan = {**self.repeats.to_dict(), "init": digest, **provenance.digests(options)}
        return Workshop(task, self.out, self.resume, plan, self.init, self.watcher)


ALONE = Setup()


def run(
    task: Task, split: Split[Any], options: RunOptions, setup: Setup = ALONE
) -> Trained[Predictor, Evaluation]:
    """Train on the parts of ``split``, judge, and write the bundle to the setup's ``out``.

    While it goes, the state after each epoch is kept in ``<out>.training``; it stays there if the
    run is stopped or cannot be saved, and ``resume`` goes on from it. A model at ``out`` is
    replaced where ``may_replace`` says so.

    Of several seeds the networks are kept together, or the best of them; where it is stopped, of
    those that are done.

    Raises:
        KeyboardInterrupt: stopped before the first epoch was whole.
        ConfigError: ``resume`` with nothing to resume, or with other options or data; or the task
            cannot average networks.
        BundleError: the state after an epoch cannot be written.
        TrainingError: the loss was not finite before the first epoch was whole, or the model
            cannot be written to ``out``.
    """
    split.require_test()
    repeats = setup.repeats
    if repeats.seeds > 1 and repeats.keep == "mean" and task.combine is None:
        raise ConfigError(
            f"networks of the task {task.name} have no mean; leave --keep out to keep the best"
        )
    keeps_mean = task.combine is not None and repeats.keep != "best"
    workshop = setup.workshop(task, options)
    jobs = several(options, split, repeats.seeds)
    workshop.check(jobs)
    with machine.threads(options.threads):
        members, stop = workshop.train_all(jobs, anew=not setup.resume)
        good = [one for one in members if not one.failed] or members
        best = max(good, key=lambda one: -float("inf") if one.score is None else one.score)
        chosen = good if keeps_mean else [best]
        predictor = together(task, [one.predictor for one in chosen])
        fitted = of_several(members, best, len(jobs), stop)
        report = judge(task, split, best.learner, predictor, fitted)
        if len(jobs) > 1:
            report = with_seeds(task, report, members, best, chosen)
        trained = Trained(
            predictor,
            report,
            History(best.fitted.history, task.metrics),
            split,
            [(predictor, split.test)],
            any(one.failed for one in members),
            stop,
        )
        learner = best.learner
        if repeats.final and stop is None:
            trained, learner = trained_on_all(workshop, split, chosen, trained, learner)
    _save(task, trained, learner, _settled(best, options), setup)
    return trained


def cross_validate(
    task: Task, splits: Sequence[Split[Any]], options: RunOptions, setup: Setup
) -> Trained[Predictor, Evaluation]:
    """Train on each of ``splits``, whose test parts are all of the data, and judge all of these.

    With ``setup.repeats.final`` a last network is trained on all data, which is kept.

    Raises:
        KeyboardInterrupt: stopped; what is done is left beside ``out``.
        ConfigError, BundleError, TrainingError: as ``run``.
    """
    workshop = setup.workshop(task, options)
    jobs = [Job(f"fold {i}", split, options) for i, split in enumerate(splits, start=1)]
    workshop.check(jobs)
    whole = whole_of(task, splits)
    with machine.threads(options.threads):
        members, stop = workshop.train_all(jobs, anew=not setup.resume)
        if stop is not None:
            raise stop
        report = of_folds(task, members, whole)
        first = members[0]
        trained: Trained[Predictor, Evaluation] = Trained(
            None,
            report,
            History(first.fitted.history, task.metrics),
            whole,
            [(one.predictor, one.job.split.test) for one in members],
            any(one.failed for one in members),
        )
        learner = first.learner
        if setup.repeats.final:
            trained, learner = trained_on_all(workshop, whole, members, trained, learner)
            if trained.interrupt is not None:
                raise trained.interrupt
            if trained.kept is None:
                raise TrainingError(trained.report.warnings[-1])
    _save(task, trained, learner, _settled(first, options), setup)
    return trained


def _settled(member: Member, options: RunOptions) -> dict[str, Any]:
    """Return the options of a run, settled, as JSON can hold them: with its first seed."""
    return provenance.shareable(msgspec.structs.replace(member.learner.options, seed=options.seed))


def _save(
    task: Task,
    trained: Trained[Predictor, Evaluation],
    learner: Learner,
    settled: Mapping[str, Any],
    setup: Setup,
) -> None:
    """Write the bundle, and forget the state that was kept beside it.

    Args:
        task: what was trained.
        trained: what came of it.
        learner: of the model that is kept.
        settled: what ``_settled`` returns.
        setup: of the run: where to.

    Raises:
        TrainingError: it cannot be written; the state stays.
    """
    if setup.out is None:
        return
    files = _files(task, trained, learner, settled, setup)
    replace = may_replace(setup.out, force=setup.force, resume=setup.resume)
    try:
        bundle.save(setup.out, trained.model, training=settled, files=files, force=replace)
    except BundleError as error:
        raise TrainingError(_not_saved(error, setup.out)) from error
    if not trained.report.stopped:
        forget(setup.out)


def _files(
    task: Task,
    trained: Trained[Predictor, Evaluation],
    learner: Learner,
    settled: Mapping[str, Any],
    setup: Setup,
) -> dict[str, bytes]:
    """Return the files that tell of a run."""
    from elman.training import figures

    assert setup.out is not None
    report, epochs = trained.report, trained.history
    asked = {name: value for name, value in settled.items() if name not in setup.decided}
    recipe = provenance.train_toml(task, asked, setup.request or {})
    told = task.files(setup.out.name, learner, report)
    section = provenance.section(task, report, trained.split, recipe)
    told["README.md"] += section.encode("utf-8", "replace")
    if epochs:
        curve = figures.learning_curve(epochs, task.metrics)
        told[history.FILE] = history.to_lines(epochs)
        told["learning-curve.png"] = figures.render(curve, "png")
    return {
        **told,
        METRICS: msgspec.json.format(msgspec.json.encode(report), indent=1),
        PREDICTIONS: output.as_csv(trained.predictions()),
        bundle.TRAIN_OPTIONS: recipe,
    }


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


def _not_saved(error: BundleError, out: Path) -> str:
    return (
        f"{bundle.without_fix(error)}; what was trained is kept in {training_folder(out)}: "
        "fix that, and the same command with --resume saves it"
    )
