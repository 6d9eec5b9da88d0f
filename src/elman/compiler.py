"""From a cell to kernels as data, by a visible list of passes.

Reading `PIPELINE` from top to bottom is reading the compiler. Nothing here knows of sizes, types
or processors; backends turn the kernels into code.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from elman.errors import CellError
from elman.ir.graph import Graph
from elman.ir.rewrite import simplify
from elman.ir.stacks import places
from elman.schedule.compilation import Compilation
from elman.schedule.gradients import adjoint, columns
from elman.schedule.kernels import kernels
from elman.schedule.layout import layout
from elman.schedule.phases import phases
from elman.schedule.recurrence import hoist
from elman.schedule.residuals import residuals
from elman.schedule.verify import verify

__all__ = ["PIPELINE", "VERIFIES", "Compilation", "compile"]

Pass = Callable[[Compilation], Compilation]


def _simplify(program: Compilation) -> Compilation:
    """Drop operations that do nothing."""
    return replace(program, graph=simplify(program.graph))


PIPELINE: tuple[tuple[str, Pass], ...] = (
    ("simplify", _simplify),
    ("hoist", hoist),
    ("adjoint", adjoint),
    ("residuals", residuals),
    ("columns", columns),
    ("phases", phases),
    ("layout", layout),
    ("kernels", kernels),
)

VERIFIES = bool(os.environ.get("ELMAN_VERIFY_PASSES"))
"""Whether what each pass makes is looked through, as in the tests."""


@lru_cache(maxsize=256)
def compile(graph: Graph, *, stop_after: str = "kernels") -> Compilation:
    """Run the passes on a verified graph.

    Args:
        graph: one step.
        stop_after: the name of the last pass to run.

    Raises:
        CellError: there is no pass of that name.
    """
    names = [name for name, _ in PIPELINE]
    if stop_after not in names:
        raise CellError(f"there is no pass {stop_after!r}; there are {', '.join(names)}")
    program = Compilation(graph, places(graph))
    for name, step in PIPELINE:
        program = step(program)
        if VERIFIES:
            verify(program, name)
        if name == stop_after:
            break
    return program
