r"""A cell as text: what travels in a bundle, and what ``elman explain`` shows.

Example:
    ::

        cell elman
        | Simple recurrent network (Elman 1990).
        input x I
        state h H
        matrix h.x H I
        matrix h.h H H
        bias h.bias H
        %1 = product h.x x
        %2 = product h.h h
        %3 = add %1 %2
        %4 = add %3 $h.bias
        %h = tanh %4
        named h=%h
        next h=%h
        output %h

A value is ``%NAME`` after its name in the equations, else ``%NUMBER``; ``$NAME`` is a bias or
vector, a bare name the input, a state or a mask, and what begins with a digit or a sign is a
number. A mask is declared by ``mask NAME H step PROBABILITY SCALE``, or with ``sequence`` for one
that is kept for all steps. A line that begins with ``#`` is passed over. Reading it runs nothing:
each word is looked up in a table.
"""

import copyreg
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields

from elman.errors import CellError
from elman.ir.graph import (
    ADJOINT,
    LEAVES,
    Graph,
    Kind,
    Mask,
    Node,
    Op,
    Parameter,
    Per,
    Size,
    apply,
    constant,
    input_node,
    mask_node,
    parameter_node,
    product,
    state_node,
)
from elman.ir.verify import MAX_NODES, verify

MAX_CHARACTERS = 1_000_000
"""A cell's text is a page; more than this is refused unread."""

_OPS = {op.value: op for op in Op if op not in LEAVES | ADJOINT}
_DEFAULTS = {option.name: option.default for option in fields(Parameter)}


# ---------------------------------------------------------------------------------------------
# Writing


def write(graph: Graph) -> str:
    """The text of a graph; ``parse(write(graph)) == graph``."""
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    yield f"cell {graph.name}"
    if graph.doc:
        yield from (f"| {_escape(line)}".rstrip(" ") for line in graph.doc.split("\n"))
    yield from (f"input {node.attr} I" for node in graph.inputs)
    yield from (f"state {node.attr} H" for node in graph.states)
    yield from (_parameter_line(parameter) for parameter in graph.parameters)
    yield from (_mask_line(mask) for mask in graph.masks)
    words = _words(graph)
    for node in graph.nodes:
        if node.op not in LEAVES:
            matrix = [str(node.attr)] if node.op is Op.PRODUCT else []
            operands = (words[operand] for operand in node.inputs)
            yield " ".join([words[node], "=", node.op.value, *matrix, *operands])
    if graph.named:
        yield "named " + " ".join(f"{name}={words[node]}" for name, node in graph.named)
    nexts = zip(graph.state_names, graph.next_states, strict=True)
    yield "next " + " ".join(f"{name}={words[node]}" for name, node in nexts)
    yield f"output {words[graph.output]}"


def _parameter_line(parameter: Parameter) -> str:
    sizes = ["H"] if parameter.columns == "1" else ["H", parameter.columns]
    options = [
        f"{name}={getattr(parameter, name)!r}"
        for name in ("initial", "diagonal")
        if getattr(parameter, name) != _DEFAULTS[name]
    ]
    return " ".join([parameter.kind, parameter.name, *sizes, *options])


def _mask_line(mask: Mask) -> str:
    return f"mask {mask.name} H {mask.per} {mask.probability!r} {mask.scale!r}"


def _words(graph: Graph) -> dict[Node, str]:
    """What each node is called in the text."""
    words: dict[Node, str] = {}
    for name, node in graph.named:
        words.setdefault(node, f"%{name}")
    number = 0
    for node in graph.nodes:
        if node.op in (Op.INPUT, Op.STATE, Op.MASK):
            words[node] = str(node.attr)
        elif node.op is Op.PARAMETER:
            words[node] = f"${node.attr}"
        elif isinstance(node.attr, float):
            words[node] = f"{'' if node.attr < math.inf else '+'}{node.attr!r}"
        elif node not in words:
            number += 1
            words[node] = f"%{number}"
    return words


def _escape(text: str) -> str:
    # A file may change its line ends on the way, and a terminal obeys control characters.
    def shown(character: str) -> bool:
        return character.isprintable() and character != "\\"

    escaped = "".join(
        character if shown(character) else f"\\{ord(character):06x}" for character in text
    )
    return escaped[:-1] + "\\000020" if escaped.endswith(" ") else escaped


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-9a-f]{6})", lambda match: chr(int(match[1], 16)), text)


# ---------------------------------------------------------------------------------------------
# Reading


def parse(text: str) -> Graph:
    """The verified graph of a text.

    Raises:
        CellError: naming the line that cannot be read, or what is wrong with the whole.
    """
    if len(text) > MAX_CHARACTERS:
        raise CellError(f"the cell's text has {len(text)} characters; {MAX_CHARACTERS} are allowed")
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        try:
            reader.read(line.rstrip())
        except (CellError, ValueError, KeyError, OverflowError) as error:
            problem = error if isinstance(error, CellError) else "cannot be understood"
            raise CellError(f"the cell's text, line {number} ({line[:60]!r}): {problem}") from None
    return verify(reader.graph())


def _reduced(graph: Graph) -> tuple[Callable[[str], Graph], tuple[str]]:
    return parse, (write(graph),)


# As text, so that a pickle holds no more than a bundle does.
copyreg.pickle(Graph, _reduced)


@dataclass
class _Reader:
    """What the lines so far have said."""

    name: str = ""
    doc: list[str] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    states: list[Node] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)
    words: dict[str, Node] = field(default_factory=dict)
    named: dict[str, Node] = field(default_factory=dict)
    nexts: dict[str, Node] = field(default_factory=dict)
    output: Node | None = None

    def read(self, line: str) -> None:
        if not line or line.startswith("#"):
            return
        if line.startswith("|"):
            self.doc.append(_unescape(line[2:]))
            return
        first, *rest = line.split()
        if first.startswith("%"):
            self._value(first, rest)
            return
        if first not in _STATEMENTS:
            raise CellError(f"{first!r} begins no line of a cell")
        _STATEMENTS[first](self, first, rest)

    def graph(self) -> Graph:
        if not self.name:
            raise CellError("the cell's text has no line `cell NAME`")
        if self.output is None:
            raise CellError("the cell's text has no line `output VALUE`; is it cut off?")
        missing = [str(node.attr) for node in self.states if node.attr not in self.nexts]
        if missing or len(self.nexts) != len(self.states):
            raise CellError(f"the cell's text must give each state its next one: {missing}")
        return Graph(
            name=self.name,
            doc="\n".join(self.doc),
            inputs=tuple(self.inputs),
            states=tuple(self.states),
            parameters=tuple(self.parameters),
            next_states=tuple(self.nexts[str(node.attr)] for node in self.states),
            output=self.output,
            named=tuple(self.named.items()),
            masks=tuple(self.masks),
        )

    def _value(self, word: str, rest: list[str]) -> None:
        equals, op_word, *operands = rest
        op = _OPS.get(op_word)
        if equals != "=" or op is None:
            raise CellError(
                f"an operation reads %NAME = OP OPERANDS, with OP one of {', '.join(_OPS)}"
            )
        if len(self.words) > MAX_NODES:
            raise CellError(f"a cell may have {MAX_NODES} operations")
        if op is Op.PRODUCT:
            matrix, operand = operands
            node = product(matrix, self._node(operand))
        else:
            node = apply(op, *(self._node(operand) for operand in operands))
        self._define(word, node)

    def _define(self, word: str, node: Node) -> None:
        if word in self.words:
            raise CellError(f"{word} is defined twice")
        self.words[word] = node

    def _node(self, word: str) -> Node:
        if re.match(r"[-+0-9]", word):
            return constant(float(word))
        if word not in self.words:
            raise CellError(f"{word} is not defined above")
        return self.words[word]

    def _cell(self, _: str, rest: list[str]) -> None:
        (self.name,) = rest

    def _leaf(self, first: str, rest: list[str]) -> None:
        name, size = rest
        node = input_node(name) if first == "input" else state_node(name)
        if size != node.size:
            raise CellError(f"the size of an {first} is {node.size}")
        (self.inputs if first == "input" else self.states).append(node)
        self._define(name, node)

    def _parameter(self, first: str, rest: list[str]) -> None:
        name = rest.pop(0)
        sizes = [word for word in rest if "=" not in word]
        options = dict(word.split("=") for word in rest if "=" in word)
        if first == "matrix":
            columns = _COLUMNS[" ".join(sizes)]
            diagonal = _finite(options.pop("diagonal", "0"))
            self.parameters.append(Parameter(name, "matrix", columns, diagonal=diagonal))
        else:
            kind = _KINDS[first, " ".join(sizes)]
            initial = _finite(options.pop("initial", "0"))
            self.parameters.append(Parameter(name, kind, "1", initial))
            self._define(f"${name}", parameter_node(name))
        if options:
            raise CellError(f"{', '.join(options)} says nothing about a {first}")

    def _mask(self, _: str, rest: list[str]) -> None:
        name, size, per, probability, scale = rest
        if size != "H":
            raise CellError("the size of a mask is H")
        self.masks.append(Mask(name, _PER[per], _finite(probability), _finite(scale)))
        self._define(name, mask_node(name))

    def _names(self, first: str, rest: list[str]) -> None:
        table = self.named if first == "named" else self.nexts
        for pair in rest:
            name, word = pair.split("=")
            if name in table:
                raise CellError(f"{name} is given twice")
            table[name] = self._node(word)

    def _output(self, _: str, rest: list[str]) -> None:
        (word,) = rest
        self.output = self._node(word)


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise CellError(f"{word} is not a finite number")
    return value


_KINDS: dict[tuple[str, str], Kind] = {("bias", "H"): "bias", ("vector", "H"): "vector"}
_PER: dict[str, Per] = {"step": "step", "sequence": "sequence"}
_COLUMNS: dict[str, Size] = {"H I": "I", "H H": "H"}
_STATEMENTS: dict[str, Callable[[_Reader, str, list[str]], None]] = {
    "cell": _Reader._cell,
    "input": _Reader._leaf,
    "state": _Reader._leaf,
    "matrix": _Reader._parameter,
    "bias": _Reader._parameter,
    "vector": _Reader._parameter,
    "mask": _Reader._mask,
    "named": _Reader._names,
    "next": _Reader._names,
    "output": _Reader._output,
}
