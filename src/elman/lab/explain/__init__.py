"""What the compiler makes of a cell, stage by stage, as text to read."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from elman.cell import Cell
from elman.compiler import Compilation, compile
from elman.errors import BackendError, ConfigError
from elman.ir import text
from elman.ir.graph import Graph
from elman.lab.explain import schedule
from elman.lab.explain.naming import Naming

if TYPE_CHECKING:
    from elman.backends.llvm import Layout

KernelName = Literal["inference", "forward", "backward"]
KERNELS: tuple[KernelName, ...] = ("inference", "forward", "backward")
DTYPES = {"float32": "float", "float64": "double"}
"""What LLVM calls them."""


class Request(NamedTuple):
    """What is to be shown of a cell."""

    cell: Cell
    hidden_size: int
    dtype: str
    kernel: KernelName | None
    amx: bool


def explain(
    cell: Cell,
    stage: str = "equations",
    *,
    hidden_size: int = 128,
    dtype: str = "float32",
    kernel: KernelName | None = None,
    amx: bool = False,
) -> str:
    """Show one stage of a cell's compilation.

    Args:
        cell: any cell.
        stage: one of ``STAGES``.
        hidden_size: H, for which ``kernel``, ``llvm`` and ``asm`` are made.
        dtype: float32 or float64, for the same.
        kernel: which kernel these three show, forward unless given; ``schedule`` shows forward
            and backward unless given.
        amx: whether these three show the kernel for the matrix unit (AMX), which batches of 32 rows
            and layers of 64 units or more take in float32, rather than the one for vectors.

    Raises:
        ConfigError: there is no such stage, kernel or dtype, a size is not at least 1, or AMX
            is asked for in float64.
        BackendError: no kernel can be compiled on this machine, and why.
    """
    _one_of("stage", stage, STAGES)
    _one_of("dtype", dtype, DTYPES)
    if kernel is not None:
        _one_of("kernel", kernel, KERNELS)
    if hidden_size < 1:
        raise ConfigError(f"hidden_size is {hidden_size}; it must be 1 or more")
    if amx and dtype != "float32":
        raise ConfigError(f"AMX multiplies float32 alone, and dtype is {dtype}")
    return STAGES[stage](Request(cell, hidden_size, dtype, kernel, amx))


def _one_of(what: str, value: str, known: Iterable[str]) -> None:
    names = list(known)
    if value not in names:
        raise ConfigError(f"there is no {what} {value!r}; there are {', '.join(names)}")


def traced(graph: Graph) -> tuple[list[str], str]:
    """The equations of a step as they were traced or a modifier made them, and the output."""
    naming = Naming(graph)
    roots = [*(node for _, node in graph.named), *graph.next_states, graph.output]
    return [str(line) for line in naming.lines(roots, [])], naming[graph.output]


def _equations(request: Request) -> str:
    """The docstring, and the step as it was traced."""
    graph = request.cell.graph
    equations, output = traced(graph)
    doc = [graph.doc, ""] if graph.doc else []
    lines = (f"  {line}" for line in equations)
    return "\n".join([*doc, "As traced:", *lines, f"The output is {output}."]) + "\n"


def _graph(request: Request) -> str:
    return text.write(request.cell.graph)


def _adjoint(request: Request) -> str:
    return schedule.adjoint(request.cell.graph)


def _schedule(request: Request) -> str:
    kernels = (request.kernel,) if request.kernel else ("forward", "backward")
    return schedule.schedule(request.cell.graph, kernels)


def _kernel(request: Request) -> str:
    # These need torch and LLVM, which the other stages do without.
    from elman.lab.explain import loops

    return loops.kernel(*_compiled(request))


def _llvm(request: Request) -> str:
    from elman.backends.llvm import write

    return write(_compiled(request)[1])


def _asm(request: Request) -> str:
    from elman.backends.llvm import compiler, host, write

    if request.amx and not host.detect().amx:
        raise BackendError(
            "no machine code can be shown, since this machine has no AMX that it may use"
        )
    return compiler.assembly(write(_compiled(request)[1]))


def _compiled(request: Request) -> "tuple[Compilation, Layout]":
    from elman.backends.llvm import Layout, host

    program = compile(request.cell.graph)
    kernel = getattr(program, request.kernel or "forward")
    try:
        spec = host.detect().spec(
            kernel, program.place, request.hidden_size, DTYPES[request.dtype], amx=request.amx
        )
    except host.UnsupportedError as error:
        raise BackendError(
            f"no kernel can be shown, since {error}; the stages before `kernel` need no compiler"
        ) from None
    return program, Layout(spec)


STAGES: dict[str, Callable[[Request], str]] = {
    "equations": _equations,
    "graph": _graph,
    "adjoint": _adjoint,
    "schedule": _schedule,
    "kernel": _kernel,
    "llvm": _llvm,
    "asm": _asm,
}
"""In the order of the compiler."""
