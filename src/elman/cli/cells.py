"""`elman cells`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.cli import screen
from elman.cli.options import Json, Whole
from elman.text.terminal import plain

if TYPE_CHECKING:
    from elman.lab.zoo import Description


def cells(
    cell: str | None = None,
    /,
    *,
    input_size: Whole = 128,
    hidden_size: Whole = 128,
    json: Json = False,
) -> None:
    """List the cells with their equations, parameters and cost, or show one in full.

    Parameters
    ----------
    cell
        A cell of the zoo, or file.py:name, to show in full.
    input_size
        I, for which parameters and operations are counted.
    hidden_size
        H, for the same.
    """
    from elman.cells import ALL_CELLS, find
    from elman.lab.zoo import describe

    sizes = {"input_size": input_size, "hidden_size": hidden_size}
    if cell is not None:
        one = describe(find(cell), **sizes)
        if json:
            screen.print_json(one)
        else:
            _print_one(one)
        return
    found = [describe(each, **sizes) for each in ALL_CELLS]
    if json:
        screen.print_json(found)
    else:
        _print_all(found)


def _print_all(found: list[Description]) -> None:
    terminal = screen.console()
    for one in found:
        terminal.print(f"[bold]{plain(one.name)}[/]  {plain(one.summary)}", soft_wrap=True)
        for line in one.equations:
            terminal.print(f"    {plain(line)}", soft_wrap=True)
        terminal.print(f"    [dim]{_costs(one)}[/]\n", soft_wrap=True)
    terminal.print(_legend(found[0]), soft_wrap=True)
    if any(one.needs_equal_sizes for one in found):
        terminal.print(
            "x to H: the cell adds x itself to hidden units; where I and H differ, a learned "
            "projection brings x to H first",
            soft_wrap=True,
        )
    terminal.print("One in full: elman cells NAME. Use: elman train DATA --cell NAME")


def _costs(one: Description) -> str:
    note = "; x to H" if one.needs_equal_sizes else ""
    return (
        f"{one.parameters:,} parameters; {one.flops:,} FLOP a token, "
        f"{one.flops_in_loop:,} of them in the loop{note}"
    )


def _legend(one: Description) -> str:
    return (
        f"Counted for I = {one.input_size} and H = {one.hidden_size}, forward; what does not "
        "depend on the states is computed before the time loop"
    )


def _print_one(one: Description) -> None:
    from rich.table import Table

    terminal = screen.console()
    terminal.print(f"[bold]{plain(one.name)}[/], states {', '.join(one.states)}\n")
    for line in one.doc.splitlines():
        terminal.print(plain(line), soft_wrap=True)
    if not set(one.equations) <= set(one.doc.splitlines()):
        terminal.print("\nAs traced:" if one.doc else "As traced:")
        for line in one.equations:
            terminal.print(f"  {plain(line)}", soft_wrap=True)
    terminal.print()
    table = Table(box=None, pad_edge=False)
    table.add_column("parameter")
    table.add_column("shape")
    for name, shape in one.shapes.items():
        table.add_row(plain(name), " x ".join(map(str, shape)))
    terminal.print(table)
    terminal.print(f"\n{_costs(one).removesuffix('; x to H')}", soft_wrap=True)
    if one.needs_equal_sizes:
        terminal.print(
            "It adds x itself to hidden units: where I and H differ, a learned projection brings "
            "x to H first",
            soft_wrap=True,
        )
    terminal.print(_legend(one), soft_wrap=True)
