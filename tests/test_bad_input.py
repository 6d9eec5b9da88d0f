"""Whatever is wrong with a file is said in one sentence with file, line and mend."""

import gzip
import io
import os
import re

import polars as pl
import pytest

from elman.data.readers import read_examples, read_inputs, read_lines
from elman.errors import DataError


def parquet(**columns) -> bytes:
    handle = io.BytesIO()
    pl.DataFrame(columns).write_parquet(handle)
    return handle.getvalue()


PARQUET = parquet(text=["a", "b"] * 50, label=["x", "y"] * 50)
UNLABELLED = "label column 'class' is empty; fill it in or drop the row"

# name: (file, content, what is said after the file's name)
BAD_FILES = {
    "empty": ("a.csv", "", " is empty; give a file with data in it"),
    "blank": ("a.txt", " \n\n", " is empty; give a file"),
    "header only": ("a.csv", "text,label\n", " has a header and no rows; add rows"),
    "header only, tsv": ("a.tsv", "text\tlabel", " has a header and no rows; add rows"),
    "only empty texts": ("a.csv", "text,label\n,x\n", " has no text that is not empty; check"),
    "no label column": (
        "a.csv",
        "id,text,topic\n1,a,b\n",
        ": no label column among the columns 'id', 'text', 'topic'; say which with --label NAME",
    ),
    "no text column": (
        "a.csv",
        "comment,label\na,x\n",
        ": no text column among the columns 'comment', 'label'; say which with --text NAME",
    ),
    "neither column": (
        "a.csv",
        "comment,score\na,x\nb,y\n",
        ": no text column and no label column among the columns 'comment', 'score'; say which",
    ),
    "one column": (
        "a.txt",
        "a line\nanother\n",
        ": no text column and no label column, for there is",
    ),
    "many columns": ("a.csv", ",".join(f"c{i}" for i in range(99)) + "\n", " and 87 more; say"),
    "label missing": ("a.csv", "text,class\na,x\nb,\n", f" line 3: {UNLABELLED}"),
    "label blank": ("a.csv", "text,class\na,x\nb,  \n", f" line 3: {UNLABELLED}"),
    "label missing after quoted newlines": (
        "a.csv",
        'text,class\n"a\n\nb",x\n\n"c\nd",y\ne,\n',
        f" line 8: {UNLABELLED}",
    ),
    "label missing, quotes inside": ("a.csv", 'text,class\n5" a,x\nb,\n', f" line 3: {UNLABELLED}"),
    "label missing after blank lines": (
        "a.csv",
        "\n\ntext,class\na,x\nb,\n",
        f" line 5: {UNLABELLED}",
    ),
    "row too short": ("a.csv", "text,class\na,x\nb\n", f" line 3: {UNLABELLED}"),
    "label missing, lines": ("a.txt", "a\tx\nb\nc\tx\n", " line 2: label column 2 is empty; fill"),
    "label missing, JSON": ("a.jsonl", '\n{"text": "a", "class": null}', f" line 2: {UNLABELLED}"),
    "label missing, Parquet": (
        "a.parquet",
        parquet(text=["a", "b"], **{"class": ["x", None]}),
        f" row 2: {UNLABELLED}",
    ),
    "a comma without quotes": (
        "a.csv",
        "text,label\na,x\nwell, well,y\n",
        " line 3 has 3 fields where the first line has 2; put a text with a comma in it between",
    ),
    "a tab too many": (
        "a.txt",
        "a\tx\nb\tc\tx\n",
        " line 2 has 3 fields where the first line has 2",
    ),
    "quote never closed": (
        "a.csv",
        'text,label\na,x\n"b,y\nc,x\n',
        " line 3: a quotation mark opens",
    ),
    "quote closed by another": (
        "a.csv",
        'text,label\n"a\n",x\n"b,y\n"c",x\n',
        " line 4: a quotation mark opens here and the field does not end with one; close it",
    ),
    "text after a quote": (
        "a.csv",
        'text,label\n"a" b,x\nc,y\n',
        " line 2: a quotation mark opens",
    ),
    "broken JSON": (
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text": "b", "label": }\n',
        " line 2 is not valid JSON (column 24); write one whole JSON object on each line",
    ),
    "JSON over several lines": ("a.jsonl", '{\n"text": "a"\n}', ": no label column"),
    "deep JSON": ("a.jsonl", "[" * 100_000, " is not valid JSON"),
    "no JSON object": (
        "a.jsonl",
        '{"text": "a", "label": 1}\n["b"]',
        " line 2 is not a JSON object",
    ),
    "a JSON array cut off": ("a.json", '[{"text": "a"', " is not valid JSON (line 1 column"),
    "a JSON array of lists": ("a.json", '[["a", 1]]', " item 1 is not a JSON object"),
    "JSON without the field": (
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text": "b", "class": 2}\n',
        " line 2 has no field 'label' among 'text', 'class'; add it or drop the line",
    ),
    "JSON with a list": (
        "a.jsonl",
        '{"text": ["a"], "label": 1}',
        " line 1: field 'text' is a list",
    ),
    "no label in JSON": ("a.jsonl", '{"text": "a"}', ": no label column"),
    "PNG": ("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0", " is a PNG picture; give a text file"),
    "Excel": (
        "a.csv",
        b"PK\x03\x04\x14\0",
        " is an Excel workbook or a zip archive; save it as CSV",
    ),
    "NUL": ("a.csv", b"text,label\na\0b,x\n", " line 2 has a NUL byte, which no text has"),
    "controls": ("a.txt", bytes(range(1, 9)) * 9, " is a binary file; give text"),
    "packed NUL": ("a.gz", gzip.compress(b"\0" * 600), " is a binary file; give text"),
    "half UTF-16": ("a.csv", b"\xff\xfet\0e", " is broken UTF-16; save it as UTF-8"),
    "gzip cut off": (
        "a.csv.gz",
        gzip.compress(b"text,label\na,x\n" * 99)[:-9],
        ": the gzip file is cut",
    ),
    "gzip damaged": (
        "a.csv",
        b"\x1f\x8b\x08 not gzip",
        ": the gzip file is cut off or damaged; copy",
    ),
    "Parquet cut off": (
        "a.parquet",
        PARQUET[:-9],
        ": the Parquet file is cut off or damaged; write",
    ),
    "Parquet hollow": ("a.parquet", PARQUET[:40] + PARQUET[-4:], ": the Parquet file is cut off"),
    "Parquet damaged": ("a.parquet", PARQUET[:20] + PARQUET[40:], ": the Parquet file is cut off"),
    "not Parquet": (
        "a.parquet",
        "text,label\n",
        " is not a Parquet file; name it after what it is",
    ),
    "Parquet without rows": ("a.parquet", parquet(text=[], label=[]), " has columns and no rows"),
    "Parquet with lists": (
        "a.parquet",
        parquet(text=[["a"]], label=["x"]),
        ": column 'text' holds",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(tmp_path, name):
    file, content, said = BAD_FILES[name]
    path = tmp_path / file
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        read_examples(path)
    message = str(caught.value)
    assert message.startswith(f"{path}")
    assert said in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"label": "lable"},
            ": no column 'lable' among the columns 'text', 'label'; did you mean 'label'?",
        ),
        ({"label": "zzz"}, ": no column 'zzz' among the columns 'text', 'label'; give one of them"),
        ({"text": "3"}, " has 2 columns, so --text 3 is none of them; number them from 1 to 2"),
        ({"text": "0"}, " has 2 columns, so --text 0 is none of them"),
        (
            {"text": "text", "label": "text"},
            ": text and label are both said to be 'text'; name two",
        ),
    ],
)
@pytest.mark.parametrize("file", ["a.csv", "a.parquet", "a.jsonl"])
def test_columns_that_are_not_there(tmp_path, file, options, said):
    path = tmp_path / file
    frame = pl.DataFrame({"text": ["a"], "label": ["x"]})
    write = {
        "a.csv": frame.write_csv,
        "a.parquet": frame.write_parquet,
        "a.jsonl": frame.write_ndjson,
    }
    write[file](path)
    with pytest.raises(DataError, match=re.escape(f"{path}{said}")):
        read_examples(path, **options)


def test_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "reviews.csv").write_text("text,label\na,x\n")
    path = tmp_path / "revews.csv"
    for read in (read_examples, read_inputs):
        with pytest.raises(DataError, match=f"no file '{path}'; did you mean 'reviews.csv'?"):
            read(path)


def test_missing_name_without_suffix_points_to_the_data_sets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no file 'surnmes'; `elman datasets` lists"):
        read_examples("surnmes")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere/a.csv", "no file 'nowhere/a.csv': there is no folder 'nowhere'"),
        ("a\0b.csv", "cannot be read: the name cannot be that of a file"),
        ("n" * 999, "cannot be read: file name too long"),
    ],
)
def test_names_that_cannot_be(tmp_path, monkeypatch, path, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=said):
        read_examples(path)


def test_folder_without_texts(tmp_path):
    (tmp_path / "a.csv").touch()
    with pytest.raises(DataError, match=r"has no .txt file; put one <Label>.txt a class there"):
        read_examples(tmp_path)
    with pytest.raises(DataError, match="is a folder; give a file"):
        read_lines(tmp_path)


def test_folder_with_a_binary_file_names_the_file(tmp_path):
    (tmp_path / "good.txt").write_text("a\n")
    (tmp_path / "bad.txt").write_bytes(b"a\0")
    with pytest.raises(DataError, match=r"bad\.txt line 1 has a NUL byte"):
        read_examples(tmp_path)


def test_folder_of_empty_files(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match="has no text that is not empty"):
        read_examples(tmp_path)


@pytest.mark.parametrize("folder", [False, True])
def test_permission_denied(tmp_path, monkeypatch, folder):
    path = tmp_path / "secret"
    path.mkdir() if folder else path.write_text("a\tx\n")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read anything, so let the system say no in its stead

        def refuse(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "listdir", refuse)
        monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match="secret: permission denied; check who may read it"):
        read_examples(path)
    monkeypatch.undo()
    path.chmod(0o700)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"one\ntwo\0\n", "line 2 has a NUL byte"),
        (b"\x89PNG\r\n", "is a PNG picture"),
        (gzip.compress(os.urandom(999).hex().encode())[:-9], "the gzip file is cut off"),
    ],
)
def test_bad_lines_to_predict_on(tmp_path, content, said):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_inputs(path)


@pytest.mark.parametrize("options", [{"text": "3"}, {"label": "3"}, {"text": "1", "label": "9"}])
def test_a_number_beyond_the_columns_of_plain_lines_was_passed_over(tmp_path, options):
    path = tmp_path / "a.txt"
    path.write_text("kamoto\tja\nBaumann\tde\nmiyama\tja\n")
    with pytest.raises(DataError, match=r"has 2 columns, so --(text|label) [39] is none of them"):
        read_examples(path, **options)
