"""Word vectors of a file that a tagger starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from elman.data.files import check_readable, expanded
from elman.data.tagged import Tagged
from elman.errors import ConfigError, DataError
from elman.nn.embedding import start_from
from elman.tasks.tag.forms import FormEncoder, key
from elman.text.terminal import counted
from elman.text.tokenizer.coding import NUM_SPECIAL
from elman.text.vectors.table import Vectors
from elman.training.provenance import name_of
from elman.training.transfer import LanguageModelParts, read_language_model

if TYPE_CHECKING:
    from elman.tasks.tag.options import TagOptions

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


def decided(parts: LanguageModelParts) -> Mapping[str, Any]:
    """Return the options of a tagger that follow from the language model it starts from.

    Raises:
        ConfigError: it is none of words.
    """
    if parts.coder.level != "words":
        raise ConfigError(
            f"--from is a language model of {parts.coder.level}, and a tagger takes the vectors of "
            "words; give one of words, or one of characters as --states"
        )
    return {"embedding_size": parts.config.embedding_size}


def of_language_model(parts: LanguageModelParts, train: Tagged) -> Pretrained:
    """Return the embedding of a language model of words, as a tagger looks words up.

    Of words that differ in their case or in the blank before them the most frequent one counts. Its
    recurrent layers stay behind: they read other vectors, and in one direction.

    Raises:
        DataError: it has none of the words of the training part.
    """
    rows: dict[str, int] = {}
    for number in range(NUM_SPECIAL, parts.coder.vocab_size):  # the most frequent first
        word = parts.coder.token(number).strip()
        if word:
            rows.setdefault(key(word), number)
    counts = Counter(key(word) for words in train.tokens for word in words)
    known = sum(count for word, count in counts.items() if word in rows)
    if not known:
        raise DataError(
            f"{parts.place} has none of the {counted(len(counts), 'word')} of the training part; "
            "check its language"
        )
    matrix = parts.network.embedding.weight.numpy(force=True)[[*rows.values()]]
    share = known / counts.total()
    note = f"starts from the embedding of the language model {parts}: it knows {share:.1%} of the "
    return Pretrained((*rows,), matrix, (f"{note}words of the training part",))


def find(train: Tagged, options: TagOptions) -> Pretrained | None:
    """Return the vectors that ``--vectors`` or ``--from`` asks for; None without either.

    Raises:
        ConfigError: the size differs from the one asked for.
        DataError: the file cannot be read, or has none of the words.
    """
    if options.from_ is not None:
        return of_language_model(read_language_model(options.from_), train)
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
