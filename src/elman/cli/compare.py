"""`elman compare`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from elman.cli import options
from elman.cli.options import DATA_TEXT, option
from elman.data.splits import parse_fractions
from elman.training.task import Task

_TEXT = f"""Train several cells on the same data and compare them.

Every cell sees the same split; the seed changes the first weights, the order of the batches and
the dropout.

Parameters
----------
data
    {DATA_TEXT}
"""


def command(argv: Sequence[str]) -> Callable[..., int]:
    """Return the command with the options of the task that ``argv`` is about."""
    given = options.read_config(argv)
    # What a train.toml has beside: here several cells and seeds are trained, and nothing is kept.
    config = {name: value for name, value in given.items() if name not in _OF_TRAIN}
    task = options.task_for(argv, config)

    def compare(*data: str, **given: Any) -> int:
        return _compare(options.data_given(data), **{**given, "task": task})

    parameters = [
        options.DATA,
        *options.task_options(),
        *options.data_options(task),
        *_OPTIONS,
        *options.options_of(task.options, without=("cell", "seed")),
    ]
    return options.with_signature(compare, parameters, text=_TEXT, defaults=config)


_OF_TRAIN = ("cell", "seed", "out", "force", "resume", "predictions")

_OPTIONS = [
    option(
        "cells",
        str,
        "elman,lstm,gru",
        "Names of cells with commas between them, or file.py:name.",
        panel="network",
    ),
    option("seeds", int, 3, "How many runs of each cell.", panel="training"),
    options.json_option(),
]


def _compare(
    data: str | list[str],
    *,
    task: Task,
    cells: str,
    seeds: int,
    json: bool,
    split: str | None,
    config: Path | None,
    **given: Any,
) -> int:
    from elman.cli import screen
    from elman.lab.compare import compare

    fractions = None if split is None else parse_fractions(split)
    comparison = compare(
        data,
        task=task.name,
        cells=cells,
        seeds=seeds,
        split=fractions,
        progress=False,
        callbacks=[] if json else [SimpleNamespace(on_run=screen.print_run)],
        **given,
    )
    if json:
        screen.print_json(comparison)
    else:
        screen.print_comparison(comparison)
    return 1 if any(run.failed for run in comparison.runs) else 0
