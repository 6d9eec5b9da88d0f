"""The transformer keeps scikit-learn's contract as far as it applies to texts."""

import pickle

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.validation import validate_data

from elman import TextCleaner
from elman.errors import ConfigError, InputError

TEXTS = ["Не нравится фильм", "I do not like the film", "Мне нравится фильм!", "I like films"] * 5
LABELS = ["neg", "neg", "pos", "pos"] * 5


class OfNumbers(TextCleaner):
    """Reads each row of numbers as a text, so that checks which make up numbers can be run."""

    def fit(self, X, y=None):
        return super().fit(self._texts(validate_data(self, X)), y)

    def transform(self, X):
        estimator_checks.check_is_fitted(self)
        cleaned = super().transform(self._texts(validate_data(self, X, reset=False)))
        return np.array([[len(text)] for text in cleaned])

    @staticmethod
    def _texts(rows):
        return [" ".join(f"{float(value):.2f}" for value in row) for row in rows]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        tags.input_tags.string = False
        return tags


def test_check_estimator():
    """All that applies to a transformer of texts; scikit-learn skips what makes up numbers."""
    with pytest.warns(SkipTestWarning, match="requires input"):
        results = estimator_checks.check_estimator(TextCleaner(), on_skip=None)
    assert results
    assert [result["status"] for result in results] == ["passed"] * len(results)


def test_check_estimator_whose_texts_are_numbers():
    results = estimator_checks.check_estimator(OfNumbers("punctuation,lower"), on_skip=None)
    assert len(results) > 30
    assert {result["status"] for result in results} <= {"passed", "skipped"}


def test_it_cleans_as_it_was_fitted():
    cleaner = TextCleaner().fit(TEXTS)
    assert cleaner.transform(["Не нравятся фильмы, кот", ""]) == ["не_нравиться фильм", ""]
    assert cleaner.fit_transform(np.array(TEXTS)) == cleaner.transform(pl.Series(TEXTS))
    assert pickle.loads(pickle.dumps(cleaner)).transform(TEXTS) == cleaner.transform(TEXTS)
    assert not hasattr(clone(cleaner), "cleaner_")
    with pytest.raises(NotFittedError):
        clone(cleaner).transform(TEXTS)


def test_it_stands_in_a_pipeline():
    model = make_pipeline(TextCleaner("lower"), TfidfVectorizer(), LogisticRegression())
    search = GridSearchCV(
        model, {"textcleaner__steps": ["lower", "lecture", ["lower", "stem"]]}, cv=2
    )
    search.fit(TEXTS, LABELS)
    assert search.score(TEXTS, LABELS) == 1
    assert search.predict(["не нравится"]).tolist() == ["neg"]


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"no step of cleaning 'lowr'; did you mean lower\?"):
        TextCleaner("lowr").fit(TEXTS)
    with pytest.raises(InputError, match="X is one string"):
        TextCleaner().fit("a text")
    with pytest.raises(InputError, match="text 1 is missing"):
        TextCleaner("lower").fit(TEXTS).transform(["a", None])
