"""Saved models on the same examples: scores, intervals, McNemar's test."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
)

import elman
import tiny
from elman.cli.app import run
from elman.errors import BundleError, ConfigError, DataError
from elman.lab.models import Pair, compare_answers, mcnemar
from elman.tasks.classify import task
from elman.tasks.classify.resampling import resampled
from elman.training.report import shown_as

METRICS = ("accuracy", "macro_f1")


class Oracle:
    """A model that answers from a list."""

    task = "classify"
    num_parameters = 0
    metric = ""
    classes = ("de", "ja")

    def __init__(self, answers):
        self.answers = answers

    def predictions(self, examples):
        for text, label, answer in zip(examples.texts, examples.labels, self.answers, strict=True):
            correct = None if answer is None else answer == label
            yield {"text": text, "label": label, "predicted": answer, "correct": correct}


def rows_of(truth, answers):
    return [{"label": t, "predicted": p} for t, p in zip(truth, answers, strict=True)]


def drawn(rng, size, classes="абв"):
    return [classes[i] for i in rng.integers(0, len(classes), size)]


def compared(first, second, labels=tiny.LABELS, **options):
    models = {"a": Oracle(first), "b": Oracle(second)}
    return compare_answers(task, tiny.examples(labels=labels), models, **options)


def flipped(labels, rows):
    other = {"ja": "de", "de": "ja"}
    return [other[label] if i in rows else label for i, label in enumerate(labels)]


def test_resampled_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, answers = drawn(rng, 40), drawn(rng, 40, "абвг")
    weights = rng.integers(0, 3, (20, 40)).astype(float)
    weights[0] = 1
    weights[1, [i for i, label in enumerate(truth) if label == "а"]] = 0  # a class that is left out
    values = resampled(rows_of(truth, answers), weights)
    for i, row in enumerate(weights.astype(int)):
        t, p = (
            [one for one, n in zip(all_, row, strict=True) for _ in range(n)]
            for all_ in (truth, answers)
        )
        assert values["accuracy"][i] == pytest.approx(accuracy_score(t, p))
        assert values["macro_f1"][i] == pytest.approx(f1_score(t, p, average="macro"))


def test_what_was_asked_for_is_resampled_as_scikit_learn_has_it():
    rng = np.random.default_rng(1)
    truth, answers = drawn(rng, 40), drawn(rng, 40)
    weights = rng.integers(0, 3, (20, 40)).astype(float)
    asked = ["f1:б", "balanced_accuracy", "mcc", "weighted_f1", "micro_f1", "log_loss"]
    values = resampled(rows_of(truth, answers), weights, classes="абв", metrics=asked)
    assert "log_loss" not in values  # of three classes a row has one probability
    for i, row in enumerate(weights):
        given = {"sample_weight": row}
        f1 = {
            kind: f1_score(truth, answers, average=kind, **given) for kind in ("weighted", "micro")
        }
        expected = {
            "f1:б": f1_score(truth, answers, labels=["б"], average="macro", **given),
            "balanced_accuracy": balanced_accuracy_score(truth, answers, **given),
            "mcc": matthews_corrcoef(truth, answers, **given),
            "weighted_f1": f1["weighted"],
            "micro_f1": f1["micro"],
        }
        assert {name: values[name][i] for name in expected} == pytest.approx(expected)


def test_probabilities_of_two_classes_are_resampled_as_scikit_learn_has_it():
    rng = np.random.default_rng(2)
    truth, answers = drawn(rng, 40, "аб"), drawn(rng, 40, "аб")
    given = rng.integers(50, 99, 40) / 100  # some are equal
    rows = [
        {**row, "probability": p} for row, p in zip(rows_of(truth, answers), given, strict=True)
    ]
    second = np.where(np.array(answers) == "б", given, 1 - given)
    weights = rng.integers(0, 3, (20, 40)).astype(float)
    asked = ["average_precision:а", "average_precision:б", "macro_average_precision", "log_loss"]
    values = resampled(rows, weights, classes="аб", metrics=asked)
    for i, row in enumerate(weights):
        areas = [
            average_precision_score(np.array(truth) == name, score, sample_weight=row)
            for name, score in (("а", 1 - second), ("б", second))
        ]
        loss = log_loss(truth, second, sample_weight=row, labels=["а", "б"])
        expected = [*areas, sum(areas) / 2, loss]
        assert [values[name][i] for name in asked] == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["f1:ja", "average_precision:ja", "log_loss", "mcc"])
def test_what_a_model_was_asked_to_be_good_at_is_compared_first(metric, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("names.tsv").write_text(tiny.LINES, encoding="utf-8")
    first = tiny.train("names.tsv", metric=metric).model
    table = elman.compare_models([first, tiny.train("names.tsv", cell="gru").model], "names.tsv")
    scores = elman.evaluate(first, "names.tsv").metrics
    expected = {name: scores[name] for name in (metric, *METRICS)}
    assert [*table.models[0].metrics] == [*expected]
    assert table.models[0].metrics == pytest.approx(expected, abs=1e-5)
    assert not table.left_out
    difference = table.pairs[0].differences[metric]
    assert difference.low <= difference.value <= difference.high
    assert shown_as(metric, task.metrics).title in next(table.sentences())


def test_what_single_answers_do_not_tell_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = "".join(f"иван{a}\tру\n" for a in "абвгдежзиклмнопрст")
    Path("names.tsv").write_text(tiny.LINES + more, encoding="utf-8")
    models = [tiny.train("names.tsv", metric="log_loss", epochs=1, seed=i).model for i in (0, 1)]
    table = elman.compare_models(models, "names.tsv", resamples=100)
    assert [*table.models[0].metrics] == [*METRICS]
    assert table.left_out == ["log_loss"]
    assert [*table.sentences()][-1] == (
        "log loss (--metric) rests on all probabilities and is not compared; `elman evaluate` has "
        "it for each model"
    )


def test_scores_are_those_of_evaluate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("names.tsv").write_text(tiny.LINES + "\tja\n", encoding="utf-8")
    model = tiny.train("names.tsv").model
    scores = elman.evaluate(model, "names.tsv")
    table = elman.compare_models([model, tiny.train("names.tsv", cell="gru").model], "names.tsv")
    assert table.count == scores.count
    assert table.models[0].metrics == pytest.approx({n: scores.metrics[n] for n in METRICS})


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 3), (1, 9), (9, 1), (23, 41), (0, 5)])
def test_mcnemar_is_the_binomial_sum(first, second):
    count, less = first + second, min(first, second)
    tail = sum(math.comb(count, i) for i in range(less + 1)) / 2**count
    assert mcnemar(first, second) == pytest.approx(min(2 * tail, 1.0))


def test_differences_are_paired():
    """Where both are wrong on the same examples, nothing is left to chance."""
    wrong = flipped(tiny.LABELS, {0, 5, 30, 50})
    [pair] = compared(wrong, wrong).pairs
    for one in pair.differences.values():
        assert (one.value, one.low, one.high) == (0, 0, 0)
    assert (pair.only_first, pair.only_second, pair.p_value) == (0, 0, 1)
    better = flipped(tiny.LABELS, {0})
    table = compared(wrong, better)
    [pair] = table.pairs
    accuracy = pair.differences["accuracy"]
    assert accuracy.value == pytest.approx(3 / 56)
    assert 0 <= accuracy.low < accuracy.value < accuracy.high < 8 / 56
    assert (pair.only_first, pair.only_second) == (0, 3)
    assert compared(wrong, better) == table
    assert compared(wrong, better, seed=1) != table


def test_the_interval_is_that_of_a_slow_bootstrap():
    rng = np.random.default_rng(3)
    labels = drawn(rng, 56)
    answers = [[label if rng.random() < share else "а" for label in labels] for share in (0.6, 0.8)]
    pair = compared(*answers, labels=labels, resamples=4000).pairs[0]
    slow = {name: [] for name in METRICS}
    for _ in range(800):
        at = rng.integers(0, 56, 56)
        t, a, b = ([all_[i] for i in at] for all_ in (labels, *answers))
        slow["accuracy"].append(accuracy_score(t, b) - accuracy_score(t, a))
        f1 = [f1_score(t, p, average="macro") for p in (a, b)]
        slow["macro_f1"].append(f1[1] - f1[0])
    for name, values in slow.items():
        one = pair.differences[name]
        low, high = np.percentile(values, [2.5, 97.5])
        assert one.low == pytest.approx(low, abs=0.03)
        assert one.high == pytest.approx(high, abs=0.03)


def test_an_example_without_an_answer_is_left_out_of_all():
    first = [None, *tiny.LABELS[1:]]
    table = compared(first, tiny.LABELS)
    assert (table.count, table.skipped) == (55, 1)
    with pytest.raises(DataError, match="names: there is nothing to judge on"):
        compared([None] * 56, tiny.LABELS)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            (23, 41),
            "Б is right on 41 texts where A is wrong, and wrong on 23 where A is right: p = 0.033 "
            "(McNemar's exact test), that is hardly chance",
        ),
        ((1, 1), "right on 1 text where A is wrong, and wrong on 1 where A is right: p = 1 "),
        ((1, 1), "this may well be chance"),
        ((0, 40), "p < 0.001"),
        ((0, 0), "A and Б are right and wrong on the same examples"),
    ],
)
def test_it_is_told_in_plain_words(counts, said):
    pair = Pair("A", "Б", {}, *counts, mcnemar(*counts))
    [sentence] = pair.sentences({}, "text")
    assert said in sentence


# As a user has it


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("names.tsv").write_text(tiny.LINES, encoding="utf-8")
    tiny.train("names.tsv", out="models/первая", epochs=1)
    tiny.train("names.tsv", out="models/b", cell="gru", epochs=2)
    return ["models/первая", "models/b"]


def call(capsys, *argv):
    code = run([str(word) for word in argv])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_calls_the_function(models, capsys):
    table = elman.compare_models(models, "names.tsv")
    assert [one.name for one in table.models] == ["первая", "b"]
    code, out, err = call(capsys, "compare", "--models", *models, "names.tsv", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["models"][1]["metrics"] == table.models[1].metrics
    assert told["pairs"][0]["p_value"] == table.pairs[0].p_value
    code, out, err = call(capsys, "compare", *models, "--models", "names.tsv")
    assert (code, err) == (0, "")
    for sentence in table.sentences():
        assert sentence in out
        assert sentence in " ".join(repr(table).split())
    assert "<table>" in table._repr_html_()


def test_three_models_are_three_pairs(models):
    third = tiny.train("names.tsv", epochs=1, seed=4)
    table = elman.compare_models([*models, third], "names.tsv", resamples=100)
    assert [(pair.first, pair.second) for pair in table.pairs] == [
        ("первая", "b"),
        ("первая", "model 3"),
        ("b", "model 3"),
    ]


def test_what_cannot_be_compared_is_one_sentence(models, capsys):
    Path("others.tsv").write_text(tiny.LINES.replace("\tde", "\tнем"), encoding="utf-8")
    Path("strange.tsv").write_text("ka\t1\nmi\t2\n" * 5, encoding="utf-8")
    tiny.train("others.tsv", out="others", epochs=1)
    first = models[0]
    for argv, said in [
        ((first, "names.tsv"), "--models needs two or more models and labelled data"),
        ((first, "nowhere", "names.tsv"), "there is no model at nowhere"),
        ((first, first, "names.tsv"), f"two of the models are both {first}"),
        ((first, "others", "names.tsv"), "первая knows classes that others does not ('de'); "),
        (("others", first, "names.tsv"), "others knows classes that первая does not ('нем'); "),
        ((*models, "nowhere.tsv"), "no file 'nowhere.tsv'"),
        ((*models, "strange.tsv"), "none of its labels ('1', '2') is among the classes"),
        ((*models, "names.tsv", "--resamples", 9), "resamples is 9; it must be a whole number of"),
        ((*models, "names.tsv", "--cells", "gru"), "Unknown option: --cells"),
    ]:
        code, out, err = call(capsys, "compare", "--models", *argv)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert said in err
    for models_, said in [("a", "give a list of two"), ([first], "give a list of two")]:
        with pytest.raises(ConfigError, match=said):
            elman.compare_models(models_, "names.tsv")
    with pytest.raises(BundleError):
        elman.compare_models(["a", "b"], "names.tsv")


def test_models_of_different_tasks_are_refused(models, monkeypatch):
    from elman import tasks

    monkeypatch.setitem(tasks.TASKS, "toy", "toy.task")
    Path("names.toy").write_text("ka mi yo shi ta no", encoding="utf-8")
    toy = elman.train("names.toy", epochs=1).model
    with pytest.raises(ConfigError, match="a model of the task classify, model 2 of toy"):
        elman.compare_models([models[0], toy], "names.tsv")
    other = elman.train("names.toy", epochs=2).model
    table = elman.compare_models([toy, other], "names.toy", resamples=100)
    scores = toy.evaluate(tasks.find("toy").read("names.toy"))
    assert table.models[0].metrics == pytest.approx(scores.metrics)
    assert table.pairs[0].p_value is None  # its answers are neither right nor wrong
    assert table.pairs[0].differences["nats"].low <= table.pairs[0].differences["nats"].value
