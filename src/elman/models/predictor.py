"""A trained classifier with its tokenizer and classes: from texts to answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.data.batching import offsets_of, pack_rows, sorted_batches
from elman.models.classifier import Classifier
from elman.text.tokenizer import Encoded, Tokenizer

# Bounds of one inference batch: enough rows to fill the cores, little enough memory.
MAX_TOKENS = 32_768
MAX_ROWS = 1_024


class Step(NamedTuple):
    """The network's opinion after reading one more token."""

    token: str
    probabilities: NDArray[np.float32]
    """(C,)"""


class TextClassifierModel:
    """What ``elman.load`` returns for a classifier.

    Attributes:
        module: the ``Classifier`` itself, a ``torch.nn.Module``.
        tokenizer: text to token ids.
        classes: the C labels, in the order of the probabilities.
        prior: (C,) share of each class in the training part; the answer to an empty text.
    """

    def __init__(
        self,
        module: Classifier,
        tokenizer: Tokenizer,
        classes: Sequence[str],
        prior: NDArray[np.float32],
    ):
        self.module = module.eval()
        self.tokenizer = tokenizer
        self.classes = tuple(classes)
        self.prior = prior

    def __repr__(self) -> str:
        cell = self.module.recurrent.cell.name
        return (
            f"<{cell} classifier, {len(self.classes)} classes, {self.num_parameters:,} parameters>"
        )

    @property
    def num_parameters(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self.module.parameters())

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the most probable label of each text."""
        return [self.classes[i] for i in self.predict_proba(texts).argmax(axis=1)]

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the probabilities (texts, C) of the classes; an empty text gets the prior.

        Raises:
            TypeError: ``texts`` is one string, or holds something that is not a string.
        """
        _check_texts(texts)
        return self.probabilities(self.tokenizer.encode(texts))

    def probabilities(self, encoded: Encoded) -> NDArray[np.float32]:
        """Return the probabilities (rows, C) for texts already encoded."""
        result = np.tile(self.prior, (len(encoded), 1))
        for rows, tokens in batches(encoded):
            logits = self._run(tokens)
            result[rows] = logits.softmax(dim=1).numpy()
        return result

    def steps(self, text: str) -> list[Step]:
        """Return the network's opinion after each token of ``text``.

        The opinion after k tokens is the answer to a text of these k tokens alone, whatever the
        pooling and the directions; the last one is the answer to the whole text.
        """
        _check_texts([text])
        ids = self.tokenizer.encode([text]).values
        counts = np.arange(1, len(ids) + 1)
        # Row k of this ragged array is the first k tokens.
        where = np.arange(counts.sum()) - np.repeat(offsets_of(counts), counts)
        opinions = self.probabilities(Encoded(ids[where], counts))
        pieces = self.tokenizer.split(text)
        return [Step(piece, row) for piece, row in zip(pieces, opinions, strict=True)]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector a text, (texts, H * directions); an empty text gets zeros."""
        _check_texts(texts)
        encoded = self.tokenizer.encode(texts)
        result = np.zeros((len(encoded), self.module.output.in_features), dtype=np.float32)
        for rows, tokens in batches(encoded):
            with torch.inference_mode():
                result[rows] = self.module.pooled(tokens).numpy()
        return result

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model to the folder ``path``, from which ``elman.load`` reads it.

        Raises:
            BundleError: ``path`` exists and ``overwrite`` is false, or it cannot be written.
        """
        from elman.models import bundle

        bundle.check_destination(Path(path), overwrite=overwrite)
        bundle.save(Path(path), self, training={}, files={})

    def _run(self, tokens: PackedSequence) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = self.module(tokens)
        return logits


def batches(encoded: Encoded) -> Iterator[tuple[NDArray[np.int64], PackedSequence]]:
    """Yield (rows, packed tokens) over all rows that are not empty, shortest first."""
    offsets = offsets_of(encoded.lengths)
    filled = np.flatnonzero(encoded.lengths)
    for chosen in sorted_batches(encoded.lengths[filled], MAX_TOKENS, MAX_ROWS):
        yield packed_rows(encoded, offsets, filled[chosen])


def packed_rows(
    encoded: Encoded, offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], PackedSequence]:
    """Return ``rows``, longest first, and their tokens as one packed batch in that order."""
    batch = pack_rows(encoded.values, encoded.lengths, offsets, rows)
    tokens = torch.from_numpy(batch.values)
    return batch.rows, PackedSequence(tokens, torch.from_numpy(batch.batch_sizes))


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise TypeError("texts is one string; pass a list of strings")
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"a text must be a string, not {type(text).__name__}")
