"""What of the machine a run or a model is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from elman.errors import ConfigError


def check_device(name: str) -> None:
    """Refuse a device that torch cannot use here; imports torch for any but the CPU.

    Raises:
        ConfigError: with the reason.
    """
    if name == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda is not None
        reason = "torch finds no GPU here" if built else "this torch is built for the CPU alone"
        raise ConfigError(f"device is {name}, but {reason}; leave it out to use the CPU")


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch and the compiled kernels, which run in torch's threads, use so many at most.

    Args:
        count: None leaves it as it is.
    """
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
