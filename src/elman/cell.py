"""The language of cells: write one step's equations, get a graph.

Example:
    >>> from elman.cell import cell, tanh
    >>> @cell(state=("h",))
    ... def simple(p, x, h):
    ...     '''The network of Elman 1990.'''
    ...     return tanh(p.h(x, h))
    >>> simple.name
    'simple'

The function runs once, with symbols for values; what it does to them is the cell.
"""

import builtins
import inspect
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from keyword import iskeyword
from numbers import Real
from types import CodeType, FrameType, FunctionType
from typing import Any, NoReturn, TypeGuard

from elman.errors import CellError, ElmanError
from elman.ir.graph import (
    LEAVES,
    Graph,
    Node,
    Op,
    Parameter,
    apply,
    constant,
    input_node,
    parameter_node,
    product,
    state_node,
    topological,
)
from elman.ir.verify import verify

__all__ = [
    "Cell",
    "abs",
    "cell",
    "exp",
    "identity",
    "log",
    "maximum",
    "mean",
    "minimum",
    "relu",
    "sigmoid",
    "softplus",
    "sqrt",
    "tanh",
]


@dataclass(frozen=True)
class Cell:
    """A recurrent cell: its step as a verified graph. Make one with ``@cell``."""

    graph: Graph

    @property
    def name(self) -> str:
        """What the cell is called."""
        return self.graph.name

    @property
    def doc(self) -> str:
        """What the cell computes and who published it."""
        return self.graph.doc

    @property
    def states(self) -> tuple[str, ...]:
        """The names of what the cell carries from step to step."""
        return self.graph.state_names

    def __repr__(self) -> str:
        return f"<cell {self.name}>"


def cell(
    *_misplaced: object, state: tuple[str, ...] | str | None = None
) -> Callable[[Callable[..., Any]], Cell]:
    """Make a cell of a function of ``(p, x, *states)`` that returns the next states.

    ``p.NAME(a, b)`` is a learned affine map of the operands, ``p.NAME`` a learned vector. The
    first returned value is the output; a cell whose output is no state returns it before them.

    Args:
        state: the names of the states, in the order in which they are returned.

    Raises:
        CellError: naming the cell, the file and line, and the fix.
    """
    if _misplaced or state is None:
        raise CellError('@cell needs the names of its states; write @cell(state="h")')
    names = (state,) if isinstance(state, str) else tuple(state)

    def decorate(function: Callable[..., Any]) -> Cell:
        return Cell(_trace(function, names))

    return decorate


# ---------------------------------------------------------------------------------------------
# Values


class Value:
    """A symbol that records what the equations do to it."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def node(self) -> Node:
        """The node this symbol stands for."""
        return self._node

    def __add__(self, other: object) -> "Value":
        return _apply(Op.ADD, self, other)

    def __radd__(self, other: object) -> "Value":
        return _apply(Op.ADD, other, self)

    def __sub__(self, other: object) -> "Value":
        return _apply(Op.SUB, self, other)

    def __rsub__(self, other: object) -> "Value":
        return _apply(Op.SUB, other, self)

    def __mul__(self, other: object) -> "Value":
        return _apply(Op.MUL, self, other)

    def __rmul__(self, other: object) -> "Value":
        return _apply(Op.MUL, other, self)

    def __truediv__(self, other: object) -> "Value":
        return _apply(Op.DIV, self, other)

    def __rtruediv__(self, other: object) -> "Value":
        return _apply(Op.DIV, other, self)

    def __neg__(self) -> "Value":
        return _apply(Op.NEG, self)

    def __pos__(self) -> "Value":
        return self

    def __abs__(self) -> "Value":
        return _apply(Op.ABS, self)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        _fail(f"a value has no .{name}; write it with the functions of elman.cell")

    @classmethod
    def __torch_function__(cls, function: Any, *_: object, **__: object) -> NoReturn:
        name = getattr(function, "__name__", "this")
        _fail(f"a function of torch ({name}) cannot be traced; take {_suggestion(name)}")

    def __array_ufunc__(self, ufunc: Any, _: str, *values: object, **__: object) -> "Value":
        # NumPy's own numbers may stand in the equations; its functions may not.
        name = ufunc.__name__
        if name not in _NUMPY_OPERATORS:
            _fail(f"a function of NumPy ({name}) cannot be traced; take {_suggestion(name)}")
        return _apply(_NUMPY_OPERATORS[name], *values)

    def __array__(self, *_: object, **__: object) -> NoReturn:
        _fail("a function of NumPy cannot be traced; take the one of elman.cell")


_NUMPY_OPERATORS = {"add": Op.ADD, "subtract": Op.SUB, "multiply": Op.MUL, "divide": Op.DIV}
_FIXES = {
    "`if` and other control flow on a value cannot be traced; "
    "write it as arithmetic, for example with maximum or minimum": ["__bool__"],
    "values cannot be compared, since a step has no control flow; "
    "write it as arithmetic, for example with maximum or minimum": (
        ["__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"]
    ),
    "a function of Python's math or a conversion to a number cannot be traced; "
    "take the function of elman.cell": (
        ["__float__", "__int__", "__complex__", "__index__", "__round__", "__floor__", "__ceil__"]
    ),
    "a value is one step's vector and cannot be indexed or iterated over; "
    "use it whole, or give each part a projection of its own": (
        ["__getitem__", "__iter__", "__len__", "__contains__", "__setitem__"]
    ),
    "powers and remainders are not among the operations; write h * h, sqrt(h) or exp(a * log(h))": (
        ["__pow__", "__rpow__", "__mod__", "__rmod__", "__floordiv__", "__rfloordiv__"]
    ),
    "`@` needs a matrix that is learned; write p.NAME(h)": ["__matmul__", "__rmatmul__"],
    "a value cannot be called; a learned projection is p.NAME(x, h)": ["__call__"],
}


def _refuse(fix: str) -> Callable[..., NoReturn]:
    def method(self: Value, *_: object, **__: object) -> NoReturn:
        _fail(fix)

    return method


for _fix, _methods in _FIXES.items():
    for _method in _methods:
        setattr(Value, _method, _refuse(_fix))
Value.__hash__ = object.__hash__  # type: ignore[method-assign]


class Projection(Value):
    """``p.NAME``: called, a learned affine map; as it stands, a learned vector."""

    __slots__ = ("_name", "_tracer")

    def __init__(self, tracer: "_Tracer", name: str) -> None:
        self._tracer = tracer
        self._name = name

    @property
    def node(self) -> Node:
        """The vector parameter of this name."""
        return self._tracer.vector(self._name)

    def __call__(
        self,
        *operands: object,
        bias: bool | float = True,
        diagonal: float = 0.0,
        **unknown: object,
    ) -> Value:
        """``W [a; b; ...] + bias``.

        Args:
            operands: the input, states, or any values of the size of one of them.
            bias: False for none; a number for its first value.
            diagonal: added to the diagonal of the first values of each H by H matrix.
            unknown: any other option, which is an error.
        """
        for option in unknown:
            _fail(f"p.{self._name} has no option {option!r}; there are bias and diagonal")
        if not isinstance(bias, builtins.bool) and not _is_number(bias):
            _fail(f"bias={bias!r} of p.{self._name} must be True, False or a number")
        if not _is_number(diagonal):
            _fail(f"diagonal={diagonal!r} of p.{self._name} must be a number")
        nodes = tuple(_node(operand, f"p.{self._name}") for operand in operands)
        return Value(self._tracer.affine(self._name, nodes, bias, float(diagonal)))


class _Parameters:
    """The ``p`` of a cell's function."""

    _tracer: "_Tracer"

    def __init__(self, tracer: "_Tracer") -> None:
        object.__setattr__(self, "_tracer", tracer)

    def __getattr__(self, name: str) -> Projection:
        if name.startswith("__"):
            raise AttributeError(name)
        return Projection(self._tracer, name)

    def __setattr__(self, name: str, _: object) -> NoReturn:
        _fail(
            f"p.{name} is learned and cannot be assigned; give what you compute a name of its own"
        )


# ---------------------------------------------------------------------------------------------
# Functions


def sigmoid(value: object) -> Value:
    """1 / (1 + exp(-value))."""
    return _apply(Op.SIGMOID, value)


def tanh(value: object) -> Value:
    """Hyperbolic tangent."""
    return _apply(Op.TANH, value)


def relu(value: object) -> Value:
    """The value where it is positive, else 0."""
    return _apply(Op.RELU, value)


def exp(value: object) -> Value:
    """The exponential function."""
    return _apply(Op.EXP, value)


def log(value: object) -> Value:
    """The natural logarithm."""
    return _apply(Op.LOG, value)


def sqrt(value: object) -> Value:
    """The square root."""
    return _apply(Op.SQRT, value)


def abs(value: object) -> Value:
    """The magnitude."""
    return _apply(Op.ABS, value)


def maximum(left: object, right: object) -> Value:
    """The larger of two values, unit by unit."""
    return _apply(Op.MAXIMUM, left, right)


def minimum(left: object, right: object) -> Value:
    """The smaller of two values, unit by unit."""
    return _apply(Op.MINIMUM, left, right)


def softplus(value: object) -> Value:
    """log(1 + exp(value))."""
    return _apply(Op.SOFTPLUS, value)


def identity(value: object) -> Value:
    """The value itself."""
    return _apply(Op.IDENTITY, value)


def mean(value: object) -> Value:
    """The mean over units: one number a row."""
    return _apply(Op.MEAN, value)


def _apply(op: Op, *values: object) -> Value:
    nodes = [_node(value, op.value) for value in values]
    return Value(apply(op, *nodes))


def _node(value: object, user: str) -> Node:
    if isinstance(value, Value):
        return value.node
    if not _is_number(value):
        _fail(f"{user} takes values and numbers, not {_describe(value)}")
    try:
        return constant(float(value))
    except CellError as error:
        _fail(str(error))


def _is_number(value: object) -> TypeGuard[float]:
    """Python's own and NumPy's."""
    return isinstance(value, Real) and not isinstance(value, builtins.bool)


def _describe(value: object) -> str:
    if value is None:
        return "None"
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"a {module}{kind.__qualname__}"


def _suggestion(name: str) -> str:
    return f"elman.cell.{name}" if name in __all__ else "one of the functions of elman.cell"


# ---------------------------------------------------------------------------------------------
# Tracing


@dataclass(frozen=True)
class _Call:
    """How a projection was first called; later calls share its weights and must agree."""

    sizes: tuple[str, ...]
    bias: bool | float
    diagonal: float
    matrices: tuple[str, ...]


@dataclass
class _Tracer:
    name: str
    code: CodeType
    line: int
    parameters: dict[str, Parameter] = field(default_factory=dict)
    calls: dict[str, _Call] = field(default_factory=dict)
    locals: dict[str, object] = field(default_factory=dict)

    def vector(self, name: str) -> Node:
        if name in self.calls:
            _fail(f"p.{name} is called as a projection and also used as a vector; use two names")
        self.parameters.setdefault(name, Parameter(name, "vector", "1"))
        return parameter_node(name)

    def affine(
        self, name: str, operands: tuple[Node, ...], bias: bool | float, diagonal: float
    ) -> Node:
        if name in self.parameters:
            _fail(f"p.{name} is used as a vector and also called as a projection; use two names")
        if not operands and bias is False:
            _fail(f"p.{name} has no operand; write p.{name}(x, h)")
        call = self._call(name, operands, bias, diagonal)
        try:
            terms = [product(*pair) for pair in zip(call.matrices, operands, strict=True)]
        except CellError as error:
            _fail(str(error))
        if bias is not False:
            terms.append(parameter_node(f"{name}.bias"))
        total = terms[0]
        for term in terms[1:]:
            total = apply(Op.ADD, total, term)
        return total

    def _call(
        self, name: str, operands: tuple[Node, ...], bias: bool | float, diagonal: float
    ) -> _Call:
        sizes = tuple(node.size for node in operands)
        former = self.calls.get(name)
        if former is None:
            return self._first_call(name, operands, bias, diagonal)
        if (former.sizes, former.bias, former.diagonal) != (sizes, bias, diagonal):
            _fail(
                f"p.{name} is called twice with different operands or options, "
                "so its weights cannot be shared; use two names"
            )
        return former

    def _first_call(
        self, name: str, operands: tuple[Node, ...], bias: bool | float, diagonal: float
    ) -> _Call:
        labels: list[str] = []
        for index, node in enumerate(operands):
            is_own_name = node.op in (Op.INPUT, Op.STATE) and str(node.attr) not in labels
            labels.append(str(node.attr) if is_own_name else str(index))
        matrices = tuple(f"{name}.{label}" for label in labels)
        for matrix, node in zip(matrices, operands, strict=True):
            extra = diagonal if node.size == "H" else 0.0
            self.parameters[matrix] = Parameter(matrix, "matrix", node.size, diagonal=extra)
        if bias is not False:
            first = 0.0 if bias is True else float(bias)
            self.parameters[f"{name}.bias"] = Parameter(f"{name}.bias", "bias", "1", initial=first)
        call = _Call(tuple(node.size for node in operands), bias, diagonal, matrices)
        self.calls[name] = call
        return call


_current: ContextVar[_Tracer | None] = ContextVar("elman_tracer", default=None)


def _fail(problem: str) -> NoReturn:
    tracer = _current.get()
    if tracer is None:
        raise CellError(f"{problem} (outside of a cell: values exist only in an @cell function)")
    raise CellError(f"{_where(tracer)}: {problem}")


def _where(tracer: _Tracer, line: int | None = None) -> str:
    frame: FrameType | None = sys._getframe(1)
    while line is None and frame is not None:
        line = frame.f_lineno if frame.f_code is tracer.code else None
        frame = frame.f_back
    return f"cell {tracer.name}, {tracer.code.co_filename} line {line or tracer.line}"


def _trace(function: Callable[..., Any], states: tuple[str, ...]) -> Graph:
    if not isinstance(function, FunctionType):
        raise CellError(f"@cell takes a function, not {_describe(function)}")
    tracer = _Tracer(function.__name__, function.__code__, function.__code__.co_firstlineno)
    token = _current.set(tracer)
    try:
        input_name = _input_name(tracer, function, states)
        result = _call(tracer, function, input_name, states)
        output, next_states = _results(tracer, result, states)
        return verify(_graph(tracer, function, input_name, states, output, next_states))
    finally:
        _current.reset(token)


def _input_name(tracer: _Tracer, function: FunctionType, states: tuple[str, ...]) -> str:
    arguments = list(inspect.signature(function).parameters)
    wanted = f"def {tracer.name}(p, x, {', '.join(states)})"
    if not states or len(set(states)) != len(states):
        _fail(f"state={states!r} must name each state once, for example state=('h',)")
    for name in states:
        if not name.isidentifier() or iskeyword(name) or name in arguments[:2]:
            _fail(f"a state cannot be called {name!r}; take another name, for example state=('h',)")
    if len(arguments) != 2 + len(states) or tuple(arguments[2:]) != states:
        _fail(f"the arguments are ({', '.join(arguments)}); with state={states!r} write {wanted}")
    return arguments[1]


def _call(
    tracer: _Tracer, function: FunctionType, input_name: str, states: tuple[str, ...]
) -> object:
    arguments = [Value(input_node(input_name)), *(Value(state_node(name)) for name in states)]
    try:
        with _LocalsAtReturn(tracer):
            return function(_Parameters(tracer), *arguments)
    except ElmanError:
        raise
    except Exception as error:
        line, trace = None, error.__traceback__
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_code is tracer.code else line
            trace = trace.tb_next
        problem = f"{type(error).__name__}: {error}"
        raise CellError(f"{_where(tracer, line)}: {problem}") from error


class _LocalsAtReturn(AbstractContextManager[None]):
    """Note the function's variables as it returns: they name the gates."""

    def __init__(self, tracer: _Tracer) -> None:
        self.tracer = tracer

    def __enter__(self) -> None:
        self.former = sys.getprofile()
        sys.setprofile(self._note)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self.former)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code is self.tracer.code:
            self.tracer.locals = dict(frame.f_locals)
            self.tracer.line = frame.f_lineno


def _results(
    tracer: _Tracer, result: object, states: tuple[str, ...]
) -> tuple[Node, tuple[Node, ...]]:
    values = list(result) if isinstance(result, tuple | list) else [result]
    wanted = f"return {', '.join(states)}"
    where = _where(tracer, tracer.line)
    for value in values:
        if not isinstance(value, Value):
            raise CellError(f"{where}: it returns {_describe(value)}, not a value; {wanted}")
    if len(values) not in (len(states), len(states) + 1):
        count = "1 value" if len(values) == 1 else f"{len(values)} values"
        raise CellError(f"{where}: it returns {count} for {len(states)} states; {wanted}")
    nodes = [value.node for value in values if isinstance(value, Value)]
    if any(node.size == "1" for node in nodes):
        raise CellError(f"{where}: it returns one number a row; a state has one for each unit")
    return nodes[0], tuple(nodes[-len(states) :])


def _graph(
    tracer: _Tracer,
    function: FunctionType,
    input_name: str,
    states: tuple[str, ...],
    output: Node,
    next_states: tuple[Node, ...],
) -> Graph:
    reachable = topological([*next_states, output])
    used = {node.attr for node in reachable if node.op in (Op.PARAMETER, Op.PRODUCT)}
    return Graph(
        name=tracer.name,
        doc=inspect.getdoc(function) or "",
        inputs=(input_node(input_name),),
        states=tuple(state_node(name) for name in states),
        parameters=tuple(
            parameter for name, parameter in tracer.parameters.items() if name in used
        ),
        next_states=next_states,
        output=output,
        named=_named(tracer, dict(zip(states, next_states, strict=True)), set(reachable)),
    )


def _named(
    tracer: _Tracer, next_states: dict[str, Node], reachable: set[Node]
) -> tuple[tuple[str, Node], ...]:
    """The variables that matter, in the order in which the function first set them."""
    names = {
        name: value.node
        for name, value in tracer.locals.items()
        if type(value) is Value
        and value.node.op not in LEAVES
        and value.node in reachable
        and name not in next_states
    }
    return (*names.items(), *next_states.items())
