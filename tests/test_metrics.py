"""Scores are scikit-learn's, and the quick ones are those of the report."""

import msgspec
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from elman.tasks.classify.labels import AnyOf, OneOf
from elman.tasks.classify.metrics import (
    FEW,
    MISTAKES,
    evaluate,
    evaluate_several,
)
from elman.tasks.classify.objective import are_ratings
from elman.tasks.classify.resampling import pooled, resampled
from elman.training.calibration import CALIBRATION_BINS, calibration, calibration_error

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


def test_an_honest_model_has_the_error_of_chance():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.25, 1, size=1_000).astype(np.float32)
    told = calibration(confidence, rng.uniform(size=1_000) < confidence, np.zeros(1_000)).by_chance
    draws = [
        calibration_error(confidence, rng.uniform(size=1_000) < confidence) for _ in range(200)
    ]
    assert told == pytest.approx(np.mean(draws), rel=0.05)


def test_calibration_bins_do_not_mix():
    """Too sure in one bin and too modest in another do not cancel out."""
    width = 1 / CALIBRATION_BINS
    confidence = np.array([0.5 * width, 14.5 * width], dtype=np.float32)
    right = np.array([True, False])
    assert calibration_error(confidence, right) == pytest.approx(14.5 * width, abs=1e-6)


# -------------------------------------------------------------------------------------------------
# Curves, calibration, ratings, several labels


def two(count=400, seed=0):
    """Probabilities of two classes, and the labels."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.5, 2, count).astype(np.float32)
    labels = np.where(rng.random(count) < probability, "спам", "письмо").tolist()
    return np.stack([1 - probability, probability], axis=1), labels


def test_average_precision_by_class_and_in_the_mean():
    truth = np.random.default_rng(1).choice(CLASSES, size=200).tolist()
    scores = evaluate(probabilities(200), truth, CLASSES)
    matrix = np.array([[label == name for name in CLASSES] for label in truth])
    by_hand = sklearn_metrics.average_precision_score(matrix, probabilities(200), average=None)
    assert [row.average_precision for row in scores.classes] == pytest.approx(by_hand)
    assert scores.macro_average_precision == pytest.approx(by_hand.mean())
    exact = probabilities(200).astype(float)
    exact /= exact.sum(axis=1, keepdims=True)
    loss = sklearn_metrics.log_loss(truth, exact, labels=CLASSES)
    assert scores.log_loss == pytest.approx(loss, abs=1e-5)


def test_the_curve_has_points_of_scikit_learn_evenly_along_recall():
    given_probabilities, labels = two()
    [curve] = evaluate(given_probabilities, labels, ["письмо", "спам"]).curves
    positive = np.array(labels) == "спам"
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(
        positive, given_probabilities[:, 1]
    )
    theirs = {
        (round(float(t), 5), round(float(p), 5), round(float(r), 5))
        for t, p, r in zip(thresholds, precision, recall, strict=False)
    }
    ours = [(one.threshold, one.precision, one.recall) for one in curve.points]
    assert {*ours} <= theirs
    recalls = [point.recall for point in curve.points]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1
    assert max(np.diff(recalls)) < 0.05
    for point in curve.points:
        both = point.precision + point.recall
        assert point.f1 == pytest.approx(2 * point.precision * point.recall / both, abs=1e-4)
    assert curve.label == "спам"
    assert curve.share == positive.mean()
    table = curve.table()
    assert 8 <= len(table) <= 10
    assert table[0].recall >= 0.1 > 0.9 - table[-1].recall


def test_few_classes_have_a_curve_each_and_many_none():
    truth = np.random.default_rng(1).choice(CLASSES[:3], size=200).tolist()
    scores = evaluate(probabilities(200), truth, CLASSES)
    assert [curve.label for curve in scores.curves] == CLASSES[:3]  # of d there is no text
    many = [f"{i:02}" for i in range(FEW + 1)]
    assert evaluate(one_hot([0, 1], len(many)), many[:2], many).curves == []


def test_a_threshold_changes_answers_and_not_calibration():
    given_probabilities, labels = two()
    classes = ["письмо", "спам"]
    kind = OneOf(threshold=0.2, positive=1, metric="f1:спам")
    even = evaluate(given_probabilities, labels, classes)
    scores = evaluate(given_probabilities, labels, classes, labels, kind=kind)
    predicted = np.where(given_probabilities[:, 1] >= 0.2, "спам", "письмо")
    by_hand = sklearn_metrics.f1_score(labels, predicted, pos_label="спам")
    assert scores.classes[1].f1 == pytest.approx(by_hand)
    assert scores.value("f1:спам") == scores.classes[1].f1
    assert next(iter(scores.metrics)) == "f1:спам"
    assert next(iter(even.metrics)) == "accuracy"
    assert (scores.threshold, scores.positive) == (0.2, "спам")
    assert scores.calibration == even.calibration
    assert scores.log_loss == even.log_loss
    # How sure it was of what it answered, which may be less than a half.
    assert {mistake.predicted for mistake in scores.mistakes} <= {*classes}
    assert scores.value("f1:чужой") == 0


def test_calibration_before_and_after():
    given_probabilities, labels = two(3000)
    classes = ["письмо", "спам"]
    sharp = given_probabilities**3 / (given_probabilities**3).sum(axis=1, keepdims=True)
    scores = evaluate(given_probabilities, labels, classes, uncalibrated=sharp)
    after, before = scores.calibration, scores.uncalibrated
    assert after.error == scores.calibration_error < before.error
    assert after.log_loss == scores.log_loss < before.log_loss
    assert sum(one.count for one in after.bins) == sum(one.count for one in before.bins) == 3000
    assert all(abs(one.accuracy - one.confidence) < 0.1 for one in after.bins)
    gaps = sum(one.count * abs(one.accuracy - one.confidence) for one in before.bins)
    assert gaps / 3000 == pytest.approx(before.error, abs=1e-4)
    assert evaluate(given_probabilities, labels, classes).uncalibrated is None


@pytest.mark.parametrize(
    ("classes", "ordered"),
    [
        (["1", "2", "3", "4", "5"], True),
        (["10", "8", "9"], True),
        (["-1", "0", "1"], True),
        (["0", "1"], False),
        (["1", "2", "4"], False),
        (["1", "2", "three"], False),
        (["1.5", "2.5", "3.5"], False),
    ],
)
def test_ratings_are_whole_numbers_in_a_row(classes, ordered):
    assert are_ratings(classes) == ordered
    rng = np.random.default_rng(2)
    truth, predicted = rng.integers(0, len(classes), (2, 300))
    scores = evaluate(one_hot(predicted, len(classes)), [classes[i] for i in truth], classes)
    assert ("mean_absolute_error" in scores.metrics) == ordered
    if not ordered:
        assert scores.mean_absolute_error is scores.quadratic_kappa is None
        return
    values = np.array([int(name) for name in classes])
    apart = sklearn_metrics.mean_absolute_error(values[truth], values[predicted])
    kappa = sklearn_metrics.cohen_kappa_score(values[truth], values[predicted], weights="quadratic")
    assert scores.mean_absolute_error == pytest.approx(apart)
    assert scores.quadratic_kappa == pytest.approx(kappa)


def test_several_labels_are_judged_as_scikit_learn_does():
    rng = np.random.default_rng(3)
    given_probabilities = rng.random((200, 4)).astype(np.float32)
    matrix = rng.random((200, 4)) < given_probabilities
    labels = [tuple(name for name, on in zip(CLASSES, row, strict=True) if on) for row in matrix]
    kind = AnyOf(thresholds=[0.3, 0.5, 0.6, 0.5])
    texts = [f"текст {i}" for i in range(200)]
    scores = evaluate_several(given_probabilities, labels, CLASSES, texts, kind=kind)
    predicted = given_probabilities >= np.array(kind.thresholds, dtype=np.float32)
    for average in ("macro", "micro", "weighted"):
        by_hand = sklearn_metrics.f1_score(matrix, predicted, average=average)
        assert getattr(scores, f"{average}_f1") == pytest.approx(by_hand)
    assert scores.subset_accuracy == sklearn_metrics.accuracy_score(matrix, predicted)
    assert scores.hamming_loss == pytest.approx(sklearn_metrics.hamming_loss(matrix, predicted))
    ranking = sklearn_metrics.label_ranking_average_precision_score(matrix, given_probabilities)
    assert scores.ranking_average_precision == pytest.approx(ranking)
    table = sklearn_metrics.precision_recall_fscore_support(matrix, predicted)
    ours = [(row.precision, row.recall, row.f1, row.support) for row in scores.classes]
    assert ours == pytest.approx(np.transpose(table))
    assert scores.unlabelled == (~matrix.any(axis=1)).sum()
    assert next(iter(scores.metrics)) == "macro_f1"
    assert len(scores.mistakes) == MISTAKES
    for mistake in scores.mistakes:
        row = texts.index(mistake.text)
        assert tuple(mistake.labels) == labels[row]
        assert (mistake.label in mistake.labels) != (mistake.label in mistake.predicted)
        assert mistake.probability == given_probabilities[row][CLASSES.index(mistake.label)]


def test_a_label_that_the_model_does_not_know_is_missing():
    given_probabilities = np.array([[0.9, 0.1], [0.2, 0.3]], dtype=np.float32)
    scores = evaluate_several(given_probabilities, [("a", "new"), ()], ["a", "b"])
    assert [row.label for row in scores.classes] == ["a", "b", "new"]
    assert scores.classes[2].recall == 0
    assert scores.subset_accuracy == 0.5
    assert scores.unlabelled == 1


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
    means = ("calibration_error", "log_loss", "macro_average_precision")
    for name in {*found.metrics} - {*means}:
        assert found.metrics[name] == pytest.approx(whole.metrics[name]), name
    assert found.confusion == whole.confusion
    for one, other in zip(found.classes, whole.classes, strict=True):
        rows = [(r.precision, r.recall, r.f1, r.support) for r in (one, other)]
        assert rows[0] == pytest.approx(rows[1])
    assert (found.count, found.skipped, found.truncated) == (60, 3, 1)
    assert [one.confidence for one in found.mistakes] == pytest.approx(
        [one.confidence for one in whole.mistakes]
    )
    weights = [part.count for part in parts]
    for name in means:
        values = [part.metrics[name] for part in parts]
        assert found.metrics[name] == pytest.approx(np.average(values, weights=weights))


def test_scores_of_parts_with_several_labels():
    rng = np.random.default_rng(1)
    given_probabilities = rng.random((60, 4)).astype(np.float32)
    matrix = rng.random((60, 4)) < given_probabilities
    labels = [tuple(name for name, on in zip(CLASSES, row, strict=True) if on) for row in matrix]
    whole = evaluate_several(given_probabilities, labels, CLASSES, ["x"] * 60)
    cuts = [slice(0, 25), slice(25, 60)]
    found = pooled(
        [evaluate_several(given_probabilities[c], labels[c], CLASSES, labels[c]) for c in cuts]
    )
    means = ("calibration_error", "macro_average_precision")
    for name in {*found.metrics} - {*means}:
        assert found.metrics[name] == pytest.approx(whole.metrics[name]), name
    assert (found.count, found.unlabelled) == (60, whole.unlabelled)


def test_resampled_answers_of_several_labels():
    rows = [
        {"label": '["a", "b"]', "predicted": '["a"]'},
        {"label": "[]", "predicted": "[]"},
        {"label": '["b"]', "predicted": '["b"]'},
    ]
    found = resampled(rows, np.array([[1.0, 1, 1], [2, 0, 1]]))
    assert found["subset_accuracy"] == pytest.approx([2 / 3, 1 / 3])
    assert found["macro_f1"] == pytest.approx([(1 + 2 / 3) / 2, (1 + 2 / 4) / 2])
