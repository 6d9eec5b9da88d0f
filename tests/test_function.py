"""The compiled recurrence within PyTorch: autograd, torch.func, torch.compile and torch.export."""

import logging
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import elman.nn
from checks import TOLERANCES, Problem, packed_masks, tensors
from elman import backends
from elman.backends.base import Run
from elman.backends.llvm.call import autograd as function
from elman.backends.llvm.call import torch_ops as library
from elman.backends.llvm.call.signature import Tensors, before_the_loop, signature_of
from elman.backends.llvm.native import host
from elman.cells import find
from elman.errors import BackendError, ConfigError
from elman.ir.rewrite import expected
from elman.nn import Recurrent, ragged

CELLS = ("lstm", "gru", "mut1", "slstm", "zoneout(layer_norm(lstm), h=0.2)")
"""States that are no output, products in two phases, a stream that torch computes, masks."""
T, B, I, H = 4, 3, 3, 5  # noqa: E741

# Warnings within torch: Dynamo looks at the .grad of each tensor of a PackedSequence,
# forward-mode differentiation makes scripts when first used, export copies what it deprecates.
GRAD = "ignore:The .grad attribute of a Tensor:UserWarning"
SCRIPT = "ignore:.*torch.jit.script.* is deprecated:DeprecationWarning"
LEAF = "ignore:.*LeafSpec.* is deprecated:FutureWarning"


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def packed(*, dtype=torch.float32, lengths=(2, 4, 3), grad=False):
    data = torch.randn(sum(lengths), I, dtype=dtype, requires_grad=grad)
    return data, ragged.pack(data, torch.tensor(lengths))


def problem_call(name, *, reverse, lengths=(2, 4, 3)):
    """A backend's call as a function of all its differentiable inputs, and those."""
    problem = Problem(find(name).graph, lengths=lengths, input_size=3, hidden_size=3)
    leaves = tensors(problem, torch.float64, grad=True)
    names = list(leaves)

    def call(backend, *values):
        found = dict(zip(names, values, strict=True))
        rows = torch.cat([found[f"row {at}"] for at in range(len(lengths))])
        batch = ragged.pack(rows, torch.tensor(lengths))
        states = [found[f"state {name}"] for name in problem.graph.state_names]
        run = Run(
            problem.graph,
            {name: found[name] for name in problem.weights},
            batch.data,
            batch.batch_sizes,
            tuple(state[batch.sorted_indices] for state in states),
            reverse,
            packed_masks(problem, batch),
        )
        output, finals = backend.run(run)
        return output, *finals

    return call, tuple(leaves.values())


# ---------------------------------------------------------------------------------------------
# Autograd


@pytest.mark.parametrize(
    ("name", "reverse"), [*((name, False) for name in CELLS), ("lstm", True), ("mut1", True)]
)
def test_second_derivatives(name, reverse):
    call, leaves = problem_call(name, reverse=reverse)
    eager = backends.eager.runs
    assert torch.autograd.gradgradcheck(
        lambda *values: call(backends.compiled, *values), leaves, fast_mode=True
    )
    assert backends.eager.runs > eager


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gru_v1"])
def test_second_derivatives_in_full(name):
    call, leaves = problem_call(name, reverse=False, lengths=(2, 1))
    assert torch.autograd.gradgradcheck(lambda *values: call(backends.compiled, *values), leaves)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_to_be_derived_again_are_the_kernels(name):
    call, leaves = problem_call(name, reverse=False)
    found = []
    for create_graph in (False, True):
        loss = sum(one.square().sum() for one in call(backends.compiled, *leaves))
        found.append(torch.autograd.grad(loss, leaves, create_graph=create_graph))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-11)


def test_second_derivatives_where_one_input_depends_on_another():
    # The gradient of the weights must not hold a second time what comes through the data.
    layer = Recurrent("lstm", H, H, backend="llvm").double()
    lengths = torch.tensor([2, 3])

    def penalty(backend):
        layer.backend = backend
        data = torch.ones(5, H, dtype=torch.float64) @ layer.weight_hh_l0[:H]
        output, _ = layer(ragged.pack(data, lengths))
        (grad,) = torch.autograd.grad(
            output.data.square().sum(), layer.weight_hh_l0, create_graph=True
        )
        return torch.autograd.grad(grad.square().sum(), layer.weight_hh_l0)

    torch.testing.assert_close(penalty("llvm"), penalty("eager"), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lengths", [(2, 4, 3), (3, 3, 3)], ids=["ragged", "dense"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", CELLS)
def test_backward_again_over_the_same_graph(name, reverse, lengths):
    call, leaves = problem_call(name, reverse=reverse, lengths=lengths)
    loss = sum(one.square().sum() for one in call(backends.compiled, *leaves))
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    second = torch.autograd.grad(loss, leaves, retain_graph=True)
    third = torch.autograd.grad(loss, leaves)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(first, third, strict=True))


def test_backward_after_the_graph_is_freed_is_refused_by_torch():
    layer = Recurrent("lstm", I, H)
    output, _ = layer(packed()[1])
    output.data.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        output.data.sum().backward()


@pytest.mark.parametrize("changed", ["weight_hh_l0", "weight_ih_l0", "output"])
def test_what_backward_needs_may_not_be_written_over(changed):
    layer = Recurrent("lstm", I, H)
    output, _ = layer(packed()[1])
    with torch.no_grad():
        (output.data if changed == "output" else getattr(layer, changed)).mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.data.sum().backward()


def test_checkpointing_keeps_nothing_and_gives_the_same_gradients():
    layer = Recurrent("gru", I, H, 2, bidirectional=True)
    _, batch = packed()
    before = backends.compiled.runs

    def run(values):
        return layer(ragged.replace(batch, values))[0].data

    wanted = torch.autograd.grad(run(batch.data).square().sum(), list(layer.parameters()))
    values = batch.data.requires_grad_()
    loss = checkpoint(run, values, use_reentrant=False).square().sum()
    found = torch.autograd.grad(loss, list(layer.parameters()))
    torch.testing.assert_close(found, wanted)
    assert backends.compiled.runs == before + 12


def test_what_is_kept_goes_through_hooks_for_saved_tensors():
    layer = Recurrent("lstm", I, H)
    batch = packed()[1]
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(batch)
    width = signature_of(layer.cell.graph).program.width
    assert len(batch.data) * width * H in sizes


def test_without_gradients_nothing_is_kept(monkeypatch):
    layer = Recurrent("lstm", I, H)
    batch = packed()[1]
    kept = []
    forward = function.forward

    def spy(*arguments, keep, **options):
        kept.append(keep)
        return forward(*arguments, keep=keep, **options)

    monkeypatch.setattr(function, "forward", spy)
    layer(batch)
    with torch.no_grad():
        layer(batch)
    with torch.inference_mode():
        layer(batch)
    layer.requires_grad_(requires_grad=False)(batch)
    assert kept == [True, False, False, False]


# ---------------------------------------------------------------------------------------------
# torch.func


def functional(layer, batch):
    """The layer as a function of its weights and data."""

    def run(weights, data):
        output, finals = torch.func.functional_call(layer, weights, (ragged.replace(batch, data),))
        return output.data, *finals.values()

    return run, {name: one.detach() for name, one in layer.named_parameters()}


@pytest.mark.parametrize("backend", ["auto", "llvm"])
@pytest.mark.parametrize("name", CELLS[:3])
def test_torch_func_goes_by_the_eager_backend(name, backend):
    layer = Recurrent(name, I, H, 2, bidirectional=True, backend=backend).double().eval()
    _, batch = packed(dtype=torch.float64)
    run, weights = functional(layer, batch)
    compiled, eager = backends.compiled.runs, backends.eager.runs

    def loss(weights, data):
        return sum(one.square().sum() for one in run(weights, data))

    found = torch.func.grad(loss)(weights, batch.data)
    assert (backends.compiled.runs, backends.eager.runs) == (compiled, eager + 4)
    wanted = torch.autograd.grad(
        loss(dict(layer.named_parameters()), batch.data), list(layer.parameters())
    )
    assert backends.compiled.runs == compiled + 4
    torch.testing.assert_close(tuple(found.values()), wanted)


@pytest.mark.filterwarnings(SCRIPT)
@pytest.mark.parametrize("name", CELLS[:3])
def test_jacobians_forward_and_backward(name):
    layer = Recurrent(name, I, H).double()
    _, batch = packed(dtype=torch.float64)
    run, weights = functional(layer, batch)
    reverse = torch.func.jacrev(lambda data: run(weights, data)[0])(batch.data)
    ahead = torch.func.jacfwd(lambda data: run(weights, data)[0])(batch.data)
    wanted = torch.autograd.functional.jacobian(lambda data: run(weights, data)[0], batch.data)
    torch.testing.assert_close(reverse, wanted)
    torch.testing.assert_close(ahead, wanted)


@pytest.mark.parametrize("name", CELLS[:3])
def test_many_gradients_at_once(name):
    layer = Recurrent(name, I, H).double()
    _, batch = packed(dtype=torch.float64)
    data = batch.data.requires_grad_()
    output = layer(ragged.replace(batch, data))[0].data.sum(0)
    leaves = [data, *layer.parameters()]
    each = [torch.autograd.grad(one, leaves, retain_graph=True) for one in output]
    found = torch.autograd.grad(
        output, leaves, torch.eye(H, dtype=torch.float64), retain_graph=True, is_grads_batched=True
    )
    torch.testing.assert_close(found, tuple(map(torch.stack, zip(*each, strict=True))))

    def row(gradient):
        return torch.autograd.grad(output, leaves, gradient, retain_graph=True)

    found = torch.func.vmap(row)(torch.eye(H, dtype=torch.float64))
    torch.testing.assert_close(found, tuple(map(torch.stack, zip(*each, strict=True))))


@pytest.mark.filterwarnings(SCRIPT)
def test_forward_mode_differentiation():
    layer = Recurrent("lstm", I, H, backend="llvm").double()
    ours = elman.nn.LSTM(I, H).double()
    _, batch = packed(dtype=torch.float64)
    direction = torch.randn_like(batch.data)
    for one in (layer, ours):

        def run(data, one=one):
            return one(ragged.replace(batch, data))[0].data

        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(batch.data, direction)
            tangent = torch.autograd.forward_ad.unpack_dual(run(dual)).tangent
        step = 1e-6 * direction
        wanted = (run(batch.data + step) - run(batch.data - step)) / 2e-6
        torch.testing.assert_close(tangent, wanted, rtol=1e-7, atol=1e-8)


def test_vmap_over_first_states():
    layer = Recurrent("gru", I, H).double()
    _, batch = packed(dtype=torch.float64)
    states = torch.randn(4, 1, 3, H, dtype=torch.float64)

    def run(state):
        return layer(batch, {"h": state})[0].data

    found = torch.func.vmap(run)(states)
    torch.testing.assert_close(found, torch.stack([run(state) for state in states]))


# ---------------------------------------------------------------------------------------------
# The operators


def operator_call(name, *, reverse=False, grad=True, lengths=(2, 4, 3)):
    """Arguments of ``elman::recurrence``."""
    graph = find(name).graph
    problem = Problem(graph, lengths=lengths, input_size=3, hidden_size=3)
    leaves = tensors(problem, torch.float64, grad=grad)
    rows = torch.cat([leaves[f"row {at}"] for at in range(len(lengths))])
    batch = ragged.pack(rows.detach(), torch.tensor(lengths))
    data = batch.data.requires_grad_(grad)
    weights = {name: leaves[name] for name in problem.weights}
    states = tuple(leaves[f"state {name}"] for name in graph.state_names)
    masks = packed_masks(problem, batch)
    run = Run(graph, weights, data, batch.batch_sizes, states, reverse, masks)
    parts = before_the_loop(signature_of(graph), run)
    groups = [list(group) for group in (parts.weights, parts.masks, parts.states, parts.given)]
    return (data, batch.batch_sizes, *groups, library._write(graph), reverse, grad)


@pytest.mark.parametrize(
    ("name", "reverse", "lengths"),
    [("lstm", False, (3, 3, 3)), ("zoneout(layer_norm(lstm), h=0.2)", True, (2, 4, 3))],
)
def test_opcheck(name, reverse, lengths):
    arguments = operator_call(name, reverse=reverse, lengths=lengths)
    torch.library.opcheck(torch.ops.elman.recurrence.default, arguments)


@pytest.mark.parametrize("name", ["gru", "mut1"])
def test_opcheck_without_gradients(name):
    arguments = operator_call(name, grad=False)
    torch.library.opcheck(torch.ops.elman.recurrence.default, arguments)
    data, batch_sizes, weights, masks, states, given, cell, reverse, _ = arguments
    torch.library.opcheck(
        torch.ops.elman.recurrence_backward.default,
        (
            torch.randn(len(data), 3, dtype=torch.float64),
            [torch.randn_like(state) for state in states],
            *_kept(arguments),
            *(data, batch_sizes, weights, masks, states, given, cell, reverse),
        ),
    )


def _kept(arguments):
    output, *rest = torch.ops.elman.recurrence(*arguments[:-1], True)
    return output, rest[len(arguments[4]) :]


@pytest.mark.parametrize("lengths", [(2, 4, 3), (3, 3, 3)], ids=["ragged", "dense"])
@pytest.mark.parametrize("name", CELLS)
def test_gradients_of_the_operator_are_those_of_autograd(name, lengths):
    arguments = operator_call(name, lengths=lengths)
    data, batch_sizes, weights, masks, states, given, cell, reverse, _ = arguments
    parts = Tensors(data, tuple(weights), tuple(masks), tuple(states), tuple(given))
    leaves = [data, *weights, *states]
    call = library._call(cell, data, batch_sizes, states, reverse)
    output, finals = function.recurrence(call, parts)
    wanted = output, *finals
    for keep in (True, False):
        found = torch.ops.elman.recurrence(*arguments[:-1], keep)[: len(wanted)]
        torch.testing.assert_close(tuple(found), wanted, rtol=0, atol=0)
        gradients = [
            torch.autograd.grad(
                sum(one.square().sum() for one in results), leaves, retain_graph=True
            )
            for results in (found, wanted)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-13, atol=1e-13)


def test_the_operator_counts_its_runs():
    arguments = operator_call("lstm")
    before = backends.compiled.runs
    torch.ops.elman.recurrence(*arguments)
    assert backends.compiled.runs == before + 1


def test_a_mode_that_looks_on_sees_the_operator():
    from torch.utils._python_dispatch import TorchDispatchMode

    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    layer = Recurrent("lstm", I, H)
    batch = packed()[1]
    wanted = layer(batch)[0].data
    before = backends.compiled.runs
    with Watch():
        found = layer(batch)[0].data
    torch.testing.assert_close(found, wanted)
    assert "elman.recurrence.default" in seen
    assert backends.compiled.runs == before + 1


# ---------------------------------------------------------------------------------------------
# torch.compile


def flat(result):
    output, final = result
    finals = list(final.values()) if isinstance(final, dict) else final
    finals = list(finals) if isinstance(finals, (tuple, list)) else [finals]
    return [output.data if isinstance(output, PackedSequence) else output, *finals]


def compiled_check(layer, prepare, leaf, *, compiler="aot_eager"):
    """One graph without a break, forward and backward as without compiling."""
    compiled = torch.compile(layer, fullgraph=True, backend=compiler)
    found = []
    for run in (layer, compiled):
        torch.manual_seed(1)  # for dropout too
        before = backends.compiled.runs
        results = flat(run(prepare(leaf)))
        ran = backends.compiled.runs - before
        loss = sum(value.square().sum() for value in results)
        found.append((results, torch.autograd.grad(loss, [leaf, *layer.parameters()]), ran))
    torch.testing.assert_close(found[1], found[0])
    assert found[0][2] > 0


@pytest.mark.filterwarnings(GRAD)
@pytest.mark.usefixtures("_fresh_dynamo")
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_drop_ins_compile_without_a_break(name):
    compiled_check(
        getattr(elman.nn, name)(I, H), lambda x: x, torch.randn(T, B, I, requires_grad=True)
    )


@pytest.mark.filterwarnings(GRAD)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_a_stacked_drop_in_over_a_ragged_batch_compiles_without_a_break():
    compiled_check(
        elman.nn.LSTM(I, H, num_layers=2, bidirectional=True, dropout=0.5),
        lambda x: pack_padded_sequence(x, [2, 4, 3], enforce_sorted=False),
        torch.randn(T, B, I, requires_grad=True),
    )


@pytest.mark.filterwarnings(GRAD)
@pytest.mark.usefixtures("_fresh_dynamo")
@pytest.mark.parametrize("name", ["mut1", "zoneout(layer_norm(gru), h=0.5)"])
def test_recurrent_compiles_without_a_break(name):
    lengths = torch.tensor([2, 4, 3])
    compiled_check(
        Recurrent(name, I, H, 2, bidirectional=True, dropout=0.2, weight_dropout=0.2),
        lambda x: ragged.pack(x, lengths),
        torch.randn(9, I, requires_grad=True),
    )


@pytest.mark.filterwarnings(GRAD)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_other_lengths_do_not_compile_anew():
    layer = Recurrent("lstm", I, H)
    graphs = []

    def count(module, example_inputs):
        graphs.append(module)
        return module.forward

    compiled = torch.compile(layer, fullgraph=True, backend=count, dynamic=True)
    # All sizes differ at first, since Dynamo takes equal ones for the same.
    for lengths in ((2, 7, 3, 4), (5, 2, 2), (6, 6)):
        batch = packed(lengths=lengths)[1]
        torch.testing.assert_close(flat(compiled(batch)), flat(layer(batch)))
    assert len(graphs) == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings(GRAD)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("_fresh_dynamo")
@pytest.mark.parametrize("name", ["lstm", "mut1"])
def test_inductor(name):
    lengths = torch.tensor([2, 4, 3])
    compiled_check(
        Recurrent(name, I, H, 2, bidirectional=True),
        lambda x: ragged.pack(x, lengths),
        torch.randn(9, I, requires_grad=True),
        compiler="inductor",
    )


@pytest.mark.filterwarnings(GRAD)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_compiling_the_eager_backend_may_break_and_is_right():
    layer = Recurrent("lstm", I, H, backend="eager")
    batch = packed()[1]
    compiled = torch.compile(layer, backend="aot_eager")
    torch.testing.assert_close(flat(compiled(batch)), flat(layer(batch)))


# ---------------------------------------------------------------------------------------------
# torch.export


class Plain(nn.Module):
    """A layer over the tensors of a ragged batch."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, data, batch_sizes, sorted_indices, unsorted_indices):
        batch = PackedSequence(data, batch_sizes, sorted_indices, unsorted_indices)
        return flat(self.layer(batch))


AUTO = torch.export.Dim.AUTO


@pytest.mark.filterwarnings(GRAD)
@pytest.mark.usefixtures("_fresh_dynamo")
@pytest.mark.parametrize(
    "strict", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["loose", "strict"]
)
@pytest.mark.parametrize(
    "layer",
    [
        lambda: Recurrent("mut1", I, H, 2, bidirectional=True),
        lambda: elman.nn.LSTM(I, H, 2, bidirectional=True),
    ],
    ids=["Recurrent", "LSTM"],
)
def test_export_over_a_ragged_batch_of_any_size(layer, strict, tmp_path):
    module = Plain(layer()).eval()
    program = torch.export.export(
        module, tuple(packed()[1]), dynamic_shapes=({0: AUTO},) * 4, strict=strict
    )
    torch.export.save(program, tmp_path / "layer.pt2")
    program = torch.export.load(tmp_path / "layer.pt2")
    for lengths in ((2, 4, 3), (7, 6, 5, 4)):
        batch = packed(lengths=lengths)[1]
        before = backends.compiled.runs
        found = program.module()(*batch)
        assert backends.compiled.runs == before + 4
        torch.testing.assert_close(found, module(*batch))


@pytest.mark.filterwarnings(LEAF)
@pytest.mark.parametrize("batch_first", [False, True])
def test_export_over_a_dense_batch_of_any_size(batch_first):
    layer = elman.nn.GRU(I, H, 2, batch_first=batch_first)
    program = torch.export.export(
        layer, (torch.randn(T, B, I),), dynamic_shapes=({0: AUTO, 1: AUTO},)
    )
    lower = program.run_decompositions()
    names = {str(node.target) for node in lower.graph.nodes}
    assert "elman.recurrence.default" in names
    for shape in ((T, B, I), (T + 3, B + 4, I)):
        x = torch.randn(shape)
        torch.testing.assert_close(program.module()(x), layer(x))
        torch.testing.assert_close(lower.module()(x), layer(x))


@pytest.mark.filterwarnings(LEAF)
def test_a_program_exported_for_inference_can_be_trained():
    layer = elman.nn.LSTM(I, H)
    x = torch.randn(T, B, I)
    with torch.no_grad():
        program = torch.export.export(layer, (x,)).run_decompositions()
    module = program.module()
    found = torch.autograd.grad(module(x)[0].square().sum(), list(module.parameters()))
    wanted = torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))
    torch.testing.assert_close(found, wanted)


FIRST = """
import torch, elman.nn
layer = elman.nn.GRU(4, 5)
fast = torch.compile(layer, fullgraph=True, backend="aot_eager")
x = torch.randn(5, 2, 4)
assert torch.equal(fast(x)[0], layer(x)[0])
"""


def test_the_first_call_of_a_process_may_be_a_compiled_one():
    ran = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.filterwarnings(GRAD)
@pytest.mark.usefixtures("_fresh_dynamo")
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_a_compiled_drop_in_leaves_to_torch_what_is_torchs(name):
    layer = getattr(elman.nn, name)(I, H)
    compiled = torch.compile(layer, backend="aot_eager")
    for rows in (3, 0):
        x = torch.randn(T, rows, I)
        assert compiled(x)[0].shape == (T, rows, H)
    with torch.autocast("cpu", torch.bfloat16):
        output = compiled(torch.randn(T, B, I))[0]
    output.sum().backward()
    assert layer.weight_hh_l0.grad is not None


def test_an_exported_program_takes_an_empty_batch():
    layer = elman.nn.GRU(I, H)
    auto = torch.export.Dim.AUTO
    shapes = ({0: auto, 1: auto},)
    module = torch.export.export(layer, (torch.randn(T, B, I),), dynamic_shapes=shapes).module()
    output, state = module(torch.randn(T, 0, I))
    assert (output.shape, state.shape) == ((T, 0, H), (1, 0, H))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("grad", [True, False])
def test_a_jit_trace_holds_the_operator(grad):
    layer = Plain(Recurrent("lstm", I, H, 2)).requires_grad_(grad).eval()
    traced = torch.jit.trace(layer, tuple(packed()[1]), check_trace=False)
    assert "elman::recurrence" in str(traced.inlined_graph)
    batch = packed()[1]
    torch.testing.assert_close(traced(*batch), layer(*batch))


# ---------------------------------------------------------------------------------------------
# Machines without kernels


@pytest.fixture
def _no_kernels(monkeypatch):
    def missing():
        raise host.UnsupportedError("llvmlite cannot be imported (made up)")

    monkeypatch.setattr(host, "detect", missing)
    monkeypatch.setattr(backends, "_warned", set())
    monkeypatch.setattr(backends.compiled, "unable", False)


@pytest.mark.usefixtures("_no_kernels")
def test_without_kernels_auto_falls_back_and_says_so_once(caplog):
    batch = packed()[1]
    compiled, eager = backends.compiled.runs, backends.eager.runs
    with caplog.at_level(logging.WARNING, "elman"):
        Recurrent("mut1", I, H)(batch)
        Recurrent("lstm", I, H)(batch)
        elman.nn.GRU(I, H)(batch)
    (record,) = caplog.records
    assert record.name.startswith("elman")
    assert "no kernels can be compiled" in record.getMessage()
    assert "llvmlite cannot be imported (made up)" in record.getMessage()
    assert (backends.compiled.runs, backends.eager.runs) == (compiled, eager + 1)


@pytest.mark.usefixtures("_no_kernels")
def test_without_kernels_llvm_by_name_is_refused():
    with pytest.raises(BackendError, match=r"llvm cannot run the cell lstm: llvmlite cannot be"):
        Recurrent("lstm", I, H, backend="llvm")


@pytest.mark.filterwarnings(GRAD)
@pytest.mark.usefixtures("_no_kernels", "_fresh_dynamo")
def test_without_kernels_compiling_works_with_breaks(caplog):
    layer = Recurrent("mut1", I, H)
    batch = packed()[1]
    compiled = torch.compile(layer, backend="aot_eager")
    torch.testing.assert_close(flat(compiled(batch)), flat(layer(batch)))


def test_with_kernels_nothing_is_said(caplog):
    with caplog.at_level(logging.WARNING, "elman"):
        Recurrent("lstm", I, H)(packed()[1])
        backends.choose(
            "auto", find("lstm").graph, device=torch.device("meta"), dtype=torch.float32
        )
    assert not caplog.records


@pytest.mark.parametrize(
    ("device", "dtype", "message"),
    [
        ("meta", torch.float32, "on the CPU, not on meta"),
        ("cpu", torch.float16, "not torch.float16"),
    ],
)
def test_what_llvm_cannot_run_is_refused_by_name(device, dtype, message):
    with pytest.raises(BackendError, match=message):
        backends.choose("llvm", find("lstm").graph, device=torch.device(device), dtype=dtype)


# ---------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", ["lstm", "gru", "elman_relu", "mut1", "layer_norm(lstm)"])
def test_nan_comes_out_where_it_went_in(name, reverse):
    graph = expected(find(name).graph)
    problem = Problem(graph, lengths=(5, 5, 3), input_size=4, hidden_size=20)
    leaves = tensors(problem, torch.float32)
    for one in (backends.compiled, backends.eager):
        results = []
        for bad in (False, True):
            data = torch.stack([leaves["row 0"], leaves["row 1"], leaves["row 1"].flip(0)])
            data[2, 3:] = 0.0
            if bad:
                data[1, 2, 0] = torch.nan
            batch = pack_padded_sequence(data, [5, 5, 3], batch_first=True)
            run = Run(
                graph,
                {name: leaves[name] for name in problem.weights},
                batch.data,
                batch.batch_sizes,
                tuple(leaves[f"state {name}"] for name in graph.state_names),
                reverse,
            )
            output, finals = one.run(run)
            values, _ = ragged.unpack(ragged.replace(batch, output))
            results.append((values, finals))
        (good, good_finals), (values, finals) = results
        steps = (0, 1, 2) if reverse else (2, 3, 4)
        bad_tokens = [5 + step for step in steps]
        clean = [token for token in range(13) if token not in bad_tokens]
        assert values[bad_tokens].isnan().all()
        torch.testing.assert_close(values[clean], good[clean], rtol=0, atol=0)
        for final, wanted in zip(finals, good_finals, strict=True):
            assert final[1].isnan().all()
            torch.testing.assert_close(final[[0, 2]], wanted[[0, 2]], rtol=0, atol=0)


def test_an_empty_batch_is_refused():
    layer = Recurrent("lstm", I, H)
    for batch_sizes in (torch.zeros(0, dtype=torch.int64), torch.tensor([0])):
        with pytest.raises(ConfigError, match=r"^the batch is empty; give it at least one row"):
            layer(PackedSequence(torch.zeros(0, I), batch_sizes))


def test_tolerances_are_known():
    assert TOLERANCES[torch.float32].forward <= 2e-6
