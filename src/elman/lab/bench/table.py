"""A result as Markdown, for a README."""

from pathlib import Path

import msgspec

from elman.errors import DataError
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
        lines += ["| work | cell | I, H | figure |", "|---|---|---|---|", *map(_figure, alone), ""]
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


def _line(row: Summary) -> str:
    least = f"{row.lowest:.2f} at {row.lowest_shape}"
    mean = f"{row.geometric_mean:.2f}"
    return f"| {row.work} | {row.cell} | {row.against} | {row.threads} | {mean} | {least} |"


def _figure(row: Row) -> str:
    sizes = f"{row.shape.input_size}, {row.shape.hidden_size}"
    return f"| {row.work} | {row.cell} | {sizes} | {row.ours:.3g} {row.unit} |"
