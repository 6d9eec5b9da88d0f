"""Training data as Python programs have them."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import elman
import tiny
from elman.data.readers import read_examples, read_inputs
from elman.errors import ConfigError, DataError, InputError

TEXTS, LABELS = ["good film", "bad film", "fair"], ["pos", "neg", "pos"]
COLUMNS = {"text": TEXTS, "label": LABELS}
ROWS = list(zip(TEXTS, LABELS, strict=True))

DAY = datetime.date(2026, 1, 1)
TABLES = {
    "pandas": pd.DataFrame(COLUMNS),
    "pandas with an index": pd.DataFrame(COLUMNS, index=[7, 3, 3]),
    "pandas categories": pd.DataFrame({"text": TEXTS, "label": pd.Categorical(LABELS)}),
    "pandas strings": pd.DataFrame(COLUMNS, dtype="string"),
    "pandas objects": pd.DataFrame(COLUMNS, dtype=object),
    "polars": pl.DataFrame(COLUMNS),
    "polars categories": pl.DataFrame(COLUMNS).with_columns(pl.col("label").cast(pl.Categorical)),
    "arrow": pa.table(COLUMNS),
    "arrow, large": pa.table({k: pa.array(v, pa.large_string()) for k, v in COLUMNS.items()}),
    "arrow batch": pa.RecordBatch.from_pydict(COLUMNS),
    "columns": COLUMNS,
    "columns as arrays": {k: np.array(v) for k, v in COLUMNS.items()},
    "columns as series": {k: pd.Series(v) for k, v in COLUMNS.items()},
    "mappings": [{"text": t, "label": n} for t, n in ROWS],
    "pairs": ROWS,
    "lists": [list(row) for row in ROWS],
    "other columns": pd.DataFrame({"id": [1, 2, 3], **COLUMNS, "day": [DAY] * 3}),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_gives_its_texts_and_labels(name):
    examples = read_examples(TABLES[name])
    assert (examples.texts, examples.labels) == (TEXTS, LABELS)


@pytest.mark.parametrize("name", [name for name in TABLES if name not in ("pairs", "lists")])
def test_a_table_gives_inputs_with_its_other_columns(name):
    inputs = read_inputs(TABLES[name])
    assert inputs.inputs == TEXTS
    assert inputs.table["label"] == LABELS


def test_columns_by_name_and_number():
    table = pd.DataFrame({"n": [1, 2], "said": ["a", "b"], "stars": [5, 1]})
    for columns in ({"text": "said", "label": "stars"}, {"text": "2", "label": "3"}):
        examples = read_examples(table, **columns)
        assert (examples.texts, examples.labels) == (["a", "b"], ["5", "1"])
    assert examples.notes == ("columns not used: 'n'",)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table, dict])
def test_numbers_truths_and_floats_are_labels_as_in_files(make):
    for values, labels in (
        ([1, 2], ["1", "2"]),
        ([True, False], ["true", "false"]),
        ([1.0, 2.5], ["1", "2.5"]),
    ):
        assert read_examples(make({"text": ["a", "b"], "label": values})).labels == labels


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, np.nan, pd.NaT])
def test_a_missing_label_is_named_by_its_row(missing):
    table = pd.DataFrame({"text": ["a", "b"], "label": pd.Series(["x", missing], dtype=object)})
    with pytest.raises(DataError, match="row 2: label column 'label' is empty"):
        read_examples(table)


def test_a_column_of_none_is_missing_and_the_word_none_is_not():
    with pytest.raises(DataError, match="row 1: label column"):
        read_examples({"text": ["a", "b"], "label": [None, None]})
    assert read_examples({"text": ["a", "b"], "label": ["None", "nan"]}).labels == ["None", "nan"]
    assert read_examples({"text": ["a", None, float("nan")], "label": ["x", "y", "z"]}).texts == [
        "a"
    ]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pd.DataFrame({"a": [1], "b": [2]}), "no text column and no label column among"),
        ({"text": ["a"], "label": ["x", "y"]}, "the columns differ in length: 'text' 1, 'label' 2"),
        ({"text": [], "label": []}, "has no rows"),
        (pd.DataFrame({"text": [], "label": []}), "no rows"),
        ([("a", "x"), ("b",)], r"row 2 of the list is \('b',\); give \(text, label\) for each"),
        ([{"text": "a", "label": "x"}, {"text": "b"}], "row 2 has no field 'label'"),
        (pd.DataFrame({"text": [["a"]], "label": ["x"]}), "column 'text'"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_one_sentence(table, said):
    with pytest.raises(DataError, match=said) as caught:
        read_examples(table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [3, None, ["a.csv", 3], [], {"a.csv"}, b"a.csv"])
def test_what_is_neither_a_path_nor_a_table(data):
    with pytest.raises((ConfigError, DataError)) as caught:
        elman.train(data)
    assert "\n" not in str(caught.value)


def test_training_judging_and_testing_on_tables(tmp_path):
    rows = [tuple(line.split("\t")) for line in tiny.LINES.splitlines()]
    frame = pd.DataFrame(rows, columns=["name", "lang"])
    options = {**tiny.OPTIONS, "epochs": 1, "progress": False}
    trained = elman.train(frame, test=pl.DataFrame(rows[:9], schema=["name", "lang"], orient="row"),
                          out=tmp_path / "m", **options)  # fmt: skip
    assert trained.report.test.count == 9
    again = elman.train(rows, test=rows[:9], **options)
    assert again.model.predict(["kamoto"]) == trained.model.predict(["kamoto"])
    assert elman.evaluate(trained.model, frame).count == len(rows)
    recipe = (tmp_path / "m" / "train.toml").read_text()
    assert "data =" not in recipe
    assert recipe.startswith("# Repeats this run on the same data in a file: elman train FILE ")
    card = (tmp_path / "m" / "README.md").read_text()
    assert "`elman train FILE --config train.toml --out again`" in card


def test_what_is_no_model_or_no_examples_is_refused():
    with pytest.raises(ConfigError, match=r"^model is 5; give a model, what elman\.train returned"):
        elman.evaluate(5, [("a", "x")])
    with pytest.raises(ConfigError, match=r"^path is None; it must be a path"):
        elman.load(None)
    rows = [tuple(line.split("\t")) for line in tiny.LINES.splitlines()]
    with pytest.raises(ConfigError, match=r"^progress is 'yes'; it must be True, False or None$"):
        elman.train(rows, progress="yes")
    model = elman.train(rows, **{**tiny.OPTIONS, "epochs": 1, "progress": False}).model
    for judge in (model.evaluate, lambda examples: list(model.predictions(examples))):
        with pytest.raises(InputError, match=r"^examples is \['a'\]; give a part of trained"):
            judge(["a"])


def test_several_files_in_python(tmp_path):
    for name, rows in (("a.csv", "a,x\n"), ("b.csv", "b,y\nc,x\n")):
        (tmp_path / name).write_text("text,label\n" + rows)
    from elman import api
    from elman.tasks.classify import task

    found = api.read_all(task, [tmp_path / "a.csv", str(tmp_path / "b.csv")], {})
    assert (found.texts, found.labels) == (["a", "b", "c"], ["x", "y", "x"])
    assert found.source == f"{tmp_path}/a.csv and {tmp_path}/b.csv"
