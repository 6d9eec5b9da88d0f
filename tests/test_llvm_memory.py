"""Memory that one step borrows after another."""

import gc
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from elman.backends.llvm.call import memory, tuning
from elman.backends.llvm.call.memory import borrow
from elman.nn import Recurrent, ragged

ROWS = 1 << 10


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    monkeypatch.setattr(memory, "_pieces", [])
    monkeypatch.setattr(tuning, "current", replace(tuning.current, borrow_from=1 << 20))


def lender(tensor):
    """The memory of the piece that a tensor is part of."""
    numbers = tensor.numpy()
    (found,) = (one.memory for one in list(memory._pieces) if np.shares_memory(one.memory, numbers))
    return found


@pytest.mark.parametrize(("columns", "dtype"), [(280, torch.float32), (140, torch.float64)])
def test_what_is_let_go_is_lent_again(columns, dtype):
    one, two = (borrow(ROWS, 300, torch.float32) for _ in range(2))
    first, second = lender(one), lender(two)
    assert not np.shares_memory(first, second)
    assert all(lent.data_ptr() % 64 == 0 for lent in (one, two)), "as kernels expect"
    del one
    # A smaller one fits in; of another type, too.
    again = borrow(ROWS, columns, dtype)
    assert lender(again) is first
    assert lender(two) is second


HOLDERS = {
    "view": lambda one: one[5:].t(),
    "storage": lambda one: one.untyped_storage(),
    "graph": lambda one: (torch.ones(ROWS, 300, requires_grad=True) * one).sum(),
    "array": lambda one: one.numpy(),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_nothing_is_lent_while_anything_of_it_is_held(holder):
    one = borrow(ROWS, 300, torch.float32).fill_(1.0)
    first = lender(one)
    held = HOLDERS[holder](one)
    del one
    gc.collect()
    assert lender(borrow(ROWS, 300, torch.float32)) is not first
    if holder == "graph":
        held.backward()
    del held
    gc.collect()
    assert any(piece.memory is first for piece in memory._pieces if piece.is_free)


def test_small_and_huge_pieces_are_torchs(monkeypatch):
    monkeypatch.setattr(memory, "_MOST", 1 << 22)
    for rows in (3, 1 << 15):
        borrow(rows, 100, torch.float32)
        assert not memory._pieces


def test_no_more_is_kept_than_a_step_needs(monkeypatch):
    for columns in range(300, 400, 10):
        pair = [borrow(ROWS, columns, torch.float32) for _ in range(2)]
        assert len(memory._pieces) == 2
        del pair
    monkeypatch.setattr(memory, "_MOST", 2 << 20)
    borrow(ROWS, 400, torch.float32)
    assert sum(piece.memory.nbytes for piece in memory._pieces) < 4 << 20


def test_threads_never_share_a_piece():
    pieces, barrier = [], threading.Barrier(4)

    def work():
        for _ in range(20):
            one = borrow(ROWS, 300, torch.float32)
            pieces.append(id(lender(one)))
            barrier.wait()
            del one
            barrier.wait()

    running = [threading.Thread(target=work) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert all(len(set(pieces[at : at + 4])) == 4 for at in range(0, len(pieces), 4))


def test_a_step_between_forward_and_backward_of_another():
    layer = Recurrent("lstm", 40, 150)
    texts = [ragged.pack(torch.randn(900, 40), torch.full((30,), 30)) for _ in range(2)]

    def gradients(outputs):
        layer.zero_grad()
        for output in outputs:
            output.square().sum().backward()
        return [one.grad.clone() for one in layer.parameters()]

    alone = [gradients([layer(text)[0].data]) for text in texts]
    both = gradients([layer(text)[0].data for text in texts])
    for one, two, sum_ in zip(*alone, both, strict=True):
        torch.testing.assert_close(one + two, sum_, rtol=1e-5, atol=1e-4)
