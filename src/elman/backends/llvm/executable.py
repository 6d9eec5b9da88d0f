"""A kernel for one size and type of number: compiled, loaded and ready to be called."""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.backends.llvm import cache, engine, threads
from elman.backends.llvm.builder import Lanes
from elman.backends.llvm.emit import Emitter
from elman.backends.llvm.entry import WORD
from elman.backends.llvm.layout import HEADER
from elman.backends.llvm.memory import scratch
from elman.backends.llvm.tiles import Shape
from elman.errors import BackendError
from elman.schedule.kernel import Kernel

_SCALARS = {torch.float32: "float", torch.float64: "double"}
_ENTRIES = ("outline", "run", "run_team", "pack", "pack_team", "whole")
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
        self.by_tiles = tiles and self._has_matrices
        """Whether it multiplies on matrix tiles."""
        self.scratch_bytes = writer.scratch_bytes
        self.packed_bytes = writer.packed_bytes
        self.total_width = writer.shape.blocks * writer.lanes.count
        text = cache.Source(writer)
        self._alive, addresses = cache.load(text, _ENTRIES)
        self._outline, self._run, self._pack, self._whole = (
            _Entry(addresses[name]) for name in ("outline", "run", "pack", "whole")
        )
        self._run_team, self._pack_team = addresses["run_team"], addresses["pack_team"]
        self._words = ctypes.c_int64 * len(self.words)

    def prepare(self, arguments: "Arguments") -> "Prepared":
        """Lay out the arguments and pack the weights, to run the kernel many times.

        Raises:
            BackendError: the batch sizes are not those of a ragged batch of so many rows and
                tokens.
        """
        size = self._bytes(arguments)
        return self._prepare(arguments, torch.empty(size, dtype=torch.uint8, device="cpu"))

    def run(self, arguments: "Arguments") -> None:
        """Run the kernel once.

        Raises:
            BackendError: as `prepare`.
        """
        memory = scratch(self._bytes(arguments))
        if arguments.threads > 1 or _watch is not None:
            self._prepare(arguments, memory)()
            return
        # All in one call: a small batch takes no longer than a few of these.
        words = self._words_of(arguments, memory)
        self._whole(ctypes.addressof(words), 0, 1)
        _check(words, arguments)

    def _prepare(self, arguments: "Arguments", memory: Tensor) -> "Prepared":
        words, count = self._words_of(arguments, memory), arguments.threads
        self._outline(ctypes.addressof(words), 0, count)
        _check(words, arguments)
        prepared = Prepared(self, words, count, (memory, arguments.batch_sizes))
        if self._has_matrices:
            prepared.start("pack", self._pack, self._pack_team)
        return prepared

    def _bytes(self, arguments: "Arguments") -> int:
        """Of all that a call needs besides its arrays."""
        numbers = arguments.batch_sizes.shape[0] + arguments.rows + arguments.threads + 1
        return self.packed_bytes + self.scratch_bytes * arguments.threads + WORD * numbers

    def _words_of(self, arguments: "Arguments", memory: Tensor) -> Any:
        batch_sizes, rows, tokens, turn, first, last, arrays, count, indices = arguments
        steps = batch_sizes.shape[0]
        packed = memory.data_ptr()
        scratch = packed + self.packed_bytes
        starts = scratch + self.scratch_bytes * count
        lengths = starts + WORD * steps
        team = threads.team() if count > 1 else None
        return self._words(
            steps,
            rows,
            tokens,
            turn,
            batch_sizes.data_ptr(),
            starts,
            lengths,
            lengths + WORD * rows,
            scratch,
            packed,
            team.thread if team else 0,
            team.threads if team else 0,
            0 if indices is None else indices.data_ptr(),
            *[state.data_ptr() for state in first],
            *[state.data_ptr() for state in last],
            *[0 if (one := arrays[name]) is None else one.data_ptr() for name in self._arrays],
        )


def _check(words: Any, arguments: "Arguments") -> None:
    """Whether the kernel found the outline of a ragged batch."""
    if words[_TOKENS] < 0:
        raise BackendError(
            f"the batch sizes must be above 0 and never rise, begin with the {arguments.rows} rows "
            f"of the states and add up to the {arguments.tokens} tokens of the data; they are "
            f"{_shown(arguments.batch_sizes)}"
        )


class Arguments(NamedTuple):
    """What a kernel is called with."""

    batch_sizes: Tensor
    """(T,), int64, contiguous."""
    rows: int
    """B."""
    tokens: int
    """N."""
    turn: int
    """1 from the first step to the last, -1 from the last to the first."""
    first: Sequence[Tensor]
    """Each state's first values, (B, H)."""
    last: Sequence[Tensor]
    """Where its last values go, (B, H)."""
    arrays: Mapping[str, Tensor | None]
    """The kernel's arrays by name, contiguous, and ``weights.NAME`` for each stack of matrices;
    None for what is left out."""
    threads: int
    """How many."""
    indices: Tensor | None = None
    """The tokens' indices (N,), int64, where a table is read."""


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
