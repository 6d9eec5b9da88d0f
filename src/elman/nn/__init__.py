"""Recurrent layers over ragged batches, as PyTorch modules."""

from elman.nn.drop_in import GRU, LSTM, RNN
from elman.nn.recurrent import Recurrent, Trace
from elman.nn.streaming import State

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "State", "Trace"]
