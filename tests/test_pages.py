"""What people see of a classifier's scores, in terminals of any width and in none."""

import io

import msgspec
import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from elman.tasks.classify import pages
from elman.tasks.classify.labels import AnyOf, OneOf
from elman.tasks.classify.metrics import evaluate, evaluate_several
from elman.text.terminal import UNBOUNDED, columns
from elman.training.report import Baseline, Report

WIDTHS = [40, 60, 80, 120, 200, UNBOUNDED]
CLASSES = {
    "two": ["neg", "pos"],
    "Russian": ["положительный", "отрицательный", "нейтральный", "речевой акт", "пропустить"],
    "emoji": ["😀", "❤️", "👨‍👩‍👧", "👍🏽", "日本語", "a[bold]b[/]", "\x1b[31mred"],
    "languages": [f"Language {chr(65 + i) * (i % 5)}" + "x" * i for i in range(17)],
    "intents": [f"intent_{i:02d}_of_banking" for i in range(78)],
}


def scores(names, *, count=600, accuracy=0.8, used=None):
    """Scores of answers of which about so many are right; only classes ``used`` occur."""
    rng = np.random.default_rng(0)
    used = list(range(len(names))) if used is None else used
    truth = rng.choice(used, count)
    probabilities = np.zeros((count, len(names)), dtype=np.float32)
    probabilities[:, used] = rng.random((count, len(used)))
    probabilities[np.arange(count), truth] += np.where(rng.random(count) < accuracy, 3, 0)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    texts = [f"text {i} " + "слово " * (i % 60) for i in range(count)]
    return evaluate(probabilities, [names[i] for i in truth], names, texts)


def shown(judged, width, sizes=None):
    """What is printed, as lines without colours."""
    screen = Console(file=io.StringIO(), width=width, height=25, highlight=False)
    for part in pages.evaluation(judged, width=width, sizes=sizes):
        screen.print(part)
    return screen.file.getvalue().splitlines()


def matrix(lines):
    """The heads and the rows of the confusion matrix."""
    start = next(i for i, line in enumerate(lines) if line.startswith("Confusion"))
    end = lines.index("", start)
    return lines[start + 1], lines[start + 2 : end]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", CLASSES)
def test_every_page_fits(kind, width):
    names = CLASSES[kind]
    judged = scores(names)
    sizes = {name: {"train": 1000, "valid": 100, "test": 100} for name in names}
    lines = shown(judged, width, sizes)
    assert max(columns(line) for line in lines) <= width
    assert "\x1b" not in "".join(lines)
    heads = next(line for line in lines if "precision" in line).split()
    assert ("train" in heads) == (width >= 80)
    if width > 40:
        area = ["AP"] * (width >= 80)
        wanted = ["class", "precision", "recall", "F1", *area, "support"]
        assert heads[: len(wanted)] == wanted
        for part in pages.evaluation(judged, width=width, sizes=sizes):
            if isinstance(part, str) and "accuracy" not in part and "  · " not in part:
                assert columns(Text.from_markup(part).plain) <= width


@pytest.mark.parametrize("width", [80, 120, UNBOUNDED])
def test_heads_of_the_matrix_are_whole_names_where_there_is_room(width):
    head, rows = matrix(shown(scores(CLASSES["Russian"]), width))
    assert head.split() == " ".join(CLASSES["Russian"]).split()
    assert [row.split()[0] for row in rows] == [name.split()[0] for name in CLASSES["Russian"]]
    assert {columns(row) for row in rows} == {columns(head)}


def test_heads_are_cut_only_as_far_as_they_must_and_stay_apart():
    head, _ = matrix(shown(scores(CLASSES["Russian"]), 60))
    assert len({*head.split()}) == 5
    assert columns(head) > 50
    # Cut to what is left, these would be one: they are numbered instead.
    head, rows = matrix(shown(scores([f"language number {i}" for i in range(9)]), 60))
    assert head.split() == [str(i) for i in range(1, 10)]
    assert [row.split()[0] for row in rows] == head.split()


def test_many_classes_are_shown_by_their_worst_and_their_confusions():
    judged = scores(CLASSES["intents"])
    sizes = {name: {"train": 1, "valid": 1, "test": 1} for name in CLASSES["intents"]}
    for width in WIDTHS:
        lines = shown(judged, width, sizes)
        assert len(lines) < 70
        assert "Most frequent confusions" in lines
        rows = [line for line in lines if line.startswith(" inten")]
        assert len(rows) == 30
    f1 = [float(row.split()[3]) for row in rows]
    assert f1 == sorted(f1)
    assert (f1[0], f1[-1]) == tuple(
        f(row.f1 for row in judged.classes).__round__(3) for f in (min, max)
    )
    assert "  · of 78 classes the worst and the best by F1; all are in metrics.json" in lines
    pairs = [line for line in lines if " taken for " in line]
    assert len(pairs) == 10
    most = max(n for i, row in enumerate(judged.confusion) for j, n in enumerate(row) if i != j)
    assert pairs[0].split()[0] == str(most)
    assert "all are in what --json prints" in "".join(shown(judged, 200))


def test_classes_without_a_text_are_left_out():
    names = [f"c{i}" for i in range(78)]
    lines = shown(scores(names, used=[3, 7, 70]), 80)
    head, rows = matrix(lines)
    assert head.split() == ["c3", "c7", "c70"]
    assert len(rows) == 3
    assert [line.split()[0] for line in lines if line.startswith(" c")] == ["class", *head.split()]
    assert "  · without 75 classes that have no text here; all are in what --json prints" in lines


def test_a_class_that_is_only_answered_stays_in_the_matrix():
    probabilities = np.asarray([[0, 1, 0], [1, 0, 0]], dtype=np.float32)
    lines = shown(evaluate(probabilities, ["a", "a"], ["a", "b", "c"], ["x", "y"]), 80)
    head, rows = matrix(lines)
    assert head.split() == ["a", "b"]
    assert [row.split() for row in rows] == [["a", "1", "1"], ["b", "·", "·"]]


def test_no_confusion_at_all_is_said():
    lines = shown(scores(CLASSES["intents"], accuracy=2), 80)
    assert "No class was taken for another" in lines


def report(accuracy, macro_f1, baselines):
    def judged(accuracy, macro_f1):
        probabilities = np.asarray([[1, 0], [0, 1]], dtype=np.float32)
        one = evaluate(probabilities, ["a", "b"], ["a", "b"])
        return msgspec.structs.replace(one, accuracy=accuracy, macro_f1=macro_f1)

    return Report(
        task="classify",
        data="x.csv",
        test=judged(accuracy, macro_f1),
        baselines=[Baseline(name, judged(*s), 0.0, 10) for name, s in baselines.items()],
        sizes={"a": {"train": 10}},
        parameters=1,
        seconds=1.0,
        epochs=1,
        best_epoch=1,
        stopped="",
        notes=[],
    )


def test_the_verdict_names_who_is_better_and_by_what():
    assert [*pages.verdict(report(0.9, 0.8, {"n-grams": (0.9, 0.8), "always a": (0.5, 0.3)}))] == []
    assert [*pages.verdict(report(0.9, 0.8, {"n-grams": (0.91, 0.82)}))] == [
        "n-grams does better here than this model: accuracy 0.9100 against 0.9000, "
        "macro-F1 0.8200 against 0.8000"
    ]
    assert [*pages.verdict(report(0.9, 0.8, {"n-grams": (0.89, 0.82)}))] == [
        "n-grams does better here than this model: macro-F1 0.8200 against 0.8000"
    ]


def test_names_that_differ_at_their_end_were_all_alike_in_a_log():
    names = [f"a rather long name of a class, number {i}" for i in range(40)]
    lines = shown(scores(names), UNBOUNDED)
    rows = [line.partition("  ")[0] for line in lines if line.startswith(" a rather")]
    assert len({*rows}) == len(rows) == 30
    pairs = [line.split(maxsplit=1)[1] for line in lines if " taken for " in line]
    assert len({*pairs}) == len(pairs)


# -------------------------------------------------------------------------------------------------
# Several labels, thresholds, calibration


def labelling(names, count=300):
    rng = np.random.default_rng(1)
    probabilities = rng.random((count, len(names))).astype(np.float32)
    truth = rng.random((count, len(names))) < probabilities**2
    labels = [tuple(n for n, on in zip(names, row, strict=True) if on) for row in truth]
    texts = [f"text {i} " + "слово " * (i % 60) for i in range(count)]
    kind = AnyOf(thresholds=[0.4] * len(names))
    return evaluate_several(probabilities, labels, names, texts, kind=kind)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", CLASSES)
def test_the_page_of_several_labels_fits(kind, width):
    judged = labelling(CLASSES[kind])
    lines = shown(judged, width)
    assert max(columns(line) for line in lines) <= width
    assert "\x1b" not in "".join(lines)
    said = " ".join(" ".join(lines).split())
    for name in ("macro-F1", "subset accuracy", "Hamming loss", "log loss"):
        assert name in said
    heads = next(line for line in lines if "precision" in line).split()
    assert ("from" in heads) == (width >= 80)
    mistakes = [line for line in lines if ", missing: " in line or ", too much: " in line]
    assert len(mistakes) == 5 or width < 60


def test_thresholds_are_shown_where_they_matter():
    rng = np.random.default_rng(0)
    probability = rng.beta(1, 4, 500).astype(np.float32)
    labels = ["редкий" if hit else "частый" for hit in rng.random(500) < probability]
    both = np.stack([probability, 1 - probability], axis=1)
    sizes = {name: {"train": 5, "valid": 1, "test": 1} for name in ("редкий", "частый")}
    for kind, used in ((OneOf(positive=0), "0.500"), (OneOf(positive=0, threshold=0.25), "0.250")):
        judged = evaluate(both, labels, ["редкий", "частый"], kind=kind)
        lines = shown(judged, 80)
        assert "Thresholds from which редкий is answered" in lines
        [row] = [line.split() for line in lines if line.rstrip().endswith("in use")]
        assert row[0] == used
        assert row[3] == f"{judged.classes[0].f1:.3f}"
        # After training they stand there where one was chosen.
        said = "Thresholds" in "\n".join(shown(judged, 80, sizes))
        assert said == (kind.threshold is not None)
    assert "Thresholds" not in "\n".join(shown(scores(CLASSES["Russian"]), 80))


def test_calibration_is_said_before_and_after():
    both = np.array([[0.7, 0.3]] * 6 + [[0.4, 0.6]] * 4, dtype=np.float32)
    labels = ["a"] * 6 + ["b"] * 4
    sharp = np.array([[0.9, 0.1]] * 6 + [[0.2, 0.8]] * 4, dtype=np.float32)
    after, before = evaluate(both, labels, ["a", "b"]), evaluate(sharp, labels, ["a", "b"])
    lines = shown(evaluate(both, labels, ["a", "b"], uncalibrated=sharp), 120)
    assert (
        f"calibration error {after.calibration_error:.4f}  (before calibration "
        f"{before.calibration_error:.4f}, by chance {after.calibration.by_chance:.4f})"
    ) in lines
    assert f"log loss {after.log_loss:.4f}  (before calibration {before.log_loss:.4f})" in lines
