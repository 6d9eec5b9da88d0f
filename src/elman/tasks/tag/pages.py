"""What people see of a tagger. Everything is returned as something that Rich can print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from elman.errors import ConfigError
from elman.tasks.tag.formats import conll, conllu, html
from elman.tasks.tag.metrics import METRICS, Tagging
from elman.text.terminal import bar, columns, counted, padded, plain, shortened, visible
from elman.training.report import Report, helped, outdone

if TYPE_CHECKING:
    from rich.console import RenderableType

    from elman.data.splits import Split
    from elman.data.tagged import Tagged
    from elman.tasks.tag.inspection import TagFindings
    from elman.tasks.tag.learner import TagLearner
    from elman.tasks.tag.predictor import TaggerModel

NOUN = "sentence"
JUDGED = "sentence"
FORMATS = {"conll": conll, "conllu": conllu, "html": html}
COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
MOST_KINDS = 40
LINEAR_CHAIN = "linear chain (CRFsuite)"
MOST_CONFUSIONS = 8
LONGEST = 30
_NAMES = {
    "characters": "words and their characters (recurrence)",
    "convolution": "words and their characters (convolution)",
    "words": "words",
}


def data_line(split: Split[Tagged], learner: TagLearner) -> str:
    """Say what the data hold, for the first line of a run."""
    prepared = learner.prepared
    if prepared.scheme is None:
        return f"{counted(len(prepared.tags), 'tag')}"
    return f"{counted(len(prepared.types), 'type')} of spans ({prepared.scheme.name})"


def network_line(learner: TagLearner) -> str:
    """Say what is trained."""
    options, encoder = learner.options, learner.prepared.encoder
    directions = "two directions" if options.bidirectional else "one direction"
    layers = f"{options.num_layers} layers, " if options.num_layers > 1 else ""
    last = "conditional random field" if options.decoder == "crf" else "softmax"
    return (
        f"{layers}{directions} of {options.hidden_size} units over {_NAMES[options.encoder]}, "
        f"{len(encoder.words):,} of them known; {last}; batches of {options.batch_size}"
    )


def findings(found: TagFindings, *, width: int) -> Iterator[RenderableType]:
    """Show how many words and sentences there are, and of each tag or type."""
    yield (
        f"{counted(found.rows, 'sentence')}, {counted(found.tokens, 'word')}, "
        f"{counted(found.words, 'different word')}; {found.shortest:,} to {found.longest:,} words "
        f"a sentence, half of them up to {found.median:,}"
    )
    if found.scheme:
        yield f"spans, written as {found.scheme}: {sum(found.kinds.values()):,}"
    shown = list(found.kinds.items())[:MOST_KINDS]
    left = max((columns(_name(name)) for name, _ in shown), default=0)
    total, most = sum(found.kinds.values()), max(found.kinds.values(), default=1)
    for name, count in shown:
        drawn = bar(count / most, 20)
        yield plain(
            f"  {padded(_name(name), left)} {count:9,} {count / total:6.1%} {drawn}"
        ).rstrip()
    if len(found.kinds) > len(shown):
        yield f"  … and {len(found.kinds) - len(shown):,} more"


def verdict(report: Report[Any]) -> Iterator[str]:
    """Say whether the network was worth it, and what the baselines did not see."""
    yield from helped(report, METRICS)
    yield from outdone(report, METRICS)
    if find_spec("pycrfsuite") is None:
        yield "pip install 'elman[tag]' puts a linear chain (CRFsuite) beside the network"
    elif not any(one.name == LINEAR_CHAIN for one in report.baselines):
        yield (
            "no linear chain (CRFsuite) beside it: there are too many tags, or no sentence has all "
            "of its tags"
        )
    total = report.parts.get("train", 0)
    for one in report.baselines:
        if one.trained_on < total:
            yield f"{one.name} learned from {one.trained_on:,} of {total:,} sentences"


def suggestion(report: Report[Any], model: str) -> str:
    """Return the command to try first with the model."""
    return f'elman predict {model} "some text"'


# ---------------------------------------------------------------------------------------------
# Scores


def evaluation(
    scores: Tagging,
    *,
    width: int,
    sizes: Mapping[str, Mapping[str, int]] | None = None,
    model: TaggerModel | None = None,
) -> Iterator[RenderableType]:
    """Show scores by tag or type, what is taken for what, and words that are often wrong."""
    yield ""
    yield from _kinds(scores, sizes)
    shown = {name: value for name, value in scores.metrics.items() if name != "calibration_error"}
    yield "\n" + "  ".join(f"{METRICS[name].title} {value:.4f}" for name, value in shown.items())
    if scores.unknown_accuracy is not None:
        yield (
            f"unknown words, seen less than --min-count times in training: {scores.unknown:,} of "
            f"{scores.tokens:,}"
        )
    of = "spans" if scores.f1 is not None else "words"
    yield _calibration(scores) + f" of {of}"
    yield from calibration_notes(scores)
    if scores.skipped:
        yield f"{counted(scores.skipped, 'sentence')} without a tag skipped"
    if scores.confusions:
        yield "\n[bold]Most frequent confusions[/]"
        for pair in scores.confusions[:MOST_CONFUSIONS]:
            yield f"  {pair.count:6,}  {plain(pair.true)} taken for {plain(pair.predicted)}"
    if scores.mistakes:
        yield "\n[bold]Words most often wrong[/]"
        for mistake in scores.mistakes[:5]:
            said = f"  {mistake.count:4,}  {mistake.predicted}, not {mistake.true}: "
            around = f"{mistake.before} [[{mistake.word}]] {mistake.after}".strip()
            yield plain(said + shortened(visible(around), max(width - columns(said), 20)))


def calibration_notes(scores: Tagging) -> Iterator[str]:
    """Say where the temperature has made probabilities less honest than they were."""
    before = scores.uncalibrated
    if before is not None and round(scores.calibration_error - before.error, 4) > 0:
        yield (
            "calibration, learnt on the validation part, makes probabilities less honest here: "
            "these sentences are harder or easier than that part"
        )


def _calibration(scores: Tagging) -> str:
    beside = []
    if scores.uncalibrated is not None:
        beside.append(f"before calibration {scores.uncalibrated.error:.4f}")
    if scores.calibration is not None:
        beside.append(f"by chance {scores.calibration.by_chance:.4f}")
    said = f"  ({', '.join(beside)})" if beside else ""
    return f"calibration error {scores.calibration_error:.4f}{said}"


def _kinds(
    scores: Tagging, sizes: Mapping[str, Mapping[str, int]] | None
) -> Iterator[RenderableType]:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("type" if scores.f1 is not None else "tag")
    heads = ("precision", "recall", "F1", "support", *(["train"] if sizes else []))
    for head in heads:
        table.add_column(head, justify="right")
    for name, kind in list(scores.kinds.items())[:MOST_KINDS]:
        numbers = [f"{n:.3f}" for n in (kind.precision, kind.recall, kind.f1)]
        counts = [f"{kind.support:,}"]
        if sizes:
            counts.append(f"{sizes.get(name, {}).get('train', 0):,}")
        table.add_row(plain(_name(name)), *numbers, *counts)
    yield table
    if len(scores.kinds) > MOST_KINDS:
        yield f"… and {len(scores.kinds) - MOST_KINDS:,} more"


def _name(name: str) -> str:
    return shortened(visible(name), LONGEST)


# ---------------------------------------------------------------------------------------------
# Answers


def answer(row: Mapping[str, Any], model: TaggerModel, *, width: int) -> Iterator[RenderableType]:
    """Show one row of ``TaggerModel.answer``: the text with its spans or tags in colours.

    A string is plain text; what has colours is a ``rich.text.Text``.
    """
    from rich.text import Text

    if not row["tokens"]:
        yield "(no words)"
        return
    kinds = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(model.types or model.tags)}
    spans = row.get("entities")
    if spans is None:
        marks = [(t["start"], t["end"], t["tag"], t["probability"]) for t in row["tokens"]]
    else:
        marks = [
            (s["start"], s["end"], s["label"], s["probability"])
            for s in spans
            if "overlaps" not in s
        ]
    line, place = Text(), 0
    for start, end, name, probability in marks:
        between = row["text"][place:start]
        if spans is None and place == start > 0:  # a full stop and its tag behind those of a word
            between = " "
        line.append(visible(between))
        style = kinds.get(name, COLOURS[0])
        line.append(visible(row["text"][start:end]), style=f"bold {style}" if spans else "")
        sure = f" {probability:.0%}" if spans else ""
        line.append(f"/{name}{sure}", style=style)
        place = end
    line.append(visible(row["text"][place:]))
    yield from line.wrap(_console(), width) if columns(line.plain) > width else [line]
    for one in spans or ():
        if "overlaps" in one:
            yield f"  or {visible(one['text'])}/{one['label']} {one['probability']:.0%}"
    for number, sequences in enumerate(row.get("nbest", ())):
        words = [t["text"] for t in row["tokens"] if t["sentence"] == number]
        for i, best in enumerate(sequences, start=1):
            pairs = zip(words, best["tags"], strict=True)
            said = " ".join(f"{word}/{tag}" for word, tag in pairs)
            yield f"  {i}. {best['probability']:6.1%}  {visible(said)}"


def _console() -> Any:
    from rich.console import Console

    return Console()


def fields(row: Mapping[str, Any], *, inputs: bool) -> dict[str, Any]:
    """Return one row as columns: the tokens, their tags, and the spans.

    Raises:
        ConfigError: there are several sequences.
    """
    if "nbest" in row:
        raise ConfigError("--nbest cannot be shown in a table; use --json")
    columns: dict[str, Any] = {"text": row["text"]} if inputs else {}
    columns["tokens"] = [t["text"] for t in row["tokens"]]
    columns["tags"] = [t["tag"] for t in row["tokens"]]
    if "entities" in row:
        columns["entities"] = row["entities"]
    return columns


def truncated(count: int, model: TaggerModel) -> str:
    """Nothing is truncated."""
    return ""
