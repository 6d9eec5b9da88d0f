"""`elman predict`."""

from __future__ import annotations

import inspect
import queue
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from elman import api, tasks
from elman.cli import options
from elman.cli.options import option
from elman.cli.process import machine_writer
from elman.errors import ConfigError
from elman.training import machine
from elman.training.options import Device, MachineOptions
from elman.training.task import Predictor, Task

# Lines answered together when they come fast; a slow source is answered line by line.
CHUNK = 1024

_TEXT = """Answer texts with a trained model, given as arguments or one a line on stdin.

Parameters
----------
model
    Folder of a trained model.
texts
    Texts; without any, lines are read from stdin and answered in order as they come.
"""


def command(argv: Sequence[str]) -> Callable[..., None]:
    """Return the command with the options of the model that ``argv`` names."""
    task = options.task_of_model(argv)

    def predict(model: Path, *texts: str, **given: Any) -> None:
        asked, others = options.machine_of(given)
        with machine.threads(asked.threads):
            _predict(api.task_of(model), model, texts, asked.device, **others)

    parameters = [
        inspect.Parameter("model", inspect.Parameter.POSITIONAL_ONLY, annotation=Path),
        inspect.Parameter("texts", inspect.Parameter.VAR_POSITIONAL, annotation=str),
        *options.options_of(task.answers),
        *options.options_of(MachineOptions),
        options.json_option(
            "Print one JSON document on stdout: an array with an object for each text."
        ),
        option(
            "format",
            Literal["text", "tsv"],
            "text",
            "tsv prints a line for each text: the text, then its answer, then a note.",
            panel="output",
        ),
    ]
    return options.with_signature(predict, parameters, text=_TEXT)


def _predict(
    task: Task,
    model: Path,
    texts: Sequence[str],
    device: Device,
    *,
    json: bool,
    format: str,
    **answers: Any,
) -> None:
    asked = task.answers(**answers)  # checks them
    if json and format == "tsv":
        raise ConfigError("--json and --format tsv exclude each other; leave one out")
    predictor = api.load(model, device=device)
    write: Writer = _WRITERS["json" if json else format]
    truncated = 0

    def rows() -> Iterator[list[dict[str, Any]]]:
        nonlocal truncated
        for chunk in [list(texts)] if texts else _chunks(_stdin()):
            answered = predictor.answer(chunk, **asked.to_dict())
            truncated += sum("truncated" in row for row in answered)
            yield answered

    write(rows(), task, predictor)
    if truncated:
        said = tasks.pages(task).truncated(truncated, predictor)
        print(f"elman: {said}", file=sys.stderr)


Chunks = Iterable[list[dict[str, Any]]]
Writer = Callable[[Chunks, Task, Predictor], None]


def _write_json(chunks: Chunks, *_: object) -> None:
    write, first = machine_writer(), True
    for rows in chunks:
        for row in rows:
            write("[\n" if first else ",\n")
            write(msgspec.json.encode(_whole(row)).decode())
            first = False
        sys.stdout.flush()
    write("[]\n" if first else "\n]\n")


def _write_tsv(chunks: Chunks, task: Task, _: Predictor) -> None:
    write, fields = machine_writer(), tasks.pages(task).tsv
    for rows in chunks:
        for row in rows:
            write("\t".join(" ".join(field.split()) for field in fields(row)) + "\n")
        sys.stdout.flush()


def _write_text(chunks: Chunks, task: Task, predictor: Predictor) -> None:
    answer, terminal = tasks.pages(task).answer, None
    width = shutil.get_terminal_size().columns
    for rows in chunks:
        for row in rows:
            for line in answer(row, predictor, width=width):
                if isinstance(line, str):  # thousands of them: Rich would take most of the time
                    print(_writable(line))
                else:
                    terminal = terminal or _terminal()
                    terminal.print(line, no_wrap=True, overflow="crop")
        sys.stdout.flush()


def _terminal() -> Any:
    from elman.cli import screen

    return screen.console()


_WRITERS: dict[str, Writer] = {
    "json": _write_json,
    "tsv": _write_tsv,
    "text": _write_text,
}


def _stdin() -> Iterator[str]:
    from elman.data.readers import read_texts

    if sys.stdin.isatty():
        print("elman: one text a line; Ctrl-D ends", file=sys.stderr)
    return read_texts("-")


def _chunks(lines: Iterator[str]) -> Iterator[list[str]]:
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


def _whole(value: Any) -> Any:
    """Replace lone surrogates, which no encoding can write."""
    if isinstance(value, str):
        return _writable(value)
    if isinstance(value, dict):
        return {_whole(k): _whole(v) for k, v in value.items()}
    if isinstance(value, Sequence):
        return [_whole(v) for v in value]
    return value


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
