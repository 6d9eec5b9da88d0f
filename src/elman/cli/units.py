"""`elman units`: which units of a language model carry a label, and what they do."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from elman import tasks
from elman.cli import options
from elman.cli.options import DATA_TEXT, option
from elman.data import output
from elman.data.files import expanded
from elman.data.source import items_of
from elman.errors import ConfigError
from elman.training import machine
from elman.training.options import MachineOptions, ReadOptions

if TYPE_CHECKING:
    from elman.lab.units import FoundUnits, Steering, UnitReport, UnitTrace

_TEXT = f"""Find the units of a language model that carry a label, and see what they do.

Labelled texts are read through the model; thresholds and the probe come from one half of them, the
scores from the other, beside the same with labels that are shuffled.

Parameters
----------
model
    Folder of a trained language model.
data
    Labelled texts: {DATA_TEXT[0].lower()}{DATA_TEXT[1:]}
"""

_STEERING = ("values", "n", "judge", "max_new_tokens", "temperature")

_OPTIONS = [
    option(
        "pool",
        Literal["last", "mean", "max"],
        "last",
        "What is taken of a unit: its value after the last token, or over all tokens the mean or "
        "the largest.",
        panel="network",
    ),
    option(
        "limit",
        int | None,
        None,
        "Texts at most, drawn by the seed.",
        panel="data",
        rule="20,000, fewer of a model with over 2,000 units",
    ),
    option("shuffles", int, 5, "How often labels are shuffled for the control.", panel="data"),
    option("seed", int, 0, "Of the halves, the shuffles, the probe and the writing.", panel="data"),
    option(
        "unit",
        str | None,
        None,
        "Show or hold this unit, as in 0.c.123: layer, state, unit.",
        panel="network",
        rule="the best",
    ),
    option(
        "target",
        str | None,
        None,
        "Of several labels the one whose best unit is shown or held.",
        panel="network",
        rule="the one that is found best",
    ),
    option(
        "show",
        str | None,
        None,
        "A text, or a file of one: colour it token by token; with --unit no DATA is needed.",
        panel="output",
        rule="none",
    ),
    option(
        "html", Path | None, None, "Write what --show shows as a page.", panel="output", rule="none"
    ),
    option(
        "figure",
        Path | None,
        None,
        "Draw what the best units hold, by label: .png or .svg.",
        panel="output",
        rule="none",
    ),
    option(
        "steer",
        bool,
        False,
        "Write with the unit held at several values, and have a classifier judge the texts.",
        panel="text",
        flag=True,
    ),
    option(
        "values",
        str | None,
        None,
        "With --steer: what the unit is held at, with commas.",
        panel="text",
        rule="five from low to high, by what it holds for the texts",
    ),
    option(
        "n",
        int | None,
        None,
        "With --steer: texts for each value.",
        panel="text",
        rule="200",
        short="-n",
    ),
    option(
        "judge",
        Path | None,
        None,
        "With --steer: folder of a classifier.",
        panel="text",
        rule="n-grams are trained on the half of DATA that chooses",
    ),
    option(
        "max_new_tokens",
        int | None,
        None,
        "With --steer: where a text ends in any case.",
        panel="text",
        rule="200 characters or bytes, 50 words, 80 pieces",
    ),
    option(
        "temperature",
        float | None,
        None,
        "With --steer: under 1 the probable gets more so.",
        panel="text",
        rule="1",
    ),
]


def _command() -> Callable[..., None]:
    parameters = [
        inspect.Parameter("model", inspect.Parameter.POSITIONAL_ONLY, annotation=Path),
        options.DATA,
        *options.column_options(tasks.find("classify")),
        *options.options_of(ReadOptions, without=("lines",)),
        *_OPTIONS,
        *options.options_of(MachineOptions),
        *options.file_options("A file for the scores of all units", rule="none"),
        options.json_option(),
        options.quiet_option(),
    ]
    return options.with_signature(_units, parameters, text=_TEXT)


def _units(model: Path, *data: str, **given: Any) -> None:
    asked, others = options.machine_of(given)
    with machine.threads(asked.threads):
        _run(model, data, device=asked.device, **others)


def _run(
    model: Path,
    data: Sequence[str],
    *,
    show: str | None,
    unit: str | None,
    target: str | None,
    html: Path | None,
    figure: Path | None,
    steer: bool,
    out: Path | None,
    force: bool,
    json: bool,
    quiet: bool,
    device: Any,
    **given: Any,
) -> None:
    steering = {name: given.pop(name) for name in _STEERING}
    if steering["values"] is not None:
        steering["values"] = _numbers(steering["values"])
    text = None if show is None else _text_of(show)
    places = {"out": out, "figure": figure, "html": html}
    places = {name: None if one is None else Path(expanded(one)) for name, one in places.items()}
    _check(places, force=force, data=data, show=show, unit=unit, steer=steer, steering=steering)
    from elman.cli import screen
    from elman.lab import units as library

    if unit is not None or not data:  # refused before texts are read
        loaded = library.language_model(model, device=device)
        library.check_unit(loaded, library.Unit.parse(str(unit)))
    found = trace = moved = None
    with screen.Bar(quiet=quiet) as bar:
        if data:
            found = library.find_units(
                model, options.data_given(data), device=device, watch=bar, **given
            )
            loaded = found.model
            found.report.of(target)
        if text is not None:
            trace = _trace(loaded, text, unit, found, target)
        if found is not None and steer:
            how = {name: value for name, value in steering.items() if value is not None}
            moved = library.steer(
                found, unit=unit, label=target, seed=given["seed"], watch=bar, **how
            )
    _write(places, found, trace)
    if json:
        more = {name: one for name, one in (("shown", trace), ("steering", moved)) if one}
        screen.print_json({} if found is None else found.report, **more)
        return
    if found is not None:
        _print_report(found.report)
    if trace is not None:
        _print_trace(trace)
    if moved is not None:
        _print_steering(moved)
    for name, place in places.items():
        if place is not None:
            screen.print_written(place, what=_WRITTEN[name])


_WRITTEN = {"out": "Units", "figure": "Figure", "html": "Page"}


# -------------------------------------------------------------------------------------------------
# What was asked


def _text_of(show: str) -> str:
    """Return the text to show, of a file where one is called so."""
    from elman.data.encoding import to_utf8, unpack
    from elman.data.files import name_of, read_bytes

    path = expanded(show)
    if show != "-" and not os.path.isfile(path):
        return show
    source = name_of(path)
    return to_utf8(unpack(read_bytes(path), source), source, None).data.decode()


def _check(
    places: dict[str, Path | None],
    *,
    force: bool,
    data: Sequence[str],
    show: str | None,
    unit: str | None,
    steer: bool,
    steering: dict[str, Any],
) -> None:
    """Refuse what does not go together, before any work is done.

    Raises:
        ConfigError: with what to add or to leave out.
    """
    if show is not None and not show:
        raise ConfigError("--show is empty; give a text, or a file of one")
    if not data:
        others = steer or places["out"] is not None or places["figure"] is not None
        if others or show is None or unit is None:
            hint = "" if others else ", or give --show TEXT and --unit 0.c.123"
            raise ConfigError(f"DATA is missing: name labelled texts{hint}")
    if places["html"] is not None and show is None:
        raise ConfigError("--html writes what --show shows; add --show TEXT or leave it out")
    for name, value in steering.items():
        if value is not None and not steer:
            raise ConfigError(f"--{name.replace('_', '-')} is for --steer; add it or leave it out")
    if places["out"] is not None:
        sources = map(str, items_of(list(data)))
        output.check_place(places["out"], "--out", overwrite=force, sources=sources)
    for name, suffixes in (("figure", (".png", ".svg")), ("html", (".html", ".htm"))):
        place = places[name]
        if place is not None:
            _check_picture(place, name, suffixes, force=force)


def _check_picture(place: Path, name: str, suffixes: Sequence[str], *, force: bool) -> None:
    from elman.text.vectors.export import check_place

    if place.suffix.lower() not in suffixes:
        raise ConfigError(f"--{name} {place}: name it after what it is, {' or '.join(suffixes)}")
    check_place(place, force=force)


def _numbers(text: str) -> list[float]:
    try:
        return [float(one) for one in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--values {text!r} are no numbers with commas between them; write --values=-1,0,1"
        ) from None


def _trace(
    model: Any, text: str, unit: str | None, found: FoundUnits | None, target: str | None
) -> UnitTrace:
    """Return what a unit holds along a text, with its threshold in the middle if it is known."""
    from elman.lab.units import Unit, show_unit

    if found is None:
        return show_unit(model, text, str(unit))
    chosen = found.report.of(target)
    one = found.score(Unit.parse(chosen.best.unit if unit is None else unit), chosen.label)
    others = {*found.split.train.sizes()} - {chosen.label}
    rest = next(iter(others)) if len(others) == 1 else f"not {chosen.label}"
    low, high = (rest, chosen.label) if one.high else (chosen.label, rest)
    return show_unit(model, text, one.unit, middle=one.threshold, low=low, high=high)


# -------------------------------------------------------------------------------------------------
# What is shown


def _write(
    places: dict[str, Path | None], found: FoundUnits | None, trace: UnitTrace | None
) -> None:
    if places["out"] is not None and found is not None:
        output.write_rows(places["out"], found.rows())
    if places["figure"] is not None and found is not None:
        from elman.training.figures import render

        kind = places["figure"].suffix.lower()[1:]
        places["figure"].write_bytes(render(found.plot(), kind))
    if places["html"] is not None and trace is not None:
        places["html"].write_text(trace.html(), encoding="utf-8", errors="replace")


def _print_report(report: UnitReport) -> None:
    from elman.cli import screen
    from elman.lab.units import report as pages
    from elman.text.terminal import plain

    terminal = screen.console()
    terminal.print(f"[bold]{plain(pages.heading(report))}[/]")
    for note in report.notes:
        terminal.print(f"  · {plain(note)}")
    if len(report.labels) > pages.FEW:
        _print_table(pages.SHORT_TITLES, pages.short_table(report))
        return
    for one in report.labels:
        terminal.print(f"\n{plain(pages.head_of(one, report))}")
        _print_table(pages.TITLES, pages.table(one))


def _print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table

    from elman.cli import screen
    from elman.text.terminal import plain, shortened

    table = Table(box=None, pad_edge=False)
    for i, title in enumerate(titles):
        table.add_column(plain(shortened(title, 30)), justify="right" if i else "left")
    for row in rows:
        style = "bold" if row[0] == "best unit" else "dim" if row[0].startswith("shuf") else ""
        table.add_row(*(plain(shortened(cell, 40)) for cell in row), style=style)
    screen.console().print(table)


def _print_trace(trace: UnitTrace) -> None:
    from rich.text import Text

    from elman.cli import screen
    from elman.text.terminal import plain, visible, visible_token

    terminal = screen.console()
    terminal.print(f"\n[bold]unit {plain(trace.unit)}[/]")
    if terminal.color_system is None or terminal.no_color:
        for one in trace.tokens:
            sys.stdout.write(f"{one.value:+.4f}\t{visible_token(one.token)}\n")  # tabs as they are
        return
    few = terminal.color_system == "standard"
    key = Text()
    for value, said in trace.key():
        style = _style(trace, value, few=few)
        key.append(f" {value:+.2f} {visible(said)}".rstrip() + " ", style=style)
    terminal.print(key)
    text = Text()
    for one in trace.tokens:
        shown = "↵\n" if one.token == "\n" else visible(one.token)
        text.append(shown, style=_style(trace, one.value, few=few))
    terminal.print(text)


def _style(trace: UnitTrace, value: float, *, few: bool) -> str:
    """Return the colours of a value; a terminal with ``few`` has blue, none and red alone."""
    if few:
        share = (value - trace.middle) / trace.reach
        return "" if abs(share) < 1 / 3 else f"white on {'red' if share > 0 else 'blue'}"
    red, green, blue = trace.shade(value)
    letters = "white" if trace.is_dark(value) else "black"
    return f"{letters} on rgb({red},{green},{blue})"


def _print_steering(moved: Steering) -> None:
    from elman.cli import screen
    from elman.text.terminal import plain, shortened

    terminal = screen.console()
    terminal.print(f"\n[bold]{plain(moved.head())}[/]")
    table = moved.table()
    _print_table(table.titles, table.rows)
    width = min(terminal.width, 120)
    for one in moved.rows:
        if one.examples:
            name = "not held" if one.value is None else f"{one.value:+.3f}"
            terminal.print(f"  [dim]{name:>9}[/]  {plain(shortened(one.examples[0], width - 14))}")


units = _command()
