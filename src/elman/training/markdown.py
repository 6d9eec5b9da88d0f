"""Tables of a model card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; what may have a bar or a line end goes through ``cell``."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Return a text as it can stand in a table, or in one line."""
    return text.replace("|", "\\|").replace("\n", " ")
