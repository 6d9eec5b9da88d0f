"""What a training run is told, and what follows from the data where it is not told.

Nothing here imports torch: a wrong option is answered at once.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, Literal, get_args

import msgspec

from elman.cell import Cell
from elman.errors import ConfigError
from elman.models.config import POOLINGS, Pooling
from elman.text.tokenizer import Level

Tokens = Literal["auto", "characters", "words"]
Backend = Literal["auto", "llvm", "builtin", "eager"]


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The options of a run. ``None`` means: settled from the data by ``settle``."""

    cell: str | Cell = "lstm"
    """A cell of the zoo by name, ``file.py:name``, or a cell itself."""
    tokens: Tokens = "auto"
    """What one step reads; ``auto`` takes characters for short texts and words for longer ones."""
    min_count: int | None = None
    """Tokens seen less often in training share the unknown entry (2)."""
    max_length: int | None = None
    """Longer texts are cut (512 characters or 256 words)."""
    embedding_size: int | None = None
    hidden_size: int | None = None
    """Of each direction."""
    num_layers: int = 1
    bidirectional: bool = True
    pooling: Pooling | None = None
    """How the steps become one vector: ``last`` for characters, ``max`` for words."""
    pairs: int | None = None
    """Vectors for pairs of neighbouring tokens, beside those of tokens; 0 for none."""
    dropout: float | None = None
    token_dropout: float | None = None
    """Share of training tokens read as unknown."""
    label_smoothing: float = 0.05
    """Share of each target spread over all classes (Szegedy et al. 2016): labels can be wrong."""
    logit_adjustment: float = 0.2
    """How much training leans against the class sizes: 0 not at all, 1 as if all were equal (Menon
    et al. 2021, "Long-tail learning via logit adjustment", equation 10). Dropout makes a network
    answer small classes too seldom; a little of this mends it."""
    batch_size: int | None = None
    epochs: int | None = None
    """At most; training stops earlier when the validation score no longer rises."""
    patience: int | None = None
    """Epochs without a better validation score before training stops."""
    learning_rate: float | None = None
    """The highest of the schedule."""
    weight_decay: float = 0.01
    balance: bool = False
    """Weigh each class in the loss by the inverse of its size."""
    seed: int = 0
    """Repeats a run on CPU bit for bit."""
    backend: Backend = "auto"

    def __post_init__(self) -> None:
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                wanted = {Integral: "a whole number", Real: "a number", bool: "True or False"}
                said = wanted.get(kinds[0], "the name of a cell, or a cell")
                raise ConfigError(f"{name} is {value!r}; it must be {said}")
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be 1 or more")
        if self.pairs is not None and self.pairs < 0:
            raise ConfigError(f"pairs is {self.pairs}; it must be 0 or more")
        for name in ("dropout", "token_dropout", "label_smoothing"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 0 and under 1")
        if not 0 <= self.logit_adjustment <= 1:
            raise ConfigError(f"logit_adjustment is {self.logit_adjustment}; it must be 0 to 1")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"weight_decay is {self.weight_decay}; it must be 0 or more")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed}; it must be 0 or more and under 2**63")
        _one_of("tokens", self.tokens, get_args(Tokens))
        _one_of("backend", self.backend, get_args(Backend))
        if self.pooling is not None:
            _one_of("pooling", self.pooling, POOLINGS)

    @property
    def cell_name(self) -> str:
        """The cell as it was named."""
        return self.cell if isinstance(self.cell, str) else self.cell.name

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON can hold them, a cell by its name."""
        named = msgspec.structs.replace(self, cell=self.cell_name)
        # What msgspec does not know are numbers of NumPy's.
        options: dict[str, Any] = msgspec.to_builtins(named, enc_hook=lambda number: number.item())
        return options


_COUNTS = (
    "min_count",
    "max_length",
    "embedding_size",
    "hidden_size",
    "num_layers",
    "batch_size",
    "epochs",
    "patience",
)

_KINDS: dict[str, tuple[type, ...]] = {
    "cell": (str, Cell),
    **dict.fromkeys(("num_layers", "seed"), (Integral,)),
    **dict.fromkeys(("bidirectional", "balance"), (bool,)),
    **dict.fromkeys(("weight_decay", "label_smoothing", "logit_adjustment"), (Real,)),
    **dict.fromkeys(("dropout", "token_dropout", "learning_rate"), (Real, type(None))),
    **{name: (Integral, type(None)) for name in (*_COUNTS, "pairs") if name != "num_layers"},
}

# A network needs some thousand updates, which are many epochs of a small set and few of a large
# one. So a run is given a number of updates, within these bounds of epochs.
UPDATES = 4_000
FEWEST_EPOCHS = 4
MOST_EPOCHS, MOST_EPOCHS_OF_SMALL = 30, 60
SMALL = 2_000  # texts

PAIRS = 2_039
"""A prime, so that pairs are spread evenly; those of frequent characters then seldom share one.
Measured on surnames (110 characters): 4,093 and 8,191 are no better."""


def settle(config: TrainConfig, *, level: Level, count: int, num_classes: int) -> TrainConfig:
    """Fill in every ``None`` from the kind and size of the training part.

    Args:
        config: the options as given; what is given stays.
        level: what a step reads.
        count: number of training texts.
        num_classes: C.
    """
    characters = level == "characters"
    batch_size = config.batch_size or _power_of_two(count / 100, 16, 128)
    most = MOST_EPOCHS if count >= SMALL else MOST_EPOCHS_OF_SMALL
    updates = UPDATES if characters else UPDATES // 2  # words are learnt by heart sooner
    epochs = config.epochs or min(
        max(round(updates / math.ceil(count / batch_size)), FEWEST_EPOCHS), most
    )
    defaults: dict[str, Any] = {
        "min_count": 2,
        "max_length": 512 if characters else 256,
        "embedding_size": 64 if characters else 128,
        "hidden_size": 112 if characters else 128,
        "pooling": "last" if characters else "max",
        "pairs": PAIRS if characters else 0,
        "dropout": 0.5,
        # The fewer texts, the sooner single tokens are learnt by heart.
        "token_dropout": min(max(3_000 / count, 0.05), 0.2),
        "batch_size": batch_size,
        "epochs": epochs,
        "patience": max(3, math.ceil(epochs / 2)),
        # With the square root of the batch, as the noise of a gradient falls with it.
        "learning_rate": (8e-3 if characters else 2e-3) * math.sqrt(batch_size / 128),
    }
    missing = {k: v for k, v in defaults.items() if getattr(config, k) is None}
    return msgspec.structs.replace(config, **missing)


def _power_of_two(value: float, low: int, high: int) -> int:
    return min(max(2 ** round(math.log2(max(value, 1))), low), high)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
