"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from cyclopts import Parameter

from elman.data import source
from elman.data.splits import Split, parse_fractions
from elman.models.config import Pooling
from elman.training.config import Backend, TrainConfig


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How the data are read and cut."""

    text: str | None = None
    "Column that holds the text, by name or by number from 1."
    label: str | None = None
    "Column that holds the class, by name or by number from 1."
    valid: str | None = None
    "A file to validate on, instead of a share of DATA."
    test: str | None = None
    "A file to test on, instead of a share of DATA."
    split: str | None = None
    "Shares of training, validation and test (0.8,0.1,0.1; with --test 0.98,0.02,0)."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What is trained, and how; what is not given follows from the data."""

    tokens: Literal["auto", "characters", "words"] = "auto"
    "What one step reads; auto takes characters for short texts."
    min_count: int | None = None
    "Tokens seen less often share the unknown entry (2)."
    max_length: int | None = None
    "Longer texts are cut (512 characters or 256 words)."
    embedding_size: int | None = None
    "Size of a token's vector."
    hidden_size: int | None = None
    "Units of each direction."
    num_layers: int = 1
    "Recurrent layers on top of each other."
    bidirectional: bool = True
    "Read each text in both directions."
    pooling: Pooling | None = None
    "How the steps become one vector."
    pairs: int | None = None
    "Vectors for pairs of neighbouring tokens (2,039 for characters, none for words)."
    dropout: float | None = None
    "Share of values left out in training."
    token_dropout: float | None = None
    "Share of training tokens read as unknown."
    label_smoothing: float = 0.05
    "Share of each target spread over all classes."
    logit_adjustment: float = 0.2
    "How much training leans against the class sizes, 0 to 1."
    batch_size: int | None = None
    "Texts in a batch."
    epochs: int | None = None
    "Passes over the training part, at most."
    patience: int | None = None
    "Epochs without a better validation score before training stops."
    learning_rate: float | None = None
    "Highest of the schedule."
    weight_decay: float = 0.01
    "Of AdamW."
    balance: bool = False
    "Weigh classes by the inverse of their size."
    backend: Backend = "auto"
    "What runs the recurrence."


def read_split(data: str, options: DataOptions, *, seed: int) -> Split:
    """Read DATA and cut it as the options say."""
    given = {field.name: getattr(options, field.name) for field in fields(options)}
    shares = given.pop("split")
    fractions = None if shares is None else parse_fractions(shares)
    return source.read_split(data, fractions=fractions, seed=seed, **given)


def train_config(options: ModelOptions, *, cell: str, seed: int) -> TrainConfig:
    """Return the options as the library takes them; refuses values that cannot work."""
    given = {field.name: getattr(options, field.name) for field in fields(options)}
    return TrainConfig(cell=cell, seed=seed, **given)


def _not_an_option(_: object, value: str) -> None:
    if value.startswith("-") and value != "-":
        raise ValueError(f"there is no option {value}")


# `-` is stdin; what else begins with a hyphen is a mistyped option and no file.
Data = Annotated[str, Parameter(allow_leading_hyphen=True, validator=_not_an_option)]
Json = Annotated[bool, Parameter(negative=())]
Flag = Annotated[bool, Parameter(negative=())]
