"""What ``--metric`` takes, and that every number is scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from elman.errors import ConfigError
from elman.tasks.classify.labels import AnyOf, OneOf
from elman.tasks.classify.objective import MEASURES, average_precision, names, parse, settled
from elman.tasks.classify.thresholds import EVEN, choose, highest

CLASSES = ["спам", "ham", "Новости"]


def judged(rows=300, classes=3, seed=0, several=False):
    rng = np.random.default_rng(seed)
    if several:
        probabilities = rng.random((rows, classes)).astype(np.float32)
        truth = rng.random((rows, classes)) < probabilities
        return AnyOf(thresholds=[0.4] * classes).judge(probabilities, truth)
    probabilities = rng.dirichlet(np.ones(classes), size=rows).astype(np.float32)
    truth = np.eye(classes, dtype=bool)[[rng.choice(classes, p=p / p.sum()) for p in probabilities]]
    return OneOf().judge(probabilities, truth)


ORACLE = {
    "accuracy": sklearn_metrics.accuracy_score,
    "macro_f1": lambda t, p: sklearn_metrics.f1_score(t, p, average="macro"),
    "weighted_f1": lambda t, p: sklearn_metrics.f1_score(t, p, average="weighted"),
    "micro_f1": lambda t, p: sklearn_metrics.f1_score(t, p, average="micro"),
    "balanced_accuracy": sklearn_metrics.balanced_accuracy_score,
    "mcc": sklearn_metrics.matthews_corrcoef,
    "subset_accuracy": sklearn_metrics.accuracy_score,
    "hamming_loss": sklearn_metrics.hamming_loss,
}


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_is_that_of_scikit_learn(name, several):
    found = judged(several=several)
    truth, predicted = found.truth, found.predicted
    kind = "several" if several else "one"
    if MEASURES[name].labels not in ("any", kind):
        with pytest.raises(ConfigError, match=f"not for {kind} label"):
            settled(parse(name), CLASSES, [1, 1, 1], several=several)
        return
    if name == "macro_average_precision":
        by_hand = sklearn_metrics.average_precision_score(truth, found.probabilities)
    elif name == "log_loss" and several:
        losses = [
            sklearn_metrics.log_loss(t, p)
            for t, p in zip(truth.T, found.probabilities.T.astype(np.float64), strict=True)
        ]
        by_hand = np.mean(losses)
    elif name == "log_loss":
        probabilities = found.probabilities.astype(np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        by_hand = sklearn_metrics.log_loss(truth.argmax(axis=1), probabilities)
    elif several:
        by_hand = ORACLE[name](truth, predicted)
    else:
        by_hand = ORACLE[name](truth.argmax(axis=1), predicted.argmax(axis=1))
    objective = settled(parse(name), CLASSES, [1, 1, 1], several=several)
    assert objective.of(found) == pytest.approx(by_hand, abs=1e-6)
    assert objective.score(found) == objective.of(found) * (1 if objective.higher_is_better else -1)
    assert 0 < objective.error(found) < 0.1


@pytest.mark.parametrize("several", [False, True])
def test_what_is_asked_for_of_one_class(several):
    found = judged(several=several)
    for column, label in enumerate(CLASSES):
        f1 = settled(parse(f"f1:{label}"), CLASSES, [1, 1, 1], several=several)
        area = settled(parse(f"average_precision:{label}"), CLASSES, [1, 1, 1], several=several)
        truth, predicted = found.truth[:, column], found.predicted[:, column]
        assert f1.of(found) == pytest.approx(sklearn_metrics.f1_score(truth, predicted))
        given_probabilities = found.probabilities[:, column]
        by_hand = sklearn_metrics.average_precision_score(truth, given_probabilities)
        assert area.of(found) == pytest.approx(by_hand)
        assert (str(f1), f1.title, f1.decides) == (f"f1:{label}", f"F1 of {label}", True)
        assert (str(area), area.decides) == (f"average_precision:{label}", False)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=1))
def test_average_precision_with_ties(pairs):
    probability, positive = np.array([p for p, _ in pairs]), np.array([t for _, t in pairs])
    if not positive.any():
        assert average_precision(probability, positive) == 0
        return
    by_hand = sklearn_metrics.average_precision_score(positive, probability)
    assert average_precision(probability, positive) == pytest.approx(by_hand)


def test_a_class_that_nothing_speaks_of_counts_nowhere():
    found = OneOf().judge(np.eye(3, dtype=np.float32)[[0, 1]], np.eye(3, dtype=bool)[[0, 1]])
    for name in ("accuracy", "macro_f1", "balanced_accuracy", "mcc", "macro_average_precision"):
        assert MEASURES[name].of(found) == 1


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("f2", "did you mean f1"),
        ("acuracy", "did you mean accuracy"),
        ("F1_macro", "there are accuracy, macro_f1, weighted_f1"),
        ("f1:", "f1:CLASS, average_precision, average_precision:CLASS"),
        ("", "there is no metric ''"),
        ("f3:спам", "did you mean f1:спам"),
        ("accuracy:1", "there is no metric 'accuracy:1'"),
    ],
)
def test_an_unknown_metric_lists_those_that_there_are(text, meant):
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert meant in str(error.value)
    assert ", ".join(names()) in str(error.value)


def test_dashes_and_capitals_are_forgiven():
    assert str(parse("Macro-F1")) == "macro_f1"
    assert str(parse("average-precision: ham ")) == "average_precision:ham"


def test_of_two_classes_the_rarer_is_meant():
    assert str(settled(parse("f1"), ["0", "1"], [93, 7])) == "f1:1"
    assert str(settled(parse("f1"), ["bad", "good"], [7, 93])) == "f1:bad"
    assert str(settled(parse("average_precision"), ["0", "1"], [93, 7])) == "average_precision:1"
    three = settled(parse("average_precision"), CLASSES, [1, 1, 1])
    assert str(three) == "macro_average_precision"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f1", "the metric f1 is of one class: name it, as f1:спам"),
        ("f1:novosti", "names no class; the classes are спам, ham, Новости"),
        ("f1:новости", "did you mean f1:Новости?"),
        ("f1:hma", "did you mean f1:ham?"),
    ],
)
def test_a_class_that_there_is_not(text, said):
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        settled(parse(text), CLASSES, [1, 1, 1])


# -------------------------------------------------------------------------------------------------
# Thresholds


def texts(count, seed=0, shift=-3.0):
    """Probabilities of a rare class that are honest, and the truth."""
    rng = np.random.default_rng(seed)
    probability = 1 / (1 + np.exp(-rng.normal(shift, 2, count)))
    return probability, rng.random(count) < probability


def f1_from(probability, positive, threshold):
    return sklearn_metrics.f1_score(positive, probability >= threshold)


def test_the_threshold_is_good_on_texts_that_it_was_not_chosen_on():
    probability, positive = texts(20_000, seed=1)
    best = max(f1_from(probability, positive, t) for t in np.linspace(0.05, 0.95, 91))
    for seed in range(5):
        threshold = choose(*texts(400, seed=seed + 10))
        assert f1_from(probability, positive, threshold) > best - 0.02
        assert f1_from(probability, positive, threshold) > f1_from(probability, positive, EVEN)


def test_the_most_that_any_threshold_gives():
    probability, positive = texts(300)
    best = max(f1_from(probability, positive, t) for t in probability)
    assert highest(probability, positive) == pytest.approx(best)
    assert highest(probability, positive) >= f1_from(
        probability, positive, choose(probability, positive)
    )
    assert highest(probability, np.zeros(300, dtype=bool)) == 0


def test_a_threshold_mends_probabilities_that_are_too_low():
    probability, positive = texts(2_000)
    low = probability / 20
    assert f1_from(low, positive, choose(low, positive)) == pytest.approx(
        f1_from(probability, positive, choose(probability, positive)), abs=0.02
    )


def test_where_too_little_is_known_it_is_a_half():
    assert choose(np.array([0.1, 0.9]), np.array([False, True])) == EVEN
    assert choose(np.linspace(0, 1, 50), np.zeros(50, dtype=bool)) == EVEN
    upside_down = np.linspace(0, 1, 50)
    assert choose(upside_down, upside_down < 0.3) == EVEN


@pytest.mark.parametrize(
    "name", ["accuracy", "macro_f1", "weighted_f1", "balanced_accuracy", "mcc"]
)
def test_any_measure_of_answers_can_choose_the_threshold(name):
    probability, positive = texts(4_000, seed=3)
    both = np.stack([1 - probability, probability], axis=1)
    truth = np.stack([~positive, positive], axis=1)
    objective = settled(parse(name), ["0", "1"], [3, 1])
    kind = OneOf().about(objective, [3, 1]).chosen(both, truth, objective)
    best = max(
        objective.of(OneOf(threshold=t).judge(both, truth)) for t in np.linspace(0.02, 0.98, 97)
    )
    assert objective.of(kind.judge(both, truth)) > best - 0.025
    # Seen from the other class the same texts are answered.
    mirrored = OneOf(positive=0).chosen(both, truth, objective)
    assert mirrored.threshold == pytest.approx(1 - kind.threshold, abs=0.02)


def test_a_threshold_answers_one_class_or_the_other():
    probabilities = np.array([[0.8, 0.2], [0.7, 0.3], [0.2, 0.8]], dtype=np.float32)
    answered = OneOf(threshold=0.3, positive=1).decide(probabilities)
    assert answered.argmax(axis=1).tolist() == [0, 1, 1]
    assert (answered.sum(axis=1) == 1).all()
    other = OneOf(threshold=0.75, positive=0).decide(probabilities)
    assert other.argmax(axis=1).tolist() == [0, 1, 1]
    assert OneOf().decide(probabilities).argmax(axis=1).tolist() == [0, 0, 1]


def test_every_label_has_a_threshold_of_its_own():
    probability, positive = texts(2_000)
    both, truth = (
        np.stack([probability, probability / 20], axis=1),
        np.stack([positive] * 2, axis=1),
    )
    kind = AnyOf().chosen(both, truth, parse("macro_f1"))
    assert kind.thresholds[1] < kind.thresholds[0] / 10
    assert kind.decide(both).sum(axis=0).tolist() == pytest.approx([300, 300], abs=250)


def five(count, seed):
    """Honest probabilities of five classes of very different sizes, and the truth."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, 5)) + np.log([0.6, 0.25, 0.1, 0.04, 0.01])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = [rng.choice(5, p=row) for row in probabilities]
    return probabilities, np.eye(5, dtype=bool)[truth]


@pytest.mark.parametrize("name", ["macro_f1", "balanced_accuracy", "f1:c", "f1:a"])
def test_of_several_classes_answers_lean_to_what_was_asked_for(name):
    classes = [*"abcde"]
    objective = settled(parse(name), classes, [5, 4, 3, 2, 1])
    kind = OneOf().about(objective, [5, 4, 3, 2, 1]).chosen(*five(600, 1), objective)
    others = five(20_000, 2)
    gained = objective.of(kind.judge(*others)) - objective.of(OneOf().judge(*others))
    assert gained > (0.015 if name != "f1:a" else -0.002)  # the largest class is answered anyway
    assert len(kind.offsets) in (0, 5)


def test_with_classes_of_one_size_or_too_few_texts_nothing_leans():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=3_000)
    truth = np.eye(3, dtype=bool)[[rng.choice(3, p=row) for row in probabilities]]
    objective = parse("macro_f1")
    kind = OneOf().chosen(probabilities, truth, objective)
    assert max(map(abs, kind.offsets), default=0) < 2
    same = kind.decide(probabilities) == OneOf().decide(probabilities)
    assert same.all(axis=1).mean() > 0.95
    assert OneOf().chosen(probabilities[:5], truth[:5], objective).offsets == []
