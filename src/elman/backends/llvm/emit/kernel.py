"""From a kernel as data to LLVM's assembly: the module of one kernel.

`Layout` says where all lies. A call runs `outline` once, and then `pack` and `run` in every thread;
beside them stand the functions for tiles of products, an entry for all three in one thread, and
entries for teams of OpenMP threads.
"""

from elman.backends.llvm.emit.amx import panels
from elman.backends.llvm.emit.assembly import module
from elman.backends.llvm.emit.entry import team, whole
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.emit.packing import Pack
from elman.backends.llvm.emit.partition import Outline
from elman.backends.llvm.emit.time_loop import Run


class Emitter(Layout):
    """A layout that is written out, as the functions of a module."""

    def text(self) -> str:
        """The assembly."""
        shared = panels.functions() if self.shape.tiles else []
        own = [*Run(self).functions(), Pack(self).function(), Outline(self).function()]
        entries = [*(team(name, self.words) for name in ("run", "pack"))]
        entries.append(whole(self.words, ("pack", "run") if self.stacks else ("run",)))
        return module([*shared, *own, *entries])
