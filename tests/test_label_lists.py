"""Several labels a text: lists as programs write them, and labels with signs between them."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

from elman.data.form import Form
from elman.data.labels import labels_in, separator_of
from elman.data.readers import joined, read_examples
from elman.errors import ConfigError, DataError
from elman.tasks.classify import task
from elman.tasks.classify.inspection import inspect

SEVERAL = Form(multilabel=True)
ROWS = [("Ура!", ("радость",)), ("Что?", ()), ("Ой", ("страх", "удивление")), ("Эх", ("грусть",))]


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("[0 4]", ("0", "4")),
        ("[4, 0, 4]", ("0", "4")),
        ("[]", ()),
        (" [ ] ", ()),
        ('["a", "b"]', ("a", "b")),
        ('["радость", "страх"]', ("радость", "страх")),
        (r'["\u0441\u0442\u0440\u0430\u0445"]', ("страх",)),
        ("['b', 'a']", ("a", "b")),
        ("['a' 'b c']", ("a", "b c")),
        ("['a'\n 'b']", ("a", "b")),
        ("[joy fear]", ("fear", "joy")),
        ("[very good, bad]", ("bad", "very good")),
        ('["it\'s", "x;y"]', ("it's", "x;y")),
        ("('a',)", ("a",)),
        ("{'a', 'b'}", ("a", "b")),
        ("()", ()),
        ("set()", ()),
        ("array([0, 4])", ("0", "4")),
        ("array(['a', 'b'], dtype=object)", ("a", "b")),
        ("[1.0, 2.0]", ("1", "2")),
        ("[1. 2.]", ("1", "2")),
        ("[true, null]", ("true",)),
        ("(other)", ("(other)",)),
        ("", ()),
    ],
)
def test_lists_as_programs_write_them(cell, labels):
    assert labels_in(cell, None) == labels


@pytest.mark.parametrize("cell", ["[[1], [2]]", '{"a": 1}', "[0 4", '["a", {"b": 1}]', "[0]["])
def test_what_is_no_list_of_labels(cell):
    with pytest.raises(DataError, match="are no plain list; write them as"):
        labels_in(cell, None)


@pytest.mark.parametrize(
    ("cells", "sign"),
    [
        (["a;b", "c"], ";"),
        (["a|b", "c"], "|"),
        (["a,b", "c"], ","),
        (["food, drink; service", "x"], ";"),
        (["joy fear", "joy", "fear"], " "),
        (["0 4", "1"], " "),
        (["very good", "good", "bad"], None),
        (["a", "b"], None),
        (["[a]", "[b, c]"], None),
    ],
)
def test_what_plainly_stands_between_labels(cells, sign):
    assert separator_of(cells) == sign


def test_two_signs_are_not_plain():
    with pytest.raises(DataError, match=r"both ; and \|.*--label-separator"):
        separator_of(["a;b", "c|d"])


def files(folder):
    """The same rows in every format."""
    frame = pl.DataFrame(
        {"text": [text for text, _ in ROWS], "labels": [[*row] for _, row in ROWS]}
    )
    frame.write_parquet(folder / "a.parquet")
    frame.write_ndjson(folder / "a.jsonl")
    cells = {
        "json.csv": [json.dumps([*row], ensure_ascii=False) for _, row in ROWS],
        "python.csv": [repr([*row]) for _, row in ROWS],
        "numpy.tsv": [str(np.array(row, dtype=object)) for _, row in ROWS],
        "semicolons.csv": [";".join(row) for _, row in ROWS],
        "bars.tsv": [" | ".join(row) for _, row in ROWS],
        "commas.tsv": [", ".join(row) for _, row in ROWS],
    }
    for name, column in cells.items():
        table = pl.DataFrame({"text": frame["text"], "labels": column})
        table.write_csv(folder / name, separator="\t" if name.endswith("tsv") else ",")
    lines = [" ".join([*(f"__label__{one}" for one in row), text]) for text, row in ROWS if row]
    (folder / "fasttext.txt").write_text("\n".join(lines) + "\n")
    return sorted(folder.iterdir())


def test_every_format_gives_the_same_labels(tmp_path):
    for path in files(tmp_path):
        found = read_examples(path, form=SEVERAL)
        rows = [*zip(found.texts, found.labels, strict=True)]
        assert rows == ([row for row in ROWS if row[1]] if path.suffix == ".txt" else ROWS), path
        assert found.several


@pytest.mark.parametrize(
    "table",
    [
        [(text, [*row]) for text, row in ROWS],
        [(text, {*row}) for text, row in ROWS],
        [{"text": text, "labels": row} for text, row in ROWS],
        {
            "text": [text for text, _ in ROWS],
            "labels": [np.array(row, dtype=object) for _, row in ROWS],
        },
        pl.DataFrame({"text": [text for text, _ in ROWS], "labels": [[*row] for _, row in ROWS]}),
        pd.DataFrame({"text": [text for text, _ in ROWS], "labels": [[*row] for _, row in ROWS]}),
        pd.DataFrame(
            {"text": [text for text, _ in ROWS], "labels": ["; ".join(r) for _, r in ROWS]}
        ),
    ],
    ids=["tuples", "sets", "mappings", "arrays", "polars", "pandas", "strings"],
)
def test_tables_in_memory(table):
    found = read_examples(table, form=SEVERAL)
    assert found.labels == [row for _, row in ROWS]


def write(path, cells, texts=None):
    texts = texts or [f"text {i}" for i in range(len(cells))]
    pl.DataFrame({"text": texts, "label": cells}).write_csv(path)
    return path


def test_the_order_in_a_list_does_not_matter(tmp_path):
    found = [
        read_examples(write(tmp_path / "a.csv", cells), form=SEVERAL)
        for cells in (["[2 1]", "[]"], ["[1 2]", "[]"], ["[1, 2, 2]", "[]"])
    ]
    assert len({one.digest() for one in found}) == 1
    other = read_examples(write(tmp_path / "a.csv", ["[1]", "[2]"]), form=SEVERAL)
    assert other.digest() != found[0].digest()


def test_an_empty_cell_is_no_label_unless_lists_could_say_so(tmp_path):
    found = read_examples(write(tmp_path / "a.csv", ["a;b", "", "a"]), form=SEVERAL)
    assert found.labels == [("a", "b"), (), ("a",)]
    assert "1 text with an empty label: taken as having none of the labels" in found.notes
    assert "labels are read as parted by ;" in found.notes
    path = write(tmp_path / "b.csv", ["[a b]", "", "[]"])
    with pytest.raises(DataError, match=r"line 3: label column 'label' is empty"):
        read_examples(path, form=SEVERAL)
    dropped = read_examples(path, form=Form(multilabel=True, drop_unlabelled=True))
    assert dropped.labels == [("a", "b"), ()]


def test_a_broken_list_is_told_with_its_line(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv line 3: the labels '\[b' are no plain list"):
        read_examples(write(tmp_path / "a.csv", ["[a]", "[b"]), form=SEVERAL)


# -------------------------------------------------------------------------------------------------
# A separator that is said


@pytest.mark.parametrize(
    ("separator", "cell"),
    [
        ("#", "a#b"),
        ("/", "a / b"),
        ("space", "a b"),
        ("comma", "a,b"),
        ("->", "a->b"),
        (";", "[b; a]"),
    ],
)
def test_a_separator_that_is_said(tmp_path, separator, cell):
    found = read_examples(
        write(tmp_path / "a.csv", [cell, "b"]), form=Form(label_separator=separator)
    )
    assert found.labels == [("a", "b"), ("b",)]


def test_a_separator_that_stands_nowhere_is_told_of(tmp_path):
    cells = ["[0 1]", "[0]", "[]"]
    notes = read_examples(write(tmp_path / "a.csv", cells), form=Form(label_separator="#")).notes
    assert any("'#' (--label-separator) stands in no label" in note for note in notes)
    notes = read_examples(write(tmp_path / "a.csv", cells), form=Form(label_separator=" ")).notes
    assert not any("(--label-separator)" in note for note in notes)


@pytest.mark.parametrize("separator", ["", "x", "and", '"', "[", "0", "----", "\n", "é"])
def test_a_strange_separator(separator):
    with pytest.raises(ConfigError, match="it must be what stands between two labels"):
        Form(label_separator=separator)


def test_a_strange_sign_in_the_labels_is_told_of(tmp_path):
    found = read_examples(write(tmp_path / "a.csv", ["joy#fear", "joy", "fear"]), form=SEVERAL)
    assert any("'#' stands between two, say so with --label-separator" in n for n in found.notes)
    with pytest.raises(DataError, match=r"just one label, such as 'joy#fear'.*--label-separator"):
        task.split(found)
    plain = read_examples(write(tmp_path / "a.csv", ["a-b", "c", "d;e"]), form=SEVERAL)
    assert not any("say so" in note for note in plain.notes)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"text": "a", "label": ["x", "y"]}\n'),
        ("a.txt", b"__label__x __label__y a\n__label__x b\n"),
    ],
)
def test_lists_that_were_not_asked_for_are_told_of(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="--multilabel reads"):
        read_examples(tmp_path / name)


def test_lists_in_memory_that_were_not_asked_for(tmp_path):
    frame = pl.DataFrame({"text": ["a"], "label": [["x", "y"]]})
    frame.write_parquet(tmp_path / "a.parquet")
    for table in (frame, frame.to_pandas(), [("a", ["x", "y"])], tmp_path / "a.parquet"):
        with pytest.raises(DataError, match="--multilabel reads"):
            read_examples(table)


# -------------------------------------------------------------------------------------------------
# What is said of them, and the cut


def emotions(count=400):
    rng = np.random.default_rng(0)
    labels = [f"[{' '.join(str(i) for i in range(3) if rng.random() < 0.3)}]" for _ in range(count)]
    return [f"текст {i}" for i in range(count)], labels


def test_what_is_said_of_them(tmp_path):
    texts, cells = emotions()
    path = write(tmp_path / "a.csv", cells, texts)
    found = inspect(read_examples(path, form=SEVERAL), {})
    assert found.classes.keys() == {"0", "1", "2"}
    assert sum(found.labels_a_text.values()) == found.rows == 400
    assert sum(n * texts for n, texts in found.labels_a_text.items()) == sum(found.classes.values())
    single = inspect(read_examples(path), {})
    assert any("--multilabel reads several labels a text" in note for note in single.notes)
    assert single.labels_a_text == {}


def test_every_part_has_its_share_of_each_set(tmp_path):
    texts, cells = emotions()
    parts = task.split(read_examples(write(tmp_path / "a.csv", cells, texts), form=SEVERAL))
    for part in (parts.valid, parts.test):
        for label, count in parts.train.sizes().items():
            share = part.sizes()[label] / len(part)
            assert share == pytest.approx(count / len(parts.train), abs=0.05)
        none = sum(not row for row in part.labels) / len(part)
        assert none == pytest.approx(sum(not r for r in parts.train.labels) / 320, abs=0.05)


@pytest.mark.parametrize(
    ("cells", "said"),
    [(["[]"] * 9, "no text has a label"), (["[a b]"] * 9, "all texts have the same labels")],
)
def test_nothing_to_tell_apart(tmp_path, cells, said):
    with pytest.raises(DataError, match=said):
        task.split(read_examples(write(tmp_path / "a.csv", cells), form=SEVERAL))


def test_several_files_are_one(tmp_path):
    parts = [
        read_examples(write(tmp_path / f"{i}.csv", cells), form=SEVERAL)
        for i, cells in enumerate((["a;b"], ["[c]"]))
    ]
    whole = joined(parts)
    assert whole.several
    assert whole.labels == [("a", "b"), ("c",)]
    assert repr(whole).startswith("<2 texts of 3 classes of")


def test_ratings_are_named_as_such(tmp_path):
    found = inspect(read_examples(write(tmp_path / "a.csv", [*"12345"] * 3)), {})
    [note] = [note for note in found.notes if "if they are ratings" in note]
    assert note.startswith("the labels 1 to 5 are whole numbers in a row")
