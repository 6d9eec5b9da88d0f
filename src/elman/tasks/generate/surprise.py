"""How unlikely each token of a text was, drawn: in colours, or where there are none in numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elman.text.terminal import columns, visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

SHADES = (("", ""), ("green", "on green"), ("yellow", "on yellow"), ("bold red", "on red"))
"""Of a token, and of one that is nothing but blank, by its level."""
BOUNDS = {"character": (3.0, 5.0, 8.0), "byte": (3.0, 5.0, 8.0)}
"""Bits from which on the next level begins, by unit."""
LARGER = (6.0, 9.0, 12.0)
"""The same for words and their pieces."""
MOST = 5


@dataclass(frozen=True)
class Mark:
    """One token on a screen."""

    text: str
    """Harmless, with a sign for a line end."""
    bits: float
    ends_line: bool

    @property
    def width(self) -> int:
        """Columns."""
        return columns(self.text)

    @property
    def lead(self) -> int:
        """Columns of blanks before what is to be seen."""
        return self.width - columns(self.text.lstrip()) if self.text.strip() else 0


class Surprise:
    """A text with its surprises, for Rich to draw.

    With colours each token has that of its level; without them a line of digits stands below each
    line of the text, the bits of a token where it begins.

    Args:
        tokens: as ``LanguageModel.answer`` has them, ``token`` and ``nats`` each.
        unit: what a token is.
        width: columns of a line.
    """

    def __init__(self, tokens: Sequence[Mapping[str, Any]], unit: str, width: int):
        self._marks = [_mark(one["token"], one["nats"] / math.log(2)) for one in tokens]
        self._bounds = BOUNDS.get(unit, LARGER)
        self._width = max(width, 20)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        coloured = console.color_system is not None and not console.no_color
        for line in self._lines():
            yield from _in_colours(line, self._bounds) if coloured else _in_digits(line)
        yield _legend(self._bounds) if coloured else _LEGEND
        yield _worst(self._marks)

    def _lines(self) -> Iterator[list[Mark]]:
        """Yield the tokens of each line on the screen, broken behind a blank where there is one."""
        line: list[Mark] = []
        for mark in self._marks:
            line.append(mark)
            while sum(one.width for one in line) > self._width and len(line) > 1:
                at = _break(line)
                yield line[:at]
                line = line[at:]
            if mark.ends_line:
                yield line
                line = []
        if line:
            yield line


def _mark(token: str, bits: float) -> Mark:
    return Mark(visible(token.replace("\n", "↵")), bits, token.endswith("\n"))


def _break(line: Sequence[Mark]) -> int:
    """Return before which of the tokens, not the first, a line that is too long is broken."""
    for at in range(len(line) - 1, len(line) // 2, -1):
        if line[at].text.startswith(" ") or line[at - 1].text.endswith(" "):
            return at
    return len(line) - 1


def _in_colours(line: Sequence[Mark], bounds: Sequence[float]) -> RenderResult:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="fold")
    for mark in line:
        level = sum(mark.bits >= bound for bound in bounds)
        text.append(mark.text, style=SHADES[level][not mark.text.strip()])
    yield text


def _in_digits(line: Sequence[Mark]) -> RenderResult:
    from rich.text import Text

    digits, place = "", 0
    for mark, after in zip(line, [*line[1:], None], strict=True):
        number = f"{mark.bits:.0f}"
        room = mark.width - mark.lead + (after.lead if after else len(number))
        digits = digits.ljust(place + mark.lead) + (number if len(number) <= room else "+")
        place += mark.width
    yield Text("".join(mark.text for mark in line), no_wrap=True, overflow="ignore")
    yield Text(digits, no_wrap=True, overflow="ignore")


_LEGEND = "\nBelow each token its surprise in bits, + where there is no room for two digits"


def _legend(bounds: Sequence[float]) -> RenderableType:
    from rich.text import Text

    low, middle, high = bounds
    names = f"under {low:g}", f"{low:g} to {middle:g}", f"{middle:g} to {high:g}", f"{high:g} on"
    text = Text("\nbits:")
    for style, name in zip(SHADES, names, strict=True):
        text.append(f"  {name}", style=style[0])
    return text


def _worst(marks: Sequence[Mark]) -> str:
    from rich.markup import escape

    worst = sorted(marks, key=lambda one: -one.bits)[:MOST]
    said = (f"{escape(one.text.replace(' ', '␣'))} {one.bits:.1f} bits" for one in worst)
    return f"most surprising: {', '.join(said)}"
