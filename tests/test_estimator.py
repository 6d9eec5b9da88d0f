"""The estimator keeps scikit-learn's contract as far as it applies to texts."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import validate_data

import elman
import tiny
from elman import TextClassifier
from elman.errors import ConfigError, TrainingError

SMALL = {**tiny.OPTIONS, "validation_fraction": 0.2}
LABELS = np.array(tiny.LABELS)


def classifier(**options):
    return TextClassifier(**{**SMALL, **options})


@pytest.fixture(scope="module")
def fitted():
    return classifier(epochs=12, patience=12).fit(tiny.NAMES, LABELS)


# scikit-learn's own checks


class OfNumbers(TextClassifier):
    """Reads each row of numbers as a text, so that checks which make up numbers can be run."""

    def fit(self, X, y):
        X, y = validate_data(self, X, y, dtype=None, multi_output=False)
        return super().fit(self._texts(X), y)

    def predict(self, X):
        estimator_checks.check_is_fitted(self)
        return super().predict(self._texts(validate_data(self, X, reset=False)))

    def predict_proba(self, X):
        estimator_checks.check_is_fitted(self)
        X = X if isinstance(X, list) else self._texts(validate_data(self, X, reset=False))
        return super().predict_proba(X)

    @staticmethod
    def _texts(rows):
        return [" ".join(f"{float(value):.2f}" for value in row) for row in rows]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        tags.input_tags.string = False
        return tags


# Those that need no X, or whose X may be read as texts.
CHECKS = [
    "check_classifiers_classes",
    "check_classifiers_one_label",
    "check_classifiers_regression_target",
    "check_dict_unchanged",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_dont_overwrite_parameters",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_estimators_unfitted",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_get_params_invariance",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_requires_y_none",
    "check_set_params",
    "check_supervised_y_2d",
    "check_supervised_y_no_nan",
    "check_valid_tag_types",
]


@pytest.mark.filterwarnings("ignore:y_pred contains classes:UserWarning")
@pytest.mark.parametrize("name", CHECKS)
def test_a_check_of_scikit_learn(name):
    estimator = OfNumbers(**{**SMALL, "epochs": 1, "tokens": "characters"})
    getattr(estimator_checks, name)("OfNumbers", estimator)


def test_check_estimator():
    """All that applies to an estimator of texts; scikit-learn skips what makes up numbers."""
    with pytest.warns(SkipTestWarning, match="requires input"):
        results = estimator_checks.check_estimator(classifier(), on_skip=None)
    assert [result["status"] for result in results] == ["passed"] * len(results)
    assert results


# Its tools


def test_it_learns_and_scores(fitted):
    assert fitted.score(tiny.NAMES, LABELS) > 0.9
    assert fitted.classes_.tolist() == ["de", "ja"]
    assert len(fitted.history_) == 12
    assert fitted.model_.steps("kamoto")[-1].token == "o"
    probabilities = fitted.predict_proba(["kamoto", "", "Baumann"])
    assert probabilities.shape == (3, 2)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-6)
    predicted = fitted.predict(["kamoto", "Baumann"])
    assert predicted.tolist() == fitted.classes_[probabilities[[0, 2]].argmax(axis=1)].tolist()


def test_it_repeats_and_its_clone_too(fitted):
    first = classifier(random_state=3).fit(tiny.NAMES, LABELS).predict_proba(tiny.NAMES)
    again = clone(classifier(random_state=3)).fit(tiny.NAMES, LABELS).predict_proba(tiny.NAMES)
    other = classifier(random_state=4).fit(tiny.NAMES, LABELS).predict_proba(tiny.NAMES)
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert not hasattr(clone(fitted), "model_")
    assert clone(fitted).get_params() == fitted.get_params()


@pytest.mark.parametrize("state", [np.random.RandomState(0), np.int64(7)])
def test_random_states_of_any_kind(state):
    assert classifier(random_state=state, epochs=1).fit(tiny.NAMES, LABELS).history_


def test_pickle(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    expected = fitted.predict_proba(tiny.NAMES)
    assert again.predict_proba(tiny.NAMES).tobytes() == expected.tobytes()


def test_pipeline():
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    pipeline = Pipeline([("lower", lower), ("network", classifier())]).fit(tiny.NAMES, LABELS)
    upper = [name.upper() for name in tiny.NAMES]
    assert pipeline.predict(upper).tolist() == pipeline.predict(tiny.NAMES).tolist()


def test_grid_search_and_cross_validation():
    search = GridSearchCV(classifier(), {"hidden_size": [4, 8], "cell": ["gru"]}, cv=2)
    search.fit(tiny.NAMES, LABELS)
    assert search.best_params_["hidden_size"] in (4, 8)
    assert search.best_estimator_.model_.network.recurrent.cell.name == "gru"
    scores = cross_val_score(classifier(), np.array(tiny.NAMES), LABELS, cv=2)
    assert scores.shape == (2,)
    assert not np.isnan(scores).any()


# What it is given


class Series:
    """As much of a column of pandas as is needed: it has an index and is no list."""

    def __init__(self, values):
        self.values = values

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


@pytest.mark.parametrize(
    "form",
    [list, tuple, np.array, lambda v: np.array(v, dtype=object), Series, iter],
    ids=["list", "tuple", "array", "objects", "series", "iterator"],
)
def test_texts_of_any_form_are_the_same(form):
    expected = classifier(epochs=1).fit(tiny.NAMES, LABELS).predict_proba(tiny.NAMES)
    found = classifier(epochs=1).fit(form(tiny.NAMES), LABELS)
    assert found.predict_proba(form(tiny.NAMES)).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "labels",
    [
        tiny.LABELS,
        LABELS,
        LABELS.astype(object),
        LABELS == "ja",
        (LABELS == "ja").astype(int) * 7 - 3,
        np.where(LABELS == "ja", 10, 9).astype(np.uint8),
        Series(tiny.LABELS),
    ],
    ids=["list", "str", "objects", "bool", "int", "uint8", "series"],
)
def test_labels_of_any_kind_come_back(labels):
    values = np.asarray(labels)
    found = classifier(epochs=12, patience=12).fit(tiny.NAMES, labels)
    assert found.classes_.dtype == values.dtype
    assert found.classes_.tolist() == sorted(set(values.tolist()))
    predicted = found.predict(tiny.NAMES)
    assert predicted.dtype == values.dtype
    assert (predicted == values).mean() > 0.9


def test_more_than_ten_classes_keep_their_order():
    texts = [f"{letter}{i}" for letter in "abcdefghijkl" for i in range(6)]
    labels = [ord(letter) for letter in "abcdefghijkl" for _ in range(6)]
    found = classifier(epochs=30, patience=30).fit(texts, labels)
    assert found.classes_.tolist() == sorted(set(labels))
    assert (found.predict(texts) == labels).mean() > 0.8


@pytest.mark.parametrize(
    ("texts", "labels", "error", "said"),
    [
        (tiny.NAMES, ["de"] * 56, ValueError, "one class only"),
        (tiny.NAMES, tiny.LABELS[1:], ValueError, "56 texts but 55 labels"),
        ([], [], ValueError, ""),
        (["a", "b"], ["x", "y"], ValueError, "too few"),
        ([*tiny.NAMES[1:], 1], tiny.LABELS, TypeError, "text 55 is an int; every text must be"),
        ([*tiny.NAMES[1:], None], tiny.LABELS, TypeError, "text 55 is missing (None)"),
        ("kamoto", ["ja"], TypeError, "X is one string; pass a list of strings"),
        (np.zeros((56, 2)), tiny.LABELS, TypeError, "X is an array of shape (56, 2)"),
        (tiny.NAMES, np.linspace(0, 1, 56), ValueError, "Unknown label type: continuous"),
        (tiny.NAMES, [float("nan"), *tiny.LABELS[1:]], ValueError, "label 0 is missing (nan)"),
        (tiny.NAMES, [*tiny.LABELS[:-1], None], ValueError, "label 55 is missing (None); label"),
        ([""] * 56, tiny.LABELS, ValueError, ""),
    ],
)
def test_what_cannot_be_learned_is_refused(texts, labels, error, said):
    with pytest.raises(error) as caught:
        classifier().fit(texts, labels)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"hidden_size": 0},
        {"pooling": "sum"},
        {"dropout": 2.0},
        {"validation_fraction": 1.5},
        {"validation_fraction": 1},
        {"validation_fraction": -0.1},
        {"validation_fraction": float("nan")},
        {"validation_fraction": "0.1"},
        {"validation_fraction": True},
    ],
)
def test_options_that_cannot_work_are_refused_at_fit(options):
    estimator = classifier(**options)
    with pytest.raises(ValueError, match=rf"^{next(iter(options))} is .* must be"):
        estimator.fit(tiny.NAMES, LABELS)


def test_an_unfitted_one_says_so():
    with pytest.raises(NotFittedError):
        classifier().predict(["kamoto"])


def test_without_a_share_to_validate_on():
    assert len(classifier(validation_fraction=0.0).fit(tiny.NAMES, LABELS).history_) == 3


def test_a_loss_that_is_not_finite_is_not_passed_over(monkeypatch):
    with pytest.raises(TrainingError, match="training stopped in epoch 1"):
        classifier(learning_rate=1e30).fit(tiny.NAMES, LABELS)
    from elman.training.trainer import Trainer

    update = Trainer._update

    def fails_later(self, batch, when):
        if "epoch 2" in when:
            self.model.output.bias.data.fill_(float("nan"))
        return update(self, batch, when)

    monkeypatch.setattr(Trainer, "_update", fails_later)
    with pytest.warns(ConvergenceWarning, match="training stopped in epoch 2, batch 1"):
        found = classifier().fit(tiny.NAMES, LABELS)
    assert np.isfinite(found.predict_proba(tiny.NAMES)).all()


@pytest.fixture
def ctrl_c(monkeypatch):
    """Press Ctrl-C in an epoch."""
    from elman.training.trainer import Trainer

    update = Trainer._update

    def press_in(epoch):
        def press(self, batch, when):
            if f"epoch {epoch}," in when:
                raise KeyboardInterrupt
            return update(self, batch, when)

        monkeypatch.setattr(Trainer, "_update", press)

    return press_in


def test_ctrl_c_goes_through_and_what_was_trained_is_kept(ctrl_c):
    ctrl_c(3)
    stopped = classifier(epochs=9)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(tiny.NAMES, LABELS)
    assert len(stopped.history_) == 2
    assert stopped.classes_.tolist() == ["de", "ja"]
    assert stopped.predict(["kamoto"])[0] in ("de", "ja")


def test_ctrl_c_before_the_first_epoch_is_whole_leaves_an_earlier_fit_as_it_was(ctrl_c):
    found = classifier().fit(tiny.NAMES, LABELS)
    before = found.predict_proba(tiny.NAMES)
    ctrl_c(1)
    with pytest.raises(KeyboardInterrupt):
        found.fit(tiny.NAMES, LABELS == "ja")
    assert found.predict_proba(tiny.NAMES).tobytes() == before.tobytes()
    assert found.predict(["kamoto"])[0] in ("de", "ja")
    fresh = classifier()
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(tiny.NAMES, LABELS)
    with pytest.raises(NotFittedError):
        fresh.predict(["kamoto"])


def test_the_public_names_are_these():
    assert elman.__all__ == sorted(elman.__all__)
    assert {*elman.__all__} <= {*dir(elman)}
    for name in elman.__all__:
        assert getattr(elman, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'tain'"):
        elman.tain  # noqa: B018


def test_what_is_asked_for_names_a_class_as_y_has_it():
    y = [3 if label == "de" else 10 for label in tiny.LABELS]
    fitted = classifier(metric="f1:3").fit(tiny.NAMES, y)
    kind = fitted.model_.labels
    rare = fitted.predict_proba(tiny.NAMES)[:, 0] >= kind.threshold
    assert fitted.predict(tiny.NAMES).tolist() == [3 if hit else 10 for hit in rare]
    assert classifier(threshold=1e-6, metric="f1:3").fit(tiny.NAMES, y).predict(["x"]) == [3]
    with pytest.raises(ConfigError, match=r"f1:4 names no class.* the classes are 3, 10"):
        classifier(metric="f1:4").fit(tiny.NAMES, y)
