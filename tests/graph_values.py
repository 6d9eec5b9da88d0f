"""What the nodes of a graph or of its adjoint are worth, in NumPy, one row and step at a time."""

import numpy as np

from elman.ir import reference
from elman.ir.graph import Op

SIZE = 3
"""H."""


def evaluate(roots, known, weights):
    """The values of nodes: those in ``known`` as they are, all others from their operands."""
    values = dict(known)
    pending = [*roots]
    while pending:
        node = pending[-1]
        missing = [one for one in node.inputs if one not in values]
        if node in values or not missing:
            pending.pop()
        if node in values or missing:
            pending.extend(() if node in values else missing)
            continue
        operands = [values[one] for one in node.inputs]
        if node.op is Op.CONSTANT:
            values[node] = np.full(1, node.attr)
        elif node.op is Op.PRODUCT:
            values[node] = weights[node.attr] @ operands[0]
        elif node.op is Op.TRANSPOSED:
            values[node] = weights[node.attr].T @ np.broadcast_to(operands[0], (SIZE,))
        else:
            values[node] = np.asarray(reference.FUNCTIONS[node.op](*operands))
    return values
