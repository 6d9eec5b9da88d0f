"""One whole run of any task: parts of data in, a judged model in a folder out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import fmean, median_low, stdev
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from elman.data import output
from elman.data.splits import Split
from elman.errors import BundleError, ConfigError, TrainingError
from elman.text.summary import Summary, Table
from elman.training import bundle, history, machine, provenance
from elman.training.checkpoint import forget, training_folder
from elman.training.fitting import Fitted, Job, Member, Watcher, Workshop, by_whom, several
from elman.training.history import History
from elman.training.options import Repeats, RunOptions
from elman.training.task import (
    Baseline,
    Evaluation,
    Final,
    Learner,
    Predictor,
    Report,
    Spread,
    Task,
    Training,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


METRICS = "metrics.json"
PREDICTIONS = "test-predictions.csv"
ONCE = Repeats()

ModelT = TypeVar("ModelT", bound=Predictor)
ScoresT = TypeVar("ScoresT", bound=Evaluation)


@dataclass(frozen=True, repr=False)
class Trained(Summary, Generic[ModelT, ScoresT]):
    """What a run gives.

    Attributes:
        kept: the model that is kept; None of cross-validation alone. ``model`` is the same, and
            says so where there is none.
        report: test scores, baselines, sizes and notes.
        history: what happened in each epoch; of several networks, in those of the best.
        split: the parts that it was trained, tuned and judged on.
        judged: the models that were judged on test parts, each with its own.
        failed: whether training was cut short by a loss that was not finite or for want of memory,
            or went astray.
        interrupt: what the user or the system stopped it with.
    """

    kept: ModelT | None
    report: Report[ScoresT]
    history: History
    split: Split[Any]
    judged: Sequence[tuple[Predictor, Any]]
    failed: bool = False
    interrupt: KeyboardInterrupt | None = None

    @property
    def model(self) -> ModelT:
        """The model, ready to use.

        Raises:
            ConfigError: there is none, as cross-validation alone keeps none.
        """
        if self.kept is None:
            raise ConfigError("cross-validation alone keeps no model; add final=True")
        return self.kept

    def predictions(self) -> Iterator[dict[str, Any]]:
        """Return a row for each example of the test part, as the model's ``predictions`` does.

        They are those of the models that were judged: of cross-validation each example's is of the
        network that had not seen it.
        """
        return chain.from_iterable(model.predictions(part) for model, part in self.judged)

    def plot(self) -> Figure:
        """Draw the learning curve; returns a figure of matplotlib, which notebooks show."""
        return self.history.plot()

    def summary(self) -> Iterator[str | Table]:
        """Say what the report says, and what the model is."""
        yield from self.report.summary()
        if self.kept is None:
            yield "no model is kept of cross-validation alone (final=True); .report, .history"
        else:
            yield f"{self.kept!r} in .model; .history, .report, .plot()"


@dataclass(frozen=True)
class Destination:
    """Where a run is kept, and how it came to be.

    Attributes:
        out: the folder of the bundle; None writes nothing.
        force: replace what stands there.
        resume: go on with what was stopped there.
        request: where the data came from and how often it trains, for ``train.toml``.
        decided: options that follow from the model that the request names as ``init``.
    """

    out: Path | None = None
    force: bool = False
    resume: bool = False
    request: Mapping[str, Any] | None = None
    decided: Collection[str] = ()


def run(
    task: Task,
    split: Split[Any],
    options: RunOptions,
    *,
    repeats: Repeats = ONCE,
    init: Predictor | None = None,
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

    Of several seeds (``repeats``) the networks are kept together, or the best of them; where it is
    stopped, of those that are done.

    Raises:
        KeyboardInterrupt: stopped before the first epoch was whole.
        ConfigError: ``resume`` with nothing to resume, or with other options or data; or the task
            cannot average networks.
        BundleError: the state after an epoch cannot be written.
        TrainingError: the loss was not finite before the first epoch was whole, or the model
            cannot be written to ``out``.
    """
    split.require_test()
    if repeats.seeds > 1 and repeats.keep == "mean" and task.combine is None:
        raise ConfigError(f"networks of the task {task.name} have no mean; add --keep best")
    place = _destination(out, force, resume, request, init)
    workshop = _workshop(task, place, repeats, init, watcher)
    jobs = several(options, split, repeats.seeds)
    workshop.check(jobs)
    with machine.threads(options.threads):
        members, stop = workshop.train_all(jobs, anew=not resume)
        good = [one for one in members if not one.failed] or members
        best = max(good, key=lambda one: -float("inf") if one.score is None else one.score)
        chosen = good if repeats.keep == "mean" else [best]
        predictor = _together(task, [one.predictor for one in chosen])
        fitted = _of_several(members, best, len(jobs), stop)
        report = judge(task, split, best.learner, predictor, fitted)
        if len(jobs) > 1:
            report = _with_seeds(task, report, members, best, chosen)
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
            trained, learner = _trained_on_all(workshop, split, chosen, trained, learner)
    _save(task, trained, learner, _settled(best, options), place)
    return trained


def cross_validate(
    task: Task,
    splits: Sequence[Split[Any]],
    options: RunOptions,
    *,
    repeats: Repeats,
    init: Predictor | None = None,
    out: Path | None = None,
    force: bool = False,
    resume: bool = False,
    watcher: Watcher | None = None,
    request: Mapping[str, Any] | None = None,
) -> Trained[Predictor, Evaluation]:
    """Train on each of ``splits``, whose test parts are all of the data, and judge all of these.

    With ``repeats.final`` a last network is trained on all data, which is kept. The arguments are
    those of ``run``.

    Raises:
        KeyboardInterrupt: stopped; what is done is left beside ``out``.
        ConfigError, BundleError, TrainingError: as ``run``.
    """
    place = _destination(out, force, resume, request, init)
    workshop = _workshop(task, place, repeats, init, watcher)
    jobs = [Job(f"fold {i}", split, options) for i, split in enumerate(splits, start=1)]
    workshop.check(jobs)
    whole = _whole(task, splits)
    with machine.threads(options.threads):
        members, stop = workshop.train_all(jobs, anew=not resume)
        if stop is not None:
            raise stop
        report = _of_folds(task, members, whole)
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
        if repeats.final:
            trained, learner = _trained_on_all(workshop, whole, members, trained, learner)
            if trained.interrupt is not None:
                raise trained.interrupt
            if trained.kept is None:
                raise TrainingError(trained.report.warnings[-1])
    _save(task, trained, learner, _settled(first, options), place)
    return trained


def _destination(
    out: Path | None,
    force: bool,
    resume: bool,
    request: Mapping[str, Any] | None,
    init: Predictor | None,
) -> Destination:
    named = init is not None and (request or {}).get("init") is not None
    decided = init.settings if init is not None and named else ()
    return Destination(out, force, resume, request, tuple(decided))


def _workshop(
    task: Task,
    place: Destination,
    repeats: Repeats,
    init: Predictor | None,
    watcher: Watcher | None,
) -> Workshop:
    plan = {**repeats.to_dict(), "init": None if init is None else provenance.digest_of(init)}
    return Workshop(task, place.out, place.resume, plan, init, watcher)


def _together(task: Task, predictors: Sequence[Predictor]) -> Predictor:
    """Return the mean of several models, or the only one."""
    if len(predictors) == 1 or task.combine is None:
        return predictors[0]
    return task.combine(predictors)


def _settled(member: Member, options: RunOptions) -> dict[str, Any]:
    """Return the options of a run, settled, as JSON can hold them: with its first seed."""
    return provenance.shareable(msgspec.structs.replace(member.learner.options, seed=options.seed))


def _save(
    task: Task,
    trained: Trained[Predictor, Evaluation],
    learner: Learner,
    settled: Mapping[str, Any],
    place: Destination,
) -> None:
    """Write the bundle, and forget the state that was kept beside it.

    Args:
        task: what was trained.
        trained: what came of it.
        learner: of the model that is kept.
        settled: what ``_settled`` returns.
        place: where to.

    Raises:
        TrainingError: it cannot be written; the state stays.
    """
    if place.out is None:
        return
    files = _files(task, trained, learner, settled, place)
    replace = may_replace(place.out, force=place.force, resume=place.resume)
    try:
        bundle.save(place.out, trained.model, training=settled, files=files, force=replace)
    except BundleError as error:
        raise TrainingError(_not_saved(error, place.out)) from error
    if not trained.report.stopped:
        forget(place.out)


def _files(
    task: Task,
    trained: Trained[Predictor, Evaluation],
    learner: Learner,
    settled: Mapping[str, Any],
    place: Destination,
) -> dict[str, bytes]:
    """Return the files that tell of a run."""
    from elman.training import figures

    assert place.out is not None
    report, epochs = trained.report, trained.history
    curve = figures.learning_curve(epochs, task.metrics)
    asked = {name: value for name, value in settled.items() if name not in place.decided}
    recipe = provenance.train_toml(task, asked, place.request or {})
    told = task.files(place.out.name, learner, report)
    section = provenance.section(task, report, trained.split, recipe)
    told["README.md"] += section.encode("utf-8", "replace")
    return {
        **told,
        METRICS: msgspec.json.format(msgspec.json.encode(report), indent=1),
        PREDICTIONS: output.as_csv(trained.predictions()),
        "history.jsonl": history.to_lines(epochs),
        "learning-curve.png": figures.render(curve, "png"),
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


# ---------------------------------------------------------------------------------------------
# Judging


def judge(
    task: Task, split: Split[Any], learner: Learner, predictor: Predictor, fitted: Fitted
) -> Report[Evaluation]:
    """Judge a trained model on the test part, beside its baselines."""
    test = predictor.evaluate(split.test)
    # Who stops a run wants the model now, not after a baseline.
    baselines = [] if fitted.stopped else task.baselines(split, learner.options)
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
        for name, metric in task.metrics.items()
        if metric.headline
    )


# ---------------------------------------------------------------------------------------------
# Several seeds


def _of_several(
    members: Sequence[Member], best: Member, count: int, stop: KeyboardInterrupt | None
) -> Fitted:
    """Return how training went: of the best network, and what stopped the others."""
    if stop is None or count == 1:
        return best.fitted
    if len(members) == 1 and members[0].fitted.stopped:
        stopped = f"{members[0].name}, the first of {count}, was {members[0].fitted.stopped}"
    else:
        stopped = (
            f"stopped by {by_whom(stop)} when {len(members)} of {count} seeds were trained; the "
            "model is of these"
        )
    return Fitted(best.fitted.history, stopped, interrupt=stop)


def _with_seeds(
    task: Task,
    report: Report[Evaluation],
    members: Sequence[Member],
    best: Member,
    chosen: Sequence[Member],
) -> Report[Evaluation]:
    """Add what became of each seed, and how far they are apart."""
    trainings = [_training(one, one.predictor.evaluate(one.job.split.test)) for one in members]
    name = f"mean of {len(chosen)} networks" if len(chosen) > 1 else f"{best.name}, kept"
    left = "" if best.failed else "; it is left out"
    failed = [f"{one.name}: {one.failed}{left}" for one in members if one.failed]
    return msgspec.structs.replace(
        report,
        name=name,
        seconds=sum(one.fitted.seconds for one in members),
        trainings=trainings,
        spread=[_spread(task, "one network alone", [one.metrics for one in trainings])],
        warnings=[*(one for one in report.warnings if one != best.fitted.astray), *failed],
    )


def _training(member: Member, test: Evaluation, baselines: Sequence[Baseline] = ()) -> Training:
    return Training(
        name=member.name,
        seed=member.learner.options.seed,
        count=test.count,
        metrics=test.metrics,
        baselines={one.name: one.test.metrics for one in baselines},
        score=member.score,
        epochs=len(member.fitted.history),
        best_epoch=member.best_epoch,
        seconds=member.fitted.seconds,
        failed=member.failed,
    )


def _spread(task: Task, name: str, metrics: Sequence[Mapping[str, float]]) -> Spread:
    """Return means and standard deviations of the headline metrics."""
    each = {key: [one[key] for one in metrics] for key, one in task.metrics.items() if one.headline}
    return Spread(
        name,
        mean={key: fmean(values) for key, values in each.items()},
        deviation={key: stdev(values) if len(values) > 1 else 0.0 for key, values in each.items()},
    )


# ---------------------------------------------------------------------------------------------
# Folds


def _whole(task: Task, splits: Sequence[Split[Any]]) -> Split[Any]:
    """Return the data of all folds as one: all of it is learned from, and all of it judged."""
    parts = [part for part in (splits[0].train, splits[0].valid, splits[0].test) if len(part)]
    everything = task.join(parts)
    note = (
        f"each was judged by one of {len(splits)} networks that had not seen it (cross-validation)"
    )
    notes = dict.fromkeys(note for split in splits for note in split.notes)
    told = dict.fromkeys(note for split in splits for note in split.test_notes)
    return Split(everything, everything.take([]), everything, (*notes,), (note, *told))


def _of_folds(task: Task, members: Sequence[Member], whole: Split[Any]) -> Report[Evaluation]:
    """Judge each network on the fold that it has not seen, and its baselines likewise."""
    first = members[0]
    tests = [one.predictor.evaluate(one.job.split.test) for one in members]
    rivals = [task.baselines(one.job.split, one.learner.options) for one in members]
    trainings = [_training(*one) for one in zip(members, tests, rivals, strict=True)]
    columns = [*zip(*rivals, strict=True)]  # of each baseline those of all folds
    rows = [("this network", [test.metrics for test in tests])]
    rows += [(column[0].name, [one.test.metrics for one in column]) for column in columns]
    sizes = [len(one.job.split.train) for one in members]
    test, pooled = task.pooled(tests), [_pooled(task, column, sizes, whole) for column in columns]
    return Report(
        task=task.name,
        data=provenance.name_of(whole.train.source),
        test=test,
        baselines=pooled,
        sizes=task.sizes(whole),
        parameters=first.predictor.num_parameters,
        seconds=sum(one.fitted.seconds for one in members),
        epochs=len(first.fitted.history),
        best_epoch=first.best_epoch,
        stopped="",
        notes=provenance.told_by_name(dict.fromkeys((*whole.notes, *first.learner.notes)), whole),
        ended=first.fitted.ended,
        test_notes=provenance.told_by_name(whole.test_notes, whole),
        digest=whole.train.digest(),
        warnings=[
            *(f"{one.name}: {one.failed}" for one in members if one.failed),
            *_warnings(task, test, pooled, Fitted([])),
        ],
        trainings=trainings,
        spread=[_spread(task, name, metrics) for name, metrics in rows],
    )


def _pooled(
    task: Task, folds: Sequence[Baseline], sizes: Sequence[int], whole: Split[Any]
) -> Baseline:
    """Return one baseline over all folds, whose training parts have so many examples."""
    learned = [one.trained_on for one in folds]
    return msgspec.structs.replace(
        folds[0],
        test=task.pooled([one.test for one in folds]),
        seconds=sum(one.seconds for one in folds),
        trained_on=len(whole.train) if learned == [*sizes] else min(learned),
    )


# ---------------------------------------------------------------------------------------------
# A last fit on all data


def _trained_on_all(
    workshop: Workshop,
    split: Split[Any],
    judged: Sequence[Member],
    trained: Trained[Predictor, Evaluation],
    learner: Learner,
) -> tuple[Trained[Predictor, Evaluation], Learner]:
    """Train once more on all parts, as long as was best; keep that, with the scores of before.

    Of several seeds each is trained once more; of folds one network is, for the median of their
    best epochs. Where that fails or is stopped, what was judged is kept, and that is said.

    Returns:
        What the run gives, and the learner of the model that is kept.
    """
    jobs = _jobs_on_all(workshop.task, split, judged)
    try:
        members, stop = workshop.train_all(jobs)
    except KeyboardInterrupt as interrupt:
        members, stop = [], interrupt
    except TrainingError as error:
        return _not_on_all(trained, f"the last fit on all data failed: {error}", None), learner
    if stop is not None:
        said = f"stopped by {by_whom(stop)} in the last fit, on all data"
        return _not_on_all(trained, said, stop), learner
    failed = [one.failed for one in members if one.failed]
    if failed:
        return _not_on_all(trained, f"the last fit on all data failed: {failed[0]}", None), learner
    predictor = _together(workshop.task, [one.predictor for one in members])
    count = len(jobs[0].split.train)
    noted = Final(count, [one.job.options.epochs or 0 for one in members])
    seconds = sum(one.fitted.seconds for one in members)
    judged_ones = "a model trained on the training part alone"
    if trained.kept is None:
        judged_ones = "networks trained on a share of the data each"
    said = f"scores are of {judged_ones}; this one saw all {count:,} examples"
    report = msgspec.structs.replace(
        trained.report,
        final=noted,
        parameters=predictor.num_parameters,
        seconds=trained.report.seconds + seconds,
        test_notes=[said, *trained.report.test_notes],
    )
    return replace(trained, kept=predictor, report=report), members[0].learner


def _jobs_on_all(task: Task, split: Split[Any], judged: Sequence[Member]) -> list[Job]:
    parts = [split.train] if split.train is split.test else [split.train, split.valid, split.test]
    everything = task.join([part for part in parts if len(part)])
    nothing = everything.take([])
    whole = Split(everything, nothing, nothing, ())
    tuned = [one.predictor for one in judged]
    if judged[0].job.split is split:
        each = [([one.predictor], one.best_epoch, one.learner.options) for one in judged]
    else:  # of folds, whose parts are others
        epochs = median_low(one.best_epoch for one in judged)
        each = [(tuned, epochs, judged[0].learner.options)]
    return [
        Job(
            f"all data, seed {options.seed}" if len(each) > 1 else "all data",
            whole,
            msgspec.structs.replace(options, epochs=epochs),
            lent,
        )
        for lent, epochs, options in each
    ]


def _not_on_all(
    trained: Trained[Predictor, Evaluation], said: str, stop: KeyboardInterrupt | None
) -> Trained[Predictor, Evaluation]:
    """Keep what was judged, and say why there is no other model."""
    sentence = f"{said}; the model is the one that was judged"
    report = msgspec.structs.replace(
        trained.report,
        stopped=sentence if stop is not None else trained.report.stopped,
        warnings=[*trained.report.warnings, *([] if stop is not None else [sentence])],
    )
    failed = trained.failed or stop is None
    return replace(trained, report=report, failed=failed, interrupt=stop)
