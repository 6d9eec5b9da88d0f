"""Speed and memory beside others, in one run.

`bench` measures Elman and its peers in turn, so that a slow second of the machine falls on both,
and reports the ratio of each pair. Only `options` and `result` are imported here: a wrong request
is answered before torch is loaded.
"""

from elman.lab.bench.options import (
    ALL_WORKS,
    SHAPES,
    SMALL,
    WORKS,
    Options,
    Shape,
    read_cells,
    read_shape,
)
from elman.lab.bench.result import Result, Row, Skipped, Summary, summarise, to_json, to_plain
from elman.lab.bench.runs import bench
from elman.lab.bench.table import knobs, markdown, read, where

__all__ = [
    "ALL_WORKS",
    "SHAPES",
    "SMALL",
    "WORKS",
    "Options",
    "Result",
    "Row",
    "Shape",
    "Skipped",
    "Summary",
    "bench",
    "knobs",
    "markdown",
    "read",
    "read_cells",
    "read_shape",
    "summarise",
    "to_json",
    "to_plain",
    "where",
]
