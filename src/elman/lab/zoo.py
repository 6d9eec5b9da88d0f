"""What there is to say about a cell: its equations, parameters and cost."""

import re

import msgspec

from elman.cell import Cell
from elman.cells import ALL_CELLS
from elman.errors import ConfigError
from elman.ir import costs
from elman.lab.explain import traced

_EQUATION = re.compile(r"\w+'? = .")


class Description(msgspec.Struct, frozen=True):
    """A cell at given sizes."""

    name: str
    summary: str
    """The first line of its docstring."""
    equations: list[str]
    doc: str
    states: list[str]
    input_size: int
    hidden_size: int
    parameters: int
    shapes: dict[str, list[int]]
    """Of each parameter by its name."""
    flops_in_loop: int
    """A token, forward: what depends on the states."""
    flops_outside: int
    """A token, forward: what depends on the inputs alone."""
    needs_equal_sizes: bool
    """Whether the cell adds the input itself to hidden units."""

    @property
    def flops(self) -> int:
        """Of a token, forward."""
        return self.flops_in_loop + self.flops_outside


def describe(cell: Cell, *, input_size: int = 128, hidden_size: int = 128) -> Description:
    """Describe a cell.

    Raises:
        ConfigError: a size is not at least 1.
    """
    for name, size in {"input_size": input_size, "hidden_size": hidden_size}.items():
        if size < 1:
            raise ConfigError(f"{name} is {size}; it must be 1 or more")
    graph = cell.graph
    flops = costs.flops(graph, input_size=input_size, hidden_size=hidden_size)
    shapes = costs.shapes(graph, input_size=input_size, hidden_size=hidden_size)
    return Description(
        name=cell.name,
        summary=cell.doc.partition("\n")[0],
        # A docstring may have none, and a modified cell has that of the cell as it was.
        equations=equations(cell.doc) if cell in ALL_CELLS else traced(graph)[0],
        doc=cell.doc,
        states=list(cell.states),
        input_size=input_size,
        hidden_size=hidden_size,
        parameters=costs.parameters(graph, input_size=input_size, hidden_size=hidden_size),
        shapes={name: list(shape) for name, shape in shapes.items()},
        flops_in_loop=flops.loop,
        flops_outside=flops.outside,
        needs_equal_sizes=graph.needs_equal_sizes,
    )


def equations(doc: str) -> list[str]:
    """The lines of those paragraphs of a docstring that hold nothing but equations."""
    paragraphs = [part.splitlines() for part in re.split(r"\n\s*\n", doc)]
    return [
        line.rstrip()
        for lines in paragraphs
        if all(_EQUATION.match(line) or line.startswith(" ") for line in lines)
        for line in lines
    ]
