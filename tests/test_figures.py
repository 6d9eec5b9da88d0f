"""Pictures hold what they say, whatever the labels; equal runs give equal files."""

import msgspec
import numpy as np
import pytest

from elman.tasks.classify.figures import (
    confusion_matrix,
    confusion_pictures,
    pictures,
    precision_recall,
    reliability,
)
from elman.tasks.classify.labels import OneOf
from elman.tasks.classify.metrics import evaluate, evaluate_several
from elman.tasks.classify.task import metrics
from elman.training.figures import learning_curve, render
from elman.training.history import Epoch

PNG = b"\x89PNG"


def epoch(number, **scores):
    return Epoch(number, 2 / number, 0.5, number in (1, 3), scores, 0.01, 1.0, 100.0)


HISTORY = [epoch(i, loss=1.5 / i, accuracy=1 - 1 / i, macro_f1=1 - 1 / i) for i in range(1, 5)]


def lines(axes):
    return {line.get_label(): [*line.get_ydata()] for line in axes.lines}


def test_the_curve_has_losses_and_scores_and_the_epoch_that_was_kept():
    losses, scores = learning_curve(HISTORY, metrics).axes
    assert lines(losses)["training loss"] == [2.0, 1.0, 2 / 3, 0.5]
    assert lines(losses)["valid loss"] == [1.5, 0.75, 0.5, 0.375]
    assert lines(scores)["accuracy"] == [1 - 1 / i for i in range(1, 5)]
    assert "kept: epoch 3" in lines(losses).keys() & lines(scores).keys()


@pytest.mark.parametrize(("name", "sign"), [("loss", -1), ("accuracy", 1)])
def test_a_score_that_is_a_metric_is_drawn_once(name, sign):
    assert "score" in lines(learning_curve(HISTORY, metrics).axes[1])
    history = [msgspec.structs.replace(one, score=sign * one.metrics[name]) for one in HISTORY]
    assert "score" not in lines(learning_curve(history, metrics).axes[1])


def test_without_a_table_metrics_are_called_by_their_names():
    losses, scores = learning_curve(HISTORY).axes
    assert {"training loss", "valid loss"} <= lines(losses).keys()
    assert {"accuracy", "macro_f1"} <= lines(scores).keys()


@pytest.mark.parametrize("history", [[], [epoch(1)], [epoch(i) for i in range(1, 50)]])
def test_without_a_validation_part_there_is_one_panel(history):
    figure = learning_curve(history, metrics)
    assert len(figure.axes) == 1
    assert render(figure, "png").startswith(PNG)


def test_a_notebook_shows_a_picture_by_itself():
    assert learning_curve(HISTORY)._repr_png_().startswith(PNG)


# As matplotlib's formula the first would raise; most fonts lack the third.
LABELS = [r"$\frac{$", "a\nb", "日本", "a\x00b", "<script>", "x" * 40]


def test_any_label_is_drawn_and_equal_scores_give_equal_files():
    scores = evaluate(np.eye(6, dtype=np.float32), LABELS, LABELS)
    files = confusion_pictures(scores)
    assert files == confusion_pictures(scores)
    assert files["confusion.png"].startswith(PNG)
    assert b"</svg>" in files["confusion.svg"]
    ticks = [tick.get_text() for tick in confusion_matrix(scores).axes[0].get_yticklabels()]
    assert ticks == [r"$\frac{$", "a b", "日本", r"a\x00b", "<script>", "x" * 23 + "…"]


def two(names, *, sharper=None, kind=None):
    probability = np.random.default_rng(0).random(300).astype(np.float32)
    labels = [names[int(p > 0.6)] for p in probability]
    both = np.stack([1 - probability, probability], axis=1)
    uncalibrated = None if sharper is None else both**sharper
    return evaluate(both, labels, names, kind=kind, uncalibrated=uncalibrated)


def test_the_precision_recall_curve_of_two_classes_has_thresholds_and_where_it_answers():
    scores = two(["обычное", "спам"], kind=OneOf(threshold=0.4))
    [axes] = precision_recall(scores).axes
    curve, dot, always = axes.lines
    assert curve.get_label() == "спам: average precision 1.000"
    [row] = [row for row in scores.classes if row.label == "спам"]
    assert ([*dot.get_xdata()], [*dot.get_ydata()]) == ([row.recall], [row.precision])
    assert always.get_label() == f"always: {row.support / 300:.3f}"
    assert 3 <= len(axes.texts) <= 5
    assert scores.plot_precision_recall()._repr_png_().startswith(PNG)


def test_reliability_has_a_line_before_and_one_after_calibration():
    above, below = reliability(two(["обычное", "спам"], sharper=2)).axes
    assert [line.get_label().split(":")[0] for line in above.lines] == [
        "honest",
        "before calibration",
        "as answered",
    ]
    assert sum(bar.get_height() for bar in below.patches) == 300
    above, _ = two(["a", "b"]).plot_reliability().axes
    assert [line.get_label().split(":")[0] for line in above.lines] == ["honest", "as answered"]


def test_any_label_has_its_pictures_and_equal_scores_give_equal_files():
    for judged in (
        evaluate(np.eye(6, dtype=np.float32), LABELS, LABELS),
        evaluate_several(np.eye(6, dtype=np.float32), [(name,) for name in LABELS], LABELS),
        two(LABELS[:2], sharper=2),
    ):
        files = pictures(judged)
        assert files == pictures(judged)
        assert files.keys() == {"reliability.png", "precision-recall.png"}
    many = [f"{i:02}" for i in range(20)]
    assert pictures(evaluate(np.eye(20, dtype=np.float32), many, many)).keys() == {
        "reliability.png"
    }
