"""Text on a terminal: harmless, in so many columns, as it stands."""

from __future__ import annotations

import os
from typing import IO, Any

_EIGHTHS = " ▏▎▍▌▋▊▉█"

UNBOUNDED = 100_000
"""The width where nothing bounds a line: in a pipe or a file, which no one's screen cuts."""


def width_of(stream: IO[Any]) -> int:
    """Return how many columns a line may have: what COLUMNS says, else the terminal's.

    What is no terminal has no columns: a log is searched line by line, so nothing is wrapped.
    """
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or UNBOUNDED
    except (OSError, ValueError, AttributeError):  # a pipe, a file, closed, or no real stream
        return UNBOUNDED


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


def shortened(text: str, width: int) -> str:
    """Return ``text`` on one line, with an ellipsis where it takes more than ``width`` columns."""
    from rich.cells import set_cell_size

    text = " ".join(text.split()) if "\n" in text or "\t" in text else text
    if columns(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…"


def columns(text: str) -> int:
    """Return how many columns a terminal takes for ``text``: two for an emoji or a kanji."""
    from rich.cells import cell_len

    return cell_len(text)


def padded(text: str, width: int) -> str:
    """Return ``text`` in exactly ``width`` columns."""
    from rich.cells import set_cell_size

    text = visible(text)
    if columns(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"


def bar(share: float, width: int) -> str:
    """Return a bar of ``share`` (0 to 1) of ``width`` columns, exact to an eighth of one."""
    full, rest = divmod(round(share * width * 8), 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def counted(count: int, noun: str) -> str:
    """Return "1 text" or "2,000 texts"."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
