"""The compiled backend: one fused kernel for all steps of a layer in one direction."""

import torch
from torch import Tensor
from torch.nn import functional

from elman.backends.base import (
    RUNS,
    Backend,
    Masks,
    States,
    Stepper,
    Weights,
    checked_masks,
    is_watched,
)
from elman.backends.llvm import engine, library
from elman.backends.llvm.call import Call, forward
from elman.backends.llvm.function import recurrence
from elman.backends.llvm.plan import before_the_loop, plan
from elman.backends.llvm.stepper import LlvmStepper
from elman.ir.graph import Graph

_DTYPES = (torch.float32, torch.float64)


class Llvm(Backend):
    """Kernels that LLVM compiles for this machine's processor."""

    name = "llvm"
    able: bool | None = None
    """Whether it runs on this machine, once that was asked for."""

    def reason_against(
        self, graph: Graph, *, device: torch.device, dtype: torch.dtype
    ) -> str | None:
        """Another device or type of number, no llvmlite, or an unknown processor."""
        if device.type != "cpu":
            return f"its kernels run on the CPU, not on {device.type}"
        if dtype not in _DTYPES:
            return f"its kernels take float32 and float64, not {dtype}"
        return self.reason_against_machine()

    def reason_against_machine(self) -> str | None:
        """No llvmlite, or an unknown processor."""
        try:
            engine.host()
        except engine.UnsupportedError as error:
            self.able = False
            return str(error)
        self.able = True
        return None

    def run(
        self,
        graph: Graph,
        weights: Weights,
        data: Tensor,
        batch_sizes: Tensor,
        states: States,
        *,
        reverse: bool = False,
        masks: Masks | None = None,
        table: Tensor | None = None,
    ) -> tuple[Tensor, States]:
        """As every backend; where something looks on, through an operator that it knows."""
        watched = is_watched(data, *weights.values(), *states)
        if table is not None and (watched or not _is_cheaper(graph, data, table)):
            data, table = functional.embedding(data, table), None
        if table is not None:
            drawn = checked_masks(graph, masks, len(data), states[0])
            RUNS[self.name] += 1
            indices = data.long().contiguous()  # as kernels read them
            return self._recur(graph, weights, table, batch_sizes, states, reverse, drawn, indices)
        if not watched:
            return super().run(
                graph, weights, data, batch_sizes, states, reverse=reverse, masks=masks
            )
        drawn = checked_masks(graph, masks, data.shape[0], states[0])
        parts = before_the_loop(plan(graph), weights, data, drawn, states)
        # The operator's own implementation counts the run, each time that it comes to it.
        return library.run(graph, parts, batch_sizes, reverse=reverse)

    def stepper(self, graph: Graph, weights: Weights, rows: int) -> Stepper:
        """One that packs its weights once."""
        return LlvmStepper(self, graph, weights, rows)

    def _run(
        self,
        graph: Graph,
        weights: Weights,
        data: Tensor,
        batch_sizes: Tensor,
        states: States,
        *,
        reverse: bool,
        masks: Masks,
    ) -> tuple[Tensor, States]:
        return self._recur(graph, weights, data, batch_sizes, states, reverse, masks, None)

    @staticmethod
    def _recur(
        graph: Graph,
        weights: Weights,
        data: Tensor,
        batch_sizes: Tensor,
        states: States,
        reverse: bool,
        masks: Masks,
        indices: Tensor | None,
    ) -> tuple[Tensor, States]:
        known = plan(graph)
        tokens = len(data if indices is None else indices)
        size = states[0].shape[-1]
        call = Call(known, size, batch_sizes, tokens, reverse=reverse, indices=indices)
        parts = before_the_loop(known, weights, data, masks, states)
        flat = parts.flat()
        if torch.is_grad_enabled() and any(one.requires_grad for one in flat):
            output, *finals = recurrence(call, *flat)
        else:
            output, finals, _ = forward(call, parts, keep=False)
        return output, tuple(finals)


def _is_cheaper(graph: Graph, indices: Tensor, table: Tensor) -> bool:
    """Whether to multiply the whole table rather than each token's vector.

    Indices are addresses to a kernel, so what is no row of the table is left to torch's error.
    """
    program = plan(graph).program
    if not program.products or program.given or len(table) >= len(indices):
        return False
    lowest, highest = torch.aminmax(indices)
    return int(lowest) >= 0 and int(highest) < len(table)
