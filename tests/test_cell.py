"""Writing a cell: what is traced, and what each mistake is told."""

import copy
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from elman.cell import abs as magnitude
from elman.cell import (
    cell,
    exp,
    identity,
    log,
    maximum,
    mean,
    minimum,
    relu,
    sigmoid,
    softplus,
    sqrt,
    tanh,
)
from elman.errors import CellError
from elman.ir.graph import ADJOINT, ELEMENTWISE, Op
from elman.ir.text import write


def test_a_traced_cell():
    @cell(state=("h", "c"))
    def lstm_like(p, x, h, c):
        """What it computes.

        And how.
        """
        f = sigmoid(p.f(x, h, bias=1.0) + p.peep * c)
        c = f * c + (1 - f) * tanh(p.g(x, h, bias=False, diagonal=0.9))
        h = f * tanh(c)
        return h, c

    graph = lstm_like.graph
    assert lstm_like.name == "lstm_like"
    assert lstm_like.doc == "What it computes.\n\nAnd how."
    assert lstm_like.states == ("h", "c")
    assert [name for name, _ in graph.named] == ["f", "h", "c"]
    assert dict(graph.named)["c"] is graph.next_states[1]
    assert graph.output is graph.next_states[0]
    kinds = [(one.name, one.kind, one.columns) for one in graph.parameters]
    assert kinds == [
        ("f.x", "matrix", "I"),
        ("f.h", "matrix", "H"),
        ("f.bias", "bias", "1"),
        ("peep", "vector", "1"),
        ("g.x", "matrix", "I"),
        ("g.h", "matrix", "H"),
    ]
    values = {one.name: (one.initial, one.diagonal) for one in graph.parameters}
    assert values["f.bias"] == (1.0, 0.0)
    assert values["g.h"] == (0.0, 0.9)
    assert values["g.x"] == (0.0, 0.0)  # A matrix of H by I has no diagonal to speak of.
    assert not graph.needs_equal_sizes


def test_every_function_of_the_language():
    @cell(state="h")
    def everything(p, x, h):
        a = sigmoid(tanh(relu(exp(log(sqrt(magnitude(p.a(x, h))))))))
        b = maximum(a, minimum(h, softplus(identity(p.v))))
        c = (a + b - 1) * 2 / -b + mean(h)
        d = 1 + (2 - (3 * (4 / abs(+c))))
        return sum([d, d])

    used = {node.op for node in everything.graph.nodes}
    assert (ELEMENTWISE - ADJOINT) | {Op.MEAN} <= used


def test_an_output_that_is_no_state_comes_first():
    @cell(state="h")
    def with_output(p, x, h):
        h = tanh(p.h(x, h))
        return x + h, h

    assert with_output.graph.output is not with_output.graph.next_states[0]
    assert with_output.graph.needs_equal_sizes


def test_operands_that_have_no_name_are_numbered():
    @cell(state="h")
    def reset_before(p, x, h):
        r = sigmoid(p.r(x, h))
        return tanh(p.n(x, r * h)) + p.two(h, h, bias=False)

    names = [one.name for one in reset_before.graph.parameters]
    assert names == ["r.x", "r.h", "r.bias", "n.x", "n.1", "n.bias", "two.h", "two.1"]


def test_calls_by_one_name_share_their_weights():
    @cell(state=("h", "c"))
    def shared(p, x, h, c):
        return tanh(p.a(h) + p.b(x)), tanh(p.a(c))

    assert [one.name for one in shared.graph.parameters] == ["a.h", "a.bias", "b.x", "b.bias"]


def test_what_no_result_needs_leaves_the_graph():
    @cell(state="h")
    def idle(p, x, h):
        unused = sigmoid(p.unused(x, h))  # noqa: F841
        return tanh(p.h(x, h))

    assert "unused" not in write(idle.graph)


def test_equal_equations_are_equal_and_copies_too():
    def make():
        @cell(state="h")
        def one(p, x, h):
            return tanh(p.h(x, h))

        return one

    assert make() == make()
    assert make().graph.output is make().graph.output
    assert pickle.loads(pickle.dumps(make())) == make()
    assert write(make().graph).encode() in pickle.dumps(make())  # as text, with no code in it
    assert copy.deepcopy(make()) == make()
    assert hash(make()) == hash(make())


def test_a_profiler_is_put_back():
    def profiler(*_):
        return None

    former = sys.getprofile()
    sys.setprofile(profiler)
    try:
        cell(state="h")(_plain)
        assert sys.getprofile() is profiler
        with pytest.raises(CellError):
            cell(state="h")(_wrong)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(former)


def test_numbers_of_numpy_are_numbers():
    @cell(state="h")
    def scaled(p, x, h):
        return np.float64(2.0) * tanh(p.h(x, h)) * np.float64(0.5) + np.float64(1.0)

    assert [one.attr for one in scaled.graph.nodes if one.op is Op.CONSTANT] == [2.0, 0.5, 1.0]


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int64, np.uint8])
def test_numbers_of_every_type_of_numpy_are_numbers(kind):
    @cell(state="h")
    def scaled(p, x, h):
        return kind(2) * tanh(p.h(x, h, bias=kind(1), diagonal=kind(3))) + kind(4)

    assert [one.attr for one in scaled.graph.nodes if one.op is Op.CONSTANT] == [2.0, 4.0]
    assert {one.initial for one in scaled.graph.parameters} >= {1.0}


def _plain(p, x, h):
    return tanh(p.h(x, h))


def _wrong(p, x, h):
    return None


def wordy_bias(p, x, h):
    return tanh(p.h(x, h, bias="no"))


def no_diagonal(p, x, h):
    return tanh(p.h(x, h, diagonal=None))


def assigned(p, x, h):
    p.h = 3
    return tanh(p.h(x, h))


def test_the_language_of_cells_loads_no_torch():
    code = "import sys, elman.cells, elman.ir.text; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------------------------------------
# Mistakes: each body is one step of the cell `bad`, and what its author is told.


def branch(p, x, h):
    return tanh(p.h(x, h)) if h else h


def compare(p, x, h):
    return h * (h > 0)


def python_max(p, x, h):
    return max(h, p.h(x))


def forget(p, x, h, c):
    c = tanh(p.c(x, h))
    return c  # noqa: RET504


def too_many(p, x, h):
    return h, h, h


def no_return(p, x, h):
    tanh(p.h(x, h))


def number(p, x, h):
    return 0.0


def math_function(p, x, h):
    return math.tanh(p.h(x, h))


def numpy_function(p, x, h):
    return np.tanh(p.h(x, h))


def numpy_array(p, x, h):
    return np.asarray(p.h(x, h))


def times_array(p, x, h):
    return np.ones(3) * h


def torch_function(p, x, h):
    return torch.tanh(p.h(x, h))


def method(p, x, h):
    return h.tanh()


def index(p, x, h):
    return h[0]


def unpacking(p, x, h):
    a, b = h
    return a + b


def power(p, x, h):
    return h**2


def matrix_product(p, x, h):
    return h @ h


def text(p, x, h):
    return h + "1"


def truth(p, x, h):
    return h * True


def option(p, x, h):
    return p.h(x, h, biass=False)


def other_shape(p, x, h):
    return p.a(x) + p.a(h)


def other_options(p, x, h):
    return p.a(h) + p.a(h, bias=False)


def vector_called(p, x, h):
    return p.a * h + p.a(h)


def called_vector(p, x, h):
    return p.a(h) + p.a * h


def no_operand(p, x, h):
    return p.a(bias=False) * h


def mean_operand(p, x, h):
    return p.a(mean(h))


def number_operand(p, x, h):
    return p.a(3, h)


def narrow_state(p, x, h):
    return mean(h)


def not_a_number(p, x, h):
    return h * float("nan")


def unknown_name(p, x, h):
    return sigmod(h)  # noqa: F821


def called_value(p, x, h):
    return h(x)


def in_a_helper(p, x, h):
    return _helper(h)


def _helper(value):
    return value if value > 0 else -value


MISTAKES = [
    (branch, 1, "`if` and other control flow on a value"),
    (compare, 1, "values cannot be compared"),
    (python_max, 1, "values cannot be compared.*maximum"),
    (forget, 2, r"it returns 1 value for 2 states; return h, c"),
    (too_many, 1, r"it returns 3 values for 1 states; return h"),
    (no_return, 1, r"it returns None, not a value; return h"),
    (number, 1, r"it returns a float, not a value; return h"),
    (math_function, 1, "a function of Python's math.*elman.cell"),
    (numpy_function, 1, r"a function of NumPy \(tanh\) .* take elman.cell.tanh"),
    (numpy_array, 1, "a function of NumPy cannot be traced; take the one of elman.cell"),
    (times_array, 1, r"mul takes values and numbers, not a numpy.ndarray"),
    (torch_function, 1, r"torch \(tanh\) cannot be traced; take elman.cell.tanh"),
    (method, 1, r"a value has no \.tanh"),
    (index, 1, "cannot be indexed"),
    (unpacking, 1, "cannot be indexed or iterated"),
    (power, 1, r"powers .* write h \* h"),
    (matrix_product, 1, r"write p.NAME\(h\)"),
    (text, 1, "add takes values and numbers, not a str"),
    (truth, 1, "mul takes values and numbers, not a bool"),
    (option, 1, "p.h has no option 'biass'; there are bias and diagonal"),
    (other_shape, 1, "p.a is called twice with different operands"),
    (other_options, 1, "p.a is called twice with different operands or options"),
    (vector_called, 1, "p.a is used as a vector and also called"),
    (called_vector, 1, "p.a is called as a projection and also used as a vector"),
    (no_operand, 1, r"p.a has no operand; write p.a\(x, h\)"),
    (mean_operand, 1, "the matrix a.0 is given a single number a row"),
    (number_operand, 1, "the matrix a.0 is given a single number a row"),
    (narrow_state, 1, "it returns one number a row"),
    (not_a_number, 1, r"a constant is not a number"),
    (unknown_name, 1, "NameError: name 'sigmod' is not defined"),
    (called_value, 1, r"a value cannot be called; a learned projection is p.NAME"),
    (in_a_helper, 1, "values cannot be compared"),
    (wordy_bias, 1, "bias='no' of p.h must be True, False or a number"),
    (no_diagonal, 1, "diagonal=None of p.h must be a number"),
    (assigned, 1, "p.h is learned and cannot be assigned; give what you compute a name of its own"),
]


@pytest.mark.parametrize(("function", "line", "told"), MISTAKES, ids=lambda one: str(one)[:20])
def test_mistakes_are_told_with_cell_line_and_mend(function, line, told):
    states = function.__code__.co_varnames[2 : function.__code__.co_argcount]
    at = function.__code__.co_firstlineno + line
    where = rf"^cell {function.__name__}, .*test_cell\.py line {at}: .*"
    with pytest.raises(CellError, match=where + told):
        cell(state=states)(function)


def test_mistakes_in_the_signature():
    with pytest.raises(CellError, match=r"arguments are \(p, x, h\).*write def _plain\(p, x, c\)"):
        cell(state="c")(_plain)
    with pytest.raises(CellError, match="must name each state once"):
        cell(state=())(_plain)
    for name in ("", "x", "p", "if", "a b"):
        with pytest.raises(CellError, match=f"a state cannot be called '{name}'; take another"):
            cell(state=name)(_plain)
    with pytest.raises(CellError, match="takes a function, not a int"):
        cell(state="h")(3)


def test_values_outside_of_a_cell():
    kept = []

    @cell(state="h")
    def keeper(p, x, h):
        kept.append(h)
        return tanh(p.h(x, h))

    with pytest.raises(CellError, match="outside of a cell"):
        bool(kept[0])


def test_a_cell_without_states_is_refused_with_the_mend():
    with pytest.raises(CellError, match=r'write @cell\(state="h"\)'):

        @cell
        def plain(p, x, h):
            return tanh(p.h(x, h))
