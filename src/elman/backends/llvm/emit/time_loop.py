"""The function `run`: the loop over time.

Rows of a batch do not depend on each other, so each thread walks its own through all steps and no
thread waits for another. A group of rows goes through all its steps before the next one, so that
its states stay in the first caches.
"""

from collections.abc import Iterator, Mapping, Sequence

from elman.backends.llvm.emit import means
from elman.backends.llvm.emit.amx_loops import amx_loops
from elman.backends.llvm.emit.assembly import Function, Value, integer
from elman.backends.llvm.emit.frame import ZERO, Frame, Place, RowGroup
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.emit.phase import PhaseCode
from elman.backends.llvm.emit.states import StateCopies
from elman.backends.llvm.emit.vector_loops import vector_loops
from elman.schedule.kernel import State


class TimeLoop:
    """The loops over groups of rows, steps and phases."""

    def __init__(self, layout: Layout) -> None:
        self.frame = Frame(layout)
        self.f, self.kernel = self.frame.f, self.frame.kernel

    def functions(self) -> list[Function]:
        """The functions that the loops call, and the one that holds the loops."""
        self.f.loop(self.frame.rows, self._group, step=self.frame.layout.group, stem="group")
        run = self.frame.finish()
        return [*self.frame.functions.values(), run]

    def _group(self, first: Value, _: list[Value]) -> list[Value]:
        """All steps of a group; both halves of a double state change places from step to step."""
        f, frame = self.f, self.frame
        size = integer("i64", frame.layout.group)
        group = RowGroup(first, f.minimum(f.sub(frame.rows, first), size))
        states = StateCopies(frame, group)
        states.begin()
        doubles = [state for state in self.kernel.states if state.double]
        halves = [pointer for state in doubles for pointer in frame.buffers(state)]

        def each(step: Value, carried: list[Value]) -> list[Value]:
            up = f.compare("sgt", frame.direction, ZERO)
            other = f.sub(f.sub(frame.steps, integer("i64", 1)), step)
            pairs = dict(zip(doubles, _twos(carried), strict=True))
            self._step(group, f.select(up, step, other), pairs)
            return [pointer for pair in _twos(carried) for pointer in reversed(pair)]

        f.loop(frame.steps, each, halves, stem="step")
        states.end()
        return []

    def _step(
        self, group: RowGroup, t: Value, doubles: Mapping[State, tuple[Value, Value]]
    ) -> None:
        """All phases of a step, for the rows that are that long."""
        f, frame = self.f, self.frame
        size = f.load("i64", f.at(frame.sizes, t, "i64"), 8)
        start = f.load("i64", f.at(frame.starts, t, "i64"), 8)
        running = f.sub(frame.share(size), group.first)
        active = f.minimum(running, group.count)
        row = frame.row(group, ZERO)
        buffers = {
            state.name: doubles.get(state) or frame.buffers(state) for state in self.kernel.states
        }
        place = Place(f.add(start, row), row, buffers)
        with f.when(f.compare("sgt", active, ZERO)):
            for index in range(len(self.kernel.phases)):
                self._phase(index, active, place)

    def _phase(self, index: int, active: Value, place: Place) -> None:
        self.f.comment(f"phase {index}")
        before = self.kernel.phases[index - 1].averaged if index else ()
        means.finish(self.frame, before, active)
        means.clear(self.frame, self.kernel.phases[index].averaged, active)
        phase = PhaseCode(self.frame, index, active=active, place=place)
        if not phase.phase.roots:
            return
        if not phase.chunks:
            phase.elementwise((ZERO, integer("i64", phase.shape.blocks)), (ZERO, active), width=1)
        elif self.frame.shape.amx:
            amx_loops(phase)
        else:
            vector_loops(phase)


def _twos(values: Sequence[Value]) -> Iterator[tuple[Value, Value]]:
    return zip(values[::2], values[1::2], strict=True)
