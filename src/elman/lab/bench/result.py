"""What was measured, and what it comes to."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from elman.lab.bench.machine import Machine
from elman.lab.bench.options import Options, Shape


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One work, cell and shape beside one peer."""

    work: str
    cell: str
    shape: Shape
    threads: int
    backend: str
    """What ran the cell."""
    against: str = ""
    """Beside what; empty where the figure stands for itself."""
    unit: str = "ms"
    ours: float
    """The median over the rounds."""
    theirs: float | None = None
    ratios: list[float] = []
    """How many times better than the peer, round by round: more is better."""
    counts: bool = True
    """Whether it is part of the summary."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The median of the ratios."""
        return float(np.median(self.ratios)) if self.ratios else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """The 10th and the 90th percentile of the ratios."""
        if not self.ratios:
            return None
        low, high = np.percentile(self.ratios, (10, 90))
        return float(low), float(high)


class Skipped(msgspec.Struct, frozen=True):
    """What was not measured, and why."""

    what: str
    why: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One work and cell beside one peer, over all shapes that count."""

    work: str
    cell: str
    against: str
    threads: int
    shapes: int
    geometric_mean: float
    lowest: float
    lowest_shape: Shape


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `elman bench` prints."""

    machine: Machine
    options: Options
    how: dict[str, str]
    """How each work is measured."""
    seconds: float
    summary: list[Summary]
    rows: list[Row]
    skipped: list[Skipped]


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """The geometric mean and the lowest of the ratios, over the shapes that count."""
    groups: dict[tuple[str, str, str, int], list[tuple[float, Shape]]] = {}
    for row in rows:
        if row.ratio is not None and row.counts:
            key = (row.work, row.cell, row.against, row.threads)
            groups.setdefault(key, []).append((row.ratio, row.shape))
    return [_summary(key, ratios) for key, ratios in groups.items()]


def _summary(key: tuple[str, str, str, int], ratios: list[tuple[float, Shape]]) -> Summary:
    work, cell, against, threads = key
    lowest, shape = min(ratios)
    return Summary(
        work=work,
        cell=cell,
        against=against,
        threads=threads,
        shapes=len(ratios),
        geometric_mean=math.exp(sum(math.log(ratio) for ratio, _ in ratios) / len(ratios)),
        lowest=lowest,
        lowest_shape=shape,
    )


def to_plain(result: Result) -> dict[str, object]:
    """The result as JSON has it, medians and spreads written out."""
    document = msgspec.to_builtins(result)
    for row, plain in zip(result.rows, document["rows"], strict=True):
        low, high = row.spread or (None, None)
        plain.update(ratio=row.ratio, low=low, high=high)
    return dict(document)


def to_json(result: Result) -> bytes:
    """The same as indented text; `table.read` reads it."""
    return msgspec.json.format(msgspec.json.encode(to_plain(result)), indent=1) + b"\n"
