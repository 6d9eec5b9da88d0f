"""Recurrent layers over ragged batches, as PyTorch modules."""

from elman.nn.drop_in import GRU, LSTM, RNN
from elman.nn.recurrent import Recurrent, Trace

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "Trace"]
