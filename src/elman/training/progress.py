"""Showing how a run goes, in a notebook or a terminal, to who calls Elman from Python.

In a notebook one output is drawn anew; in a terminal there is a bar below a line for each epoch;
into a file go the lines alone. All of it goes to stderr, and none where it is not asked for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from elman.errors import ConfigError
from elman.text.terminal import counted, plain
from elman.text.terminal import visible as harmless
from elman.training.history import sample_lines
from elman.training.report import headline, shown_as

if TYPE_CHECKING:
    from elman.data.splits import Split
    from elman.lab.compare import Run
    from elman.training.fitting import Fitted
    from elman.training.history import Epoch
    from elman.training.task import Learner, Task
    from elman.training.trainer import Progress

REFRESH = 0.25  # seconds between two pictures of how far it has come


class Display(Protocol):
    """Where progress is shown: lines, a table that grows, and how far it is."""

    def say(self, text: str) -> None:
        """Show a sentence."""

    def row(self, cells: Sequence[str]) -> None:
        """Add a row to the table; the first one has its titles."""

    def bar(self, share: float, text: str) -> None:
        """Show how far it is, 0 to 1, and what is being done."""

    def close(self) -> None:
        """Take the bar away; lines and table stay."""


def asked_for(progress: bool | None) -> bool:
    """Whether to show progress: None means, where someone can see it.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(progress, bool | None):
        raise ConfigError(f"progress is {progress!r}; it must be True, False or None")
    if progress is not None:
        return progress
    return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel; imports nothing."""
    ipython = sys.modules.get("IPython")
    return hasattr(ipython and ipython.get_ipython(), "kernel")


def display() -> Display:
    """Return the display that fits where this runs."""
    return Notebook() if in_notebook() else Terminal()


class Terminal:
    """Lines on stderr, with a bar below them where that is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, force_jupyter=False)
        self._widths: list[int] = []
        self._bar: Any = None

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(plain(text), soft_wrap=True)

    def row(self, cells: Sequence[str]) -> None:
        """Print a line of columns as wide as their titles."""
        if not self._widths:
            self._widths = [max(len(cell), 8) for cell in cells]
        pairs = zip(cells, self._widths, strict=True)
        self.say("  ".join(harmless(cell).rjust(width) for cell, width in pairs))

    def bar(self, share: float, text: str) -> None:
        """Move the bar."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        if not self._console.is_terminal:
            return
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(24), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task("", total=1.0)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=share, description=plain(text))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _ipython() -> Any:
    """Return IPython's display; a notebook has it, and nothing else needs it."""
    return import_module("IPython.display")


class Notebook:
    """One output of a cell, drawn anew."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._rows: list[str] = []
        self._said_after: list[str] = []
        self._bar = ""
        self._handle: Any = None

    def say(self, text: str) -> None:
        """Add a line, above the table or below its rows."""
        (self._said_after if self._rows else self._said).append(f"<div>{escape(text)}</div>")
        self._draw()

    def row(self, cells: Sequence[str]) -> None:
        """Add a row to the table."""
        tag = "td" if self._rows else "th"
        self._rows.append("".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells))
        self._draw()

    def bar(self, share: float, text: str) -> None:
        """Move the bar."""
        self._bar = f'<progress value="{share:.4f}" max="1"></progress> {escape(text)}'
        self._draw()

    def close(self) -> None:
        """Take the bar away."""
        self._bar = ""
        self._draw()

    def _html(self) -> Any:
        rows = "".join(f"<tr>{row}</tr>" for row in self._rows)
        table = f'<div style="max-height:20em;overflow:auto"><table>{rows}</table></div>'
        parts = (*self._said, table if rows else "", *self._said_after, self._bar)
        return _ipython().HTML("".join(parts))

    def _draw(self) -> None:
        if self._handle is None:
            self._handle = _ipython().display(self._html(), display_id=True)
        else:
            self._handle.update(self._html())


class Paced:
    """Moves a display's bar, but no more often than an eye can follow."""

    def __init__(self, display: Display):
        self.display = display
        self._next = 0.0

    def __call__(self, share: float, text: str) -> None:
        """Show how far it is, 0 to 1, and what is being done."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + REFRESH
            self.display.bar(share, text)


class TrainingProgress:
    """One run: what is read and trained, a row an epoch, how it ended."""

    def __init__(self) -> None:
        self._display = display()
        self._bar = Paced(self._display)
        self._task: Task | None = None
        self._unit = ""
        self._titled = self._preparing = False
        self._named = ""

    def on_training(self, name: str, number: int, count: int) -> None:
        """Begin a table of its own for one of several trainings."""
        self._display.close()
        self._display, self._titled = display(), False
        self._bar = Paced(self._display)
        self._named = f"{name}, {number} of {count}: " if count > 1 else f"{name}: "

    def on_preparing(self, share: float, text: str) -> None:
        """Say what is learnt first, move the bar, say what came of it."""
        if not self._preparing or share >= 1:
            self._display.close()
            self._display.say(text)
        else:
            self._bar(share, text)
        self._preparing = share < 1

    def begin(self, task: Task, split: Split[Any], learner: Learner) -> None:
        """Say what was read and what will be trained."""
        self._task, self._unit = task, learner.schedule.unit
        parts = ", ".join(f"{count:,} {name}" for name, count in split.counts().items())
        epochs = counted(learner.schedule.epochs, "epoch")
        self._display.say(
            f"{self._named}{split.train.source}: {parts}; {_cells(learner)}, at most {epochs}"
        )
        for note in learner.notes:
            self._display.say(f"· {note}")

    def on_batch(self, progress: Progress) -> None:
        """Move the bar, and show what the model has written where it is time for that."""
        if progress.sample is not None:
            for line in sample_lines(progress.updates, progress.sample):
                self._display.say(line)
        speed = f"{progress.per_second:,.0f} {self._unit}/s"
        text = f"epoch {progress.epoch}/{progress.epochs}  loss {progress.loss:.3f}  {speed}"
        self._bar(_share(progress), text)

    def on_epoch(self, epoch: Epoch) -> None:
        """Add a row, before the first one its titles."""
        assert self._task is not None
        metrics = [shown_as(name, self._task.metrics) for name in epoch.metrics]
        if not self._titled:
            self._titled = True
            titles = [metric.title for metric in metrics]
            self._display.row(["epoch", "loss", *titles, f"{self._unit}/s"])
        pairs = zip(metrics, epoch.metrics.values(), strict=True)
        values = [f"{value:.{metric.digits}f}" for metric, value in pairs]
        speed = f"{epoch.per_second:,.0f}"
        self._display.row([str(epoch.epoch), f"{epoch.loss:.3f}", *values, speed])

    def end(self, fitted: Fitted) -> None:
        """Say which weights are kept."""
        self._display.close()
        if fitted.stopped:
            self._display.say(fitted.stopped)
        kept = [epoch.epoch for epoch in fitted.history if epoch.best]
        if kept:
            self._display.say(f"the weights of epoch {kept[-1]} are kept")

    def close(self) -> None:
        """Take the bar away."""
        self._display.close()


class ComparisonProgress:
    """Several runs: a bar over all of them, a row each."""

    def __init__(self, runs: int):
        self._display = display()
        self._bar = Paced(self._display)
        self._runs, self._done = runs, 0
        self._name = ""

    def begin(self, task: Task, split: Split[Any], learner: Learner) -> None:
        """Say what is compared, before the first run."""
        self._name = f"{_cells(learner)}, seed {learner.options.seed}"
        if self._done:
            return
        parts = ", ".join(f"{count:,} {name}" for name, count in split.counts().items())
        self._display.say(f"{split.train.source}: {parts}; {counted(self._runs, 'run')}")

    def on_batch(self, progress: Progress) -> None:
        """Move the bar."""
        text = f"run {self._done + 1}/{self._runs}  {self._name}"
        self._bar((self._done + _share(progress)) / self._runs, text)

    def on_run(self, task: Task, run: Run) -> None:
        """Add a row."""
        shown = headline(run.metrics, task.metrics)
        if not self._done:
            titles = [metric.title for metric in shown.values()]
            self._display.row(["seed", *titles, "epochs", "seconds", "cell"])
        self._done += 1
        scores = [f"{run.metrics[name]:.{metric.digits}f}" for name, metric in shown.items()]
        self._display.row([str(run.seed), *scores, str(run.epochs), f"{run.seconds:.1f}", run.cell])
        if run.failed:
            self._display.say(run.failed)

    def close(self) -> None:
        """Take the bar away."""
        self._display.close()


def _share(progress: Progress) -> float:
    return (progress.epoch - 1 + progress.batch / progress.batches) / progress.epochs


def _cells(learner: Learner) -> str:
    return ", ".join(cell.name for cell in learner.options.cells().values())
