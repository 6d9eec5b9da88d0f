"""The scikit-learn face of the tagger: ``SequenceTagger``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from elman.cell import Cell
from elman.data.tagged import Tagged, of_lists
from elman.errors import ConfigError
from elman.tasks.tag import task
from elman.tasks.tag.options import TagOptions
from elman.training import machine
from elman.training.fitting import fit
from elman.training.history import History

Sentences = Sequence[Sequence[str]]
Tags = Sequence[Sequence[str | None]]


class SequenceTagger(BaseEstimator):
    """A recurrent tagger in scikit-learn's manner: lists of words in, lists of tags out.

    ``fit`` keeps a share of the sentences to know when to stop and to make probabilities honest,
    and trains as ``elman train --task tag`` does. What is None follows from the data.

    Args:
        cell: a cell of the zoo by name, ``file.py:name``, or a traced cell.
        encoder: ``"characters"``, ``"convolution"`` or ``"words"``.
        decoder: ``"softmax"``, ``"crf"``, or None: crf where the tags make spans.
        vectors: file or folder of word vectors to start from.
        from_: folder of a language model of words, whose embedding to start from.
        states: folder of a language model of characters whose states to read at words' ends.
        backward_states: folder of one that reads backwards.
        validation_fraction: share of the sentences that early stopping looks at.
        random_state: seed; None is 0, as everywhere in Elman.
        embedding_size, hidden_size, num_layers, bidirectional, character_size, subwords, min_count,
            token_dropout, dropout, label_smoothing, batch_size, epochs, patience, learning_rate,
            weight_decay, backend, device, threads: as in ``elman.tasks.tag.options.TagOptions``.

    Attributes:
        classes_: the tags, or the types of spans.
        model_: the trained ``TaggerModel``: ``answer``, ``save``.
        history_: what happened in each epoch.
    """

    def __init__(
        self,
        cell: str | Cell = "lstm",
        *,
        encoder: str = "characters",
        decoder: str | None = None,
        vectors: str | None = None,
        from_: str | None = None,
        states: str | None = None,
        backward_states: str | None = None,
        embedding_size: int | None = None,
        hidden_size: int | None = None,
        num_layers: int = 1,
        bidirectional: bool = True,
        character_size: int | None = None,
        subwords: int | None = None,
        min_count: int | None = None,
        token_dropout: float | None = None,
        dropout: float | None = None,
        label_smoothing: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        backend: str = "auto",
        device: str = "cpu",
        threads: int | None = None,
    ):
        self.cell = cell
        self.encoder = encoder
        self.decoder = decoder
        self.vectors = vectors
        self.from_ = from_
        self.states = states
        self.backward_states = backward_states
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.character_size = character_size
        self.subwords = subwords
        self.min_count = min_count
        self.token_dropout = token_dropout
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.backend = backend
        self.device = device
        self.threads = threads

    def __sklearn_is_fitted__(self) -> bool:
        # An argument whose name ends with an underscore does not count.
        return hasattr(self, "model_")

    def fit(
        self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str | None]]
    ) -> SequenceTagger:
        """Train on sentences of words and their tags, where None is a tag that is not known.

        Raises:
            ConfigError: an option cannot be.
            DataError: the tags do not fit the words.
        """
        options = self._options()
        share = self.validation_fraction
        if not 0 <= share < 1:
            raise ConfigError(
                f"validation_fraction is {share!r}; it must be at least 0 and under 1"
            )
        examples = of_lists(sentences, tags)
        machine.check_device(options.device)
        with machine.threads(options.threads):
            split = task.split(examples, fractions=(1 - share, share, 0.0), seed=options.seed)
            learner = task.prepare(split, options)
            fitted = fit(learner)
            self.model_ = task.predictor(learner)
        self.history_ = History(fitted.history, task.metrics)
        self.classes_ = list(self.model_.types or self.model_.tags)
        return self

    def _options(self) -> TagOptions:
        names = {field.name for field in msgspec.structs.fields(TagOptions)}
        given: dict[str, Any] = {k: v for k, v in self.get_params().items() if k in names}
        seed = self.random_state
        if isinstance(seed, np.random.RandomState):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        return TagOptions(**given, seed=0 if seed is None else int(seed))

    def predict(self, sentences: Sentences) -> list[list[str]]:
        """Return the tags of sentences of words."""
        check_is_fitted(self, "model_")
        return self.model_.predict(sentences)

    def score(
        self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str | None]]
    ) -> float:
        """Return the F1 of spans, or without spans the share of right tags."""
        check_is_fitted(self, "model_")
        examples: Tagged = of_lists(sentences, tags)
        return next(iter(self.model_.evaluate(examples).metrics.values()))
