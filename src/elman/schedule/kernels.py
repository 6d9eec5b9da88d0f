"""The kernels: the work of each loop, and the memory that it reads and writes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from elman.autodiff.backward import OUTPUT
from elman.ir.graph import Node, Op, constant, gradient_node
from elman.schedule.compilation import Compilation
from elman.schedule.kernel import Array, Kernel, Kind, Phase, Phases, Slot


def kernels(program: Compilation) -> Compilation:
    """Give the phases memory to read and write."""
    return replace(
        program,
        inference=_forward("inference", program, keep=False),
        forward=_forward("forward", program, keep=True),
        backward=_backward(program),
        inference_table=_forward("inference_table", program, keep=False, table=True),
        forward_table=_forward("forward_table", program, keep=True, table=True),
    )


def _kernel(
    name: str,
    phases: Phases,
    arrays: Sequence[Array],
    leaves: Mapping[Node, Slot],
    stores: Sequence[tuple[Node, Slot]],
    totals: Sequence[tuple[Node, Slot]] = (),
) -> Kernel:
    def done_in(at: int, pairs: Sequence[tuple[Node, Slot]]) -> tuple[tuple[Node, Slot], ...]:
        return tuple(pair for pair in pairs if phases.level[pair[0]] == at)

    with_memory = tuple(
        Phase(
            accumulators=work.accumulators,
            stores=done_in(at, stores),
            totals=done_in(at, totals),
            kept=work.kept,
            averaged=work.averaged,
            states=work.states,
        )
        for at, work in enumerate(phases.works)
    )
    return Kernel(
        name,
        tuple(arrays),
        dict(leaves),
        phases.states,
        with_memory,
        phases.level,
        phases.last_read,
    )


def _forward(name: str, program: Compilation, *, keep: bool, table: bool = False) -> Kernel:
    graph = program.graph
    arrays, leaves = _shared_leaves(program)
    more, slots = _given(program)
    first = program.first_product if keep and not table else 0
    source = "table" if table else "buffer"
    leaves |= slots | {node: Slot(source, first + at) for at, node in enumerate(program.products)}
    if table:
        more += [Array("table", "indexed", len(program.products))]
    stores = [(graph.output, Slot("output", 0))]
    if keep:
        more += _kept(program)
        stores += program.slots.items()
        stores += [(node, Slot("scalar", at)) for at, node in enumerate(program.scalars)]
    else:
        more += [] if table else [Array("buffer", "token", len(program.products))]
        more += [Array("output", "token", 1)]
    phases = program.phases["forward" if keep else "inference"]
    return _kernel(name, phases, [*arrays, *more], leaves, stores)


def _backward(program: Compilation) -> Kernel:
    assert program.adjoint is not None
    graph, adjoint = program.graph, program.adjoint
    arrays, leaves = _shared_leaves(program)
    given, slots = _given(program)
    inputs = {node for node in program.given if node in graph.inputs}
    arrays += [array for array, node in zip(given, program.given, strict=True) if node in inputs]
    leaves |= {node: slot for node, slot in slots.items() if node in inputs}
    leaves |= program.slots
    leaves |= {node: Slot("scalar", at) for at, node in enumerate(program.scalars)}
    if graph.output not in leaves:
        leaves[graph.output] = Slot("output", 0)
    leaves[gradient_node(OUTPUT)] = Slot("grad_output", 0)
    arrays += [
        *_kept(program),
        Array("grad_output", "token", 1),
        Array("total", "total", len(program.totals)),
    ]
    zero = constant(0.0)
    stores = [
        (adjoint.values.get(node, zero), Slot("buffer", at))
        for at, node in enumerate(program.columns)
    ]
    totals = [
        (adjoint.parameters[node], Slot("total", at)) for at, node in enumerate(program.totals)
    ]
    return _kernel("backward", program.phases["backward"], arrays, leaves, stores, totals)


def _shared_leaves(program: Compilation) -> tuple[list[Array], dict[Node, Slot]]:
    """Biases, vectors and masks: the same for both directions through time."""
    arrays: list[Array] = []
    leaves: dict[Node, Slot] = {}
    for node in program.graph.nodes:
        if node.op is Op.PARAMETER:
            stack, position = program.place[str(node.attr)]
            leaves[node] = Slot(f"weights.{stack}", position)
            arrays.append(Array(f"weights.{stack}", "parameter", 1))
        elif node.op is Op.MASK:
            mask = next(mask for mask in program.graph.masks if mask.name == node.attr)
            leaves[node] = Slot(f"mask.{mask.name}", 0)
            kind: Kind = "token" if mask.per == "step" else "row"
            arrays.append(Array(f"mask.{mask.name}", kind, 1))
    return list(dict.fromkeys(arrays)), leaves


def _given(program: Compilation) -> tuple[list[Array], dict[Node, Slot]]:
    arrays = [Array(f"given{at}", "token", 1) for at in range(len(program.given))]
    return arrays, {node: Slot(f"given{at}", 0) for at, node in enumerate(program.given)}


def _kept(program: Compilation) -> list[Array]:
    """Where values of the forward pass wait for the backward one."""
    return [
        Array("buffer", "token", program.width),
        Array("scalar", "scalar", len(program.scalars)),
        *(Array(f"previous.{node.attr}", "token", 1, optional=True) for node in program.previous),
        Array("output", "token", 1),
    ]
