"""A kernel's loops as pseudo-code, with the sizes that they have on this machine."""

from collections.abc import Iterator

from elman.backends.llvm import Chunk, Layout, host
from elman.compiler import Compilation
from elman.ir.graph import Node, Op
from elman.lab.explain.naming import Naming
from elman.lab.explain.schedule import named, place, pointwise, sum_name
from elman.schedule.kernel import Accumulator, Phase

_DTYPES = {"float": "float32", "double": "float64"}


def kernel(program: Compilation, layout: Layout) -> str:
    """The loops of the kernel of this layout."""
    return "\n".join([*_head(program, layout), "", *_loops(program, layout)]) + "\n"


def _head(program: Compilation, layout: Layout) -> Iterator[str]:
    shape, lanes = layout.shape, layout.lanes
    tail = f", the last one of {shape.tail}" if shape.tail else ""
    yield (
        f"{program.graph.name} {layout.kernel.name}, H = {shape.hidden_size}, "
        f"{_DTYPES[lanes.scalar]}, on {host.detect().cpu}"
    )
    if shape.amx:
        yield f"by AMX, its matrix unit, which it {'has' if host.detect().amx else 'does not have'}"
    yield f"{shape.registers} vector registers of {lanes.count} numbers"
    yield f"{shape.blocks} blocks of {lanes.count} units{tail}"
    if layout.kernel.products:
        yield f"{layout.packed_bytes:,} bytes of weights, packed in the order of their use"
    yield f"{layout.scratch_bytes:,} bytes of scratch memory a thread, for {layout.group} rows"


def _loops(program: Compilation, layout: Layout) -> Iterator[str]:
    naming = named(program)
    back = layout.kernel.name == "backward"
    now = ", ".join(naming[state.now] for state in layout.kernel.states)
    yield f"for each group of {layout.group} of this thread's rows:"
    yield f"    {now} = the first states"
    yield f"    for each step, from the {'last to the first' if back else 'first to the last'}:"
    yield "        # only the rows that are that long"
    for at, phase in enumerate(layout.kernel.phases):
        yield f"        # phase {at}"
        for line in _phase(naming, layout, at, phase):
            yield f"        {line}"
    yield "    the last states = what was handed on"


def _phase(naming: Naming, layout: Layout, at: int, phase: Phase) -> Iterator[str]:
    shape, chunks = layout.shape, layout.chunks[at]
    if shape.amx and chunks:
        yield from _panels(naming, layout, at, phase)
        return
    units = f"{layout.lanes.count} units"
    together = chunks[0].blocks if chunks else 1
    blocks = f"group of at most {together} blocks" if together > 1 else "block"
    yield f"for each {blocks} of {units}:"
    inner = "    "
    if chunks:
        yield f"    for each tile of at most {chunks[0].rows} rows:"
        inner = "        "
    for chunk in chunks:
        yield f"{inner}# {_registers(chunk, shape.registers)}"
        for sweep in chunk.sweeps:
            yield f"{inner}for k in 0 .. {shape.hidden_size - 1}:"
            for index, product in sweep.members:
                yield f"{inner}    {_multiply(naming, chunk.accumulators[index], product)}"
    yield from _rows(naming, layout, at, phase, inner)


def _panels(naming: Naming, layout: Layout, at: int, phase: Phase) -> Iterator[str]:
    """The same on the matrix unit."""
    (chunk,) = layout.chunks[at]
    for sweep in chunk.sweeps:
        yield f"split {naming[sweep.operand]} into three numbers of 8 bits each"
    yield f"for each panel of {chunk.rows} units:"
    yield f"    for each panel of at most {chunk.rows} rows:"
    yield "        # 2 x 2 matrices of sums, each 16 x 16"
    for accumulator in chunk.accumulators:
        for product in accumulator.products:
            matrix, operand = naming.matrix(str(product.attr)), naming[product.inputs[0]]
            weights = f"{matrix}^T" if product.op is Op.TRANSPOSED else matrix
            yield f"        {sum_name(naming, accumulator)} += {weights} times {operand}"
    yield from _rows(naming, layout, at, phase, "    ")


def _rows(naming: Naming, layout: Layout, at: int, phase: Phase, inner: str) -> Iterator[str]:
    """The elementwise work, and what is done with its results."""
    yield f"{inner}for each row:"
    for line in [*pointwise(naming, layout.kernel, at, phase), *_written(naming, phase)]:
        yield f"{inner}    {line}"
    if phase.totals:
        totals = ", ".join(naming[node] for node, _ in phase.totals)
        yield f"{inner}add the rows' {totals} to this thread's sums"
    for node in phase.averaged:
        yield f"mean({naming[node]}) over all blocks, for each row"


def _multiply(naming: Naming, sum_: Accumulator, product: Node) -> str:
    matrix, operand = naming.matrix(str(product.attr)), naming[product.inputs[0]]
    weights = f"{matrix}[k, :]" if product.op is Op.TRANSPOSED else f"{matrix}[:, k]"
    column = f"({operand})[k]" if " " in operand else f"{operand}[k]"
    return f"{sum_name(naming, sum_)} += {weights} * {column}"


def _registers(chunk: Chunk, registers: int) -> str:
    width = len(chunk.accumulators)
    used = chunk.rows * chunk.blocks * width
    loaded = chunk.blocks * max(len(sweep.members) for sweep in chunk.sweeps)
    sums = "sum" if width == 1 else "sums"
    return (
        f"{chunk.rows} rows x {chunk.blocks} {'block' if chunk.blocks == 1 else 'blocks'} x "
        f"{width} {sums} = {used} registers, and {loaded} of weights, of {registers}"
    )


def _written(naming: Naming, phase: Phase) -> Iterator[str]:
    def names(nodes: tuple[Node, ...]) -> str:
        return ", ".join(naming[node] for node in nodes)

    for node, slot in phase.stores:
        yield f"{place(slot)} <- {naming[node]}"
    if phase.kept:
        yield f"scratch <- {names(phase.kept)}"
    if phase.states:
        yield f"states <- {names(tuple(state.next for state in phase.states))}"
