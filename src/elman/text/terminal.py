"""Text on a terminal: harmless, in so many columns, as it stands."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import IO, Any

# A flag such as Scotland's is a black one with unseen letters; any other character by itself.
_SHOWN_AT_ONCE = re.compile("\U0001f3f4[\U000e0020-\U000e007f]+|.", re.DOTALL)
_EMOJI = "[\u2190-\u2bff\U0001f000-\U0001faff]"
_JOINS_NO_EMOJI = re.compile(rf"(?<!{_EMOJI})(?<!{_EMOJI}\ufe0f)\u200d|\u200d(?!{_EMOJI})")
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
    """Return ``text`` with escapes for what could drive the terminal or hides in a text.

    Those are ESC, CSI, direction marks, soft hyphens and the like. A joiner of emoji, a non-joiner
    of Persian and the tags of a flag stay; a joiner elsewhere is dropped, as who counts columns
    takes what is behind it for a part of an emoji.
    """
    if text.isprintable():
        return text
    return "".join(map(_harmless, _SHOWN_AT_ONCE.findall(_JOINS_NO_EMOJI.sub("", text))))


def _harmless(shown: str) -> str:
    # The last are emoji, of which Python may not know the newest.
    kept = shown in "\u200c\u200d" or len(shown) > 1 or "\U0001f000" <= shown <= "\U0001faff"
    if kept or shown.isprintable():
        return shown
    return " " if shown.isspace() else _escaped(shown)


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()


def visible_token(token: str) -> str:
    """Return ``token`` such that it is harmless and can be seen where it stands alone."""
    if not token.strip():
        return repr(token).strip("'").replace(" ", "␣")
    shown = visible(token)
    if columns(shown):
        return shown
    # An accent alone would change what stands before it.
    return f"◌{shown}" if unicodedata.category(token[0]).startswith("M") else _escaped(token)


def plain(text: str) -> str:
    """Return ``text`` such that Rich prints it as it stands, without control characters."""
    from rich.markup import escape

    return escape(visible(text))


def shortened(text: str, width: int) -> str:
    """Return ``visible(text)`` on one line, with an ellipsis where it is wider than ``width``."""
    from rich.cells import set_cell_size

    text = visible(" ".join(text.split()) if "\n" in text or "\t" in text else text)
    return text if columns(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def columns(text: str) -> int:
    """Return how many columns a terminal takes for ``text``: two for an emoji or a kanji.

    An emoji counts once, of however many code points it is. ``text`` is what ``visible`` returns.
    """
    from rich.cells import cell_len

    return cell_len(text)


def padded(text: str, width: int) -> str:
    """Return ``text`` in exactly ``width`` columns."""
    from rich.cells import set_cell_size

    return set_cell_size(shortened(text, width), width)


def bar(share: float, width: int) -> str:
    """Return a bar of ``share`` (0 to 1) of ``width`` columns, exact to an eighth of one."""
    full, rest = divmod(round(share * width * 8), 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def counted(count: int, noun: str) -> str:
    """Return "1 text" or "2,000 texts"."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
