"""`elman predict`."""

from __future__ import annotations

import inspect
import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from elman import api, tasks
from elman.cli import answers, options, process
from elman.cli.answers import Answered
from elman.cli.options import option
from elman.data import output
from elman.data.examples import Inputs
from elman.data.files import check_readable, expanded
from elman.data.form import Form
from elman.errors import ConfigError, DataError
from elman.training import machine
from elman.training.options import Device, MachineOptions
from elman.training.task import Task

# Inputs answered together when they come fast; a slow source is answered line by line.
CHUNK = 1024

_TEXT = """Answer texts with a trained model: given as words, in FILES, or one a line on stdin.

Parameters
----------
model
    Folder of a trained model.
inputs
    Texts; or files (`-` for stdin), read as `train` reads them, whose other columns are kept;
    without any, lines are read from stdin and answered in order as they come. What stands after
    `--` is a text.
"""


def command(argv: Sequence[str]) -> Callable[..., None]:
    """Return the command with the options of the model that ``argv`` names."""
    task = options.task_of_model(argv)
    as_texts = "--" in argv
    kind = str if as_texts else options.Input  # what begins with a dash is a text after --

    def predict(model: Path, *inputs: str, **given: Any) -> None:
        asked, others = options.machine_of(given)
        with machine.threads(asked.threads):
            task = api.task_of(model)
            _predict(task, model, inputs, asked.device, as_texts=as_texts, **others)

    parameters = [
        inspect.Parameter("model", inspect.Parameter.POSITIONAL_ONLY, annotation=Path),
        inspect.Parameter("inputs", inspect.Parameter.VAR_POSITIONAL, annotation=kind),
        *options.input_options(task),
        *options.read_options(
            task, without=("drop_unlabelled", "multilabel", "label_separator", "lines")
        ),
        *options.options_of(task.answers),
        *options.options_of(MachineOptions),
        *options.file_options(
            "A file for the answers, with the columns of FILES",
            rule="stdout",
            formats=tasks.pages(task).FORMATS,
        ),
        options.json_option(
            "Print one JSON document on stdout: an array with an object for each input."
        ),
        option(
            "format",
            Literal[("text", "tsv", "csv", "jsonl", *tasks.pages(task).FORMATS)],
            "text",
            "How stdout is written. tsv has a line for each input; in it \\\\t, \\\\n and "
            "\\\\\\\\ stand for tabs, line ends and backslashes.",
            panel="output",
        ),
    ]
    return options.with_signature(predict, parameters, text=_TEXT)


def _predict(
    task: Task,
    model: Path,
    inputs: Sequence[str],
    device: Device,
    *,
    as_texts: bool,
    out: Path | None,
    force: bool,
    json: bool,
    format: str,
    **given: Any,
) -> None:
    columns, reading, rest = api.sorted_out(task, given)
    asked = task.answers(**rest)  # checks them
    format = "json" if json and format == "text" else format
    if json and format != "json":
        raise ConfigError(f"--json and --format {format} exclude each other; leave one out")
    if out is not None and format != "text":
        raise ConfigError("--out has its format from its suffix; leave out --json and --format")
    files = [] if as_texts else _files_among(inputs)
    inputs = [process.as_utf8(text) for text in inputs]
    out = None if out is None else Path(expanded(out))
    if out is not None:
        suffixes = [f".{name}" for name in tasks.pages(task).FORMATS]
        output.check_place(out, "--out", overwrite=force, sources=files, suffixes=suffixes)
    form, said = reading.form(), bool(columns) or bool(reading.given())
    if files or (said and not inputs):
        found = _read_all(task, model, files or ["-"], form, columns)
    elif said:
        raise ConfigError(
            "texts that are given as words have no columns and no form; leave out "
            f"--{next(iter({**columns, **reading.given()})).replace('_', '-')}"
        )
    else:
        found = None
    predictor = api.load(model, device=device)
    truncated = 0

    def answered() -> Iterator[Answered]:
        nonlocal truncated
        for chunk, kept in _chunks_of(inputs, found):
            rows = predictor.answer(chunk, **asked.to_dict())
            truncated += sum("truncated" in row for row in rows)
            yield Answered(rows, kept)

    answers.write(answered(), task, predictor, format=format, out=out, read=found or ())
    if truncated:
        _say(tasks.pages(task).truncated(truncated, predictor))
    if out is not None:
        _say(f"saved to {out}")


def _say(text: str) -> None:
    print(f"elman: {text}", file=sys.stderr)


# ---------------------------------------------------------------------------------------------
# What is to be answered


_SUFFIXES = r"csv|tsv|tab|txt|jsonl|ndjson|json|parquet|conll|conllu|bio|iob2?"
_FILE = re.compile(rf"\S+\.({_SUFFIXES})(\.gz)?", re.IGNORECASE)


def _files_among(inputs: Sequence[str]) -> list[str]:
    """Return the inputs if they are files, and none if they are texts.

    Raises:
        DataError: an input has the name of a file that there is not, or some are texts.
    """
    inputs = [_meant(word) for word in inputs]
    files = [word for word in inputs if word == "-" or _exists(word)]
    for word in inputs:
        if word not in files and _FILE.fullmatch(word):
            try:
                check_readable(word)
            except DataError as error:
                raise DataError(f"{error} (to answer it as a text, put it after --)") from error
    if files and len(files) < len(inputs):
        other = next(word for word in inputs if word not in files)
        raise DataError(
            f"{files[0]!r} is a file and {other!r} is none; give files or texts, and put texts "
            "that are called like a file after --"
        )
    return files


def _meant(word: str) -> str:
    """Return the file that a word with ``~`` or a variable stands for, if there is one."""
    meant = expanded(word)
    return meant if os.path.isfile(meant) else word


def _exists(word: str) -> bool:
    try:
        return word != "" and Path(word).exists()  # the path "" is this folder
    except (OSError, ValueError):
        return False


def _read_all(
    task: Task, model: Path, files: Sequence[str], form: Form, columns: Mapping[str, str | None]
) -> list[Inputs]:
    """Read files, and say on stderr what there is to say of them."""
    trained = api.recorded(task, model)
    found = [api.read_as_trained(task.read_inputs, file, columns, form, trained) for file in files]
    for inputs, file in zip(found, files, strict=True):
        _say(f"{inputs.facts.source}: {answers.read_line(inputs, tasks.pages(task).NOUN)}")
        for note in inputs.notes:
            _say(f"{inputs.facts.source}: {note}")
        if [*inputs.table] != [*found[0].table]:
            raise DataError(
                f"{file} has other columns than {files[0]}; answer files of the same columns at "
                "once, others one by one"
            )
    return found


def _chunks_of(
    inputs: Sequence[str], found: list[Inputs] | None
) -> Iterator[tuple[list[str], list[dict[str, str | None]] | None]]:
    """Yield what is answered at once, and the columns that are kept beside it."""
    if found is None:
        chunks = [list(inputs)] if inputs else _as_they_come(_stdin())
        yield from ((chunk, None) for chunk in chunks)
        return
    for part in found:
        for start in range(0, len(part.inputs), CHUNK):
            rows = range(start, min(start + CHUNK, len(part.inputs)))
            kept = [{name: cells[i] for name, cells in part.table.items()} for i in rows]
            yield part.inputs[start : start + CHUNK], kept


def _stdin() -> Iterator[str]:
    from elman.data.lines import looks_like_table
    from elman.data.readers import read_lines

    if sys.stdin is not None and sys.stdin.isatty():
        _say("one text a line; Ctrl-D ends")
    lines = read_lines("-")
    first = next(lines, None)
    if first is None:
        return lines
    if looks_like_table(first):
        _say("stdin looks like a table, whose lines are answered whole; give - to read it as one")
    return chain([first], lines)


def _as_they_come(lines: Iterator[str]) -> Iterator[list[str]]:
    """Yield lines as they come: all that are there, at most CHUNK at once.

    A thread reads ahead, so that a line typed by a person is answered at once and ten thousand
    from a file are answered together.
    """
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(maxsize=4 * CHUNK)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except BaseException as error:  # it belongs to the thread that answers
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    ended = False
    while not ended:
        chunk: list[str] = []
        item = waiting.get()
        while True:
            if not isinstance(item, str):
                ended = True
                break
            chunk.append(item)
            if len(chunk) == CHUNK:
                break
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                break
        if chunk:
            yield chunk
        if ended and item is not None:
            raise item  # type: ignore[misc]
