"""A tagger on its way: sentences to numbers, the loss, what the validation part says."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from elman.data.batching import shuffled_batches
from elman.data.splits import Split
from elman.data.tagged import Tagged
from elman.errors import ConfigError, DataError
from elman.nn import ragged
from elman.nn.batches import device_of, packed_rows
from elman.tasks.tag import pretrained, states
from elman.tasks.tag.decoding import Types, best_tags, spans_of, states_of
from elman.tasks.tag.forms import FormEncoder, Sentences
from elman.tasks.tag.metrics import quick
from elman.tasks.tag.model import Tagger, TaggerConfig
from elman.tasks.tag.options import TagOptions, settle
from elman.tasks.tag.spans import count_spans, is_judged
from elman.tasks.tag.states import Kept
from elman.text.lengths import offsets_of
from elman.text.tag_schemes import BIOES, Scheme, Span, allowed, parted
from elman.training.options import flag_of
from elman.training.task import Loss, Scores, Watch
from elman.training.transfer import agreed

if TYPE_CHECKING:
    from elman.tasks.tag.predictor import TaggerModel

Rows = NDArray[np.int64]
UNKNOWN_TAG = -1
"""What stands for a tag that nobody has given: it is not learnt and not judged."""


@dataclass(frozen=True)
class Corpus:
    """Sentences in numbers, with their tags.

    Attributes:
        sentences: those that hold a token.
        tags: (N,) int64 of each token, in the order of ``sentences.values``.
    """

    sentences: Sentences
    tags: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sentences)


@dataclass(frozen=True)
class Prepared:
    """All that is known before training."""

    asked: TagOptions
    options: TagOptions
    """The same, settled."""
    encoder: FormEncoder
    tags: tuple[str, ...]
    """The K tags, in the order of the scores; those of spans in ``scheme``."""
    scheme: Scheme | None
    """How the data write spans; None where each word has a tag by itself."""
    split: Split[Tagged]
    train: Corpus
    valid: Corpus
    notes: tuple[str, ...]

    @property
    def types(self) -> tuple[str, ...]:
        """The types of spans; none where each word has a tag by itself."""
        return () if self.scheme is None else Types.of(self.tags).names


class TagLearner:
    """What the trainer knows of a tagger.

    Attributes:
        prepared: the data.
        model: the network.
    """

    def __init__(self, model: Tagger, prepared: Prepared):
        self.model = model
        self.prepared = prepared
        self.options = options = prepared.options
        self.notes = prepared.notes
        self.train, self.valid = prepared.train, prepared.valid
        lengths = self.train.sentences.lengths
        assert options.batch_size is not None
        assert options.hidden_size is not None
        work = float(lengths.mean()) * options.batch_size * options.hidden_size
        self.schedule = options.schedule(unit="sentences", batch_work=work)
        self._offsets = offsets_of(lengths)

    def batches(self, rng: np.random.Generator, epoch: int) -> Sequence[Rows]:
        """Return the rows of each batch of an epoch."""
        assert self.options.batch_size is not None
        return shuffled_batches(self.train.sentences.lengths, self.options.batch_size, rng)

    def loss(self, batch: Rows) -> Loss:
        """Return the mean loss of a token, in nats, of some sentences of the training part."""
        device, sentences = device_of(self.model), self.train.sentences
        order, tokens = packed_rows(sentences, self._offsets, batch, device)
        tags = self._tags(order, tokens, device)
        states = states_of(sentences, order, device)
        scores = self.model(tokens, sentences.forms, states=states)
        if self.options.decoder == "softmax":
            loss = functional.cross_entropy(
                scores,
                tags,
                ignore_index=UNKNOWN_TAG,
                label_smoothing=self.options.label_smoothing or 0.0,
                reduction="sum",
            )
        else:
            loss = -self.model.crf.log_likelihood(ragged.replace(tokens, scores), tags).sum()
        return Loss(loss / len(tokens.data), len(batch))

    def _tags(self, rows: Rows, tokens: PackedSequence, device: torch.device) -> Tensor:
        """Return the tags of some sentences in the layout of their tokens."""
        corpus = self.train
        lengths = corpus.sentences.lengths[rows]
        steps = np.arange(lengths[0])[:, None]
        alive = steps < lengths
        return torch.from_numpy(corpus.tags[(steps + self._offsets[rows])[alive]]).to(device)

    def validate(self) -> Scores | None:
        """Return the scores of the validation part."""
        if not len(self.valid):
            return None
        best = best_tags(self.model, self.valid.sentences)
        judged = self.valid.tags != UNKNOWN_TAG
        right = (best == self.valid.tags)[judged]
        if self.prepared.scheme is None:
            return quick(right, None)
        return quick(right, count_spans(*(self._spans(tags) for tags in (self.valid.tags, best))))

    def sample(self, update: int) -> None:
        """A tagger writes nothing."""

    def _spans(self, tags: Rows) -> list[set[Span]]:
        """Return the spans of each sentence of the validation part that can be judged."""
        lengths = self.valid.sentences.lengths
        unknown = np.split(self.valid.tags == UNKNOWN_TAG, np.cumsum(lengths)[:-1])
        judged = []
        for sentence, gaps in zip(
            spans_of(tags, lengths, self.prepared.tags), unknown, strict=True
        ):
            places = set(np.flatnonzero(gaps).tolist())
            judged.append({span for span in sentence if is_judged(span, places)})
        return judged


def prepare(
    split: Split[Tagged],
    options: TagOptions,
    *,
    init: TaggerModel | None = None,
    watch: Watch | None = None,
) -> TagLearner:
    """Make the vocabulary of the training part, encode what training needs, make the model.

    With ``init`` the vocabulary, the tags and the first weights are that model's.

    Raises:
        DataError: nothing is left to train on.
        BundleError: there is no language model where one is named.
        ConfigError: ``init`` knows other tags, or a language model does not suit.
    """
    asked = options
    options = agreed(options, options.decided())
    train, valid = split.train, split.valid
    settled = settle(options, count=len(train), spans=train.scheme is not None)
    tags = tags_of(train)
    if init is not None:
        if options.vectors is not None:
            raise ConfigError(
                "vectors says which vectors to start from, and so does init; leave one of the two "
                "out"
            )
        for name in ("states", "backward_states"):
            if getattr(options, name) is not None:
                raise ConfigError(
                    f"{flag_of(name)} is of a new tagger, and --init goes on from one; leave one "
                    "of the two out"
                )
        _check_init(init, tags, train)
        tags = init.tags
    vectors = pretrained.find(train, options)
    if vectors is not None:
        settled = msgspec.structs.replace(settled, embedding_size=vectors.size)
    encoder = (
        init.encoder
        if init is not None
        else FormEncoder.fit(
            train.tokens,
            min_count=settled.min_count or 1,
            spellings=settled.subwords or 0,
            known=() if vectors is None else vectors.words,
        )
    )
    if init is None:
        encoder.readers = states.find(options.states, options.backward_states, options.device)
    corpus = corpus_of(train, encoder, tags)
    if not len(corpus) or (corpus.tags == UNKNOWN_TAG).all():
        raise DataError(f"{train.source}: no training sentence has a tagged word; nothing to learn")
    prepared = Prepared(
        asked=asked,
        options=settled,
        encoder=encoder,
        tags=tags,
        scheme=train.scheme,
        split=split,
        train=corpus,
        valid=corpus_of(valid, encoder, tags),
        notes=(*train.notes, *split.notes, *(() if vectors is None else vectors.notes)),
    )
    model = make_model(prepared)
    if init is not None:
        model.load_state_dict(init.module.state_dict())
    if vectors is not None:
        vectors.put(model.embedding, encoder)
    return TagLearner(model, prepared)


def _check_init(init: TaggerModel, tags: Sequence[str], train: Tagged) -> None:
    unknown = [tag for tag in tags if tag not in init.tags]
    if unknown or (init.scheme is None) != (train.scheme is None):
        shown = ", ".join(unknown[:5]) or train.column
        raise ConfigError(
            f"--init is a model without the tags {shown}; go on with data of the same tags, or "
            "train anew without --init"
        )


def make_model(prepared: Prepared) -> Tagger:
    """Return a fresh model; the seed decides its first weights."""
    options, encoder = prepared.options, prepared.encoder
    config = TaggerConfig(
        num_words=len(encoder.words),
        num_characters=len(encoder.characters),
        num_shapes=len(encoder.shapes),
        num_tags=len(prepared.tags),
        embedding_size=options.embedding_size or 1,
        hidden_size=options.hidden_size or 1,
        encoder=options.encoder,
        decoder=options.decoder or "softmax",
        character_size=options.character_size or 0,
        subwords=options.subwords or 0,
        num_layers=options.num_layers,
        bidirectional=options.bidirectional,
        state_size=0 if encoder.readers is None else encoder.readers.size,
        dropout=options.dropout or 0.0,
        token_dropout=options.token_dropout or 0.0,
    )
    torch.manual_seed(options.seed)
    return Tagger(
        config,
        options.cells()["cell"],
        allowed=allowed_of(prepared.tags, spans=prepared.scheme is not None),
        readers=() if encoder.readers is None else encoder.readers.networks,
        backend=options.backend,
    )


def allowed_of(tags: Sequence[str], *, spans: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return which of the tags may follow each other, begin a sentence and end one."""
    pairs, starts, ends = allowed(tags, BIOES if spans else None)
    return torch.from_numpy(pairs), torch.from_numpy(starts), torch.from_numpy(ends)


def tags_of(train: Tagged) -> tuple[str, ...]:
    """Return the tags to be learnt: those there are, or of spans all that BIOES has."""
    if train.scheme is None:
        counts = Counter(tag for tags in train.tags for tag in tags if tag is not None)
        return tuple(sorted(counts, key=lambda tag: (-counts[tag], tag)))
    return ("O", *(f"{letter}-{kind}" for kind in types_of(train) for letter in "BIES"))


def types_of(train: Tagged) -> list[str]:
    """Return the types of the spans."""
    seen = {tag for tags in train.tags for tag in tags if tag is not None}
    return sorted({parted(tag)[1] for tag in seen} - {""})


def corpus_of(part: Tagged, encoder: FormEncoder, tags: Sequence[str]) -> Corpus:
    """Return the sentences that have a word in numbers; a tag that is not learnt is unknown."""
    rows = [i for i, words in enumerate(part.tokens) if words]
    kept = part.take(rows)
    number = {tag: i for i, tag in enumerate(tags)}
    in_bioes = kept.in_scheme(BIOES).tags
    ids = [
        UNKNOWN_TAG if tag is None else number.get(tag, UNKNOWN_TAG)
        for row in in_bioes
        for tag in row
    ]
    sentences = encoder.encode(kept.tokens)
    if sentences.states is not None and len(kept):
        read_once = Kept(sentences.states, sentences.lengths)
        sentences = dataclasses.replace(sentences, states=read_once)
    return Corpus(sentences, np.asarray(ids, dtype=np.int64))
