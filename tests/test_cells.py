"""The checks that every cell passes by existing, and that the checks themselves can fail."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import checks
from checks import (
    BUILTIN,
    CELLS_AND_BACKENDS,
    EVERY_CELL,
    LLVM,
    TOLERANCES,
    Problem,
    assert_close,
    backend_named,
    check_forward,
    check_gradients,
    run_reference,
    runs_on,
)
from elman.backends import BACKENDS, builtin, eager
from elman.backends.eager import FUNCTIONS
from elman.cell import cell, sigmoid, tanh
from elman.cells import find
from elman.errors import BackendError, CellError
from elman.ir import rewrite, text
from elman.ir.graph import Op
from elman.ir.stacks import stacks
from elman.ir.verify import verify
from elman.nn import Recurrent, ragged
from random_cells import graphs

DTYPES = list(TOLERANCES)
SHAPES = {
    "ragged": {},
    "one length": {"lengths": (3, 3)},
    "one step": {"lengths": (1, 1, 1)},
    "one row": {"lengths": (4,)},
    "rows of length 0": {"lengths": (3, 0, 4, 0)},
    "nothing else": {"lengths": (0, 0)},
    "one unit": {"hidden_size": 1, "input_size": 1},
    "odd sizes": {"hidden_size": 17, "input_size": 5, "lengths": (2, 7, 2, 5)},
}
each = pytest.mark.parametrize(
    ("cell", "backend"),
    CELLS_AND_BACKENDS,
    ids=[f"{cell.name}-{backend.name}" for cell, backend in CELLS_AND_BACKENDS],
)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def test_which_backend_is_held_to_which_cells():
    cells = {
        backend: [cell for cell, one in CELLS_AND_BACKENDS if one is backend]
        for backend in BACKENDS
    }
    assert cells[LLVM] == cells[eager] == list(EVERY_CELL)
    assert [cell.name for cell in cells[BUILTIN]] == [
        "elman",
        "elman_relu",
        "lstm",
        "lstm_b",
        "gru",
    ]


@each
@both_ways
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_backend_equals_reference(cell, backend, reverse, dtype, shape):
    check_forward(backend, Problem(cell.graph, **SHAPES[shape]), dtype, reverse=reverse)


@pytest.mark.parametrize(
    "cell", [cell for cell, one in CELLS_AND_BACKENDS if one is BUILTIN], ids=str
)
@pytest.mark.parametrize("way", ["segments", "packed"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@both_ways
def test_both_ways_to_call_torch(cell, way, dtype, reverse, monkeypatch):
    entered = []

    def noted(name):
        method = getattr(builtin._Call, name)
        return lambda *args: [entered.append(name), method(*args)][1]

    for name in ("segments", "packed"):
        monkeypatch.setattr(builtin._Call, name, noted(name))
    monkeypatch.setattr(builtin, "_is_faster_in_segments", lambda *_: way == "segments")
    problem = Problem(cell.graph, lengths=(9, 9, 12, 3, 12, 1))
    check_forward(BUILTIN, problem, dtype, reverse=reverse)
    check_gradients(BUILTIN, Problem(cell.graph, (2, 1, 3, 3), 2, 2), reverse=reverse)
    assert entered == [way, way]


def test_segments_are_chosen_where_they_are_few():
    twin = builtin._twin(find("lstm").graph)
    data = torch.zeros(18 * 128, 16)
    segments = builtin._segments([128] * 16 + [100] * 2)
    assert [(one.steps, one.rows) for one in segments] == [(16, 128), (2, 100)]
    assert builtin._is_faster_in_segments(twin, data, segments, 64)
    assert not builtin._is_faster_in_segments(twin, data[:99], segments, 64)
    assert not builtin._is_faster_in_segments(twin, data, builtin._segments([128, 127, 126]), 64)


def test_weights_in_one_piece_are_the_same_weights():
    weights = [torch.randn(4, 3), torch.randn(4, 2), torch.randn(4), torch.zeros(4)]
    pieces = builtin._in_one_piece(weights)
    assert all(torch.equal(one, other) for one, other in zip(pieces, weights, strict=True))
    assert len({one.untyped_storage().data_ptr() for one in pieces}) == 1


@each
@both_ways
@pytest.mark.parametrize(
    "lengths",
    [(2, 1, 3), (2, 2), (0, 2, 0, 1), (0, 0)],
    ids=["ragged", "one length", "rows of length 0", "nothing else"],
)
def test_gradients_equal_central_differences(cell, backend, reverse, lengths):
    # Three units: of two, layer normalisation leaves hardly more than a sign.
    problem = Problem(cell.graph, lengths=lengths, input_size=2, hidden_size=3)
    check_gradients(backend, problem, reverse=reverse)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(graphs())
def test_random_cells(graph):
    verify(graph)
    problem = Problem(graph, lengths=(2, 1), input_size=2, hidden_size=2)
    for reverse in (False, True):
        check_forward(eager, problem, torch.float64, reverse=reverse)
    check_gradients(eager, problem)
    assert text.parse(text.write(graph)) == graph
    simple = Problem(verify(rewrite.simplify(graph)), (2, 1), problem.input_size, 2)
    simple.weights = {name: problem.weights[name] for name in simple.weights}
    check_forward(eager, simple, torch.float64)
    check_expected(graph)


def check_expected(graph):
    """It is the step with the means for masks, and takes the weights of the graph itself."""
    masked = Problem(graph, lengths=(2, 1), input_size=2, hidden_size=2)
    plain = Problem(verify(rewrite.expected(graph)), (2, 1), masked.input_size, 2)
    assert not plain.graph.masks
    assert [(one.name, one.parameters) for one in stacks(plain.graph)] == [
        (one.name, one.parameters) for one in stacks(graph)
    ]
    for mask in graph.masks:
        mean = mask.probability * mask.scale
        masked.masks[mask.name] = [np.full_like(row, mean) for row in masked.masks[mask.name]]
    for name in ("weights", "rows", "states"):
        setattr(plain, name, getattr(masked, name))
    found, wanted = run_reference(plain, reverse=False), run_reference(masked, reverse=False)
    for index, row in enumerate(wanted.rows):
        assert_close(f"row {index}", found.rows[index], row, 1e-12)


@pytest.mark.parametrize("cell", EVERY_CELL, ids=str)
def test_text_round_trip(cell):
    assert text.parse(text.write(cell.graph)) == cell.graph


@pytest.mark.parametrize("cell", EVERY_CELL, ids=str)
def test_what_runs_in_evaluation(cell):
    check_expected(cell.graph)


@pytest.mark.parametrize("cell", EVERY_CELL, ids=str)
def test_docstring_cites_its_paper(cell):
    assert any(str(year) in cell.doc for year in range(1980, 2030))
    assert " = " in cell.doc


# ---------------------------------------------------------------------------------------------
# Through Recurrent


def layer_and_batch(cell, backend, lengths=(3, 1, 4, 4)):
    torch.manual_seed(1)
    layer = Recurrent(cell, 3, 5, 2, backend=backend.name).double().eval()
    rows = [torch.randn(length, 3, dtype=torch.float64) for length in lengths]
    return layer, rows


def batch_of(rows):
    return ragged.pack(torch.cat(rows), torch.tensor([len(row) for row in rows]))


def rows_of(packed):
    values, lengths = ragged.unpack(packed)
    return values.split(lengths.tolist())


@each
def test_in_two_parts_as_in_one(cell, backend):
    layer, rows = layer_and_batch(cell, backend, lengths=(5, 3, 4))
    whole, finals = layer(batch_of(rows))
    first, states = layer(batch_of([row[:2] for row in rows]))
    second, last = layer(batch_of([row[2:] for row in rows]), states)
    parts = [torch.cat(pair) for pair in zip(rows_of(first), rows_of(second), strict=True)]
    torch.testing.assert_close(parts, list(rows_of(whole)))
    torch.testing.assert_close(last, finals)


@each
def test_each_row_alone_as_in_its_batch(cell, backend):
    layer, rows = layer_and_batch(cell, backend)
    together, finals = layer(batch_of(rows))
    for index, (row, expected) in enumerate(zip(rows, rows_of(together), strict=True)):
        alone, states = layer(batch_of([row]))
        torch.testing.assert_close(alone.data, expected)
        for name in cell.states:
            torch.testing.assert_close(states[name][:, 0], finals[name][:, index])


@each
def test_permuting_the_batch_permutes_the_result(cell, backend):
    layer, rows = layer_and_batch(cell, backend)
    order = [2, 0, 3, 1]
    plain, finals = layer(batch_of(rows))
    mixed, mixed_finals = layer(batch_of([rows[index] for index in order]))
    expected = [rows_of(plain)[index] for index in order]
    torch.testing.assert_close(list(rows_of(mixed)), expected)
    for name in cell.states:
        torch.testing.assert_close(mixed_finals[name], finals[name][:, order])


@each
def test_the_backend_asked_for_really_runs(cell, backend):
    layer, rows = layer_and_batch(cell, backend)
    with runs_on(backend, 2):  # one for each layer
        layer(batch_of(rows))


def test_second_derivatives_on_the_eager_backend():
    layer = Recurrent("lstm", 2, 2, backend="eager").double()
    batch = batch_of([torch.randn(2, 2).double(), torch.randn(1, 2).double()])

    def output(data):
        return layer(ragged.replace(batch, data))[0].data

    data = batch.data.clone().requires_grad_()
    assert torch.autograd.gradgradcheck(output, (data,))


# ---------------------------------------------------------------------------------------------
# Beside torch

TWINS = {
    "elman": (nn.RNN, {}),
    "elman_relu": (nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, {}),
    "gru": (nn.GRU, {}),
}


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("backend", ["llvm", "builtin", "eager"])
@pytest.mark.parametrize("lengths", [(5, 3, 5, 1), (4, 4, 4), (1,)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_torch_twin(name, backend, lengths, dtype):
    torch.manual_seed(0)
    kind, options = TWINS[name]
    twin = kind(3, 4, 2, bidirectional=True, **options).to(dtype)
    layer = Recurrent(name, 3, 4, 2, bidirectional=True, backend=backend).to(dtype)
    assert str(layer.load_state_dict(twin.state_dict())) == "<All keys matched successfully>"
    rows = [torch.randn(length, 3, dtype=dtype) for length in lengths]
    packed = nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
    hx = {state: torch.randn(4, len(rows), 4, dtype=dtype) for state in find(name).states}
    theirs, their_states = twin(packed, tuple(hx.values()) if len(hx) > 1 else hx["h"])
    their_states = their_states if isinstance(their_states, tuple) else (their_states,)
    with runs_on(backend_named(backend), 4):
        ours, our_states = layer(packed, hx)
    forward, gradient = TOLERANCES[dtype]
    assert_close("output", ours.data.detach(), theirs.data.detach(), forward)
    for state, expected in zip(our_states.values(), their_states, strict=True):
        assert_close("states", state.detach(), expected.detach(), forward)
    scale = torch.randn_like(ours.data)
    (theirs.data * scale).sum().backward()
    (ours.data * scale).sum().backward()
    for key, parameter in twin.named_parameters():
        if key.startswith("weight"):
            assert_close(key, layer.get_parameter(key).grad, parameter.grad, gradient)


def test_torch_weights_without_biases_say_what_is_missing():
    with pytest.raises(RuntimeError, match=r"Missing key.*bias_l0"):
        Recurrent("lstm", 2, 3).load_state_dict(nn.LSTM(2, 3, bias=False).state_dict())


@cell(state=("cell_state", "out"))
def other_lstm(p, token, cell_state, out):
    """The equations of an LSTM by other names, in another order."""
    write = sigmoid(p.write(out, token))
    read = sigmoid(p.read(token, out))
    keep = sigmoid(p.keep(token, out))
    new = write * tanh(p.new(token, out)) + cell_state * keep
    result = tanh(new) * read
    return result, new, result


@cell(state="h")
def plain(p, x, h):
    """Without a bias."""
    return tanh(p.h(h, x, bias=False))


@cell(state="h")
def almost_gru(p, x, h):
    """A GRU whose candidate lacks the gate."""
    z = sigmoid(p.z(x, h))
    return (1 - z) * tanh(p.n(x) + p.m(h)) + z * h


@pytest.mark.parametrize("own", [other_lstm, plain], ids=str)
@both_ways
def test_a_twin_is_known_by_its_equations(own, reverse):
    layer = Recurrent(own, 3, 4)
    assert Recurrent(own, 3, 4, backend="builtin").cell is layer.cell
    check_forward(BUILTIN, Problem(own.graph), torch.float64, reverse=reverse)
    check_gradients(BUILTIN, Problem(own.graph, (2, 1), 2, 2), reverse=reverse)


def test_what_is_no_twin_is_refused_by_name():
    with pytest.raises(BackendError, match=r"almost_gru.*not those of torch's"):
        Recurrent(almost_gru, 3, 4, backend="builtin")
    with pytest.raises(
        BackendError, match="no backend 'fast'; there are auto, llvm, builtin, eager"
    ):
        Recurrent(almost_gru, 3, 4, backend="fast")


# ---------------------------------------------------------------------------------------------
# The checks can fail


class Planted(torch.autograd.Function):
    """A gradient that is 0.1 % too large."""

    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * 1.001


@pytest.mark.parametrize("op", [Op.SIGMOID, Op.TANH, Op.MUL, Op.ADD])
def test_a_planted_error_is_caught(op, monkeypatch):
    problem = Problem(find("lstm").graph, (2, 1), 2, 2)
    right = FUNCTIONS[op]
    check_forward(eager, problem, torch.float32)
    check_gradients(eager, problem)
    monkeypatch.setitem(FUNCTIONS, op, lambda *values: Planted.apply(right(*values)))
    check_forward(eager, problem, torch.float32)
    with pytest.raises(AssertionError, match=r"gradient of .* off by"):
        check_gradients(eager, problem)
    monkeypatch.setitem(FUNCTIONS, op, lambda *values: 1.001 * right(*values))
    with pytest.raises(AssertionError, match="off by"):
        check_forward(eager, problem, torch.float32)


@pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "bias", "row 1", "state c"])
def test_a_planted_error_in_one_operand_is_caught(name, monkeypatch):
    problem = Problem(find("lstm").graph, (2, 1), 2, 2)
    right = checks.tensors

    def wrong(*args, **options):
        found = right(*args, **options)
        with torch.no_grad():
            found[name] *= 1.001
        return found

    monkeypatch.setattr(checks, "tensors", wrong)
    with pytest.raises(AssertionError, match="off by"):
        check_forward(eager, problem, torch.float32)


def test_nan_is_caught():
    with pytest.raises(AssertionError, match="off by nan"):
        assert_close("x", [float("nan")], [1.0], 1.0)


# ---------------------------------------------------------------------------------------------
# Finding a cell


def test_find_by_name():
    assert find("LSTM").name == "lstm"
    assert find("elman-relu").name == "elman_relu"
    assert find(find("gru")) is find("gru")
    with pytest.raises(CellError, match=r"no cell called 'lstn'; did you mean lstm\?"):
        find("lstn")
    with pytest.raises(CellError, match="no cell called 'zzz'; there are elman, elman_relu, lstm"):
        find("zzz")


CELL_FILE = '''
from elman.cell import cell, tanh

@cell(state="h")
def mine(p, x, h):
    """My own."""
    return tanh(p.h(x, h))

@cell(state="h")
def other(p, x, h):
    return mean(p.h(x, h)) if False else p.h(x, h)

number = 3
'''


def test_find_in_a_file(tmp_path):
    path = tmp_path / "my_cell.py"
    path.write_text(CELL_FILE)
    assert find(f"{path}:mine").doc == "My own."
    for wrong in ("number", "hers"):
        with pytest.raises(CellError, match=f"no cell called {wrong}.*one of mine, other"):
            find(f"{path}:{wrong}")
    with pytest.raises(CellError, match="several cells"):
        find(str(path))
    with pytest.raises(CellError, match="no such file"):
        find(f"{tmp_path}/none.py:mine")
    path.write_text("number = 3")
    with pytest.raises(CellError, match="holds no cell; put @cell"):
        find(f"{path}:number")
    for content, told in {
        "\nimport nowhere_at_all": r"my_cell.py line 2: ModuleNotFoundError: No module named",
        "raise SystemExit": r"my_cell.py line 1: SystemExit$",
        "def (": r"my_cell.py: SyntaxError: .*line 1",
    }.items():
        path.write_text(content)
        with pytest.raises(CellError, match=told):
            find(f"{path}:mine")
