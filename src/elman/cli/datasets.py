"""`elman datasets`."""

from __future__ import annotations

from elman.cli import screen
from elman.cli.options import Json


def datasets(*, json: Json = False) -> None:
    """List the built-in data sets."""
    from elman.data.datasets import DATASETS

    names = ("name", "task", "size", "classes", "licence", "extra", "summary", "source")
    rows = [{name: getattr(entry, name) for name in names} for entry in DATASETS.values()]
    if json:
        screen.print_json(rows)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in names[:-2]:
        table.add_column(name, justify="right" if name in ("size", "classes") else "left")
    for row in rows:
        table.add_row(
            *(f"{v:,}" if isinstance(v, int) else str(v) for v in list(row.values())[:-2])
        )
    terminal = screen.console()
    terminal.print(table)
    for row in rows:
        terminal.print(f"\n[bold]{row['name']}[/]: {row['summary']}\n  from {row['source']}")
        if not row["extra"]:
            terminal.print(f"  brought by: {DATASETS[row['name']].how_to_install}")
    terminal.print("\nThe others are brought by: pip install 'elman\\[data]'")
    terminal.print("Use: elman train NAME")
