"""Writing a text together with a language model: a person chooses, the model goes on."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from elman.cli import screen
from elman.text.terminal import bar, columns, padded, plain, visible, visible_token

if TYPE_CHECKING:
    from elman.tasks.generate.drafting import Draft

HELP = (
    "A number takes one, Enter draws one, other words are written as they are (in quotes, too: "
    '"undo", "12"; \\n is a line end); undo, quit'
)
WIDEST = 100  # columns of the end of the text where lines have no bound
_BAR = 24


def choices(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a numbered line for each token that may come, with its probability as a bar."""
    names = [visible_token(one["token"]) for one in found]
    width = max(map(columns, names), default=0)
    most = max((one["probability"] for one in found), default=1.0)
    for i, (name, one) in enumerate(zip(names, found, strict=True), start=1):
        share = one["probability"]
        yield f"{i:2d}  {padded(name, width)}  {share:6.1%} {bar(share / most, _BAR)}".rstrip()


def converse(draft: Draft, *, top: int, unknown: Callable[[str], None]) -> None:
    """Let a person write with the model until they quit or their input ends.

    Args:
        draft: what they write.
        top: how many tokens to choose from.
        unknown: told of each text of theirs, to say what of it the model does not know.
    """
    terminal = screen.console()
    terminal.print(f"[dim]{plain(HELP)}[/]", soft_wrap=True)
    lines = _lines()
    try:
        while True:
            found = [] if draft.ended else draft.next(top)
            _show(draft, found)
            line = next(lines, None)
            if line is None or line == "quit":
                break
            _do(draft, found, line, unknown)
    finally:
        terminal.print()
        sys.stdout.write("".join(f"{visible(line)}\n" for line in draft.text.split("\n")))


def _show(draft: Draft, found: Sequence[dict[str, Any]]) -> None:
    terminal = screen.console()
    text = visible(draft.text.replace("\n", "↵"))
    room = min(terminal.width, WIDEST) - 2
    while columns(text) > room:
        text = text[-room:] if len(text) > room else text[1:]
    terminal.print(f"\n[bold]{plain(text)}[/]▏", soft_wrap=True)
    for line in choices(found):
        terminal.print(plain(line), soft_wrap=True)
    if draft.ended:
        terminal.print("here the text ends: undo, or quit")


def _do(
    draft: Draft, found: Sequence[dict[str, Any]], line: str, unknown: Callable[[str], None]
) -> None:
    """Take one step, as a line asks for it."""
    if line == "undo":
        if not draft.undo():
            _say("there is nothing to take back")
    elif draft.ended:
        _say("the text has ended; undo goes back")
    elif not line:
        draft.draw()
    elif line.isdecimal():
        if not 1 <= int(line) <= len(found):
            _say(f"there is no {line}, only 1 to {len(found)}; in quotes it is text")
        else:
            draft.take(found[int(line) - 1]["id"])
    else:
        if len(line) > 2 and line[0] == line[-1] == '"':
            line = line[1:-1]
        line = line.replace("\\n", "\n")
        unknown(line)
        draft.add(line)


def _say(text: str) -> None:
    print(f"elman: {text}", file=sys.stderr)


def _lines() -> Iterator[str]:
    """Yield what is typed, line by line, or what a pipe has."""
    if sys.stdin is None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401 - from then on lines can be edited
        with suppress(EOFError):
            while True:
                yield input("> ")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    for line in sys.stdin:
        yield line.rstrip("\r\n")
