"""From declared options to a command's parameters.

A command of a task is a function whose signature is made from the task's options, so that each
option stands in the source once, and `--help` shows those of that task and no others.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from keyword import iskeyword
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from cyclopts import Group, Parameter, Token

from elman import tasks
from elman.data.files import expanded
from elman.errors import ConfigError, DataError, ElmanError
from elman.training import machine
from elman.training.bundle import is_bundle
from elman.training.options import (
    MACHINE,
    PANELS,
    MachineOptions,
    ReadOptions,
    Repeats,
    declared,
    flag_of,
    meant,
)
from elman.training.task import Task

_PANELS = {name: Group(name.title(), sort_key=i) for i, name in enumerate(PANELS)}


def _not_an_option(_: object, value: str) -> None:
    if value.startswith("-") and value != "-" and not value[1].isdigit():
        raise ValueError(f"there is no option {value}")


def _whole_number(_: object, tokens: Sequence[Token]) -> int:
    """Read a whole number as it is written; Cyclopts itself would round 1.5."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _number(_: object, tokens: Sequence[Token]) -> float:
    text = tokens[0].value
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _number_or(words: Sequence[str]) -> Callable[[object, Sequence[Token]], float | str]:
    """Return what reads a number in whose place some words may stand."""

    def read(kind: object, tokens: Sequence[Token]) -> float | str:
        text = tokens[0].value
        if text in words:
            return text
        try:
            return _number(kind, tokens)
        except ValueError as error:
            raise ValueError(f"{error}, nor {' or '.join(words)}") from None

    return read


# `-` is stdin; what else begins with a hyphen is a mistyped option and no file.
# It stays a string: that it may be a path tells shells to complete it.
Data = Annotated[str | Path, Parameter(allow_leading_hyphen=True, validator=_not_an_option)]
Input = Annotated[str, Parameter(allow_leading_hyphen=True, validator=_not_an_option)]
_JSON_TEXT = "Print one JSON document on stdout and nothing else there."
Json = Annotated[bool, Parameter(negative=(), help=_JSON_TEXT)]
Flag = Annotated[bool, Parameter(negative=())]
Whole = Annotated[int, Parameter(converter=_whole_number)]

DATA_TEXT = "Files, a folder, `-`, or a name that `elman datasets` lists."
DATA = inspect.Parameter("data", inspect.Parameter.VAR_POSITIONAL, annotation=Data)


def data_given(data: Sequence[str]) -> str | list[str]:
    """Return what a command line has for DATA: one name, or several.

    Raises:
        ConfigError: there is none.
    """
    if not data:
        raise ConfigError("DATA is missing: name a file, a folder or a built-in data set")
    return data[0] if len(data) == 1 else list(data)


def option(
    name: str,
    kind: Any,
    default: Any,
    text: str,
    *,
    panel: str,
    rule: str = "",
    flag: bool = False,
    short: str = "",
    dashes: bool = False,
) -> inspect.Parameter:
    """Return one option of a command.

    Args:
        name: as Python has it.
        kind: its type.
        default: what it is when it is not given.
        text: for ``--help``.
        panel: the group in which ``--help`` shows it.
        rule: what a default of None becomes.
        flag: whether there is no ``--no-NAME``.
        short: a second name, as it is written.
        dashes: whether its value may begin with a dash.
    """
    # Cyclopts itself shows a default that is not None.
    help_ = f"{text} [default: {rule}]" if rule and default is None else text
    details: dict[str, Any] = {"negative": (), "show_default": False} if flag else {}
    if short:
        details["alias"] = short
    if dashes:
        details["allow_leading_hyphen"] = True
    for number, converter in ((int, _whole_number), (float, _number)):
        if number in _kinds(kind):
            words = [word for one in _kinds(kind) for word in get_args(one)]
            details["converter"] = _number_or(words) if words else converter
    annotation = Annotated[kind, Parameter(help=help_, group=_PANELS[panel], **details)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def options_of(
    struct: type[msgspec.Struct], *, without: Iterable[str] = ()
) -> list[inspect.Parameter]:
    """Return the parameters of every option that a struct declares."""
    return [
        option(
            one.name,
            one.annotation,
            one.default,
            one.option.text,
            panel=one.option.panel,
            rule=one.rule,
            short=one.option.short,
            dashes=one.option.dashes,
        )
        for one in declared(struct)
        if one.name not in without
    ]


def file_options(text: str, *, rule: str, formats: Iterable[str] = ()) -> list[inspect.Parameter]:
    """Return ``--out``, which ``text`` describes, for a table or a format; and ``--force``."""
    *most, last = (".csv", ".tsv", ".jsonl", *(f".{name}" for name in formats))
    out = f"{text}: {', '.join(most)} or {last}."
    force = "Replace the file that stands at --out."
    return [
        option("out", Path | None, None, out, panel="output", rule=rule, short="-o"),
        option("force", bool, False, force, panel="output", flag=True, short="-f"),
    ]


def json_option(text: str = "") -> inspect.Parameter:
    """Return ``--json``."""
    return option("json", bool, False, text or _JSON_TEXT, panel="output", flag=True)


def machine_of(given: Mapping[str, Any]) -> tuple[MachineOptions, dict[str, Any]]:
    """Return what a command may use of the machine, checked, and its other options.

    Raises:
        ConfigError: the device is not there, or a number is out of range.
    """
    asked = MachineOptions(**{name: given[name] for name in MACHINE})
    machine.check_device(asked.device)
    return asked, {name: value for name, value in given.items() if name not in MACHINE}


def quiet_option() -> inspect.Parameter:
    """Return ``--quiet``."""
    text = "Print no progress on stderr."
    return option("quiet", bool, False, text, panel="output", flag=True)


def column_options(task: Task) -> list[inspect.Parameter]:
    """Return an option for each column that the task reads."""
    return [
        option(
            name,
            str | None,
            None,
            text,
            panel="data",
            rule="found by its name" if name not in task.asked_columns else "none",
        )
        for name, text in task.columns.items()
    ]


def read_options(task: Task, *, without: Iterable[str] = ()) -> list[inspect.Parameter]:
    """Return the options that say how the task's files are read."""
    others = {*ReadOptions.__struct_fields__} - {*task.reading}
    return options_of(ReadOptions, without=others.union(without))


def input_options(task: Task) -> list[inspect.Parameter]:
    """Return an option for each column that is answered."""
    return [one for one in column_options(task) if one.name in task.input_columns]


def repeat_options(task: Task) -> list[inspect.Parameter]:
    """Return the options that say how often a run trains, and what is kept."""
    if task.combine is not None:
        return options_of(Repeats)
    text = "Of several seeds: the best on validation, as answers of this task have no mean."
    best = option("keep", Literal["best"] | None, None, text, panel="training", rule="best")
    return [*options_of(Repeats, without=("keep",)), best]


def data_options(task: Task) -> list[inspect.Parameter]:
    """Return the options that say how data are read and cut."""
    share = "a share of DATA"
    return [
        *column_options(task),
        option(
            "valid",
            list[str] | None,
            None,
            "File to validate on; once for each of several.",
            panel="data",
            rule=share,
        ),
        option(
            "test",
            list[str] | None,
            None,
            "File to test on; once for each of several.",
            panel="data",
            rule=share,
        ),
        option(
            "split",
            str | None,
            None,
            "Shares of training, validation and test.",
            panel="data",
            rule=f"{task.shares}; see docs/data.md for --test",
        ),
        *read_options(task),
    ]


def task_options() -> list[inspect.Parameter]:
    """Return the options that decide which other options there are."""
    return [
        option(
            "task",
            str | None,
            None,
            f"What to train: {', '.join(tasks.TASKS)}.",
            panel="data",
            rule="what suits DATA",
        ),
        option(
            "config",
            Path | None,
            None,
            "A TOML file with any of these options; those given here go before it.",
            panel="data",
            rule="none",
        ),
    ]


def with_signature(
    function: Callable[..., Any],
    parameters: Sequence[inspect.Parameter],
    *,
    text: str,
    defaults: Mapping[str, Any] | None = None,
    if_given: Collection[str] = (),
) -> Callable[..., Any]:
    """Return a command that shows its real parameters and calls ``function`` with all of them.

    Args:
        function: what the command does; takes ``**options``.
        parameters: positional ones first.
        text: its help.
        defaults: of a ``--config`` file.
        if_given: options that ``function`` gets only where they are given, here or in the file.

    Raises:
        ConfigError: the file names an option that there is not.
    """
    named = {parameter.name: parameter for parameter in parameters}
    words: tuple[str, ...] = ()
    for name, value in (defaults or {}).items():
        if name not in named or name == "config":
            near = meant(name, named, _shorts(parameters))
            hint = f"did you mean {near}?" if near else "`--help` lists those that there are"
            if isinstance(value, dict):
                hint = "options stand at the top, in no [table]"
            raise ConfigError(f"--config names {name}, which is no option of this command; {hint}")
        if named[name].kind is inspect.Parameter.VAR_POSITIONAL:
            values = value if isinstance(value, list) else [value]
            if not values or not all(isinstance(one, str) for one in values):
                raise ConfigError(f"--config: {name} is {value!r}; it must be text")
            words = tuple(values)
            continue
        value = _config_value(name, value, named[name].annotation)
        named[name] = named[name].replace(default=value)
    signature = inspect.Signature([*named.values()])

    def command(*args: Any, **given: Any) -> Any:
        bound = signature.bind(*(args or words), **given)  # Cyclopts passes what was given alone
        unsaid = {*if_given} - {*bound.arguments} - {*(defaults or ())}
        bound.apply_defaults()
        for name in unsaid:
            del bound.arguments[name]
        return function(*bound.args, **bound.kwargs)

    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__doc__ = text
    return command


def _shorts(parameters: Iterable[inspect.Parameter]) -> dict[str, str]:
    """Return the options that have a second name, by that name without its dashes."""
    return {
        alias.lstrip("-"): one.name
        for one in parameters
        for details in getattr(one.annotation, "__metadata__", ())
        for alias in details.alias or ()
    }


def _config_value(name: str, value: Any, annotation: Any) -> Any:
    """Return a value of a TOML file as the command line would have read it.

    Raises:
        ConfigError: it has another type.
    """
    kinds = _kinds(get_args(annotation)[0])  # of Annotated
    if list[str] in kinds:
        values = value if isinstance(value, list) else [value]
        if all(isinstance(one, str) for one in values):
            return values
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if bool in kinds and isinstance(value, bool):
        return value
    if (int in kinds and number and isinstance(value, int)) or (float in kinds and number):
        return value
    if any(get_origin(one) is Literal and value in get_args(one) for one in kinds):
        return value
    if str in kinds and isinstance(value, str):
        return value
    if Path in kinds and isinstance(value, str):
        return Path(value)
    if str in kinds and number:  # a column by its number
        return str(value)
    if str in kinds and isinstance(value, list) and all(isinstance(v, int | float) for v in value):
        return ",".join(map(str, value))
    words = {bool: "true or false", int: "a whole number", float: "a number"}
    wanted = next((words[one] for one in kinds if one in words), "text")
    for one in kinds:
        if get_origin(one) is Literal:
            wanted = f"one of {', '.join(get_args(one))}"
    raise ConfigError(f"--config: {name} is {value!r}; it must be {wanted}")


def _kinds(kind: Any) -> tuple[Any, ...]:
    """Return the types that a type allows."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def read_config(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options of the file that ``--config`` names; no options without one.

    Raises:
        ConfigError: the file cannot be read as TOML.
    """
    path = expanded(value_of(argv, "--config"))
    if path is None:
        return {}
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"--config {path} cannot be read ({reason})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path} is not TOML: {error}") from error
    plain = {_of_python(name): value for name, value in values.items()}
    if len(plain) < len(values):
        raise ConfigError(f"--config {path} names an option twice, with a dash and an underscore")
    return plain


def _of_python(name: str) -> str:
    """Return how an option of a file is called in Python."""
    name = name.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def task_for(argv: Sequence[str], config: Mapping[str, Any]) -> Task:
    """Return the task that a command line is about, before its options are known.

    It is that of ``--task``, else that of the file, else what suits the data.

    Raises:
        ConfigError: there is no such task.
    """
    name = value_of(argv, "--task") or config.get("task")
    if name is not None:
        return tasks.find(str(name))
    words = _positional(argv)
    if "data" in config:
        words.append(str(config["data"]))
    for word in words:
        try:
            task = tasks.guess(word)
        except DataError:  # told when the data are read
            continue
        if task.name != tasks.DEFAULT:
            return task
    return tasks.find(tasks.DEFAULT)


def _positional(argv: Sequence[str]) -> list[str]:
    """Return the words that are no options and no values of options."""
    flags = {"--force", "-f", "--resume", "--final", "--models", "--json", "--quiet"}
    for struct in (ReadOptions, *(tasks.find(name).options for name in tasks.TASKS)):
        known = declared(struct)
        flags |= {flag_of(one.name) for one in known if one.kind is bool}

    def takes_next(word: str) -> bool:
        attached = "=" in word or (word[1:2] != "-" and len(word) > 2)  # -e3
        option = word.startswith("-") and word != "-" and not word.startswith("--no-")
        return option and word not in flags and not attached

    pairs = zip(["", *argv], argv, strict=False)
    return [word for before, word in pairs if not (word.startswith("-") or takes_next(before))]


def value_of(argv: Sequence[str], name: str) -> str | None:
    """Return what is given to an option on a command line that is not yet parsed."""
    for i, word in enumerate(argv):
        if word == "--":
            return None
        if word == name and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def task_of_model(argv: Sequence[str]) -> Task:
    """Return the task of the first model that ``argv`` names, for the command's options.

    Where there is none the default task's options are shown: the model is refused when it is read.
    """
    from elman import api

    for word in argv:
        if not word.startswith("-") and is_bundle(Path(expanded(word))):
            with suppress(ElmanError):
                return api.task_of(word)
    return tasks.find(tasks.DEFAULT)
