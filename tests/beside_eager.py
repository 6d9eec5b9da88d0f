"""Compiled kernels beside eager PyTorch in float64."""

import numpy as np
import torch

from checks import LLVM, TOLERANCES, Problem, assert_close, run_backend, tensors
from elman.backends import eager

RAGGED = (5, 2, 7, 1)


def compared(problem, dtype, *, reverse=False, loss="all", leaves=None):
    """The largest errors of outputs and of gradients, which must be within the tolerances.

    Args:
        problem: with values that ``dtype`` holds exactly (`rounded`).
        dtype: of the compiled kernels; the eager backend runs in float64.
        reverse: from the last step to the first.
        loss: ``all``, ``output`` alone, ``finals`` alone or a state's name.
        leaves: the names of what has a gradient; None for everything.
    """
    ours = found(LLVM, problem, dtype, reverse, loss, leaves)
    theirs = found(eager, problem, torch.float64, reverse, loss, leaves)
    errors = []
    for part, tolerance in zip(("forward", "gradient"), TOLERANCES[dtype], strict=True):
        pairs = zip(ours[part].items(), theirs[part].values(), strict=True)
        floor = 1e-10 if part == "gradient" and dtype is torch.float64 else tolerance
        errors.append(max([close(name, one, other, floor) for (name, one), other in pairs] + [0.0]))
    return tuple(errors)


def close(name, actual, expected, tolerance):
    actual, expected = actual.double().numpy(), expected.numpy()
    assert_close(name, actual, expected, tolerance)
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return float(np.abs(actual - expected).max(initial=0.0)) / scale


def found(backend, problem, dtype, reverse, loss, wanted):
    leaves = tensors(problem, dtype)
    for name in leaves if wanted is None else wanted:
        leaves[name].requires_grad_()
    rows, states = run_backend(backend, problem, leaves, reverse=reverse)
    results = {f"row {index}": row for index, row in enumerate(rows)}
    results |= {f"state {name}": state for name, state in states.items()}
    random = np.random.default_rng(0)
    total = torch.zeros((), dtype=dtype)
    for name, result in results.items():
        weights = torch.tensor(random.standard_normal(result.shape), dtype=dtype)
        kind = "output" if name.startswith("row") else "finals"
        if loss in ("all", kind, name.removeprefix("state ")):
            total = total + (result * weights).sum()
    given = [one for one in leaves.values() if one.requires_grad]
    if not total.requires_grad:
        grads = [torch.zeros_like(one) for one in given]
    else:
        grads = torch.autograd.grad(total, given, materialize_grads=True)
    names = [name for name, one in leaves.items() if one.requires_grad]
    return {
        "forward": {name: result.detach() for name, result in results.items()},
        "gradient": dict(zip(names, grads, strict=True)),
    }


def rounded(graph, lengths=RAGGED, hidden_size=5, input_size=3, seed=0):
    """A problem whose numbers float32 holds."""
    problem = Problem(graph, lengths, input_size, hidden_size, seed)
    for leaf in problem.leaves().values():
        leaf[...] = leaf.astype(np.float32)
    return problem
