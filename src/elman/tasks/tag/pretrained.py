"""Word vectors of a file that a tagger starts from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from elman.data.files import check_readable, expanded
from elman.data.tagged import Tagged
from elman.errors import ConfigError, DataError
from elman.nn.embedding import start_from
from elman.tasks.tag.forms import FormEncoder, key
from elman.tasks.tag.options import TagOptions
from elman.text.terminal import counted
from elman.text.vectors.table import Vectors
from elman.training.provenance import name_of

FREQUENT = 20_000
"""Words of a file that the model knows beside those of the training part, the most frequent."""
LARGER = 3.0
"""How much larger than vectors that say nothing yet those that are known start, as in the
classifier."""


@dataclass(frozen=True)
class Pretrained:
    """Vectors of words, by what a word is looked up by."""

    words: tuple[str, ...]
    matrix: np.ndarray
    """(words, I)."""
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Numbers of a vector."""
        return int(self.matrix.shape[1])

    def put(self, embedding: nn.Embedding, encoder: FormEncoder) -> None:
        """Start the rows of the words that have a vector from it."""
        rows = {word: i for i, word in enumerate(self.words)}
        known = [(i, rows[word]) for i, word in enumerate(encoder.words.tokens) if word in rows]
        ids = torch.tensor([i for i, _ in known])
        vectors = self.matrix[[row for _, row in known]]
        start_from(embedding, ids, torch.from_numpy(np.array(vectors)), times=LARGER)


def find(train: Tagged, options: TagOptions) -> Pretrained | None:
    """Return the vectors that ``--vectors`` asks for; None without it.

    Raises:
        ConfigError: the size differs from the one asked for.
        DataError: the file cannot be read, or has none of the words.
    """
    if options.vectors is None:
        return None
    place = options.vectors
    path = Path(expanded(place))
    if not path.is_dir():
        check_readable(path)
    counts = Counter(key(word) for words in train.tokens for word in words)
    own = Vectors.load(path, words=counts)
    if not len(own):
        raise DataError(
            f"{place} has none of the {counted(len(counts), 'word')} of the training part; check "
            "its language"
        )
    if options.embedding_size is not None and options.embedding_size != own.size:
        raise ConfigError(
            f"{place} has vectors of {own.size} numbers and embedding_size is "
            f"{options.embedding_size}; leave embedding_size out, as it follows the file"
        )
    first = Vectors.load(path, limit=FREQUENT)
    more = {w: i for i, w in enumerate(first.words) if key(w) == w and own.row(w) is None}
    note = f"vectors of {name_of(place)}: {own.coverage(counts)} of the training part"
    return Pretrained(
        (*own.words, *more),
        np.concatenate([own.matrix, np.asarray(first.matrix)[[*more.values()]]]),
        (*own.notes, note),
    )
