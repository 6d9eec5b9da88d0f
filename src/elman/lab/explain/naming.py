"""What the values of a step are called when it is shown, and how their expressions are written."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from elman.ir.graph import LEAVES, PRODUCTS, Graph, Node, Op, topological

_WIDEST = 72
"""Characters of an expression from which it is given a name of its own."""
_ATOM, _FACTOR, _TERM = 3, 2, 1
_SIGNS = {
    Op.ADD: ("+", _TERM, _TERM),
    Op.SUB: ("-", _TERM, _FACTOR),
    Op.MUL: ("*", _FACTOR, _FACTOR),
    Op.DIV: ("/", _FACTOR, _ATOM),
}
"""For an op its sign, how tightly it binds, and how tightly its right operand must."""


class Line(NamedTuple):
    """One equation."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name} = {self.text}"


class Naming:
    """The names of one cell's values.

    Values have the names that the equations give them; ``h[t-1]`` is a state as the step before
    left it; ``W_hi`` multiplies ``h`` on its way to ``i``, and ``W_hi^T`` is its transpose; ``d_i``
    is the gradient of ``i``. What the equations leave unnamed is called after what stands beside
    it, ``tanh_c`` for tanh(c) and ``i_in`` for what ``i`` is the sigmoid of, or has a number.
    """

    def __init__(self, graph: Graph, gradients: Mapping[Node, Node] | None = None) -> None:
        self.graph = graph
        self.names: dict[Node, str] = {}
        """Of values that the reader knows."""
        self.spare: dict[Node, str] = {}
        """Of values that are only named when they are shown on a line of their own."""
        self.numbered: dict[Node, str] = {}
        """Of values without any of these, t1, t2 and so on, as they come to be shown."""
        self._matrices = _matrix_names(graph)
        self._taken = {*self._matrices.values()}
        for node in (*graph.inputs, *graph.states, *graph.nodes):
            if node.op in LEAVES:
                self._name(node, _leaf_name(node))
        for name, node in graph.named:
            self._name(node, name)
        for node in graph.nodes:
            self._name_beside(node)
        for node in graph.nodes:
            if node.op is Op.PRODUCT:
                self.spare.setdefault(node, self._product(node))
        self._name_gradients(gradients or {})

    def __getitem__(self, node: Node) -> str:
        """The value's name, or its expression."""
        if node.op in PRODUCTS and not self.has_name(node):
            self.spare[node] = self._product(node)
        found = (self.names, self.numbered, self.spare)
        return next((names[node] for names in found if node in names), None) or self.text(node)

    def has_name(self, node: Node) -> bool:
        """Whether the value is called something, be it by what stands beside it."""
        return node in self.names or node in self.spare

    def text(self, node: Node) -> str:
        """The value's expression in terms of values with names."""
        if node.op in LEAVES:
            return self._leaf(node)
        known = (self.names.keys() | self.numbered.keys() | self.spare.keys()) - {node}
        shown_before = node in self.numbered
        text = self.lines([node], known)[-1].text
        if not shown_before:
            self.numbered.pop(node, None)
        return text

    def matrix(self, name: str) -> str:
        """How a matrix is written."""
        return self._matrices[name]

    def lines(self, roots: Iterable[Node], ready: Iterable[Node]) -> list[Line]:
        """The equations of the roots from what is ready, in the order of computation.

        A line each has what the reader knows by name, what several others need, and what would
        make a long line.
        """
        # In order, since naming a value may number it.
        known, roots = dict.fromkeys(ready), list(roots)
        order = topological(roots, known)
        uses = Counter(operand for node in order for operand in node.inputs)
        shown = {node: self[node] for node in known}
        shown |= {node: self._leaf(node) for node in order if node.op in LEAVES}
        short = {node: (name, _binding(node, name)) for node, name in shown.items()}
        lines: list[Line] = []
        for node in order:
            if node in shown:
                continue
            text, binding = self._written(node, short)
            known_by_name = node in self.names or node in self.numbered
            if known_by_name or node in roots or uses[node] > 1 or len(text) > _WIDEST:
                name = self.line_name(node)
                lines.append(Line(name, text))
                text, binding = name, _ATOM
            short[node] = text, binding
        return lines

    def line_name(self, node: Node) -> str:
        """What the value is called where it has a line of its own: a number if nothing else."""
        if node in self.names:
            return self.names[node]
        if node in self.spare and node.op not in PRODUCTS:
            return self.spare[node]
        if node not in self.numbered:
            self.numbered[node] = f"t{len(self.numbered) + 1}"
        return self.numbered[node]

    # Names -----------------------------------------------------------------------------------

    def _name(self, node: Node, name: str) -> None:
        if node in self.names:
            return
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        self.names[node] = name

    def _leaf(self, node: Node) -> str:
        return self.names.get(node) or _leaf_name(node)

    def _name_beside(self, node: Node) -> None:
        if len(node.inputs) != 1 or node.op in PRODUCTS:
            return
        (operand,) = node.inputs
        if node in self.names and operand not in self.names:
            self._spare(operand, f"{self.names[node]}_in")
        elif node not in self.names and operand in self.names:
            self._spare(node, f"{node.op.value}_{self.names[operand]}")

    def _spare(self, node: Node, name: str) -> None:
        if node not in self.spare and name not in self._taken and re.fullmatch(r"\w+", name):
            self._taken.add(name)
            self.spare[node] = name

    def _name_gradients(self, gradients: Mapping[Node, Node]) -> None:
        for name, node in (*self.graph.named, *((None, state) for state in self.graph.states)):
            found = gradients.get(node)
            if found is not None and found.op not in LEAVES:
                self._name(found, f"d_{name or self.names[node]}")
        for node, found in gradients.items():
            if node in self.spare and node.op not in PRODUCTS and found not in self.names:
                self._spare(found, f"d_{self.spare[node]}")

    # Expressions -----------------------------------------------------------------------------

    def _written(self, node: Node, short: Mapping[Node, tuple[str, int]]) -> tuple[str, int]:
        parts = [short[operand] for operand in node.inputs]
        if node.op in _SIGNS:
            sign, binding, right_binding = _SIGNS[node.op]
            (left, one), (right, other) = parts
            left, right = _bracketed(left, one, binding), _bracketed(right, other, right_binding)
            if sign == "+" and right.startswith("-"):
                sign, right = "-", right[1:]
            return f"{left} {sign} {right}", binding
        text, binding = parts[0]
        if node.op in PRODUCTS:
            across = "^T" if node.op is Op.TRANSPOSED else ""
            return f"{self.matrix(str(node.attr))}{across} {_bracketed(text, binding, _ATOM)}", 2
        if node.op is Op.NEG:
            text = f"({text})" if text.startswith("-") else _bracketed(text, binding, _FACTOR)
            return f"-{text}", _FACTOR
        if node.op is Op.POSITIVE:
            return f"({text} > 0)", _ATOM
        return f"{node.op.value}({', '.join(part for part, _ in parts)})", _ATOM

    def _product(self, node: Node) -> str:
        def named(one: Node) -> bool:
            return self.has_name(one) or one in self.numbered or one.op in LEAVES

        (operand,) = node.inputs
        if named(operand):
            return self._written(node, {operand: (self[operand], _ATOM)})[0]
        if all(map(named, operand.inputs)):
            known = {one: (self[one], _ATOM) for one in operand.inputs}
            return self._written(node, {operand: self._written(operand, known)})[0]
        return f"{self.matrix(str(node.attr))} (...)"


def _binding(node: Node, name: str) -> int:
    if node.op in PRODUCTS and " " in name:
        return _FACTOR
    if node.op in _SIGNS and " " in name:
        return _SIGNS[node.op][1]
    return _FACTOR if name.startswith("-") else _ATOM


def _bracketed(text: str, binding: int, needed: int) -> str:
    return text if binding >= needed else f"({text})"


def _leaf_name(node: Node) -> str:
    attr = node.attr
    if isinstance(attr, float):
        short = f"{attr:g}"
        return short if float(short) == attr else repr(attr)
    if node.op is Op.STATE:
        return f"{attr}[t-1]"
    if node.op is not Op.PARAMETER:
        return f"d_{str(attr).replace('next.', 'next_')}" if node.op is Op.GRADIENT else str(attr)
    owner, _, part = str(attr).rpartition(".")
    if part == "bias":
        return f"b_{owner}"
    return f"{part}_{owner}" if owner else f"w_{part}"


def _matrix_names(graph: Graph) -> dict[str, str]:
    """``W_hi`` for the matrix ``i.h``, as the equations in docstrings have it."""
    names: dict[str, str] = {}
    for parameter in graph.parameters:
        if parameter.kind != "matrix":
            continue
        owner, _, operand = parameter.name.rpartition(".")
        name = f"W_{operand}{owner}"
        if len(owner) > 1 and operand in (owner[0], owner[-1]):
            name = f"W_{owner}"
        elif len(operand) > 1 or len(owner) > 1 or operand.isdigit():
            name = f"W_{owner}_{operand}"
        while name in names.values():
            name += "_"
        names[parameter.name] = name
    return names
