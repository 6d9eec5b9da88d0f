"""What there is to say of a training, or of several: scores beside baselines, spreads, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import msgspec

from elman.data.splits import Split
from elman.training import provenance
from elman.training.fitting import Fitted, Member, by_whom
from elman.training.history import History
from elman.training.report import Baseline, Evaluation, Report, Spread, Training, headline
from elman.training.task import Learner, Predictor, Task


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
        seconds=fitted.all_seconds,
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
    network = next((one.test for one in baselines if one.network), test)
    return [
        f"the network is no better than {one.name}: it has learned nothing; try another "
        "--learning-rate or more --epochs, and look at the labels"
        for one in baselines
        if one.constant and not _is_better(task, network, one.test)
    ]


def _is_better(task: Task, scores: Evaluation, others: Evaluation) -> bool:
    """Whether any metric of the short tables is better."""
    return any(
        (scores.metrics[name] - others.metrics[name]) * (1 if metric.higher_is_better else -1) > 0
        for name, metric in headline(scores.metrics, task.metrics).items()
    )


# ---------------------------------------------------------------------------------------------
# Several seeds


def of_several(
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


def with_seeds(
    task: Task,
    report: Report[Evaluation],
    members: Sequence[Member],
    best: Member,
    chosen: Sequence[Member],
) -> Report[Evaluation]:
    """Add what became of each seed, and how far they are apart."""
    trainings = [_training(one, one.predictor.evaluate(one.job.split.test)) for one in members]
    name = f"mean of {len(chosen)} seeds" if len(chosen) > 1 else f"{best.name}, kept"
    left = "" if best.failed else "; it is left out"
    failed = [f"{one.name}: {one.failed}{left}" for one in members if one.failed]
    return msgspec.structs.replace(
        report,
        name=name,
        seconds=sum(one.fitted.all_seconds for one in members),
        trainings=trainings,
        spread=[_spread(task, "each by itself", [one.metrics for one in trainings])],
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
        seconds=member.fitted.all_seconds,
        failed=member.failed,
    )


def _spread(task: Task, name: str, metrics: Sequence[Mapping[str, float]]) -> Spread:
    """Return means and standard deviations of the headline metrics."""
    each = {key: [one[key] for one in metrics] for key in headline(metrics[0], task.metrics)}
    return Spread(
        name,
        mean={key: fmean(values) for key, values in each.items()},
        deviation={key: stdev(values) if len(values) > 1 else 0.0 for key, values in each.items()},
    )


# ---------------------------------------------------------------------------------------------
# Folds


def whole_of(task: Task, splits: Sequence[Split[Any]]) -> Split[Any]:
    """Return the data of all folds as one: all of it is learned from, and all of it judged."""
    parts = [part for part in (splits[0].train, splits[0].valid, splits[0].test) if len(part)]
    everything = task.join(parts)
    note = (
        f"each example was judged by the one of {len(splits)} models that had not seen it "
        "(cross-validation)"
    )
    notes = dict.fromkeys(note for split in splits for note in split.notes)
    told = dict.fromkeys(note for split in splits for note in split.test_notes)
    return Split(everything, everything.take([]), everything, (*notes,), (note, *told))


def of_folds(task: Task, members: Sequence[Member], whole: Split[Any]) -> Report[Evaluation]:
    """Judge each network on the fold that it has not seen, and its baselines likewise."""
    first = members[0]
    tests = [one.predictor.evaluate(one.job.split.test) for one in members]
    rivals = [
        task.baselines(one.job.split, one.learner.options, one.predictor, one.fitted.seconds)
        for one in members
    ]
    trainings = [_training(*one) for one in zip(members, tests, rivals, strict=True)]
    columns = [*zip(*rivals, strict=True)]  # of each baseline those of all folds
    rows = [("this model", [test.metrics for test in tests])]
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
        seconds=sum(one.fitted.all_seconds for one in members),
        epochs=len(first.fitted.history),
        best_epoch=first.best_epoch,
        stopped="",
        notes=provenance.told_by_name(dict.fromkeys((*whole.notes, *first.learner.notes)), whole),
        ended=first.fitted.ended,
        test_notes=provenance.told_by_name(whole.test_notes, whole),
        digest=whole.train.digest(),
        parts=whole.counts(),
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
