"""The knobs of calls: thresholds from which one way is faster than another.

A result may differ by its rounding from one setting to another, and by nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from elman.backends.llvm.emit.tuning import CODE, CodeTuning


@dataclass(frozen=True, eq=False)
class Tuning:
    """All knobs: of the code, and of the calls around it."""

    code: CodeTuning = CODE

    # Kernels on the matrix unit: from so many units, rows, and rows of each thread on. (Measured:
    # from 16 rows a thread on it is faster than vectors; with 20 in all it is not, since its
    # weights take half as much memory again.) Few threads decide alike, so that results do not
    # depend on their number.
    amx_units: int = 64
    amx_rows: int = 32
    amx_rows_per_thread: int = 12

    # Products on the matrix unit: nanoseconds for a call, for a product of two numbers, and for a
    # number to be split and packed, beside those for a product without the unit, which takes longer
    # where the left operand lies across.
    amx_call: float = 5000
    amx_product: float = 1 / 140
    amx_split: float = 0.4
    vectors_along: float = 1 / 72
    vectors_across: float = 1 / 55

    # Products by torch
    transposed_tokens: int = 4
    """From so many tokens on, as a multiple of the operand's width, the gradient of weights is the
    transposed product and a copy. (Measured with MKL, AVX-512, H = 64..512: with many tokens 5 to
    15 % faster, with few slower.)"""

    # Threads
    rows_per_thread: int = 4
    """Rows of a kernel that are worth a thread."""
    work_per_thread: int = 100_000
    """Tokens times H squared that are."""
    products_per_thread: int = 1 << 20
    """Products of two numbers that are, in a product of matrices."""

    # Memory
    shared_output: bool = True
    """Whether the outputs of the step before are kept as the output itself, shifted by a step."""
    borrow_from: int = 4 << 20
    """Bytes from which a piece of memory is lent again rather than freed."""


current = Tuning()
"""What calls go by; all threads share it."""


@contextmanager
def tuned(tuning: Tuning) -> Iterator[None]:
    """Have all calls meanwhile go by other knobs."""
    global current
    before, current = current, tuning
    try:
        yield
    finally:
        current = before
