"""The adjoint step against central differences, evaluated node by node in NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from checks import EVERY_CELL, TOLERANCES, Problem, assert_close, central_difference
from elman import compiler
from elman.autodiff.backward import OUTPUT, adjoint, next_state
from elman.autodiff.rules import RULES, mul
from elman.backends.eager import FUNCTIONS
from elman.cells import find
from elman.ir.graph import (
    BINARY,
    LEAVES,
    PRODUCTS,
    Op,
    apply,
    constant,
    gradient_node,
    mask_node,
    parameter_node,
    state_node,
    topological,
)
from elman.ir.stacks import unstack
from graph_values import SIZE, evaluate
from odd_cells import ODD_CELLS
from random_cells import graphs
from wild_cells import wild_graph

TOLERANCE = TOLERANCES[torch.float64].gradient
G, A, B = gradient_node(OUTPUT), state_node("a"), state_node("b")


def loss_of(graph, known, weights, gradients):
    """What has these gradients by the output and the next states."""
    values = evaluate([graph.output, *graph.next_states], known, weights)
    total = (values[graph.output] * gradients[gradient_node(OUTPUT)]).sum()
    for name, node in zip(graph.state_names, graph.next_states, strict=True):
        total += (values[node] * gradients[next_state(name)]).sum()
    return total


def step_of(graph, seed):
    """One row and step of a problem: the leaves' values by node, weights and gradients by name."""
    problem = Problem(graph, lengths=(1,), input_size=SIZE, hidden_size=SIZE, seed=seed)
    weights = unstack(graph, problem.weights, SIZE)
    leaves = {graph.inputs[0]: problem.rows[0][0]}
    leaves |= {state_node(name): array[0] for name, array in problem.states.items()}
    leaves |= {mask_node(name): rows[0].reshape(SIZE) for name, rows in problem.masks.items()}
    leaves |= {parameter_node(name): value for name, value in weights.items()}
    random = np.random.default_rng(seed)
    names = [gradient_node(OUTPUT), *map(next_state, graph.state_names)]
    return leaves, weights, {name: random.standard_normal(SIZE) for name in names}


def check_adjoint(original, graph, streams, found, seed=0):
    """Every gradient of one step is the central difference by that value.

    ``graph`` is what the passes have made of the ``original``, which has the weights' layout.
    """
    leaves, weights, gradients = step_of(original, seed)
    values = evaluate([*streams, *graph.nodes], leaves, weights)
    known = leaves | {node: np.array(values[node]) for node in streams}
    here = evaluate(found.roots, known | gradients, weights)
    states = dict(zip(graph.states, found.states, strict=True))
    for node, gradient in {**states, **found.values, **found.parameters}.items():
        at = known | {node: np.array(values[node])}
        expected = central_difference(
            lambda at=at: loss_of(graph, at, weights, gradients), at[node]
        )
        actual = np.zeros(SIZE) if gradient is None else here[gradient]
        if node.size == "1":
            # A vector whose sum is the gradient.
            actual = np.sum(np.broadcast_to(actual, (SIZE,)), keepdims=True)
        actual = np.broadcast_to(actual, expected.shape)
        assert_close(f"gradient of {node}", actual, expected, TOLERANCE)


def check_cell(graph, seed=0):
    """The compiler's adjoint, and the plain one of a step that nothing has been taken from."""
    state = compiler.compile(graph, stop_after="adjoint")
    check_adjoint(graph, state.graph, state.recurrence.streams, state.adjoint, seed)
    check_adjoint(graph, graph, graph.inputs, adjoint(graph, graph.inputs), seed)


@pytest.mark.parametrize("cell", [*EVERY_CELL, *ODD_CELLS], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_cells(cell, seed):
    check_cell(cell.graph, seed)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(graphs())
def test_random_cells(graph):
    check_cell(graph)


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_wild_cells(first):
    for seed in range(first, first + 25):
        check_cell(wild_graph(seed))


@pytest.mark.parametrize("cell", EVERY_CELL, ids=str)
def test_every_value_that_matters_has_a_gradient(cell):
    state = compiler.compile(cell.graph, stop_after="adjoint")
    inside = topological([state.graph.output, *state.graph.next_states])
    wanted = {
        node
        for node in inside
        if (node.op is Op.PRODUCT and node in state.recurrence.inside)
        or node in state.recurrence.streams
    }
    assert state.adjoint.values.keys() == wanted
    used = {node for node in state.recurrence.inside for node in node.inputs}
    vectors = {node for node in used if node.op is Op.PARAMETER}
    assert state.adjoint.parameters.keys() == vectors


# ---------------------------------------------------------------------------------------------
# The rules


def test_rules_are_total():
    assert set(RULES) == set(Op) - LEAVES - PRODUCTS


NUMBERS = {
    A: np.array([0.7, -1.3, 0.2]),
    B: np.array([-0.4, 0.9, 1.6]),
    G: np.array([1.5, -0.3, 0.8]),
    apply(Op.MEAN, A): np.array([0.6]),
    apply(Op.MEAN, B): np.array([1.1]),
}
POSITIVE_NUMBERS = {node: np.abs(value) for node, value in NUMBERS.items()}


def operands_of(op):
    """Vectors, and numbers that spread over all units, in each place."""
    numbers = (apply(Op.MEAN, A), apply(Op.MEAN, B))
    if op in BINARY:
        return [(A, B), (A, A), (numbers[0], B), (A, numbers[1]), numbers]
    return [(A,), (numbers[0],)]


@pytest.mark.parametrize("op", RULES, ids=lambda op: op.value)
def test_each_rule(op):
    known = POSITIVE_NUMBERS if op in (Op.LOG, Op.SQRT) else NUMBERS
    for operands in operands_of(op):
        result = apply(op, *operands)
        parts = RULES[op](G, result, *operands)
        assert len(parts) == len(operands)
        for node in dict.fromkeys(operands):
            at = {one: np.array(value) for one, value in known.items() if one is not result}
            expected = central_difference(
                lambda at=at, result=result: (at[G] * evaluate([result], at, {})[result]).sum(),
                at[node],
            )
            same = [
                np.broadcast_to(evaluate([part], at, {})[part], (SIZE,))
                for one, part in zip(operands, parts, strict=True)
                if one is node and part is not None
            ]
            actual = sum(same, np.zeros(SIZE))
            actual = actual.sum(keepdims=True) if node.size == "1" else actual
            assert_close(f"{op.value} of {operands}", actual, expected, 1e-8)


KINKS = (Op.MAXIMUM, Op.MINIMUM, Op.RELU, Op.ABS)


@pytest.mark.parametrize("op", KINKS, ids=lambda op: op.value)
@pytest.mark.parametrize("at", [0.0, -0.0, math.inf, -math.inf, 1.0], ids=str)
def test_kinks_as_in_torch(op, at):
    operands = [A, B][: 2 if op in BINARY else 1]
    leaves = [torch.full((SIZE,), at, dtype=torch.float64).requires_grad_() for _ in operands]
    expected = torch.autograd.grad(FUNCTIONS[op](*leaves).sum(), leaves)
    known = dict.fromkeys((A, B), np.full(SIZE, at)) | {G: np.ones(SIZE)}
    parts = RULES[op](G, apply(op, *operands), *operands)
    with np.errstate(invalid="ignore"):
        values = evaluate(parts, known, {})
    for part, wanted in zip(parts, expected, strict=True):
        assert_close(op.value, np.broadcast_to(values[part], (SIZE,)), wanted, 0.0)


# ---------------------------------------------------------------------------------------------
# The checks can fail


@pytest.mark.parametrize("op", [Op.SIGMOID, Op.TANH, Op.MUL, Op.ADD], ids=lambda op: op.value)
def test_a_planted_error_is_caught(op, monkeypatch):
    right = RULES[op]
    graph = find("lstm").graph
    check_cell(graph)

    def wrong(*nodes):
        return tuple(mul(part, constant(1.001)) for part in right(*nodes))

    monkeypatch.setitem(RULES, op, wrong)
    monkeypatch.setattr(compiler, "compile", compiler.compile.__wrapped__)
    with pytest.raises(AssertionError, match=r"gradient of .* off by"):
        check_cell(graph)
    with pytest.raises(AssertionError, match=rf"{op.value} of .* off by"):
        test_each_rule(op)
