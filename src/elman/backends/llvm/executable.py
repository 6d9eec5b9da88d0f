"""A kernel for one size and type of number: compiled, loaded and ready to be called."""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from elman.backends.llvm import cache, engine, threads
from elman.backends.llvm.builder import Lanes
from elman.backends.llvm.emit import Emitter
from elman.backends.llvm.entry import WORD
from elman.backends.llvm.layout import HEADER
from elman.backends.llvm.memory import borrow
from elman.backends.llvm.tiles import Shape
from elman.errors import BackendError
from elman.schedule.kernel import Kernel

_SCALARS = {torch.float32: "float", torch.float64: "double"}
_ENTRIES = ("outline", "run", "run_team", "pack", "pack_team")
_Entry: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_TOKENS = HEADER.index("tokens")


_watch: list[tuple[str, float]] | None = None


@contextmanager
def watched() -> Iterator[list[tuple[str, float]]]:
    """Fills the list with what kernels do meanwhile, in any thread, and the seconds it takes.

    Each run is there as, say, ``("backward.run", 0.003)`` and the packing of its weights as
    ``("backward.pack", 0.0001)``; within another `watched` only the inner one is told.
    """
    global _watch
    found: list[tuple[str, float]] = []
    before, _watch = _watch, found
    try:
        yield found
    finally:
        _watch = before


def emitter(
    kernel: Kernel,
    place: Mapping[str, tuple[str, int]],
    hidden_size: int,
    dtype: torch.dtype,
    *,
    tiles: bool = False,
) -> Emitter:
    """What writes the kernel's assembly for this machine; ``tiles``: for its matrix tiles."""
    here = engine.host()
    lanes: Lanes = here.lanes(_SCALARS[dtype])
    return Emitter(kernel, Shape(hidden_size, lanes, here.registers, tiles), place, lanes.scalar)


class Executable:
    """Machine code of a kernel."""

    def __init__(
        self,
        kernel: Kernel,
        place: Mapping[str, tuple[str, int]],
        hidden_size: int,
        dtype: torch.dtype,
        *,
        tiles: bool,
    ) -> None:
        writer = emitter(kernel, place, hidden_size, dtype, tiles=tiles)
        self.kernel = kernel
        self.words = writer.words
        # What the words end with.
        self._arrays = [
            *(array.name for array in kernel.arrays),
            *(f"weights.{name}" for name in writer.stacks),
        ]
        self._has_matrices = bool(writer.stacks)
        self.scratch_bytes = writer.scratch_bytes
        self.packed_bytes = writer.packed_bytes
        self.total_width = writer.shape.blocks * writer.lanes.count
        text = cache.Source(writer)
        self._alive, addresses = cache.load(text, _ENTRIES)
        self._outline, self._run, self._pack = (
            _Entry(addresses[name]) for name in ("outline", "run", "pack")
        )
        self._run_team, self._pack_team = addresses["run_team"], addresses["pack_team"]
        self._words = ctypes.c_int64 * len(self.words)

    def prepare(
        self,
        *,
        batch_sizes: Tensor,
        rows: int,
        tokens: int,
        turn: int,
        first: Sequence[Tensor],
        last: Sequence[Tensor],
        arrays: Mapping[str, Tensor | None],
        count: int,
        indices: int = 0,
    ) -> "Prepared":
        """Lay out the arguments and pack the weights, for one run or many in ``count`` threads.

        Args:
            batch_sizes: (T,), int64, contiguous.
            rows: B.
            tokens: N.
            turn: 1 from the first step to the last, -1 from the last to the first.
            first: each state's first values, (B, H).
            last: where its last values go, (B, H).
            arrays: the kernel's arrays by name, contiguous, and ``weights.NAME`` for each stack of
                matrices; None for what is left out.
            count: how many threads.
            indices: the address of the tokens' indices (N,), int64, where a table is read.

        Raises:
            BackendError: the batch sizes are not those of a ragged batch of so many tokens.
        """
        steps = batch_sizes.shape[0]
        scratch = self.packed_bytes
        starts = scratch + self.scratch_bytes * count
        lengths = starts + WORD * steps
        shares = lengths + WORD * rows
        memory = borrow(1, shares + WORD * (count + 1), torch.uint8)
        base = memory.data_ptr()
        team = threads.team() if count > 1 else None
        words = self._words(
            steps,
            rows,
            tokens,
            turn,
            batch_sizes.data_ptr(),
            base + starts,
            base + lengths,
            base + shares,
            base + scratch,
            base,
            team.thread if team else 0,
            team.threads if team else 0,
            indices,
            *[state.data_ptr() for state in first],
            *[state.data_ptr() for state in last],
            *[0 if (one := arrays[name]) is None else one.data_ptr() for name in self._arrays],
        )
        self._outline(ctypes.addressof(words), 0, count)
        if words[_TOKENS] != tokens:
            raise BackendError(
                "the batch sizes must be above 0 and never rise, and add up to the "
                f"{tokens} tokens of the data; they are {_shown(batch_sizes)}"
            )
        prepared = Prepared(self, words, count, (memory, batch_sizes))
        if self._has_matrices:
            prepared.start("pack", self._pack, self._pack_team)
        return prepared


class Prepared:
    """A kernel with its arguments. Who holds it keeps the tensors that these point to alive."""

    __slots__ = ("_address", "_alive", "_count", "_executable", "words")

    def __init__(
        self,
        executable: Executable,
        words: Any,
        count: int,
        alive: tuple[Tensor, ...],
    ) -> None:
        self.words = words
        """The arguments, to be changed between runs: see `Executable.words`."""
        self._executable = executable
        self._address = ctypes.addressof(words)
        self._count = count
        self._alive = alive

    def __call__(self) -> None:
        """Run the kernel."""
        self.start("run", self._executable._run, self._executable._run_team)

    def start(self, name: str, entry: Any, team_entry: int) -> None:
        """Call a function of the kernel in all threads."""
        watch = _watch
        if watch is None:
            self._start(entry, team_entry)
            return
        begin = perf_counter()
        self._start(entry, team_entry)
        watch.append((f"{self._executable.kernel.name}.{name}", perf_counter() - begin))

    def _start(self, entry: Any, team_entry: int) -> None:
        threads.run(entry, team_entry, self._address, self._count)


def _shown(batch_sizes: Tensor) -> str:
    some = [str(size) for size in batch_sizes[:8].tolist()]
    return ", ".join([*some, "..."] if len(batch_sizes) > len(some) else some)
