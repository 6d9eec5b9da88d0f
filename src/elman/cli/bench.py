"""`elman bench`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from elman.cli import screen
from elman.cli.options import Flag, Json, Whole
from elman.errors import ConfigError
from elman.text.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elman.lab.bench import Result, Row


def bench(
    *,
    work: str = "ragged,dense,stream",
    cells: str = "",
    shapes: list[str] | None = None,
    threads: str = "",
    against: str = "",
    repeats: Whole | None = None,
    quick: Flag = False,
    json: Json = False,
    out: Path | None = None,
    readme: Path | None = None,
) -> None:
    """Measure the speed of cells beside torch, an eager loop and JAX.

    Elman and its peers are measured in turn within one run, so a slow second of the machine falls
    on both; each round gives a ratio, and the table has their median and spread.

    Parameters
    ----------
    work
        Names with commas between them: ragged, dense, stream, threads, flops, rate, copy,
        memory, compile, ablation; or all (but ablation, which asks what each knob of the compiled
        backend gains).
    cells
        Names with commas between them, or file.py:name (those that each work is meant for).
    shapes
        small, all, or steps, rows, I and H as in 18,128,16,64; may be given again (small).
    threads
        Counts with commas between them, each in a process of its own (one for each core).
    against
        Peers with commas between them: torch, eager, jax (torch where it has the cell, else the
        other two).
    repeats
        Rounds (9; with --quick 3).
    quick
        Two shapes, three short rounds: whether it works, not how fast it is.
    out
        A file for the JSON document.
    readme
        Measure nothing: print the Markdown table of a file that --out wrote.
    """
    from elman.lab import bench as lab

    if readme is not None:
        sys.stdout.write(lab.markdown(lab.read(readme)))
        return
    chosen = shapes or (["18,128,16,64", "27,128,30,20"] if quick else ["small"])
    options = lab.Options(
        works=lab.ALL_WORKS if work.strip() == "all" else _names(work),
        cells=lab.read_cells(cells),
        shapes=tuple(dict.fromkeys(shape for text in chosen for shape in lab.read_shape(text))),
        threads=tuple(_count(text) for text in _names(threads)),
        repeats=repeats if repeats is not None else 3 if quick else 9,
        sample_ms=2.0 if quick else 10.0,
        against=_names(against),
    )
    if not options.works:
        raise ConfigError(f"--work names nothing; there are {', '.join(lab.WORKS)}")
    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")
    result = lab.bench(options, on_row=None if json else _print_row)
    if out is not None:
        out.write_bytes(lab.to_json(result))
    if json:
        screen.print_json(lab.to_plain(result))
    else:
        _print(result)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"--threads names {text!r}; give whole numbers, as in 1,2")
    return int(text)


def _print_row(row: Row) -> None:
    print(
        f"{row.work} {row.cell} at {row.shape}, {_threads(row.threads)}: {row.ours:.3g} {row.unit}"
        + (f", {row.ratio:.2f} times {row.against}" if row.ratio is not None else ""),
        file=sys.stderr,
    )


def _threads(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"


def _print(result: Result) -> None:
    from elman.lab.bench import knobs, where

    print(where(result))
    print(
        "Ratios say how many times better than the peer: more is better. In brackets the 10th and "
        "the 90th percentile of the rounds.\n"
    )
    rows = [row for row in result.rows if row.work != "ablation"]
    if rows:
        _print_rows(rows)
    summary = [line for line in result.summary if line.work != "ablation"]
    if summary:
        print("\nOver all shapes")
        _print_table(
            ("work", "cell", "beside", "threads", "shapes", "mean", "least", "at T,B,I,H"),
            [
                (
                    *(line.work, line.cell, line.against, str(line.threads), str(line.shapes)),
                    *(f"{line.geometric_mean:.2f}", f"{line.lowest:.2f}", str(line.lowest_shape)),
                )
                for line in summary
            ],
        )
    for title, (head, *lines) in knobs(result.rows):
        print(f"\nHow many times as long a step takes without each knob: {title}")
        _print_table(head, lines)
    for left in result.skipped:
        print(f"left out: {left.what} ({left.why})")


def _print_rows(rows: Sequence[Row]) -> None:
    _print_table(
        (
            *("work", "cell", "T,B,I,H", "threads", "backend"),
            *("Elman", "peer", "beside", "ratio", "note"),
        ),
        [
            (
                *(row.work, row.cell, str(row.shape), str(row.threads), row.backend),
                f"{row.ours:.3g} {row.unit}",
                "" if row.theirs is None else f"{row.theirs:.3g} {row.unit}",
                row.against,
                _ratio(row),
                row.note,
            )
            for row in rows
        ],
    )


def _ratio(row: Row) -> str:
    if row.spread is None:
        return ""
    low, high = row.spread
    return f"{row.ratio:.2f} ({low:.2f}-{high:.2f})"


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print whole lines however narrow the terminal is: they go into files and mails."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print(visible("  ".join(cells).rstrip()))
