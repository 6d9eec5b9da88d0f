"""Recurrent layers over ragged batches, as PyTorch modules."""

from elman.nn.recurrent import Recurrent, Trace

__all__ = ["Recurrent", "Trace"]
