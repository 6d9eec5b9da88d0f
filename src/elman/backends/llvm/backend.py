"""The compiled backend: one fused kernel for all steps of a layer in one direction."""

import torch
from torch import Tensor

from elman.backends.base import (
    RUNS,
    Backend,
    Run,
    States,
    Stepper,
    Weights,
    checked,
    under_torch_tracing,
)
from elman.backends.llvm.call import torch_ops as library
from elman.backends.llvm.call.autograd import recurrence
from elman.backends.llvm.call.passes import Call
from elman.backends.llvm.call.signature import before_the_loop, signature_of
from elman.backends.llvm.call.stepper import LlvmStepper
from elman.backends.llvm.native import host
from elman.ir.graph import Graph

_DTYPES = (torch.float32, torch.float64)


class Llvm(Backend):
    """Kernels that LLVM compiles for this machine's processor."""

    name = "llvm"
    unable = False
    """Whether it is known not to run on this machine. (Where torch.compile looks on, it may read
    this, and nothing that it has read may change before it is done: finding out that all is well
    must leave no trace.)"""

    def unsupported_reason(
        self, graph: Graph, *, device: torch.device, dtype: torch.dtype
    ) -> str | None:
        """Another device or type of number, no llvmlite, or an unknown processor."""
        if device.type != "cpu":
            return f"its kernels run on the CPU, not on {device.type}"
        if dtype not in _DTYPES:
            return f"its kernels take float32 and float64, not {dtype}"
        return self.unsupported_machine_reason()

    def unsupported_machine_reason(self) -> str | None:
        """No llvmlite, or an unknown processor."""
        try:
            host.detect()
        except host.UnsupportedError as error:
            self.unable = True
            return str(error)
        return None

    def run(self, run: Run) -> tuple[Tensor, States]:
        """As every backend; where something looks on, through an operator that it knows."""
        if under_torch_tracing(run.data, *run.weights.values(), *run.states):
            run = checked(run.looked_up)
            # The operator's own implementation counts the run, each time that it comes to it.
            return library.run(run, before_the_loop(signature_of(run.graph), run))
        run = checked(run if _is_cheaper_by_table(run) else run.looked_up)
        RUNS[self.name] += 1
        return self._run(run)

    def stepper(
        self, graph: Graph, weights: Weights, rows: int, table: Tensor | None = None
    ) -> Stepper:
        """One that packs its weights once."""
        return LlvmStepper(self, graph, weights, rows, table)

    def _run(self, run: Run) -> tuple[Tensor, States]:
        signature, (rows, size) = signature_of(run.graph), run.states[0].shape
        # As kernels read them.
        indices = None if run.table is None else run.data.long().contiguous()
        tokens = run.data.shape[0]
        call = Call(
            signature, size, run.batch_sizes, rows, tokens, reverse=run.reverse, indices=indices
        )
        return recurrence(call, before_the_loop(signature, run))


def _is_cheaper_by_table(run: Run) -> bool:
    """Whether to multiply the whole table rather than each token's vector.

    Indices are addresses to a kernel, so what is no row of the table is left to torch's error.
    """
    table, indices = run.table, run.data
    if table is None or len(table) >= len(indices):
        return False
    program = signature_of(run.graph).program
    if not program.products or program.given:
        return False
    lowest, highest = torch.aminmax(indices)
    return int(lowest) >= 0 and int(highest) < len(table)
