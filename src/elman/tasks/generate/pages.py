"""What people see of a language model. Everything is returned as something that Rich can print."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from elman.tasks.generate.formats import html
from elman.tasks.generate.metrics import METRICS, UNITS, Modelled
from elman.tasks.generate.options import REVERSED
from elman.tasks.generate.surprise import Surprise
from elman.text.terminal import bar, columns, counted, padded, plain, shortened, visible
from elman.training.report import Report, outdone

if TYPE_CHECKING:
    from rich.console import RenderableType

    from elman.data.splits import Split
    from elman.data.stream import TextStream
    from elman.tasks.generate.inspection import StreamFindings
    from elman.tasks.generate.learner import GenerateLearner
    from elman.tasks.generate.predictor import LanguageModel

NOUN = "line"
JUDGED = "token"
FORMATS = {"html": html}
MOST_LABELS = 40
WIDEST = 100
"""Columns of a text that is marked, where lines have no bound."""


def data_line(split: Split[TextStream], learner: GenerateLearner) -> str:
    """Say what the data hold, for the first line of a run."""
    prepared = learner.prepared
    kind = f"{prepared.coder.vocab_size - 2:,} different {prepared.coder.level}"
    if prepared.labels:
        return f"{kind}, {counted(len(prepared.labels), 'label')}"
    return kind


def network_line(learner: GenerateLearner) -> str:
    """Say what is trained."""
    options = learner.options
    layers = f"{options.num_layers} layers of " if (options.num_layers or 1) > 1 else ""
    size = f"{layers}{options.hidden_size} units; "
    if learner.prepared.running:
        return f"{size}{options.batch_size} rows of the text, {options.chunk_length} steps each"
    return f"{size}batches of {options.batch_size}"


def findings(found: StreamFindings, *, width: int) -> Iterator[RenderableType]:
    """Show how much text there is, and of what characters."""
    kind = "line of one running text" if found.running else "text that stands alone"
    many = kind.replace("line ", "lines ") if found.running else "texts that stand alone"
    yield (
        f"{found.rows:,} {kind if found.rows == 1 else many}, "
        f"{counted(found.characters, 'character')}, {found.different:,} different"
    )
    if found.rare:
        rare = " ".join(plain(visible(c)) for c in list(found.rare)[:30])
        yield f"seen fewer than ten times: {rare}"
    most = max(found.labels.values(), default=1)
    left = max((columns(_name(name)) for name in found.labels), default=0)
    for name, count in list(found.labels.items())[:MOST_LABELS]:
        line = f"  {padded(_name(name), left)} {count:9,} {bar(count / most, 20)}"
        yield plain(line).rstrip()


def verdict(report: Report[Any]) -> Iterator[str]:
    """Say whether the network was worth it."""
    yield from outdone(report, METRICS)


def suggestion(report: Report[Any], model: str) -> str:
    """Return the command to try first with the model."""
    if REVERSED in report.notes:
        return f'elman predict {model} "some text"'
    label = next(iter(report.sizes), None)
    return f"elman generate {model}" + (f" --label {shlex.quote(label)} -n 10" if label else "")


def evaluation(
    scores: Modelled,
    *,
    width: int,
    sizes: Mapping[str, Mapping[str, int]] | None = None,
    model: LanguageModel | None = None,
) -> Iterator[RenderableType]:
    """Show how well the text was expected, with the unit."""
    yield ""
    yield (
        f"{counted(scores.count, scores.unit).replace('piece of a words', 'pieces of words')}: "
        f"{scores.nats:.4f} nats, {scores.bits:.4f} bits a {scores.unit}, perplexity "
        f"{scores.perplexity:.2f}"
    )
    if scores.unit != UNITS["characters"]:
        yield f"{scores.bits_per_character:.4f} bits a character"
    if scores.unknown:
        yield f"{scores.unknown:,} of them are not in the vocabulary"


def answer(row: Mapping[str, Any], model: LanguageModel, *, width: int) -> Iterator[RenderableType]:
    """Show one row of ``LanguageModel.answer``: how likely a text is, in colours where asked."""
    said = f"{row['nats']:.3f} nats, {row['bits']:.3f} bits a {row['unit']}, perplexity "
    said += f"{row['perplexity']:.2f}"
    if "surprise" not in row:
        yield f"{said}  {shortened(visible(row['text']), max(width - len(said) - 2, 20))}".rstrip()
        return
    yield said
    if row["surprise"]:
        yield Surprise(row["surprise"], row["unit"], min(width, WIDEST))


def truncated(count: int, model: LanguageModel) -> str:
    """Say that so many texts were longer than the model reads."""
    return (
        f"{counted(count, 'text')} longer than {model.config.max_length:,} tokens: what is said is "
        "of the beginning"
    )


def fields(row: Mapping[str, Any], *, inputs: bool) -> dict[str, Any]:
    """Return one row as columns of a table."""
    found: dict[str, Any] = {"text": row["text"]} if inputs else {}
    for name in ("tokens", "nats", "bits", "perplexity", "log_probability"):
        found[name] = row[name]
    if "surprise" in row:
        found["surprise"] = row["surprise"]
    return found


def _name(name: str) -> str:
    return shortened(visible(name), 30)
