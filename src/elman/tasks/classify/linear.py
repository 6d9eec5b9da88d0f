"""Linear models over n-grams: what stands beside the network, and what can stand alone.

There are two, as no one of them is the best everywhere:

* ``ngrams``: TF-IDF of the characters 1-5 within words and of the words 1-2, and one logistic
  regression over all classes.
* ``naive Bayes``: which words 1-2 there are, each scaled by the logarithm of how much more often it
  stands in a class than outside, and a logistic regression a class against the rest (Wang &
  Manning 2012, "Baselines and Bigrams", equations 1 and 4, there with a support vector machine).

Where another vectoriser is asked for, or words or characters alone, there is the first one only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from elman.text.lengths import offsets_of
from elman.text.ngrams import (
    NGramVectoriser,
    Rows,
    SavedVectoriser,
    Unit,
    VectoriserConfig,
    Weighting,
    stacked,
)

Floats = NDArray[np.float32]
Targets = NDArray[np.int64]
Flags = NDArray[np.bool_]
Kind = Literal["ngrams", "naive Bayes"]
NGrams = Literal["both", "words", "characters"]

# Logistic regression over n-grams needs about 100 bytes a character of text; this bounds it.
MAX_CHARACTERS = 4_000_000
# From how many characters of text on an n-gram of a single text is left out. Such n-grams are three
# quarters of all; on sets of 4,000 texts they are worth half a point.
MANY_CHARACTERS: dict[Kind, int] = {"ngrams": 1_500_000, "naive Bayes": 100_000}

# How weakly the weights are held down, with TF-IDF and naive Bayes the best of 1, 3, 10, 30 on
# validation parts. Values that are not scaled to length 1 are larger and need smaller weights.
SCALED, UNSCALED = 10.0, 1.0
LONGEST: dict[Unit, int] = {"characters": 5, "words": 2}


class Contribution(NamedTuple):
    """What one n-gram of a text adds to the scores of the classes."""

    unit: Unit
    ngram: str
    scores: Floats
    """(C,)"""


class LinearModel(nn.Module):
    """Class scores as a weighted sum of a text's n-grams.

    Args:
        kind: which of the two it is.
        vectorisers: whose columns stand side by side.
        num_classes: C.
    """

    def __init__(self, kind: Kind, vectorisers: Sequence[NGramVectoriser], num_classes: int):
        super().__init__()
        self.kind = kind
        self.vectorisers = tuple(vectorisers)
        # (F, C) and (C,); parameters of no trainer, as they are solved for.
        shape = (sum(map(len, vectorisers)), num_classes)
        self.weight = nn.Parameter(torch.zeros(shape), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(num_classes), requires_grad=False)

    def rows(self, texts: Sequence[str]) -> Rows:
        """Return the weighted n-grams of the texts: columns are rows of ``weight``."""
        widths = [len(one) for one in self.vectorisers]
        return stacked([one.transform(texts) for one in self.vectorisers], widths)

    def forward(self, rows: Rows) -> Tensor:
        """Return the logits (texts, C)."""
        if not len(self.weight):
            return self.bias.expand(len(rows), -1)
        device = self.weight.device
        offsets = torch.from_numpy(offsets_of(rows.lengths)).to(device)
        columns = torch.from_numpy(rows.columns).to(device)
        values = torch.from_numpy(rows.values).to(device)
        summed = functional.embedding_bag(
            columns, self.weight, offsets, mode="sum", per_sample_weights=values
        )
        return summed + self.bias

    def opinions(self, texts: Sequence[str], *, several: bool) -> Floats:
        """Return the logarithms of the classes' probabilities (texts, C).

        Where a text may have several labels these are the log odds of each.
        """
        with torch.inference_mode():
            logits = self(self.rows(texts))
            if several:
                return logits.numpy(force=True)
            if self.kind == "naive Bayes":  # each class against the rest
                logits = functional.logsigmoid(logits)
            return logits.log_softmax(dim=1).numpy(force=True)

    def contributions(self, text: str) -> list[Contribution]:
        """Return what each known n-gram of a text adds to the scores: its value times weights."""
        weight, start, found = self.weight.numpy(force=True), 0, []
        for one in self.vectorisers:
            rows, names = one.transform([text]), one.named(text)
            for column, value in zip(rows.columns.tolist(), rows.values, strict=True):
                scores = value * weight[start + column]
                found.append(Contribution(one.config.unit, names[column], scores))
            start += len(one)
        return found

    def saved(self) -> SavedLinear:
        """Return all but the weights."""
        return SavedLinear(self.kind, [one.saved() for one in self.vectorisers])


class SavedLinear(msgspec.Struct, forbid_unknown_fields=True):
    """The form of a linear model in a file, its weights left out."""

    kind: Kind
    vectorisers: list[SavedVectoriser]

    def restored(self, num_classes: int) -> LinearModel:
        """Return the model with weights of zero."""
        return LinearModel(self.kind, [one.restored() for one in self.vectorisers], num_classes)


def fit_models(
    texts: Sequence[str],
    truth: Flags,
    *,
    vectoriser: Weighting = "tfidf",
    ngrams: NGrams = "both",
    several: bool = False,
    balance: bool = False,
    seed: int = 0,
) -> list[LinearModel]:
    """Fit both models, or the one that is asked for; of very many texts to a random share.

    Args:
        texts: the training texts.
        truth: (texts, C) which classes are true of each.
        vectoriser: how n-grams are weighted.
        ngrams: which are read.
        several: whether a text may have several of them, or none.
        balance: weigh classes by the inverse of their size.
        seed: of the random share.
    """
    chosen = affordable(texts, seed)
    if len(chosen) < len(texts):
        texts, truth = [texts[i] for i in chosen], truth[chosen]
    configs: dict[Kind, list[VectoriserConfig]] = {"ngrams": _configs(vectoriser, ngrams)}
    if (vectoriser, ngrams) == ("tfidf", "both"):
        configs["naive Bayes"] = _configs("binary", "words")
    return [
        _fit(kind, read, texts, truth, several=several, balance=balance)
        for kind, read in configs.items()
    ]


def _configs(vectoriser: Weighting, ngrams: NGrams) -> list[VectoriserConfig]:
    return [
        VectoriserConfig(unit=unit, longest=longest, weighting=vectoriser)
        for unit, longest in LONGEST.items()
        if ngrams in ("both", unit)
    ]


def _fit(
    kind: Kind,
    configs: Sequence[VectoriserConfig],
    texts: Sequence[str],
    truth: Flags,
    *,
    several: bool,
    balance: bool,
) -> LinearModel:
    num_classes = truth.shape[1]
    least = 2 if sum(map(len, texts)) >= MANY_CHARACTERS[kind] else 1
    model = LinearModel(
        kind,
        [NGramVectoriser.fit(config, texts, min_texts=least) for config in configs],
        num_classes,
    )
    rows = model.rows(texts)
    # With hashing most columns may be those of no n-gram; their weights stay 0.
    used, columns = np.unique(rows.columns, return_inverse=True)
    matrix = _sparse(Rows(rows.lengths, columns, rows.values), len(used))
    weight, bias = np.zeros((len(used), num_classes)), np.zeros(num_classes)
    if len(used):
        penalty = SCALED if configs[0].weighting in ("tfidf", "hashing") else UNSCALED
        if kind == "ngrams" and not several:
            _softmax_regression(matrix, truth.argmax(axis=1), weight, bias, penalty, balance)
        else:
            scaled = kind == "naive Bayes"
            _one_against_the_rest(matrix, truth, weight, bias, penalty, balance, scaled=scaled)
    model.weight[torch.from_numpy(used)] = torch.from_numpy(weight).to(model.weight.dtype)
    model.bias.copy_(torch.from_numpy(bias))
    return model


def _softmax_regression(
    matrix: Any, targets: Targets, weight: Any, bias: Any, inverse_penalty: float, balance: bool
) -> None:
    """Fill in weights (F, C) and biases (C,) of the classes that occur; others stay impossible."""
    from sklearn.linear_model import LogisticRegression

    present = np.unique(targets)
    bias[:] = -30.0  # e**-30, of a class that does not occur
    if len(present) == 1:
        bias[present] = 0.0
        return
    model = LogisticRegression(
        C=inverse_penalty, tol=1e-3, max_iter=200, class_weight="balanced" if balance else None
    )
    with warnings.catch_warnings():
        # Many classes with few texts are the user's data, not a mistake of his code.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        warnings.filterwarnings("ignore", message="lbfgs failed to converge")
        model.fit(matrix, targets)
    if len(present) == 2:  # one row of weights, for the second class against the first
        weight[:, present] = np.stack([-model.coef_[0] / 2, model.coef_[0] / 2], axis=1)
        bias[present] = np.array([-0.5, 0.5]) * model.intercept_[0]
    else:
        weight[:, present], bias[present] = model.coef_.T, model.intercept_


def _one_against_the_rest(
    matrix: Any,
    truth: Flags,
    weight: Any,
    bias: Any,
    inverse_penalty: float,
    balance: bool,
    *,
    scaled: bool,
) -> None:
    """Fill in weights (F, C) and biases (C,), each class's by itself.

    With ``scaled`` each n-gram counts as naive Bayes says.
    """
    from sklearn.linear_model import LogisticRegression

    for label in range(len(bias)):
        inside = truth[:, label]
        if inside.all() or not inside.any():
            bias[label] = 30.0 if inside.all() else -30.0
            continue
        ratio = _log_count_ratio(matrix, inside) if scaled else np.ones(matrix.shape[1])
        model = LogisticRegression(
            C=inverse_penalty,
            solver="liblinear",
            class_weight="balanced" if balance else None,
            random_state=0,
        )
        model.fit(matrix.multiply(ratio).tocsr() if scaled else matrix, inside)
        weight[:, label], bias[label] = model.coef_[0] * ratio, model.intercept_[0]


def _log_count_ratio(matrix: Any, inside: NDArray[np.bool_]) -> Any:
    """Return (F,) how much more often each n-gram stands in a class, with 1 added to each count."""
    within = 1 + np.asarray(matrix[inside].sum(axis=0)).ravel()
    outside = 1 + np.asarray(matrix[~inside].sum(axis=0)).ravel()
    return np.log(within / within.sum()) - np.log(outside / outside.sum())


def _sparse(rows: Rows, width: int) -> Any:
    from scipy.sparse import csr_matrix

    ends = np.concatenate([[0], np.cumsum(rows.lengths)])
    return csr_matrix((rows.values, rows.columns, ends), shape=(len(rows), width))


def affordable(texts: Sequence[str], seed: int) -> Targets:
    """Return all rows, or a random share of them that holds about MAX_CHARACTERS."""
    total = sum(map(len, texts))
    if total <= MAX_CHARACTERS:
        return np.arange(len(texts))
    share = int(len(texts) * MAX_CHARACTERS / total)
    return np.sort(np.random.default_rng(seed).permutation(len(texts))[:share])
