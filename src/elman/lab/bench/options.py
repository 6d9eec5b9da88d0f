"""What is asked for. Nothing here imports torch: a wrong option is answered at once."""

import os
import re
from typing import NamedTuple

import msgspec

from elman.cells import find, split_names
from elman.errors import ConfigError

WORKS = {
    "ragged": "training step on a PackedSequence, lengths uniform between T/4 and T",
    "dense": "training step on rows of equal length",
    "stream": "one step of one row without gradients, H = 128, states carried from call to call",
    "threads": "training step on rows of equal length, all threads beside one, B of 64 and more",
    "flops": "FLOP a second in the loop of a dense training step, beside the lstm's; timed and "
    "counted as for rate",
    "rate": "FLOP a second in the loop of a dense training step, beside a bare loop of fused "
    "multiply-adds on all threads; only the seconds within the forward and the backward kernel, "
    "the packing of their weights included, and of the FLOP twice those of the loop forward: the "
    "products with the input and the gradients of weights are done outside; H of 128 and more "
    "counts for the mean and the least",
    "copy": "bytes a second in the loop of a dense training step of cells without recurrent "
    "products, timed as for rate: all that the two kernels read and write for each token, beside "
    "a copy within as much memory as they touch",
    "memory": "growth of the resident set at the peak of a dense training step, each in a fresh "
    "process after a small step has loaded all code; Elman's kernels come from the cache",
    "compile": "from a cell's graph to both its kernels for a training step of the shape's rows, "
    "which decide on AMX or vectors, wall time in a fresh process, with an "
    "empty ELMAN_CACHE (compile) and with the filled one (reload), whose files the system has in "
    "memory; llvmlite has been imported",
    "ablation": "training step of the compiled backend on rows of equal length beside the same "
    "with one knob of its tuning turned off (elman.lab.bench.ablation.KNOBS); a knob that changes "
    "nothing for a cell and shape is left out there",
}
"""What can be measured, and how."""

ALL_WORKS = tuple(name for name in WORKS if name != "ablation")
"""What compares Elman with others."""

PEERS = {
    "torch": "torch.nn.LSTM, GRU and RNN",
    "eager": "a PyTorch loop over steps, with one product for all gates",
    "jax": "jax.lax.scan under jit",
}
DEFAULT_WORKS = ("ragged", "dense", "stream")
DEFAULT_CELLS = (
    "lstm",
    "gru",
    "elman",
    "mut1",
    "lstm_peephole",
    "layer_norm(lstm)",
    "zoneout(lstm)",
)


class Shape(NamedTuple):
    """Sizes of a batch and a layer."""

    steps: int
    rows: int
    input_size: int
    hidden_size: int

    def __str__(self) -> str:
        return ",".join(map(str, self))


SHAPES = tuple(
    Shape(*sizes)
    for sizes in (
        (18, 128, 16, 64),
        (27, 128, 30, 20),
        (50, 64, 100, 200),
        (35, 20, 200, 200),
        (35, 20, 650, 650),
        (60, 32, 300, 256),
        (100, 32, 256, 256),
        (100, 64, 512, 512),
    )
)
"""From surnames, over short sequences and sentences, to language models."""
SMALL = SHAPES[:4]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """A request to `bench`.

    Raises:
        ConfigError: saying which option cannot work.
        CellError: there is no such cell.
    """

    works: tuple[str, ...] = DEFAULT_WORKS
    cells: tuple[str, ...] = ()
    """None given: those that each work is meant for."""
    shapes: tuple[Shape, ...] = SMALL
    threads: tuple[int, ...] = ()
    """Each count is measured in a process of its own; none given: one for each core."""
    repeats: int = 9
    """Rounds; each gives one ratio."""
    sample_ms: float = 10.0
    """A sample repeats its step until it takes as long as this."""
    against: tuple[str, ...] = ()
    """None given: torch where it has the cell, else the eager loop and JAX."""

    def __post_init__(self) -> None:
        _check_names("--work", self.works, WORKS)
        _check_names("--against", self.against, PEERS)
        for cell in self.cells:
            find(cell)
        for shape in self.shapes:
            if min(shape) < 1:
                raise ConfigError(
                    f"the shape {shape} has a size under 1; give T,B,I,H of at least 1"
                )
        if self.repeats < 1:
            raise ConfigError(f"--repeats is {self.repeats}; it must be 1 or more")
        cores = available_cores()
        for count in self.threads:
            if not 1 <= count <= cores:
                raise ConfigError(f"--threads is {count}; this process may use 1 to {cores} cores")


def _check_names(option: str, names: tuple[str, ...], allowed: dict[str, str]) -> None:
    for name in names:
        if name not in allowed:
            raise ConfigError(f"{option} names {name!r}; there are {', '.join(allowed)}")


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_shape(text: str) -> tuple[Shape, ...]:
    """The shapes that ``small``, ``all`` or ``T,B,I,H`` means.

    Raises:
        ConfigError: it is none of these.
    """
    named = {"small": SMALL, "all": SHAPES}
    if text in named:
        return named[text]
    if not re.fullmatch(r"\d{1,6}(,\d{1,6}){3}", text):
        raise ConfigError(f"--shapes is {text!r}; give small, all, or T,B,I,H as in 18,128,16,64")
    return (Shape(*map(int, text.split(","))),)


def read_cells(text: str) -> tuple[str, ...]:
    """Names with commas between them; a comma within brackets is part of a name."""
    return tuple(dict.fromkeys(split_names(text)))
