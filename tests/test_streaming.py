"""Token by token: what a step gives is what the whole sequence gives, and states can be kept."""

import copy
import io
import math
import pickle
import threading
import weakref

import pytest
import torch

from checks import TOLERANCES, assert_close, backend_named, runs_on
from elman.cells import ALL_CELLS
from elman.errors import ConfigError
from elman.nn import Recurrent, ragged

T, B, I, H = 5, 3, 4, 6  # noqa: E741
MODIFIED = ("layer_norm(lstm)", "zoneout(gru_v1, h=0.3)", "residual(layer_norm(mut1))")
NAMES = (*(cell.name for cell in ALL_CELLS), *MODIFIED)
BACKENDS = ["eager", "llvm"]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def batch(rows=B, steps=T, dtype=torch.float32):
    """The same tokens by step, (T, B, I), and packed."""
    x = torch.randn(steps, rows, I, dtype=dtype)
    values = x.transpose(0, 1).reshape(rows * steps, I)
    return x, ragged.pack(values, torch.full((rows,), steps))


def whole(layer, packed, hx=None):
    """Outputs (T, B, H) and the last states of the whole sequence."""
    layer.eval()
    with torch.no_grad():
        output, finals = layer(packed, hx)
    return output.data.view(len(packed.batch_sizes), -1, layer.hidden_size), finals


def stepped(layer, x, state):
    outputs = []
    for token in x:
        output, state = layer.step(token, state)
        outputs.append(output)
    return torch.stack(outputs), state


@pytest.mark.parametrize(
    ("name", "dtype", "backend"),
    [
        *((name, torch.float32, BACKENDS[-1]) for name in NAMES),
        *((name, torch.float64, backend) for name in NAMES[::3] for backend in BACKENDS),
    ],
)
def test_steps_give_what_the_sequence_gives(name, dtype, backend):
    layer = Recurrent(name, I, H, num_layers=2, dropout=0.5, backend=backend).to(dtype)
    x, packed = batch(dtype=dtype)
    wanted, finals = whole(layer, packed)
    layer.train()  # which makes no difference to a session
    with runs_on(backend_named(backend), 2 * T):
        outputs, state = stepped(layer, x, layer.start(B))
    tolerance = TOLERANCES[dtype].forward
    assert_close("output", outputs, wanted, tolerance)
    assert state.tensors().keys() == finals.keys()
    for key, final in finals.items():
        assert_close(key, state.tensors()[key], final, tolerance)
        assert_close(key, getattr(state, key), final, tolerance)


@pytest.mark.parametrize("rows", [1, 2, 7, 50])
@pytest.mark.parametrize("size", [1, 16, 37])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_sizes(name, size, rows):
    layer = Recurrent(name, I, size)
    x, packed = batch(rows)
    outputs, state = stepped(layer, x, layer.start(rows))
    wanted, finals = whole(layer, packed)
    assert_close("output", outputs, wanted, 2e-6)
    assert_close("h", state.h, finals["h"], 2e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_goes_on_from_given_states(backend):
    layer = Recurrent("lstm", I, H, 2, backend=backend)
    hx = {name: torch.randn(2, B, H) for name in ("h", "c")}
    x, packed = batch()
    wanted, _ = whole(layer, packed, hx)
    assert_close("output", stepped(layer, x, layer.start(hx=hx))[0], wanted, 2e-6)


def test_the_states_of_a_call_are_where_a_session_goes_on():
    layer = Recurrent("gru", I, H, 2)
    x, packed = batch()
    first = ragged.pack(x[:2].transpose(0, 1).reshape(2 * B, I), torch.full((B,), 2))
    _, finals = whole(layer, first)
    wanted, _ = whole(layer, packed)
    assert_close("output", stepped(layer, x[2:], layer.start(hx=finals))[0], wanted[2:], 2e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_state_can_be_gone_back_to(backend):
    layer = Recurrent("lstm", I, H, 2, backend=backend)
    x, _ = batch()
    _, state = stepped(layer, x[:2], layer.start(B))
    kept = {name: value.clone() for name, value in state.tensors().items()}
    first, _ = stepped(layer, x[2:], state)
    stepped(layer, torch.randn_like(x), state)
    second, _ = stepped(layer, x[2:], state)
    assert torch.equal(first, second)
    assert all(torch.equal(kept[name], value) for name, value in state.tensors().items())


@pytest.mark.parametrize("duplicate", [lambda one: one.copy(), copy.copy, copy.deepcopy])
def test_a_copy_has_memory_of_its_own(duplicate):
    layer = Recurrent("lstm", I, H)
    x, _ = batch()
    _, state = stepped(layer, x, layer.start(B))
    other = duplicate(state)
    assert torch.equal(other.h, state.h)
    other.blocks[0].zero_()
    assert not torch.equal(other.h, state.h)
    assert other.session is state.session


def test_an_output_that_is_written_to_does_not_change_the_state():
    layer = Recurrent("gru", I, H)
    x, _ = batch()
    output, state = layer.step(x[0], layer.start(B))
    kept = state.h
    output.zero_()
    assert torch.equal(state.h, kept)


def test_a_state_is_saved_and_loaded():
    layer = Recurrent("lstm", I, H, 2)
    x, _ = batch()
    _, state = stepped(layer, x[:3], layer.start(B))
    file = io.BytesIO()
    torch.save(state.tensors(), file)
    file.seek(0)
    loaded = layer.start(hx=torch.load(file, weights_only=True))
    assert torch.equal(stepped(layer, x[3:], loaded)[0], stepped(layer, x[3:], state)[0])
    with pytest.raises(TypeError, match=r"save state\.tensors\(\) and begin"):
        pickle.dumps(state)


def test_replacing_states():
    layer = Recurrent("lstm", I, H)
    x, _ = batch()
    _, state = stepped(layer, x, layer.start(B))
    cleared = state.h
    cleared[:, 1] = 0.0
    other = state.replace(h=cleared)
    assert torch.equal(other.h, cleared)
    assert torch.equal(other.c, state.c)
    assert not torch.equal(state.h, cleared)
    with pytest.raises(ConfigError, match="there is no state 'x'; there are h, c"):
        state.replace(x=cleared)
    with pytest.raises(ConfigError, match=r"'h' has shape \(3, 6\); it must be \(1, 3, 6\)"):
        state.replace(h=cleared[0])


@pytest.mark.parametrize("name", ["lstm", "mut1", "layer_norm(lstm)"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_are_read_at_the_start(backend, name):
    layer = Recurrent(name, I, H, 2, backend=backend)
    x, _ = batch()
    begun = layer.start(B)
    wanted, _ = stepped(layer, x, begun)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1.0)
    assert torch.equal(stepped(layer, x, begun)[0], wanted)
    assert not torch.allclose(stepped(layer, x, layer.start(B))[0], wanted)


def test_no_gradient_reaches_a_step():
    layer = Recurrent("lstm", I, H)
    x, _ = batch()
    output, state = layer.step(x[0].requires_grad_(), layer.start(B))
    assert not output.requires_grad
    assert not state.h.requires_grad
    (output * torch.ones(H, requires_grad=True)).sum().backward()


def test_strided_tokens():
    layer = Recurrent("mut1", I, I, backend=BACKENDS[-1])
    x = torch.randn(I, B).t()
    one, _ = layer.step(x, layer.start(B))
    other, _ = layer.step(x.contiguous(), layer.start(B))
    assert torch.equal(one, other)


def test_sessions_side_by_side():
    # Steps let go of the GIL; the memory that they use on their way must not be another's.
    layer = Recurrent("lstm", I, 64, 2)
    x, _ = batch(1, steps=300)
    begun = layer.start(1)
    wanted, _ = stepped(layer, x, begun)
    found = {}

    def work(number, state):
        found[number] = stepped(layer, x, state)[0]

    states = [begun, begun.copy(), layer.start(1), begun]
    workers = [threading.Thread(target=work, args=pair) for pair in enumerate(states)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(torch.equal(found[number], wanted) for number in range(len(states)))


def test_nan_stays_in_its_row():
    layer = Recurrent("lstm", I, H, 2)
    x, _ = batch()
    wanted, _ = stepped(layer, x, layer.start(B))
    x[2, 1, 0] = torch.nan
    found, _ = stepped(layer, x, layer.start(B))
    assert found[2:, 1].isnan().all()
    assert torch.equal(found[:2], wanted[:2])
    assert torch.equal(found[:, [0, 2]], wanted[:, [0, 2]])


# ---------------------------------------------------------------------------------------------
# Token ids


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_ids_give_what_their_vectors_give(name, backend):
    layer = Recurrent(name, I, H, 2, backend=backend)
    table = torch.randn(9, I)
    ids = torch.randint(9, (T, B))
    wanted, expected = stepped(layer, table[ids], layer.start(B))
    with runs_on(backend_named(backend), 2 * T):
        outputs, state = stepped(layer, ids, layer.start(B, table=table))
    assert_close("output", outputs, wanted, 2e-6)
    for key, value in expected.tensors().items():
        assert_close(key, state.tensors()[key], value, 2e-6)


def test_a_large_table_is_not_multiplied(monkeypatch):
    layer, table, ids = Recurrent("lstm", I, H), torch.randn(9, I), torch.randint(9, (T, B))
    monkeypatch.setattr("elman.backends.llvm.call.stepper._LARGE", 0)
    begun = layer.start(B, table=table)
    wanted, _ = stepped(layer, table[ids], layer.start(B))
    assert_close("output", stepped(layer, ids, begun)[0], wanted, 2e-6)


@pytest.mark.parametrize("name", ["lstm", "mut1"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_table_is_read_at_the_start(backend, name):
    layer, table, ids = Recurrent(name, I, H, backend=backend), torch.randn(9, I), torch.ones(T, B)
    begun = layer.start(B, table=table)
    wanted, _ = stepped(layer, ids.long(), begun)
    table.zero_()
    assert torch.equal(stepped(layer, ids.long(), begun)[0], wanted)


def test_strided_ids():
    layer, ids = Recurrent("lstm", I, H), torch.tensor([1, 5, 2, 5, 0, 5])[::2]
    begun = layer.start(B, table=torch.randn(9, I))
    assert torch.equal(layer.step(ids, begun)[0], layer.step(ids.contiguous(), begun)[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ids", [[0, 1, 9], [-1, 0, 1]], ids=str)
def test_ids_out_of_range_are_refused(backend, ids):
    layer = Recurrent("lstm", I, H, backend=backend)
    with pytest.raises(
        ConfigError, match=f"from {min(ids)} to {max(ids)}; the table has rows 0 to"
    ):
        layer.step(torch.tensor(ids), layer.start(B, table=torch.randn(9, I)))


@pytest.mark.parametrize(
    "ids", [torch.zeros(B, I), torch.zeros(B), torch.zeros(B + 1).long(), torch.tensor(0)], ids=str
)
def test_what_are_no_ids_is_refused(ids):
    layer = Recurrent("lstm", I, H)
    with pytest.raises(ConfigError, match=r"was started for \(3,\) of int64 on cpu; give it one"):
        layer.step(ids, layer.start(B, table=torch.randn(9, I)))


def test_what_is_no_table_is_refused():
    layer = Recurrent("lstm", I, H)
    for table in (torch.randn(I), torch.randn(9, I + 1), torch.randn(0, I)):
        with pytest.raises(ConfigError, match=r"the table has shape .*; it must be \(V, 4\)"):
            layer.start(table=table)
    with pytest.raises(
        ConfigError, match=r"of torch.float64 on cpu and the layer of torch.float32"
    ):
        layer.start(table=torch.randn(9, I, dtype=torch.float64))


# ---------------------------------------------------------------------------------------------
# Other rows


@pytest.mark.parametrize("name", ["lstm", "mut1", "layer_norm(lstm)"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_are_taken_apart_and_repeated(backend, name):
    layer = Recurrent(name, I, H, 2, backend=backend)
    x, _ = batch()
    _, state = stepped(layer, x[:2], layer.start(B))
    wanted, expected = stepped(layer, x[2:], state)
    for rows in ([1], [2, 0], [0, 1, 2], [2, 2, 1, 0, 0]):
        selected = state.select(rows)
        outputs, after = stepped(layer, x[2:, rows], selected)
        assert (
            repr(selected) == f"<State {', '.join(layer.cell.states)}: 2 layers, {len(rows)} rows>"
        )
        assert_close("output", outputs, wanted[:, rows], 2e-6)
        for key, value in expected.tensors().items():
            assert_close(key, after.tensors()[key], value[:, rows], 2e-6)


def test_rows_keep_the_weights_of_the_start():
    layer = Recurrent("lstm", I, H)
    x, _ = batch()
    state = layer.start(B)
    wanted, _ = stepped(layer, x, state)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1.0)
    outputs, _ = stepped(layer, x[:, :2], state.select(torch.tensor([0, 1])))
    assert_close("output", outputs, wanted[:, :2], 2e-6)


def test_sessions_of_other_rows_go_when_their_states_do():
    state = Recurrent("lstm", I, H).start(B)
    selected = state.select([0])
    assert selected.session is state.select([1]).session
    assert state.select([0, 1, 2]).session is state.session
    alive = weakref.ref(selected.session)
    del selected
    assert alive() is None


@pytest.mark.parametrize("rows", [[], [3], [-1], [0.5], 1, [[0]]], ids=str)
def test_rows_that_are_not_there_are_refused(rows):
    state = Recurrent("lstm", I, H).start(B)
    with pytest.raises(ConfigError, match=r"rows must be a list|there are the rows 0 to 2"):
        state.select(rows)


# ---------------------------------------------------------------------------------------------
# Held units


@pytest.mark.parametrize("by_id", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_units_are_held(backend, by_id):
    layer = Recurrent("lstm", I, H, 2, backend=backend)
    table, ids = torch.randn(9, I), torch.randint(9, (T, B))
    clamp = {(0, "c", 1): 3.0, (0, "h", 2): -1.0, (1, "c", 0): 0.5, (1, "h", 5): 2.0}
    state = layer.start(B, table=table if by_id else None, clamp=clamp)
    # By hand, a layer at a time.
    layers = [layer_of(layer, at) for at in range(2)]
    states = [one.start(B) for one in layers]
    for step in range(T):
        for (at, name, unit), value in clamp.items():
            assert (getattr(state, name)[at, :, unit] == value).all()
            states[at] = held(states[at], name, unit, value)
        x = table[ids[step]]
        output, state = layer.step(ids[step] if by_id else x, state)
        for at, one in enumerate(layers):
            x, states[at] = one.step(x, states[at])
            for (place, name, unit), value in clamp.items():
                if place == at and name == "h":
                    x[:, unit] = value
        assert_close("output", output, x, 2e-6)


def layer_of(stack, at):
    """One layer of a stack, by itself."""
    one = Recurrent(stack.cell, I if at == 0 else H, H)
    own = {name.replace("_l0", f"_l{at}"): name for name in one.state_dict()}
    one.load_state_dict({name: stack.state_dict()[there] for there, name in own.items()})
    return one


def held(state, name, unit, value):
    values = getattr(state, name)
    values[:, :, unit] = value
    return state.replace(**{name: values})


def test_units_are_held_from_given_states_and_in_other_rows():
    layer = Recurrent("gru", I, H)
    state = layer.start(hx={"h": torch.randn(1, B, H)}, clamp={(0, "h", 4): 0.25})
    assert (state.h[:, :, 4] == 0.25).all()
    output, after = layer.step(torch.randn(1, I), state.select([1]))
    assert output[0, 4] == after.h[0, 0, 4] == 0.25


@pytest.mark.parametrize(
    ("clamp", "message"),
    [
        ({(0, "x", 1): 1.0}, "there is no state 'x'; there are h, c"),
        ({(2, "c", 1): 1.0}, "there is no layer 2; there are 0 to 1"),
        ({(0, "c", H): 1.0}, "there is no unit 6; there are 0 to 5"),
        ({(0, "c", -1): 1.0}, "there is no unit -1; there are 0 to 5"),
        ({(0, "c", 1.5): 1.0}, "there is no unit 1.5"),
        ({(0, "c", 1): math.nan}, "a unit cannot be held at nan"),
    ],
)
def test_units_that_cannot_be_held(clamp, message):
    with pytest.raises(ConfigError, match=message):
        Recurrent("lstm", I, H, 2).start(clamp=clamp)


# ---------------------------------------------------------------------------------------------
# What is refused


def test_what_cannot_be_stepped():
    with pytest.raises(ConfigError, match=r"two directions .* make it with bidirectional=False"):
        Recurrent("lstm", I, H, bidirectional=True).start()
    layer = Recurrent("lstm", I, H)
    for rows in (0, -1, 1.5, "1"):
        with pytest.raises(ConfigError, match=r"batch_size is .* at least 1"):
            layer.start(rows)
    with pytest.raises(ConfigError, match=r"hx holds h; the states of lstm are h, c"):
        layer.start(hx={"h": torch.zeros(1, B, H)})
    with pytest.raises(ConfigError, match=r"'c' has shape \(1, 2, 6\); it must be \(1, 3, 6\)"):
        layer.start(hx={"h": torch.zeros(1, B, H), "c": torch.zeros(1, 2, H)})
    with pytest.raises(AttributeError, match="no state 'x'; there are h, c"):
        _ = layer.start().x


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(I),
        torch.zeros(B + 1, I),
        torch.zeros(1, B, I),
        torch.zeros(B, I + 1),
        torch.zeros(B, I, dtype=torch.float64),
        torch.zeros(B, I, device="meta"),
    ],
    ids=str,
)
def test_a_token_of_another_form_is_refused(x):
    layer = Recurrent("lstm", I, H)
    with pytest.raises(ConfigError, match=r"was started for \(3, 4\) of float32 on cpu; give it"):
        layer.step(x, layer.start(B))


def test_a_state_of_another_layer_is_refused():
    layer, other = Recurrent("lstm", I, H), Recurrent("lstm", I, H)
    with pytest.raises(ConfigError, match="another layer's session"):
        layer.step(torch.zeros(1, I), other.start())


def test_a_state_shows_what_it_is():
    state = Recurrent("lstm", I, H, 2).start(B)
    assert repr(state) == "<State h, c: 2 layers, 3 rows>"
    assert torch.equal(state.c, torch.zeros(2, B, H))
