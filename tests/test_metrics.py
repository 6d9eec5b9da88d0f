"""Scores are scikit-learn's, and the quick ones are those of the report."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from elman.tasks.classify.metrics import (
    CALIBRATION_BINS,
    MISTAKES,
    calibration_error,
    evaluate,
    quick_scores,
    true_class_score,
)
from elman.tasks.classify.resampling import pooled

CLASSES = ["a", "b", "c", "d"]


def probabilities(rows):
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(len(CLASSES)), size=rows).astype(np.float32)


def one_hot(predicted, classes=4):
    return np.eye(classes, dtype=np.float32)[predicted]


@pytest.mark.parametrize("labels", [CLASSES, ["a", "b"], ["a"], ["a", "x", "b", "y"]])
def test_scores_are_those_of_scikit_learn(labels):
    truth = np.random.default_rng(1).choice(labels, size=200).tolist()
    given_probabilities = probabilities(200)
    predicted = [CLASSES[i] for i in given_probabilities.argmax(axis=1)]
    scores = evaluate(given_probabilities, truth, CLASSES)
    f1 = {
        kind: sklearn_metrics.f1_score(truth, predicted, average=kind, zero_division=0)
        for kind in ("macro", "weighted", "micro")
    }
    assert scores.count == 200
    assert scores.accuracy == pytest.approx(sklearn_metrics.accuracy_score(truth, predicted))
    assert scores.macro_f1 == pytest.approx(f1["macro"])
    assert scores.weighted_f1 == pytest.approx(f1["weighted"])
    assert scores.micro_f1 == pytest.approx(f1["micro"])
    names = [row.label for row in scores.classes]
    assert names == [*CLASSES, *sorted(set(labels) - set(CLASSES))]
    assert scores.confusion == (
        sklearn_metrics.confusion_matrix(truth, predicted, labels=names).tolist()
    )
    table = sklearn_metrics.precision_recall_fscore_support(
        truth, predicted, labels=names, zero_division=0
    )
    ours = [(row.precision, row.recall, row.f1, row.support) for row in scores.classes]
    assert ours == pytest.approx(np.transpose(table))


def test_a_class_that_occurs_nowhere_has_no_part_in_macro_f1():
    scores = evaluate(one_hot([0, 1, 1]), ["a", "b", "b"], CLASSES)
    assert scores.macro_f1 == 1
    assert [row.f1 for row in scores.classes] == [1, 1, 0, 0]


def test_labels_that_the_model_does_not_know_are_mistakes_with_a_row():
    scores = evaluate(one_hot([0, 1]), ["a", "new"], CLASSES, ["one", "two"])
    assert scores.accuracy == 0.5
    assert scores.classes[-1].label == "new"
    assert scores.classes[-1].support == 1
    assert scores.confusion[4] == [0, 1, 0, 0, 0]
    [mistake] = scores.mistakes
    assert (mistake.text, mistake.label, mistake.predicted) == ("two", "new", "b")


def test_mistakes_are_the_most_confident_first():
    given_probabilities = probabilities(300)
    texts = [f"text {i}" for i in range(300)]
    scores = evaluate(given_probabilities, ["a"] * 300, CLASSES, texts)
    wrong = given_probabilities.argmax(axis=1) != 0
    confidences = [mistake.confidence for mistake in scores.mistakes]
    assert len(confidences) == MISTAKES
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] == given_probabilities[wrong].max()
    for mistake in scores.mistakes:
        row = given_probabilities[texts.index(mistake.text)]
        assert (mistake.predicted, mistake.confidence) == (CLASSES[row.argmax()], row.max())


def test_calibration_error_by_hand():
    # Bins of 1/15: 0.70 and 0.72 share one (accuracy 0.5), 0.95 has its own (accuracy 1).
    confidence = np.array([0.70, 0.72, 0.95], dtype=np.float32)
    right = np.array([True, False, True])
    by_hand = 2 / 3 * abs(0.71 - 0.5) + 1 / 3 * abs(0.95 - 1)
    assert calibration_error(confidence, right) == pytest.approx(by_hand, abs=1e-6)


def test_calibration_error_of_the_honest_and_the_boastful():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.25, 1, size=200_000).astype(np.float32)
    honest = rng.uniform(size=confidence.size) < confidence
    assert calibration_error(confidence, honest) < 0.01
    assert calibration_error(confidence, np.zeros(confidence.size, bool)) == pytest.approx(
        float(confidence.mean()), abs=1e-4
    )
    sure = np.ones(9, dtype=np.float32)
    assert calibration_error(sure, np.ones(9, bool)) == 0
    assert calibration_error(sure, np.zeros(9, bool)) == 1


def test_calibration_bins_do_not_mix():
    """Too sure in one bin and too modest in another do not cancel out."""
    width = 1 / CALIBRATION_BINS
    confidence = np.array([0.5 * width, 14.5 * width], dtype=np.float32)
    right = np.array([True, False])
    assert calibration_error(confidence, right) == pytest.approx(14.5 * width, abs=1e-6)


@given(
    st.integers(2, 5).flatmap(
        lambda classes: st.tuples(
            st.just(classes),
            st.lists(
                st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1
            ),
        )
    )
)
def test_quick_scores_are_those_of_the_report(drawn):
    classes, pairs = drawn
    predicted, truth = np.asarray(pairs).T
    names = [f"class {i}" for i in range(classes)]
    whole = evaluate(one_hot(predicted, classes), [names[i] for i in truth], names)
    quick = quick_scores(predicted, truth, classes)
    assert quick == pytest.approx((whole.accuracy, whole.macro_f1))


def test_true_class_score_by_hand():
    sure = np.array([0.9, 0.7, 0.2], dtype=np.float32)
    # All texts: 0.6; class 0: 0.8, class 2: 0.2, so 0.5 over the classes that occur.
    assert true_class_score(sure, np.array([0, 0, 2]), 3) == pytest.approx((0.6 + 0.5) / 2)


@pytest.mark.parametrize("strange", [False, True])
def test_scores_of_parts_are_those_of_the_whole(strange):
    rng = np.random.default_rng(1)
    labels = [CLASSES[i] for i in rng.integers(0, 3, 60)]
    if strange:  # known to no model, and in one part alone
        labels[50] = "ж"
    predicted = probabilities(60)
    whole = evaluate(predicted, labels, CLASSES, labels, skipped=3, truncated=1)
    cuts = [slice(0, 10), slice(10, 40), slice(40, 60)]
    parts = [evaluate(predicted[c], labels[c], CLASSES, labels[c]) for c in cuts]
    parts[0] = msgspec.structs.replace(parts[0], skipped=3, truncated=1)
    found = pooled(parts)
    for name in {*found.metrics} - {"calibration_error"}:
        assert found.metrics[name] == pytest.approx(whole.metrics[name]), name
    assert found.confusion == whole.confusion
    for one, other in zip(found.classes, whole.classes, strict=True):
        assert msgspec.structs.astuple(one)[1:] == pytest.approx(msgspec.structs.astuple(other)[1:])
    assert (found.count, found.skipped, found.truncated) == (60, 3, 1)
    assert [one.confidence for one in found.mistakes] == pytest.approx(
        [one.confidence for one in whole.mistakes]
    )
    weights = [part.count for part in parts]
    errors = [part.calibration_error for part in parts]
    assert found.calibration_error == pytest.approx(np.average(errors, weights=weights))
