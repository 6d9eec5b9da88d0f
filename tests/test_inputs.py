"""Texts as Python has them: each form gives the same list, or a sentence that says what to pass."""

import array
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import elman
from elman.errors import DataError, InputError
from elman.text.inputs import texts_of

TEXTS = ["good", "", "плохо", "a\tb\n", "  x "]
COLUMN = np.array(TEXTS).reshape(-1, 1)


class ArrowOnly:
    """A table or column of a library that Elman has never heard of."""

    def __init__(self, values):
        self.values = values

    def __arrow_c_stream__(self, requested_schema=None):
        return self.values.__arrow_c_stream__(requested_schema)


class Name(str):
    __slots__ = ()


FORMS = {
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "generator": (text for text in TEXTS),
    "iterator": iter(TEXTS),
    "values of a dict": dict(enumerate(TEXTS)).values(),
    "keys of a dict": dict.fromkeys(TEXTS).keys(),
    "str of NumPy": [np.str_(text) for text in TEXTS],
    "a str of one's own": [Name(text) for text in TEXTS],
    "array": np.array(TEXTS),
    "array of objects": np.array(TEXTS, dtype=object),
    "array of variable strings": np.array(TEXTS, dtype=np.dtypes.StringDType()),
    "array of one column": COLUMN,
    "array of one column of objects": COLUMN.astype(object),
    "pandas": pd.Series(TEXTS, index=[7, 7, 0, 1, 2]),
    "pandas objects": pd.Series(TEXTS, dtype=object),
    "pandas string": pd.Series(TEXTS, dtype="string"),
    "pandas category": pd.Series(TEXTS, dtype="category"),
    "pandas index": pd.Index(TEXTS),
    "pandas array": pd.array(TEXTS, dtype="string"),
    "pandas table": pd.DataFrame({"review": TEXTS}),
    "pandas table of no name": pd.DataFrame(TEXTS),
    "pandas table of arrow": pd.DataFrame({"t": pd.Series(TEXTS, dtype="string[pyarrow]")}),
    "pandas table of levels": pd.DataFrame({("a", "b"): TEXTS}),
    "polars": pl.Series(TEXTS),
    "polars category": pl.Series(TEXTS, dtype=pl.Categorical),
    "polars table": pl.DataFrame({"review": TEXTS}),
    "polars lazy": pl.LazyFrame({"review": TEXTS}),
    "arrow": pa.array(TEXTS),
    "arrow large": pa.array(TEXTS, pa.large_string()),
    "arrow view": pa.array(TEXTS, pa.string_view()),
    "arrow dictionary": pa.array(TEXTS).dictionary_encode(),
    "arrow chunks": pa.chunked_array([TEXTS[:2], TEXTS[2:]]),
    "arrow table": pa.table({"review": TEXTS}),
    "arrow batch": pa.record_batch({"review": TEXTS}),
    "arrow reader": pa.RecordBatchReader.from_batches(
        pa.schema({"t": pa.string()}), [pa.record_batch({"t": TEXTS})]
    ),
    "another's column": ArrowOnly(pa.chunked_array([TEXTS])),
    "another's table": ArrowOnly(pa.table({"review": TEXTS})),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_gives_its_rows(form):
    found = texts_of(FORMS[form])
    assert found == TEXTS
    assert {*map(type, found)} == {str}


@pytest.mark.parametrize("none", [[], (), np.array([]), pd.Series([], dtype=object), iter([])])
def test_no_texts_are_an_empty_list(none):
    assert texts_of(none) == []


TABLE = {"id": [1, 2], "text": ["a", "b"]}
WHOLE = {
    "string": ("kamoto", "texts is one string; pass a list"),
    "str of NumPy": (np.str_("kamoto"), "texts is one string; pass a list"),
    "bytes": (b"kamoto", r"texts is bytes; decode them, and pass a list: [texts.decode()]"),
    "dict": ({"a": "b"}, "texts is a dict; pass a list of its texts, as [*texts.values()]"),
    "set": ({"a"}, "texts is a set, which has no order; pass a list, as sorted(texts)"),
    "frozenset": (frozenset("a"), "texts is a frozenset, which has no order"),
    "None": (None, "texts is a NoneType; pass a list of strings"),
    "number": (7, "texts is an int; pass a list of strings"),
    "path": (Path("names.txt"), "Path; pass a list of strings"),
    "function": (len, "pass a list of strings"),
    "pandas table": (pd.DataFrame(TABLE), "a table with 2 columns (id, text); pass the column of"),
    "polars table": (pl.DataFrame(TABLE), 'the texts alone, as df["text"]'),
    "polars lazy": (pl.LazyFrame(TABLE), 'the texts alone, as df["text"]'),
    "arrow table": (pa.table(TABLE), 'the texts alone, as df["text"]'),
    "another's table": (ArrowOnly(pa.table(TABLE)), 'the texts alone, as df["text"]'),
    "the same name twice": (pd.DataFrame([["a", "b"]], columns=["t", "t"]), "2 columns (t, t)"),
    "no columns": (pd.DataFrame(index=[1, 2]), "a table with no columns"),
    "many columns": (pd.DataFrame([range(9)]), "9 columns (0, 1, 2, 3, 4, …)"),
    "array of rows": (np.array([["a", "b"]]), "an array of shape (1, 2); pass one column of it"),
    "array of nothing": (np.array("a"), "an array of shape ()"),
}


@pytest.mark.parametrize("form", WHOLE)
def test_what_is_no_column_of_texts_is_refused(form):
    given, said = WHOLE[form]
    with pytest.raises(InputError) as caught:
        texts_of(given)
    assert said in str(caught.value)


ONE = {
    "None": ([None], "missing (None); drop or fill"),
    "NaN": ([float("nan")], "missing (nan)"),
    "NaN of NumPy": ([np.float32("nan")], "missing (nan)"),
    "NA": ([pd.NA], "missing (<NA>)"),
    "NaT": ([pd.NaT], "missing (NaT)"),
    "pandas None": (pd.Series([None], dtype=object), "missing (None)"),
    "pandas NaN": (pd.Series(["a", None], dtype="str")[1:], "missing (nan)"),
    "pandas NA": (pd.Series([None], dtype="string"), "missing (<NA>)"),
    "pandas category": (pd.Series([None], dtype="category"), "missing (nan)"),
    "polars null": (pl.Series([None], dtype=pl.String), "missing (None)"),
    "arrow null": (pa.array([None], pa.string()), "missing (None)"),
    "masked": (np.ma.masked_array(["a"], mask=[True]), "missing (None)"),
    "number": ([3], "an int; every text must be a string"),
    "number of NumPy": (np.array([1.5]), "a float; every"),
    "numbers": (array.array("i", [1]), "an int; every"),
    "bytes": ([b"a"], "bytes; decode it first, as text.decode()"),
    "bytes of NumPy": (np.array([b"a"]), "bytes; decode"),
    "list": ([["a"]], "a list; every text"),
    "tuple": ([("a", "label")], "a tuple; every text"),
    "bool": ([True], "a bool; every text"),
}


@pytest.mark.parametrize("form", ONE)
def test_one_that_is_no_text_is_named_by_its_position(form):
    given, said = ONE[form]
    with pytest.raises(InputError) as caught:
        texts_of(given)
    assert str(caught.value).startswith(f"text 0 is {said}")
    with pytest.raises(InputError, match=r"^text 2 is"):
        texts_of(["a", "", *(given if isinstance(given, list) else texts_of_any(given))])


def texts_of_any(column):
    return column.to_list() if hasattr(column, "to_list") else column.tolist()


def test_it_is_caught_as_elmans_and_as_pythons_own():
    for kind in (elman.errors.ElmanError, DataError, TypeError, ValueError):
        with pytest.raises(kind):
            texts_of("kamoto")


def test_other_names_are_said():
    with pytest.raises(InputError, match=r"^X is a set, .* as sorted\(X\)"):
        texts_of({"a"}, "X")


def test_pandas_and_pyarrow_are_not_needed(monkeypatch):
    """They are known by what their objects can do."""
    import subprocess

    code = "import elman.text.inputs, sys; print({'pandas', 'pyarrow', 'polars'} & {*sys.modules})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_a_model_answers_the_rows_of_a_table(bundle_made_once):
    model = elman.load(bundle_made_once)
    names = ["kamoto", "Baumann"]
    for form in (pd.DataFrame({"name": names}), pa.table({"name": names}), iter(names)):
        assert model.predict(form) == model.predict(names)
    frame = pd.DataFrame({"name": names, "id": [1, 2]})
    for call in (model.predict, model.predict_proba, model.embed, model.answer):
        with pytest.raises(InputError, match=r'df\["text"\]'):
            call(frame)
        with pytest.raises(InputError, match="text 1 is missing"):
            call(["kamoto", None])
    assert model.embed(frame["name"]).shape[0] == model.predict_proba(iter(names)).shape[0] == 2
    assert [row["text"] for row in model.answer(iter(names))] == names
    with pytest.raises(InputError, match="text 0 is missing"):
        model.steps(None)
