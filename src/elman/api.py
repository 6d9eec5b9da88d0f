"""What people call: `train`, `load`, `evaluate`. Each command of that name is a shell over it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from elman import tasks
from elman.data.files import expanded
from elman.data.splits import Split
from elman.errors import BundleError, ConfigError
from elman.training import bundle, machine
from elman.training.checkpoint import is_unfinished, training_folder
from elman.training.lock import locked
from elman.training.options import Device, MachineOptions, RunOptions, declared
from elman.training.run import Trained, Watcher, may_replace, run
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
        overwrite: replace the model or the stopped run that stands at ``out``.
        resume: go on with the run of ``out`` that was stopped.
        valid: a file to validate on, instead of a share of ``data``.
        test: a file to test on, instead of a share of ``data``.
        fractions: shares of the training, validation and test parts (0.8, 0.1, 0.1; of the
            classifier with ``test`` given and 5,000 texts or more 0.98, 0.02, 0).
        watcher: is told of the run as it goes.
        **options: the task's columns (``text="review"``) and options (``cell="gru"``,
            ``epochs=3``), as ``elman train --task NAME --help`` lists them.

    Raises:
        ConfigError, DataError, CellError, BundleError: the request cannot work, or another
            training writes to ``out``.
        TrainingError: the loss was not finite before the first epoch was whole, or the model
            cannot be written; what was trained then waits beside ``out`` for ``resume``.
        KeyboardInterrupt: stopped before the first epoch was whole.
    """
    check_paths(data=data, out=out, valid=valid, test=test)
    check_fractions(fractions)
    data, valid, test = expanded(data), expanded(valid), expanded(test)
    if resume and out is None:
        raise ConfigError("there is nothing to resume without out, the folder of the model")
    chosen = tasks.find(task) if task is not None else tasks.guess(data)
    columns, settings = sorted_out(chosen, options)
    asked = make_options(chosen, settings)
    machine.check_device(asked.device)
    place = None if out is None else Path(expanded(out))
    request = {
        "data": str(data),
        **columns,
        "valid": None if valid is None else str(valid),
        "test": None if test is None else str(test),
        "split": None if fractions is None else ",".join(map(str, fractions)),
    }
    with _reserved(place, overwrite=overwrite, resume=resume):
        split = read_split(
            chosen, data, columns, valid=valid, test=test, fractions=fractions, seed=asked.seed
        )
        return run(
            chosen,
            split,
            asked,
            out=place,
            overwrite=overwrite,
            resume=resume,
            watcher=watcher,
            request=request,
        )


@contextmanager
def _reserved(out: Path | None, *, overwrite: bool, resume: bool) -> Iterator[None]:
    """Keep other trainings away from ``out``, and refuse what must not be replaced there."""
    if out is None:
        yield
        return
    with locked(out):
        replace = may_replace(out, overwrite=overwrite, resume=resume)
        bundle.check_destination(out, overwrite=replace)
        if is_unfinished(out) and not (overwrite or resume):
            raise ConfigError(
                f"a stopped run stands in {training_folder(out)}; add --resume to go on with it, "
                "--force to begin anew, or choose another --out"
            )
        yield


def load(path: str | Path, *, backend: str = "auto", device: Device = "cpu") -> Any:
    """Read a model that `train` or a model's ``save`` wrote.

    Args:
        path: the bundle's folder.
        backend: which backend runs the recurrence.
        device: what computes: ``cpu``, or ``cuda`` for a GPU.

    Returns:
        The task's predictor; for a classifier a ``TextClassifierModel``.

    Raises:
        BundleError: a file is missing, damaged, foreign, or from another format version.
        ConfigError: the device is not there.
    """
    check_paths(data=path)
    MachineOptions(device=device)  # refuses other names
    path = expanded(path)
    task = task_of(path)
    machine.check_device(device)
    predictor = task.load(bundle.read(path), backend=backend)
    predictor.module.to(device)
    return predictor


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
    name = bundle.read_config(Path(expanded(path))).task
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
        ConfigError: the shares cannot be.
        DataError: a part cannot be read.
    """
    given = {
        name: None if part is None else task.read(part, **columns)
        for name, part in (("valid", valid), ("test", test))
    }
    return task.split(task.read(data, **columns), fractions=fractions, seed=seed, **given)


def check_fractions(fractions: Any) -> None:
    """Refuse what is no list of shares.

    Raises:
        ConfigError: it is something else (and not None).
    """
    if not isinstance(fractions, tuple | list | None):
        raise ConfigError(f"fractions is {fractions!r}; give three shares, as (0.8, 0.1, 0.1)")


def make_options(task: Task, settings: Mapping[str, Any]) -> RunOptions:
    """Return a task's options, each checked, its cells found.

    Raises:
        ConfigError: there is no such option, or its value cannot work.
        CellError: there is no such cell.
    """
    names = [one.name for one in declared(task.options)]
    for name in settings:
        if name not in names:
            raise _unknown(name, [*task.columns, *names])
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


def _unknown(name: str, known: list[str]) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return ConfigError(f"there is no option {name}; {hint}")
