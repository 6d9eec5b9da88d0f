"""What people see of a classifier. Everything is returned as something that Rich can print."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.errors import ConfigError
from elman.tasks.classify.curves import Point
from elman.tasks.classify.metrics import METRICS, Classification, Labelling
from elman.tasks.classify.thresholds import EVEN
from elman.text.terminal import (
    bar,
    columns,
    counted,
    padded,
    plain,
    shortened,
    visible,
    visible_token,
)
from elman.text.tokenizer import NAMES
from elman.training.report import Report, helped, outdone, shown_as

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from elman.data.examples import Examples
    from elman.data.splits import Split
    from elman.tasks.classify.inspection import ClassifyFindings
    from elman.tasks.classify.learner import ClassifierLearner
    from elman.tasks.classify.metrics import ClassScore
    from elman.tasks.classify.predictor import TextClassifierModel

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
MOST_CLASSES = 40
NOUN = "text"
JUDGED = "text"
"""What an example is called."""
FORMATS: Mapping[str, Any] = {}
"""Tables say it all."""
LABEL = 24  # columns that a class's name takes at most as the head of a column
WIDE = 80  # columns from which on a table has room for the sizes of the parts
LONGEST = 200  # columns that a text or the name of a class takes at most
MOST_ROWS, BEST = (
    30,
    10,
)  # rows of a table, and how many of them are the best where some are left out
MOST_PAIRS = 10


# ---------------------------------------------------------------------------------------------
# Training


def data_line(split: Split[Examples], learner: ClassifierLearner) -> str:
    """Say what the data hold, for the first line of a run."""
    noun = "labels, several a text" if learner.prepared.labels.several else "classes"
    return f"{len(learner.prepared.classes)} {noun}"


def network_line(learner: ClassifierLearner) -> str:
    """Say what is trained."""
    options, tokenizer = learner.options, learner.prepared.tokenizer
    other = f" ({options.other_ngrams})" if options.other_ngrams else ""
    if options.model == "ngrams":
        return f"n-grams{other} with logistic regression"
    directions = "two directions" if options.bidirectional else "one direction"
    layers = f"{options.num_layers} layers, " if options.num_layers > 1 else ""
    pairs = " and their pairs" if options.pairs else ""
    spelling = " and their spelling" if options.subwords else ""
    beside = f"; n-grams{other} beside it" if options.linear == "on" else ""
    return (
        f"{layers}{directions} of {options.hidden_size} units over "
        f"{tokenizer.vocab_size:,} {NAMES[tokenizer.level]}{pairs}{spelling}; "
        f"pooling {options.pooling}; batches of {options.batch_size}{beside}"
    )


def findings(found: ClassifyFindings, *, width: int) -> Iterator[RenderableType]:
    """Show how many texts there are of each class, and how long they are."""
    lengths, noun = found.lengths, "label" if found.labels_a_text else "class"
    yield (
        f"{counted(found.rows, 'text')}, {counted(len(found.classes), noun)}; "
        f"{lengths.shortest:,} to {lengths.longest:,} characters, half of them up to "
        f"{lengths.median:,} ({counted(found.words, 'word')}); a step would read {found.tokens}"
    )
    if found.duplicates or found.conflicts:
        come = "comes" if found.conflicts == 1 else "come"
        yield (
            f"{counted(found.duplicates, 'exact duplicate')}; "
            f"{counted(found.conflicts, 'text')} that {come} again with another label"
        )
    if found.labels_a_text:
        said = (f"{number or 'none'} ({n:,} texts)" for number, n in found.labels_a_text.items())
        yield f"labels a text: {', '.join(said)}"
    shown = list(found.classes.items())[:MOST_CLASSES]
    left = max(columns(_name(name, width)) for name, _ in shown)
    most = max(found.classes.values(), default=1)
    for name, count in shown:
        share = count / found.rows
        drawn = bar(count / most, 20)
        yield plain(f"  {padded(name, left)} {count:8,} {share:6.1%} {drawn}".rstrip())
    if len(found.classes) > len(shown):
        yield f"  … and {len(found.classes) - len(shown):,} more classes"


def verdict(report: Report[Any]) -> Iterator[str]:
    """Say whether the network was worth it, and what the baselines did not see."""
    yield from helped(report, METRICS)
    yield from outdone(report, METRICS)
    total = report.parts.get("train", 0)
    for one in report.baselines:
        if one.trained_on < total:
            yield f"{one.name} learned from {one.trained_on:,} of {total:,} texts"


def suggestion(report: Report[Any], model: str) -> str:
    """Return the command to try first with the model."""
    mistakes: Sequence[Any] = getattr(report.test, "mistakes", ())
    text = mistakes[0].text if mistakes else "some text"
    fits = len(text) <= 40 and text.isprintable() and not {*'"-$`!\\'} & {*text}
    return f'elman predict {model} --steps "{text if fits else "some text"}"'


# ---------------------------------------------------------------------------------------------
# Scores


def evaluation(
    scores: Classification | Labelling,
    *,
    width: int,
    sizes: Mapping[str, Mapping[str, int]] | None = None,
    model: TextClassifierModel | None = None,
) -> Iterator[RenderableType]:
    """Show scores by class, what thresholds give, the confusion matrix and the worst mistakes.

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
    yield from _class_table(scores, sizes, width)
    yield "\n" + _numbers(scores)
    yield from _calibration_line(scores)
    if scores.skipped:
        yield f"{counted(scores.skipped, 'text')} of length 0 skipped"
    if scores.truncated:
        yield f"longer than the model reads and truncated: {counted(scores.truncated, 'text')}"
    if isinstance(scores, Labelling):
        yield from _label_mistakes(scores, width)
        return
    if sizes is None or scores.metric or scores.threshold is not None:
        yield from _thresholds(scores, width)
    yield ""
    yield from _confusion(scores, width)
    if scores.mistakes:
        yield "\n[bold]Most confident mistakes[/]"
        for mistake in scores.mistakes[:5]:
            said, true = (_name(label, width) for label in (mistake.predicted, mistake.label))
            yield _mistake(
                f"  {mistake.confidence:4.0%}  {said}, not {true}: ", mistake.text, width
            )


# Of one label a text micro-F1 is the accuracy.
_SAID_ELSEWHERE: Mapping[type, Sequence[str]] = {
    Classification: ("log_loss", "calibration_error", "micro_f1"),
    Labelling: ("log_loss", "calibration_error"),
}


def _numbers(scores: Classification | Labelling) -> str:
    """Return the scores over all classes, but for those of calibration."""
    shown = {
        name: value
        for name, value in scores.metrics.items()
        if name not in _SAID_ELSEWHERE[type(scores)]
    }
    return "  ".join(
        f"{shown_as(name, METRICS).title} {value:.4f}".replace("[", "\\[")
        for name, value in shown.items()
    )


def _calibration_line(scores: Classification | Labelling) -> Iterator[str]:
    """Say how honest the probabilities are, and were before they were calibrated."""
    before, after = scores.uncalibrated, scores.calibration
    beside = [] if before is None else [f"before calibration {before.error:.4f}"]
    if after is not None:
        beside.append(f"by chance {after.by_chance:.4f}")
    yield f"calibration error {scores.calibration_error:.4f}" + _beside(beside)
    beside = [] if before is None else [f"before calibration {before.log_loss:.4f}"]
    yield f"log loss {scores.log_loss:.4f}" + _beside(beside)


def _beside(said: Sequence[str]) -> str:
    return f"  ({', '.join(said)})" if said else ""


def _thresholds(scores: Classification, width: int) -> Iterator[RenderableType]:
    """Show what answering the rarer of two classes from other probabilities on would give."""
    from rich.table import Table

    if scores.positive is None or not scores.curves:
        return
    [curve] = scores.curves
    own = next(row for row in scores.classes if row.label == scores.positive)
    used = EVEN if scores.threshold is None else scores.threshold
    rows = [(one, "") for one in curve.table() if abs(one.threshold - used) > 1e-4]
    rows.append((Point(used, own.precision, own.recall, own.f1), "in use"))
    yield f"\n[bold]Thresholds[/] from which {plain(_name(curve.label, width))} is answered"
    table = Table(box=None)
    for name in ("threshold", "precision", "recall", "F1"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one, mark in sorted(rows, key=lambda row: -row[0].threshold):
        numbers = (f"{n:.3f}" for n in (one.threshold, one.precision, one.recall, one.f1))
        table.add_row(*numbers, mark, style="bold" if mark else "")
    yield table


def _label_mistakes(scores: Labelling, width: int) -> Iterator[str]:
    if scores.mistakes:
        yield "\n[bold]Most confident mistakes[/], with what the model gave the label"
    for mistake in scores.mistakes[:5]:
        fault = "missing" if mistake.label in mistake.labels else "too much"
        head = f"  {mistake.probability:4.0%}  {_name(mistake.label, width)}, {fault}: "
        yield _mistake(head, mistake.text, width)


def _mistake(head: str, text: str, width: int) -> str:
    room = min(max(width - columns(head), 12), LONGEST)
    return plain(head + shortened(visible(text[: 2 * LONGEST]), room))


def _name(label: str, width: int) -> str:
    """Return a class's name as a line of ``width`` columns has room for it."""
    return shortened(visible(label), min(LONGEST, max(width // 4, 8)))


def _class_table(
    scores: Classification | Labelling, sizes: Mapping[str, Mapping[str, int]] | None, width: int
) -> Iterator[RenderableType]:
    """Show every class that was judged; of many the worst and the best."""
    judged = [row for row in scores.classes if row.support]
    shown = judged
    if len(judged) > MOST_ROWS:
        ranked = sorted(judged, key=lambda row: row.f1)
        shown = ranked[: MOST_ROWS - BEST] + ranked[-BEST:]
    yield _table(scores, shown, sizes, width, gap=len(shown) < len(judged))
    where = "metrics.json" if sizes else "what --json prints"
    if len(shown) < len(judged):
        yield f"  · of {len(judged)} classes the worst and the best by F1; all are in {where}"
    if left := len(scores.classes) - len(judged):
        classes = "1 class that has" if left == 1 else f"{left} classes that have"
        yield f"  · without {classes} no text here; all are in {where}"


def _table(
    scores: Classification | Labelling,
    rows: Sequence[ClassScore],
    sizes: Mapping[str, Mapping[str, int]] | None,
    width: int,
    *,
    gap: bool,
) -> Table:
    """Return the table of ``rows``, with a ``gap`` before the best."""
    from rich.table import Table

    wide = width >= WIDE
    parts = ("train", "valid", "test") if sizes and wide else ()
    thresholds: dict[str, float] = {}
    if isinstance(scores, Labelling) and wide:
        names = [one.label for one in scores.classes]
        thresholds = dict(zip(names, scores.thresholds, strict=False))
    heads = ["from"] * bool(thresholds) + ["precision", "recall", "F1"]
    heads += ["AP"] * wide + ["support", *parts]
    table = Table(box=None)
    table.add_column("class", no_wrap=True, min_width=4)
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True, min_width=max(len(name), 5))
    for i, row in enumerate(rows):
        if gap and i == MOST_ROWS - BEST:
            table.add_row("…")
        counts = sizes.get(row.label, {}) if sizes else {}
        numbers = [row.precision, row.recall, row.f1] + [row.average_precision] * wide
        if thresholds:
            numbers.insert(0, thresholds.get(row.label, 1.0))
        table.add_row(
            plain(_name(row.label, width)),
            *(f"{number:.3f}" for number in numbers),
            f"{row.support:,}",
            *(f"{counts.get(part, 0):,}" for part in parts),
        )
    return table


def _confusion(scores: Classification, width: int) -> Iterator[str]:
    """Show the matrix of the classes that occur where it fits, else its largest cells."""
    counts = scores.confusion
    rows = [i for i, row in enumerate(counts) if any(row) or any(other[i] for other in counts)]
    names = [scores.classes[i].label for i in rows]
    matrix = [[counts[i][j] for j in rows] for i in rows]
    lines = _matrix(names, matrix, width) if len(names) <= MOST_ROWS else None
    if lines is not None:
        yield "[bold]Confusion[/] (row: true, column: predicted)"
        yield from lines
        return
    pairs = [
        (n, names[i], names[j])
        for i, row in enumerate(matrix)
        for j, n in enumerate(row)
        if i != j and n
    ]
    if not pairs:
        yield "No class was taken for another"
        return
    yield "[bold]Most frequent confusions[/]"
    for n, true, predicted in sorted(pairs, key=lambda pair: -pair[0])[:MOST_PAIRS]:
        yield f"  {n:5,}  {plain(_name(true, width))} taken for {plain(_name(predicted, width))}"
    if len(pairs) > MOST_PAIRS:
        yield f"  {sum(n for n, *_ in pairs):5,}  in all, of {len(pairs):,} kinds"


def _matrix(names: Sequence[str], matrix: Sequence[Sequence[int]], width: int) -> list[str] | None:
    """Return the matrix as lines, with the most telling heads for which there is room, if any."""
    digits = [max(len(str(row[j])) for row in matrix) for j in range(len(names))]
    for heads, sides in _heads([_name(name, width) for name in names]):
        left = max(map(columns, sides))
        for gap in (2, 1):
            cells = [max(columns(h), n) + gap for h, n in zip(heads, digits, strict=True)]
            if left + sum(cells) > width:
                continue
            head = "".join(" " * (n - columns(h)) + h for h, n in zip(heads, cells, strict=True))
            lines = [" " * left + f"[dim]{plain(head)}[/]"]
            for i, (side, row) in enumerate(zip(sides, matrix, strict=True)):
                counts = (_count_cell(n, i == j, cells[j]) for j, n in enumerate(row))
                lines.append(plain(padded(side, left)) + "".join(counts))
            return lines
    return None


def _heads(sides: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield heads of columns with the names of rows (``sides``), the most telling first.

    Heads are whole names, else cut as long as that leaves them apart, else numbers, which then
    stand before the names of rows too.
    """
    for most in range(LABEL, 3, -1):
        heads = [shortened(side, most) for side in sides]
        if len({*heads}) == len(heads):
            yield heads, [*sides]
    numbers = [str(j) for j in range(1, len(sides) + 1)]
    longest = len(numbers[-1])
    yield numbers, [f"{n:>{longest}} {s}" for n, s in zip(numbers, sides, strict=True)]


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
    else:
        yield _answer_line(row)
    for one in row.get("explained", ()):
        yield from _explained(one, width)


def _answer_line(row: Mapping[str, Any]) -> str:
    ranked = ", ".join(f"{top['label']} {top['probability']:.0%}" for top in row["top"])
    if not row.get("labels", True):
        ranked = f"no label ({ranked})" if ranked else "no label"
    if row.get("empty"):
        return visible(f"{_empty(row)}: {ranked} (the prior)")
    text = row["text"]
    return visible(f"{text if len(text) <= 200 else text[:199] + '…'}: {ranked}")


def _explained(one: Mapping[str, Any], width: int) -> Iterator[str]:
    """Draw which n-grams speak for a class and against it; those of characters in quotes."""
    found = one["ngrams"]
    label = _name(one["label"], width)
    if not found:
        yield f"  {label}: no n-gram of the text is known"
        return
    names = [
        shortened(visible(n["ngram"] if n["unit"] == "words" else f"'{n['ngram']}'"), width // 3)
        for n in found
    ]
    left = max(map(columns, names))
    most = max(abs(n["contribution"]) for n in found) or 1.0
    length = min(max(width - left - 22, 0), 20)
    yield f"  {label}:"
    for name, n in zip(names, found, strict=True):
        value = n["contribution"]
        side = "for" if value > 0 else "against"
        drawn = bar(abs(value) / most, length)
        yield f"    {padded(name, left)}  {side:7} {value:+.2f} {drawn}".rstrip()


def _empty(row: Mapping[str, Any]) -> str:
    """Return what stands for a text without a token; one that cleaning emptied is shown."""
    text = " ".join(row["text"].split())
    return f"(nothing is left of {shortened(text, 40)!r})" if row.get("cleaned") else "(empty text)"


def fields(row: Mapping[str, Any], *, inputs: bool) -> dict[str, Any]:
    """Return one row as columns: class and probability of the best classes, a note.

    Of several labels all that are answered stand in one column, as a list.

    Raises:
        ConfigError: the row has steps or is explained.
    """
    for key, name in (("steps", "--steps"), ("explained", "--explain")):
        if key in row:
            raise ConfigError(f"{name} cannot be shown in a table; use --json")
    columns: dict[str, Any] = {"text": row["text"]} if inputs else {}
    said = "nothing is left after cleaning: prior" if row.get("cleaned") else "empty text: prior"
    note = said if row.get("empty") else ""
    if "labels" in row:
        probabilities = [round(row["probabilities"][label], 6) for label in row["labels"]]
        columns["predicted"] = json.dumps(row["labels"], ensure_ascii=False)
        columns["probability"] = json.dumps(probabilities)
        columns["note"] = note
        return columns
    for i, top in enumerate(row["top"], start=1):
        number = "" if i == 1 else f"_{i}"
        columns[f"predicted{number}"] = top["label"]
        columns[f"probability{number}"] = top["probability"]
    columns["note"] = note
    return columns


def truncated(count: int, model: TextClassifierModel) -> str:
    """Say how many texts were longer than the model reads."""
    length, level = model.tokenizer.max_length, NAMES[model.tokenizer.level]
    return f"longer than {length} {level} and truncated: {count:,} of the texts"


def _steps(row: Mapping[str, Any], classes: Sequence[str], width: int) -> Iterator[str]:
    """Draw how the opinion changed: for each token its most probable classes with bars."""
    steps = row["steps"]
    if not steps:
        yield f"[bold]{plain(_empty(row))}[/] no step to show; the answer is the prior"
        return
    top = len(row["top"])
    token = min(max(columns(visible_token(step["token"])) for step in steps), 20)
    label = min(max(map(columns, map(visible, classes))), 14)
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
        yield f"  {plain(padded(visible_token(step['token']), token))}  {'  '.join(cells)}"
