"""Cleaning for scikit-learn: ``TextCleaner``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from elman.text.cleaning.cleaner import Cleaner
from elman.text.cleaning.steps import Steps
from elman.text.inputs import texts_of


class TextCleaner(TransformerMixin, BaseEstimator):
    """Cleans texts, as a step of a ``Pipeline``: in front of a vectoriser or a ``TextClassifier``.

    Args:
        steps: names of steps and presets with commas between them, or one by one, as
            ``elman clean`` takes them: ``"lecture"``, ``"urls,lower"``, ``"lecture,-lemmas"``.

    Attributes:
        cleaner_: the fitted ``Cleaner``, which ``to_json`` saves.
    """

    def __init__(self, steps: str | Iterable[str] | Steps = "lecture"):
        self.steps = steps

    def fit(self, X: Iterable[str], y: Any = None) -> TextCleaner:  # noqa: N803
        """Learn what the steps need of the training texts: for ``rare`` which words come twice.

        Args:
            X: texts in a list, an array, a column or a table of one column; those of NumPy, pandas,
                polars and Arrow too.
            y: not looked at.

        Raises:
            ConfigError: there is no such step.
            InputError: ``X`` holds something that is missing or no string.
        """
        steps = Steps.of(self.steps)
        self.cleaner_ = Cleaner.fit(texts_of(X, "X"), steps)
        return self

    def transform(self, X: Iterable[str]) -> list[str]:  # noqa: N803
        """Return the texts cleaned; one of which nothing is left is ``""``."""
        check_is_fitted(self)
        return self.cleaner_.clean(texts_of(X, "X"))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags
