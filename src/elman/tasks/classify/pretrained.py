"""Word vectors that a classifier starts from: those of a file, or learnt from unlabelled texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from elman.data.corpus import read_texts
from elman.data.examples import Examples
from elman.data.files import check_readable, expanded
from elman.data.splits import Split, keys_of
from elman.errors import ConfigError, DataError
from elman.nn.embedding import Standing, start_from
from elman.tasks.classify.options import ClassifyOptions
from elman.text.terminal import counted
from elman.text.tokenizer import NAMES, Level, words
from elman.text.vectors.table import Vectors
from elman.training import embed
from elman.training.provenance import name_of
from elman.training.task import Watch

FREQUENT = 20_000
"""Words of a file that the model knows beside those of the training part, the most frequent."""
LARGER = 3.0
"""How much larger than vectors that say nothing yet those that are known start; measured in
docs/vectors.md."""
METHOD: embed.Method = "cbow"
"""How vectors are learnt from unlabelled texts; measured in docs/vectors.md."""
WARM = 0.25
"""Share of the epochs in which vectors stand still with the mode warm."""

Clean = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True)
class Pretrained:
    """Vectors of the words that a model will know."""

    vectors: Vectors
    mode: str
    notes: tuple[str, ...] = ()

    def frozen_epochs(self, epochs: int) -> int:
        """Return in how many of the epochs the vectors stand still."""
        return {"tuned": 0, "frozen": epochs, "warm": max(1, round(WARM * epochs))}[self.mode]

    def put(self, embedding: nn.Embedding, entries: Sequence[str]) -> Standing | None:
        """Start the rows of the words that have a vector from it.

        Args:
            embedding: a row an entry of the vocabulary.
            entries: of its rows.

        Returns:
            The rows that stand still; None where all are tuned from the beginning.
        """
        rows = {word: i for i, word in enumerate(self.vectors.words)}
        ids = torch.tensor([i for i, entry in enumerate(entries) if entry in rows])
        found = self.vectors.matrix[[rows[entry] for entry in entries if entry in rows]]
        start_from(embedding, ids, torch.from_numpy(np.array(found)), times=LARGER)
        return None if self.mode == "tuned" else Standing(embedding, ids)


def check_alone(options: ClassifyOptions) -> None:
    """Refuse vectors where a model is gone on from: it has its own.

    Raises:
        ConfigError: with the option to leave out.
    """
    for name in ("vectors", "unlabelled"):
        if getattr(options, name):
            raise ConfigError(
                f"{name} says which vectors to start from, and so does init; leave one of the two "
                "out"
            )


def find(
    split: Split[Examples],
    options: ClassifyOptions,
    *,
    level: Level,
    size: int,
    clean: Clean | None = None,
    watch: Watch | None = None,
) -> Pretrained | None:
    """Return the vectors that ``--vectors`` or ``--unlabelled`` asks for; None without either.

    Args:
        split: of which the training part alone is looked at; texts of the other two parts are left
            out of what is learnt from.
        options: as asked for.
        level: what a step reads.
        size: of vectors that are learnt.
        clean: what was done to the texts of the split.
        watch: is told how far the learning of vectors is.

    Raises:
        ConfigError: the model reads characters, or the size differs from the one asked for.
        DataError: the file cannot be read.
    """
    place = options.vectors or options.unlabelled
    if place is None:
        return None
    name = "vectors" if options.vectors else "unlabelled"
    if level != "words":
        raise ConfigError(
            f"{name} is for models by words, and this one reads {NAMES[level]}; add tokens words "
            f"or leave {name} out"
        )
    counts = Counter(word for text in split.train.texts for word in words(text))
    if options.vectors:
        found = _of_file(place, counts)
    else:
        found = _learnt(place, split, size=size, seed=options.seed, clean=clean, watch=watch)
    wanted = options.embedding_size
    if wanted is not None and wanted != found.size:
        raise ConfigError(
            f"{place} has vectors of {found.size} numbers and embedding_size is {wanted}; leave "
            "embedding_size out, as it follows the file"
        )
    coverage = found.coverage(counts)
    others = len(found) - coverage.found - coverage.composed
    note = f"vectors of {name_of(place)} ({options.vectors_mode}): {coverage} of the "
    note += f"training part; {counted(others, 'other word')} known besides"
    return Pretrained(found, options.vectors_mode, (*found.notes, note))


def _of_file(place: str, counts: Counter[str]) -> Vectors:
    """Return the vectors of the words of the training part and of the most frequent of the file."""
    path = Path(expanded(place))
    if not path.is_dir():
        check_readable(path)
    own = Vectors.load(path, words=counts)
    first = Vectors.load(path, limit=FREQUENT)
    more = {word: row for row, word in enumerate(first.words) if _is_entry(word)}
    extra = [word for word in more if own.row(word) is None]
    rows = np.asarray(first.matrix[[more[word] for word in extra]]).reshape(-1, first.size)
    if not len(own):
        raise DataError(
            f"{place} has none of the {counted(len(counts), 'word')} of the training part; check "
            "its language"
        )
    return Vectors(
        [*own.words, *extra],
        np.concatenate([own.matrix, rows]),
        source=place,
        notes=own.notes,
    )


def _is_entry(word: str) -> bool:
    """Whether a vocabulary would have a word as it stands."""
    return words(word) == [word]


def _learnt(
    place: str,
    split: Split[Examples],
    *,
    size: int,
    seed: int,
    clean: Clean | None,
    watch: Watch | None,
) -> Vectors:
    """Return vectors learnt from texts without labels and from the training part.

    What stands in the validation or test part, too, is left out: the scores are to tell how the
    model does on texts that it has not seen.
    """
    tell = watch or (lambda share, text: None)
    tell(0.0, f"word vectors are learnt from {name_of(place)} and the training part …")
    held = {*keys_of(split.valid.texts), *keys_of(split.test.texts)}
    given = list(read_texts(expanded(place)))
    texts = given if clean is None else list(clean(given))
    kept = [text for text, key in zip(texts, keys_of(texts), strict=True) if key not in held]
    asked = embed.EmbedOptions(method=METHOD, size=size, seed=seed % 2**32)
    learnt = [*split.train.texts, *kept]
    made = embed.train(learnt, asked, lambda share, text: tell(share, f"vectors: {text}")).vectors
    tell(1.0, f"vectors of {counted(len(made), 'word')} learnt from {counted(len(learnt), 'text')}")
    made.source = place
    left_out = len(texts) - len(kept)
    if left_out:
        why = "as the validation or test part has them"
        made.notes = (f"{counted(left_out, 'text')} of {name_of(place)} left out, {why}",)
    return made
