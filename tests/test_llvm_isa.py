"""Kernels for processors with fewer and narrower registers than this one may have."""

import pytest
import torch

from checks import Problem, check_forward, check_gradients
from elman.backends import compiled
from elman.backends.llvm.call.signature import signature_of
from elman.backends.llvm.emit.kernel import write
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.native import compiler, host
from elman.cells import find
from machines import RUNS, running


@pytest.fixture(params=RUNS)
def other_host(request):
    with running(RUNS[request.param]):
        yield request.param


@pytest.mark.parametrize("name", ["lstm", "gru", "mut1", "layer_norm(lstm)", "mingru"])
def test_kernels_of_other_instruction_sets(name, other_host):
    graph = find(name).graph
    for size in (4, 20):
        problem = Problem(graph, hidden_size=size, lengths=(3, 1, 4, 4, 2, 6, 1))
        check_forward(compiled, problem, torch.float32, reverse=size == 20)
        check_forward(compiled, problem, torch.float64)
    check_gradients(compiled, Problem(graph, hidden_size=3, lengths=(2, 3, 1)))


def test_no_kernel_calls_a_library_where_fma_is_missing(other_host):
    program = signature_of(find("lstm").graph).program
    spec = host.detect().spec(program.forward, program.place, 20, "float")
    assert "fmaf" not in compiler.assembly(write(Layout(spec)))
