"""What people see: tables, bars and progress. Results go to stdout, progress to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from elman.models.predictor import Step
    from elman.training.classify import Fitted, Prepared, Report
    from elman.training.compare import Comparison, Run
    from elman.training.history import Epoch
    from elman.training.metrics import Evaluation
    from elman.training.trainer import Progress

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
BLOCKS = " ▏▎▍▌▋▊▉█"
REFRESH = 0.1  # seconds between two changes of the progress bar


def console(*, stderr: bool = False) -> Console:
    """Return a console that marks nothing up but what is asked for."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # `elman ... | head` is no failure: `run` knows what to do

    return Screen(stderr=stderr, highlight=False, soft_wrap=False)


def print_json(value: Any, **more: Any) -> None:
    """Print one JSON document, with further members at its top."""
    document = {**more, **msgspec.to_builtins(value)} if more else value
    sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
    sys.stdout.flush()


class TrainingScreen:
    """Notes before, a bar and a line an epoch during, and a word after training."""

    def __init__(self, *, quiet: bool = False):
        self.quiet = quiet
        self.console = console(stderr=True)
        self._bar: Any = None
        self._task: Any = None
        self._next = 0.0

    def __enter__(self) -> TrainingScreen:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_bar()

    def begin(self, prepared: Prepared) -> None:
        """Say what was read and what will be trained."""
        if self.quiet:
            return
        split, config = prepared.split, prepared.config
        parts = ", ".join(
            f"{len(part):,} {name}"
            for name, part in (("train", split.train), ("valid", split.valid), ("test", split.test))
        )
        say = self.console.print
        say(f"[bold]{plain(split.train.source)}[/]: {len(prepared.classes)} classes; {parts}")
        for note in prepared.notes:
            say(f"  · {plain(note)}")
        directions = "two directions" if config.bidirectional else "one direction"
        layers = f"{config.num_layers} layers, " if config.num_layers > 1 else ""
        pairs = " and their pairs" if config.pairs else ""
        say(
            f"[bold]{plain(config.cell_name)}[/]: {layers}{directions} of {config.hidden_size} "
            f"units over {prepared.tokenizer.vocab_size:,} {config.tokens}{pairs}; pooling "
            f"{config.pooling}; batches of {config.batch_size}; at most "
            f"{_counted(config.epochs or 0, 'epoch')}"
        )
        say("[dim]epoch    loss   valid  accuracy  macro-F1   score   texts/s[/]")
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
        self._task = self._bar.add_task("starting", total=None)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_batch(self, progress: Progress) -> None:
        """Move the bar."""
        now = time.monotonic()
        if self._bar is None or now < self._next:
            return
        self._next = now + REFRESH
        score = "" if progress.score is None else f"  best score {progress.score:.3f}"
        self._bar.update(
            self._task,
            total=progress.epochs * progress.of_texts,
            completed=(progress.epoch - 1) * progress.of_texts + progress.texts,
            description=f"epoch {progress.epoch}/{progress.epochs}  loss {progress.loss:.3f}{score}"
            f"  {progress.texts_per_second:,.0f} texts/s",
        )

    def on_epoch(self, epoch: Epoch) -> None:
        """Print one line."""
        if self.quiet:
            return
        best = " [green]kept[/]" if epoch.best else ""
        self.console.print(
            f"{epoch.epoch:5d}  {epoch.loss:6.3f}  {epoch.valid_loss:6.3f}  "
            f"{epoch.valid_accuracy:8.4f}  {epoch.valid_macro_f1:8.4f}  {epoch.score:6.4f}  "
            f"{epoch.texts_per_second:8,.0f}{best}"
        )

    def end(self, fitted: Fitted) -> None:
        """Say why training was cut short, if it was; with --json too, as stderr is free."""
        self._end_bar()
        if fitted.stopped:
            print(f"elman: {fitted.stopped}; the best weights so far are kept", file=sys.stderr)
        elif not self.quiet:
            self.console.print("[dim]scoring the network and its baselines on the test part …[/]")


def print_report(told: Report, *, out: Path, failed: bool) -> None:
    """Print what `train` found."""
    from rich.table import Table

    screen = console()
    table = Table(box=None)
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for name in ("accuracy", "macro-F1", "seconds"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    rows = [("this network", told.test.accuracy, told.test.macro_f1, told.seconds)]
    rows += [(b.name, b.accuracy, b.macro_f1, b.seconds) for b in told.baselines]
    best = max(row[1] for row in rows)
    for name, accuracy, macro_f1, seconds in rows:
        style = "bold" if accuracy == best else ""
        table.add_row(
            plain(name), f"{accuracy:.4f}", f"{macro_f1:.4f}", f"{seconds:.1f}", style=style
        )
    screen.print(f"\n[bold]Test: {_counted(told.test.count, 'text')}[/]")
    screen.print(table)
    if any(rival.accuracy > told.test.accuracy for rival in told.baselines):
        screen.print("  The network does not beat its baselines: use the n-grams, or more data")
    if not told.baselines:
        screen.print("  The baselines are left out, as training was cut short")
    for rival in told.baselines:
        total = sum(row["train"] for row in told.sizes.values())
        if rival.trained_on < total:
            screen.print(f"  {rival.name} learned from {rival.trained_on:,} of {total:,} texts")
    print_evaluation(told.test, sizes=told.sizes, screen=screen)
    name = str(out)
    screen.print(f"\nSaved to [bold]{plain(name)}[/] ({told.parameters:,} parameters)")
    if told.stopped and not failed:
        screen.print("Go on where it stopped with the same command and --resume")
    text = told.test.mistakes[0].text if told.test.mistakes else "some text"
    short = text if len(text) <= 40 and text.isprintable() and '"' not in text else "some text"
    screen.print(f'Try: elman predict {plain(name)} --steps "{plain(short)}"')


def print_evaluation(
    scores: Evaluation, *, sizes: dict[str, dict[str, int]] | None = None, screen: Any = None
) -> None:
    """Print scores by class, the confusion matrix, calibration and the worst mistakes."""
    screen = screen or console()
    screen.print()
    screen.print(_class_table(scores, sizes))
    screen.print(
        f"\naccuracy {scores.accuracy:.4f}  macro-F1 {scores.macro_f1:.4f}  "
        f"weighted-F1 {scores.weighted_f1:.4f}  micro-F1 {scores.micro_f1:.4f}  "
        f"calibration error {scores.calibration_error:.4f}"
    )
    if scores.skipped:
        screen.print(f"{_counted(scores.skipped, 'text')} of length 0 skipped")
    if scores.cut:
        screen.print(f"longer than the model reads and cut: {_counted(scores.cut, 'text')}")
    screen.print()
    _print_confusion(scores, screen)
    if scores.mistakes:
        screen.print("\n[bold]Most confident mistakes[/]")
        for mistake in scores.mistakes[:5]:
            screen.print(
                f"  {mistake.confidence:4.0%}  {plain(mistake.predicted)}, "
                f"not {plain(mistake.label)}: {plain(_shortened(mistake.text, 60))}"
            )


def _class_table(scores: Evaluation, sizes: dict[str, dict[str, int]] | None) -> Table:
    from rich.table import Table

    table = Table(box=None)
    names = ["class", "precision", "recall", "F1", "support"]
    for name in [*names, *(["train", "valid", "test"] if sizes else [])]:
        left = name == "class"
        table.add_column(
            name,
            justify="left" if left else "right",
            no_wrap=True,
            min_width=4 if left else max(len(name), 5),
        )
    for row in scores.classes:
        counts = sizes.get(row.label, {}) if sizes else {}
        table.add_row(
            plain(_shortened(row.label, 24)),
            f"{row.precision:.3f}",
            f"{row.recall:.3f}",
            f"{row.f1:.3f}",
            f"{row.support:,}",
            *(f"{counts.get(part, 0):,}" for part in ("train", "valid", "test") if sizes),
        )
    return table


def _print_confusion(scores: Evaluation, screen: Any) -> None:
    """Print the matrix where it fits, else its largest cells off the diagonal."""
    names = [_shortened(row.label, 14) for row in scores.classes]
    cell = max(4, *(len(str(n)) + 1 for row in scores.confusion for n in row))
    left = max(map(len, names)) + 1
    if left + cell * len(names) <= screen.width:
        screen.print("[bold]Confusion[/] (row: true, column: predicted)")
        heads = "".join(name[: cell - 1].rjust(cell) for name in names)
        screen.print(" " * left + f"[dim]{plain(heads)}[/]")
        for i, (name, row) in enumerate(zip(names, scores.confusion, strict=True)):
            cells = "".join(_count_cell(n, i == j, cell) for j, n in enumerate(row))
            screen.print(f"{plain(name.ljust(left))}{cells}")
        return
    screen.print("[bold]Most frequent confusions[/] (the whole matrix is in confusion.png)")
    pairs = [
        (n, i, j)
        for i, row in enumerate(scores.confusion)
        for j, n in enumerate(row)
        if i != j and n
    ]
    for n, i, j in sorted(pairs, key=lambda pair: -pair[0])[:10]:
        screen.print(f"  {n:5,}  {plain(names[i])} taken for {plain(names[j])}")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _count_cell(count: int, diagonal: bool, width: int) -> str:
    if not count:
        return "·".rjust(width)
    text = str(count).rjust(width)
    return f"[green]{text}[/]" if diagonal else f"[yellow]{text}[/]"


def print_steps(text: str, steps: Sequence[Step], classes: Sequence[str], top: int) -> None:
    """Draw how the opinion on ``text`` changed: for each token the ``top`` classes with bars."""
    screen = console()
    if not steps:
        screen.print("[bold](empty text)[/] no step to show; the answer is the prior")
        return
    wide = min(max(_width(_shown(step.token)) for step in steps), 20)
    label = min(max(map(_width, classes)), 14)
    # What is left for a bar once the token, labels and percentages have their place; where it
    # is too little, labels are cut, then fewer classes shown.
    while (bar := (screen.width - wide - 4) // top - label - 8) < 4:
        if label > 6:
            label -= 1
        elif top > 1:
            top -= 1
        else:
            bar = 0
            break
    bar = min(bar, 16)
    screen.print(f"[bold]{plain(_shortened(text, screen.width - 2))}[/]", no_wrap=True)
    for step in steps:
        cells = []
        for i in step.probabilities.argsort()[::-1][:top]:
            share = float(step.probabilities[i])
            drawn = f"{_cell(classes[i], label)} {_bar(share, bar)} {share:4.0%}"
            cells.append(f"[{COLOURS[i % len(COLOURS)]}]{plain(drawn)}[/]")
        row = f"  {plain(_cell(_shown(step.token), wide))}  {'  '.join(cells)}"
        screen.print(row, no_wrap=True, overflow="crop")


def _width(text: str) -> int:
    """Return how many columns a terminal takes for ``text``: two for an emoji or a kanji."""
    from rich.cells import cell_len

    return cell_len(text)


def _cell(text: str, width: int) -> str:
    """Return ``text`` in exactly ``width`` columns."""
    from rich.cells import set_cell_size

    text = visible(text)
    return (
        set_cell_size(text, width)
        if _width(text) <= width
        else set_cell_size(text, width - 1) + "…"
    )


def _bar(share: float, width: int) -> str:
    eighths = round(share * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (BLOCKS[rest] if rest else "")).ljust(width)


def _shown(token: str) -> str:
    return visible(token) if token.strip() else repr(token).strip("'").replace(" ", "␣")


def _shortened(text: str, width: int) -> str:
    text = " ".join(text.split()) if "\n" in text or "\t" in text else text
    return text if len(text) <= width else text[: width - 1] + "…"


def visible(text: str) -> str:
    """Return ``text`` with escapes for what could drive the terminal: ESC, CSI, bidi marks."""
    return text if text.isprintable() else "".join(map(_harmless, text))


def _harmless(character: str) -> str:
    if character.isprintable() or character == "\u200d":  # the joiner of emoji
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode()


def plain(text: str) -> str:
    """Return ``text`` such that Rich prints it as it stands, without control characters."""
    from rich.markup import escape

    return escape(visible(text))


def print_run(run: Run) -> None:
    """Print one line on stderr when a run of `compare` has ended."""
    failed = f"; {run.failed}" if run.failed else ""
    print(
        f"{run.cell} seed {run.seed}: accuracy {run.accuracy:.4f}, macro-F1 {run.macro_f1:.4f}, "
        f"{run.epochs} epochs, {run.seconds:.1f} s{failed}",
        file=sys.stderr,
    )


def _spread(mean: float, spread: float, runs: int, digits: int) -> str:
    """Return mean ± standard deviation; one run has no spread."""
    if runs < 2:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {spread:.{max(digits - 1, 0)}f}"


def print_comparison(comparison: Comparison) -> None:
    """Print the table of `compare`: mean ± standard deviation over the seeds."""
    from rich.table import Table

    table = Table(title=f"{plain(comparison.data)}: {comparison.test_texts:,} test texts", box=None)
    table.add_column("cell", no_wrap=True, min_width=22)
    for name in ("accuracy", "macro-F1", "parameters", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    best = max(row.accuracy for row in comparison.rows)
    runs = len(comparison.runs) // len(comparison.rows)
    for row in comparison.rows:
        table.add_row(
            plain(row.cell),
            _spread(row.accuracy, row.accuracy_spread, runs, 4),
            _spread(row.macro_f1, row.macro_f1_spread, runs, 4),
            f"{row.parameters:,}",
            _spread(row.seconds, row.seconds_spread, runs, 0),
            style="bold" if row.accuracy == best else "",
        )
    for baseline in comparison.baselines:
        table.add_row(
            plain(baseline.name),
            f"{baseline.accuracy:.4f}",
            f"{baseline.macro_f1:.4f}",
            "",
            f"{baseline.seconds:.1f}",
            style="dim",
        )
    console().print(table)
