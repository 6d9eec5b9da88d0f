"""The knobs of emitted code: what could be otherwise and computes the same.

``elman bench --work ablation`` measures each of them turned off beside the default.
"""

from dataclasses import dataclass
from typing import NamedTuple


class TileLimits(NamedTuple):
    """What a tile of sums may take of the vector registers."""

    accumulators: int
    """Of a chunk, at most."""
    vectors: int
    """Sums of one row side by side: each takes a register of weights."""
    registers: int
    """For all sums. Beside them there must be room for the weights and a broadcast number."""


_NARROW = TileLimits(accumulators=3, vectors=2, registers=12)
_WIDE = TileLimits(accumulators=6, vectors=4, registers=24)
_TALL = TileLimits(accumulators=2, vectors=2, registers=24)


@dataclass(frozen=True, eq=False)
class CodeTuning:
    """Knobs that change a kernel's assembly; compared by identity, as it is part of a key that each
    call looks up."""

    row_group: int = 48
    """Rows that go through time together: few enough that their states stay in the L1 and L2
    caches, many enough that a block of weights is read once for several tiles."""
    amx_wide_group: int = 2 << 20
    """Bytes of packed weights from which twice as many rows share them on the matrix unit."""

    # Tiles -----------------------------------------------------------------------------------

    narrow: TileLimits = _NARROW
    """Where there are 16 registers."""
    wide: TileLimits = _WIDE
    """Where there are 32: a wide tile makes more of each broadcast number."""
    tall: TileLimits = _TALL
    """The same for weights from far away: a tall tile makes more of each vector of them."""
    tall_from: int = 2 << 20
    """Bytes of a phase's weights from which they come from the third cache or from memory."""

    # Prefetch of weights ---------------------------------------------------------------------

    prefetch_weights_from: int = 3 << 19
    """Bytes of a phase's weights that leave no room in a second cache for anything else."""
    prefetch_weights_ahead: int = 2048
    """So many bytes ahead such weights are asked for: the processor's own guess ends at the next
    page, and pages are short beside a row of blocks. (Measured at H = 650: 15 % faster.)"""

    # Large products on the matrix unit -------------------------------------------------------

    product_depth: int = 256
    """Units of a block."""
    product_width: int = 24
    """Panels in a block of the right operands: with the depth 1.1 MiB, in a second cache of 2."""


CODE = CodeTuning()
"""As measured on processors of 2023."""
NEVER = 1 << 62
"""For a knob that says from how much on something is done."""
