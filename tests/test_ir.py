"""Graphs: hash-consing, verification, rewriting, the text form and the oracle."""

import contextlib
import gc
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from checks import BUILTIN, Problem, check_forward
from elman.backends import compiled, eager
from elman.backends.base import Run
from elman.cells import find
from elman.errors import BackendError, CellError
from elman.ir import graph as ir
from elman.ir import reference, rewrite, text
from elman.ir.graph import ELEMENTWISE, Graph, Mask, Op, Parameter, apply, constant, product
from elman.ir.stacks import places, stacks, unstack
from elman.ir.verify import MAX_NODES, verify

CPU = torch.device("cpu")
X, H = ir.input_node("x"), ir.state_node("h")
LSTM = find("lstm").graph


def step(result, *parameters, **changes):
    """A graph of one state whose next value and output are ``result``."""
    graph = Graph("small", "", (X,), (H,), parameters, (result,), result, (("h", result),))
    return replace(graph, **changes)


def test_equal_nodes_are_one():
    assert apply(Op.ADD, H, constant(1)) is apply(Op.ADD, H, constant(1.0))
    assert constant(0.0) is not constant(-0.0)
    assert ir.input_node("a") is not ir.state_node("a")


def test_unused_nodes_are_let_go():
    gc.collect()
    before = len(ir._interned_nodes)
    kept = apply(Op.TANH, apply(Op.ADD, H, constant(123.456)))
    assert len(ir._interned_nodes) == before + 3
    del kept
    gc.collect()
    assert len(ir._interned_nodes) == before


def test_every_table_has_a_row_for_every_op():
    ops = ELEMENTWISE | {Op.MEAN}
    for table in (reference.FUNCTIONS, eager_functions(), rewrite.FOLDS):
        assert set(table) == ops


def eager_functions():
    from elman.backends.eager import FUNCTIONS

    return FUNCTIONS


def test_a_long_chain_of_operations_is_walked():
    node = H
    for _ in range(MAX_NODES - 10):
        node = apply(Op.TANH, apply(Op.NEG, node)) if node is H else apply(Op.NEG, node)
    graph = verify(step(node))
    assert text.parse(text.write(graph)) == graph
    assert verify(rewrite.simplify(graph)).nodes[1].op is Op.NEG
    with pytest.raises(CellError, match="more than a cell may have"):
        verify(step(deepened(node, 20)))


def deepened(node, times):
    for _ in range(times):
        node = apply(Op.NEG, node)
    return node


def test_shared_operands_are_walked_once():
    node = H
    for _ in range(200):
        node = apply(Op.ADD, node, node)
    graph = step(apply(Op.TANH, node))
    assert len(graph.nodes) == 202
    check_forward(eager, Problem(graph), torch.float64)
    check_forward(compiled, Problem(graph), torch.float64)
    assert "its equations" in BUILTIN.unsupported_reason(graph, device=CPU, dtype=torch.float64)
    assert len(repr(node)) < 50
    assert text.parse(text.write(graph)) == graph


# ---------------------------------------------------------------------------------------------
# Stacks


def test_stacks_have_the_layout_of_torch():
    shown = [(one.name, [parameter.name for parameter in one.parameters]) for one in stacks(LSTM)]
    assert shown == [
        ("weight_ih", ["i.x", "f.x", "g.x", "o.x"]),
        ("weight_hh", ["i.h", "f.h", "g.h", "o.h"]),
        ("bias", ["i.bias", "f.bias", "g.bias", "o.bias"]),
    ]
    assert places(LSTM)["g.h"] == ("weight_hh", 2)
    weights = unstack(LSTM, {one.name: np.arange(8) for one in stacks(LSTM)}, 2)
    assert weights["f.bias"].tolist() == [2, 3]


def test_stacks_of_other_operands():
    c = ir.state_node("c")
    gate = product("a.0", apply(Op.MUL, H, c))
    rest = apply(Op.ADD, product("b.c", c), apply(Op.MUL, ir.parameter_node("v"), H))
    parameters = [Parameter("a.0", "matrix", "H"), Parameter("b.c", "matrix", "H")]
    graph = step(apply(Op.ADD, gate, rest), *parameters, Parameter("v", "vector", "1"))
    graph = verify(replace(graph, states=(H, c), next_states=(graph.output, c)))
    assert [one.name for one in stacks(graph)] == ["weight_a_0", "weight_c", "vector_v"]


# ---------------------------------------------------------------------------------------------
# Verification


def masked(value, *masks):
    return step(apply(Op.MUL, value, ir.mask_node(masks[0].name)), masks=masks)


MATRIX = Parameter("a.h", "matrix", "H")
PRODUCT = product("a.h", H)
WRONG = {
    "the parameter a.h is used but not declared": step(PRODUCT),
    "the parameter a.h is declared but not used": step(H, MATRIX),
    "two parameters are called a.h": step(PRODUCT, MATRIX, MATRIX),
    "the bias a.h is used as something else": step(PRODUCT, Parameter("a.h", "bias", "1")),
    "the matrix a.h takes I values, not H": step(PRODUCT, Parameter("a.h", "matrix", "I")),
    "the matrix a.h cannot have 1 columns": step(PRODUCT, Parameter("a.h", "matrix", "1")),
    "does not begin at a finite": step(PRODUCT, replace(MATRIX, diagonal=math.inf)),
    "the next output is one number a row": step(apply(Op.MEAN, H)),
    "the state c is used but not declared": step(ir.state_node("c")),
    "the input y is used but not declared": step(ir.input_node("y")),
    "'a b' cannot name a cell": step(H, name="a b"),
    "'' cannot name a value": step(H, named=(("", H),)),
    "two values are called g": step(H, named=(("g", H), ("g", H))),
    "two input or states are called h": step(H, inputs=(ir.input_node("h"),)),
    "1 states but 2 next states": step(H, next_states=(H, H)),
    "it has no state": step(H, states=(), next_states=()),
    "it has no input": step(H, inputs=()),
    "the mask k is used but not declared": step(apply(Op.MUL, ir.mask_node("k"), H)),
    "the mask k is declared but not used": step(H, masks=(Mask("k", "step", 0.5),)),
    "the mask h has the name of an input": masked(H, Mask("h", "step", 0.5)),
    "two masks are called k": masked(H, Mask("k", "step", 0.5), Mask("k", "step", 0.5)),
    "is drawn per epoch; it must be step": masked(H, Mask("k", "epoch", 0.5)),
    "has the probability 1.5; take 0 to 1": masked(H, Mask("k", "step", 1.5)),
    "has the probability nan; take": masked(H, Mask("k", "step", math.nan)),
    "has the scale inf; it must be": masked(H, Mask("k", "step", 0.5, math.inf)),
    "the output has one number a unit by a mask alone": masked(
        apply(Op.MEAN, H), Mask("k", "step", 0.5)
    ),
    "the operand of a.h has one number a unit by a mask alone": step(
        product("a.h", apply(Op.MUL, ir.mask_node("k"), X)), MATRIX, masks=(Mask("k", "step", 0.5),)
    ),
    "stands among the inputs": step(H, inputs=(H,), states=()),
    "add takes 2 operands, not 1": step(ir._interned(Op.ADD, (H,), None, "H")),
    "add has size I over operands of another": step(ir._interned(Op.ADD, (H, H), None, "I")),
    "add has a name": step(ir._interned(Op.ADD, (H, H), "name", "H")),
    "product lacks its name": step(ir._interned(Op.PRODUCT, (H,), None, "H")),
}


@pytest.mark.parametrize("problem", WRONG)
def test_verify_names_what_is_wrong(problem):
    with pytest.raises(CellError, match=r"^cell .*: ") as caught:
        verify(WRONG[problem])
    assert any(problem in one for one in _problems(WRONG[problem])), str(caught.value)


def _problems(graph):
    from elman.ir import verify as module

    return list(module._problems(graph))


def test_makers_refuse_what_cannot_be():
    with pytest.raises(CellError, match="add does not take 1 values"):
        apply(Op.ADD, H)
    with pytest.raises(CellError, match="nan"):
        constant(math.nan)
    with pytest.raises(CellError, match="single number a row"):
        product("a", constant(1.0))


# ---------------------------------------------------------------------------------------------
# Rewriting


@pytest.mark.parametrize(
    ("given_node", "expected"),
    [
        (apply(Op.MUL, H, constant(1)), H),
        (apply(Op.MUL, constant(1), H), H),
        (apply(Op.DIV, H, constant(1)), H),
        (apply(Op.ADD, H, constant(0)), H),
        (apply(Op.ADD, constant(0), H), H),
        (apply(Op.SUB, H, constant(0)), H),
        (apply(Op.SUB, constant(0), H), apply(Op.SUB, constant(0), H)),
        (apply(Op.NEG, apply(Op.NEG, H)), H),
        (apply(Op.IDENTITY, apply(Op.IDENTITY, H)), H),
        (apply(Op.MUL, H, apply(Op.EXP, constant(0))), H),
        (apply(Op.MUL, H, apply(Op.LOG, constant(-1))), None),
        (apply(Op.MUL, H, apply(Op.DIV, constant(1), constant(0))), None),
        (apply(Op.MUL, H, apply(Op.EXP, constant(1000))), None),
    ],
)
def test_simplify(given_node, expected):
    simple = rewrite.simplify(step(given_node))
    assert simple.output is (given_node if expected is None else expected)


@pytest.mark.parametrize("op", sorted(ELEMENTWISE, key=lambda op: op.value))
@pytest.mark.parametrize("value", [0.3, 2.5, 40.0])
def test_folds_equal_the_reference(op, value):
    operands = [value, 1.75][: 2 if op in ir.BINARY else 1]
    folded = rewrite.FOLDS[op](*operands)
    expected = reference.FUNCTIONS[op](*map(np.float64, operands))
    assert folded == pytest.approx(float(expected), rel=1e-14)


def test_rules_that_never_settle_are_stopped():
    with pytest.raises(RuntimeError, match="do not settle"):
        rewrite.rewrite(step(H), [lambda node: apply(Op.NEG, node)])


# ---------------------------------------------------------------------------------------------
# Text


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.text())
def test_any_docstring_survives(doc):
    graph = replace(LSTM, doc=doc)
    written = text.write(graph)
    assert text.parse(written) == graph
    assert all(one.isprintable() or one == "\n" for one in written)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_survives(value, initial):
    bias = Parameter("b", "bias", "1", initial=initial)
    total = apply(Op.ADD, H, apply(Op.MUL, constant(value), ir.parameter_node("b")))
    graph = text.parse(text.write(step(total, bias)))
    assert graph == step(total, bias)
    assert graph.output is total


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 60), st.integers(0, 40), st.text(max_size=6))
def test_damaged_text_is_a_cell_error_or_a_cell(line, at, wrong):
    lines = text.write(LSTM).split("\n")
    chosen = lines[line % len(lines)]
    lines[line % len(lines)] = chosen[:at] + wrong + chosen[at + 1 :]
    with contextlib.suppress(CellError):
        verify(text.parse("\n".join(lines)))


BAD_TEXT = {
    "": "no line `cell NAME`",
    "cell a": "no line `output VALUE`",
    "cell a b": r"line 1 \('cell a b'\): cannot be understood",
    "hello": "line 1 .*'hello' begins no line of a cell",
    "state h I": "line 1 .*the size of an? state is H",
    "%1 = explode h": "an operation reads %NAME = OP OPERANDS, with OP one of product, add",
    "%1 = tanh": "tanh does not take 0 values",
    "%1 = tanh y": "y is not defined above",
    "state h H\n%1 = tanh h\n%1 = tanh h": "line 3 .*%1 is defined twice",
    "matrix a H": "line 1 .*cannot be understood",
    "matrix a H H initial=1": "initial says nothing about a matrix",
    "bias a H initial=nan": "nan is not a finite number",
    "mask k H step 0.5": "line 1 .*cannot be understood",
    "mask k H epoch 0.5 1.0": "line 1 .*cannot be understood",
    "mask k I step 0.5 1.0": "the size of a mask is H",
    "mask k H step 0.5 inf": "inf is not a finite number",
    "state k H\nmask k H step 0.5 1.0": "line 2 .*k is defined twice",
    "output 1.0.0": "cannot be understood",
    "next h=": " is not defined above",
    "cell a\nstate h H\noutput h": "must give each state its next one: .*h",
    "cell a\nstate h H\nnext h=h\noutput h": "cell a: it has no input",
    "#" * 1_000_001: "1000001 characters; 1000000 are allowed",
    "state h H\n" + "".join(f"%{n} = add h {n}\n" for n in range(3000)): "2000 operations",
}


@pytest.mark.parametrize("bad", BAD_TEXT, ids=lambda bad: bad[:20])
def test_bad_text_is_told_with_its_line(bad):
    with pytest.raises(CellError, match=BAD_TEXT[bad]):
        text.parse(bad)


GOLDEN = """\
cell elman
| Simple recurrent network (Elman 1990, "Finding structure in time"), as torch.nn.RNN.
|
| h = tanh(W_x x + W_h h + b)
|
| Its concatenated form, h = tanh(W [x; h] + b), is the same cell: W is W_x and W_h side by side.
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
"""


def test_the_text_of_a_cell():
    assert text.write(find("elman").graph) == GOLDEN
    assert text.parse("# a comment\n\n" + GOLDEN.replace("\n", "\r\n")) == find("elman").graph


# ---------------------------------------------------------------------------------------------
# The oracle


def test_the_oracle_by_hand():
    weights = {"h.x": np.array([[2.0]]), "h.h": np.array([[0.5]]), "h.bias": np.array([0.1])}
    rows = [np.array([[1.0], [-1.0]]), np.array([[3.0]])]
    graph = find("elman").graph
    forward = reference.run(graph, weights, rows, 1)
    first = math.tanh(2.1)
    assert forward.outputs[0].ravel() == pytest.approx([first, math.tanh(-1.9 + 0.5 * first)])
    assert forward.states["h"].ravel() == pytest.approx([forward.outputs[0][1, 0], math.tanh(6.1)])
    assert forward.named["h"][0].tolist() == forward.outputs[0].tolist()
    backward = reference.run(graph, weights, rows, 1, reverse=True)
    first = math.tanh(-1.9)
    assert backward.outputs[0].ravel() == pytest.approx([math.tanh(2.1 + 0.5 * first), first])
    assert backward.states["h"][0] == pytest.approx(backward.outputs[0][0])


def test_extreme_values_neither_warn_nor_overflow():
    functions = reference.FUNCTIONS
    assert functions[Op.SIGMOID](np.array([-300.0]))[0] == pytest.approx(math.exp(-300.0))
    assert functions[Op.SIGMOID](np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
    assert functions[Op.SOFTPLUS](np.array([-1e4, 1e4])).tolist() == [0.0, 1e4]


def test_eager_is_the_last_resort_for_every_graph():
    assert eager.unsupported_reason(LSTM, device=CPU, dtype=torch.float16) is None


# ---------------------------------------------------------------------------------------------
# Masks


def masked_elman(per="step", probability=0.75, scale=4 / 3):
    """An Elman cell with a mask on the state before its product."""
    kept = apply(Op.MUL, H, ir.mask_node("keep"))
    total = apply(Op.ADD, product("h.x", X), product("h.h", kept))
    parameters = [Parameter("h.x", "matrix", "I"), Parameter("h.h", "matrix", "H")]
    masks = (Mask("keep", per, probability, scale),)
    return verify(step(apply(Op.TANH, total), *parameters, masks=masks))


def test_masks_in_the_text():
    graph = masked_elman("sequence", 0.1, -1e-30)
    assert "mask keep H sequence 0.1 -1e-30\n" in text.write(graph)
    assert text.parse(text.write(graph)) == graph


@pytest.mark.parametrize("per", ["step", "sequence"])
@pytest.mark.parametrize("reverse", [False, True])
def test_masks_by_hand(per, reverse):
    graph = masked_elman(per)
    weights = {"h.x": np.array([[2.0]]), "h.h": np.array([[0.5]])}
    drawn = [[2.0], [3.0], [5.0]] if per == "step" else [7.0]
    data, first = np.array([[1.0], [-1.0], [0.5]]), np.array([[0.3]])
    found = reference.run(
        graph,
        weights,
        [data],
        1,
        states={"h": first},
        masks={"keep": [np.array(drawn)]},
        reverse=reverse,
    )
    h, expected = 0.3, {}
    for t in reversed(range(3)) if reverse else range(3):
        keep = drawn[t][0] if per == "step" else 7.0
        h = expected[t] = math.tanh(2.0 * data[t, 0] + 0.5 * keep * h)
    assert found.outputs[0].ravel() == pytest.approx([expected[t] for t in range(3)])


def test_the_mean_takes_a_masks_place():
    expected = rewrite.expected(masked_elman())
    assert expected.masks == ()
    assert expected.output.inputs[0].inputs[1] is product("h.h", H)
    halved = rewrite.expected(masked_elman(scale=1.0)).output.inputs[0].inputs[1]
    assert halved is product("h.h", apply(Op.MUL, H, constant(0.75)))
    assert rewrite.expected(LSTM) is LSTM


def test_a_mask_scaled_by_its_probability_is_one():
    for keep in (1 - rate / 1000 for rate in range(1000)):
        assert Mask("keep", "step", keep, 1 / keep).mean == 1.0
    assert Mask("keep", "step", 0.5, 0.5).mean == 0.25


def test_stacks_see_through_masks():
    assert [one.name for one in stacks(masked_elman())] == ["weight_ih", "weight_hh"]


def test_masks_that_are_not_the_graphs_are_refused():
    graph = masked_elman()
    weights = {"weight_ih": torch.zeros(4, 3), "weight_hh": torch.zeros(4, 4)}
    run = (graph, weights, torch.zeros(3, 3), torch.tensor([2, 1]), (torch.zeros(2, 4),))
    with pytest.raises(BackendError, match=r"given the masks \(none\) and has keep; draw them"):
        eager.run(Run(*run))
    with pytest.raises(BackendError, match="given the masks keep, more and has keep"):
        eager.run(Run(*run, masks={"keep": torch.ones(3, 4), "more": torch.ones(3, 4)}))
    with pytest.raises(BackendError, match=r"mask keep has shape \(2, 4\); it must be \(3, 4\)"):
        eager.run(Run(*run, masks={"keep": torch.ones(2, 4)}))
    with pytest.raises(BackendError, match="given the masks keep and has none"):
        eager.run(Run(LSTM, *run[1:], masks={"keep": torch.ones(3, 4)}))


def test_masks_get_no_gradient():
    graph, keep = masked_elman(), torch.ones(3, 4, requires_grad=True)
    weights = {"weight_ih": torch.ones(4, 3, requires_grad=True), "weight_hh": torch.ones(4, 4)}
    states = (torch.ones(2, 4),)
    sizes = torch.tensor([2, 1])
    run = Run(graph, weights, torch.ones(3, 3), sizes, states, masks={"keep": keep})
    output, _ = eager.run(run)
    output.sum().backward()
    assert keep.grad is None
