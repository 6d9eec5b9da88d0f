"""A language model on its way: the text in numbers, the loss, what the validation part says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from elman.data.splits import Split
from elman.data.stream import TextStream
from elman.errors import ConfigError, DataError
from elman.nn.batches import device_of
from elman.nn.language_model import LanguageModelConfig, RecurrentLanguageModel
from elman.tasks.generate import scoring
from elman.tasks.generate.batches import (
    Batch,
    Ids,
    RunningBatches,
    ShuffledTexts,
    Texts,
    chunk_starts,
)
from elman.tasks.generate.metrics import PLURALS, UNITS, Modelled
from elman.tasks.generate.options import (
    MAX_LENGTH,
    REVERSED,
    SAMPLE_AT,
    GenerateOptions,
    settle,
)
from elman.tasks.generate.writing import Writing
from elman.text.tokenizer.reversible import (
    CODINGS,
    TextCoder,
    encode_stream,
    first_id,
    fit_coder,
)
from elman.training.task import Loss, Scores, Watch

if TYPE_CHECKING:
    from elman.tasks.generate.predictor import LanguageModel

SAMPLE_LENGTH = {"characters": 200, "bytes": 200, "words": 40, "bpe": 80}
_VALID_ROWS = 32


@dataclass(frozen=True)
class Prepared:
    """All that is known before training."""

    options: GenerateOptions
    coder: TextCoder
    labels: tuple[str, ...]
    """Of texts that stand alone, in the order of their numbers."""
    split: Split[TextStream]
    train: Ids | Texts
    valid: Ids | Texts
    notes: tuple[str, ...]

    @property
    def running(self) -> bool:
        """Whether it is one text."""
        return self.split.train.running

    @property
    def before(self) -> int:
        """The id that stands before the first token."""
        return first_id(self.coder, running=self.running)


class GenerateLearner:
    """What the trainer knows of a language model.

    Attributes:
        prepared: the data.
        model: the network.
    """

    def __init__(self, model: RecurrentLanguageModel, prepared: Prepared):
        self.model = model
        self.prepared = prepared
        self.options = options = prepared.options
        self.notes = prepared.notes
        assert options.hidden_size is not None
        assert options.chunk_length is not None
        train = prepared.train
        steps = options.chunk_length
        if isinstance(train, Texts):
            steps = round(float(train.lengths.mean()))
        averaging = options.optimiser == "asgd"
        self.schedule = replace(
            options.schedule(
                unit=PLURALS[options.tokens],
                batch_work=steps * self._rows * options.hidden_size,
            ),
            optimiser=options.optimiser or "adamw",
            clip_norm=1.0 if options.optimiser == "adamw" else 0.25,
            decay=options.optimiser == "adamw",
            average_after=5 if averaging else None,
        )
        self._states: dict[str, Tensor] = {}

    @property
    def _rows(self) -> int:
        assert self.options.batch_size is not None
        return self.options.batch_size

    def batches(self, rng: np.random.Generator, epoch: int) -> RunningBatches | ShuffledTexts:
        """Return the chunks of the text in their order, or the texts in any."""
        train, device = self.prepared.train, device_of(self.model)
        if isinstance(train, Texts):
            return ShuffledTexts(train, self._rows, rng, device)
        assert self.options.chunk_length is not None
        starts = chunk_starts((len(train) - 1) // self._rows, self.options.chunk_length, rng)
        return RunningBatches(train, self._rows, starts, device)

    def loss(self, batch: Batch) -> Loss:
        """Return the mean loss of a token, in nats."""
        rows = int(batch.tokens.batch_sizes[0])
        states = self.model.begin(rows) if batch.first else self._states
        hidden, outputs, after = self.model(batch.tokens, states, batch.labels)
        self._states = {name: state.detach() for name, state in after.items()}
        loss = self.model.head.loss(hidden, batch.targets)
        options = self.options
        if options.ar or options.tar:
            loss = loss + self._penalties(hidden, outputs, batch)
        return Loss(loss, len(batch.targets))

    def _penalties(self, hidden: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
        """Return what large and quickly changing outputs cost.

        Merity et al. 2017, "Revisiting Activation Regularization for Language RNNs", section 3.
        """
        large = (self.options.ar or 0.0) * hidden.square().mean()
        sizes = batch.tokens.batch_sizes
        if len(sizes) < 2:
            return large
        # The row at place i of a step is at place i of the step before.
        back = torch.repeat_interleave(sizes[:-1], sizes[1:]).to(outputs.device)
        begun = int(sizes[0])
        at = torch.arange(begun, len(outputs), device=outputs.device)
        change = outputs[begun:] - outputs.index_select(0, at - back)
        return large + (self.options.tar or 0.0) * change.square().mean()

    def validate(self) -> Scores | None:
        """Return the scores of the validation part, read in several rows at once."""
        valid = self.prepared.valid
        if not len(valid):
            return None
        if isinstance(valid, Texts):
            parts = [nats for _, nats in scoring.text_nats(self.model, valid)]
            total, count = float(sum(map(np.sum, parts))), sum(map(len, parts))
        else:
            total, count = scoring.quick_nats(self.model, valid, _VALID_ROWS)
        scores = Modelled.of(
            total, tokens=count, characters=0, unknown=0, unit=UNITS[self.options.tokens]
        )
        metrics = {name: scores.metrics[name] for name in ("nats", "bits", "perplexity")}
        # The epochs are judged on the same tokens: what differs is no chance.
        return Scores(-scores.nats, 0.0, metrics)

    def sample(self, update: int) -> str | None:
        """Return what the model writes after so many updates, where it is time to look."""
        if update not in SAMPLE_AT or self.options.reverse:
            return None
        prepared = self.prepared
        writing = Writing(self.model, prepared.coder, before=prepared.before)
        [written] = writing.write(
            "",
            labels=[0] if prepared.labels else None,
            max_new_tokens=SAMPLE_LENGTH[self.options.tokens],
            seed=self.options.seed,
        )
        return written.text


def prepare(
    split: Split[TextStream],
    options: GenerateOptions,
    *,
    init: LanguageModel | None = None,
    watch: Watch | None = None,
) -> GenerateLearner:
    """Make the vocabulary of the training part, encode what training needs, make the model.

    With ``init`` the vocabulary, the labels and the first weights are that model's.

    Raises:
        DataError: too little is left to train on.
        ConfigError: ``init`` does not know the labels, or is of texts of another kind.
    """
    train = split.train
    if init is not None:
        _check_init(init, train)
    say = watch or (lambda share, text: None)
    say(0.0, "reading the text")
    if init is not None:
        coder, labels = init.coder, init.labels
    else:
        coder = fit_coder(
            train.pieces,
            level="characters" if options.tokens == "auto" else options.tokens,
            min_count=options.min_count,
            vocab_size=options.vocab_size,
        )
        labels = tuple(sorted(set(train.labels or ())))
    say(0.5, "turning the text into numbers")
    length = options.max_length or MAX_LENGTH
    parts = [
        encoded(part, coder, labels, length, reverse=options.reverse)
        for part in (train, split.valid)
    ]
    say(1.0, f"{coder.vocab_size - 2:,} different {CODINGS[coder.level]}")
    tokens = sum(map(int, parts[0].lengths)) if isinstance(parts[0], Texts) else len(parts[0])
    settled = settle(options, tokens=tokens, running=train.running)
    notes = (*train.notes, *split.notes, *([REVERSED] if settled.reverse else []))
    if train.running:
        settled, more = _fitting(settled, tokens, train.source)
        notes += more
    elif not tokens:
        raise DataError(f"{train.source}: every text is empty; nothing to learn")
    prepared = Prepared(settled, coder, labels, split, parts[0], parts[1], notes)
    model = make_model(prepared)
    if init is not None:
        model.load_state_dict(init.module.state_dict())
    return GenerateLearner(model, prepared)


def _fitting(
    options: GenerateOptions, tokens: int, source: str
) -> tuple[GenerateOptions, tuple[str, ...]]:
    """Make rows and chunks shorter where the text is; refuse what is too short for any."""
    rows, chunk = options.batch_size or 1, options.chunk_length or 1
    if tokens < 4:
        raise DataError(
            f"{source} has {tokens} tokens to train on, too few for any model; give a longer text"
        )
    if rows * chunk < tokens:
        return options, ()
    rows = max(1, min(rows, tokens // 8))
    chunk = max(1, min(chunk, (tokens - 1) // rows))
    from msgspec.structs import replace as with_values

    note = (
        f"{source} has only {tokens:,} tokens to train on, less than one batch: taken as "
        f"{rows} rows and chunks of {chunk}"
    )
    return with_values(options, batch_size=rows, chunk_length=chunk), (note,)


def _check_init(init: LanguageModel, train: TextStream) -> None:
    if init.running != train.running:
        kinds = ("texts that stand alone", "one running text")
        raise ConfigError(
            f"--init is a model of {kinds[init.running]}, and {train.source} is "
            f"{kinds[train.running]}; go on with data of the same kind"
        )
    unknown = sorted(set(train.labels or ()) - set(init.labels))
    if unknown or bool(train.labels) != bool(init.labels):
        shown = ", ".join(unknown[:5]) or "no label"
        raise ConfigError(
            f"--init is a model of other labels: {shown} is new to it; train anew without --init"
        )


def encoded(
    part: TextStream,
    coder: TextCoder,
    labels: Sequence[str],
    max_length: int,
    *,
    reverse: bool = False,
) -> Ids | Texts:
    """Return a part of the data in numbers, in the order in which it is read."""
    step = -1 if reverse else 1
    if part.running:
        return encode_stream(coder, part.pieces())[::step]
    number = {label: i for i, label in enumerate(labels)}
    ids = None
    if labels and part.labels is not None:
        unknown = sorted(set(part.labels) - set(number))
        if unknown:
            raise DataError(
                f"{part.source} has labels that the training part has not: "
                f"{', '.join(unknown[:5])}; leave those rows out"
            )
        ids = np.array([number[label] for label in part.labels], dtype=np.int64)
    rows = [coder.encode(text)[:max_length][::step] for text in part.texts()]
    return Texts.of(rows, ids, max_length)


def make_model(prepared: Prepared) -> RecurrentLanguageModel:
    """Return a fresh model; the seed decides its first weights."""
    options = prepared.options
    config = LanguageModelConfig(
        vocab_size=prepared.coder.vocab_size,
        embedding_size=options.embedding_size or 1,
        hidden_size=options.hidden_size or 1,
        num_layers=options.num_layers or 1,
        num_labels=len(prepared.labels),
        tied=bool(options.tied),
        softmax=options.softmax,
        learn_state=options.learn_state,
        **{name: getattr(options, name) or 0.0 for name in DROPOUTS},
    )
    torch.manual_seed(options.seed)
    return RecurrentLanguageModel(config, options.cells()["cell"], backend=options.backend)


DROPOUTS = ("input_dropout", "dropout", "output_dropout", "embedding_dropout", "weight_dropout")
