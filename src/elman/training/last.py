"""A last fit, on all data, after the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median_low
from typing import Any

import msgspec

from elman.data.splits import Split
from elman.errors import TrainingError
from elman.training.fitting import Job, Member, Workshop, by_whom, together
from elman.training.report import Evaluation, Final
from elman.training.task import Learner, Predictor, Task
from elman.training.trained import Trained


def trained_on_all(
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
    predictor = together(workshop.task, [one.predictor for one in members])
    count = len(jobs[0].split.train)
    noted = Final(count, [len(one.fitted.history) for one in members])
    seconds = sum(one.fitted.all_seconds for one in members)
    judged_ones = "a model trained on the training part alone"
    if trained.kept is None:
        judged_ones = "models trained on a share of the data each"
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
            msgspec.structs.replace(options, epochs=epochs or options.epochs),
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
