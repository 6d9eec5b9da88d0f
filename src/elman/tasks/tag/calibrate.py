"""After training: how far probabilities are to be cooled, and which of them find how much."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from elman.data.tagged import Tagged
from elman.tasks.tag import decoding
from elman.tasks.tag.decoding import Types
from elman.tasks.tag.learner import UNKNOWN_TAG, Corpus, TagLearner
from elman.tasks.tag.model import Tagger
from elman.tasks.tag.predictor import ModelConfig, TaggerModel
from elman.text.lengths import offsets_of, places_of
from elman.text.tag_schemes import spans

BOUNDS = (-1.0, 1.5)
"""Of the logarithm of the temperature."""
KEPT = 1_000
"""Probabilities of true spans that are kept of each type."""
_LEAST = 1e-6


def finished(learner: TagLearner, *, tuned: Sequence[TaggerModel] = ()) -> TaggerModel:
    """Return the learner's model, its probabilities made honest on the validation part.

    Where there is none what was chosen is that of the models ``tuned``: the mean temperature, and
    the true spans of all.
    """
    prepared, model = learner.prepared, learner.model.eval()
    types = None if prepared.scheme is None else Types.of(prepared.tags)
    temperature, reached = 1.0, {}
    if len(prepared.valid):
        temperature = best_temperature(model, prepared.valid, prepared.tags, types)
        if types is not None:
            reached = true_probabilities(model, prepared.valid, prepared.tags, types, temperature)
    elif tuned:
        temperature = float(np.mean([one.config.temperature for one in tuned]))
        reached = {
            name: _thinned(sorted(v for one in tuned for v in one.config.found.get(name, ())))
            for name in (() if types is None else types.names)
        }
    config = ModelConfig(
        network=model.config,
        tags=list(prepared.tags),
        scheme=None if prepared.scheme is None else prepared.scheme.name,
        column=prepared.split.train.column,
        longest=longest_span(prepared.split.train),
        temperature=temperature,
        found=reached,
        readers=[] if prepared.encoder.readers is None else prepared.encoder.readers.saved(),
    )
    tagger = TaggerModel(model, prepared.encoder, config)
    tagger.asked = prepared.asked
    return tagger


def longest_span(train: Tagged) -> int:
    """Return how many words the longest span has; 1 where there are none."""
    if train.scheme is None:
        return 1
    sizes = (end - start for tags in train.tags for start, end, _ in spans(tags, train.scheme))
    return max(sizes, default=1)


def best_temperature(
    model: Tagger, valid: Corpus, tags: tuple[str, ...], types: Types | None
) -> float:
    """Return the temperature at which what is answered has the least log loss.

    The answers are the spans of the best sequences, right or wrong, or where there are none the
    tags: they do not change with the temperature (Guo et al. 2017, "On Calibration of Modern Neural
    Networks", section 4.2).
    """
    from scipy.optimize import minimize_scalar

    judged = valid.tags != UNKNOWN_TAG

    def loss(exponent: float) -> float:
        confidence, right = _answered(model, valid, tags, types, math.exp(exponent))
        if types is None:
            confidence, right = confidence[judged], right[judged]
        chance = np.where(right, confidence, 1 - confidence)
        return float(-np.log(np.clip(chance, 1e-7, None)).mean()) if len(chance) else 0.0

    fitted = minimize_scalar(loss, bounds=BOUNDS, method="bounded", options={"xatol": 0.02})
    return math.exp(float(fitted.x)) if fitted.fun < loss(0.0) else 1.0


def _answered(
    model: Tagger, valid: Corpus, tags: tuple[str, ...], types: Types | None, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how probable each answer is, and whether it is right."""
    starts = offsets_of(valid.sentences.lengths)
    confidence = np.zeros(len(valid.tags), dtype=np.float64)
    right = np.zeros(len(valid.tags), dtype=bool)
    # How many words before each have no known tag: a span with such a word cannot be judged.
    unknown = np.concatenate([[0], np.cumsum(valid.tags == UNKNOWN_TAG)])
    of_spans: list[np.ndarray] = []
    hits: list[bool] = []
    for batch in decoding.beliefs(model, valid.sentences, temperature=temperature):
        place = places_of(starts[batch.rows], batch.lengths)
        if types is None:
            confidence[place] = batch.marginals[np.arange(len(batch.tags)), batch.tags]
            right[place] = batch.tags == valid.tags[place]
            continue
        wanted = decoding.best_spans(batch, tags, types)
        first = starts[batch.rows[wanted[:, 0]]] + wanted[:, 1]
        wanted = wanted[unknown[first + wanted[:, 2]] == unknown[first]]
        of_spans.append(decoding.span_probabilities(batch, wanted, types))
        truth = set(map(tuple, _true_spans(valid, batch.rows, tags, types).tolist()))
        hits += [tuple(span) in truth for span in wanted.tolist()]
    if types is None:
        return confidence, right
    return np.concatenate([np.zeros(0), *of_spans]), np.asarray(hits, dtype=bool)


def _true_spans(valid: Corpus, rows: np.ndarray, tags: tuple[str, ...], types: Types) -> np.ndarray:
    """Return the true spans of some sentences, as rows of ``decoding``."""
    lengths = valid.sentences.lengths
    place = places_of(offsets_of(lengths)[rows], lengths[rows])
    return decoding.as_rows(decoding.spans_of(valid.tags[place], lengths[rows], tags), types)


def true_probabilities(
    model: Tagger, valid: Corpus, tags: tuple[str, ...], types: Types, temperature: float
) -> dict[str, list[float]]:
    """Return for each type how probable its true spans are, rising: thresholds for any recall."""
    by_type: list[list[float]] = [[] for _ in types.names]
    for batch in decoding.beliefs(model, valid.sentences, temperature=temperature):
        wanted = _true_spans(valid, batch.rows, tags, types)
        chances = decoding.span_probabilities(batch, wanted, types)
        for kind, chance in zip(wanted[:, 3].tolist(), chances.tolist(), strict=True):
            by_type[kind].append(max(chance, _LEAST))
    return {
        name: _thinned(sorted(values)) for name, values in zip(types.names, by_type, strict=True)
    }


def _thinned(values: list[float]) -> list[float]:
    """Return some of the values that lie evenly among them, the lowest ones included."""
    if len(values) > KEPT:
        values = [values[i] for i in np.linspace(0, len(values) - 1, KEPT).astype(int)]
    # A little less, so that roundings leave none of them out.
    return [float(f"{value * (1 - 1e-4):.6g}") for value in values]
