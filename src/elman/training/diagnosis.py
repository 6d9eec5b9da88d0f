"""Where a number that is not finite began, in a model of any task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from elman.nn import ragged
from elman.nn.recurrent import Recurrent, Trace


def where_not_finite(model: nn.Module, run: Callable[[], object]) -> str:
    """Say in which module, step and gate a value first is not finite.

    Args:
        model: what is looked into.
        run: calls the model once more; it is put into evaluation first, so without dropout.

    Every module's output is looked at in the order in which they arise; a `Recurrent` is run again
    through its equations, to name the value. Weights that are not finite are named too.
    """
    model.eval()
    where = _first_module(model, run)
    bad = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if not bad:
        return where
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"{where}, as the weights {', '.join(bad[:3])}{more} are not"


class _Found(Exception):  # noqa: N818 - it ends the run that looks for a value
    """Where the first such value is."""


def _first_module(model: nn.Module, run: Callable[[], object]) -> str:
    batches: list[PackedSequence] = []  # the latest that any module was given

    def before(module: nn.Module, args: tuple[Any, ...], _: dict[str, Any]) -> None:
        batches.extend(one for one in args if isinstance(one, PackedSequence))

    def after(
        module: nn.Module, args: tuple[Any, ...], options: dict[str, Any], output: Any
    ) -> None:
        if all(bool(tensor.isfinite().all()) for tensor in _tensors(output)):
            return
        name = next(name for name, one in model.named_modules() if one is module)
        if isinstance(module, Recurrent):
            raise _Found(_in_recurrent(name, module, *args, **options))
        raise _Found(f"module {name} gives values not finite{_at_step(output, batches)}")

    handles = []
    for module in model.modules():
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        if module is not model:  # it is not finite where one of its parts is not
            handles.append(module.register_forward_hook(after, with_kwargs=True))
    try:
        with torch.inference_mode():
            run()
    except _Found as found:
        return str(found)
    finally:
        for handle in handles:
            handle.remove()
    return "the loss or its gradient is not finite, though every module's output is"


def _in_recurrent(
    name: str,
    module: Recurrent,
    packed: PackedSequence,
    hx: Mapping[str, Tensor] | None = None,
    table: Tensor | None = None,
) -> str:
    """Name the value, layer and step of a recurrent module's first value that is not finite."""
    if table is not None:
        packed = ragged.replace(packed, functional.embedding(packed.data, table))
    if not packed.data.isfinite().all():
        return f"the input of {name} is not finite at step {_bad_steps(packed.data, packed)[0]}"
    for trace in module.trace(packed, hx):
        found = _first_in_layer(name, trace, packed)
        if found:
            return found
    return f"module {name} gives values not finite"


def _tensors(output: Any) -> Iterator[Tensor]:
    """Yield every tensor of floating point within a module's output."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, tuple | list):  # a PackedSequence is a tuple
        for value in output:
            yield from _tensors(value)


def _at_step(output: Any, batches: list[PackedSequence]) -> str:
    """Return the first bad step, where the output has a row for each token of the batch."""
    data = output.data if isinstance(output, PackedSequence) else output
    if not isinstance(data, Tensor) or not data.dim() or not batches:
        return ""
    if len(data) != len(batches[-1].data):
        return ""
    return f" at step {_bad_steps(data, batches[-1])[0]}"


def _first_in_layer(name: str, trace: Trace, tokens: PackedSequence) -> str:
    """Return the earliest step's first value, in the order of the equations; "" if all is well."""
    worst: tuple[int, str] | None = None
    for value, data in trace.values.items():
        if data.isfinite().all():
            continue
        steps = _bad_steps(data, tokens)
        step = steps[-1] if trace.reverse else steps[0]
        earlier = worst is None or (step > worst[0] if trace.reverse else step < worst[0])
        if earlier:
            worst = step, value
    if worst is None:
        return ""
    direction = " (backwards)" if trace.reverse else ""
    return (
        f"{worst[1]} of {name} layer {trace.layer + 1}{direction} is not finite at step {worst[0]}"
    )


def _bad_steps(values: Tensor, tokens: PackedSequence) -> list[int]:
    """Return the steps, from 1, at which a row of ``values`` (N, ...) is not finite, rising."""
    bad = (~values.flatten(1).isfinite().all(dim=1)).nonzero().flatten().cpu()
    ends = tokens.batch_sizes.cumsum(0)
    return [int(step) + 1 for step in torch.searchsorted(ends, bad, right=True)]
