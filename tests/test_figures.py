"""Pictures hold what they say, whatever the labels; equal runs give equal files."""

import numpy as np
import pytest

from elman.tasks.classify.figures import confusion_matrix, confusion_pictures
from elman.tasks.classify.metrics import evaluate
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
