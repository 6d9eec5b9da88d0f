"""What modifiers do to a cell's equations, how they are named, and what they refuse."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

import elman
import tiny
from checks import (
    ALL_MODIFIED,
    BUILTIN,
    MODIFIED_NAMES,
    Problem,
    assert_close,
    run_reference,
    runs_on,
)
from elman.cell import Cell, cell, identity, sigmoid, tanh
from elman.cells import (
    ALL_CELLS,
    MODIFIERS,
    find,
    layer_norm,
    recurrent_dropout,
    residual,
    split_names,
    zoneout,
)
from elman.errors import BackendError, CellError
from elman.ir import rewrite, text
from elman.ir.graph import Mask, Op
from elman.ir.stacks import stacks, unstack
from elman.nn import Recurrent, ragged
from elman.tasks.classify import task
from elman.tasks.classify.options import ClassifyOptions
from elman.training.run import Setup
from elman.training.run import run as train
from test_zoo import affine, sigm

LSTM, GRU = find("lstm"), find("gru")


def run(modified, step):
    """Hold a modified cell to ``step(weights, masks, x, *states)``, its output and states by hand.

    ``masks`` are those of the row and step; the reference runs the same problem.
    """
    problem = Problem(modified.graph, lengths=(4, 2))
    weights = unstack(problem.graph, problem.weights, problem.hidden_size)
    found = run_reference(problem, reverse=False)
    per = {mask.name: mask.per for mask in problem.graph.masks}
    for index, row in enumerate(problem.rows):
        states = [state[index] for state in problem.states.values()]
        for at, x in enumerate(row):
            drawn = {name: rows[index] for name, rows in problem.masks.items()}
            masks = {name: one[at] if per[name] == "step" else one for name, one in drawn.items()}
            output, *states = step(weights, masks, x, *states)
            assert_close(f"row {index}, step {at}", found.rows[index][at], output, 1e-13)
        for name, state in zip(problem.states, states, strict=True):
            assert_close(f"state {name}", found.states[name][index], state, 1e-13)


def lstm_step(w, x, h, c, seen=None, keep=1.0):
    seen = h if seen is None else seen
    i, f, g, o = (affine(w, gate, x, seen) for gate in "ifgo")
    c = sigm(f) * c + sigm(i) * keep * np.tanh(g)
    return sigm(o) * np.tanh(c), c


def shown(states):
    """With the first state as the output."""
    return states[0], *states


def normal(v, gain):
    return gain * (v - v.mean()) / np.sqrt(((v - v.mean()) ** 2).mean() + 1e-5)


# ---------------------------------------------------------------------------------------------
# Equations


def test_layer_norm_of_one_map():
    def step(w, _, x, h):
        h = np.tanh(normal(w["h.x"] @ x + w["h.h"] @ h, w["h.gain"]) + w["h.bias"])
        return h, h

    run(layer_norm(find("elman")), step)


def test_layer_norm_of_each_map_under_its_bias():
    def step(w, _, x, h):
        r, z = (
            sigm(normal(w[f"{k}.x"] @ x + w[f"{k}.h"] @ h, w[f"{k}.gain"]) + w[f"{k}.bias"])
            for k in "rz"
        )
        inner = normal(w["hn.h"] @ h, w["hn.gain"]) + w["hn.bias"]
        n = np.tanh(normal(w["n.x"] @ x, w["n.gain"]) + w["n.bias"] + r * inner)
        h = (1 - z) * n + z * h
        return h, h

    run(layer_norm(GRU), step)


def test_layer_norm_leaves_what_else_is_added():
    def step(w, _, x, h):
        z = sigm(normal(w["z.x"] @ x + w["z.h"] @ h, w["z.gain"]) + w["z.bias"])
        r = sigm(x + normal(w["r.h"] @ h, w["r.gain"]) + w["r.bias"])
        n = normal(w["n.1"] @ (r * h) + w["n.x"] @ x, w["n.gain"]) + w["n.bias"]
        h = np.tanh(n) * z + h * (1 - z)
        return h, h

    run(layer_norm(find("mut2")), step)


@cell(state="h")
def two_maps(p, x, h):
    """Two biases make two maps; one that is called twice has one gain."""
    a = p.a(x) + p.b(h)
    return tanh(a + p.c(h, bias=False) * p.v)


@cell(state="h")
def called_twice(p, x, h):
    """The same weights on two operands."""
    return tanh(p.a(h) + p.a(p.b(x, bias=False)))


def test_what_counts_as_a_map():
    gains = {
        own.name: [one.name for one in layer_norm(own).graph.parameters if "gain" in one.name]
        for own in (two_maps, called_twice, layer_norm(find("elman")))
    }
    assert gains == {
        "two_maps": ["a.gain", "b.gain", "c.gain"],
        "called_twice": ["a.gain", "b.gain"],
        "layer_norm_elman": ["h.gain", "h.gain_"],
    }
    assert all(
        one.initial == 1.0 for one in layer_norm(LSTM).graph.parameters if one.name.endswith("gain")
    )


def test_zoneout_keeps_states_that_others_do_not_see_yet():
    def step(w, masks, x, h, c):
        new_h, new_c = lstm_step(w, x, h, c)
        h = np.where(masks["zoneout_h"], h, new_h)
        return h, h, np.where(masks["zoneout_c"], c, new_c)

    zoned = zoneout(LSTM, h=0.1, c=0.2)
    run(zoned, step)
    assert zoned.graph.masks == (Mask("zoneout_h", "step", 0.1), Mask("zoneout_c", "step", 0.2))
    run(
        Cell(rewrite.expected(zoned.graph)),
        lambda w, _, x, h, c: shown(
            [
                rate * old + (1 - rate) * new
                for rate, old, new in zip((0.1, 0.2), (h, c), lstm_step(w, x, h, c), strict=True)
            ]
        ),
    )


def test_zoneout_of_a_state_that_is_not_the_output():
    def step(w, masks, x, h, c):
        h, new_c = lstm_step(w, x, h, c)
        return h + x, h, np.where(masks["zoneout_c"], c, new_c)

    run(zoneout(residual(LSTM), c=0.5), step)
    named = dict(zoneout(LSTM, c=0.5).graph.named)
    assert named["c"] is zoneout(LSTM, c=0.5).graph.next_states[1]
    assert named["h"] is LSTM.graph.output


def test_zoneout_takes_the_states_that_there_are():
    assert [mask.name for mask in zoneout(LSTM).graph.masks] == ["zoneout_h", "zoneout_c"]
    assert [mask.name for mask in zoneout(GRU).graph.masks] == ["zoneout_h"]
    assert [mask.name for mask in zoneout(find("slstm"), n=0.5).graph.masks] == ["zoneout_n"]
    assert zoneout(LSTM, h=0.0, c=0.1).graph.masks == zoneout(LSTM, c=0.1).graph.masks
    twice = zoneout(zoneout(GRU)).graph
    assert [mask.name for mask in twice.masks] == ["zoneout_h", "zoneout_h_"]


def test_recurrent_dropout_falls_on_products_alone():
    run(
        recurrent_dropout(LSTM, 0.5),
        lambda w, masks, x, h, c: shown(lstm_step(w, x, h, c, seen=h * masks["drop_h"])),
    )
    assert recurrent_dropout(LSTM, 0.5).graph.masks == (Mask("drop_h", "sequence", 0.5, 2.0),)

    def mut3(w, masks, x, h):
        kept = h * masks["drop_h"]
        z = sigm(w["z.x"] @ x + w["z.1"] @ np.tanh(kept) + w["z.bias"])
        r = sigm(affine(w, "r", x, kept))
        n = np.tanh(w["n.1"] @ (r * kept) + w["n.x"] @ x + w["n.bias"])
        h = n * z + h * (1 - z)
        return h, h

    run(recurrent_dropout(find("mut3")), mut3)


def test_recurrent_dropout_on_the_candidate():
    dropped = recurrent_dropout(LSTM, 0.2, on="candidate")
    run(
        dropped,
        lambda w, masks, x, h, c: shown(lstm_step(w, x, h, c, keep=masks["drop_candidate"])),
    )
    assert dropped.graph.masks == (Mask("drop_candidate", "step", 0.8, 1.25),)
    assert dict(dropped.graph.named)["g"] is dict(LSTM.graph.named)["g"]
    assert recurrent_dropout(find("slstm"), on="candidate").graph.masks


def test_residual_adds_the_input():
    def step(w, _, x, h, c):
        h, c = lstm_step(w, x, h, c)
        return h + x, h, c

    run(residual(LSTM), step)
    assert residual(LSTM).graph.needs_equal_sizes
    layer = Recurrent(residual(LSTM), 3, 4)
    assert layer.projection_l0.shape == (4, 3)


@pytest.mark.parametrize("inner", ["mingru", "minlstm"])
def test_nothing_to_drop(inner):
    with pytest.raises(CellError, match="nothing to drop"):
        recurrent_dropout(find(inner))


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        (name, inner)
        for name in MODIFIERS
        for inner in ALL_CELLS
        if name != "recurrent_dropout" or inner.name not in ("mingru", "minlstm")
    ],
    ids=str,
)
def test_every_modifier_on_every_cell(name, inner):
    modified = MODIFIERS[name](inner)
    assert modified.name == f"{name}_{inner.name}"
    assert modified.doc.endswith(inner.doc)
    assert modified.states == inner.states
    assert text.parse(text.write(modified.graph)) == modified.graph
    # Whatever is trained loads into the plain cell's layer but for what is new.
    assert {one.name for one in stacks(inner.graph)} <= {one.name for one in stacks(modified.graph)}


def test_evaluation_of_dropout_is_the_plain_cell():
    for modified in (
        recurrent_dropout(LSTM, 0.3),
        recurrent_dropout(LSTM, 0.7, on="candidate"),
    ):
        graph = rewrite.expected(modified.graph)
        assert (graph.output, graph.next_states) == (LSTM.graph.output, LSTM.graph.next_states)


# ---------------------------------------------------------------------------------------------
# In a layer


def batch(size=3, lengths=(2, 5, 1, 5)):
    torch.manual_seed(3)
    return ragged.pack(torch.randn(sum(lengths), size), torch.tensor(lengths))


MASKED = [name for name in MODIFIED_NAMES if find(name).graph.masks]


@pytest.mark.parametrize("name", MASKED)
def test_masks_are_drawn_in_training_alone(name):
    layer = Recurrent(name, 3, 16, 2, bidirectional=True)
    given = batch()
    torch.manual_seed(7)
    first, second = layer(given)[0].data, layer(given)[0].data
    torch.manual_seed(7)
    again = layer(given)[0].data
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    layer.eval()
    plain = layer(given)[0].data
    assert torch.equal(plain, layer(given)[0].data)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(given)[0].data, plain)
    plain.sum().backward()
    assert all(one.grad is not None for one in layer.parameters())


def test_in_evaluation_a_plain_lstm_runs_on_torchs_kernels():
    layer, plain = Recurrent("recurrent_dropout(lstm)", 3, 4), Recurrent("lstm", 3, 4)
    plain.load_state_dict(layer.state_dict())
    layer.backend = plain.backend = "builtin"
    with pytest.raises(BackendError, match="its equations are not those of torch's"):
        layer(batch())
    with runs_on(BUILTIN, 2):
        assert torch.equal(layer.eval()(batch())[0].data, plain(batch())[0].data)


def test_how_masks_are_drawn():
    graph = replace(zoneout(recurrent_dropout(LSTM, 0.25), h=0.1).graph, name="both")
    layer = Recurrent(Cell(graph), 3, 50)
    torch.manual_seed(0)
    masks = layer._masks(graph, 400, torch.zeros(200, 50))
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == {
        "drop_h": (200, 50),
        "zoneout_h": (400, 50),
    }
    torch.testing.assert_close(masks["drop_h"].unique(), torch.tensor([0.0, 4 / 3]))
    assert masks["drop_h"].mean().item() == pytest.approx(1.0, abs=0.03)
    assert masks["zoneout_h"].unique().tolist() == [0.0, 1.0]
    assert masks["zoneout_h"].mean().item() == pytest.approx(0.1, abs=0.02)


def test_what_zoneout_keeps_is_seen_in_a_trace():
    layer = Recurrent("zoneout(elman, h=0.5)", 3, 8)
    rows = ragged.unpack(ragged.replace(batch(), layer.trace(batch())[0].values["h"]))[0]
    row = rows[2:7]  # the second of five steps
    kept = (row[1:] == row[:-1]).float().mean()
    assert 0.2 < kept < 0.8


def test_a_modified_cell_is_trained_saved_and_loaded(tmp_path):
    cell = "layer_norm(zoneout(lstm, h=0.1))"
    config = ClassifyOptions(**{**tiny.OPTIONS, "cell": cell, "epochs": 1})
    trained = train(task, tiny.parts(), config, Setup(out=tmp_path / "model"))
    expected = trained.model.predict_proba(tiny.NAMES)
    loaded = elman.load(tmp_path / "model")
    assert loaded.predict_proba(tiny.NAMES).tobytes() == expected.tobytes()


# ---------------------------------------------------------------------------------------------
# Names


def test_find_reads_modifiers():
    assert find("zoneout(lstm, h=0.1, c=0.2)") == zoneout(LSTM, h=0.1, c=0.2)
    assert find(" Layer-Norm( recurrent-dropout(GRU-v1, .5) ) ") == layer_norm(
        recurrent_dropout(find("gru_v1"), 0.5)
    )
    assert find("recurrent_dropout(lstm, 0.1, on='candidate')").graph.masks[0].per == "step"
    assert [modified.name for modified in ALL_MODIFIED][:2] == ["layer_norm_lstm", "layer_norm_gru"]


def test_find_reads_files_within_modifiers(tmp_path):
    path = tmp_path / "my-cell (1).py"
    path.write_text(
        "from elman.cell import cell, tanh\n"
        "@cell(state='h')\ndef mine(p, x, h):\n    return tanh(p.h(x, h))\n"
    )
    for name in (f'residual("{path}:mine")', f"residual('{path}')"):
        assert find(name).name == "residual_mine"


UNREADABLE = "cannot be understood; write modifiers with numbers around a name"
WRONG_NAMES = {
    "zonout(lstm)": r"no modifier called 'zonout'; did you mean zoneout\?",
    "xyz(lstm)": "no modifier called 'xyz'; there are layer_norm, zoneout, recurrent_dropout, res",
    "zoneout(lsm)": "no cell called 'lsm'; did you mean lstm",
    "zoneout()": r"zoneout is given no cell; write zoneout\(lstm\)",
    "layer_norm(lstm, 3)": r"too many positional arguments; write layer_norm\(cell\)",
    "recurrent_dropout(lstm, p=1)": r"recurrent_dropout\(cell, rate=0.25, on='state'\)",
    "zoneout(lstm, n=0.1)": "the cell lstm has no state n to keep; .* rates for h, c",
    "zoneout(lstm, h=1)": "zoneout: h is 1; it must be at least 0 and under 1",
    "zoneout(lstm, h=-0.1)": "zoneout: h is -0.1; it must be",
    "zoneout(lstm, h=True)": "zoneout: h is True",
    "zoneout(lstm, h='a')": "zoneout: h is 'a'",
    "recurrent_dropout(lstm, 2)": "recurrent_dropout: rate is 2; it must be",
    "recurrent_dropout(lstm, on='all')": "has no on='all'; there are state, candidate",
    "recurrent_dropout(mingru)": "no product of the cell mingru takes its state h.*on='candidate'",
    "recurrent_dropout(elman, on='candidate')": "elman has no candidate, a value named g or n",
    "layer_norm(lstm": UNREADABLE,
    "layer_norm lstm)": UNREADABLE,
    "layer_norm((lstm, gru))": UNREADABLE,
    "zoneout(lstm, h=x)": UNREADABLE,
    "zoneout(lstm, h=[0.1])": UNREADABLE,
    "zoneout(lstm, h=0.1, h=0.2)": UNREADABLE,
    "zoneout(lstm, **{'h': 0.1})": UNREADABLE,
    "zoneout(lstm)(gru)": UNREADABLE,
    "zoneout(__import__('os').system('true'))": UNREADABLE,
    "(" * 300 + "lstm" + ")" * 300: "cannot be understood",
    "layer_norm(" * 100 + "lstm" + ")" * 100: "has more than 1000 characters",
}


@pytest.mark.parametrize("name", WRONG_NAMES, ids=lambda name: name[:40])
def test_names_that_cannot_be_read(name):
    with pytest.raises(CellError, match=WRONG_NAMES[name]):
        find(name)


@cell(state="s")
def without_maps(p, x, s):
    """No product and no state called h."""
    return identity(s) * p.v + sigmoid(x)


def test_cells_with_nothing_to_modify():
    with pytest.raises(CellError, match="without_maps has no learned map to normalise"):
        layer_norm(without_maps)
    with pytest.raises(CellError, match="no state h to keep; write zoneout with rates for s"):
        zoneout(without_maps)
    assert zoneout(without_maps, s=0.1).graph.masks


def test_a_list_of_names():
    assert split_names("elman, zoneout(lstm, h=0.1, c=0.1),gru,") == (
        ["elman", "zoneout(lstm, h=0.1, c=0.1)", "gru"]
    )
    assert split_names("layer_norm('a,b).py:c'),lstm") == ["layer_norm('a,b).py:c')", "lstm"]
    assert split_names(" , ") == []


def test_masks_are_used_once_declared():
    for modified in ALL_MODIFIED:
        used = {str(node.attr) for node in modified.graph.nodes if node.op is Op.MASK}
        assert used == {mask.name for mask in modified.graph.masks}
