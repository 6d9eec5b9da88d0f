"""Printing: results to stdout, progress to stderr. What is shown of a task comes from its pages."""

from __future__ import annotations

import math
import re
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from elman import tasks
from elman.cli.process import machine_writer
from elman.text.terminal import UNBOUNDED, counted, plain, width_of
from elman.training.history import Epoch, kept_line, sample_lines
from elman.training.progress import Paced, Terminal
from elman.training.report import headline, shown_as

if TYPE_CHECKING:
    from rich.console import Console

    from elman.data.splits import Split
    from elman.lab.cleaning import Ablation
    from elman.lab.compare import Comparison, Run
    from elman.lab.models import ModelComparison
    from elman.training.fitting import Fitted
    from elman.training.report import Metric, Report
    from elman.training.task import Learner, Task
    from elman.training.trainer import Progress

ABLATION_WIDTH = 88  # columns from which on two metrics stand beside each other, with spreads
REFRESH = 0.1  # seconds between two changes of the progress bar
_TRAILING = re.compile(r" +$", re.MULTILINE)


def console(*, stderr: bool = False) -> Console:
    """Return a console that marks up what is asked for alone, and wraps in terminals alone."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    unbounded = width_of(stream) == UNBOUNDED
    size: dict[str, Any] = {"width": UNBOUNDED, "height": 25} if unbounded else {}

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # `elman ... | head` is no failure: `run` knows what to do

    file: Any = _Trimmed(stream)
    return Screen(file=file, highlight=False, soft_wrap=False, **size)


class _Trimmed:
    """A stream without the blanks with which Rich fills lines up."""

    def __init__(self, stream: IO[str]):
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(_TRAILING.sub("", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def print_json(value: Any, **more: Any) -> None:
    """Print one JSON document, with further members at its top."""
    document = {**more, **msgspec.to_builtins(value)} if more else value
    machine_writer()(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


class Bar:
    """A bar on stderr, where that is a terminal."""

    def __init__(self, *, quiet: bool = False):
        self._shown = None if quiet else Terminal()
        self._move = None if self._shown is None else Paced(self._shown)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._shown is not None:
            self._shown.close()

    def __call__(self, share: float, text: str) -> None:
        """Show how far the work is, 0 to 1, and what is being done."""
        if self._move is not None:
            self._move(share, text)


class TrainingScreen:
    """Notes before, a bar and a line an epoch during, and a word after training."""

    def __init__(self, *, quiet: bool = False):
        self.quiet = quiet
        self.console = console(stderr=True)
        self._task: Task | None = None
        self._unit = ""
        self._columns: Sequence[str] | None = None
        self._bar: Any = None
        self._bar_id: Any = None
        self._preparing: Bar | None = None
        self._next = 0.0
        self._highest = -math.inf
        self._several, self._number = "", 1

    def __enter__(self) -> TrainingScreen:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_preparing()
        self._end_bar()

    def on_training(self, name: str, number: int, count: int) -> None:
        """Say which of several trainings is next."""
        self._several, self._number = name, number
        self._columns, self._highest = None, -math.inf
        if not self.quiet:
            of = f" ({number} of {count})" if count > 1 else ""
            self.console.print(f"\n[bold]{plain(name)}[/]{of}")

    def on_preparing(self, share: float, text: str) -> None:
        """Say what is learnt first, move a bar, say what came of it."""
        if self._preparing is None or share >= 1:
            self._end_preparing()
            if not self.quiet:
                self.console.print(plain(text))
        if share >= 1:
            return
        if self._preparing is None:
            self._preparing = Bar(quiet=self.quiet)
        self._preparing(share, text)

    def _end_preparing(self) -> None:
        if self._preparing is not None:
            self._preparing.close()
            self._preparing = None

    def begin(self, task: Task, split: Split[Any], learner: Learner) -> None:
        """Say what was read and what will be trained."""
        self._task, self._unit = task, learner.schedule.unit
        if self.quiet:
            return
        parts = ", ".join(f"{count:,} {name}" for name, count in split.counts().items())
        say, pages = self.console.print, tasks.pages(task)
        data = pages.data_line(split, learner)
        say(f"[bold]{plain(split.train.source)}[/]: {plain(data)}; {parts}")
        for note in learner.notes if self._number == 1 else ():
            say(f"  · {plain(note)}")
        if not learner.schedule.epochs:
            say(plain(pages.network_line(learner)))
            return
        cells = ", ".join(cell.name for cell in learner.options.cells().values())
        epochs = counted(learner.schedule.epochs, "epoch")
        say(f"[bold]{plain(cells)}[/]: {plain(pages.network_line(learner))}; at most {epochs}")
        self._begin_bar()

    def _begin_bar(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        if not self.console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            transient=True,
            refresh_per_second=1 / REFRESH,
        )
        self._bar.start()
        self._bar_id = self._bar.add_task("starting", total=None)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_batch(self, progress: Progress) -> None:
        """Move the bar, and show what the model has written where it is time for that."""
        if progress.sample is not None and not self.quiet:
            title, *lines = sample_lines(progress.updates, progress.sample)
            self.console.print(f"[dim]{plain(title)}[/]", soft_wrap=True)
            for line in lines:
                self.console.print(f"[cyan]{plain(line)}[/]", soft_wrap=True)
        now = time.monotonic()
        if self._bar is None or now < self._next:
            return
        self._next = now + REFRESH
        score = "" if progress.score is None else f"  best score {progress.score:.3f}"
        self._bar.update(
            self._bar_id,
            total=progress.epochs * progress.batches,
            completed=(progress.epoch - 1) * progress.batches + progress.batch,
            description=f"epoch {progress.epoch}/{progress.epochs}  loss {progress.loss:.3f}{score}"
            f"  {progress.per_second:,.0f} {self._unit}/s",
        )

    def on_epoch(self, epoch: Epoch) -> None:
        """Print one line, and before the first the names of its columns."""
        if self.quiet:
            return
        assert self._task is not None
        metrics = [(name, shown_as(name, self._task.metrics)) for name in epoch.metrics]
        if self._columns is None:
            if epoch.epoch > 1:  # resumed: what stood before is not known here
                self._highest = math.inf
            self._columns = [metric.title for _, metric in metrics]
            names = "".join(f"  {title:>8}" for title in self._columns)
            self.console.print(
                f"[dim]epoch    loss{names}   score   {self._unit + '/s':>8}[/]", soft_wrap=True
            )
        score = "     – " if epoch.score is None else f"{epoch.score:6.4f}{self._mark(epoch.score)}"
        values = "".join(
            f"  {epoch.metrics[name]:{max(len(metric.title), 8)}.{metric.digits}f}"
            for name, metric in metrics
        )
        self.console.print(
            f"{epoch.epoch:5d}  {epoch.loss:6.3f}{values}  {score}  {epoch.per_second:8,.0f}",
            soft_wrap=True,
        )

    def _mark(self, score: float) -> str:
        """Return a star for the highest score so far."""
        higher = score > self._highest
        self._highest = max(score, self._highest)
        return "[green]*[/]" if higher else " "

    def end(self, fitted: Fitted) -> None:
        """Say which epoch is kept and why training ended; with --json too if it was cut short."""
        self._end_bar()
        if not self.quiet and (fitted.history or fitted.stopped):
            ended = f"; training ended {fitted.ended}" if fitted.ended else ""
            self.console.print(f"{kept_line(fitted.history)}{ended}")
        if fitted.stopped:
            kept = "" if self._several else "; the best weights so far are kept"
            said = f"{self._several} {fitted.stopped}".strip()
            print(f"elman: {said}{kept}", file=sys.stderr)
        elif not self.quiet and not self._several:
            self.console.print("[dim]scoring the model and its parts on the test part …[/]")


def print_report(report: Report[Any], *, out: Path | None) -> None:
    """Print what `train` found."""
    from rich.table import Table

    task = tasks.find(report.task)
    pages, shown = tasks.pages(task), headline(report.test.metrics, task.metrics)
    screen = console()
    table = Table(box=None)
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for title in (*(metric.title for metric in shown.values()), "seconds"):
        table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
    rows = report.rows(shown)
    best = _best(shown, (row.values for row in rows if not row.single))
    for row in rows:
        wins = row.values[next(iter(shown))] == best
        style = "dim" if row.single else "bold" if wins else ""
        table.add_row(plain(row.name), *row.cells, row.shown_seconds, style=style)
    screen.print(f"\n[bold]Test: {counted(report.test.count, pages.JUDGED)}[/]")
    screen.print(table)
    if report.spread:
        screen.print(f"  [dim]± standard deviation over {len(report.trainings)} trainings[/]")
    for note in report.test_notes:
        screen.print(f"  · {plain(note)}")
    if not report.baselines:
        screen.print("  The baselines are left out, as training was cut short")
    for line in pages.verdict(report):
        screen.print(f"  {plain(line)}")
    print_all(pages.evaluation(report.test, sizes=report.sizes, width=screen.width), screen)
    if out is None:
        screen.print("\nNo model is kept of cross-validation alone; --final trains one on all data")
        return
    name = str(out)
    screen.print(f"\nSaved to [bold]{plain(name)}[/] ({report.parameters:,} parameters)")
    screen.print(f"Try: {plain(pages.suggestion(report, shlex.quote(name)))}", soft_wrap=True)


def print_written(path: Path, what: str = "Answers") -> None:
    """Say where the answers to examples are, or what else was written."""
    console().print(f"{what}: [bold]{plain(str(path))}[/]")


def print_all(renderables: Iterable[Any], screen: Console) -> None:
    """Print what a task's pages return."""
    for renderable in renderables:
        screen.print(renderable)


def _best(shown: Mapping[str, Metric], rows: Iterable[Mapping[str, float]]) -> float:
    """Return the best of what decides who won: the first of the metrics."""
    name, metric = next(iter(shown.items()))
    return (max if metric.higher_is_better else min)(row[name] for row in rows)


def _shown(shown: Mapping[str, Metric], metrics: Mapping[str, float]) -> list[str]:
    return [f"{metrics[name]:.{metric.digits}f}" for name, metric in shown.items()]


# ---------------------------------------------------------------------------------------------
# Comparing cells


def print_run(task: Task, run: Run) -> None:
    """Print one line on stderr when a run of `compare` has ended."""
    failed = f"; {run.failed}" if run.failed else ""
    epochs = counted(run.epochs, "epoch")
    print(
        f"{run.cell} seed {run.seed}: {scores_line(task, run.metrics)}, {epochs}, "
        f"{run.seconds:.1f} s{failed}",
        file=sys.stderr,
    )


def scores_line(task: Task, metrics: Mapping[str, float]) -> str:
    """Return the scores of the short tables with their names."""
    shown = headline(metrics, task.metrics)
    pairs = zip(shown.values(), _shown(shown, metrics), strict=True)
    return ", ".join(f"{metric.title} {value}" for metric, value in pairs)


def print_comparison(comparison: Comparison) -> None:
    """Print the table of `compare`: mean ± standard deviation over the seeds."""
    from rich.table import Table

    task = tasks.find(comparison.task)
    noun, rows = tasks.pages(task).NOUN, comparison.rows
    shown = headline(rows[0].mean, task.metrics)
    count = counted(comparison.test_count, f"test {noun}")
    table = Table(title=f"{plain(comparison.data)}: {count}", box=None)
    table.add_column("cell", no_wrap=True, min_width=22)
    sizes = ["units"] if len({row.hidden_size for row in rows}) > 1 else []
    for title in (*(metric.title for metric in shown.values()), *sizes, "parameters", "seconds"):
        table.add_column(title, justify="right", no_wrap=True)
    best = _best(shown, (row.mean for row in rows))
    runs = len(comparison.runs) // len(rows)
    for row in rows:
        failed = sum(bool(run.failed) for run in comparison.runs if run.cell == row.cell)
        name = f"{row.cell} ({failed} of {runs} runs failed)" if failed else row.cell
        table.add_row(
            plain(name),
            *(
                _spread(row.mean[name], row.spread[name], runs, metric.digits)
                for name, metric in shown.items()
            ),
            *([str(row.hidden_size)] if sizes else []),
            f"{row.parameters:,}",
            _spread(row.seconds, row.seconds_spread, runs, 0),
            style="bold" if row.mean[next(iter(shown))] == best else "",
        )
    for one in comparison.baselines:
        table.add_row(
            plain(one.name),
            *_shown(shown, one.test.metrics),
            *("" for _ in (*sizes, "parameters")),
            f"{one.seconds:.1f}",
            style="dim",
        )
    console().print(table)


def print_model_comparison(comparison: ModelComparison) -> None:
    """Print the scores of each saved model, and how they differ."""
    from rich.table import Table

    known = tasks.find(comparison.task).metrics
    shown = {name: shown_as(name, known) for name in comparison.models[0].metrics}
    screen = console()
    table = Table(title=plain(comparison.head()), box=None)
    table.add_column("model", no_wrap=True, min_width=12)
    for title in (*(metric.title for metric in shown.values()), "parameters"):
        table.add_column(title, justify="right", no_wrap=True)
    best = _best(shown, (one.metrics for one in comparison.models))
    for one in comparison.models:
        table.add_row(
            plain(one.name),
            *_shown(shown, one.metrics),
            f"{one.parameters:,}",
            style="bold" if one.metrics[next(iter(shown))] == best else "",
        )
    screen.print(table)
    screen.print()
    for sentence in comparison.sentences():
        screen.print(f"  {plain(sentence)}")


def _spread(mean: float, spread: float, runs: int, digits: int, sign: str = "") -> str:
    """Return mean ± standard deviation; one run has no spread."""
    if runs < 2:
        return f"{mean:{sign}.{digits}f}"
    return f"{mean:{sign}.{digits}f} ± {spread:.{max(digits - 1, 0)}f}"


# ---------------------------------------------------------------------------------------------
# What steps of cleaning are worth


def print_ablation(found: Ablation) -> None:
    """Print what `clean --ablate` found: scores, and what each step adds to them."""
    from rich.table import Table

    shown = headline(found.variants[0].mean, tasks.find(found.task).metrics)
    screen = console()
    if screen.width < ABLATION_WIDTH:
        shown = dict([*shown.items()][:1])
    screen.print(
        f"[bold]{plain(found.data)}[/]: {plain(found.model)}, {counted(found.seeds, 'cut')} with "
        f"{counted(found.judged_count, 'text')} kept apart"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for metric in shown.values():
        table.add_column(metric.title, justify="right", no_wrap=True)
        table.add_column("worth", justify="right", no_wrap=True)
    for i, one in enumerate(found.variants):
        cells = []
        for name, metric in shown.items():
            runs, digits = found.seeds, metric.digits
            worth = _spread(one.worth[name], one.worth_spread[name], runs, digits, sign="+")
            cells.append(_spread(one.mean[name], one.spread[name], runs, digits))
            cells.append(worth if i else "")
        table.add_row(plain(one.name), *cells)
    screen.print(table)
    name, metric = next(iter(shown.items()))
    for line in found.verdict(name, higher_is_better=metric.higher_is_better):
        screen.print(f"  {plain(line)}")
