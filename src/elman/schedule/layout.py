"""Where each residual is kept: in place of a stream, and until a gradient takes its place."""

from dataclasses import replace

from elman.ir.graph import Node
from elman.schedule.columns import match
from elman.schedule.compilation import Compilation
from elman.schedule.kernel import Slot


def layout(program: Compilation) -> Compilation:
    """Place the residuals in as few columns as can be."""
    slots = _slots(program)
    used = [1 + slot.column for slot in slots.values() if slot.array == "buffer"]
    return replace(program, slots=slots, width=max([len(program.columns), *used]))


def _slots(program: Compilation) -> dict[Node, Slot]:
    slots = {node: Slot(f"previous.{node.attr}", 0) for node in program.previous}
    rest = [node for node in program.residuals if node not in slots]
    count = len(program.columns)
    taken = match(rest, count, lambda node, at: fits(program, node, at))
    slots |= {node: Slot("buffer", at) for at, node in taken.items()}
    alone = [node for node in rest if node not in slots]
    return slots | {node: Slot("buffer", count + at) for at, node in enumerate(alone)}


def fits(program: Compilation, node: Node, at: int) -> bool:
    """Whether a residual may be kept in a column that a stream has before it and a gradient after.

    It may take a stream's column if nothing reads the stream later, and leave it to a gradient if
    nothing reads the residual later. Operands of products are needed after the loop, so they have
    columns of their own.
    """
    forward, backward = program.phases["forward"], program.phases["backward"]
    gradients = program.adjoint.values if program.adjoint else {}
    column = program.columns[at]
    written = backward.level[gradients[column]] if column in gradients else 0
    read = forward.last_read.get(column, -1) if column in program.products else -1
    return (
        all(node is not product.inputs[0] for product in program.loop_products)
        and read <= forward.level[node]
        and backward.last_read.get(node, -1) <= written
    )
