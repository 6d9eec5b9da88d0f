"""The states of language models of characters at the words of a sentence, for a tagger to read.

A word is read within its sentence: one model reads it from its beginning, as far as the word's last
character, another from its end, as far as the word's first one (Akbik et al. 2018, "Contextual
String Embeddings for Sequence Labeling", section 2.2). Between words stands one blank.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from elman.cell import Cell
from elman.errors import BundleError, ConfigError
from elman.ir import text as ir_text
from elman.nn.batches import batches, device_of
from elman.nn.language_model import LanguageModelConfig, RecurrentLanguageModel
from elman.tasks.tag.forms import States
from elman.text.lengths import offsets_of, places_of
from elman.text.tokenizer.reversible import TextCoder, load_coder
from elman.training.bundle import CONFIG, Stored
from elman.training.transfer import LanguageModelParts, read_language_model

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
CODER, CELL = "states-{}.json", "states-{}-cell.txt"


class SavedReader(msgspec.Struct, frozen=True, kw_only=True):
    """What a tagger's part of config.json says of a language model that it reads with."""

    network: LanguageModelConfig
    before: int
    """The id that stands before a sentence."""
    reverse: bool


@dataclass(frozen=True)
class Reader:
    """A language model that stands still, and how it reads.

    Attributes:
        network: it.
        coder: from text to ids of characters or bytes.
        before: the id that stands before a sentence.
        reverse: whether it reads from the end.
    """

    network: RecurrentLanguageModel
    coder: TextCoder
    before: int
    reverse: bool

    @classmethod
    def of(cls, parts: LanguageModelParts) -> Reader:
        """Return what reads with a language model."""
        return cls(parts.network, parts.coder, parts.before, parts.reverse)

    @property
    def size(self) -> int:
        """Numbers of a state: the outputs of the last layer."""
        return self.network.config.hidden_size

    def read(self, sentences: Sequence[Sequence[str]]) -> Floats:
        """Return the states at the words of sentences (n, H), one sentence after the other."""
        ids, places = self._numbers(sentences)
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        read = _Rows(np.concatenate(ids), lengths)
        counts = np.fromiter(map(len, places), dtype=np.int64, count=len(places))
        offsets = offsets_of(counts)
        states = np.zeros((int(counts.sum()), self.size), dtype=np.float32)
        with torch.inference_mode():
            for rows, tokens in batches(read, device_of(self.network)):
                _, outputs, _ = self.network(tokens, self.network.begin(len(rows)))
                starts = offsets_of(tokens.batch_sizes.numpy())
                steps = np.concatenate([places[row] for row in rows])
                rank = np.repeat(np.arange(len(rows)), counts[rows])
                wanted = torch.from_numpy(starts[steps] + rank).to(outputs.device)
                found = outputs.index_select(0, wanted)
                states[places_of(offsets[rows], counts[rows])] = found.numpy(force=True)
        return states

    def _numbers(self, sentences: Sequence[Sequence[str]]) -> tuple[list[Ints], list[Ints]]:
        """Return the ids of each sentence, and after which of them the state of a word is read."""
        known = {word: self.coder.encode(word or " ") for words in sentences for word in words}
        blank = self.coder.encode(" ")
        ids, places = [], []
        for words in sentences:
            lengths = np.array([len(known[word]) for word in words], dtype=np.int64)
            starts = offsets_of(lengths + len(blank))
            whole = [part for word in words for part in (known[word], blank)][:-1]
            text = np.concatenate([np.empty(0, dtype=np.int32), *whole])
            ids.append(np.append(self.before, text[::-1] if self.reverse else text))
            # ``before`` is the first one that is read.
            places.append(len(text) - starts if self.reverse else starts + lengths)
        return ids, places

    def saved(self) -> SavedReader:
        """Return its part of config.json."""
        return SavedReader(network=self.network.config, before=self.before, reverse=self.reverse)


@dataclass(frozen=True)
class _Rows:
    values: NDArray[np.int32]
    lengths: Ints


class Readers:
    """All language models that a tagger reads with.

    Args:
        each: at least one.
    """

    def __init__(self, each: Sequence[Reader]):
        self.each = tuple(each)

    @property
    def size(self) -> int:
        """S, numbers of all states of a word."""
        return sum(one.size for one in self.each)

    @property
    def networks(self) -> list[RecurrentLanguageModel]:
        """The networks of all."""
        return [one.network for one in self.each]

    def states(self, sentences: Sequence[Sequence[str]]) -> States:
        """Return the states of sentences, each read when it is asked for."""
        return _Read(self, sentences)

    @classmethod
    def restored(cls, outlines: Sequence[Outline], networks: Iterable[Any]) -> Readers:
        """Return what reads with the networks of a loaded tagger."""
        pairs = zip(outlines, networks, strict=True)
        return cls([Reader(net, coder, one.before, one.reverse) for (one, coder, _), net in pairs])

    def saved(self) -> list[SavedReader]:
        """Return their part of config.json."""
        return [one.saved() for one in self.each]

    def files(self) -> dict[str, bytes]:
        """Return what a bundle keeps of them but for the weights."""
        files = {}
        for i, one in enumerate(self.each):
            files[CODER.format(i)] = one.coder.to_json()
            files[CELL.format(i)] = ir_text.write(one.network.recurrent.cell.graph).encode()
        return files


@dataclass(frozen=True)
class _Read:
    readers: Readers
    sentences: Sequence[Sequence[str]]

    def of(self, rows: Ints) -> Floats:
        some = [self.sentences[row] for row in rows.tolist()]
        return np.concatenate([one.read(some) for one in self.readers.each], axis=1)


class Kept:
    """States that were read once, for a training that asks for them in every epoch.

    Args:
        states: those that are read.
        lengths: words of each sentence.
    """

    def __init__(self, states: States, lengths: Ints):
        self._lengths, self._offsets = lengths, offsets_of(lengths)
        rows = np.arange(len(lengths))
        # A block at a time, so that the sentences' characters are never in memory all at once.
        blocks = np.array_split(rows, max(1, len(rows) // 1_024))
        self._all = np.concatenate([states.of(block) for block in blocks])

    def of(self, rows: Ints) -> Floats:
        """Return those of the words of some sentences (n, S), one sentence after the other."""
        return self._all[places_of(self._offsets[rows], self._lengths[rows])]


def find(states: str | None, backward: str | None, device: str) -> Readers | None:
    """Return what reads with the language models that are named, on a device; None without any.

    Raises:
        BundleError: there is no such model.
        ConfigError: one is none of characters or bytes, or reads in the other direction.
    """
    pairs = (("--states", states, False), ("--backward-states", backward, True))
    each = [_found(flag, place, reverse) for flag, place, reverse in pairs if place is not None]
    for one in each:
        one.network.to(device)
    return Readers(each) if each else None


def _found(flag: str, place: str, reverse: bool) -> Reader:
    parts = read_language_model(place)
    if parts.coder.level not in ("characters", "bytes"):
        raise ConfigError(
            f"{flag} is a language model of {parts.coder.level}, and states are read at the ends "
            "of words; give one of characters, or give it as --from"
        )
    if parts.reverse != reverse:
        reads, other = ("end to their beginning", "--backward-states")
        if reverse:
            reads, other = ("beginning to their end", "--states")
        raise ConfigError(
            f"{flag} is a language model that reads texts from their {reads}; give it as {other}"
        )
    return Reader.of(parts)


Outline = tuple[SavedReader, TextCoder, Cell]


def outlined(stored: Stored, saved: Sequence[SavedReader]) -> list[Outline]:
    """Return what the files of a bundle say of its language models.

    Raises:
        BundleError: a file is missing, or they do not fit each other.
    """
    found = []
    for i, one in enumerate(saved):
        coder: TextCoder = stored.parse(CODER.format(i), load_coder)
        cell = stored.parse(CELL.format(i), _cell)
        if coder.vocab_size != one.network.vocab_size or not 0 <= one.before < coder.vocab_size:
            raise BundleError(
                f"{stored.folder / CODER.format(i)} and {CONFIG} do not match each other; copy the "
                "folder whole or train again"
            )
        found.append((one, coder, cell))
    return found


def _cell(data: bytes) -> Cell:
    return Cell(ir_text.parse(data.decode("utf-8", "replace")))
