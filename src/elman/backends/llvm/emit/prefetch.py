"""What memory to ask for while products are accumulated, so that it is there when it is needed.

Elementwise work streams through arrays that are far larger than the caches, a few lines of each
row at a time: too short a piece for the processor to guess what comes next.
"""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import NamedTuple

from elman.backends.llvm.emit.layout import Layout
from elman.schedule.kernel import Kernel, Phase, Slot


class Prefetch(NamedTuple):
    """Lines of an array that a tile's elementwise work will touch in each row."""

    array: str
    following: bool
    """Whether in the step that comes next."""
    offsets: tuple[tuple[int, int], ...]
    """Bytes from the row's first, and 1 where the line will be written."""


def prefetches(layout: Layout, phase: Phase) -> tuple[Prefetch, ...]:
    """What a phase with products asks for, array by array.

    Phases without products have no time to wait for memory, so the phase with products before
    them asks in their place, and the last one of a step for the step that follows.
    """
    if not layout.tuning.prefetch_elementwise:
        return ()
    phases = layout.kernel.phases
    at = phases.index(phase)
    later = [index for index in range(at + 1, len(phases)) if phases[index].accumulators]
    same = phases[at : later[0] if later else len(phases)]
    ahead = [] if later else list(takewhile(lambda phase: not phase.accumulators, phases))
    size = layout.shape.hidden_size * layout.lanes.bytes_each
    lines: dict[tuple[str, bool], list[tuple[int, int]]] = {}
    for served, following in ((same, False), (ahead, True)):
        for slot, write in _touched(layout.kernel, served).items():
            if layout.arrays[slot.array].kind == "token":
                offsets = lines.setdefault((slot.array, following), [])
                offsets.append((slot.column * size, write))
    return tuple(Prefetch(*key, tuple(offsets)) for key, offsets in lines.items())


def _touched(kernel: Kernel, phases: Iterable[Phase]) -> Mapping[Slot, int]:
    """The slots that these phases read and write, and 1 for those that are written."""
    phases = list(phases)
    read = {kernel.leaves[node]: 0 for phase in phases for node in kernel.loaded(phase)}
    return read | {slot: 1 for phase in phases for _, slot in phase.stores}
