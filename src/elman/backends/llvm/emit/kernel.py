"""From a kernel as data to LLVM's assembly: the module of one kernel.

`Layout` says where all lies. A call runs `partition` once, then `pack` and `run` in every thread;
beside them stand the functions for tiles of products, an entry for all three in one thread, and
entries for teams of OpenMP threads.
"""

from elman.backends.llvm.emit.amx import panels
from elman.backends.llvm.emit.assembly import module
from elman.backends.llvm.emit.entry import team, whole
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.emit.packing import Packing
from elman.backends.llvm.emit.partition import Partition
from elman.backends.llvm.emit.time_loop import TimeLoop


def write(layout: Layout) -> str:
    """The assembly of the module."""
    shared = panels.functions() if layout.shape.amx else []
    own = [*TimeLoop(layout).functions(), Packing(layout).function(), Partition(layout).function()]
    entries = [*(team(name, layout.words) for name in ("run", "pack"))]
    entries.append(whole(layout.words, ("pack", "run") if layout.stacks else ("run",)))
    return module([*shared, *own, *entries])
