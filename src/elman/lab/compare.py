"""Several cells on the same split, each from several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from elman import api, tasks
from elman.cell import Cell
from elman.cells import find, split_names
from elman.data.files import expanded
from elman.data.splits import Split
from elman.errors import ConfigError
from elman.training import machine
from elman.training.options import RunOptions, declared
from elman.training.run import fit
from elman.training.task import Baseline, Learner, Task


class Run(msgspec.Struct, frozen=True):
    """One cell trained once."""

    cell: str
    seed: int
    metrics: dict[str, float]
    """Of the test part, by names of the task's metrics."""
    parameters: int
    seconds: float
    """Of training alone."""
    epochs: int
    failed: str = ""
    """Why training was cut short, or nothing."""


class Row(msgspec.Struct, frozen=True):
    """One cell over all seeds: means and sample standard deviations (0 for a single run)."""

    cell: str
    mean: dict[str, float]
    spread: dict[str, float]
    parameters: int
    seconds: float
    seconds_spread: float


class Comparison(msgspec.Struct, frozen=True):
    """What `elman compare` prints."""

    task: str
    data: str
    test_count: int
    """Examples in the test part."""
    rows: list[Row]
    runs: list[Run]
    baselines: list[Baseline]


def compare(
    data: str | Path,
    *,
    task: str | None = None,
    cells: str | Sequence[str | Cell] = ("elman", "lstm", "gru"),
    seeds: int = 3,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    fractions: tuple[float, float, float] | None = None,
    on_run: Callable[[Task, Run], None] | None = None,
    **options: Any,
) -> Comparison:
    """Train several cells on the same split from several seeds, and judge each on the test part.

    Args:
        data: as in ``elman.train``, and likewise:
        task: as there.
        cells: their names, in one string with commas between them or each by itself, or cells.
        seeds: how many runs of each cell, from seeds 0, 1, ...
        valid: as in ``elman.train``.
        test: as there.
        fractions: as there.
        **options: as there, but for ``cell`` and ``seed``.
        on_run: told of each run when it has ended.

    Raises:
        ConfigError, DataError, CellError: the request cannot work.
        KeyboardInterrupt: stopped; what was trained is lost.
    """
    api.check_paths(data=data, valid=valid, test=test)
    api.check_fractions(fractions)
    data, valid, test = expanded(data), expanded(valid), expanded(test)
    chosen = tasks.find(task) if task is not None else tasks.guess(data)
    names = _distinct(cells)
    if not isinstance(seeds, int) or seeds < 1:
        raise ConfigError(f"seeds is {seeds!r}; it must be a whole number of 1 or more")
    columns, settings = api.sorted_out(chosen, options)
    own = cell_options(chosen.options)
    for name in (*own, "seed"):
        if name in settings:
            raise ConfigError(f"compare takes cells and seeds, not {name}")
    asked = [api.make_options(chosen, {**settings, **dict.fromkeys(own, cell)}) for cell in names]
    machine.check_device(asked[0].device)
    _refuse_same_names([cell_name(one) for one in asked])
    split = api.read_split(
        chosen, data, columns, valid=valid, test=test, fractions=fractions, seed=0
    )
    return compare_split(chosen, split, asked, seeds=seeds, on_run=on_run)


def compare_split(
    task: Task,
    split: Split[Any],
    options: Sequence[RunOptions],
    *,
    seeds: int,
    on_run: Callable[[Task, Run], None] | None = None,
) -> Comparison:
    """Train with each of ``options``, which differ in their cells, from seeds 0, 1, ...

    The seeds go round by round through the cells, so that a slow minute of the machine does not
    fall on one cell alone.
    """
    split.require_test()
    runs: list[Run] = []
    settled = options[0]
    for seed in range(seeds):
        for asked in options:
            learner = task.prepare(split, msgspec.structs.replace(asked, seed=seed))
            settled = learner.options
            with machine.threads(asked.threads):
                runs.append(_run(task, split, learner, name=cell_name(asked), seed=seed))
            if on_run is not None:
                on_run(task, runs[-1])
    names = [cell_name(asked) for asked in options]
    return Comparison(
        task=task.name,
        data=split.train.source,
        test_count=len(split.test),
        rows=[_row([run for run in runs if run.cell == name]) for name in names],
        runs=runs,
        baselines=task.baselines(split, settled),
    )


def _run(task: Task, split: Split[Any], learner: Learner, *, name: str, seed: int) -> Run:
    """Train one cell from one seed and judge it."""
    fitted = fit(learner)
    if fitted.interrupt is not None:
        raise fitted.interrupt
    predictor = task.predictor(learner)
    return Run(
        cell=name,
        seed=seed,
        metrics=predictor.evaluate(split.test).metrics,
        parameters=predictor.num_parameters,
        seconds=fitted.seconds,
        epochs=len(fitted.history),
        failed=fitted.stopped or fitted.astray,
    )


def cell_options(options: type[RunOptions]) -> list[str]:
    """Return the options that take a cell: `compare` gives all of them the same."""
    return [one.name for one in declared(options) if one.takes_cell]


def cell_name(options: RunOptions) -> str:
    """Return the name of the cell that is asked for, as it was given."""
    return str(options.to_dict()[cell_options(type(options))[0]])


def _refuse_same_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"two of the cells are both called {name}; give each a name of its own"
            )


def _distinct(given: str | Sequence[str | Cell]) -> list[str | Cell]:
    names = split_names(given) if isinstance(given, str) else given
    # Two names of one cell, such as lstm and LSTM, are trained once.
    distinct: list[str | Cell] = []
    for name in names:
        if find(name) not in map(find, distinct):
            distinct.append(name)
    if not distinct:
        raise ConfigError("cells names no cell; give for example elman,lstm,gru")
    return distinct


def _row(runs: Sequence[Run]) -> Row:
    metrics: list[Mapping[str, float]] = [run.metrics for run in runs]
    seconds = [run.seconds for run in runs]
    return Row(
        cell=runs[0].cell,
        mean={name: statistics.fmean(m[name] for m in metrics) for name in metrics[0]},
        spread={name: _spread([m[name] for m in metrics]) for name in metrics[0]},
        parameters=runs[0].parameters,
        seconds=statistics.fmean(seconds),
        seconds_spread=_spread(seconds),
    )


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
