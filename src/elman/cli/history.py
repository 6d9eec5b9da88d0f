"""`elman history`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

from elman import api
from elman.cli import options, screen
from elman.data import output
from elman.data.files import expanded
from elman.text.terminal import plain
from elman.training.history import History, kept_line, read, sample_lines
from elman.training.report import shown_as

_TEXT = """Show how a training went, epoch by epoch, and what the model wrote on the way.

Parameters
----------
model
    Folder of a trained model.
"""


def _command() -> Callable[..., None]:
    parameters = [
        inspect.Parameter("model", inspect.Parameter.POSITIONAL_ONLY, annotation=Path),
        *options.file_options("A file for the epochs", rule="stdout"),
        options.json_option(),
    ]
    return options.with_signature(_history, parameters, text=_TEXT)


def _history(model: Path, *, out: Path | None, force: bool, json: bool) -> None:
    place, out = Path(expanded(model)), expanded(out)
    if out is not None:
        output.check_place(out, "--out", overwrite=force)
    task = api.task_of(place)
    epochs = History(read(place), task.metrics)
    if out is not None:
        output.write_rows(out, epochs.rows())
        screen.print_written(out, "Epochs")
    elif json:
        screen.print_json({"model": str(model), "epochs": [*epochs]})
    else:
        _print(epochs)


def _print(epochs: History) -> None:
    from rich.table import Table

    terminal = screen.console()
    metrics = {name: shown_as(name, epochs.metrics) for name in epochs[0].metrics}
    table = Table(box=None, pad_edge=False, header_style="dim")
    titles = ("epoch", "loss", *(one.title for one in metrics.values()))
    for title in (*titles, "learning rate", "updates", "seconds", ""):
        table.add_column(title, justify="right", no_wrap=True)
    for epoch in epochs:
        values = (f"{epoch.metrics[name]:.{one.digits}f}" for name, one in metrics.items())
        table.add_row(
            f"{epoch.epoch}",
            f"{epoch.loss:.3f}",
            *values,
            f"{epoch.learning_rate:.2g}",
            f"{epoch.updates:,}",
            f"{epoch.seconds:.1f}",
            "kept" if epoch.epoch == epochs.kept else "",
            style="bold" if epoch.epoch == epochs.kept else "",
        )
    terminal.print(table)
    terminal.print(kept_line(epochs), soft_wrap=True)
    for updates, text in epochs.samples.items():
        title, *lines = sample_lines(updates, text)
        terminal.print(f"\n[dim]{plain(title)}[/]", soft_wrap=True)
        for line in lines:
            terminal.print(f"[cyan]{plain(line)}[/]", soft_wrap=True)


history = _command()
