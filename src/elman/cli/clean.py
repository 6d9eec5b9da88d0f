"""`elman clean`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from elman import api
from elman.cli import options
from elman.cli.options import DATA_TEXT, option
from elman.data import output
from elman.data.examples import Inputs
from elman.data.files import expanded
from elman.data.form import Form
from elman.data.source import items_of
from elman.errors import ConfigError, DataError
from elman.text.cleaning import PRESETS, STEPS, Steps
from elman.text.terminal import counted, plain, shortened
from elman.training.task import Task

if TYPE_CHECKING:
    from elman.lab.cleaning import Cleaning, Model

WIDEST = 160  # columns of a line of a pipe, which has no end

_LISTED = "; ".join(f"{name} ({text.replace(';', ',')})" for name, text in STEPS.items())
_TEXT = f"""Clean texts step by step: show some before and after, count, and write them to a file.

The steps, in the order in which they are taken: {_LISTED}. Presets:
{"; ".join(f"{name} is {', '.join(steps)}" for name, steps in PRESETS.items())}.

Parameters
----------
data
    {DATA_TEXT}
"""


def command(argv: Sequence[str]) -> Callable[..., None]:
    """Return the command with the columns of the task that ``argv`` is about."""
    task = options.task_for(argv, {})

    def clean(*data: str, **given: Any) -> None:
        _clean(options.data_given(data), task=task, **given)

    parameters = [
        options.DATA,
        *options.column_options(task),
        *options.read_options(task),
        *_OPTIONS,
        *options.file_options(
            "A file for the texts cleaned, with the other columns of DATA", rule="none"
        ),
        options.json_option(),
        options.quiet_option(),
    ]
    return options.with_signature(clean, parameters, text=_TEXT)


_OPTIONS = [
    option(
        "steps",
        str,
        "lecture",
        "Steps and presets with commas between them; -NAME leaves one out again, language=CODE and "
        "stopwords=FILE take a value.",
        panel="text",
    ),
    option("rows", int, 8, "How many texts to show before and after.", panel="output"),
    option(
        "ablate",
        bool,
        False,
        "Train with all steps, without each and with none, and say what each was worth.",
        panel="training",
        flag=True,
    ),
    option(
        "model",
        Literal["ngrams", "network"],
        "ngrams",
        "With --ablate: what is trained; ngrams are quick.",
        panel="training",
    ),
    option("seeds", int, 3, "With --ablate: how many cuts of DATA.", panel="training"),
    option(
        "metric",
        str | None,
        None,
        "With --ablate: what a step is judged by: f1:CLASS, macro_f1 ..., as of elman train.",
        panel="training",
        rule="accuracy; macro_f1 of several labels",
    ),
]


def _clean(
    data: str | list[str],
    *,
    task: Task,
    steps: str,
    rows: int,
    ablate: bool,
    model: Model,
    seeds: int,
    metric: str | None,
    out: Path | None,
    force: bool,
    json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    asked = Steps.of(steps)
    for name, number, least in (("rows", rows, 0), ("seeds", seeds, 1)):
        if number < least:
            raise ConfigError(f"{name} is {number}; it must be {least} or more")
    columns, reading, _ = api.sorted_out(task, given)
    if ablate:
        if out is not None:
            raise ConfigError("--ablate writes no texts; leave out --out")
        how: dict[str, Any] = {"model": model, "seeds": seeds, "json": json, "quiet": quiet}
        how["settings"] = {} if metric is None else {"metric": metric}
        _ablate(task, data, asked, columns, reading.form(), **how)
        return
    _show(task, data, asked, columns, reading.form(), rows=rows, out=out, force=force, json=json)


def _show(
    task: Task,
    data: str | list[str],
    steps: Steps,
    columns: Mapping[str, str | None],
    form: Form,
    *,
    rows: int,
    out: Path | None,
    force: bool,
    json: bool,
) -> None:
    from elman.cli import screen
    from elman.lab.cleaning import clean_texts, read_texts

    out = None if out is None else Path(expanded(out))
    if out is not None:
        output.check_place(out, "--out", overwrite=force, sources=map(str, items_of(data)))
    found = [read_texts(task, one, columns, form) for one in items_of(data)]
    texts = [text for one in found for text in one.inputs]
    said, cleaned = clean_texts(texts, steps, rows=rows)
    if out is not None:
        output.write_rows(out, _records(found, cleaned))
    if json:
        screen.print_json(said, data=data, out=None if out is None else str(out))
        return
    _print(said, found)
    if out is not None:
        screen.print_written(out, what="Cleaned")


def _records(found: Sequence[Inputs], cleaned: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of all files with their texts cleaned."""
    after = iter(cleaned)
    for one in found:
        if [*one.table] != [*found[0].table]:
            raise DataError(
                f"{one.facts.source} has other columns than {found[0].facts.source}; clean files "
                "of the same columns at once, others one by one"
            )
        column = next(iter((one.facts.columns or {"text": "text"}).values()))
        for i in range(len(one.inputs)):
            row = {name: cells[i] for name, cells in one.table.items()}
            yield {**row, column: next(after)}


# ---------------------------------------------------------------------------------------------
# Before and after


def _print(said: Cleaning, found: Sequence[Inputs]) -> None:
    from elman.cli import screen

    terminal = screen.console()
    for one in found:
        terminal.print(
            f"[bold]{plain(one.facts.source)}[/]: {counted(len(one.inputs), 'text')} "
            f"({plain(one.facts.format)})"
        )
        for note in one.notes:
            terminal.print(f"  · {plain(note)}")
    width = min(terminal.width, WIDEST)
    for example in said.examples:
        terminal.print(f"\n  [dim]before[/]  {plain(shortened(example.before, width - 10))}")
        after = plain(shortened(example.after, width - 10)) or "[dim]nothing is left[/]"
        terminal.print(f"   [dim]after[/]  {after}")
    terminal.print()
    screen.print_all(_counts(said, width), terminal)
    left = f"; of {said.empty:,} nothing is left" if said.empty else ""
    terminal.print(f"{said.changed:,} of {counted(said.texts, 'text')} changed{left}")
    if "rare" in said.by_step:
        terminal.print("  · rare: the words of these texts were counted; training counts its own")


def _counts(said: Cleaning, width: int) -> Iterator[str]:
    """Yield a line for each step: how many texts it changed, and what it does."""
    yield f"[dim]{'step':11}  {'texts changed':>17}[/]"
    for name, count in said.by_step.items():
        share = count / max(said.texts, 1)
        line = f"{name:11}  {count:9,}  {share:6.1%}  "
        yield f"{line}[dim]{plain(shortened(STEPS[name], width - len(line)))}[/]"


# ---------------------------------------------------------------------------------------------
# What a step is worth


def _ablate(
    task: Task,
    data: str | list[str],
    steps: Steps,
    columns: Mapping[str, str | None],
    form: Form,
    *,
    model: Model,
    seeds: int,
    settings: Mapping[str, Any],
    json: bool,
    quiet: bool,
) -> None:
    from elman.cli import screen
    from elman.lab.cleaning import ablate

    def watch(name: str, seed: int, metrics: Mapping[str, float]) -> None:
        scores = screen.scores_line(task, metrics)
        print(f"cut {seed}, {name}: {scores}", file=sys.stderr)

    found = ablate(
        task,
        data,
        steps,
        columns=columns,
        model=model,
        settings=settings,
        form=form,
        seeds=seeds,
        watch=None if quiet else watch,
    )
    if json:
        screen.print_json(found)
    else:
        screen.print_ablation(found)
