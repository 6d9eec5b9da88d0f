"""The scikit-learn face of the toolkit: ``TextClassifier``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from elman.cell import Cell
from elman.data.examples import Examples
from elman.errors import ConfigError, InputError, TrainingError
from elman.tasks.classify import task
from elman.tasks.classify.objective import parse, settled
from elman.tasks.classify.options import ClassifyOptions
from elman.text.inputs import is_missing, texts_of
from elman.training import machine
from elman.training.fitting import fit
from elman.training.history import History


class TextClassifier(ClassifierMixin, BaseEstimator):
    """A recurrent text classifier with scikit-learn's interface.

    ``fit`` takes texts (a list, array or series of str) and labels of any kind, keeps a share of
    them to know when to stop, and trains as ``elman train`` does. What is None follows from the
    data.

    Args:
        cell: a cell of the zoo by name, ``file.py:name``, or a traced cell.
        tokens: ``"characters"``, ``"words"``, ``"bpe"``, ``"unigram"`` or ``"auto"``.
        vectors: file or folder of word vectors to start from.
        vectors_mode: ``"tuned"``, ``"frozen"``, or ``"warm"``, frozen in the first epochs.
        unlabelled: file of texts without labels of which word vectors are learnt first.
        from_: folder of a language model to start from.
        validation_fraction: share of the training texts that early stopping looks at.
        random_state: seed; None is 0, as everywhere in Elman.
        clean: steps of cleaning, as ``"lecture"``; None for none.
        vocab_size, min_count, max_length, embedding_size, hidden_size, num_layers, model, linear,
            bidirectional, pooling, pairs, subwords, dropout, embedding_dropout, token_dropout,
            label_smoothing, r_drop, logit_adjustment, batch_size, epochs, patience, learning_rate,
            weight_decay, balance, metric, threshold, backend, device, threads: as in
            ``elman.tasks.classify.options.ClassifyOptions``.

    Attributes:
        classes_: (C,) the labels, sorted.
        model_: the trained ``TextClassifierModel``: ``steps``, ``embed``, ``save``.
        history_: what happened in each epoch.
    """

    def __init__(
        self,
        cell: str | Cell = "lstm",
        *,
        tokens: str = "auto",
        clean: str | None = None,
        vectors: str | None = None,
        vectors_mode: str = "tuned",
        unlabelled: str | None = None,
        from_: str | None = None,
        vocab_size: int | None = None,
        min_count: int | None = None,
        max_length: int | None = None,
        embedding_size: int | None = None,
        hidden_size: int | None = None,
        num_layers: int = 1,
        model: str = "network",
        linear: str = "on",
        vectoriser: str = "tfidf",
        ngrams: str = "both",
        bidirectional: bool = True,
        pooling: str | None = None,
        pairs: int | None = None,
        subwords: int | None = None,
        dropout: float | None = None,
        embedding_dropout: float | None = None,
        token_dropout: float | None = None,
        label_smoothing: float | None = None,
        r_drop: float | None = None,
        logit_adjustment: float = 0.2,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        balance: bool = False,
        metric: str | None = None,
        threshold: float | Literal["auto"] | None = None,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        backend: str = "auto",
        device: str = "cpu",
        threads: int | None = None,
    ):
        self.cell = cell
        self.tokens = tokens
        self.clean = clean
        self.vectors = vectors
        self.vectors_mode = vectors_mode
        self.unlabelled = unlabelled
        self.from_ = from_
        self.vocab_size = vocab_size
        self.min_count = min_count
        self.max_length = max_length
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.model = model
        self.linear = linear
        self.vectoriser = vectoriser
        self.ngrams = ngrams
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.pairs = pairs
        self.subwords = subwords
        self.dropout = dropout
        self.embedding_dropout = embedding_dropout
        self.token_dropout = token_dropout
        self.label_smoothing = label_smoothing
        self.r_drop = r_drop
        self.logit_adjustment = logit_adjustment
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.balance = balance
        self.metric = metric
        self.threshold = threshold
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.backend = backend
        self.device = device
        self.threads = threads

    def __sklearn_is_fitted__(self) -> bool:
        # An argument whose name ends with an underscore does not count.
        return hasattr(self, "model_")

    def fit(self, X: Iterable[str], y: Iterable[Any]) -> TextClassifier:  # noqa: N803
        """Train on ``texts`` and their labels.

        Ctrl-C ends the training and goes through; what was trained until the last whole epoch is
        kept, so that a notebook's next cell can ``predict``. An earlier fit stays as it was where
        this one is stopped before its first epoch is whole, or fails.

        Args:
            X: texts in a list, an array, a column or a table of one column; those of NumPy, pandas,
                polars and Arrow too.
            y: their labels, of any kind that NumPy can sort.

        Raises:
            InputError: ``X`` holds something that is missing or no string, or a label is missing.
            TrainingError: the loss was not finite before the first epoch was whole.
            ValueError: lengths differ, there is one class only, or an option cannot work.
        """
        texts = texts_of(X, "X")
        _refuse_missing(y)
        targets = column_or_1d(np.asarray(y), warn=True)
        check_classification_targets(targets)
        if len(texts) != len(targets):
            raise ValueError(f"there are {len(texts)} texts but {len(targets)} labels")
        classes, index = np.unique(targets, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has one class only, {classes.tolist()}; give at least two")
        # The toolkit's labels are strings: let theirs be the place of ours, in the same order.
        width = len(str(len(classes)))
        names = [f"{i:0{width}d}" for i in index]
        options = self._options([str(one) for one in classes], np.bincount(index).tolist(), width)
        machine.check_device(options.device)
        share = _share(self.validation_fraction)
        parts = task.split(
            Examples(texts, names, "the training texts"),
            fractions=(1 - share, share, 0.0),
            seed=options.seed,
        )
        learner = task.prepare(parts, options)
        with machine.threads(options.threads):
            fitted = fit(learner)
        if fitted.failed and not fitted.history:
            raise TrainingError(fitted.stopped)
        if fitted.failed or fitted.astray:
            warnings.warn(fitted.stopped or fitted.astray, ConvergenceWarning, stacklevel=2)
        self.classes_ = classes
        self.model_ = task.predictor(learner)
        self.history_ = History(fitted.history, task.metrics)
        self._columns = [int(name) for name in learner.prepared.classes]
        if fitted.interrupt is not None:
            raise fitted.interrupt
        return self

    def predict_proba(self, X: Iterable[str]) -> NDArray[np.float32]:  # noqa: N803
        """Return the probabilities (texts, C) in the order of ``classes_``."""
        check_is_fitted(self)
        texts = texts_of(X, "X")
        result = np.zeros((len(texts), len(self.classes_)), dtype=np.float32)
        result[:, self._columns] = self.model_.predict_proba(texts)
        return result

    def predict(self, X: Iterable[str]) -> NDArray[Any]:  # noqa: N803
        """Return the label of each text: the most probable one, or as ``metric`` asked for."""
        check_is_fitted(self)
        places = [int(name) for name in self.model_.predict(texts_of(X, "X"))]
        return self.classes_[places]

    def _options(self, classes: list[str], sizes: list[int], width: int) -> ClassifyOptions:
        """Return the options of a run whose classes are called by their place in ``classes``."""
        known = ClassifyOptions.__struct_fields__
        options = {k: v for k, v in self.get_params(deep=False).items() if k in known}
        if isinstance(self.metric, str):
            asked = settled(parse(self.metric), classes, sizes)
            place = "" if asked.label is None else f":{asked.column:0{width}d}"
            options["metric"] = f"{asked.name}{place}"
        state = self.random_state
        seed = 0 if state is None else state
        if not isinstance(seed, (int, np.integer)):
            seed = check_random_state(seed).randint(2**31)
        return ClassifyOptions(**options, seed=int(seed))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags


def _refuse_missing(labels: Any) -> None:
    """Refuse a missing label, which among strings NumPy would read as the class "nan"."""
    for i, label in enumerate(np.asarray(labels, dtype=object).ravel()):
        if is_missing(label):
            raise InputError(f"label {i} is missing ({label}); label its text or drop it")


def _share(value: Any) -> float:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise ConfigError(
            f"validation_fraction is {value!r}; it must be at least 0 and under 1, the share of "
            "the texts that early stopping looks at"
        )
    return float(value)
