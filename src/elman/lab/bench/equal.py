"""Only what computes the same is compared."""

from collections.abc import Mapping

from elman.cell import Cell
from elman.errors import LabError
from elman.lab.bench import scan
from elman.lab.bench.options import Shape
from elman.lab.bench.subjects import Training

_TOLERANCE = 1e-3
"""Of the largest value: a peer that is further off computes something else."""


def check_equal(cell: Cell, shape: Shape, steps: Mapping[str, Training]) -> None:
    """Hold outputs and the input's gradients of all against those of ``elman``.

    Raises:
        LabError: one is off by more than rounding.
    """
    results = {}
    for name, step in steps.items():
        output, grads = step()
        pair = (output, grads[0])
        if name == "jax":
            pair = (scan.to_torch(output), scan.to_torch(grads[0]))
        results[name] = [value.detach().flatten() for value in pair]
    for name, values in results.items():
        for mine, other in zip(results["elman"], values, strict=True):
            off = float((mine - other).abs().max() / other.abs().max().clamp(min=1e-30))
            if not off < _TOLERANCE:
                raise LabError(
                    f"{cell.name} at {shape}: elman and {name} differ by {off:.1e} of the largest "
                    "value; what computes something else cannot be compared"
                )
