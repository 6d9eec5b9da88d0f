"""From the files of a bundle to a classifier, or a sentence on why they make none."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.cell import Cell
from elman.errors import BundleError
from elman.ir import text as ir_text
from elman.tasks.classify.linear import Kind, LinearModel, SavedLinear
from elman.tasks.classify.model import Classifier, Ensemble
from elman.tasks.classify.predictor import TextClassifierModel
from elman.tasks.classify.saved import CELL, CLEANING, NGRAMS, TOKENIZER, ModelConfig
from elman.text.cleaning import load_cleaner
from elman.text.ngrams import NGramVectoriser
from elman.text.tokenizer import load_tokenizer
from elman.training import bundle


def load(stored: bundle.Stored, *, backend: str) -> TextClassifierModel:
    """Make a classifier of the files of a bundle.

    Raises:
        BundleError: a file is missing, or they do not fit each other.
    """
    config: ModelConfig = bundle.decode_model(stored, ModelConfig)
    prior = np.asarray(config.prior, dtype=np.float32)
    vectorisers = _vectorisers(stored)
    _check_classes(stored, config, prior, len(vectorisers))
    tokenizer = stored.parse(TOKENIZER, load_tokenizer)
    cell = None
    if config.network is not None:
        if tokenizer.vocab_size != config.network.vocab_size:
            raise BundleError(
                f"{stored.folder / TOKENIZER} has {tokenizer.vocab_size} entries, not the "
                f"{config.network.vocab_size} of {bundle.CONFIG}; copy the folder whole or train "
                "again"
            )
        cell = stored.parse(CELL, lambda data: Cell(ir_text.parse(data.decode("utf-8", "replace"))))

    def make(backend: str) -> Ensemble:
        networks = [
            Classifier(config.network, cell, backend=backend)
            for _ in range(config.networks)
            if config.network is not None and cell is not None
        ]
        linear = [LinearModel(kind, one, len(config.classes)) for kind, one in vectorisers]
        return Ensemble(networks, linear)

    layers = 0 if config.network is None else config.network.num_layers * config.networks
    module = bundle.restore_module(stored, make, backend=backend, num_layers=layers)
    cleaner = None if config.clean is None else stored.parse(CLEANING, load_cleaner)
    return TextClassifierModel(
        module, tokenizer, config.classes, prior, config.weights, config.labels, cleaner
    )


def _vectorisers(stored: bundle.Stored) -> list[tuple[Kind, list[NGramVectoriser]]]:
    """Return what the linear models of a bundle read."""
    if NGRAMS not in stored.files:
        return []

    def parse(data: bytes) -> list[tuple[Kind, list[NGramVectoriser]]]:
        saved = msgspec.json.decode(data, type=list[SavedLinear])
        return [(one.kind, [each.restored() for each in one.vectorisers]) for one in saved]

    return stored.parse(NGRAMS, parse)


def _check_classes(
    stored: bundle.Stored, config: ModelConfig, prior: NDArray[np.float32], linear: int
) -> None:
    """Refuse a config whose parts do not match.

    Raises:
        BundleError: they do not.
    """
    counts = {len(config.classes), len(set(config.classes)), len(prior)}
    network = config.network
    models = (network is not None) + linear
    whole = len(counts) == 1 and bool((prior >= 0).all() and (prior <= 1).all())
    whole &= config.labels.several or bool(abs(prior.sum() - 1) <= 1e-3)
    whole &= config.labels.fits(len(config.classes))
    if network is not None:
        whole &= network.num_classes == len(config.classes) and config.networks > 0
    else:
        whole &= config.networks == 0
    if not whole or len(config.weights) != models or min(config.weights, default=0) < 0:
        raise BundleError(
            f"{stored.folder / bundle.CONFIG} is damaged: classes, prior and weights do not match "
            "each other; copy the folder whole or train again"
        )
