"""`elman check`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from elman import api, tasks
from elman.cli import options
from elman.cli.options import DATA_TEXT
from elman.data.form import NAMES, Facts
from elman.training.task import Task

_TEXT = """Say what would be read of DATA, and what looks wrong, before any training.

{formats}

Parameters
----------
data
    {data}
"""


def command(argv: Sequence[str]) -> Callable[..., None]:
    """Return the command with the options of the task that ``argv`` is about."""
    config = options.read_config(argv)
    task = options.task_for(argv, config)

    def check(*data: str, **given: Any) -> None:
        _check(options.data_given(data), **{**given, "task": task})

    parameters = [
        options.DATA,
        *options.task_options(),
        *(one for one in options.data_options(task) if one.name != "split"),
        options.json_option(),
    ]
    known = {one.name for one in parameters}
    return options.with_signature(
        check,
        parameters,
        text=_TEXT.format(formats=task.formats, data=DATA_TEXT),
        defaults={name: value for name, value in config.items() if name in known},
    )


def _check(
    data: str | list[str],
    *,
    task: Task,
    config: Path | None,
    valid: list[str] | None,
    test: list[str] | None,
    json: bool,
    **given: Any,
) -> None:
    from elman.cli import screen
    from elman.text.terminal import plain

    columns, reading, _ = api.sorted_out(task, given)
    form = reading.form()
    examples = api.read_all(task, data, columns, form)
    given_parts = {"valid": valid, "test": test}
    others = {
        name: api.read_all(task, part, columns, form)
        for name, part in given_parts.items()
        if part is not None
    }
    findings = task.inspect(examples, others)
    facts = list(examples.facts)
    if json:
        screen.print_json({**_together(facts), **msgspec.to_builtins(findings)}, task=task.name)
        return
    terminal = screen.console()
    for one in facts:
        terminal.print(f"[bold]{plain(one.source)}[/]: {plain(_form_line(one))}")
    screen.print_all(tasks.pages(task).findings(findings, width=terminal.width), terminal)
    for note in findings.notes:
        terminal.print(f"  · {plain(note)}")


def _together(facts: Sequence[Facts]) -> dict[str, Any]:
    """Return what all files share, at the top; each file by itself where there are several."""
    rows = [msgspec.to_builtins(one) for one in facts]
    first = rows[0] if rows else {}
    shared = {
        name: value if all(row[name] == value for row in rows) else None
        for name, value in first.items()
        if name != "source"
    }
    top = {name: shared.get(name) for name in ("format", "encoding", "delimiter", "header")}
    top["columns"] = shared.get("columns")
    return {**top, "files": rows}


def _form_line(facts: Facts) -> str:
    """Say how a file was read."""
    parts = [facts.format]
    if facts.encoding:
        parts.append(facts.encoding)
    if facts.delimiter:
        parts.append(f"delimiter {NAMES.get(facts.delimiter, facts.delimiter)}")
    if facts.header is not None and facts.names:
        shown = ", ".join(facts.names[:8]) + (" ..." if len(facts.names) > 8 else "")
        parts.append(
            f"header {shown}" if facts.header else f"no header, {len(facts.names)} columns"
        )
    if facts.columns:
        parts += [
            f"column {name}" if role == "column" else f"{role} in column {name}"
            for role, name in facts.columns.items()
        ]
    return "; ".join(parts)
