"""One row an op: from the gradient of a result to the gradients of its operands.

A value of size 1 spreads over all units, so its gradient is a sum over units. Here it stays a
vector whose *sum* is the gradient: everything on the way back is linear in it, and the mean, the
only op that makes one number of many, turns it into ``mean(g)``, which is exactly that sum over H.

All is simplified on the way, since derivatives multiply by one and add zero all the time.
"""

from collections.abc import Callable

from elman.ir.graph import Node, Op, constant, transposed
from elman.ir.rewrite import simplified

Rule = Callable[..., tuple[Node | None, ...]]
"""``rule(g, y, *operands)`` for the gradient g of the result y; None where there is none."""


def add(left: Node, right: Node) -> Node:
    """``left + right``."""
    return simplified(Op.ADD, left, right)


def sub(left: Node, right: Node) -> Node:
    """``left - right``."""
    return simplified(Op.SUB, left, right)


def mul(left: Node, right: Node) -> Node:
    """``left * right``."""
    return simplified(Op.MUL, left, right)


def div(left: Node, right: Node) -> Node:
    """``left / right``."""
    return simplified(Op.DIV, left, right)


def neg(value: Node) -> Node:
    """``-value``."""
    return simplified(Op.NEG, value)


def positive(value: Node) -> Node:
    """1 where the value is above 0, else 0."""
    return simplified(Op.POSITIVE, value)


_ONE = constant(1.0)
_HALF = constant(0.5)


def _share(left: Node, right: Node) -> Node:
    """How much of max(left, right) is left: 1, 0, or a half where they are equal, as in torch."""
    over = sub(positive(sub(left, right)), positive(sub(right, left)))
    return mul(_HALF, add(_ONE, over))


RULES: dict[Op, Rule] = {
    Op.ADD: lambda g, y, a, b: (g, g),
    Op.SUB: lambda g, y, a, b: (g, neg(g)),
    Op.MUL: lambda g, y, a, b: (mul(g, b), mul(g, a)),
    Op.DIV: lambda g, y, a, b: (div(g, b), neg(mul(div(g, b), y))),
    Op.MAXIMUM: lambda g, y, a, b: (mul(g, _share(a, b)), mul(g, _share(b, a))),
    Op.MINIMUM: lambda g, y, a, b: (mul(g, _share(b, a)), mul(g, _share(a, b))),
    Op.NEG: lambda g, y, a: (neg(g),),
    Op.SIGMOID: lambda g, y, a: (mul(g, mul(y, sub(_ONE, y))),),
    Op.TANH: lambda g, y, a: (mul(g, sub(_ONE, mul(y, y))),),
    Op.RELU: lambda g, y, a: (mul(g, positive(y)),),
    Op.EXP: lambda g, y, a: (mul(g, y),),
    Op.LOG: lambda g, y, a: (div(g, a),),
    Op.SQRT: lambda g, y, a: (div(mul(g, _HALF), y),),
    Op.ABS: lambda g, y, a: (mul(g, sub(positive(a), positive(neg(a)))),),
    Op.SOFTPLUS: lambda g, y, a: (mul(g, simplified(Op.SIGMOID, a)),),
    Op.IDENTITY: lambda g, y, a: (g,),
    Op.POSITIVE: lambda g, y, a: (None,),
    Op.MEAN: lambda g, y, a: (simplified(Op.MEAN, g),),
}
"""Total over all ops but products and leaves; the driver knows no op by name."""


def of_product(matrix: str, gradient: Node) -> Node:
    """The gradient of a product's operand."""
    return transposed(matrix, gradient)
