"""The zoo beside its papers: each cell written out once more, by hand, in NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch

from checks import Problem, assert_close, run_reference
from elman.backends import BACKENDS
from elman.cells import ALL_CELLS, MODIFIERS, find
from elman.ir.stacks import unstack
from elman.nn import Recurrent, ragged

NAMES = [cell.name for cell in ALL_CELLS]
tanh, exp = np.tanh, np.exp


def sigm(value):
    return 1 / (1 + exp(-value))


def affine(w, name, x, h):
    return w[f"{name}.x"] @ x + w[f"{name}.h"] @ h + w[f"{name}.bias"]


def lstm_like(w, x, h, c, *, see=None, i=None, f=None, o=None):
    """An LSTM whose gates see ``see`` where they saw h; a gate that is given is fixed."""
    see, label = (h, "h") if see is None else (see, "1")
    gates = {
        name: w[f"{name}.x"] @ x + w[f"{name}.{label}"] @ see + w[f"{name}.bias"]
        for name in "ifgo"
        if f"{name}.x" in w
    }
    i = sigm(gates["i"]) if i is None else i
    f = sigm(gates["f"]) if f is None else f
    o = sigm(gates["o"]) if o is None else o
    c = f * c + i * tanh(gates["g"])
    return o * tanh(c), c


def lstm_coupled(w, x, h, c):
    return lstm_like(w, x, h, c, i=1 - sigm(affine(w, "f", x, h)))


def lstm_peephole(w, x, h, c):
    i = sigm(affine(w, "i", x, h) + w["ci"] * c)
    f = sigm(affine(w, "f", x, h) + w["cf"] * c)
    c = f * c + i * tanh(affine(w, "g", x, h))
    return sigm(affine(w, "o", x, h) + w["co"] * c) * tanh(c), c


def mlstm(w, x, h, c):
    return lstm_like(w, x, h, c, see=(w["mx.x"] @ x) * (w["mh.h"] @ h))


def slstm(w, x, h, c, n):
    """Without a stabiliser."""
    i, f = exp(affine(w, "i", x, h)), sigm(affine(w, "f", x, h))
    c, n = f * c + i * tanh(affine(w, "g", x, h)), f * n + i
    return sigm(affine(w, "o", x, h)) * c / n, c, n


def gru_v1(w, x, h):
    r, z = sigm(affine(w, "r", x, h)), sigm(affine(w, "z", x, h))
    n = tanh(w["n.x"] @ x + w["n.1"] @ (r * h) + w["n.bias"])
    return ((1 - z) * n + z * h,)


def mut1(w, x, h):
    z = sigm(w["z.x"] @ x + w["z.bias"])
    r = sigm(affine(w, "r", x, h))
    return (tanh(w["n.0"] @ (r * h) + tanh(x) + w["n.bias"]) * z + h * (1 - z),)


def mut2(w, x, h):
    z = sigm(affine(w, "z", x, h))
    r = sigm(x + w["r.h"] @ h + w["r.bias"])
    return (tanh(w["n.1"] @ (r * h) + w["n.x"] @ x + w["n.bias"]) * z + h * (1 - z),)


def mut3(w, x, h):
    z = sigm(w["z.x"] @ x + w["z.1"] @ tanh(h) + w["z.bias"])
    r = sigm(affine(w, "r", x, h))
    return (tanh(w["n.1"] @ (r * h) + w["n.x"] @ x + w["n.bias"]) * z + h * (1 - z),)


def mingru(w, x, h):
    z = sigm(w["z.x"] @ x + w["z.bias"])
    return ((1 - z) * h + z * (w["n.x"] @ x + w["n.bias"]),)


def minlstm(w, x, h):
    f, i = (sigm(w[f"{gate}.x"] @ x + w[f"{gate}.bias"]) for gate in "fi")
    share = f / (f + i)
    return (share * h + (1 - share) * (w["n.x"] @ x + w["n.bias"]),)


PAPERS = {
    "elman": lambda w, x, h: (tanh(affine(w, "h", x, h)),),
    "elman_relu": lambda w, x, h: (np.maximum(affine(w, "h", x, h), 0),),
    "lstm": lstm_like,
    "lstm_b": lstm_like,
    "lstm_f": lambda *values: lstm_like(*values, f=1.0),
    "lstm_i": lambda *values: lstm_like(*values, i=1.0),
    "lstm_o": lambda *values: lstm_like(*values, o=1.0),
    "lstm_coupled": lstm_coupled,
    "lstm_peephole": lstm_peephole,
    "mlstm": mlstm,
    "slstm": slstm,
    "gru_v1": gru_v1,
    "mut1": mut1,
    "mut2": mut2,
    "mut3": mut3,
    "mingru": mingru,
    "minlstm": minlstm,
}
"""One step of each cell: its states after it, the output first. The GRU is held to torch's."""


@pytest.mark.parametrize("name", [*NAMES, *(f"{modifier}(cell" for modifier in MODIFIERS)])
def test_the_page_lists_it(name):
    page = Path(__file__).parent.parent / "docs" / "writing-a-cell.md"
    rows = [line for line in page.read_text(encoding="utf-8").split("\n") if line.startswith("| `")]
    assert any(f"`{name}" in row.split("|")[1] for row in rows)


def test_every_cell_is_written_out():
    assert {*PAPERS, "gru"} == set(NAMES)


@pytest.mark.parametrize("name", PAPERS)
def test_cell_is_that_of_its_paper(name):
    problem = Problem(find(name).graph, lengths=(5, 2))
    if name == "slstm":  # its states are another form of the paper's; from zero they agree
        problem.states = {state: np.zeros_like(one) for state, one in problem.states.items()}
    weights = unstack(problem.graph, problem.weights, problem.hidden_size)
    found = run_reference(problem, reverse=False)
    for index, row in enumerate(problem.rows):
        states = [state[index] for state in problem.states.values()][: 3 if name == "slstm" else 2]
        for step, x in enumerate(row):
            states = PAPERS[name](weights, x, *states)
            assert_close(f"row {index}, step {step}", found.rows[index][step], states[0], 1e-13)


def test_only_cells_that_add_the_input_need_equal_sizes():
    needing = [cell.name for cell in ALL_CELLS if cell.graph.needs_equal_sizes]
    assert needing == ["mut1", "mut2"]


def test_names_of_weights():
    shown = {name: Recurrent(name, 4, 4) for name in ("lstm_peephole", "gru_v1", "mingru", "mlstm")}
    assert {name: [key for key, _ in one.named_parameters()] for name, one in shown.items()} == {
        "lstm_peephole": [
            "weight_ih_l0",
            "weight_hh_l0",
            "bias_l0",
            "vector_ci_l0",
            "vector_cf_l0",
            "vector_co_l0",
        ],
        "gru_v1": ["weight_ih_l0", "weight_hh_l0", "bias_l0", "weight_n_1_l0"],
        "mingru": ["weight_ih_l0", "bias_l0"],
        "mlstm": ["weight_ih_l0", "weight_hh_l0", "weight_i_1_l0", "bias_l0"],
    }


@pytest.mark.parametrize("name", NAMES)
def test_first_values(name):
    torch.manual_seed(0)
    layer = Recurrent(name, 4, 4)
    for stack, parameter in layer.named_parameters():
        for part in parameter.detach().split(4):
            if stack.startswith(("bias", "vector")):
                assert part.unique().numel() == 1
            elif stack == "weight_ih_l0":
                assert 0.2 < part.abs().max() <= (6 / 8) ** 0.5
            else:
                torch.testing.assert_close(part @ part.T, torch.eye(4), atol=1e-5, rtol=0)
    expected = (
        [0, 0, 0, 0, 1, 1, 1, 1, *[0] * 8] if name == "lstm_b" else [0] * layer.bias_l0.numel()
    )
    assert layer.bias_l0.tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("gate", [-300.0, -30.0, 30.0, 300.0])
@pytest.mark.parametrize("backend", [one for one in BACKENDS if one.name != "builtin"], ids=str)
def test_slstm_is_stable(gate, dtype, backend):
    """With exp(300) or exp(-300) in both gates it is still a mean of what was read."""
    torch.manual_seed(0)
    layer = Recurrent("slstm", 2, 3, backend=backend.name).to(dtype)
    with torch.no_grad():
        layer.bias_l0[:6] = gate
    batch = ragged.pack(torch.randn(6, 2, dtype=dtype), torch.tensor([5, 1]))
    output, states = layer(batch)
    assert output.data.isfinite().all()
    assert (states["n"] >= 1).all()
    first = layer.trace(batch)[0].values
    torch.testing.assert_close(output.data[:2], (first["o"] * first["g"])[:2])
    output.data.square().sum().backward()
    assert all(one.grad.isfinite().all() for one in layer.parameters())
