"""Several cells on the same split, each from several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import msgspec

from elman.data.splits import Split
from elman.errors import ConfigError
from elman.training import classify
from elman.training.baselines import Baseline
from elman.training.config import TrainConfig


class Run(msgspec.Struct, frozen=True):
    """One cell trained once."""

    cell: str
    seed: int
    accuracy: float
    macro_f1: float
    parameters: int
    seconds: float
    epochs: int
    failed: str = ""


class Row(msgspec.Struct, frozen=True):
    """One cell over all seeds: means and sample standard deviations (0 for a single run)."""

    cell: str
    accuracy: float
    accuracy_spread: float
    macro_f1: float
    macro_f1_spread: float
    parameters: int
    seconds: float
    seconds_spread: float


class Comparison(msgspec.Struct, frozen=True):
    """What `elman compare` prints."""

    data: str
    test_texts: int
    rows: list[Row]
    runs: list[Run]
    baselines: list[Baseline]


def compare(
    split: Split,
    configs: Sequence[TrainConfig],
    *,
    seeds: int,
    on_run: Callable[[Run], None] | None = None,
) -> Comparison:
    """Train every config from seeds 0, 1, ... and gather the test scores.

    The seeds go round by round through the cells, so that a slow minute of the machine does not
    fall on one cell alone.
    """
    if not len(split.test):
        raise ConfigError("the test part is empty; give it a share, as in 0.8,0.1,0.1")
    runs: list[Run] = []
    prepared = classify.prepare(split, configs[0])
    for seed in range(seeds):
        for config in configs:
            seeded = msgspec.structs.replace(config, seed=seed)
            prepared = classify.prepare(split, seeded)
            fitted = classify.fit(prepared)
            if fitted.stopped and not fitted.failed:
                raise KeyboardInterrupt
            scores = classify.judge(fitted.model, split.test)
            runs.append(
                Run(
                    cell=config.cell_name,
                    seed=seed,
                    accuracy=scores.accuracy,
                    macro_f1=scores.macro_f1,
                    parameters=fitted.model.num_parameters,
                    seconds=fitted.seconds,
                    epochs=len(fitted.history),
                    failed=fitted.stopped,
                )
            )
            if on_run is not None:
                on_run(runs[-1])
    rows = [_row([run for run in runs if run.cell == config.cell_name]) for config in configs]
    return Comparison(
        split.train.source, len(split.test), rows, runs, classify.run_baselines(prepared)
    )


def _row(runs: Sequence[Run]) -> Row:
    accuracy, macro_f1, seconds = (
        [getattr(run, name) for run in runs] for name in ("accuracy", "macro_f1", "seconds")
    )
    return Row(
        cell=runs[0].cell,
        accuracy=statistics.fmean(accuracy),
        accuracy_spread=_spread(accuracy),
        macro_f1=statistics.fmean(macro_f1),
        macro_f1_spread=_spread(macro_f1),
        parameters=runs[0].parameters,
        seconds=statistics.fmean(seconds),
        seconds_spread=_spread(seconds),
    )


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
