"""The layer: its parameters, its two directions and layers, and what it says no to."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from checks import CELLS_AND_BACKENDS, EAGER, LLVM, TOLERANCES, Problem, check_forward, runs_on
from elman.cell import cell, maximum, minimum, sigmoid, tanh
from elman.cells import ALL_CELLS, find
from elman.errors import BackendError, CellError, ConfigError
from elman.ir import reference
from elman.ir.stacks import unstack
from elman.nn import Recurrent, ragged

LENGTHS = (2, 5, 1, 5)
every = pytest.mark.parametrize("name", [one.name for one in ALL_CELLS])


@cell(state=("h", "m"))
def adds_input(p, x, h, m):
    """A cell that adds the input itself to hidden units."""
    z = sigmoid(p.z(x, h, bias=2.0))
    h = z * h + (1 - z) * tanh(p.h(h, diagonal=3.0, bias=False) + x) + p.v
    return h, m + h


def make_batch(size=3, dtype=torch.float32, lengths=LENGTHS):
    torch.manual_seed(3)
    return ragged.pack(torch.randn(sum(lengths), size, dtype=dtype), torch.tensor(lengths))


def shapes(layer):
    return {name: tuple(one.shape) for name, one in layer.named_parameters()}


def test_parameters_are_called_as_in_torch():
    ours = shapes(Recurrent("gru", 3, 4, 2, bidirectional=True))
    theirs = shapes(nn.GRU(3, 4, 2, bidirectional=True))
    suffixes = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
    for suffix in suffixes:
        assert ours.pop(f"bias{suffix}") == (16,)  # r, z, n and the hidden side of n
        for kind in ("weight_ih", "weight_hh"):
            assert ours.pop(kind + suffix) == theirs[kind + suffix]
    assert not ours


def test_a_projection_where_a_cell_needs_equal_sizes():
    assert shapes(Recurrent(adds_input, 4, 4)).keys() == (
        {"weight_ih_l0", "weight_hh_l0", "bias_l0", "vector_v_l0"}
    )
    layer = Recurrent(adds_input, 3, 4, 2, bidirectional=True)
    found = shapes(layer)
    assert found["projection_l0"] == found["projection_l0_reverse"] == (4, 3)
    assert found["projection_l1"] == (4, 8)
    assert found["weight_ih_l0"] == (4, 4)
    output, states = layer(make_batch())
    assert output.data.shape == (13, 8)
    assert list(states) == ["h", "m"]


def test_the_projection_is_of_the_input():
    layer = Recurrent(adds_input, 3, 4).double()
    batch = make_batch(dtype=torch.float64)
    output, states = layer(batch)
    values, lengths = ragged.unpack(batch)
    rows = (values @ layer.projection_l0.T).detach().split(lengths.tolist())
    stacked = {name.removesuffix("_l0"): one.detach() for name, one in layer.named_parameters()}
    weights = {name: one.numpy() for name, one in unstack(adds_input.graph, stacked, 4).items()}
    expected = reference.run(adds_input.graph, weights, [row.numpy() for row in rows], 4)
    found = ragged.unpack(output)[0].detach()
    torch.testing.assert_close(found, torch.tensor(np.concatenate(expected.outputs)))
    torch.testing.assert_close(states["m"][0].detach(), torch.tensor(expected.states["m"]))


def test_first_values_are_what_the_cell_declares():
    torch.manual_seed(0)
    layer = Recurrent(adds_input, 4, 4)
    assert layer.bias_l0.tolist() == [2.0] * 4
    assert layer.vector_v_l0.tolist() == [0.0] * 4
    first, second = layer.weight_hh_l0.detach().split(4)
    second = second - 3.0 * torch.eye(4)
    for matrix in (first, second):
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(4), atol=1e-5, rtol=0)
    assert layer.weight_ih_l0.abs().max() <= (6 / 8) ** 0.5
    torch.manual_seed(0)
    assert torch.equal(Recurrent(adds_input, 4, 4).weight_hh_l0, layer.weight_hh_l0)


@every
def test_final_states_are_at_each_rows_own_end(name):
    layer = Recurrent(name, 3, 4, bidirectional=True)
    output, states = layer(make_batch())
    assert {one.shape for one in states.values()} == {(2, 4, 4)}
    rows = ragged.unpack(output)[0].split(list(LENGTHS))
    for index, row in enumerate(rows):
        assert torch.equal(states["h"][0, index], row[-1, :4])
        assert torch.equal(states["h"][1, index], row[0, 4:])
    assert torch.equal(ragged.last(output)[:, :4], states["h"][0])


@every
def test_sorted_batches_without_indices(name):
    layer = Recurrent(name, 3, 4, 2, bidirectional=True)
    rows = [torch.randn(length, 3) for length in (4, 3, 3, 1)]
    states = {state: torch.randn(4, 4, 4) for state in layer.cell.states}
    plain = layer(nn.utils.rnn.pack_sequence(rows), states)
    ours = layer(ragged.pack(torch.cat(rows), torch.tensor([4, 3, 3, 1])), states)
    torch.testing.assert_close(plain[0].data, ours[0].data)
    torch.testing.assert_close(plain[1], ours[1])


def test_dropout_lies_between_layers_and_in_training_alone():
    torch.manual_seed(0)
    layer = Recurrent("elman", 3, 64, 2, dropout=0.5)
    batch = make_batch()
    assert not torch.equal(layer(batch)[0].data, layer(batch)[0].data)
    layer.eval()
    assert torch.equal(layer(batch)[0].data, layer(batch)[0].data)
    single = Recurrent("elman", 3, 64, dropout=0.5)
    assert torch.equal(single(batch)[0].data, single(batch)[0].data)


def test_weight_dropout_falls_on_recurrent_matrices_alone():
    """One draw a call and layer, the same for all rows and steps, scaled to keep the mean."""
    options = {"num_layers": 2, "bidirectional": True, "backend": "eager"}
    layer = Recurrent("gru_v1", 3, 32, weight_dropout=0.25, **options)
    plain = Recurrent("gru_v1", 3, 32, **options)
    plain.load_state_dict(layer.state_dict())
    batch = make_batch()
    torch.manual_seed(0)
    dropped = layer(batch)[0].data
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in plain.named_parameters():
            if name.startswith(("weight_hh", "weight_n_1")):
                weight.copy_(nn.functional.dropout(weight, 0.25))
                assert 0.15 < (weight == 0).float().mean() < 0.35
    assert torch.equal(plain(batch)[0].data, dropped)
    assert not torch.equal(layer(batch)[0].data, dropped)
    dropped.sum().backward()
    part = layer.weight_hh_l0.grad[:32]
    assert 0.15 < (part == 0).float().mean() < 0.35  # what was dropped learns nothing
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer.eval()(batch)[0].data, plain(batch)[0].data)
    assert "weight_dropout=0.25" in repr(layer)


def test_traces_come_with_the_result_when_asked_for():
    layer = Recurrent("zoneout(lstm)", 3, 4, 2, bidirectional=True, trace=True)
    output, states, traces = layer(make_batch())
    assert [(one.layer, one.reverse) for one in traces] == (
        [(0, False), (0, True), (1, False), (1, True)]
    )
    # Of the very same run: the masks of another would be others.
    last = torch.cat([traces[2].values["h"], traces[3].values["h"]], -1)
    assert torch.equal(last, output.data)
    assert states["c"].shape == (4, 4, 4)
    assert repr(layer).endswith("bidirectional=True, trace=True)")
    (traces[0].values["i"].sum()).backward()
    assert layer.weight_ih_l0.grad is not None
    assert len(Recurrent("lstm", 3, 4)(make_batch())) == 2


@every
def test_trace_names_every_gate_of_every_token(name):
    layer = Recurrent(name, 3, 4, 2, bidirectional=True)
    batch = make_batch()
    output, _ = layer(batch)
    traces = layer.trace(batch)
    found = [(one.layer, one.reverse) for one in traces]
    assert found == [(0, False), (0, True), (1, False), (1, True)]
    for one in traces:
        assert list(one.values) == [gate for gate, _ in find(name).graph.named]
        assert {value.shape for value in one.values.values()} == {(13, 4)}
    last = torch.cat([traces[2].values["h"], traces[3].values["h"]], -1)
    torch.testing.assert_close(last, output.data)


def test_trace_shows_where_a_nan_began():
    layer = Recurrent("lstm", 3, 4)
    with torch.no_grad():
        layer.bias_l0[2 * 4 + 1] = torch.nan  # the candidate g of unit 1
    values = layer.trace(make_batch())[0].values
    first = {gate: bool(value[:4].isnan().any()) for gate, value in values.items()}
    assert first == {"i": False, "f": False, "g": True, "o": False, "h": True, "c": True}


@cell(state="h")
def constants(p, x, h):
    """Numbers before the loop and in it, some beyond those of float32."""
    return tanh(p.a(minimum(2.5 * x, 1e300), h) + maximum(h, -1e300))


@pytest.mark.parametrize("backend", [LLVM, EAGER], ids=str)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_constants_beyond_the_type(backend, dtype):
    check_forward(backend, Problem(constants.graph), dtype)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
def test_constants_are_taken_along_by_export():
    layer, batch = Recurrent(constants, 3, 4, backend="llvm"), make_batch()

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, *parts):
            return self.layer(PackedSequence(*parts))[0].data

    exported = torch.export.export(Plain(), tuple(batch)).run_decompositions()
    torch.testing.assert_close(exported.module()(*batch), layer(batch)[0].data)


@pytest.mark.parametrize(("cell", "backend"), CELLS_AND_BACKENDS, ids=str)
def test_nan_in_the_input_stays_in_its_row(cell, backend):
    layer = Recurrent(cell, 3, 4, bidirectional=True, backend=backend.name).eval()
    batch = make_batch()
    values, lengths = ragged.unpack(batch)
    values[3, 1] = torch.nan  # row 1, token 1
    with runs_on(backend, 2):
        output, _ = layer(ragged.pack(values, lengths))
    rows = [row.isnan() for row in ragged.unpack(output)[0].split(list(LENGTHS))]
    assert [bool(row.any()) for row in rows] == [False, True, False, False]
    assert not rows[1][0, :4].any()
    assert rows[1][1:, :4].all()
    assert rows[1][:2, 4:].all()
    assert not rows[1][2:, 4:].any()


@every
def test_copies_pickles_and_state_dicts(name):
    layer = Recurrent(name, 3, 4, 2, bidirectional=True, dropout=0.1).eval()
    batch = make_batch()
    expected = layer(batch)[0].data
    other = Recurrent(name, 3, 4, 2, bidirectional=True).eval()
    other.load_state_dict(layer.state_dict())
    for one in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other):
        assert torch.equal(one(batch)[0].data, expected)
        assert one.cell == layer.cell
    assert repr(layer) == (
        f"Recurrent({name}, 3, 4, num_layers=2, bidirectional=True, dropout=0.1)"
    )


def test_torch_weights_load_inside_a_larger_model():
    theirs = nn.Sequential(nn.Linear(2, 3), nn.LSTM(3, 4))
    ours = nn.Sequential(nn.Linear(2, 3), Recurrent("lstm", 3, 4))
    state = theirs.state_dict()
    ours.load_state_dict(state)
    assert "1.bias_ih_l0" in state  # the caller's own dict is left as it was
    expected = state["1.bias_ih_l0"] + state["1.bias_hh_l0"]
    assert torch.equal(ours[1].bias_l0, expected)


def test_no_gradients_where_none_are_wanted():
    layer = Recurrent("lstm", 3, 4)
    with torch.no_grad():
        assert not layer(make_batch())[0].data.requires_grad
    with torch.inference_mode():
        layer(make_batch())
    assert layer(make_batch())[0].data.requires_grad


def test_sizes_that_cannot_be():
    for name in ("input_size", "hidden_size", "num_layers"):
        sizes = {"input_size": 3, "hidden_size": 4, "num_layers": 1}
        for wrong in (0, -1, 2.0, "3"):
            with pytest.raises(ConfigError, match=f"{name} is {wrong!r}"):
                Recurrent("lstm", **{**sizes, name: wrong})
    for name in ("dropout", "weight_dropout"):
        for wrong in (-0.1, 1.0, float("nan")):
            with pytest.raises(ConfigError, match=f"^{name} is {wrong!r}"):
                Recurrent("lstm", 3, 4, **{name: wrong})
    with pytest.raises(ConfigError, match="mingru has no recurrent matrices; leave it 0"):
        Recurrent("mingru", 3, 4, weight_dropout=0.5)
    with pytest.raises(CellError, match="no cell called 'lsdm'; did you mean lstm"):
        Recurrent("lsdm", 3, 4)
    with pytest.raises(BackendError, match=r"adds_input.*are not those of torch's"):
        Recurrent(adds_input, 3, 4, backend="builtin")


def test_input_that_cannot_be():
    layer = Recurrent("lstm", 3, 4)
    with pytest.raises(ConfigError, match=r"takes a ragged batch, not a Tensor; .*ragged.pack"):
        layer(torch.zeros(2, 3))
    with pytest.raises(ConfigError, match=r"shape \(13, 2\); must be \(N, 3\)"):
        layer(make_batch(size=2))
    with pytest.raises(ConfigError, match="hx holds h; the states of lstm are h, c"):
        layer(make_batch(), {"h": torch.zeros(1, 4, 4)})
    with pytest.raises(ConfigError, match="hx is a tuple; it must be a dict of the states h, c by"):
        layer(make_batch(), (torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)))
    for dtype in (torch.float64, torch.int64):
        data = make_batch().data.to(dtype)
        with pytest.raises(ConfigError, match=rf"the data are {dtype} .*data.to\(torch.float32\)"):
            layer(ragged.replace(make_batch(), data))
    with pytest.raises(ConfigError, match="dropout is 'a'; it must be"):
        Recurrent("lstm", 3, 4, dropout="a")
    with pytest.raises(ConfigError, match=r"hx\['c'\] has shape \(1, 4, 3\)"):
        layer(make_batch(), {"h": torch.zeros(1, 4, 4), "c": torch.zeros(1, 4, 3)})


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", ["lstm", "residual(gru)", "zoneout(lstm)"])
def test_last_is_each_directions_output_at_its_own_end(name, bidirectional):
    layer = Recurrent(name, 4, 4, num_layers=2, bidirectional=bidirectional).double()
    packed = ragged.pack(torch.randn(9, 4, dtype=torch.float64), torch.tensor([2, 4, 3]))
    outputs, finals = layer(packed)
    values, lengths = ragged.unpack(outputs)
    rows = values.split(lengths.tolist())
    expected = torch.stack([torch.cat([row[-1, :4], row[0, 4:]]) for row in rows])
    torch.testing.assert_close(layer.last(outputs, finals), expected)
