"""The request as one measuring process has it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from elman.cell import Cell
from elman.cells import find
from elman.errors import CellError
from elman.lab.bench import subjects, timing
from elman.lab.bench.options import Options
from elman.lab.bench.result import Row, Skipped
from elman.lab.bench.timing import Step

Found = Iterator[Row | Skipped]


@dataclass(frozen=True)
class Session:
    """The request as one process has it."""

    options: Options
    threads: int

    def in_turn(
        self, steps: dict[str, Step], *, kernels: Collection[str] = ()
    ) -> dict[str, list[float]]:
        """Seconds a call, round by round; of those in ``kernels`` in their kernels alone."""
        return timing.in_turn(
            steps,
            repeats=self.options.repeats,
            sample_seconds=self.options.sample_ms / 1e3,
            kernels=kernels,
        )

    def names(self, default: Sequence[str]) -> Iterator[str | Skipped]:
        """The cells asked for, or those of ``default`` that there are, by name."""
        for name in self.options.cells or default:
            try:
                find(name)
            except CellError as error:
                yield Skipped(name, str(error))
            else:
                yield name

    def cells(self, default: Sequence[str]) -> Iterator[Cell | Skipped]:
        """The same, found."""
        for name in self.names(default):
            yield name if isinstance(name, Skipped) else find(name)

    def peers(self, cell: Cell, work: str) -> tuple[str, ...]:
        """The peers asked for, or those that fit the cell and the work."""
        if self.options.against:
            return self.options.against
        if subjects.twin(cell):
            return ("torch",)
        return ("eager", "jax") if work == "dense" else ("eager",)
