"""Cells drawn by hypothesis: random operations, one to three products, one to three states."""

from hypothesis import strategies as st

from elman.cell import Cell
from elman.ir.graph import (
    ADJOINT,
    BINARY,
    ELEMENTWISE,
    Graph,
    Mask,
    Node,
    Op,
    Parameter,
    apply,
    constant,
    input_node,
    mask_node,
    parameter_node,
    product,
    state_node,
    topological,
)


def _safe(op: Op, *operands: Node) -> Node:
    """The op with its operands brought into its domain, and results of moderate size."""
    one = constant(1.0)
    if op in (Op.LOG, Op.SQRT):
        return apply(op, apply(Op.ADD, one, apply(Op.ABS, operands[0])))
    if op is Op.EXP:
        return apply(op, apply(Op.TANH, operands[0]))
    if op is Op.DIV:
        return apply(op, operands[0], apply(Op.ADD, one, apply(Op.SOFTPLUS, operands[1])))
    return apply(op, *operands)


_BINARY = [op for op in Op if op in BINARY]
_UNARY = [op for op in Op if op in ELEMENTWISE - BINARY - ADJOINT or op is Op.MEAN]


_MASKS = st.builds(
    Mask,
    st.sampled_from(["keep", "drop"]),
    st.sampled_from(["step", "sequence"]),
    st.sampled_from([0.0, 0.25, 1.0]),
    st.sampled_from([1.0, 4.0, -0.5]),
)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    states = [state_node(name) for name in ("h", "c", "m")[: draw(st.integers(1, 3))]]
    pool: list[Node] = [input_node("x"), *states, parameter_node("v")]
    pool.append(constant(draw(st.sampled_from([0.0, 1.0, -0.5, 2.0]))))
    parameters = {"v": Parameter("v", "vector", "1")}
    masks = draw(st.lists(_MASKS, max_size=2, unique_by=lambda mask: mask.name))
    # On a state, since a mask by itself cannot be a product's operand.
    pool += [apply(Op.MUL, mask_node(mask.name), draw(st.sampled_from(states))) for mask in masks]
    for index in range(draw(st.integers(1, 3))):
        operand = draw(st.sampled_from([node for node in pool if node.size != "1"]))
        name = f"p{index}.{index}"
        parameters[name] = Parameter(name, "matrix", operand.size)
        pool.append(product(name, operand))
        for _ in range(draw(st.integers(0, 4))):
            op = draw(st.sampled_from([*_UNARY, *_BINARY]))
            operands = [draw(st.sampled_from(pool)) for _ in range(2 if op in BINARY else 1)]
            pool.append(_safe(op, *operands))
    # A bounded state for each, so that no random recurrence explodes.
    wide = [node for node in pool if node.size != "1"]
    nexts = [apply(Op.TANH, draw(st.sampled_from(wide))) for _ in states]
    output = draw(st.sampled_from([*wide, *nexts]))
    reached = topological([*nexts, output])
    used = {node.attr for node in reached if node.op in (Op.PARAMETER, Op.PRODUCT)}
    return Graph(
        name="random",
        doc="Drawn by hypothesis.",
        inputs=(input_node("x"),),
        states=tuple(states),
        parameters=tuple(one for name, one in parameters.items() if name in used),
        next_states=tuple(nexts),
        output=output,
        masks=tuple(mask for mask in masks if mask_node(mask.name) in reached),
        named=tuple((str(state.attr), one) for state, one in zip(states, nexts, strict=True)),
    )


def cells() -> st.SearchStrategy[Cell]:
    return graphs().map(Cell)
