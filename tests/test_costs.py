"""What a cell is said to cost, against counts by hand and against the layer's own parameters."""

import pytest

from elman.cell import cell, exp, mean, tanh
from elman.cells import ALL_CELLS, find
from elman.errors import ConfigError
from elman.ir import costs
from elman.lab.zoo import describe
from elman.nn import Recurrent

I, H = 7, 5  # noqa: E741
SIZES = {"input_size": I, "hidden_size": H}

BY_HAND = {
    # Each gate adds three terms: 2 additions. lstm: 4 gates of 3, c of 3, h of 2.
    "lstm": (4 * (I * H + H * H + H), 4 * 2 * H * H + 17 * H, 4 * 2 * I * H),
    # r and z of 3; n: its input part adds the bias outside; W h + b, r *, +, tanh; h of 4.
    "gru": (3 * (I * H + H * H) + 4 * H, 3 * 2 * H * H + 14 * H, 3 * 2 * I * H + H),
    "elman": (I * H + H * H + H, 2 * H * H + 3 * H, 2 * I * H),
    # In the loop r of 3 and n, h of 7; outside the projection, z of 2, tanh(x) and 1 - z.
    "mut1": (
        I * H + 4 * H * H + 3 * H,
        2 * 2 * H * H + 10 * H,
        2 * I * H + 2 * 2 * H * H + 4 * H,
    ),
    # z of 2 and n of 1 outside; in the loop (1 - z) h + z n, of which 1 - z and z n need no h.
    "mingru": (2 * (I * H + H), 2 * H, 2 * 2 * I * H + 3 * H + 2 * H),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_counts_by_hand(name):
    graph = find(name).graph
    parameters, loop, outside = BY_HAND[name]
    flops = costs.flops(graph, **SIZES)
    assert costs.parameters(graph, **SIZES) == parameters
    assert (flops.loop, flops.outside, flops.total) == (loop, outside, loop + outside)


@pytest.mark.parametrize("one", ALL_CELLS, ids=lambda one: one.name)
def test_parameters_are_those_of_the_layer(one):
    layer = Recurrent(one, I, H)
    assert costs.parameters(one.graph, **SIZES) == sum(p.numel() for p in layer.parameters())


def test_a_mean_counts_its_values_and_parameters_alone_count_nothing():
    @cell(state="h")
    def made(p, x, h):
        """Scaled by a mean."""
        return tanh(p.h(x, h, bias=False)) / mean(h) * exp(p.gain)

    flops = costs.flops(made.graph, **SIZES)
    assert flops.loop == 2 * H * H + H + H + H + H + H
    assert flops.outside == 2 * I * H
    assert costs.loop_products(made.graph) == 1


def test_cells_without_recurrent_products():
    without = [one.name for one in ALL_CELLS if not costs.loop_products(one.graph)]
    assert {"mingru", "minlstm"} <= set(without)
    assert not {"lstm", "gru", "elman", "mut1"} & set(without)


@pytest.mark.parametrize("one", ALL_CELLS, ids=lambda one: one.name)
def test_every_cell_has_equations_and_a_source(one):
    told = describe(one, **SIZES)
    assert told.equations
    for state in told.states:
        assert any(line.startswith((f"{state} =", f"{state}' =")) for line in told.equations)
    assert "." not in [line[-1] for line in told.equations]
    assert told.flops == told.flops_in_loop + told.flops_outside
    assert told.shapes.keys() >= {parameter.name for parameter in one.graph.parameters}


def test_sizes_are_checked():
    with pytest.raises(ConfigError, match="hidden_size is 0; it must be 1 or more"):
        describe(find("lstm"), hidden_size=0)


def test_equations_of_a_modified_cell_are_its_own():
    plain, modified = describe(find("lstm")), describe(find("zoneout(lstm)"))
    assert "c = f c + i g" in plain.equations
    assert "c = zoneout_c * c[t-1] + (1 - zoneout_c) * t1" in modified.equations
