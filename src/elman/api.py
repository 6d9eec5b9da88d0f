"""What people call: `train`, `load`, `evaluate`. Each command of that name is a shell over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from elman import tasks
from elman.data.splits import Split
from elman.errors import BundleError, ConfigError
from elman.training import bundle
from elman.training.options import RunOptions, declared, meant, shorts
from elman.training.run import Trained, Watcher, run
from elman.training.task import Evaluation, Predictor, Task

Fractions = tuple[float, float, float]


def train(
    data: str | Path,
    *,
    task: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    fractions: Fractions | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> Trained:
    """Train a model and judge it beside its baselines.

    Args:
        data: a file, a folder, ``-`` for stdin, or a built-in data set.
        task: its name; None takes that of the built-in set, or what suits the file.
        out: the folder to write the model to; None writes nothing.
        overwrite: replace the model that stands at ``out``.
        resume: go on with the run of ``out`` that was stopped.
        valid: a file to validate on, instead of a share of ``data``.
        test: a file to test on, instead of a share of ``data``.
        fractions: shares of the training, validation and test parts (0.8, 0.1, 0.1; of the
            classifier with ``test`` given and 5,000 texts or more 0.98, 0.02, 0).
        watcher: is told of the run as it goes.
        **options: the task's columns (``text="review"``) and options (``cell="gru"``,
            ``epochs=3``), as ``elman train --task NAME --help`` lists them.

    Raises:
        ConfigError, DataError, CellError, BundleError: the request cannot work.
        TrainingError: the loss was not finite before the first epoch was whole.
        KeyboardInterrupt: stopped before the first epoch was whole.
    """
    check_paths(data=data, out=out, valid=valid, test=test)
    if resume and out is None:
        raise ConfigError("there is nothing to resume without out, the folder of the model")
    chosen = tasks.find(task) if task is not None else tasks.guess(data)
    columns, settings = sorted_out(chosen, options)
    asked = make_options(chosen, settings)
    place = None if out is None else Path(out)
    if place is not None:
        bundle.check_destination(place, overwrite=overwrite or resume)
    split = read_split(
        chosen, data, columns, valid=valid, test=test, fractions=fractions, seed=asked.seed
    )
    request = {
        "data": str(data),
        **columns,
        "valid": None if valid is None else str(valid),
        "test": None if test is None else str(test),
        "split": None if fractions is None else ",".join(map(str, fractions)),
    }
    return run(chosen, split, asked, out=place, resume=resume, watcher=watcher, request=request)


def load(path: str | Path, *, backend: str = "auto") -> Any:
    """Read a model that `train` or a model's ``save`` wrote.

    Args:
        path: the bundle's folder.
        backend: which backend runs the recurrence.

    Returns:
        The task's predictor; for a classifier a ``TextClassifierModel``.

    Raises:
        BundleError: a file is missing, damaged, foreign, or from another format version.
    """
    check_paths(data=path)
    task = task_of(path)
    return task.load(bundle.read(path), backend=backend)


def evaluate(
    model: Predictor | Trained | str | Path, data: str | Path, **columns: str | None
) -> Evaluation:
    """Judge a model on all examples of ``data``, as they are.

    Args:
        model: a model, what ``train`` returned, or a folder.
        data: a file, a folder, ``-`` for stdin, or a built-in data set.
        **columns: the task's columns, such as ``text="review"``.

    Raises:
        BundleError, ConfigError, DataError: the request cannot work.
    """
    if isinstance(model, Trained):
        model = model.model
    if isinstance(model, str | Path):
        task, predictor = task_of(model), None
    else:
        task, predictor = tasks.find(model.task), model
    known, others = sorted_out(task, columns)
    if others:
        raise _unknown(next(iter(others)), [*task.columns])
    examples = task.read(data, **known)
    return (predictor or load(cast("str | Path", model))).evaluate(examples)


def task_of(path: str | Path) -> Task:
    """Return the task of a saved model; imports no torch.

    Raises:
        BundleError: there is no model, or of a task that this Elman does not know.
    """
    name = bundle.read_config(Path(path)).task
    if name not in tasks.TASKS:
        raise BundleError(
            f"{path} is a model of the task {name!r}, which this Elman does not know; "
            "upgrade with `pip install -U elman`"
        )
    return tasks.find(name)


def check_paths(**paths: Any) -> None:
    """Refuse what cannot name a file.

    Raises:
        ConfigError: an argument is neither a string nor a path (nor None, but for ``data``).
    """
    for name, path in paths.items():
        if not (isinstance(path, str | Path) or (path is None and name != "data")):
            raise ConfigError(f"{name} is {path!r}; it must be a path, as a string or a Path")


def read_split(
    task: Task,
    data: str | Path,
    columns: Mapping[str, str | None],
    *,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    fractions: Fractions | None = None,
    seed: int = 0,
) -> Split[Any]:
    """Read ``data`` and the parts that are given, and cut the others from ``data``.

    Raises:
        ConfigError: ``fractions`` are no three shares.
        DataError: a part cannot be read.
    """
    if not isinstance(fractions, tuple | list | None):
        raise ConfigError(f"fractions is {fractions!r}; give three shares, as (0.8, 0.1, 0.1)")
    given = {
        name: None if part is None else task.read(part, **columns)
        for name, part in (("valid", valid), ("test", test))
    }
    return task.split(task.read(data, **columns), fractions=fractions, seed=seed, **given)


def make_options(task: Task, settings: Mapping[str, Any]) -> RunOptions:
    """Return a task's options, each checked, its cells found.

    Raises:
        ConfigError: there is no such option, or its value cannot work.
        CellError: there is no such cell.
    """
    names = [one.name for one in declared(task.options)]
    for name in settings:
        if name not in names:
            raise _unknown(name, [*task.columns, *names], shorts(task.options))
    options = task.options(**settings)
    options.cells()
    return options


def sorted_out(
    task: Task, options: Mapping[str, Any]
) -> tuple[dict[str, str | None], dict[str, Any]]:
    """Return what names columns, and the other options.

    Raises:
        ConfigError: a column is neither a name nor a number.
    """
    columns: dict[str, str | None] = {}
    for name in task.columns:
        value = options.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise ConfigError(f"{name} is {value!r}; it must be a column's name or number from 1")
        if value is not None:
            columns[name] = str(value)
    settings = {name: value for name, value in options.items() if name not in task.columns}
    return columns, settings


def _unknown(name: str, known: list[str], shorts: Mapping[str, str] | None = None) -> ConfigError:
    near = meant(name, known, shorts)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
    return ConfigError(f"there is no option {name}; {hint}")
