"""Simple models on the same parts: how frequent tokens are, and counts of n-grams."""

from __future__ import annotations

import time

import numpy as np

from elman.data.splits import Split
from elman.data.stream import TextStream
from elman.tasks.generate.batches import Ids, Texts
from elman.tasks.generate.learner import encoded
from elman.tasks.generate.metrics import Modelled
from elman.tasks.generate.predictor import LanguageModel
from elman.text.kneser_ney import KneserNey, Unigram
from elman.text.tokenizer.reversible import END_ID, UNKNOWN_ID
from elman.training.report import Baseline

ORDERS = {"characters": 7, "bytes": 7, "words": 5, "bpe": 5}
"""Tokens of the longest n-grams: what was best on the end of a training part."""


def baselines(split: Split[TextStream], model: LanguageModel) -> list[Baseline]:
    """Return the scores of single tokens and of an interpolated Kneser-Ney model."""
    coder, longest = model.coder, model.config.max_length
    train, test = (
        flat_ids(encoded(part, coder, (), longest, reverse=model.config.reverse))
        for part in (split.train, split.test)
    )
    order = ORDERS[coder.level]
    found = []
    for name, fit in (
        ("single tokens", lambda: Unigram.fit(train, coder.vocab_size)),
        (f"Kneser-Ney {order}-grams", lambda: KneserNey.fit(train, coder.vocab_size, order=order)),
    ):
        start = time.perf_counter()
        fitted = fit()
        before = [END_ID] if not split.train.running else [model.before]
        nats = -float(fitted.log_probs(test, context=before).sum())
        scores = Modelled.of(
            nats,
            tokens=len(test),
            characters=split.test.characters,
            unknown=int(np.count_nonzero(test == UNKNOWN_ID)),
            unit=model.unit,
        )
        # All tokens that were counted, in the unit of the parts: lines or texts.
        share = fitted.num_tokens / max(len(train), 1)
        found.append(
            Baseline(
                name,
                scores,
                time.perf_counter() - start,
                round(share * len(split.train)),
                constant=name == "single tokens",
            )
        )
    return found


def flat_ids(texts: Ids | Texts) -> Ids:
    """Return all tokens of a part one after the other, with the ends of texts that stand alone."""
    if not isinstance(texts, Texts):
        return np.ascontiguousarray(texts)
    # Each text has an end on both sides; those behind are what is to be foretold.
    keep = np.ones(len(texts.values), dtype=bool)
    keep[texts.offsets] = False
    return texts.values[keep]
