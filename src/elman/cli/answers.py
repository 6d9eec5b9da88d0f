"""Answers of a model as text for people, or as JSON, CSV, TSV for machines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

import msgspec

from elman import tasks
from elman.cli.process import machine_writer
from elman.data import output
from elman.data.examples import Inputs
from elman.text.terminal import counted, width_of
from elman.training.task import Predictor, Task


class Answered(NamedTuple):
    """Rows that were answered at once."""

    rows: list[dict[str, Any]]
    """Of ``Predictor.answer``."""
    kept: list[dict[str, str | None]] | None
    """The columns of the file, a row each; None for texts that come from no file."""


Write = Callable[[str], object]


def write(
    answered: Iterator[Answered],
    task: Task,
    model: Predictor,
    *,
    format: str,
    out: Path | None,
    read: Sequence[Inputs] = (),
) -> None:
    """Write answers to stdout in a format, or to a file whose suffix says which.

    What is for machines is UTF-8, wherever it goes; what is for people is in the encoding of the
    terminal. ``read`` are the inputs that come from files.
    """
    formats = tasks.pages(task).FORMATS
    own = format if out is None else out.suffix.lower()[1:]
    if own in formats:
        rows = (row for some, _ in answered for row in some)
        parts = map(_writable, formats[own](rows, model, read))
        if out is not None:
            output.write_text(out, parts)
        else:
            send = machine_writer()
            for part in parts:
                send(part)
    elif out is not None:
        output.write_rows(out, _records(answered, task))
    elif format == "text":
        _write_text(answered, task, model)
    elif format == "json":
        _write_json(answered, machine_writer())
    elif format == "tsv":
        _write_lines(answered, task, machine_writer())
    else:
        writer = output.WRITERS[f".{format}"]
        writer(
            cast(TextIO, _Stream(machine_writer())),
            _records(answered, task, after=sys.stdout.flush),
        )


def read_line(inputs: Inputs, noun: str) -> str:
    """Say what was read of a file."""
    facts, column = inputs.facts, ""
    if facts.columns:
        column = f" in column {next(iter(facts.columns.values()))!r}"
    return f"{counted(len(inputs.inputs), noun)}{column} ({facts.format})"


class _Stream:
    """What the writers of tables need of a file."""

    def __init__(self, write: Write):
        self.write = write


def _write_json(answered: Iterator[Answered], write: Write) -> None:
    first = True
    for rows, kept in answered:
        for i, row in enumerate(rows):
            whole = row if kept is None else {**row, "row": kept[i]}
            write("[\n" if first else ",\n")
            write(msgspec.json.encode(_whole(whole)).decode())
            first = False
        sys.stdout.flush()
    write("[]\n" if first else "\n]\n")


def _write_lines(answered: Iterator[Answered], task: Task, write: Write) -> None:
    """Write a line a row: the input or the kept columns, the answer, a note; tabs between them."""
    begun = False
    for rows, kept in answered:
        for i, row in enumerate(rows):
            record = _record(row, None if kept is None else kept[i], task)
            if kept is not None and not begun:
                write("\t".join(map(_escaped, record)) + "\n")
            write("\t".join(map(_escaped, record.values())) + "\n")
            begun = True
        sys.stdout.flush()


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _escaped(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else str(output.cell(value)).translate(_ESCAPES)


def _write_text(answered: Iterator[Answered], task: Task, model: Predictor) -> None:
    answer, terminal = tasks.pages(task).answer, None
    width = width_of(sys.stdout)
    for rows, _ in answered:
        for row in rows:
            for line in answer(row, model, width=width):
                if isinstance(line, str):  # thousands of them: Rich would take most of the time
                    print(_writable(line))
                else:
                    terminal = terminal or _terminal()
                    terminal.print(line, no_wrap=True, overflow="crop")
        sys.stdout.flush()


def _terminal() -> Any:
    from elman.cli import screen

    return screen.console()


def _records(
    answered: Iterator[Answered], task: Task, *, after: Callable[[], object] = lambda: None
) -> Iterator[dict[str, Any]]:
    for rows, kept in answered:
        for i, row in enumerate(rows):
            record = _record(row, None if kept is None else kept[i], task)
            yield {k: round(v, 6) if isinstance(v, float) else v for k, v in record.items()}
        after()


def _record(
    row: Mapping[str, Any], kept: Mapping[str, str | None] | None, task: Task
) -> dict[str, Any]:
    """Return one row of a table: what was there, then the answer."""
    record: dict[str, Any] = dict(kept) if kept is not None else {}
    for name, value in tasks.pages(task).fields(row, inputs=not kept).items():
        record[name if name not in record else f"model_{name}"] = value
    return record


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
