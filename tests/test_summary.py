"""What a repr says fits a screen, what a notebook shows is escaped, whatever the user's data."""

import msgspec
import numpy as np
import pytest

import elman
import tiny
from elman.data.examples import Examples
from elman.data.splits import Split
from elman.lab.compare import Comparison, Row, Run
from elman.lab.models import Difference, Judged, ModelComparison, Pair
from elman.tasks.classify import task
from elman.tasks.classify.metrics import ClassScore, evaluate
from elman.text.summary import Table
from elman.text.terminal import columns
from elman.training.fitting import Fitted
from elman.training.history import Epoch, History
from elman.training.report import Baseline, Report, Spread, Training
from elman.training.trained import Trained

EVIL = ["<script>alert(1)</script>", "a\nb\x1b[31m", "日本" * 40, "x" * 300, "</table>", "&amp;"]


def scores(count):
    labels = [*EVIL, *(f"class {i}" for i in range(100))][:count]
    texts = [f"{label} {'long ' * 500}" for label in labels]
    wrong = np.roll(np.eye(count, dtype=np.float32), 1, axis=0)
    return evaluate(wrong, labels, labels, texts)


def report(count):
    test = scores(count)
    baselines = [Baseline(f"{EVIL[0]} {i}", test, 1.0, 10) for i in range(4)]
    return Report(
        task="classify",
        data=EVIL[0],
        test=test,
        baselines=baselines,
        sizes={},
        parameters=1_000_000,
        seconds=12.3,
        epochs=60,
        best_epoch=3,
        stopped=f"stopped {'long ' * 100}",
        notes=["a note"] * 50,
    )


def history(count):
    values = {"loss": 0.5, "accuracy": 0.7, "macro_f1": 0.6}
    epochs = (Epoch(i, 0.1, 0.5, i == 3, values, 0.01, 1.5, 100.0) for i in range(1, count + 1))
    return History(epochs, task.metrics)


def repeated(count, spread):
    values = dict.fromkeys(("accuracy", "macro_f1"), 0.5)
    trainings = [
        Training(f"fold {i}", 0, 9, values, {}, 0.5, 3, 2, 1.0) for i in range(1, count + 1)
    ]
    apart = [Spread(f"{EVIL[0]} {i}", values, values) for i in range(spread)]
    return msgspec.structs.replace(report(2), name=EVIL[0], trainings=trainings, spread=apart)


def models_compared(count):
    values = dict.fromkeys(("accuracy", "macro_f1"), 0.5)
    names = [f"{EVIL[i % len(EVIL)]}{i}" for i in range(count)]
    models = [Judged(name, values, 1000) for name in names]
    differences = {name: Difference(0.1, -0.1, 0.2) for name in values}
    pairs = [Pair(*names[:2], differences, 3, 4, 0.4)] * (count * (count - 1) // 2)
    return ModelComparison("classify", EVIL[0], 45, 2, models, pairs, 2000, 0.95, 0)


def comparison(count):
    values = dict.fromkeys(scores(2).metrics, 0.5)
    names = [f"{EVIL[0]}{i}" for i in range(count)]
    rows = [Row(name, values, values, 1000, 64, 3.0, 0.5) for name in names]
    runs = [Run(name, 0, values, 1000, 64, 3.0, 4) for name in names]
    return Comparison("classify", EVIL[0], 45, rows, runs, report(2).baselines)


@pytest.fixture(scope="module")
def trained(bundle_made_once):
    model = elman.load(bundle_made_once)
    part = Examples(EVIL, EVIL, EVIL[0])
    return Trained(model, report(8), history(60), Split(part, part, part, ()), [])


SHOWN = {
    "2 classes": scores(2),
    "8 classes": scores(8),
    "9 classes": scores(9),
    "78 classes": scores(78),
    "report": report(3),
    "baseline": report(3).baselines[0],
    "mistake": scores(3).mistakes[0],
    "a class": ClassScore("a", 0.1, 0.2, 0.3, 0.4, 5),
    "no epoch": history(0),
    "an epoch": history(1),
    "60 epochs": history(60),
    "report of seeds": repeated(3, 1),
    "report of folds": repeated(30, 5),
    "models compared": models_compared(2),
    "many models compared": models_compared(12),
    "comparison": comparison(3),
    "comparison of the zoo": comparison(30),
    "fitted": Fitted(history(60), "stopped by Ctrl-C after epoch 60"),
}


@pytest.mark.parametrize("name", [*SHOWN, "trained", "model"])
def test_a_repr_fits_a_screen_and_html_is_escaped(name, trained):
    shown = {**SHOWN, "trained": trained, "model": trained.model}[name]
    lines = repr(shown).splitlines()
    assert 1 <= len(lines) <= 25
    if name != "a class":
        assert max(map(columns, lines)) <= 100
        html = shown._repr_html_()
        assert "<script" not in html
        assert html.count("</table>") == html.count("<table>") <= 2
        assert html.count("<tr") <= 25
    assert all(line.isprintable() for line in lines)


def test_a_report_shows_scores_beside_baselines():
    lines = repr(tiny_report()).splitlines()
    assert lines[1].split() == [*scores(2).main, "seconds"]
    assert lines[2].split()[:3] == ["this", "model", "0.0000"]
    assert lines[3].split()[0] == "majority"
    assert lines[4] == "60 epochs, the weights of epoch 3 kept; 1,000,000 parameters"


def test_what_has_no_epochs_says_nothing_of_them():
    report = msgspec.structs.replace(tiny_report(), epochs=0, best_epoch=0)
    assert f"{report.parameters:,} parameters" in repr(report).splitlines()


def tiny_report():
    baselines = [Baseline("majority", scores(2), 0.1, 10)]
    return msgspec.structs.replace(report(2), baselines=baselines, stopped="", notes=[])


def test_the_confusion_of_few_classes_is_shown_and_shaded():
    labels = ["a", "b"]
    right = evaluate(np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), ["a", "b", "b"], labels)
    assert repr(right).splitlines()[-2:] == ["a  1  0", "b  1  1"]
    assert 'style="background:rgba(31,119,180,0.50)">1<' in right._repr_html_()
    assert "plot_confusion" in repr(scores(9))


def test_a_history_is_a_list():
    whole = history(60)
    assert whole == [*whole]
    assert whole.kept == 3
    assert isinstance(whole[:2], list)
    lines = repr(whole).splitlines()
    assert lines[0] == "60 epochs; the weights of epoch 3 are kept"
    assert lines[1].split() == [
        *["epoch", "loss", "valid", "loss", "accuracy", "macro-F1", "seconds"]
    ]
    assert [line.split()[0] for line in lines[2:]] == [*"12345", "…", *map(str, range(56, 61))]


def test_columns_that_do_not_fit_are_left_out_and_marked():
    table = Table(["", *(f"column {i}" for i in range(30))], [["row", *map(str, range(30))]])
    lines = [*table.lines()]
    assert all(line.endswith("…") and columns(line) <= 100 for line in lines)
    assert table.html().count("<td>") == 31


def test_what_training_returns_can_be_drawn(names_file):
    trained = tiny.train(names_file)
    for figure in (trained.plot(), trained.history.plot(), trained.report.test.plot_confusion()):
        assert figure._repr_png_().startswith(b"\x89PNG")
    assert "<lstm classifier with n-grams, 2 classes" in repr(trained)
    model = trained.model._repr_html_()
    assert "lstm, 8 units, two directions" in model
    assert "de, ja" in model


def test_labels_in_a_models_html_are_escaped(tmp_path):
    lines = tiny.LINES.replace("\tja", f"\t{EVIL[0]}")
    (tmp_path / "names.tsv").write_text(lines, encoding="utf-8")
    trained = tiny.train(tmp_path / "names.tsv", epochs=1)
    for html in (trained.model._repr_html_(), trained._repr_html_()):
        assert "<script" not in html
    assert "&lt;script&gt;" in trained.model._repr_html_()
