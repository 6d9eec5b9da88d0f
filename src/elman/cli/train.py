"""`elman train`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from elman import api
from elman.cli import options, process
from elman.cli.options import DATA_TEXT, option
from elman.data import output
from elman.data.files import expanded
from elman.data.source import items_of
from elman.data.splits import parse_fractions
from elman.errors import ConfigError
from elman.training.checkpoint import is_unfinished
from elman.training.lock import is_held
from elman.training.options import declared
from elman.training.task import Task
from elman.training.trained import Trained

_TEXT = """{summary}

{formats} Ends with scores on data kept apart, beside baselines, and writes the model to a folder.
"""


def command(argv: Sequence[str]) -> Callable[..., int]:
    """Return the command with the options of the task that ``argv`` is about."""
    config = options.read_config(argv)
    task = options.task_for(argv, config)

    def train(*data: str, **given: Any) -> int:
        return _train(options.data_given(data), argv, **{**given, "task": task})

    parameters = [
        options.DATA,
        *options.task_options(),
        *options.data_options(task),
        *options.options_of(task.options),
        *options.repeat_options(task),
        _INIT,
        *_OUTPUT,
    ]
    return options.with_signature(
        train,
        parameters,
        text=_TEXT.format(summary=task.summary, formats=task.formats)
        + f"\nParameters\n----------\ndata\n    {DATA_TEXT}\n",
        defaults=config,
        if_given=[one.name for one in declared(task.options)],  # for --init
    )


_INIT = option(
    "init",
    Path | None,
    None,
    "A saved model to go on from; its sizes and tokenizer stay.",
    panel="network",
    rule="none",
)

_OUTPUT = [
    option(
        "out",
        Path | None,
        None,
        "Folder of the model.",
        panel="output",
        rule="models/NAME, or models/NAME-2 and so on",
        short="-o",
    ),
    option(
        "force",
        bool,
        False,
        "Replace what stands at --out, be it a stopped run, and at --predictions.",
        panel="output",
        flag=True,
        short="-f",
    ),
    option(
        "resume",
        bool,
        False,
        "Go on with a run of the same command that was stopped.",
        panel="output",
        flag=True,
    ),
    option(
        "predictions",
        Path | None,
        None,
        "A file for the answers to the test part: .csv, .tsv or .jsonl.",
        panel="output",
        rule="none",
    ),
    options.json_option(),
    options.quiet_option(),
]


def _train(
    data: str | list[str],
    argv: Sequence[str],
    *,
    task: Task,
    out: Path | None,
    force: bool,
    resume: bool,
    predictions: Path | None,
    json: bool,
    quiet: bool,
    split: str | None,
    config: Path | None,
    **given: Any,
) -> int:
    from elman.cli import screen

    fractions = None if split is None else parse_fractions(split)
    first = data if isinstance(data, str) else data[0]
    named = None if out is None else Path(expanded(out))
    place = None
    if named is not None or given["folds"] is None or given["final"]:
        place = _destination(named, first, resume=resume)
    predictions = expanded(predictions)
    if predictions is not None:
        parts = (data, given["valid"], given["test"])
        sources = [str(item) for part in parts if part is not None for item in items_of(part)]
        output.check_place(predictions, "--predictions", overwrite=force, sources=sources)
    try:
        with screen.TrainingScreen(quiet=quiet) as watcher:
            trained = api.train(
                data,
                task=task.name,
                out=place,
                force=force,
                resume=resume,
                split=fractions,
                progress=False,
                callbacks=[watcher],
                **given,
            )
    except KeyboardInterrupt as stop:
        _say(_stopped(place))
        _say_how_to_go_on(argv, place, named=out is not None, resume=resume)
        return process.exit_code(stop)
    told = _tell(partial(_print_report, trained, place, json=json), place)
    if predictions is not None:
        output.write_rows(predictions, trained.predictions(), option="--predictions")
        if not json:
            told = _tell(partial(screen.print_written, predictions), place) and told
    for warning in trained.report.warnings:
        _say(warning)
    if not trained.failed:
        _say_how_to_go_on(argv, place, named=out is not None, resume=resume)
    return _exit_code(trained) if told else 1


def _stopped(place: Path | None) -> str:
    if place is None:
        return "stopped; nothing is kept of cross-validation alone"
    if is_unfinished(place):
        return "stopped"
    return "stopped; no epoch was whole, nothing is kept"


def _print_report(trained: Trained[Any, Any], place: Path | None, *, json: bool) -> None:
    from elman.cli import screen

    if json:
        screen.print_json(trained.report, out=None if place is None else str(place))
    else:
        screen.print_report(trained.report, out=place)


def _tell(show: Callable[[], None], place: Path | None) -> bool:
    """Print a part of the report; return whether there was room for it."""
    saved = "" if place is None else f"; the model is saved to {place}"
    try:
        show()
        sys.stdout.flush()
    except BrokenPipeError:
        process.silence_stdout()
        _say(f"nobody reads the report any more{saved}")
    except OSError as error:
        process.silence_stdout()
        reason = (error.strerror or str(error)).lower()
        _say(f"the report cannot be written ({reason}){saved}")
        return False
    return True


def _exit_code(trained: Trained[Any, Any]) -> int:
    if trained.interrupt is not None:
        return process.exit_code(trained.interrupt)
    return 1 if trained.failed else 0


def _say(text: str) -> None:
    print(f"elman: {text}", file=sys.stderr)


def _say_how_to_go_on(
    argv: Sequence[str], place: Path | None, *, named: bool, resume: bool
) -> None:
    """Say the command that goes on with a run, where one was stopped."""
    if place is None or not is_unfinished(place):
        return
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    more = ([] if named else ["--out", str(place)]) + ([] if resume else ["--resume"])
    command = shlex.join(["elman", "train", *words[:end], *more, *words[end:]])
    _say(f"goes on from the last whole epoch with: {command}")


def _destination(out: Path | None, data: str, *, resume: bool) -> Path:
    """Return --out, or the first free models/NAME; with --resume the one with an unfinished run."""
    if out is not None:
        return out
    name = "stdin" if data == "-" else Path(data).name.split(".")[0][:100] or "model"
    for number in range(1, 10_000):
        place = Path("models") / (name if number == 1 else f"{name}-{number}")
        taken = place.exists() or is_unfinished(place) or is_held(place)
        if resume and is_unfinished(place):
            return place
        if resume and not taken:
            raise ConfigError(f"no stopped run of {name} is in models; name it with --out")
        if not taken:
            return place
    raise ConfigError("models is full of runs of this name; give --out")
