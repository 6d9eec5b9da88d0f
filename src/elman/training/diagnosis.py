"""Where a number that is not finite began."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.models.classifier import Classifier
from elman.nn import ragged
from elman.nn.recurrent import Trace


def where_not_finite(model: Classifier, tokens: PackedSequence) -> str:
    """Say in which layer, step and gate a batch first gives a value that is not finite.

    Runs the batch once more without dropout, through the equations themselves, and looks at every
    named value in the order in which they arise. Weights that are not finite are named too.
    """
    model.eval()
    with torch.inference_mode():
        where = _first_value(model, tokens)
    bad = [name for name, w in model.named_parameters() if not torch.isfinite(w).all()]
    if not bad:
        return where
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"{where}, as the weights {', '.join(bad[:3])}{more} are not"


def _first_value(model: Classifier, tokens: PackedSequence) -> str:
    vectors = model.vectors(tokens)
    if not torch.isfinite(vectors).all():
        return f"the embedding is not finite at step {_bad_steps(vectors, tokens)[0]}"
    for trace in model.recurrent.trace(ragged.replace(tokens, vectors)):
        found = _first_in_layer(trace, tokens)
        if found:
            return found
    if not torch.isfinite(model(tokens)).all():
        return "the last layer is not finite after the last step"
    return "the loss or its gradient is not finite, though every layer's values are"


def _first_in_layer(trace: Trace, tokens: PackedSequence) -> str:
    """Return the earliest step's first value, in the order of the equations; "" if all is well."""
    worst: tuple[int, str] | None = None
    for name, values in trace.values.items():
        if torch.isfinite(values).all():
            continue
        steps = _bad_steps(values, tokens)
        step = steps[-1] if trace.reverse else steps[0]
        earlier = worst is None or (step > worst[0] if trace.reverse else step < worst[0])
        if earlier:
            worst = step, name
    if worst is None:
        return ""
    direction = " (backwards)" if trace.reverse else ""
    return (
        f"{worst[1]} of recurrent layer {trace.layer + 1}{direction} is not finite "
        f"at step {worst[0]}"
    )


def _bad_steps(values: Tensor, tokens: PackedSequence) -> list[int]:
    """Return the steps, from 1, at which a row of ``values`` (N, ...) is not finite, rising."""
    bad = (~torch.isfinite(values.flatten(1)).all(dim=1)).nonzero().flatten()
    ends = tokens.batch_sizes.cumsum(0)
    return [int(step) + 1 for step in torch.searchsorted(ends, bad, right=True)]
