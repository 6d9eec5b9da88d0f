"""`elman explain`."""

from __future__ import annotations

import sys
from typing import Literal

from elman.cli import screen
from elman.cli.options import Json, Whole
from elman.text.terminal import visible

Stage = Literal["equations", "graph", "adjoint", "schedule", "kernel", "llvm", "asm"]


def explain(
    cell: str,
    /,
    *,
    stage: Stage = "equations",
    hidden_size: Whole = 128,
    dtype: Literal["float32", "float64"] = "float32",
    kernel: Literal["inference", "forward", "backward"] | None = None,
    amx: bool = False,
    json: Json = False,
) -> None:
    """Show what the compiler makes of a cell, stage by stage.

    Parameters
    ----------
    cell
        A cell of the zoo, file.py:name, or modifiers around one: "layer_norm(lstm)".
    stage
        Which stage, in the compiler's order.
    hidden_size
        H, for which kernel, llvm and asm are made.
    dtype
        Of the numbers, for the same.
    kernel
        Which kernel to show; forward for kernel, llvm and asm, both for schedule.
    amx
        For the same, the kernel for a processor's matrix unit (AMX), which batches of 32 rows and
        layers of 64 units or more take in float32.
    """
    from elman.cells import find
    from elman.lab import explain as library

    chosen = find(cell)
    text = library.explain(
        chosen, stage, hidden_size=hidden_size, dtype=dtype, kernel=kernel, amx=amx
    )
    if json:
        screen.print_json({"cell": chosen.name, "stage": stage, "text": text})
        return
    for line in text.splitlines():
        sys.stdout.write(f"{visible(line.expandtabs())}\n")
