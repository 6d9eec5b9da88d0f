"""What people call: `train`, `load`, `evaluate`. Each command of that name is a shell over it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Unpack, cast, get_type_hints

import msgspec

from elman import tasks
from elman.callbacks import Callbacks
from elman.data.columns import NOTHING
from elman.data.files import expanded
from elman.data.form import AS_TOLD, Form
from elman.data.source import items_of
from elman.data.splits import Split
from elman.data.typed import is_table
from elman.errors import BundleError, ConfigError, DataError
from elman.ir import text as ir_text
from elman.keywords import EvaluateOptions, TrainOptions
from elman.text.vectors.folder import TASK as WORD_VECTORS
from elman.training import bundle, machine
from elman.training.checkpoint import is_unfinished, training_folder
from elman.training.lock import locked
from elman.training.options import (
    Device,
    Keep,
    MachineOptions,
    ReadOptions,
    Repeats,
    RunOptions,
    declared,
    disagreement,
    meant,
    shorts,
)
from elman.training.progress import TrainingProgress, asked_for
from elman.training.run import Setup, cross_validate, may_replace, run
from elman.training.task import Predictor, Task
from elman.training.trained import Trained

if TYPE_CHECKING:
    from elman.tasks.classify.metrics import Classification
    from elman.tasks.classify.predictor import TextClassifierModel

    # What a call returns follows from the data, which no type tells: the classifier's, as the most
    # frequent one, is what editors complete; `cast` says otherwise.
    Model: TypeAlias = TextClassifierModel
    Scores: TypeAlias = Classification

Fractions = tuple[float, float, float]
Called = TypeVar("Called", bound=Callable[..., Any])


def shows(keywords: type) -> Callable[[Called], Called]:
    """Return a decorator that shows each of the ``keywords`` in the signature, for the tab key.

    A function's ``**options`` are named and typed for editors by ``elman.keywords``; `help` and
    notebooks see the signature of the function as it runs.
    """
    hints = get_type_hints(keywords)
    structs = [ReadOptions, *(tasks.find(name).options for name in tasks.TASKS)]
    defaults = {one.name: one.default for struct in structs for one in declared(struct)}

    def decorate(function: Called) -> Called:
        signature = inspect.signature(function)
        kind = inspect.Parameter.KEYWORD_ONLY
        shown = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        shown += [
            inspect.Parameter(name, kind, default=defaults.get(name), annotation=hint)
            for name, hint in hints.items()
        ]
        vars(function)["__signature__"] = signature.replace(parameters=shown)
        return function

    return decorate


@shows(TrainOptions)
def train(
    data: Any,
    *,
    task: str | None = None,
    out: str | Path | None = None,
    force: bool = False,
    resume: bool = False,
    valid: Any = None,
    test: Any = None,
    split: Fractions | None = None,
    seeds: int = 1,
    keep: Keep | None = None,
    folds: int | None = None,
    final: bool = False,
    init: Predictor | Trained[Any, Any] | str | Path | None = None,
    progress: bool | None = None,
    callbacks: Iterable[object] = (),
    **options: Unpack[TrainOptions],
) -> Trained[Model, Scores]:
    """Train a model and judge it beside its baselines.

    Args:
        data: a file, a folder, ``-`` for stdin, a built-in data set, a list of these; or a table: a
            data frame of pandas or polars, an Arrow table, a mapping of columns, a list of
            mappings or of tuples (text, label).
        task: its name; None takes that of the built-in set, or what suits the file.
        out: the folder to write the model to; None writes nothing.
        force: replace the model or the stopped run that stands at ``out``.
        resume: go on with the run of ``out`` that was stopped.
        valid: what to validate on, instead of a share of ``data``; likewise a file or a table.
        test: what to test on, instead of a share of ``data``.
        split: shares of the training, validation and test parts (0.8, 0.1, 0.1; of the
            classifier with ``test`` given and 5,000 texts or more 0.98, 0.02, 0).
        seeds: how many networks to train on the same parts, from ``seed``, ``seed + 1`` ...
        keep: of several: ``mean`` keeps all as one model whose answers are the mean of theirs,
            ``best`` the one with the best validation score; None means ``mean``, but ``best`` for
            a task whose answers have no mean, such as ``tag``.
        folds: cross-validation: cut ``data`` into so many parts and train for each, which is the
            test part once; with ``final`` a model is kept, without it the scores alone.
        final: after the scores train once more, on all data and as long as was best, and keep that
            model; the scores stay those of what was trained on the training part.
        init: a model to go on from, what ``train`` returned or a folder: its weights are the first
            ones, those of classes by their names; its sizes and its tokenizer stay.
        progress: show how it goes; None shows it in a notebook and on a terminal.
        callbacks: functions, called with each epoch, or objects as ``elman.callbacks`` tells; what
            one raises ends the run.
        **options: the task's columns (``text="review"``) and options (``cell="gru"``,
            ``epochs=3``), as ``elman train --task NAME --help`` lists them.

    Raises:
        ConfigError, DataError, CellError, BundleError: the request cannot work, or another
            training writes to ``out``.
        TrainingError: the loss was not finite before the first epoch was whole, or the model
            cannot be written; what was trained then waits beside ``out`` for ``resume``.
        KeyboardInterrupt: stopped before the first epoch was whole.
    """
    check_paths(out=out)
    check_data(data=data, valid=valid, test=test)
    check_shares(split)
    if resume and out is None:
        raise ConfigError("there is nothing to resume without out, the folder of the model")
    repeats = Repeats(seeds=seeds, keep=keep, folds=folds, final=final)
    _check_folds(repeats, out=out, valid=valid, test=test, split=split)
    first = None if init is None else model_given(init, name="init")
    if task is not None or first is None:
        chosen = tasks.find(task) if task is not None else tasks.guess(data)
    else:
        chosen = first.task
    columns, reading, settings = sorted_out(chosen, options)
    asked = make_options(chosen, settings, beside=train.__kwdefaults__ or ())
    machine.check_device(asked.device)
    before, source = None, getattr(asked, "from_", None)
    if first is not None:
        if source is not None:
            raise ConfigError("--init and --from both name a model to start from; leave out one")
        before, asked = _to_go_on_from(first, chosen, asked, settings)
    elif source is not None:
        asked = _settled_by(asked.decided(), asked, settings, source="--from")
    shown = [TrainingProgress()] if asked_for(progress) else []
    watcher = Callbacks(callbacks, first=shown)
    request = {
        **{name: _named(part) for name, part in (("data", data), ("valid", valid), ("test", test))},
        **columns,
        **reading.given(),
        **repeats.given(),
        "init": str(init) if isinstance(init, str | Path) else None,
        "split": None if split is None else ",".join(map(str, split)),
    }
    place = None if out is None else Path(expanded(out))
    setup = Setup(
        repeats=repeats,
        init=before,
        out=place,
        force=force,
        resume=resume,
        watcher=watcher,
        request=request,
    )
    like = None if first is None else first.trained
    trained: Trained[Predictor, Any]
    with _reserved(place, force=force, resume=resume), watcher:
        if repeats.folds is not None:
            examples = read_all(chosen, data, columns, reading.form(), like)
            cuts = chosen.folds(examples, count=repeats.folds, seed=asked.seed)
            trained = cross_validate(chosen, cuts, asked, setup)
        else:
            parts = read_split(
                chosen,
                data,
                columns,
                form=reading.form(),
                valid=valid,
                test=test,
                fractions=split,
                seed=asked.seed,
                like=like,
            )
            trained = run(chosen, parts, asked, setup)
    return cast("Trained[Model, Scores]", trained)


def _check_folds(repeats: Repeats, *, out: Any, **parts: Any) -> None:
    """Refuse what cross-validation cannot do.

    Raises:
        ConfigError: there is no model to be kept, or a part of the data is given.
    """
    if repeats.folds is None:
        return
    for name, given in parts.items():
        if given is not None:
            raise ConfigError(f"--folds cuts all of the data by itself; leave out --{name}")
    if out is not None and not repeats.final:
        raise ConfigError(
            "cross-validation alone keeps no model; add --final to train one on all data after "
            "the scores, or leave out --out"
        )


def _to_go_on_from(
    first: GivenModel, task: Task, options: RunOptions, given: Mapping[str, Any]
) -> tuple[Predictor, RunOptions]:
    """Return the model to go on from, and the options with what it has decided.

    Raises:
        ConfigError: it is of another task, or the options ask for something else than it is.
    """
    if first.task.name != task.name:
        raise ConfigError(
            f"--init is a model of the task {first.task.name}, not of {task.name}; choose another"
        )
    model = first.load("cpu")
    return model, _settled_by(model.settings, options, given, source="--init")


def _settled_by(
    decided: Mapping[str, Any], options: RunOptions, given: Mapping[str, Any], *, source: str
) -> RunOptions:
    """Return the options with what a model has decided, which ``source`` names.

    Only what is ``given`` can ask for something else, also where it is an option's default.

    Raises:
        ConfigError: the options ask for something else than the model is.
    """
    own = msgspec.structs.replace(options, **decided)
    cells = [
        {name: ir_text.write(cell.graph) for name, cell in one.cells().items()}
        for one in (options, own)
    ]
    then, now = ({**one.to_dict(), **cell} for one, cell in zip((options, own), cells, strict=True))
    for name, value in given.items():
        if value is not None and then[name] != now[name]:
            raise ConfigError(disagreement(source, name, options, own))
    return own


@contextmanager
def _reserved(out: Path | None, *, force: bool, resume: bool) -> Iterator[None]:
    """Keep other trainings away from ``out``, and refuse what must not be replaced there."""
    if out is None:
        yield
        return
    with locked(out):
        replaces = may_replace(out, force=force, resume=resume)
        if is_unfinished(out) and not force:
            _refuse_to_lose(out, resume=resume)
        bundle.check_destination(out, force=replaces)
        yield


def _refuse_to_lose(out: Path, *, resume: bool) -> None:
    """Refuse to begin anew where a run was stopped, or to replace a model that is not that run's.

    Raises:
        ConfigError: with what to add.
    """
    other = bundle.is_bundle(out) and not may_replace(out, force=False, resume=True)
    if resume and not other:
        return
    go_on = "--force --resume" if other else "--resume"
    beside = f", which will replace the model at {out}" if other else ""
    raise ConfigError(
        f"a stopped run stands in {training_folder(out)}{beside}; add {go_on} to go on with it, "
        "--force alone to begin anew, or choose another --out"
    )


def load(path: str | Path, *, backend: str = "auto", device: Device = "cpu") -> Model:
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
    check_paths(path=path)
    MachineOptions(device=device)  # refuses other names
    path = expanded(path)
    task = task_of(path)
    machine.check_device(device)
    predictor = task.load(bundle.read(path), backend=backend)
    predictor.module.to(device)
    return cast("Model", predictor)


@shows(EvaluateOptions)
def evaluate(
    model: Predictor | Trained[Any, Any] | str | Path,
    data: Any,
    **options: Unpack[EvaluateOptions],
) -> Scores:
    """Judge a model on all examples of ``data``, as they are.

    Args:
        model: a model, what ``train`` returned, or a folder.
        data: as ``train`` takes it.
        **options: the task's columns, such as ``text="review"``, how files are read, such as
            ``encoding="cp1251"``, and how the model answers, such as ``threshold=0.3``.

    Raises:
        BundleError, ConfigError, DataError: the request cannot work.
    """
    given = model_given(model)
    known = [one.name for one in declared(given.task.scoring)]
    asked = {name: value for name, value in options.items() if name in known}
    others = {name: value for name, value in options.items() if name not in known}
    scoring = given.task.scoring(**asked).to_dict()
    examples = read_labelled(given, data, others)
    return cast("Scores", given.load("cpu").evaluate(examples, **scoring))


@dataclass(frozen=True)
class GivenModel:
    """A model that someone names: its task is known, its weights need not be read yet."""

    task: Task
    load: Callable[[Device], Predictor]
    """Reads it where it is a folder."""
    trained: Recorded


def model_given(model: Any, *, name: str = "model") -> GivenModel:
    """Return what is known of a model, of what ``train`` returned, or of a folder.

    ``name`` is what the caller's argument is called.

    Raises:
        BundleError: there is no model in the folder.
        ConfigError: it is something else.
    """
    if isinstance(model, Trained):
        model = model.model
    if isinstance(model, str | Path):
        task, place = task_of(model), model
        return GivenModel(task, lambda device: load(place, device=device), recorded(task, place))
    if isinstance(getattr(model, "task", None), str):
        read = Recorded(multilabel=bool(getattr(model, "several", False)))
        return GivenModel(tasks.find(model.task), lambda _: cast(Predictor, model), read)
    raise ConfigError(
        f"{name} is {model!r:.80}; give a model, what elman.train returned, or a folder"
    )


def read_labelled(model: GivenModel, data: Any, options: Mapping[str, Any]) -> Any:
    """Read labelled examples for a model, as the data of its training were read.

    Raises:
        ConfigError: one of the ``options`` is neither a column nor says how files are read.
        DataError: they cannot be read.
    """
    check_data(data=data)
    columns, reading, others = sorted_out(model.task, options)
    if others:
        known = [one.name for one in declared(model.task.scoring)]
        names = [*model.task.columns, *model.task.reading, *known]
        raise _unknown(next(iter(others)), names)
    return read_all(model.task, data, columns, reading.form(), model.trained)


def task_of(path: str | Path) -> Task:
    """Return the task of a saved model; imports no torch.

    Raises:
        BundleError: there is no model, or of a task that this Elman does not know.
    """
    name = bundle.read_config(Path(expanded(path))).task
    if name == WORD_VECTORS:
        raise BundleError(
            f"{path} holds word vectors, which answer no texts; ask them with "
            f"`elman vectors similar {path} WORD`"
        )
    if name not in tasks.TASKS:
        raise BundleError(
            f"{path} is a model of the task {name!r}, which this Elman does not know; "
            "upgrade with `pip install -U elman`"
        )
    return tasks.find(name)


@dataclass(frozen=True)
class Recorded:
    """How the data of a model's training were read, as far as it was said."""

    columns: Mapping[str, str] = field(default_factory=dict)
    header: bool | None = None
    multilabel: bool = False
    label_separator: str | None = None
    lines: bool = False


def recorded(task: Task, path: str | Path) -> Recorded:
    """Return how the data of a saved model's training were read."""
    options = bundle.train_options(Path(expanded(path)))
    columns = {name: str(options[name]) for name in task.columns if name in options}
    names = ("header", "multilabel", "label_separator", "lines")
    return Recorded(columns, **{name: options[name] for name in names if name in options})


def read_as_trained(
    read: Callable[..., Any],
    data: Any,
    columns: Mapping[str, str | None],
    form: Form,
    trained: Recorded,
) -> Any:
    """Read a file with a task's ``read`` or ``read_inputs`` as the training data were.

    Its columns are looked for by the names that were given then; where none is found and numbers
    were given, by these.

    Raises:
        DataError: it cannot be read.
    """
    form = replace(
        form,
        multilabel=form.multilabel or trained.multilabel,
        label_separator=form.label_separator or trained.label_separator,
        lines=form.lines or trained.lines,
    )
    try:
        return read(data, form=form, likely=trained.columns, **columns)
    except DataError:
        numbers = {name: one for name, one in trained.columns.items() if one.isdecimal()}
        if columns or not numbers or str(data) == "-":  # which cannot be read twice
            raise
        header = trained.header if form.header is None else form.header
        with suppress(DataError):  # the first refusal says more
            return read(data, form=replace(form, header=header), likely=NOTHING, **numbers)
        raise


def check_paths(**paths: Any) -> None:
    """Refuse what cannot name a file.

    Raises:
        ConfigError: an argument is neither a string nor a path (nor None, but for ``path``).
    """
    for name, path in paths.items():
        if not (isinstance(path, str | Path) or (path is None and name != "path")):
            raise ConfigError(f"{name} is {path!r}; it must be a path, as a string or a Path")


def check_data(**parts: Any) -> None:
    """Refuse what is neither the name of a file nor a table nor a list of these.

    Raises:
        ConfigError: which argument it is.
    """
    for name, part in parts.items():
        if part is None and name != "data":
            continue
        for item in items_of(part):
            if not isinstance(item, str | Path) and not is_table(item):
                raise ConfigError(
                    f"{name} is {item!r:.80}; give a path, as a string or a Path, a data frame, "
                    "or a list of (text, label)"
                )


def read_all(
    task: Task,
    data: Any,
    columns: Mapping[str, str | None],
    form: Form = AS_TOLD,
    trained: Recorded | None = None,
) -> Any:
    """Read the examples of all files that ``data`` names.

    Raises:
        DataError: one cannot be read.
    """
    like = trained or Recorded()
    parts = [read_as_trained(task.read, one, columns, form, like) for one in items_of(data)]
    return parts[0] if len(parts) == 1 else task.join(parts)


def _named(data: Any) -> str | list[str] | None:
    """Return how ``data`` can be named in a file of options; tables in memory cannot."""
    names = [] if data is None else items_of(data)
    if not names or not all(isinstance(name, str | Path) for name in names):
        return None
    return str(names[0]) if len(names) == 1 else [str(name) for name in names]


def read_split(
    task: Task,
    data: Any,
    columns: Mapping[str, str | None],
    *,
    form: Form = AS_TOLD,
    valid: Any = None,
    test: Any = None,
    fractions: Fractions | None = None,
    seed: int = 0,
    like: Recorded | None = None,
) -> Split[Any]:
    """Read ``data`` and the parts that are given, and cut the others from ``data``.

    ``like`` says how the data of another model were read, whose columns are looked for first.

    Raises:
        ConfigError: the shares cannot be.
        DataError: a part cannot be read.
    """
    given = {
        name: None if part is None else read_all(task, part, columns, form, like)
        for name, part in (("valid", valid), ("test", test))
    }
    examples = read_all(task, data, columns, form, like)
    return task.split(examples, fractions=fractions, seed=seed, **given)


def check_shares(split: Any) -> None:
    """Refuse what is no list of shares.

    Raises:
        ConfigError: it is something else (and not None).
    """
    if not isinstance(split, tuple | list | None):
        raise ConfigError(f"split is {split!r}; give three shares, as (0.8, 0.1, 0.1)")


def make_options(
    task: Task, settings: Mapping[str, Any], *, beside: Iterable[str] = ()
) -> RunOptions:
    """Return a task's options, each checked, its cells found.

    Args:
        task: whose they are.
        settings: those that are given.
        beside: what else the caller takes, for who misspells it.

    Raises:
        ConfigError: there is no such option, or its value cannot work.
        CellError: there is no such cell.
    """
    names = [one.name for one in declared(task.options)]
    for name in settings:
        if name not in names:
            known = [*beside, *task.columns, *task.reading, *names]
            raise _unknown(name, known, shorts(task.options))
    options = task.options(**settings)
    options.cells()
    return options


def sorted_out(
    task: Task, options: Mapping[str, Any]
) -> tuple[dict[str, str | None], ReadOptions, dict[str, Any]]:
    """Return what names columns, what says how files are read, and the other options.

    Raises:
        ConfigError: a column is neither a name nor a number, or the way to read cannot be, or the
            task does not heed it.
    """
    columns: dict[str, str | None] = {}
    for name in task.columns:
        value = options.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise ConfigError(f"{name} is {value!r}; it must be a column's name or number from 1")
        if value is not None:
            columns[name] = str(value)
    rest = {name: value for name, value in options.items() if name not in task.columns}
    reading = {one.name: rest.pop(one.name) for one in declared(ReadOptions) if one.name in rest}
    said = ReadOptions(**reading)
    for name in said.given():
        if name not in task.reading:
            raise ConfigError(f"{name} is not for the task {task.name}; leave it out")
    return columns, said, rest


def _unknown(name: str, known: list[str], shorts: Mapping[str, str] | None = None) -> ConfigError:
    near = meant(name, known, shorts)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
    return ConfigError(f"there is no option {name}; {hint}")
