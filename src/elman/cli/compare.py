"""`elman compare`: cells on data, or with ``--models`` saved models."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from elman.cli import options
from elman.cli.options import DATA_TEXT, option
from elman.data.files import expanded
from elman.data.splits import parse_fractions
from elman.errors import ConfigError
from elman.training import machine
from elman.training.bundle import is_bundle
from elman.training.options import MachineOptions
from elman.training.task import Task

_TEXT = f"""Train several cells on the same data and compare them.

Every cell sees the same split; the seed changes the first weights, the order of the batches and
the dropout. Networks are compared by themselves, whatever `--linear` and `--model` say. With
`--models`, saved models are compared; `elman compare --models --help` says how.

Parameters
----------
data
    {DATA_TEXT}
"""


def command(argv: Sequence[str]) -> Callable[..., int]:
    """Return the command with the options of the task that ``argv`` is about."""
    end = argv.index("--") if "--" in argv else len(argv)
    if _MODELS.name in [word.lstrip("-") for word in argv[:end] if word.startswith("--")]:
        return _command_of_models(argv)
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


_MODELS = option(
    "models",
    bool,
    False,
    "DATA begins with two or more saved models: judge those on the rest of it.",
    panel="data",
    flag=True,
)

_OF_TRAIN = (
    *("cell", "seed", "keep", "folds", "final", "init", "from_"),
    *("out", "force", "resume", "predictions"),
)

_OPTIONS = [
    option(
        "cells",
        str,
        "elman,lstm,gru",
        "Names of cells with commas between them, or file.py:name.",
        panel="network",
    ),
    option("seeds", int, 3, "How many runs of each cell.", panel="training"),
    option(
        "parameters",
        str | None,
        None,
        "How many each network is to have, as 500k or 1M: its hidden size follows.",
        panel="network",
        rule="what --hidden-size makes",
    ),
    _MODELS,
    options.json_option(),
    options.quiet_option(),
]


def _compare(
    data: str | list[str],
    *,
    task: Task,
    cells: str,
    seeds: int,
    parameters: str | None,
    json: bool,
    quiet: bool,
    split: str | None,
    config: Path | None,
    models: bool,
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
        parameters=parameters,
        split=fractions,
        progress=False,
        callbacks=[] if quiet else [SimpleNamespace(on_run=screen.print_run)],
        **given,
    )
    if json:
        screen.print_json(comparison)
    else:
        screen.print_comparison(comparison)
    return 1 if any(run.failed for run in comparison.runs) else 0


# ---------------------------------------------------------------------------------------------
# Saved models

_TEXT_OF_MODELS = f"""Judge two or more saved models on the same labelled examples.

Ends with how much they differ and whether that may be chance: an interval from examples drawn anew
(a paired bootstrap) for each metric, and McNemar's exact test of right and wrong answers.

Parameters
----------
models_and_data
    Folders of trained models of one task and the same classes, then data. {DATA_TEXT}
"""


def _command_of_models(argv: Sequence[str]) -> Callable[..., int]:
    """Return the command with the options of the first model that ``argv`` names."""
    task = options.task_of_model(argv)

    def compare(*words: str, models: bool, **given: Any) -> int:
        asked, others = options.machine_of(given)
        folders, data = _sorted(words)
        with machine.threads(asked.threads):
            return _compare_models(folders, data, device=asked.device, **others)

    parameters = [
        options.DATA.replace(name="models_and_data"),
        *options.column_options(task),
        *options.read_options(task),
        *options.options_of(MachineOptions),
        _MODELS,
        *_OPTIONS_OF_MODELS,
        options.json_option(),
    ]
    return options.with_signature(compare, parameters, text=_TEXT_OF_MODELS)


_OPTIONS_OF_MODELS = [
    option(
        "resamples", int, 2_000, "How often examples are drawn anew for an interval.", panel="data"
    ),
    option("seed", int, 0, "Of the drawing.", panel="data"),
]


def _sorted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the models, at least two, and the data.

    Raises:
        ConfigError: there are fewer words.
    """
    if len(words) < 3:
        raise ConfigError(
            "--models needs two or more models and labelled data, as in: "
            "elman compare --models models/a models/b test.csv"
        )
    count = 2
    while count < len(words) - 1 and is_bundle(Path(expanded(words[count]))):
        count += 1
    return list(words[:count]), list(words[count:])


def _compare_models(folders: list[str], data: list[str], *, json: bool, **given: Any) -> int:
    from elman.cli import screen
    from elman.lab.models import compare_models

    comparison = compare_models(folders, data[0] if len(data) == 1 else data, **given)
    if json:
        screen.print_json(comparison)
    else:
        screen.print_model_comparison(comparison)
    sys.stdout.flush()
    return 0
