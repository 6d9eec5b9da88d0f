"""Larger cells than hypothesis draws, by a number: many products and phases, shared weights.

Values are built on recent ones, so chains are deep; states may stand still or change places; the
output need not be a state; inputs are squared and averaged before they are multiplied; sums,
biases, vectors and means come up often.
"""

import random

from elman.errors import CellError
from elman.ir.graph import (
    BINARY,
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
from elman.ir.verify import verify
from random_cells import _BINARY, _UNARY, _safe


def wild_graph(seed: int) -> Graph:
    """The graph of this number, verified."""
    dice = random.Random(seed)
    while True:
        try:
            return verify(_Maker(dice).graph(f"wild{seed}"))
        except CellError:
            continue


class _Maker:
    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.parameters: dict[str, Parameter] = {}
        self.states = [state_node(name) for name in ("h", "c", "m")[: dice.randint(1, 3)]]
        self.masks = [
            Mask(f"mask{index}", dice.choice(["step", "sequence"]), 0.5, 2.0)
            for index in range(dice.choice([0, 0, 0, 1, 2]))
        ]
        self.pool: list[Node] = [*self.states]

    def graph(self, name: str) -> Graph:
        self._masked()
        self._of_the_input()
        for _ in range(self.dice.randint(3, 40)):
            self.pool.append(self._next())
        nexts = [self._next_state() for _ in self.states]
        output = self.dice.choice([nexts[0], nexts[0], self._recent(wide=True), nexts[-1]])
        named = self.dice.sample(self.pool, min(2, len(self.pool)))
        reached = topological([*named, *nexts, output])
        used = {node.attr for node in reached if node.op in (Op.PARAMETER, Op.PRODUCT)}
        return Graph(
            name=name,
            doc="",
            inputs=(input_node("x"),),
            states=tuple(self.states),
            parameters=tuple(one for key, one in self.parameters.items() if key in used),
            next_states=tuple(nexts),
            output=output,
            named=tuple((f"value{index}", node) for index, node in enumerate(named)),
            masks=tuple(mask for mask in self.masks if mask_node(mask.name) in reached),
        )

    def _masked(self) -> None:
        for mask in self.masks:
            self.pool.append(apply(Op.MUL, mask_node(mask.name), self.dice.choice(self.states)))

    def _of_the_input(self) -> None:
        ahead: list[Node] = [input_node("x")]
        for _ in range(self.dice.randint(0, 4)):
            kind = self.dice.random()
            if kind < 0.6:
                self.pool.append(self._product(self.dice.choice(ahead)))
            elif kind < 0.7:
                self.pool.append(apply(Op.MEAN, self.dice.choice(ahead)))
            elif kind < 0.9:
                ahead.append(apply(Op.MUL, self.dice.choice(ahead), self.dice.choice(ahead)))
            else:
                ahead.append(apply(Op.TANH, self.dice.choice(ahead)))
        if self.dice.random() < 0.15:
            self.pool.append(ahead[0])

    def _next(self) -> Node:
        kind = self.dice.random()
        if kind < 0.25:
            return self._product(self._recent(wide=True))
        if kind < 0.35:
            return apply(Op.ADD, self._recent(), self._parameter("bias"))
        if kind < 0.42:
            return apply(Op.MUL, self._recent(), self._parameter("vector"))
        if kind < 0.47:
            return constant(self.dice.choice([0.0, 1.0, -0.5, 2.0]))
        if kind < 0.6:
            return apply(Op.ADD, self._recent(), self._recent())
        if kind < 0.64:
            return apply(Op.MEAN, self._recent())
        op = self.dice.choice([*_UNARY, *_BINARY, Op.TANH, Op.SIGMOID])
        return _safe(op, *(self._recent() for _ in range(2 if op in BINARY else 1)))

    def _next_state(self) -> Node:
        kind = self.dice.random()
        if kind < 0.1:
            return self.dice.choice(self.states)
        # Bounded, so that no recurrence explodes.
        last = apply(Op.TANH, self._recent(wide=True))
        return last if kind < 0.3 else apply(Op.MUL, last, apply(Op.SIGMOID, self._recent()))

    def _recent(self, *, wide: bool = False) -> Node:
        pool = [node for node in self.pool if node.size != "1"] if wide else self.pool
        return self.dice.choice(pool[-6:] if self.dice.random() < 0.6 else pool)

    def _product(self, operand: Node) -> Node:
        same = [
            one.name
            for one in self.parameters.values()
            if one.kind == "matrix" and one.columns == operand.size
        ]
        if same and self.dice.random() < 0.15:
            return product(self.dice.choice(same), operand)
        name = f"p{len(self.parameters)}.w"
        self.parameters[name] = Parameter(name, "matrix", operand.size)
        return product(name, operand)

    def _parameter(self, kind: str) -> Node:
        name = f"{kind[0]}{len(self.parameters)}"
        self.parameters[name] = Parameter(name, kind, "1")  # type: ignore[arg-type]
        return parameter_node(name)
