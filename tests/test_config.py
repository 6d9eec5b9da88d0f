"""Options of a run: what is refused, and what follows from the data."""

from typing import get_args

import numpy as np
import pytest

from elman.backends import BACKENDS
from elman.cells import ALL_CELLS
from elman.errors import ConfigError
from elman.tasks.classify.options import ClassifyOptions, settle
from elman.training.options import MACHINE, Backend


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": "3"}, "epochs is '3'; it must be a whole number"),
        ({"epochs": 1.5}, "epochs is 1.5; it must be a whole number"),
        ({"epochs": 0}, "epochs is 0; it must be 1 or more"),
        ({"hidden_size": True}, "hidden_size is True; it must be a whole number"),
        ({"learning_rate": "x"}, "learning_rate is 'x'; it must be a number"),
        (
            {"learning_rate": float("nan")},
            "learning_rate is nan; it must be a finite number, above 0",
        ),
        ({"balance": 1}, "balance is 1; it must be True or False"),
        ({"cell": 3}, "cell is 3; it must be the name of a cell"),
        ({"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and under 1"),
        ({"logit_adjustment": 2}, "logit_adjustment is 2; it must be 0 to 1"),
        ({"pairs": -1}, "pairs is -1; it must be 0 or more"),
        ({"pairs": 0.5}, "pairs is 0.5; it must be a whole number"),
        ({"pooling": "first"}, "pooling is 'first'; it must be one of last, max"),
        ({"backend": "cuda"}, "backend is 'cuda'; it must be one of auto"),
        ({"seed": -1}, "seed is -1; it must be 0 to"),
    ],
)
def test_bad_values_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        ClassifyOptions(**options)


def test_every_backend_can_be_asked_for():
    assert set(get_args(Backend)) == {"auto", *(backend.name for backend in BACKENDS)}


def test_numbers_of_numpy_and_cells_can_be_written():
    config = ClassifyOptions(epochs=np.int64(3), dropout=np.float32(0.5), cell=ALL_CELLS[0])
    written = config.to_dict()
    assert (written["epochs"], written["dropout"], written["cell"]) == (3, 0.5, "elman")


@pytest.mark.parametrize("level", ["characters", "words", "bpe"])
@pytest.mark.parametrize("count", [3, 100, 20_000, 1_000_000])
def test_everything_is_settled(level, count):
    settled = settle(ClassifyOptions(tokens=level), level=level, count=count)
    left = {k for k, v in settled.to_dict().items() if v is None and k not in MACHINE}
    asked_for_alone = {"clean", "vectors", "unlabelled", "from_", "metric", "threshold"}
    assert left == asked_for_alone | (set() if level == "bpe" else {"vocab_size"})
    assert 4 <= settled.epochs <= 60


def test_what_is_given_stays():
    given = {"epochs": 1, "hidden_size": 7, "dropout": 0.0, "token_dropout": 0.0}
    settled = settle(ClassifyOptions(**given), level="words", count=100)
    assert {name: getattr(settled, name) for name in given} == given
