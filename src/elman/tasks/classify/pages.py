"""What people see of a classifier. Everything is returned as something that Rich can print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.errors import ConfigError
from elman.text.terminal import bar, columns, counted, padded, plain, shortened, visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from elman.data.examples import Examples
    from elman.data.splits import Split
    from elman.tasks.classify.inspection import ClassifyFindings
    from elman.tasks.classify.learner import ClassifierLearner
    from elman.tasks.classify.metrics import Classification
    from elman.tasks.classify.predictor import TextClassifierModel
    from elman.training.task import Report

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
MOST_CLASSES = 40
NOUN = "text"
"""What an example is called."""


# ---------------------------------------------------------------------------------------------
# Training


def data_line(split: Split[Examples], learner: ClassifierLearner) -> str:
    """Say what the data hold, for the first line of a run."""
    return f"{len(learner.classes)} classes"


def network_line(learner: ClassifierLearner) -> str:
    """Say what is trained."""
    options = learner.options
    directions = "two directions" if options.bidirectional else "one direction"
    layers = f"{options.num_layers} layers, " if options.num_layers > 1 else ""
    pairs = " and their pairs" if options.pairs else ""
    return (
        f"{layers}{directions} of {options.hidden_size} units over "
        f"{learner.tokenizer.vocab_size:,} {options.tokens}{pairs}; pooling {options.pooling}; "
        f"batches of {options.batch_size}"
    )


def findings(found: ClassifyFindings, *, width: int) -> Iterator[RenderableType]:
    """Show how many texts there are of each class, and how long they are."""
    lengths = found.lengths
    yield (
        f"{counted(found.rows, 'text')}, {counted(len(found.classes), 'class')}; "
        f"{lengths.shortest:,} to {lengths.longest:,} characters, half of them up to "
        f"{lengths.median:,} ({counted(found.words, 'word')}); a step would read {found.tokens}"
    )
    if found.duplicates or found.conflicts:
        yield (
            f"{counted(found.duplicates, 'exact duplicate')}; "
            f"{counted(found.conflicts, 'text')} with several labels"
        )
    shown = list(found.classes.items())[:MOST_CLASSES]
    left = max(columns(shortened(name, 30)) for name, _ in shown)
    most = max(found.classes.values())
    for name, count in shown:
        share = count / found.rows
        drawn = bar(count / most, 20)
        yield plain(
            f"  {padded(shortened(name, 30), left)} {count:8,} {share:6.1%} {drawn}".rstrip()
        )
    if len(found.classes) > len(shown):
        yield f"  … and {len(found.classes) - len(shown):,} more classes"


def verdict(report: Report[Any]) -> Iterator[str]:
    """Say whether the network was worth it, and what the baselines did not see."""
    if any(
        one.test.metrics["accuracy"] > report.test.metrics["accuracy"] for one in report.baselines
    ):
        yield "The network does not beat its baselines: use the n-grams, or more data"
    total = sum(sizes["train"] for sizes in report.sizes.values())
    for one in report.baselines:
        if one.trained_on < total:
            yield f"{one.name} learned from {one.trained_on:,} of {total:,} texts"


def suggestion(report: Report[Any]) -> str:
    """Return what to try next with the model, as the rest of a command."""
    mistakes: Sequence[Any] = getattr(report.test, "mistakes", ())
    text = mistakes[0].text if mistakes else "some text"
    fits = len(text) <= 40 and text.isprintable() and '"' not in text
    return f'--steps "{text if fits else "some text"}"'


# ---------------------------------------------------------------------------------------------
# Scores


def evaluation(
    scores: Classification,
    *,
    width: int,
    sizes: Mapping[str, Mapping[str, int]] | None = None,
    model: TextClassifierModel | None = None,
) -> Iterator[RenderableType]:
    """Show scores by class, the confusion matrix, calibration and the worst mistakes.

    Args:
        scores: of a model on one part.
        width: columns of the terminal.
        sizes: texts of each class in each part of the split.
        model: where labels that are not among its classes are to be named.
    """
    labels = {row.label for row in scores.classes}
    unseen = sorted(labels - {*model.classes}) if model is not None else []
    if unseen:
        said = ", ".join(unseen[:5]) + (" …" if len(unseen) > 5 else "")
        yield (
            "  · labels that are not among the model's classes, so that every text of theirs is a "
            f"mistake: {plain(said)}"
        )
    yield ""
    yield _class_table(scores, sizes)
    yield (
        f"\naccuracy {scores.accuracy:.4f}  macro-F1 {scores.macro_f1:.4f}  "
        f"weighted-F1 {scores.weighted_f1:.4f}  micro-F1 {scores.micro_f1:.4f}  "
        f"calibration error {scores.calibration_error:.4f}"
    )
    if scores.skipped:
        yield f"{counted(scores.skipped, 'text')} of length 0 skipped"
    if scores.truncated:
        yield f"longer than the model reads and truncated: {counted(scores.truncated, 'text')}"
    yield ""
    yield from _confusion(scores, width)
    if scores.mistakes:
        yield "\n[bold]Most confident mistakes[/]"
        for mistake in scores.mistakes[:5]:
            yield (
                f"  {mistake.confidence:4.0%}  {plain(mistake.predicted)}, "
                f"not {plain(mistake.label)}: {plain(shortened(mistake.text, 60))}"
            )


def _class_table(scores: Classification, sizes: Mapping[str, Mapping[str, int]] | None) -> Table:
    from rich.table import Table

    parts = ("train", "valid", "test") if sizes else ()
    table = Table(box=None)
    table.add_column("class", no_wrap=True, min_width=4)
    for name in ("precision", "recall", "F1", "support", *parts):
        table.add_column(name, justify="right", no_wrap=True, min_width=max(len(name), 5))
    for row in scores.classes:
        counts = sizes.get(row.label, {}) if sizes else {}
        table.add_row(
            plain(shortened(row.label, 24)),
            f"{row.precision:.3f}",
            f"{row.recall:.3f}",
            f"{row.f1:.3f}",
            f"{row.support:,}",
            *(f"{counts.get(part, 0):,}" for part in parts),
        )
    return table


def _confusion(scores: Classification, width: int) -> Iterator[str]:
    """Show the matrix where it fits, else its largest cells off the diagonal."""
    names = [shortened(row.label, 14) for row in scores.classes]
    cell = max(4, *(len(str(n)) + 1 for row in scores.confusion for n in row))
    left = max(map(len, names)) + 1
    if left + cell * len(names) <= width:
        yield "[bold]Confusion[/] (row: true, column: predicted)"
        heads = "".join(name[: cell - 1].rjust(cell) for name in names)
        yield " " * left + f"[dim]{plain(heads)}[/]"
        for i, (name, row) in enumerate(zip(names, scores.confusion, strict=True)):
            cells = "".join(_count_cell(n, i == j, cell) for j, n in enumerate(row))
            yield f"{plain(name.ljust(left))}{cells}"
        return
    yield "[bold]Most frequent confusions[/] (the whole matrix is in confusion.png)"
    pairs = [
        (n, i, j)
        for i, row in enumerate(scores.confusion)
        for j, n in enumerate(row)
        if i != j and n
    ]
    for n, i, j in sorted(pairs, key=lambda pair: -pair[0])[:10]:
        yield f"  {n:5,}  {plain(names[i])} taken for {plain(names[j])}"


def _count_cell(count: int, diagonal: bool, width: int) -> str:
    if not count:
        return "·".rjust(width)
    text = str(count).rjust(width)
    return f"[green]{text}[/]" if diagonal else f"[yellow]{text}[/]"


# ---------------------------------------------------------------------------------------------
# Answers


def answer(
    row: Mapping[str, Any], model: TextClassifierModel, *, width: int
) -> Iterator[RenderableType]:
    """Show one row of ``TextClassifierModel.answer``: a line, or with its steps one a step.

    A string is plain text; what has colours is a ``rich.text.Text``.
    """
    if "steps" in row:
        from rich.text import Text

        yield from map(Text.from_markup, _steps(row, model.classes, width))
        return
    ranked = ", ".join(f"{top['label']} {top['probability']:.0%}" for top in row["top"])
    if row.get("empty"):
        yield visible(f"(empty text): {ranked} (the prior)")
        return
    text = row["text"]
    yield visible(f"{text if len(text) <= 200 else text[:199] + '…'}: {ranked}")


def fields(row: Mapping[str, Any], *, inputs: bool) -> dict[str, Any]:
    """Return one row as columns: class and probability of the best classes, a note.

    Raises:
        ConfigError: the row has steps.
    """
    if "steps" in row:
        raise ConfigError("--steps cannot be shown in a table; use --json")
    columns: dict[str, Any] = {"text": row["text"]} if inputs else {}
    for i, top in enumerate(row["top"], start=1):
        number = "" if i == 1 else f"_{i}"
        columns[f"predicted{number}"] = top["label"]
        columns[f"probability{number}"] = top["probability"]
    columns["note"] = "empty text: prior" if row.get("empty") else ""
    return columns


def truncated(count: int, model: TextClassifierModel) -> str:
    """Say how many texts were longer than the model reads."""
    length, level = model.tokenizer.max_length, model.tokenizer.level
    return f"longer than {length} {level} and truncated: {count:,} of the texts"


def _steps(row: Mapping[str, Any], classes: Sequence[str], width: int) -> Iterator[str]:
    """Draw how the opinion changed: for each token its most probable classes with bars."""
    steps = row["steps"]
    if not steps:
        yield "[bold](empty text)[/] no step to show; the answer is the prior"
        return
    top = len(row["top"])
    token = min(max(columns(_shown(step["token"])) for step in steps), 20)
    label = min(max(map(columns, classes)), 14)
    # What is left for a bar once the token, labels and percentages have their place; where it
    # is too little, labels are cut, then fewer classes shown.
    while (length := (width - token - 4) // top - label - 8) < 4:
        if label > 6:
            label -= 1
        elif top > 1:
            top -= 1
        else:
            length = 0
            break
    length = min(length, 16)
    yield f"[bold]{plain(shortened(row['text'], width - 2))}[/]"
    for step in steps:
        cells = []
        for name, share in list(step["probabilities"].items())[:top]:
            drawn = f"{padded(name, label)} {bar(share, length)} {share:4.0%}"
            cells.append(f"[{COLOURS[classes.index(name) % len(COLOURS)]}]{plain(drawn)}[/]")
        yield f"  {plain(padded(_shown(step['token']), token))}  {'  '.join(cells)}"


def _shown(token: str) -> str:
    return visible(token) if token.strip() else repr(token).strip("'").replace(" ", "␣")
