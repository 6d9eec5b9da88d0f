"""What must hold for the kernels of any cell: nothing is read before it is there, nothing is lost.

`Machine` runs kernels as data over one row, phase by phase, on memory that is NaN until it is
written: what a phase may not read it does not find there.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from checks import EVERY_CELL, Problem, assert_close
from elman import compiler
from elman.autodiff.backward import OUTPUT, next_state
from elman.cell import cell, relu, sigmoid, tanh
from elman.cells import find
from elman.compiler import PIPELINE, compile
from elman.errors import CellError
from elman.ir import reference
from elman.ir.graph import LEAVES, PRODUCTS, Op, gradient_node, mask_node, parameter_node
from elman.ir.stacks import unstack
from elman.schedule import verify
from elman.schedule.kernel import Slot
from elman.schedule.residuals import minimum_cut
from graph_values import SIZE, evaluate
from odd_cells import ODD_CELLS
from random_cells import graphs
from wild_cells import wild_graph

STEPS = 3
INDICES = (2, 0, 1)
"""Which entry of a table each step reads."""
MANY = settings(max_examples=200, deadline=None, derandomize=True, database=None)
WILD = range(100)


# ---------------------------------------------------------------------------------------------
# A machine for kernels


class Machine:
    """Runs a kernel over one row, without knowing what it is for."""

    def __init__(self, kernel, arrays, weights):
        self.kernel, self.arrays, self.weights = kernel, arrays, weights
        self.states = {state.now: state for state in kernel.states}

    def run(self, steps, first):
        """From the first states, by name, to the last."""
        self.carried = {state.now: first[state.name] for state in self.kernel.states}
        for self.step in steps:
            self._step()
        return {state.name: self.carried[state.now] for state in self.kernel.states}

    def _step(self):
        self.scratch, self.means, self.written = {}, {}, {}
        for phase in self.kernel.phases:
            self.here = {
                one.node: sum(self._product(product) for product in one.products)
                for one in phase.accumulators
            }
            found = {node: self._value(node) for node in phase.roots}
            for node, slot in phase.stores:
                self._place(slot)[...] = found[node][0] if self._single(slot) else found[node]
            for node, slot in phase.totals:
                self.arrays[slot.array][slot.column] += found[node]
            self.scratch |= {node: found[node] for node in phase.kept}
            self.means |= {node: found[node].mean() for node in phase.averaged}
            self.written |= {state.now: found[state.next] for state in phase.states}
        assert self.written.keys() == self.states.keys(), "a state is not carried on"
        self.carried = self.written

    def _product(self, node):
        """Products read their whole operand, so it lies in memory, complete."""
        (operand,) = node.inputs
        if operand in self.states:
            assert self.states[operand].double, "a state is read while its next value is written"
            value = self.carried[operand]
        else:
            value = self.scratch[operand]
        matrix = self.weights[node.attr]
        return (matrix.T if node.op is Op.TRANSPOSED else matrix) @ value

    def _value(self, node):
        pending = [node]
        while pending:
            one = pending.pop()
            value = self.here[one] if one in self.here else self._there(one)
            missing = [] if value is not None else [x for x in one.inputs if x not in self.here]
            if missing:
                pending += [one, *missing]
                continue
            if value is None:
                value = reference.FUNCTIONS[one.op](*(self.here[operand] for operand in one.inputs))
            self.here[one] = np.broadcast_to(value, (SIZE,)).copy()
        return self.here[node]

    def _there(self, node):
        """What is read and not computed; None for what the phase computes itself."""
        if node in self.kernel.leaves:
            return self._place(self.kernel.leaves[node])
        if node in self.states:
            late = node in self.written and not self.states[node].double
            return np.nan if late else self.carried[node]
        if node.op is Op.CONSTANT:
            return node.attr
        if node.op is Op.MEAN:
            return self.means[node.inputs[0]]
        if node in self.scratch:
            return self.scratch[node]
        assert node.op not in PRODUCTS, f"{node} is read in a phase that does not compute it"
        assert node.op not in LEAVES, f"{node} is read and comes from nowhere"
        return None

    def _single(self, slot):
        return self.arrays[slot.array].ndim == 2 and slot.array == "scalar"

    def _place(self, slot):
        (array,) = (one for one in self.kernel.arrays if one.name == slot.array)
        steps = {"token": self.step, "scalar": self.step, "indexed": INDICES[self.step]}
        return self.arrays[slot.array][steps.get(array.kind, 0), slot.column, ...]


class Layer:
    """A compiled cell with weights, run by the machine over one row there and back."""

    def __init__(self, graph, program=None, seed=0):
        self.program = program or compile(graph)
        self.problem = Problem(graph, (STEPS,), SIZE, SIZE, seed=seed)
        self.weights = unstack(graph, self.problem.weights, SIZE)
        self.expected = reference.run(
            graph,
            self.weights,
            self.problem.rows,
            SIZE,
            states=self.problem.states,
            masks=self.problem.masks,
        )

    def outside(self):
        """The streams of each step: from the reference's values, step by step."""
        graph, (row,) = self.program.graph, self.problem.rows
        stepwise = {mask.name for mask in graph.masks if mask.per == "step"}
        masks = {
            name: [one[0][step] if name in stepwise else one[0] for step in range(STEPS)]
            for name, one in self.problem.masks.items()
        }
        nowhere = dict.fromkeys(graph.state_names, np.zeros(SIZE))
        return masks, [
            reference.step_values(
                graph,
                self.weights,
                row[step],
                nowhere,
                {name: one[step] for name, one in masks.items()},
            )
            for step in range(STEPS)
        ]

    def memory(self, kernel, width, first):
        """The kernel's arrays: streams, weights and masks in place, all else NaN."""
        program = self.program
        masks, values = self.outside()
        arrays = {
            one.name: np.full(
                {"scalar": (STEPS, one.columns), "total": (one.columns, SIZE)}.get(
                    one.kind, (STEPS, one.columns, SIZE)
                ),
                np.nan,
            )
            for one in kernel.arrays
        }
        arrays["buffer"] = np.full((STEPS, width, SIZE), np.nan)
        for step in range(STEPS):
            for at, node in enumerate(program.products):
                if "table" in arrays:
                    arrays["table"][INDICES[step], at] = values[step][node]
                else:
                    arrays["buffer"][step, first + at] = values[step][node]
            for at, node in enumerate(program.given):
                if f"given{at}" in arrays:
                    arrays[f"given{at}"][step, 0] = values[step][node]
            for name, mask in masks.items():
                if f"mask.{name}" in arrays:
                    arrays[f"mask.{name}"][step, 0] = mask[step]
        for stack, stacked in self.problem.weights.items():
            if f"weights.{stack}" in arrays and stacked.ndim == 1:
                arrays[f"weights.{stack}"] = stacked.reshape(1, -1, SIZE)
        return arrays

    def states(self):
        return {name: state[0] for name, state in self.problem.states.items()}

    def infer(self, kernel):
        arrays = self.memory(kernel, len(self.program.products), 0)
        finals = Machine(kernel, arrays, self.weights).run(range(STEPS), self.states())
        return arrays["output"][:, 0], finals

    def forward(self, kernel):
        arrays = self.memory(kernel, self.program.width, self.program.first_product)
        finals = Machine(kernel, arrays, self.weights).run(range(STEPS), self.states())
        return arrays, finals

    def backward(self, kept, grad_output, grad_finals):
        """The gradients of the first states, and all memory."""
        program = self.program
        arrays = self.memory(program.backward, program.width, program.first_product)
        names = ("buffer", "scalar", "output", *(one for one in kept if one.startswith("prev")))
        arrays |= {name: kept[name].copy() for name in names}
        arrays["grad_output"] = grad_output[:, None]
        arrays["total"] = np.zeros((len(program.totals), SIZE))
        machine = Machine(program.backward, arrays, self.weights)
        return machine.run(reversed(range(STEPS)), grad_finals), arrays

    def gradients(self, grad_output, grad_finals):
        """The same by the adjoint step alone: each value worked out anew in every step."""
        program, graph = self.program, self.program.graph
        masks, outside = self.outside()
        before = [self.states()]
        known = []
        for step in range(STEPS):
            here = {node: outside[step][node] for node in program.recurrence.streams}
            here |= {mask_node(name): one[step] for name, one in masks.items()}
            here |= {parameter_node(name): value for name, value in self.weights.items()}
            here |= dict(zip(graph.states, before[-1].values(), strict=True))
            found = evaluate([graph.output, *graph.next_states], here, self.weights)
            known.append(here | found)
            nexts = zip(graph.state_names, graph.next_states, strict=True)
            before.append({name: np.broadcast_to(found[node], SIZE) for name, node in nexts})
        grads = dict(grad_finals)
        by_step, totals = [{}] * STEPS, np.zeros((len(program.totals), SIZE))
        for step in reversed(range(STEPS)):
            here = known[step] | {next_state(name): grad for name, grad in grads.items()}
            here[gradient_node(OUTPUT)] = grad_output[step]
            found = evaluate(program.adjoint.roots, here, self.weights)
            by_step[step] = {
                node: np.broadcast_to(found[one], SIZE)
                for node, one in program.adjoint.values.items()
            }
            for at, node in enumerate(program.totals):
                totals[at] += found[program.adjoint.parameters[node]]
            grads = {
                name: np.zeros(SIZE) if one is None else np.broadcast_to(found[one], SIZE)
                for name, one in zip(graph.state_names, program.adjoint.states, strict=True)
            }
        return by_step, totals, grads


SCALE = 1e-11


def check_runs(layer):
    """The kernels compute what the reference does, and keep what the way back needs."""
    program = layer.program
    for kernel in (program.inference, program.inference_table):
        check_results(layer, *layer.infer(kernel))
    for kernel in (program.forward, program.forward_table):
        kept, finals = layer.forward(kernel)
        check_results(layer, kept["output"][:, 0], finals)
        check_back(layer, kept)


def check_results(layer, output, finals):
    assert_close("output", output, layer.expected.outputs[0], SCALE)
    for name, expected in layer.expected.states.items():
        assert_close(f"state {name}", finals[name], expected[0], SCALE)


def check_back(layer, kept):
    program, graph = layer.program, layer.program.graph
    random = np.random.default_rng(1)
    grad_output = random.standard_normal((STEPS, SIZE))
    grad_finals = {name: random.standard_normal(SIZE) for name in graph.state_names}
    wanted, totals, firsts = layer.gradients(grad_output, grad_finals)
    found, arrays = layer.backward(kept, grad_output, grad_finals)
    for name in graph.state_names:
        assert_close(f"gradient of {name}", found[name], firsts[name], SCALE)
    for at, node in enumerate(program.columns):
        for step in range(STEPS):
            value = wanted[step].get(node, np.zeros(SIZE))
            assert_close(f"gradient of {node}", arrays["buffer"][step, at], value, SCALE)
    assert_close("totals", arrays["total"], totals, SCALE)
    for outer in program.weight_gradients:
        slot = program.slots[outer.operand]
        before, after = (one[slot.array][:, slot.column] for one in (kept, arrays))
        assert_close("operand after the loop", after, before, 0.0)
        parts = [program.adjoint.values[node] for node in outer.products]
        columns = program.columns[outer.first_column : outer.first_column + len(parts)]
        assert [program.adjoint.values.get(node) for node in columns] == parts


# ---------------------------------------------------------------------------------------------
# What can be seen without running


def check_plan(graph):
    """Each thing once and in its place."""
    program = compile(graph)
    inside = {node for node in program.recurrence.inside if node.op is Op.PRODUCT}
    tables = (program.inference_table, program.forward_table)
    for kernel in (program.inference, program.forward, program.backward, *tables):
        assert len(set(kernel.products)) == len(kernel.products), "a product is computed twice"
        check_kernel(kernel)
    for kernel in (program.inference, program.forward, *tables):
        assert set(kernel.products) == inside
    assert all(node.op is Op.TRANSPOSED for node in program.backward.products)
    assert not inside & set(program.products)
    check_slots(program)
    check_residuals(program)


def check_kernel(kernel):
    names = [array.name for array in kernel.arrays]
    assert len(set(names)) == len(names)
    slots = [*kernel.leaves.values()]
    written = [(slot, at) for at, phase in enumerate(kernel.phases) for _, slot in phase.stores]
    slots += [slot for slot, _ in written]
    slots += [slot for phase in kernel.phases for _, slot in phase.totals]
    columns = {
        array.name: array.columns for array in kernel.arrays if array.kind not in ("parameter",)
    }
    assert all(0 <= slot.column < columns.get(slot.array, 1 + slot.column) for slot in slots)
    assert {slot.array for slot in slots} <= set(names)
    assert len({slot for slot, _ in written}) == len(written), "two values in one place"
    for what in ("kept", "averaged", "states"):
        all_ = [one for phase in kernel.phases for one in getattr(phase, what)]
        assert len(set(all_)) == len(all_), f"{what} twice"
    assert {state for phase in kernel.phases for state in phase.states} == set(kernel.states)


def check_slots(program):
    """A residual takes a stream's place only when that is read no more, a gradient a residual's
    likewise, and the operands of products stay."""
    forward, backward = program.forward, program.backward
    stored = {node: at for at, one in enumerate(forward.phases) for node, _ in one.stores}
    streams = {
        slot: forward.last_read.get(node, -1)
        for node, slot in forward.leaves.items()
        if slot.array == "buffer"
    }
    gradients = {slot: at for at, phase in enumerate(backward.phases) for _, slot in phase.stores}
    operands = {node.inputs[0] for node in program.loop_products}
    assert len(set(program.slots.values())) == len(program.slots)
    for node, slot in program.slots.items():
        assert streams.get(slot, -1) <= stored[node]
        if slot in gradients:
            assert node not in operands
            assert backward.last_read.get(node, -1) <= gradients[slot]
    for outer in program.weight_gradients:
        assert program.slots[outer.operand] not in gradients


def check_residuals(program):
    operands = {node.inputs[0] for node in program.loop_products}
    vectors = [node for node in program.residuals if node not in operands]
    most = len(program.recurrence.streams) + len(program.loop_products)
    assert len(vectors) <= most + len(program.graph.states)
    assert len(set(program.residuals)) == len(program.residuals)
    assert program.width <= len(program.columns) + len(program.residuals)


@pytest.mark.parametrize("cell", [*EVERY_CELL, *ODD_CELLS], ids=str)
def test_cells(cell):
    check_plan(cell.graph)
    check_runs(Layer(cell.graph))


@MANY
@given(graphs())
def test_random_cells(graph):
    check_plan(graph)
    check_runs(Layer(graph))


@pytest.mark.parametrize("first", range(0, len(WILD), 10))
def test_wild_cells(first):
    for seed in WILD[first : first + 10]:
        graph = wild_graph(seed)
        check_plan(graph)
        check_runs(Layer(graph))


# ---------------------------------------------------------------------------------------------
# Numbers worked out by hand


@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [
        # Backward the gates' gradients come first, then what goes through W_hh to the step before.
        ("elman", 1, 2),
        ("lstm", 1, 2),
        ("lstm_peephole", 1, 2),
        ("gru", 1, 2),
        ("slstm", 1, 2),
        # The candidate's product waits for r h; tanh(h) is complete one phase earlier as well.
        ("gru_v1", 2, 3),
        ("mut1", 2, 3),
        ("mut2", 2, 3),
        ("mut3", 2, 3),
        # The gates' products wait for m.
        ("mlstm", 2, 3),
        # No product in the loop.
        ("mingru", 1, 1),
        ("minlstm", 1, 1),
        # The mean waits for the products, the variance for the mean; backward both once more
        # before W_hh.
        ("layer_norm(lstm)", 3, 4),
    ],
)
def test_phases(name, forward, backward):
    program = compile(find(name).graph)
    assert len(program.inference.phases) == len(program.forward.phases) == forward
    assert len(program.backward.phases) == backward


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        # 1 - h h needs nothing but the output.
        ("elman", 0),
        ("elman_relu", 0),
        # i, f, g, o and c: tanh(c') is f c + i g once more.
        ("lstm", 5),
        # The same: the new c of the output gate's peephole is f c + i g too.
        ("lstm_peephole", 5),
        ("lstm_coupled", 4),
        # r, z, n and W_hn h + b_hn.
        ("gru", 4),
        # r, z, n: the product's operand r h is kept for the weights' gradient in any case.
        ("gru_v1", 3),
        ("mut1", 3),
        ("mut2", 3),
        ("mut3", 3),
        # z, n and h, which no product keeps.
        ("mingru", 3),
    ],
)
def test_residuals(name, kept):
    program = compile(find(name).graph)
    operands = {node.inputs[0] for node in program.loop_products}
    assert len(program.residuals) - len(operands) == kept
    assert not program.scalars


@pytest.mark.parametrize(
    ("name", "width"),
    [
        # The gates' gradients take the places of the streams.
        ("elman", 1),
        # i, f, g, o in the places of their streams, and c.
        ("lstm", 5),
        ("lstm_peephole", 5),
        ("layer_norm(lstm)", 5),
    ],
)
def test_buffer(name, width):
    assert compile(find(name).graph).width == width


def test_gru_shares_gradients_between_input_and_state():
    """r and z have one gradient for both products, and both stacks find theirs in a row."""
    program = compile(find("gru").graph)
    assert [str(node.attr) for node in program.columns] == ["hn.h", "r.x", "z.x", "n.x"]
    (outer,) = program.weight_gradients
    assert [str(node.attr) for node in outer.products] == ["hn.h", "r.h", "z.h"]
    assert (outer.first_column, program.first_product) == (0, 1)


@cell(state=("h", "c"))
def squares(p, x, h, c):
    """A product of what is no input, and an input read as it is."""
    z = sigmoid(p.z(x * x, h) + c)
    return z * x + tanh(p.n(h)), z


def test_what_leaves_the_loop():
    program = compile(squares.graph, stop_after="hoist")
    (x,) = program.graph.inputs
    assert program.products == ()
    assert set(program.given) == set(program.recurrence.streams)
    assert [str(node.attr) for node in program.given] == ["x", "z.0"]
    assert x in program.given
    assert {node.op for node in program.recurrence.outside} == {Op.MUL, Op.PRODUCT}


@cell(state="h")
def many(p, x, h):
    """Four products in one sum."""
    return relu(p.a(h) + (p.b(x) + (p.c(h) + p.d(x, h))))


def test_products_of_a_sum_share_an_accumulator():
    program = compile(many.graph)
    (phase,) = program.forward.phases
    (accumulator,) = phase.accumulators
    assert len(accumulator.products) == 3
    assert len(program.products) == 2


# ---------------------------------------------------------------------------------------------
# Passes and cuts


def test_passes_by_name():
    graph = find("lstm").graph
    assert [name for name, _ in PIPELINE] == [
        *("simplify", "hoist", "adjoint", "residuals", "columns", "phases", "layout", "kernels")
    ]
    assert compile(graph, stop_after="simplify").recurrence is None
    assert compile(graph, stop_after="adjoint").residuals == ()
    assert compile(graph, stop_after="layout").forward is None
    with pytest.raises(CellError, match="no pass 'fuse'; there are simplify, hoist"):
        compile(graph, stop_after="fuse")


def test_every_pass_is_looked_through_in_the_tests():
    assert compiler.VERIFIES
    assert list(verify._PROBLEMS) == [name for name, _ in PIPELINE]


def lost_stream(program):
    return replace(program, products=program.products[1:])


def gradient_from_nowhere(program):
    values = dict.fromkeys(program.adjoint.values, gradient_node("nowhere"))
    return replace(program, adjoint=replace(program.adjoint, values=values))


def lost_residual(program):
    return replace(program, residuals=program.residuals[:-1])


def columns_in_another_order(program):
    return replace(program, columns=program.columns[::-1])


def nothing_kept_between_phases(program):
    forward = program.phases["forward"]
    works = tuple(replace(work, kept=()) for work in forward.works)
    return replace(program, phases={**program.phases, "forward": replace(forward, works=works)})


def written_over(program):
    """What the weights' gradients need after the loop, in the place of a gradient."""
    operand = program.weight_gradients[-1].operand
    return replace(program, slots={**program.slots, operand: Slot("buffer", 0)})


def outside_of_memory(program):
    leaves = dict.fromkeys(program.backward.leaves, Slot("buffer", program.width))
    return replace(program, backward=replace(program.backward, leaves=leaves))


@pytest.mark.parametrize(
    ("name", "broken", "problem"),
    [
        ("hoist", lost_stream, "the streams are not the products of the input and the other ones"),
        ("adjoint", gradient_from_nowhere, "<gradient nowhere: H> comes from nowhere"),
        ("residuals", lost_residual, "the adjoint needs .*, which is not kept"),
        ("columns", columns_in_another_order, "are not in a row"),
        ("phases", nothing_kept_between_phases, "forward: <product n.1: H> in phase 1 reads what"),
        ("layout", written_over, "two residuals have one place"),
        ("kernels", outside_of_memory, r"backward: there is no Slot\(array='buffer', column="),
    ],
)
def test_what_a_pass_breaks_is_told_with_its_name(name, broken, problem, monkeypatch):
    passes = [
        (one, (lambda program, step=step: broken(step(program))) if one == name else step)
        for one, step in PIPELINE
    ]
    monkeypatch.setattr(compiler, "PIPELINE", passes)
    with pytest.raises(RuntimeError, match=f"cell gru_v1, after the pass {name}: .*{problem}"):
        compile.__wrapped__(find("gru_v1").graph)


@pytest.mark.parametrize("cell", EVERY_CELL, ids=str)
def test_minimal_cut_suffices_and_no_smaller_one_does(cell):
    program = compile(cell.graph)
    graph = program.graph
    streams = frozenset(program.recurrence.streams)
    free = frozenset({node.inputs[0] for node in program.loop_products} | {graph.output})
    gates = [node for _, node in graph.named]
    kept = minimum_cut(gates, free=free, streams=streams)
    assert covers(gates, {*kept, *free}, streams)
    for node in kept:
        assert not covers(gates, {*kept, *free} - {node}, streams)
    assert len(kept) <= len(set(gates))


def covers(needed, kept, streams):
    """Whether elementwise work gives what is needed from what is kept."""
    pending = [*needed]
    while pending:
        node = pending.pop()
        if node in kept or node.op in (Op.PARAMETER, Op.CONSTANT, Op.MASK):
            continue
        if node in streams or node.op in (*PRODUCTS, Op.MEAN, Op.STATE, Op.INPUT):
            return False
        pending.extend(node.inputs)
    return True


# ---------------------------------------------------------------------------------------------
# The checks can fail


def broken(program, name, change):
    """The program with a kernel whose leaves are others."""
    kernel = getattr(program, name)
    return replace(program, **{name: replace(kernel, leaves=change(dict(kernel.leaves)))})


def test_a_residual_read_from_another_place_is_caught():
    graph = find("lstm").graph
    program = compile(graph)

    def swapped(leaves):
        one, other = [node for node, slot in leaves.items() if slot.array == "buffer"][:2]
        return leaves | {one: leaves[other], other: leaves[one]}

    with pytest.raises(AssertionError, match="off by"):
        check_runs(Layer(graph, broken(program, "backward", swapped)))
    with pytest.raises(AssertionError, match="off by"):
        check_runs(Layer(graph, broken(program, "forward", swapped)))


def test_a_residual_written_over_is_caught():
    graph = find("lstm").graph
    program = compile(graph)
    *_, (node, slot) = program.slots.items()
    other = next(one for one in program.slots.values() if one != slot and one.array == "buffer")
    phases = tuple(
        replace(
            phase,
            stores=tuple((one, other if one is node else at) for one, at in phase.stores),
        )
        for phase in program.forward.phases
    )
    wrong = replace(program, forward=replace(program.forward, phases=phases))
    with pytest.raises(AssertionError, match="off by"):
        check_runs(Layer(graph, wrong))


def test_a_single_state_that_is_read_late_is_caught():
    graph = find("lstm").graph
    program = compile(graph)
    assert any(state.double for state in program.forward.states)
    states = {state: replace(state, double=False) for state in program.forward.states}
    phases = tuple(
        replace(phase, states=tuple(states[one] for one in phase.states))
        for phase in program.forward.phases
    )
    kernel = replace(program.forward, states=tuple(states.values()), phases=phases)
    with pytest.raises(AssertionError, match="while its next value is written"):
        check_runs(Layer(graph, replace(program, forward=kernel)))


def test_a_value_that_is_not_kept_is_caught():
    graph = find("gru_v1").graph
    program = compile(graph)
    phases = tuple(replace(phase, kept=()) for phase in program.forward.phases)
    wrong = replace(program, forward=replace(program.forward, phases=phases))
    with pytest.raises(KeyError):
        check_runs(Layer(graph, wrong))
