"""From a kernel as data to LLVM's assembly: the module of one kernel.

`Layout` says where all lies. `pack` and `run` are the functions that a call runs in every thread;
beside them stand the functions for tiles of products, and entries for teams of OpenMP threads.
"""

from elman.backends.llvm.builder import module
from elman.backends.llvm.entry import team
from elman.backends.llvm.layout import Layout
from elman.backends.llvm.pack import Pack
from elman.backends.llvm.run import Run


class Emitter(Layout):
    """A layout that is written out: ``pack`` and ``run``, each called by every thread."""

    def text(self) -> str:
        """The assembly."""
        teams = (team(name, self.words) for name in ("run", "pack"))
        return module([*Run(self).functions(), Pack(self).function(), *teams])
