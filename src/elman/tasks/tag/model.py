"""Many-to-many, aligned: a label for each word.

word (its own vector, its n-grams, ends, characters in turn, shape, states of language models) ->
Recurrent -> linear -> scores of the tags -> softmax a word, or a conditional random field over the
sentence
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from elman.cell import Cell
from elman.errors import ConfigError
from elman.nn import ragged
from elman.nn.crf import CRF
from elman.nn.embedding import SMALL, SubwordEmbedding
from elman.nn.language_model import RecurrentLanguageModel
from elman.nn.recurrent import Recurrent
from elman.tasks.tag.forms import AFFIX_VECTORS, Forms, Ints
from elman.tasks.tag.options import DECODERS, ENCODERS, Decoder, Encoder
from elman.text.lengths import offsets_of, places_of
from elman.text.vocabulary import UNKNOWN_ID


class TaggerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sizes of a tagger, all of them settled."""

    num_words: int
    """V, ids of words there are, padding and unknown included."""
    num_characters: int
    num_shapes: int
    num_tags: int
    """K."""
    embedding_size: int
    """Of a word's vector; its characters and its shape come beside it."""
    hidden_size: int
    """H of each direction."""
    encoder: Encoder
    decoder: Decoder
    character_size: int = 0
    """Units of each direction over the characters of a word."""
    subwords: int = 0
    """Vectors for the character n-grams of words; 0 for none."""
    num_layers: int = 1
    bidirectional: bool = True
    dropout: float = 0.0
    """Of what the first layer reads, between layers, and before the last one."""
    state_size: int = 0
    """S, numbers of the states of language models at a word; 0 for none."""
    token_dropout: float = 0.0
    """Share of training words read as unknown, so that characters and neighbours must do."""

    def __post_init__(self) -> None:
        sizes = ("num_words", "num_characters", "num_shapes", "num_tags")
        for name in (*sizes, "embedding_size", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        for name in ("character_size", "subwords", "state_size"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("dropout", "token_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must be at least 0 and under 1"
                )
        for name, known in (("encoder", ENCODERS), ("decoder", DECODERS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}"
                )


SHAPE_SIZE = 16
AFFIX_SIZE = 64
CHARACTER_EMBEDDING = 32
PROJECTED = 256
"""What states of language models become, at most; measured in docs/transfer.md."""


class Tagger(nn.Module):
    """A recurrent tagger over ragged batches of sentences.

    Args:
        config: the sizes.
        cell: of the sentence and of the characters.
        allowed: what the scheme of the tags allows, for decoding and the random field.
        readers: language models whose states are read; they stand still.
        backend: which backend runs the recurrence.
    """

    plain: bool
    """Whether each word's tag is found by itself."""

    def __init__(
        self,
        config: TaggerConfig,
        cell: str | Cell,
        *,
        allowed: tuple[Tensor, Tensor, Tensor] | None = None,
        readers: Sequence[RecurrentLanguageModel] = (),
        backend: str = "auto",
    ):
        super().__init__()
        self.config = config
        width = config.embedding_size
        self.embedding = nn.Embedding(config.num_words, width)
        self.subwords = SubwordEmbedding(width, config.subwords) if config.subwords else None
        self.characters = self.shapes = self.affixes = None
        if config.encoder != "words":
            nn.init.normal_(self.embedding.weight, std=SMALL)
            self.characters = _characters(config, cell, backend)
            self.shapes = nn.Embedding(config.num_shapes, SHAPE_SIZE)
            self.affixes = nn.EmbeddingBag(AFFIX_VECTORS, AFFIX_SIZE, mode="sum")
            nn.init.normal_(self.affixes.weight, std=SMALL)
            width += self.characters.output_size + SHAPE_SIZE + AFFIX_SIZE
        self.projection = None
        if config.state_size:
            projected = min(config.state_size, PROJECTED)
            self.projection = nn.Linear(config.state_size, projected)
            width += projected
        self.readers = nn.ModuleList(readers)
        self.readers.requires_grad_(False)
        self.recurrent = Recurrent(
            cell,
            width,
            config.hidden_size,
            num_layers=config.num_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            backend=backend,
        )
        self.output = nn.Linear(self.recurrent.output_size, config.num_tags)
        masks = (None, None, None) if allowed is None else allowed
        self.crf = CRF(config.num_tags, allowed=masks[0], starts=masks[1], ends=masks[2])
        if config.decoder == "softmax":  # what the scheme forbids is all that it knows
            self.crf.requires_grad_(False)
        self.plain = config.decoder == "softmax" and (
            allowed is None or all(bool(mask.all()) for mask in allowed)
        )

    def forward(
        self,
        tokens: PackedSequence,
        forms: Forms,
        known: Tensor | None = None,
        states: Tensor | None = None,
    ) -> Tensor:
        """Return the scores (N, K) of each token's tags, in the layout of ``tokens``.

        Args:
            tokens: numbers of forms (N,).
            forms: what they are.
            known: (F, D) of all forms what ``read`` returns, where that is at hand.
            states: (N, S) of language models at the tokens, where the config asks for them.
        """
        if known is None:
            used, place = torch.unique(tokens.data, return_inverse=True)
            vectors = self.read(forms, used)
        else:
            vectors, place = known, tokens.data
        words = vectors.index_select(0, place)
        if self.training:
            words = self._with_hidden(words, tokens.data, forms)
        if self.projection is not None:
            assert states is not None
            words = torch.cat([words, self.projection(states)], dim=1)
        words = functional.dropout(words, self.config.dropout, self.training)
        outputs, _ = self.recurrent(ragged.replace(tokens, words))
        return self.output(functional.dropout(outputs.data, self.config.dropout, self.training))

    def read(self, forms: Forms, used: Tensor) -> Tensor:
        """Return what the sentence's layer reads of each of the ``used`` forms, (U, D)."""
        device = self.embedding.weight.device
        rows = used.numpy(force=True)
        vectors = self.embedding(torch.from_numpy(forms.words[rows]).to(device))
        if self.subwords is not None:
            vectors = vectors + self.subwords(used, forms.spelling)
        if self.characters is None or self.shapes is None or self.affixes is None:
            return vectors
        beside = [
            self.characters(forms, rows),
            self.shapes(torch.from_numpy(forms.shapes[rows]).to(device)),
            self.affixes(torch.from_numpy(forms.affixes[rows]).to(device)),
        ]
        return torch.cat([vectors, *beside], dim=1)

    def _with_hidden(self, words: Tensor, tokens: Tensor, forms: Forms) -> Tensor:
        """Return the words, some of them without their own vector: as unknown words will be."""
        share = self.config.token_dropout
        if not share:
            return words
        hidden = torch.rand(len(words), 1, device=words.device) < share
        ids = torch.from_numpy(forms.words[tokens.numpy(force=True)]).to(words.device)
        table = self.embedding.weight
        change = table[UNKNOWN_ID] - self.embedding(ids)
        own = words[:, : table.shape[1]] + hidden * change
        return torch.cat([own, words[:, table.shape[1] :]], dim=1)


def _characters(
    config: TaggerConfig, cell: str | Cell, backend: str
) -> CharacterRecurrence | CharacterConvolution:
    if config.encoder == "convolution":
        return CharacterConvolution(config.num_characters, config.character_size)
    return CharacterRecurrence(config.num_characters, config.character_size, cell, backend=backend)


class CharacterRecurrence(nn.Module):
    """A word by its characters, read in both directions: the last outputs of either.

    Ling et al. 2015, "Finding Function in Form", section 2.2; Lample et al. 2016, section 4.1. The
    batch of words is ragged, so that one long address costs no more than its own characters.
    """

    def __init__(self, num_characters: int, size: int, cell: str | Cell, *, backend: str):
        super().__init__()
        self.embedding = nn.Embedding(num_characters, CHARACTER_EMBEDDING)
        self.recurrent = Recurrent(
            cell, CHARACTER_EMBEDDING, size, bidirectional=True, backend=backend
        )
        self.output_size = self.recurrent.output_size

    def forward(self, forms: Forms, rows: Ints) -> Tensor:
        """Return (U, output_size) for some forms."""
        packed = _spelt(forms, rows, self.embedding.weight.device)
        outputs, finals = self.recurrent(packed, table=self.embedding.weight)
        return self.recurrent.last(outputs, finals)


class CharacterConvolution(nn.Module):
    """A word by windows of three of its characters: the largest of each filter.

    Chiu & Nichols 2016, "Named Entity Recognition with Bidirectional LSTM-CNNs", section 2.1.1.
    """

    def __init__(self, num_characters: int, size: int):
        super().__init__()
        self.embedding = nn.Embedding(num_characters, CHARACTER_EMBEDDING)
        self.before, self.here, self.after = (
            nn.Linear(CHARACTER_EMBEDDING, 2 * size, bias=not i) for i in range(3)
        )
        self.output_size = 2 * size

    def forward(self, forms: Forms, rows: Ints) -> Tensor:
        """Return (U, output_size) for some forms."""
        packed = _spelt(forms, rows, self.embedding.weight.device)
        vectors = ragged.replace(packed, self.embedding(packed.data))
        before = ragged.previous(vectors, 0.0)
        windows = self.here(vectors.data) + self.before(before)
        after = _next(packed, self.after(vectors.data))
        return ragged.max(ragged.replace(packed, torch.relu(windows + after)))


def _next(packed: PackedSequence, values: Tensor) -> Tensor:
    """Return the value after each token in its row, and zeros after a row's last."""
    sizes = packed.batch_sizes
    starts = sizes.cumsum(0) - sizes
    following = sizes[1:]
    # Token i of step t goes on as token i of step t + 1, while the row does.
    step = torch.repeat_interleave(following)
    row = torch.arange(len(step)) - (following.cumsum(0) - following)[step]
    here, there = starts[:-1][step] + row, starts[1:][step] + row
    shifted = values.index_select(0, there.to(values.device))
    return torch.zeros_like(values).index_copy(0, here.to(values.device), shifted)


def _spelt(forms: Forms, rows: Ints, device: torch.device) -> PackedSequence:
    """Return the characters of some forms as a ragged batch."""
    lengths = forms.lengths[rows]
    where = places_of(offsets_of(forms.lengths)[rows], lengths)
    characters = torch.from_numpy(forms.characters[where].astype(np.int64)).to(device)
    return ragged.pack(characters, torch.from_numpy(lengths))
