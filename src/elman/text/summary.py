"""What an object says of itself: a repr that fits a screen, and the same as HTML in a notebook."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest

from elman.text.terminal import columns, padded, shortened, visible

WIDTH = 100
"""Columns of a repr; with at most ``ROWS`` rows a table it has about 25 lines."""
ROWS = 10
CELL = 40
"""Columns of a cell; labels and texts can be of any length."""


@dataclass(frozen=True)
class Table:
    """Rows under their titles; the first column names them."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    shades: Sequence[Sequence[float]] = ()
    """0 to 1 for each cell after the first column of few rows: how dark it is in HTML."""

    def lines(self) -> Iterator[str]:
        """Return the table as text; columns that do not fit are left out and marked."""
        rows = [[_fitted(cell, CELL) for cell in row] for row in (self.titles, *self._shown())]
        widths = [max(columns(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
        count = next(
            (n for n in range(len(widths), 1, -1) if sum(widths[:n]) + 2 * n <= WIDTH - 2), 1
        )
        for row in rows:
            first, *others = row[:count]
            cells = [padded(first, widths[0])]
            cells += [
                " " * (width - columns(cell)) + cell
                for cell, width in zip(others, widths[1:], strict=False)
            ]
            yield "  ".join([*cells, "…"] if count < len(row) else cells).rstrip()

    def html(self) -> str:
        """Return the table as HTML."""
        shades = self.shades or [()] * len(self.rows)
        pairs = zip(self._shown(), shades, strict=False)
        body = "".join(_row("td", row, dark) for row, dark in pairs)
        return f"<table>{_row('th', self.titles)}{body}</table>"

    def _shown(self) -> list[Sequence[str]]:
        """Return all rows, or the first and the last with a gap between them."""
        rows = list(self.rows)
        return rows if len(rows) <= ROWS else [*rows[: ROWS // 2], ["…"], *rows[-(ROWS // 2) :]]


def _fitted(text: str, width: int) -> str:
    """Return ``text`` on one line of at most ``width`` columns, without control characters."""
    return padded(shortened(text, width), width).rstrip()


def _row(tag: str, cells: Sequence[str], shades: Sequence[float] = ()) -> str:
    styles = ["", *(f' style="background:rgba(31,119,180,{shade:.2f})"' for shade in shades)]
    texts = [escape(_fitted(cell, CELL)) for cell in cells]
    pairs = zip_longest(texts, styles[: len(texts)], fillvalue="")
    return "<tr>" + "".join(f"<{tag}{style}>{text}</{tag}>" for text, style in pairs) + "</tr>"


class Summary:
    """A mixin: ``summary`` says in sentences and tables what `repr` and notebooks show."""

    __slots__ = ()

    def summary(self) -> Iterable[str | Table]:
        """Return what there is to say, from the most important on."""
        raise NotImplementedError

    def __repr__(self) -> str:
        lines: list[str] = []
        for part in self.summary():
            if isinstance(part, Table):
                lines += part.lines()
            else:
                wrapped = textwrap.wrap(visible(part), WIDTH, max_lines=3, placeholder=" …")
                lines += (_fitted(line, WIDTH) for line in wrapped)  # kanji are twice as wide
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "".join(
            part.html() if isinstance(part, Table) else f"<div>{escape(visible(part))}</div>"
            for part in self.summary()
        )
