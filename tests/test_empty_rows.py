"""Rows of length 0 in a ragged batch: no output, and the first state is the last one."""

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

import elman.nn
from checks import CELLS_AND_BACKENDS, Problem, runs_on, tensors
from elman import backends
from elman.backends.base import Run
from elman.cells import find
from elman.nn import Recurrent, ragged
from elman.tasks.classify.model import Classifier, ClassifierConfig
from elman.tasks.classify.options import POOLINGS

I, H = 3, 4  # noqa: E741
LENGTHS = (0, 3, 0, 1, 2, 0)
FILLED = [1, 3, 4]
EMPTY = [0, 2, 5]
GRAD = "ignore:The .grad attribute of a Tensor:UserWarning"
each = pytest.mark.parametrize(
    ("cell", "backend"),
    CELLS_AND_BACKENDS,
    ids=[f"{cell.name}-{backend.name}" for cell, backend in CELLS_AND_BACKENDS],
)
DROP_INS = ("RNN", "LSTM", "GRU")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def first_states(layer, rows, dtype=torch.float64):
    """Of a `Recurrent`, by name."""
    parts = layer.num_layers * layer.num_directions
    shape = (parts, rows, layer.hidden_size)
    return {name: torch.randn(shape, dtype=dtype) for name in layer.cell.states}


def answers(run, leaf, states, lengths, rows):
    """What a layer makes of some rows of a batch, and the gradients of what it was given.

    The loss weighs a row's results alike, whichever others there are.
    """
    values = leaf.detach().requires_grad_()
    states = [state[:, rows].clone().requires_grad_() for state in states]
    output, finals = run(ragged.pack(values, [lengths[row] for row in rows]), states)
    found = ragged.unpack(output)[0]
    generator = torch.Generator().manual_seed(1)
    weights = [
        torch.randn(len(states[0]), len(lengths), H, generator=generator, dtype=leaf.dtype)
        for _ in states
    ]
    loss = found.square().sum()
    loss += sum((a * b[:, rows]).sum() for a, b in zip(finals, weights, strict=True))
    grads = torch.autograd.grad(loss, [values, *states], materialize_grads=True)
    return found.detach(), [final.detach() for final in finals], grads, weights


def check_beside_the_batch_without_them(run, states):
    """The same for the rows that have tokens; the others' states and gradients pass through."""
    leaf = torch.randn(sum(LENGTHS), I, dtype=states[0].dtype)
    every = list(range(len(LENGTHS)))
    found, finals, grads, weights = answers(run, leaf, states, LENGTHS, every)
    wanted, wanted_finals, wanted_grads, _ = answers(run, leaf, states, LENGTHS, FILLED)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(grads[0], wanted_grads[0])
    for at, state in enumerate(states):
        torch.testing.assert_close(finals[at][:, FILLED], wanted_finals[at])
        torch.testing.assert_close(grads[1 + at][:, FILLED], wanted_grads[1 + at])
        assert torch.equal(finals[at][:, EMPTY], state[:, EMPTY])
        assert torch.equal(grads[1 + at][:, EMPTY], weights[at][:, EMPTY])


@each
def test_the_other_rows_are_as_without_them(cell, backend):
    layer = Recurrent(cell, I, H, 2, bidirectional=True, backend=backend.name).double().eval()
    states = first_states(layer, len(LENGTHS))

    def run(packed, given):
        with runs_on(backend, 4):
            output, finals = layer(packed, dict(zip(states, given, strict=True)))
        return output, list(finals.values())

    check_beside_the_batch_without_them(run, list(states.values()))


@pytest.mark.parametrize("backend", ["llvm", "builtin", "eager"])
def test_dropout_between_layers(backend):
    layer = Recurrent("lstm", I, H, 3, dropout=0.5, backend=backend).double()
    states = first_states(layer, len(LENGTHS))

    def run(packed, given):
        torch.manual_seed(2)
        output, finals = layer(packed, dict(zip(states, given, strict=True)))
        return output, list(finals.values())

    check_beside_the_batch_without_them(run, list(states.values()))


@each
@pytest.mark.parametrize("training", [True, False])
def test_nothing_but_rows_of_length_0(cell, backend, training):
    layer = Recurrent(cell, I, H, 2, bidirectional=True, dropout=0.5, backend=backend.name)
    layer.double().train(training)
    states = {name: state.requires_grad_() for name, state in first_states(layer, rows=2).items()}
    output, finals = layer(ragged.pack(torch.zeros(0, I, dtype=torch.float64), [0, 0]), states)
    assert output.data.shape == (0, 2 * H)
    for name, state in states.items():
        assert torch.equal(finals[name], state)
    loss = output.data.sum() + sum(final.sum() for final in finals.values())
    loss.backward()
    assert all((parameter.grad == 0).all() for parameter in layer.parameters())
    assert all((state.grad == 1).all() for state in states.values())
    assert layer.last(output, finals).shape == (2, 2 * H)


@each
def test_zeros_where_no_first_state_is_given(cell, backend):
    layer = Recurrent(cell, I, H, backend=backend.name)
    _, finals = layer(ragged.pack(torch.randn(6, I), LENGTHS))
    assert all((final[:, EMPTY] == 0).all() for final in finals.values())
    with torch.no_grad():
        _, finals = layer.eval()(ragged.pack(torch.randn(6, I), LENGTHS))
    assert all((final[:, EMPTY] == 0).all() for final in finals.values())


@pytest.mark.parametrize("backend", ["llvm", "eager"])
@pytest.mark.parametrize("name", ["lstm", "residual(gru)", "recurrent_dropout(gru)", "mut1"])
@pytest.mark.parametrize("lengths", [(0, 2, 1, 0), (0, 0)], ids=str)
def test_gradients_of_the_first_and_second_order(name, backend, lengths):
    layer = Recurrent(name, I, H, bidirectional=True, backend=backend).double().eval()
    states = first_states(layer, len(lengths))
    leaves = [torch.randn(sum(lengths), I, dtype=torch.float64), *states.values()]
    leaves = [leaf.requires_grad_() for leaf in leaves]

    def call(data, *given):
        packed = ragged.pack(data, lengths)
        output, finals = layer(packed, dict(zip(states, given, strict=True)))
        return output.data, *finals.values()

    assert torch.autograd.gradcheck(call, leaves)
    assert torch.autograd.gradgradcheck(call, leaves)


def test_token_ids_of_a_table():
    layer, embedding = Recurrent("gru", I, H), torch.nn.Embedding(5, I)
    for values in ([1, 4, 4, 2, 0, 1], []):
        lengths = LENGTHS if values else (0, 0)
        tokens = ragged.pack(torch.tensor(values, dtype=torch.int64), lengths)
        vectors = ragged.replace(tokens, embedding(tokens.data))
        found, finals = layer(tokens, table=embedding.weight)
        wanted, wanted_finals = layer(vectors)
        torch.testing.assert_close(found.data, wanted.data)
        torch.testing.assert_close(finals, wanted_finals)


def test_traces():
    traces = Recurrent("lstm", I, H, 2).trace(ragged.pack(torch.zeros(6, I), LENGTHS))
    assert {value.shape for one in traces for value in one.values.values()} == {(6, H)}
    traces = Recurrent("lstm", I, H, 2).trace(ragged.pack(torch.zeros(0, I), [0]))
    assert {value.shape for one in traces for value in one.values.values()} == {(0, H)}


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", ["lstm", "gru", "mlstm", "layer_norm(gru)"])
def test_many_rows_in_several_threads(name, count, monkeypatch):
    """Enough rows for several groups a thread, most of them of length 0."""
    monkeypatch.setattr(backends.llvm.Call, "threads", lambda call: count)
    lengths = [(row % 7) // 3 * (row % 5) for row in range(300)]
    problem = Problem(find(name).graph, tuple(lengths), 3, 20)
    found = []
    for backend in (backends.compiled, backends.eager):
        leaves = tensors(problem, torch.float64, grad=True)
        rows = torch.cat([leaves[f"row {at}"] for at in range(len(lengths))])
        packed = ragged.pack(rows, lengths)
        states = tuple(leaves[f"state {one}"][packed.sorted_indices] for one in problem.states)
        weights = {one: leaves[one] for one in problem.weights}
        run = Run(problem.graph, weights, packed.data, packed.batch_sizes, states, reverse=True)
        output, finals = backend.run(run)
        loss = output.square().sum() + sum(final.square().sum() for final in finals)
        found.append([output, *finals, *torch.autograd.grad(loss, list(leaves.values()))])
    torch.testing.assert_close(*found)


# ---------------------------------------------------------------------------------------------
# The drop-ins


def states_of(layer, rows, dtype=torch.float64):
    parts = layer.num_layers * (2 if layer.bidirectional else 1)
    sizes = [layer.proj_size or H, H] if layer.mode == "LSTM" else [H]
    return [torch.randn(parts, rows, size, dtype=dtype) for size in sizes]


def as_hx(states):
    return tuple(states) if len(states) > 1 else states[0]


@pytest.fixture(params=["ours", "torch"])
def _ran_by(request, monkeypatch):
    """Whether Elman's backends or torch's kernels run what the other could."""
    if request.param == "torch":
        monkeypatch.setattr(elman.nn.drop_in._DropIn, "_is_ours", lambda *_: False)


@pytest.mark.usefixtures("_ran_by")
@pytest.mark.parametrize("name", DROP_INS)
def test_drop_ins(name):
    layer = getattr(elman.nn, name)(I, H, 2, bidirectional=True, dropout=0.5, dtype=torch.float64)

    def run(packed, given):
        torch.manual_seed(2)
        output, finals = layer(packed, as_hx(given))
        return output, list(finals) if isinstance(finals, tuple) else [finals]

    check_beside_the_batch_without_them(run, states_of(layer, len(LENGTHS)))


@pytest.mark.usefixtures("_ran_by")
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("name", DROP_INS)
def test_drop_ins_over_nothing_else(name, given):
    layer = getattr(elman.nn, name)(I, H, 2, bidirectional=True, dtype=torch.float64)
    states = [state.requires_grad_() for state in states_of(layer, 2)]
    packed = ragged.pack(torch.zeros(0, I, dtype=torch.float64), [0, 0])
    output, finals = layer(packed, as_hx(states) if given else None)
    assert output.data.shape == (0, 2 * H)
    assert ragged.lengths(output).tolist() == [0, 0]
    finals = list(finals) if isinstance(finals, tuple) else [finals]
    for final, state in zip(finals, states, strict=True):
        assert torch.equal(final, state if given else torch.zeros_like(state))
    (output.data.sum() + sum(final.sum() for final in finals)).backward()
    assert all((parameter.grad == 0).all() for parameter in layer.parameters())
    assert not given or all((state.grad == 1).all() for state in states)


@pytest.mark.parametrize("lengths", [LENGTHS, (0, 0, 0)], ids=str)
def test_projections(lengths):
    layer = elman.nn.LSTM(I, H, 2, proj_size=2, dtype=torch.float64)
    h, c = states_of(layer, len(lengths))
    values = torch.randn(sum(lengths), I, dtype=torch.float64)
    output, (last_h, last_c) = layer(ragged.pack(values, lengths), (h, c))
    empty = [row for row, length in enumerate(lengths) if not length]
    assert torch.equal(last_h[:, empty], h[:, empty])
    assert torch.equal(last_c[:, empty], c[:, empty])
    assert output.data.shape == (sum(lengths), 2)


@pytest.mark.parametrize("lengths", [LENGTHS, (0, 0, 0)], ids=str)
@pytest.mark.parametrize("name", DROP_INS)
def test_autocast(name, lengths):
    layer = getattr(elman.nn, name)(I, H)
    filled = [length for length in lengths if length] or [1]
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(ragged.pack(torch.randn(sum(lengths), I), lengths))
        wanted = layer(ragged.pack(torch.randn(sum(filled), I), filled))
    dtypes = [
        [output.data.dtype, *(one.dtype for one in torch.utils._pytree.tree_leaves(finals))]
        for output, finals in (found, wanted)
    ]
    assert dtypes[0] == dtypes[1]


# ---------------------------------------------------------------------------------------------
# torch.compile, torch.export and torch.jit.trace


class Plain(torch.nn.Module):
    """A layer that takes and gives the tensors of a ragged batch."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, *parts):
        output, finals = self.layer(PackedSequence(*parts))
        finals = finals.values() if isinstance(finals, dict) else finals
        return output.data, *(finals if not isinstance(finals, torch.Tensor) else [finals])


@pytest.fixture
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.filterwarnings(GRAD)
@pytest.mark.usefixtures("_fresh_dynamo")
@pytest.mark.parametrize("make", [Recurrent, elman.nn.LSTM], ids=["Recurrent", "LSTM"])
def test_torch_compile(make):
    layer = make("gru", I, H, 2) if make is Recurrent else make(I, H, 2)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for lengths in ((2, 4, 3), LENGTHS, (0, 5, 1), (0, 0, 0)):
        packed = ragged.pack(torch.randn(sum(lengths), I), lengths)
        found, wanted = compiled(packed), layer(packed)
        torch.testing.assert_close(found[0].data, wanted[0].data)
        torch.testing.assert_close(found[1], wanted[1])
        if any(lengths):
            loss, other = found[0].data.square().sum(), wanted[0].data.square().sum()
            grads = [torch.autograd.grad(one, list(layer.parameters())) for one in (loss, other)]
            torch.testing.assert_close(*grads)


@pytest.mark.filterwarnings(GRAD, "ignore:.*LeafSpec.* is deprecated:FutureWarning")
@pytest.mark.parametrize("make", [Recurrent, elman.nn.GRU], ids=["Recurrent", "GRU"])
def test_torch_export(make):
    layer = Plain(make("lstm", I, H) if make is Recurrent else make(I, H))
    auto = torch.export.Dim.AUTO
    batch = ragged.pack(torch.randn(9, I), [2, 4, 3])
    shapes = ({0: auto}, {0: auto}, {0: auto}, {0: auto})
    exported = torch.export.export(layer, tuple(batch), dynamic_shapes=(shapes,)).module()
    for lengths in (LENGTHS, (0, 5, 1, 2), (0, 0, 0)):
        packed = ragged.pack(torch.randn(sum(lengths), I), lengths)
        torch.testing.assert_close(exported(*packed), layer(*packed))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["Recurrent", *DROP_INS])
def test_torch_jit_trace(name):
    layer = Recurrent("lstm", I, H, 2) if name == "Recurrent" else getattr(elman.nn, name)(I, H)
    layer = Plain(layer).eval()
    traced = torch.jit.trace(
        layer, tuple(ragged.pack(torch.randn(9, I), [2, 4, 3])), check_trace=False
    )
    for lengths in ((2, 4, 3), (0, 3, 1)):
        packed = ragged.pack(torch.randn(sum(lengths), I), lengths)
        torch.testing.assert_close(traced(*packed), layer(*packed))


# ---------------------------------------------------------------------------------------------
# A classifier's module


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_classifier_takes_them(pooling):
    config = ClassifierConfig(
        vocab_size=9, num_classes=2, embedding_size=I, hidden_size=H, pairs=7, pooling=pooling
    )
    module = Classifier(config, "gru").eval()
    ids = torch.tensor([3, 4, 5, 6, 7, 8])
    whole = module(ragged.pack(ids, LENGTHS))
    torch.testing.assert_close(
        whole[FILLED], module(ragged.pack(ids, [LENGTHS[row] for row in FILLED]))
    )
    torch.testing.assert_close(whole[EMPTY], module.output.bias.expand(3, -1))
    whole.sum().backward()
    assert module(ragged.pack(ids[:0], [0])).shape == (1, 2)
