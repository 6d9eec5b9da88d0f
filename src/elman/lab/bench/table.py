"""A result as Markdown, for a README."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from elman.errors import DataError
from elman.lab.bench.options import Shape
from elman.lab.bench.result import Result, Row, Summary


def read(path: Path) -> Result:
    """A result that `elman bench --out` wrote.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({(error.strerror or '').lower()})") from None
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: is no result of elman bench --out ({error})") from None


def markdown(result: Result) -> str:
    """The summary as Markdown: where it was measured, the ratios, and how they were taken."""
    lines = [where(result), ""]
    if result.summary:
        lines += [
            "| work | cell | beside | threads | times better, geometric mean | least, at T,B,I,H |",
            "|---|---|---|---|---|---|",
            *map(_line, result.summary),
            "",
        ]
    alone = [row for row in result.rows if row.ratio is None]
    if alone:
        lines += ["| work | cell | sizes | most, at I, H |", "|---|---|---|---|"]
        lines += [*_most(alone), ""]
    measured = {row.work for row in result.rows}
    lines += [f"- {name}: {how}" for name, how in result.how.items() if name in measured]
    return "\n".join(lines) + "\n"


def where(result: Result) -> str:
    """The machine, the versions and the number of rounds, as a sentence."""
    here = result.machine
    vectors = f", {here.vectors}" if here.vectors else ""
    versions = ", ".join(f"{name} {version}" for name, version in here.versions.items())
    ran = ", ".join(sorted({row.backend for row in result.rows})) or "nothing"
    cores = f"{here.cores} core{'' if here.cores == 1 else 's'}"
    return (
        f"{here.processor}{vectors}, {cores}, load {here.load:.1f} at the start, "
        f"{here.system}; Python {here.python}, {versions}; "
        f"{result.options.repeats} rounds in turn, median of their ratios; ran on: {ran}."
    )


def knobs(rows: Sequence[Row]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """What each knob of an ablation gains: for each cell and number of threads a title and a table.

    A figure says how many times as long a step takes without the knob, with the 10th and the 90th
    percentile of the rounds; below 1 it does harm. Where it changes nothing there is none; v marks
    one of kernels on vectors, where the usual ones are on the matrix unit.
    """
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if row.work == "ablation":
            groups.setdefault((row.cell, row.threads), []).append(row)
    for (cell, threads), group in groups.items():
        shapes = list(dict.fromkeys(row.shape for row in group))
        knobs: dict[str, dict[Shape, Row]] = {}
        for row in group:
            knobs.setdefault(row.against, {})[row.shape] = row
        head = (f"{cell} without", *map(str, shapes), "mean", "most")
        lines = [_knob(name, shapes, measured) for name, measured in knobs.items()]
        yield f"{cell}, threads: {threads}", [head, *lines]


def _knob(name: str, shapes: Sequence[Shape], measured: Mapping[Shape, Row]) -> tuple[str, ...]:
    ratios = [row.ratio for row in measured.values() if row.ratio is not None]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    figures = (_ratio(measured[shape]) if shape in measured else "" for shape in shapes)
    return (name.removeprefix("without "), *figures, f"{mean:.2f}", f"{max(ratios):.2f}")


def _ratio(row: Row) -> str:
    low, high = row.spread or (0.0, 0.0)
    vectors = " v" if row.backend != "llvm" else ""
    return f"{row.ratio:.2f} ({low:.2f}-{high:.2f}){vectors}"


def _line(row: Summary) -> str:
    least = f"{row.lowest:.2f} at {row.lowest_shape}"
    mean = f"{row.geometric_mean:.2f}"
    return f"| {row.work} | {row.cell} | {row.against} | {row.threads} | {mean} | {least} |"


def _most(rows: Sequence[Row]) -> Iterator[str]:
    """One line a work and cell, of all its sizes the one that takes the most."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.work, row.cell), []).append(row)
    for (work, cell), group in groups.items():
        most = max(group, key=lambda row: row.ours)
        at = f"{most.shape.input_size}, {most.shape.hidden_size}"
        yield f"| {work} | {cell} | {len(group)} | {most.ours:.3g} {most.unit} at {at} |"
