"""Writing token by token, with any model that reads one token a row and scores the next."""

from elman.nn.decoding.beam import Hypothesis, beam_search
from elman.nn.decoding.filters import Sampling, log_probabilities, probabilities
from elman.nn.decoding.recurrent import RecurrentStepper
from elman.nn.decoding.sampling import Written, sample
from elman.nn.decoding.stepper import Stepper
from elman.nn.streaming import Clamp

__all__ = [
    "Clamp",
    "Hypothesis",
    "RecurrentStepper",
    "Sampling",
    "Stepper",
    "Written",
    "beam_search",
    "log_probabilities",
    "probabilities",
    "sample",
]
