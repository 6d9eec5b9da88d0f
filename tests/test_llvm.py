"""Compiled kernels beside eager PyTorch in float64: every size, batch and way through a kernel."""

import ctypes
import itertools
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from beside_eager import LLVM, RAGGED, compared, found, rounded
from checks import (
    EVERY_CELL,
    TOLERANCES,
    Problem,
    assert_close,
    check_forward,
    check_gradients,
    run_backend,
    tensors,
)
from elman import compiler
from elman.autodiff.rules import RULES, mul
from elman.backends import eager, llvm
from elman.backends.base import Run
from elman.backends.llvm.call import signature as signatures
from elman.backends.llvm.call.launch import Arguments, prepare
from elman.backends.llvm.call.passes import Call
from elman.backends.llvm.call.signature import signature_of
from elman.backends.llvm.emit import math
from elman.backends.llvm.emit.assembly import number
from elman.backends.llvm.emit.kernel import write
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.native import threads
from elman.backends.llvm.native.host import Host
from elman.cell import cell, tanh
from elman.cells import find
from elman.errors import BackendError
from elman.ir.graph import Graph, Op, constant
from elman.nn import Recurrent, ragged
from odd_cells import ODD_CELLS
from random_cells import graphs
from wild_cells import wild_graph

DTYPES = list(TOLERANCES)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
CORE = ("lstm", "gru_v1", "layer_norm(gru)", "slstm", "mut1", "recurrent_dropout(lstm_peephole)")


# ---------------------------------------------------------------------------------------------
# Cells


@pytest.mark.parametrize("cell", EVERY_CELL, ids=str)
def test_every_cell_in_float32(cell):
    problem = rounded(cell.graph, hidden_size=20)
    compared(problem, torch.float32)
    compared(problem, torch.float32, reverse=True)


@pytest.mark.parametrize("cell", ODD_CELLS, ids=str)
def test_odd_cells(cell):
    for lengths in (RAGGED, (3, 3)):
        problem = rounded(cell.graph, lengths, hidden_size=10)
        compared(problem, torch.float64)
        compared(problem, torch.float64, reverse=True)


@pytest.mark.parametrize("seed", range(8))
def test_wild_cells(seed):
    compared(rounded(wild_graph(seed), hidden_size=3 + seed % 3), torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ODD_CELLS, ids=str)
def test_odd_cells_in_float32(cell):
    for size in (5, 20):
        compared(rounded(cell.graph, hidden_size=size), torch.float32)
        compared(rounded(cell.graph, (3, 3), size), torch.float32, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(20, 220, 20))
def test_many_wild_cells(first):
    sizes, batches = (1, 2, 5, 9, 17), (RAGGED, (3, 3), (1,), (2,) * 15)
    for seed in range(first, first + 20):
        problem = rounded(wild_graph(seed), batches[seed % 4], sizes[seed % 5], seed=seed)
        for dtype in DTYPES:
            compared(problem, dtype, reverse=seed % 2 == 1)


def check_random(graph):
    problem = rounded(graph, (2, 3), hidden_size=2, input_size=2)
    compared(problem, torch.float64)
    compared(problem, torch.float64, reverse=True)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(graphs())
def test_random_cells(graph):
    check_random(graph)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(graphs())
def test_many_random_cells(graph):
    check_random(graph)
    check_gradients(LLVM, Problem(graph, (2, 1), 2, 2))


# ---------------------------------------------------------------------------------------------
# Sizes and batches


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("lstm", size) for size in (1, 7, 16, 17, 33, 70)),
        # Not 2: of two units layer normalisation leaves hardly more than a sign.
        *((name, size) for name in ("layer_norm(gru)", "mut1") for size in (1, 70)),
    ],
)
def test_hidden_sizes(name, size):
    problem = rounded(find(name).graph, hidden_size=size)
    compared(problem, torch.float32)
    compared(problem, torch.float32, reverse=True)


@pytest.mark.parametrize("size", [8, 9, 35])
@pytest.mark.parametrize("name", ["lstm", "gru_v1"])
def test_hidden_sizes_in_float64(name, size):
    compared(rounded(find(name).graph, hidden_size=size), torch.float64)


BATCHES = {
    "one step": (1, 1, 1),
    "one row": (6,),
    "one token": (1,),
    "one length": (4,) * 6,
    "a row group": (2,) * 48,
    "two row groups": (3, 2) * 25,
    "three row groups": tuple(1 + index % 5 for index in range(120)),
    "one long row": (1, 1, 1, 40),
    "rows of length 0": (0, 2, 0, 3) * 13,
}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", CORE)
def test_batches(name, batch):
    problem = rounded(find(name).graph, BATCHES[batch])
    compared(problem, torch.float64)
    compared(problem, torch.float64, reverse=True)


@pytest.mark.parametrize("rows", range(1, 16))
def test_every_height_of_a_tile(rows):
    for name in ("lstm", "elman", "mlstm"):
        lengths = tuple(1 + (index * 5) % 3 for index in range(rows))
        compared(rounded(find(name).graph, lengths, 20), torch.float32)


@both_ways
@pytest.mark.parametrize("loss", ["output", "finals", "h", "c", "none"])
@pytest.mark.parametrize("name", ["lstm", "lstm_peephole"])
def test_losses_of_some_results(name, loss, reverse):
    compared(rounded(find(name).graph), torch.float64, loss=loss, reverse=reverse)


@pytest.mark.parametrize("name", ["mut1", "lstm_peephole"])
def test_gradients_of_some_leaves(name):
    problem = rounded(find(name).graph)
    for leaf in problem.leaves():
        compared(problem, torch.float64, leaves=[leaf])
    compared(problem, torch.float64, leaves=[])


@pytest.mark.parametrize("name", ["lstm", "gru", "mut1"])
def test_float32_at_a_realistic_size(name):
    problem = rounded(find(name).graph, (50,) * 16, hidden_size=128, input_size=64)
    forward, gradient = compared(problem, torch.float32)
    assert 0 < forward < TOLERANCES[torch.float32].forward
    assert 0 < gradient < TOLERANCES[torch.float32].gradient


def test_views_as_arguments():
    problem = rounded(find("lstm").graph)
    plain = tensors(problem, torch.float64, grad=True)
    strided = {
        name: torch.stack([one.detach(), -one.detach()], -1)[..., 0].requires_grad_()
        for name, one in plain.items()
    }
    assert not strided["weight_hh"].is_contiguous()
    for leaves in (plain, strided):
        rows, states = run_backend(LLVM, problem, leaves, reverse=False)
        (torch.cat(rows).square().sum() + states["c"].expand(2, -1, -1).sum()).backward()
    for name, one in plain.items():
        assert torch.equal(one.grad, strided[name].grad), name


@cell(state="h")
def added(p, x, h):
    """The input itself is what the kernel reads."""
    return tanh(p.h(h) + x)


WRONG = {
    "a double state": (lambda data, h: (data, h.double()), "of one type"),
    "double data": (lambda data, h: (data.double(), h), "of one type"),
    "whole numbers": (lambda data, h: (data, h.long()), "of one type"),
    "too few rows": (lambda data, h: (data, h[:1]), "begin with at most the 1 rows of the"),
    "too few tokens": (lambda data, h: (data[:5], h), "add up to the 5 tokens of the data"),
    "other units": (lambda data, h: (data, h.new_zeros(3, 4)), "for 4 units"),
    "a narrow input": (lambda data, h: (data[:, :4], h), "input has 4"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_would_be_read_past_its_end_is_refused(wrong):
    change, message = WRONG[wrong]
    data, h = change(torch.zeros(6, 5), torch.zeros(3, 5))
    weights = {
        "vector_gain": torch.zeros(5),
        "bias": torch.zeros(5),
        "weight_hh": torch.zeros(5, 5),
    }
    with pytest.raises(BackendError, match=message):
        LLVM.run(Run(added.graph, weights, data, torch.tensor([3, 2, 1]), (h,)))


SIZES = {
    "rising": [3, 1, 2],
    "an empty step": [3, 3, 0],
    "under 0": [3, 4, -1],
    "too many": [3] * 9,
    "far too many": [3, 1 << 40, 3 - (1 << 40)],
    "more rows than states": [4, 2],
    "fewer rows and tokens than there are": [2, 2],
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("wrong", SIZES)
def test_sizes_of_no_ragged_batch_are_refused(wrong, count, monkeypatch):
    monkeypatch.setattr(Call, "threads", lambda call: count)
    sizes = SIZES[wrong]
    weights = {
        "vector_gain": torch.zeros(5),
        "bias": torch.zeros(5),
        "weight_hh": torch.zeros(5, 5),
    }
    run = Run(added.graph, weights, torch.zeros(6, 5), torch.tensor(sizes), (torch.zeros(3, 5),))
    listed = ", ".join(map(str, sizes[:8]))
    message = f"must be above 0 and never rise, begin with at most the 3 rows .* they are {listed}"
    with pytest.raises(BackendError, match=message):
        LLVM.run(run)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("lengths", [(5,) * 6, (9, 4, 4, 2, 1, 1, 1), (1,), (3, 2), (4, 0, 9, 0)])
def test_shares_are_whole_and_nearly_even(lengths, count):
    batch = ragged.pack(torch.zeros(sum(lengths), 2), torch.tensor(lengths))
    program = signature_of(find("elman").graph)
    run = program.executable("inference", 3, torch.float32)
    rows, tokens = len(lengths), sum(lengths)
    some = [torch.zeros(rows, 3)]
    arrays = dict.fromkeys(("weights.weight_hh", "weights.bias", "buffer", "output"), some[0])
    arrays["weights.weight_hh"] = torch.zeros(3, 3)
    prepared = prepare(
        run, Arguments(batch.batch_sizes, rows, tokens, 1, some, some, arrays, count)
    )
    at = {word: place for place, word in enumerate(run.words)}

    def read(name, size):
        return list((ctypes.c_int64 * size).from_address(prepared.words[at[name]]))

    starts = batch.batch_sizes.cumsum(0) - batch.batch_sizes
    assert read("starts", len(starts)) == starts.tolist()
    falling = sorted(lengths, reverse=True)
    assert read("lengths", rows) == falling
    shares = read("shares", count + 1)
    assert shares[0] == 0
    assert shares[-1] == rows
    assert shares == sorted(shares)
    for begin, end in itertools.pairwise(shares):
        assert sum(falling[begin:end]) < tokens / count + max(lengths)


def test_weights_of_another_shape_are_refused():
    weights = {
        "vector_gain": torch.zeros(5),
        "bias": torch.zeros(5),
        "weight_hh": torch.zeros(5, 4),
    }
    data, h = torch.zeros(6, 5), torch.zeros(3, 5)
    with pytest.raises(BackendError, match=r"weight_hh of shape \(5, 4\) for 5 units"):
        LLVM.run(Run(added.graph, weights, data, torch.tensor([3, 2, 1]), (h,)))


# ---------------------------------------------------------------------------------------------
# Threads


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def layer_of(name, size=20):
    torch.manual_seed(0)
    return Recurrent(name, size, size, backend="llvm")


def batch_of(lengths, size=20):
    data = torch.randn(sum(lengths), size, generator=torch.Generator().manual_seed(1))
    return ragged.pack(data, torch.tensor(lengths))


def results(layer, batch):
    """Everything that a run gives: the output, the states and all gradients."""
    data = batch.data.clone().requires_grad_()
    layer.zero_grad()
    output, states = layer(ragged.replace(batch, data))
    (output.data.square().sum() + sum(state.sum() for state in states.values())).backward()
    grads = {name: one.grad.clone() for name, one in layer.named_parameters()}
    found = {"output": output.data.detach(), "data": data.grad}
    return found | {name: state.detach() for name, state in states.items()}, grads


THREADED = ("lstm", "gru_v1", "mlstm", "slstm", "layer_norm(lstm)")


@pytest.mark.parametrize("name", THREADED)
@pytest.mark.parametrize("lengths", [(40,) * 17, tuple(range(1, 40))], ids=["dense", "ragged"])
def test_two_threads_as_one(name, lengths, two_threads):
    layer, batch = layer_of(name), batch_of(lengths)
    rows, tokens = len(lengths), sum(lengths)
    call = Call(signature_of(layer.cell.graph), 20, batch.batch_sizes, rows, tokens, reverse=False)
    assert call.threads() == 2
    found, grads = results(layer.eval(), batch)
    again, grads_again = results(layer, batch)
    torch.set_num_threads(1)
    assert call.threads() == 1
    alone, grads_alone = results(layer, batch)
    for key, value in found.items():
        assert torch.equal(value, again[key]), key
        assert torch.equal(value, alone[key]), key
    for key, value in grads.items():
        assert torch.equal(value, grads_again[key]), key
        assert_close(key, value, grads_alone[key], 1e-6)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 49, 100])
@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("pool", [False, True], ids=["torch's threads", "Python's threads"])
def test_more_threads_than_rows(rows, count, pool, monkeypatch):
    if pool:
        monkeypatch.setattr(threads, "team", lambda: None)
    problem = rounded(find("layer_norm(gru)").graph, tuple(1 + row % 4 for row in range(rows)))
    monkeypatch.setattr(Call, "threads", lambda call: count)
    compared(problem, torch.float64)
    compared(problem, torch.float64, reverse=True)


def test_few_rows_stay_in_one_thread(two_threads):
    known = signature_of(find("lstm").graph)
    for rows, size, expected in ((3, 512, 1), (8, 4, 1), (8, 512, 2), (1000, 512, 2)):
        sizes = torch.full((10,), rows)
        call = Call(known, size, sizes, rows, 10 * rows, reverse=False)
        assert call.threads() == expected, (rows, size)


# ---------------------------------------------------------------------------------------------
# Rows and steps are apart


@cell(state=("h", "c"))
def plain(p, x, h, c):
    """The input as it is, so that no product before the loop rounds by the size of the batch."""
    c = tanh(p.c(h) + x) + 0.5 * c
    return tanh(c + p.h(c)), c


@both_ways
def test_each_row_alone_and_permuted_bit_for_bit(reverse):
    problem = rounded(plain.graph, RAGGED * 15, hidden_size=20)
    rows, states = run_backend(LLVM, problem, tensors(problem, torch.float32), reverse=reverse)
    order = np.random.default_rng(0).permutation(60)
    mixed = part_of(problem, order)
    found, finals = run_backend(LLVM, mixed, tensors(mixed, torch.float32), reverse=reverse)
    assert all(torch.equal(found[at], rows[index]) for at, index in enumerate(order))
    assert all(torch.equal(finals[name], states[name][order]) for name in states)
    for index in range(8):
        alone = part_of(problem, [index])
        (row,), finals = run_backend(LLVM, alone, tensors(alone, torch.float32), reverse=reverse)
        assert torch.equal(row, rows[index])
        assert all(torch.equal(finals[name][0], states[name][index]) for name in states)


def part_of(problem, indices):
    part = Problem(problem.graph, tuple(problem.lengths[index] for index in indices))
    part.hidden_size, part.weights = problem.hidden_size, problem.weights
    part.rows = [problem.rows[index] for index in indices]
    part.states = {name: state[list(indices)] for name, state in problem.states.items()}
    return part


@pytest.mark.parametrize("name", CORE[:4])
def test_in_two_parts_as_in_one_bit_for_bit(name):
    layer = layer_of(name).eval()
    rows = torch.randn(6, 7, 20, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, last = layer(packed(rows))
        first, states = layer(packed(rows[:, :3]))
        second, finals = layer(packed(rows[:, 3:]), states)
    parts = torch.cat([first.data.view(3, 6, 20), second.data.view(4, 6, 20)])
    # The product before the loop may round by the number of tokens.
    assert_close("output", parts, whole.data.view(7, 6, 20), 5e-7)
    for key, state in last.items():
        assert_close(key, finals[key], state, 5e-7)


def packed(rows):
    return ragged.pack(rows.flatten(0, 1), torch.full((len(rows),), rows.shape[1]))


@both_ways
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm(lstm)", "mut1", "slstm"])
def test_what_is_no_number_stays_in_its_row(name, value, reverse):
    problem = rounded(find(name).graph, (4, 6, 5), 20)
    clean = found(LLVM, problem, torch.float32, reverse, "all", None)
    problem.rows[1][2, 0] = value
    dirty = found(LLVM, problem, torch.float32, reverse, "all", None)
    expected = found(eager, problem, torch.float32, reverse, "all", None)
    before = slice(3, None) if reverse else slice(0, 2)
    for part in ("forward", "gradient"):
        for other in ("row 0", "row 2"):
            assert torch.equal(dirty[part][other], clean[part][other]), other
    row = dirty["forward"]["row 1"]
    assert torch.equal(row[before], clean["forward"]["row 1"][before])
    torch.testing.assert_close(row, expected["forward"]["row 1"], equal_nan=True)
    if value != value:
        after = slice(0, 3) if reverse else slice(2, None)
        assert row[after].isnan().all()
        for state in problem.graph.state_names:
            assert dirty["forward"][f"state {state}"].isnan().any(1).tolist() == [
                *(False, True, False)
            ]


@pytest.mark.parametrize("name", ["lstm", "gru", "slstm", "layer_norm(lstm)"])
def test_saturated_gates(name):
    problem = rounded(find(name).graph)
    for weight in problem.weights.values():
        weight *= 300.0
    compared(problem, torch.float64)
    assert all(
        torch.isfinite(one).all()
        for part in found(LLVM, problem, torch.float32, False, "all", None).values()
        for one in part.values()
    )


# ---------------------------------------------------------------------------------------------
# Subnormal numbers


@pytest.mark.parametrize("count", [1, 2])
def test_subnormal_numbers_are_flushed_inside_alone(count, monkeypatch):
    monkeypatch.setattr(Call, "threads", lambda call: count)
    problem = rounded(find("elman").graph, (3, 2, 4, 4))
    for leaf in problem.leaves().values():
        leaf *= 1e-42
    ours = found(LLVM, problem, torch.float32, False, "all", None)
    assert all((one.abs() < 1e-37).all() for one in ours["forward"].values())
    assert all(torch.isfinite(one).all() for one in ours["gradient"].values())
    assert np.float32(1e-40) * np.float32(0.5) != 0
    assert (torch.full((100_000,), 1e-40) * 0.5 != 0).all()


# ---------------------------------------------------------------------------------------------
# Autograd


@pytest.mark.parametrize("lengths", [RAGGED, (3, 3)], ids=["ragged", "dense"])
@pytest.mark.parametrize("name", CORE)
def test_backward_twice(name, lengths):
    problem = rounded(find(name).graph, lengths)
    leaves = tensors(problem, torch.float64, grad=True)
    rows, states = run_backend(LLVM, problem, leaves, reverse=False)
    total = torch.cat(rows).square().sum() + sum(state.sum() for state in states.values())
    given = list(leaves.values())
    first, second, third = (
        torch.autograd.grad(total, given, retain_graph=True, materialize_grads=True)
        for _ in range(3)
    )
    for one, two, three in zip(first, second, third, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)
    torch.autograd.grad(total, given, materialize_grads=True)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(total, given, materialize_grads=True)


@pytest.mark.parametrize("lengths", [(4, 3), (3, 3)], ids=["ragged", "dense"])
def test_results_changed_in_place_are_noticed(lengths):
    layer, batch = layer_of("lstm"), batch_of(lengths)
    output, _ = layer(batch)
    total = output.data.sum()
    with torch.no_grad():
        output.data.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()
    output, _ = layer(batch)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.data.sum().backward()


def test_results_may_be_changed_after_the_backward_pass():
    problem = rounded(find("lstm").graph, (3, 3))
    leaves = tensors(problem, torch.float64, grad=True)
    rows, states = run_backend(LLVM, problem, leaves, reverse=False)
    (rows[0].sum() + states["c"].sum()).backward()
    kept = {name: one.grad.clone() for name, one in leaves.items()}
    run_backend(LLVM, problem, leaves, reverse=False)
    assert all(torch.equal(one.grad, kept[name]) for name, one in leaves.items())


@pytest.mark.parametrize("name", ["lstm", "layer_norm(gru)"])
def test_autocast_leaves_the_loop_in_float32(name):
    layer, batch = layer_of(name), batch_of((5, 4))
    expected, _ = layer(batch)
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = layer(batch)
    assert output.data.dtype is torch.float32
    assert_close("output", output.data.detach(), expected.data.detach(), 0.05)
    output.data.sum().backward()


def test_two_runs_and_then_both_gradients():
    """What one call keeps is not what the next one writes over."""
    problem, other = (rounded(find("gru").graph, seed=seed) for seed in (0, 1))
    pairs = []
    for one in (problem, other):
        leaves = tensors(one, torch.float64, grad=True)
        rows, _ = run_backend(LLVM, one, leaves, reverse=False)
        pairs.append((leaves, torch.cat(rows).square().sum()))
    late = [torch.autograd.grad(total, list(leaves.values())) for leaves, total in pairs[::-1]]
    for one, grads in zip((other, problem), late, strict=True):
        leaves = tensors(one, torch.float64, grad=True)
        rows, _ = run_backend(LLVM, one, leaves, reverse=False)
        again = torch.autograd.grad(torch.cat(rows).square().sum(), list(leaves.values()))
        assert all(torch.equal(a, b) for a, b in zip(grads, again, strict=True))


# ---------------------------------------------------------------------------------------------
# The checks can fail


@pytest.fixture
def anew(monkeypatch, tmp_path):
    """Nothing compiled before is taken, and nothing compiled here is kept."""
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    clear()
    yield
    clear()


def clear():
    compiler.compile.cache_clear()
    signature_of.cache_clear()


def caught():
    """Which checks of an LSTM fail."""
    problem = Problem(find("lstm").graph, (2, 1), 2, 2)
    failed = []
    for name, check in (
        ("forward", lambda: check_forward(LLVM, problem, torch.float32)),
        ("gradient", lambda: check_gradients(LLVM, problem)),
    ):
        with suppress(AssertionError):
            check()
            continue
        failed.append(name)
    return failed


def test_no_error_is_caught_where_there_is_none(anew):
    assert caught() == []


@pytest.mark.parametrize("op", [Op.SIGMOID, Op.MUL], ids=lambda op: op.value)
def test_a_planted_error_in_a_rule_is_caught(op, anew, monkeypatch):
    right = RULES[op]
    monkeypatch.setitem(
        RULES, op, lambda *nodes: tuple(mul(part, constant(1.001)) for part in right(*nodes))
    )
    assert caught() == ["gradient"]


@pytest.mark.parametrize("op", [Op.TANH, Op.ADD], ids=lambda op: op.value)
def test_a_planted_error_in_an_emitted_op_is_caught(op, anew, monkeypatch):
    right = math.EMITTERS[op]

    def wrong(f, *values):
        result = right(f, *values)
        return f.fmul(result, number(result.type, 1.001))

    monkeypatch.setitem(math.EMITTERS, op, wrong)
    assert "forward" in caught()


def changed_kernel(monkeypatch, kind, change):
    """Have `function` see programs one of whose kernels is another."""
    right = compiler.compile

    def wrong(graph: Graph):
        program = right(graph)
        return replace(program, **{kind: change(getattr(program, kind))})

    monkeypatch.setattr(signatures, "compile", wrong)


def without(slots: Iterable, array: str):
    return [node for node, slot in slots if slot.array == array]


def test_a_planted_error_in_a_residuals_place_is_caught(anew, monkeypatch):
    def change(kernel):
        one, other = without(kernel.leaves.items(), "buffer")[:2]
        swapped = {one: kernel.leaves[other], other: kernel.leaves[one]}
        return replace(kernel, leaves={**kernel.leaves, **swapped})

    changed_kernel(monkeypatch, "backward", change)
    assert caught() == ["gradient"]


def test_a_planted_error_in_a_stream_is_caught(anew, monkeypatch):
    def change(kernel):
        one, other = without(kernel.leaves.items(), "buffer")[:2]
        return replace(kernel, leaves={**kernel.leaves, one: kernel.leaves[other]})

    changed_kernel(monkeypatch, "inference", change)
    assert caught() == ["forward"]


def test_a_single_state_where_two_are_needed_is_caught(anew, monkeypatch):
    def change(kernel):
        states = {state: replace(state, double=False) for state in kernel.states}
        phases = tuple(
            replace(phase, states=tuple(states[one] for one in phase.states))
            for phase in kernel.phases
        )
        return replace(kernel, states=tuple(states.values()), phases=phases)

    changed_kernel(monkeypatch, "inference", change)
    # More rows than a tile, and more units than a block.
    with pytest.raises(AssertionError, match="off by"):
        check_forward(LLVM, Problem(find("lstm").graph, (3,) * 20, 3, 70), torch.float32)


# ---------------------------------------------------------------------------------------------
# The page about the backend


def test_the_numbers_on_the_backends_page_are_the_lstms():
    page = Path(llvm.__file__).with_name("README.md").read_text(encoding="utf-8")
    program = compiler.compile(find("lstm").graph)
    layouts = {
        (kind, amx): Layout(
            Host("", "", 64, 32, "native" if amx else None).spec(
                getattr(program, kind), program.place, 128, "float", amx=amx
            )
        )
        for kind in ("forward", "backward")
        for amx in (False, True)
    }
    forward, amx = layouts["forward", False], layouts["forward", True]
    (chunk,), (backward,) = forward.chunks[0], layouts["backward", False].chunks[1]
    text = write(forward)
    for said in (
        f"the buffer has {program.width} columns",
        f"{len(forward.kernel.phases)} phase; {len(chunk.accumulators)} sums of products",
        f"has {len(layouts['backward', False].kernel.phases)}\n  phases",
        f"{forward.shape.blocks} blocks of 16 units",
        f"{chunk.rows} rows x {chunk.blocks} block x {len(chunk.accumulators)} sums",
        f"{backward.rows} rows x {backward.blocks} blocks x {len(backward.accumulators)} sum.",
        f"{len(forward.words)} words a call, {forward.packed_bytes:,} bytes of packed weights, "
        f"{forward.scratch_bytes:,} bytes of scratch memory a thread;\n  {forward.group} rows",
        f"{text.count('define ')} functions. `tile_0_1x1`",
        f"{amx.packed_bytes:,} bytes of packed\n  weights",
        f"{amx.group} rows at a time and {write(amx).count('define ')} functions",
        f"At most {signatures.MOST_EXECUTABLES} executables",
    ):
        assert said in page, said
    for name in re.findall(r"`(\w+_?\w+)`", page[page.index("- The module") :].split("- On")[0]):
        assert f"@{name}(" in text, name
    for path in re.findall(r"`((?:emit|native|call)(?:/\w+)+)", page):
        assert (Path(llvm.__file__).parent / f"{path}.py").is_file(), path
