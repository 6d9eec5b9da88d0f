"""`elman generate`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman import api
from elman.cli import answers, options, process, screen
from elman.cli.dialogue import choices, converse
from elman.cli.options import option
from elman.data import output
from elman.data.encoding import to_utf8, unpack
from elman.data.files import expanded, read_bytes
from elman.errors import BundleError, ConfigError
from elman.tasks.generate.options import SAMPLING, Decoding
from elman.text.terminal import plain, visible, visible_token
from elman.training import machine
from elman.training.options import Device, MachineOptions

if TYPE_CHECKING:
    from elman.tasks.generate.drafting import Draft
    from elman.tasks.generate.predictor import LanguageModel

_TEXT = """Write texts with a language model, or look at how it would go on.

A single text is written as it comes, and Ctrl-C ends it. In place of writing, --next shows what
may come next, --interactive lets you choose it step by step, and --surprise marks how unlikely the
model finds a given text.

Parameters
----------
model
    Folder of a trained language model.
"""
TOP = 10
_MODES = ("next", "interactive", "surprise")
# What is of use to each way of looking; all others write.
_OF_MODES: Mapping[str, tuple[str, ...]] = {
    "next": ("prompt", "label", "clamp", *SAMPLING),
    "interactive": ("prompt", "label", "clamp", "seed", *SAMPLING),
    "surprise": ("prompt", "label"),
}


def _command() -> Callable[..., None]:
    """Return the command with the options of writing."""
    parameters = [
        inspect.Parameter("model", inspect.Parameter.POSITIONAL_ONLY, annotation=Path),
        *options.options_of(Decoding),
        option(
            "next",
            bool,
            False,
            "Show the most probable tokens after the prompt.",
            panel="output",
            flag=True,
        ),
        option("top", int | None, None, "How many of them.", panel="output", rule="10"),
        option(
            "interactive",
            bool,
            False,
            "Choose what comes next, step by step.",
            panel="output",
            flag=True,
            short="-i",
        ),
        option(
            "surprise",
            bool,
            False,
            "Mark how unlikely each token of the prompt is.",
            panel="output",
            flag=True,
        ),
        *options.options_of(MachineOptions),
        *options.file_options("A file for what is written", rule="stdout"),
        options.json_option(),
    ]
    return options.with_signature(_generate, parameters, text=_TEXT)


def _generate(model: Path, **given: Any) -> None:
    asked, given = options.machine_of(given)
    names = Decoding.__struct_fields__
    decoding = Decoding(**{name: given.pop(name) for name in names})
    mode = _mode(decoding, given)
    out = given["out"] = expanded(given["out"])
    if out is not None:
        output.check_place(out, "--out", overwrite=given["force"])
    with machine.threads(asked.threads):
        _run(model, decoding, mode, asked.device, **given)


def _mode(decoding: Decoding, given: Mapping[str, Any]) -> str:
    """Return what is asked for: a way of looking, or "" for writing.

    Raises:
        ConfigError: two at once, or an option that is of no use to it.
    """
    modes = [name for name in _MODES if given[name]]
    if len(modes) > 1:
        raise ConfigError(f"--{modes[0]} and --{modes[1]} exclude each other; leave one out")
    if given["out"] is not None and given["json"]:
        raise ConfigError("--out has its format from its suffix; leave out --json")
    if not modes:
        if given["top"] is not None:
            raise ConfigError("--top is of --next and --interactive; add one of them")
        decoding.check_beam()
        return ""
    [mode] = modes
    if given["top"] is not None and given["top"] < 1:
        raise ConfigError(f"--top is {given['top']}; it must be 1 or more")
    unused = [name for name in decoding.given() if name not in _OF_MODES[mode]]
    unused += [
        name
        for name, known in (("out", ()), ("json", ("next", "surprise")), ("top", _MODES[:2]))
        if given[name] and mode not in known
    ]
    for name in unused:
        raise ConfigError(f"--{name.replace('_', '-')} does not go with --{mode}; leave one out")
    return mode


def _run(
    place: Path,
    decoding: Decoding,
    mode: str,
    device: Device,
    *,
    top: int | None,
    out: Path | None,
    force: bool,
    json: bool,
    **modes: bool,
) -> None:
    task = api.task_of(place)
    if task.name != "generate":
        raise BundleError(
            f"{place} is a model of the task {task.name}, which writes no texts; give a language "
            "model, as `elman train novel.txt` makes one"
        )
    prompt = process.as_utf8(decoding.prompt)
    if prompt == "-" or (mode == "surprise" and not prompt):
        prompt = _stdin()
    stop = [one.replace("\\n", "\n") for one in decoding.stop or ()]
    asked = {**decoding.to_dict(), "prompt": prompt, "stop": stop or None}
    model: Any = api.load(place, device=device)
    _say_unknown(model, prompt)
    if mode == "surprise":
        rows = model.answer([prompt], surprise=True, label=decoding.label)
        found = iter([answers.Answered(rows, None)])
        answers.write(found, task, model, format="json" if json else "text", out=None)
        return
    if not mode:
        _write(model, asked, out=out, json=json)
        return
    draft = model.draft(**{name: asked[name] for name in _OF_MODES["interactive"]})
    if mode == "interactive":
        converse(draft, top=top or TOP, unknown=partial(_say_unknown, model))
    elif json:
        screen.print_json({"model": str(place), "prompt": prompt, "next": draft.next(top or TOP)})
    else:
        _print_next(draft, top or TOP)


def _stdin() -> str:
    """Return all of stdin, without the line end that `echo` and editors put at the end."""
    if sys.stdin is not None and sys.stdin.isatty():
        _say("reading the text; Ctrl-D ends it")
    data = read_bytes("-")
    if not data.strip():
        return ""
    text = to_utf8(unpack(data, "stdin"), "stdin").data.decode()
    return text.replace("\r\n", "\n").removesuffix("\n")


def _say_unknown(model: LanguageModel, text: str) -> None:
    unknown = model.unknown_in(text)
    if unknown:
        shown = ", ".join(visible_token(one) for one in unknown[:10])
        more = f" and {len(unknown) - 10:,} more" if len(unknown) > 10 else ""
        _say(f"the model has not learnt {shown}{more}: read as unknown")


def _say(text: str) -> None:
    print(f"elman: {text}", file=sys.stderr)


# ---------------------------------------------------------------------------------------------
# Writing


def _write(model: LanguageModel, asked: dict[str, Any], *, out: Path | None, json: bool) -> None:
    if json or out is not None:
        rows = model.generate(**asked)
        if out is None:
            screen.print_json(rows)
        else:
            output.write_rows(out, rows)
            _say(f"saved to {out}")
        return
    page = Page()
    if asked["n"] == 1:
        with page:
            page.begin(asked["prompt"])
            told = None if asked["beam"] else page.add
            [row] = model.generate(**asked, on_text=told)
            if told is None:
                page.add(0, row["text"])
        return
    texts = [""] * asked["n"]

    def collect(row: int, text: str) -> None:
        texts[row] += text

    try:
        rows = model.generate(**asked, on_text=collect)
        texts = [row["text"] for row in rows]
    finally:  # Ctrl-C leaves what is there
        _print_several(page, asked["prompt"], [text for text in texts if text])


def _print_several(page: Page, prompt: str, texts: list[str]) -> None:
    """Print texts: one a line where each is one line, else below a line with its number."""
    wholes = [prompt + text for text in texts]
    numbered = any("\n" in whole for whole in wholes)
    for i, text in enumerate(texts, start=1):
        with page:
            if numbered:
                page.title(f"--- {i} of {len(texts)} ---")
            page.begin(prompt)
            page.add(0, text)


class Page:
    """Text on stdout as it comes: harmless in a terminal, as it is elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._styled = self._terminal and screen.console().color_system is not None
        self._write = sys.stdout.write if self._terminal else process.machine_writer()
        self._last = "\n"

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        """End the last line."""
        if self._last != "\n":
            self.add(0, "\n")

    def title(self, text: str) -> None:
        """Write a line that is not part of a text."""
        self._put(f"{text}\n", style="2")

    def begin(self, prompt: str) -> None:
        """Write what was given."""
        self._put(prompt, style="1")

    def add(self, row: int, text: str) -> None:
        """Write what the model has written."""
        self._put(text)

    def _put(self, text: str, style: str = "") -> None:
        if not text:
            return
        self._last = text[-1]
        if self._terminal:
            text = "\n".join(map(visible, text.split("\n")))
        self._write(f"\x1b[{style}m{text}\x1b[0m" if style and self._styled else text)
        sys.stdout.flush()


# ---------------------------------------------------------------------------------------------
# What may come next


def _print_next(draft: Draft, top: int) -> None:
    terminal, found = screen.console(), draft.next(top)
    for line in choices(found):
        terminal.print(plain(line), soft_wrap=True)
    rest = 1 - sum(one["probability"] for one in found)
    if rest > 0.00005:
        terminal.print(f"   all others together {rest:.1%}")


generate = _command()
