"""Several cells on the same split, each from several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Unpack

import msgspec

from elman import api, tasks
from elman.callbacks import Callbacks
from elman.cell import Cell
from elman.cells import find, split_names
from elman.data.splits import Split
from elman.errors import ConfigError
from elman.keywords import CompareOptions
from elman.lab.sizes import number_of, with_parameters
from elman.text.summary import Summary, Table
from elman.text.terminal import counted
from elman.training import machine
from elman.training.fitting import Fitted, fit
from elman.training.options import RunOptions, declared
from elman.training.progress import ComparisonProgress, asked_for
from elman.training.report import Baseline
from elman.training.task import Learner, Predictor, Task


class Run(msgspec.Struct, frozen=True):
    """One cell trained once."""

    cell: str
    seed: int
    metrics: dict[str, float]
    """Of the test part, by names of the task's metrics."""
    parameters: int
    hidden_size: int | None
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
    hidden_size: int | None
    seconds: float
    seconds_spread: float


class Comparison(Summary, msgspec.Struct, frozen=True):
    """What `elman compare` prints."""

    task: str
    data: str
    test_count: int
    """Examples in the test part."""
    rows: list[Row]
    runs: list[Run]
    baselines: list[Baseline]

    def summary(self) -> Iterator[str | Table]:
        """Say how good each cell is: means and standard deviations over the seeds."""
        # Of a cell there are means alone; its baselines know which of the metrics a table shows.
        metrics = self.baselines[0].test.main if self.baselines else [*self.rows[0].mean]
        seeds = len(self.runs) // len(self.rows)
        spread = "; mean ± standard deviation" if seeds > 1 else ""
        count = counted(self.test_count, "test example")
        yield f"{self.data}: {count}, {counted(seeds, 'seed')}{spread}"
        rows = [
            [
                row.cell,
                *(
                    f"{row.mean[name]:.4f}" + f" ± {row.spread[name]:.3f}" * (seeds > 1)
                    for name in metrics
                ),
                f"{row.seconds:.1f}",
            ]
            for row in self.rows
        ]
        rows += [
            [one.name, *(f"{one.test.metrics[name]:.4f}" for name in metrics), f"{one.seconds:.1f}"]
            for one in self.baselines
        ]
        yield Table(["", *metrics, "seconds"], rows)


@api.shows(CompareOptions)
def compare(
    data: Any,
    *,
    task: str | None = None,
    cells: str | Sequence[str | Cell] = ("elman", "lstm", "gru"),
    seeds: int = 3,
    parameters: int | str | None = None,
    valid: Any = None,
    test: Any = None,
    split: api.Fractions | None = None,
    progress: bool | None = None,
    callbacks: Iterable[object] = (),
    **options: Unpack[CompareOptions],
) -> Comparison:
    """Train several cells on the same split from several seeds, and judge each on the test part.

    Args:
        data: as in ``elman.train``, and likewise:
        task: as there.
        cells: their names, in one string with commas between them or each by itself, or cells.
        seeds: how many runs of each cell, from seeds 0, 1, ...
        parameters: how many each network is to have, as in ``"1M"``: its hidden size follows;
            None gives all cells the same hidden size.
        valid: as in ``elman.train``.
        test: as there.
        split: as there.
        progress: as there; shows the runs.
        callbacks: as there; told of every run.
        **options: as there, but for ``cell`` and ``seed``.

    Raises:
        ConfigError, DataError, CellError: the request cannot work.
        KeyboardInterrupt: stopped; what was trained is lost.
    """
    api.check_data(data=data, valid=valid, test=test)
    api.check_shares(split)
    chosen = tasks.find(task) if task is not None else tasks.guess(data)
    names = _distinct(cells)
    if not isinstance(seeds, int) or seeds < 1:
        raise ConfigError(f"seeds is {seeds!r}; it must be a whole number of 1 or more")
    columns, reading, settings = api.sorted_out(chosen, options)
    own = cell_options(chosen.options)
    for name in (*own, "seed"):
        if name in settings:
            raise ConfigError(f"compare takes cells and seeds, not {name}")
    if settings.get("from_") is not None:
        raise ConfigError(
            "compare trains every cell from scratch, and a language model has one cell; leave out "
            "--from"
        )
    given = [{**settings, **dict.fromkeys(own, cell)} for cell in names]
    beside = compare.__kwdefaults__ or ()
    asked = [api.make_options(chosen, one, beside=beside) for one in given]
    wanted = None if parameters is None else number_of(parameters)
    machine.check_device(asked[0].device)
    _refuse_same_names([cell_name(one) for one in asked])
    shown = [ComparisonProgress(len(asked) * seeds)] if asked_for(progress) else []
    watcher = Callbacks(callbacks, first=shown)
    parts = api.read_split(
        chosen,
        data,
        columns,
        form=reading.form(),
        valid=valid,
        test=test,
        fractions=split,
        seed=0,
    )
    if wanted is not None:
        asked = [with_parameters(chosen, parts, one, wanted)[0] for one in asked]
    with watcher:
        return compare_split(chosen, parts, asked, seeds=seeds, watcher=watcher)


def compare_split(
    task: Task,
    split: Split[Any],
    options: Sequence[RunOptions],
    *,
    seeds: int,
    watcher: Callbacks | None = None,
) -> Comparison:
    """Train with each of ``options``, which differ in their cells, from seeds 0, 1, ...

    The seeds go round by round through the cells, so that a slow minute of the machine does not
    fall on one cell alone.
    """
    split.require_test()
    watcher = watcher or Callbacks(())
    runs: list[Run] = []
    baselines: list[Baseline] = []
    for seed in range(seeds):
        for asked in options:
            plain = task.plain(msgspec.structs.replace(asked, seed=seed))
            learner = task.prepare(split, plain)
            watcher.begin(task, split, learner)
            with machine.threads(asked.threads):
                fitted = fit(learner, on_batch=watcher.on_batch, on_epoch=watcher.on_epoch)
                watcher.end(fitted)
                if fitted.interrupt is not None:
                    raise fitted.interrupt
                predictor = task.predictor(learner)
                runs.append(_judged(split, learner, predictor, fitted, cell_name(asked)))
                baselines = baselines or task.baselines(
                    split, learner.options, predictor, fitted.seconds
                )
            watcher.on_run(task, runs[-1])
    names = [cell_name(asked) for asked in options]
    return Comparison(
        task=task.name,
        data=split.train.source,
        test_count=len(split.test),
        rows=[_row([run for run in runs if run.cell == name]) for name in names],
        runs=runs,
        baselines=baselines,
    )


def _judged(
    split: Split[Any], learner: Learner, predictor: Predictor, fitted: Fitted, cell: str
) -> Run:
    """Judge what was trained on the test part."""
    return Run(
        cell=cell,
        seed=learner.options.seed,
        metrics=predictor.evaluate(split.test).metrics,
        parameters=predictor.num_parameters,
        hidden_size=getattr(learner.options, "hidden_size", None),
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
        hidden_size=runs[0].hidden_size,
        seconds=statistics.fmean(seconds),
        seconds_spread=_spread(seconds),
    )


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
