"""`elman predict`."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from elman.cli.display import visible
from elman.cli.options import Flag, Json
from elman.errors import ConfigError

if TYPE_CHECKING:
    from elman.models.predictor import TextClassifierModel

# Lines answered together when they come fast; a slow source is answered line by line.
CHUNK = 1024


def predict(
    model: Path,
    /,
    *texts: str,
    top: int | None = None,
    steps: Flag = False,
    json: Json = False,
    format: Literal["text", "tsv"] = "text",
) -> None:
    """Classify texts, given as arguments or one a line on stdin.

    Parameters
    ----------
    model
        Folder of a trained model.
    texts
        Texts; without any, lines are read from stdin and answered in order as they come.
    top
        How many classes to show for each text (1; with --steps 3).
    steps
        Show the opinion after each character or word.
    json
        Print one JSON document on stdout: an array with an object for each text.
    format
        tsv prints a line for each text: the text, then label and probability for each of the
        --top classes, then a note, which is empty for all but empty texts.
    """
    from elman.models import bundle

    if top is not None and top < 1:
        raise ConfigError(f"--top is {top}; it must be 1 or more")
    if json and format == "tsv":
        raise ConfigError("--json and --format tsv exclude each other; leave one out")
    if steps and format == "tsv":
        raise ConfigError("--steps cannot be shown as tsv; use --json")
    bundle.read_config(model)  # refuses before torch is imported
    loaded = bundle.load(model)
    top = min(top or (3 if steps else 1), len(loaded.classes))
    write = _writer(loaded, top=top, steps=steps, kind="json" if json else format)
    cut = write([list(texts)] if texts else _chunks(_stdin()))
    if cut:
        length, level = loaded.tokenizer.max_length, loaded.tokenizer.level
        print(
            f"elman: longer than {length} {level} and cut there: {cut:,} of the texts",
            file=sys.stderr,
        )


def _writer(model: TextClassifierModel, *, top: int, steps: bool, kind: str) -> Any:
    """Return a function that answers chunks of texts and returns how many texts were cut."""

    def write(chunks: Iterable[list[str]]) -> int:
        cut, first = 0, True
        for texts in chunks:
            encoded = model.tokenizer.encode(texts)
            cut += encoded.cut
            answers = [] if steps and kind == "text" else model.probabilities(encoded)
            for i, text in enumerate(texts):
                empty = not encoded.lengths[i]
                if kind == "json":
                    print("[" if first else ",")
                    sys.stdout.write(_json(model, text, answers[i], top, steps=steps, empty=empty))
                elif steps:
                    _draw_steps(model, text, top)
                else:
                    print(_line(model, text, answers[i], top, kind=kind, empty=empty))
                first = False
            sys.stdout.flush()
        if kind == "json":
            print("[]" if first else "\n]")
        return cut

    return write


def _ranked(model: TextClassifierModel, probabilities: Any, top: int) -> list[tuple[str, float]]:
    order = (-probabilities).argsort(kind="stable")[:top]
    return [(model.classes[i], float(probabilities[i])) for i in order]


def _json(
    model: TextClassifierModel, text: str, probabilities: Any, top: int, *, steps: bool, empty: bool
) -> str:
    ranked = [{"label": label, "probability": p} for label, p in _ranked(model, probabilities, top)]
    row: dict[str, Any] = {"text": text, "label": ranked[0]["label"], "top": ranked}
    if empty:
        row["empty"] = True
    if steps:
        row["steps"] = [
            {"token": step.token, "probabilities": dict(_ranked(model, step.probabilities, top))}
            for step in model.steps(text)
        ]
    return msgspec.json.encode(_whole(row)).decode()


def _line(
    model: TextClassifierModel, text: str, probabilities: Any, top: int, *, kind: str, empty: bool
) -> str:
    ranked = _ranked(model, probabilities, top)
    if kind == "tsv":
        cells = [cell for label, p in ranked for cell in (label, f"{p:.6f}")]
        note = "empty text: prior" if empty else ""
        return _writable("\t".join(" ".join(c.split()) for c in (text, *cells, note)))
    said = ", ".join(f"{label} {p:.0%}" for label, p in ranked)
    shown = "(empty text)" if empty else text if len(text) <= 200 else text[:199] + "…"
    return _writable(f"{visible(shown)}: {said}" + (" (the prior)" if empty else ""))


def _draw_steps(model: TextClassifierModel, text: str, top: int) -> None:
    from elman.cli import display

    sys.stdout.flush()
    display.print_steps(text, model.steps(text), model.classes, top)


def _stdin() -> Iterator[str]:
    from elman.data.readers import read_texts

    if sys.stdin.isatty():
        print("elman: one text a line; Ctrl-D ends", file=sys.stderr)
    return read_texts("-")


def _chunks(lines: Iterator[str]) -> Iterator[list[str]]:
    """Yield lines as they come: all that are there, at most CHUNK at once.

    A thread reads ahead, so that a line typed by a person is answered at once and ten thousand
    from a file are answered together.
    """
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(maxsize=4 * CHUNK)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except BaseException as error:  # it belongs to the thread that answers
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    ended = False
    while not ended:
        chunk: list[str] = []
        item = waiting.get()
        while True:
            if not isinstance(item, str):
                ended = True
                break
            chunk.append(item)
            if len(chunk) == CHUNK:
                break
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                break
        if chunk:
            yield chunk
        if ended and item is not None:
            raise item  # type: ignore[misc]


def _whole(value: Any) -> Any:
    """Replace lone surrogates, which no encoding can write."""
    if isinstance(value, str):
        return _writable(value)
    if isinstance(value, dict):
        return {_whole(k): _whole(v) for k, v in value.items()}
    if isinstance(value, Sequence):
        return [_whole(v) for v in value]
    return value


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
