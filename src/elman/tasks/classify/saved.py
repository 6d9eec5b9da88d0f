"""A classifier as it stands in a bundle: the names of its files, its config, what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from elman.ir import text as ir_text
from elman.tasks.classify.labels import Labels
from elman.tasks.classify.model import ClassifierConfig

if TYPE_CHECKING:
    from elman.tasks.classify.predictor import TextClassifierModel

TOKENIZER = "tokenizer.json"
CELL = "cell.txt"
NGRAMS = "ngrams.json"
CLEANING = "cleaning.json"


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A classifier's part of config.json."""

    network: ClassifierConfig | None
    """None in a model of n-grams alone."""
    networks: int
    """How many of that kind there are: the answer is the mean of theirs."""
    weights: list[float]
    """How much the networks and each linear model count (``elman.tasks.classify.mixture``)."""
    classes: list[str]
    prior: list[float]
    """Share of each class in the training part."""
    labels: Labels
    """Whether a text has one of the classes or any of them, and when each is answered."""
    clean: str | None = None
    """The steps of cleaning; what they need is in a file of its own."""


def parts(model: TextClassifierModel) -> tuple[ModelConfig, dict[str, bytes]]:
    """Return all but the weights that a bundle has of a classifier: its config and its files."""
    config = ModelConfig(
        network=None if model.network is None else model.network.config,
        networks=len(model.module.networks),
        weights=list(model.weights),
        classes=list(model.classes),
        prior=[float(p) for p in model.prior],
        labels=model.labels,
        clean=None if model.cleaner is None else str(model.cleaner.steps),
    )
    files = {TOKENIZER: model.tokenizer.to_json()}
    if model.network is not None:
        files[CELL] = ir_text.write(model.network.recurrent.cell.graph).encode()
    if len(model.module.linear):
        files[NGRAMS] = msgspec.json.encode([one.saved() for one in model.module.linear])
    if model.cleaner is not None:
        files[CLEANING] = model.cleaner.to_json()
    return config, files
