"""Every format gives the same examples, columns are found, encodings told, lines counted."""

import codecs
import csv
import gzip
import io
import json
import os
import random
import re
import sys

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from elman.data import tables
from elman.data.columns import LABEL, TEXT, Role, Wanted
from elman.data.encoding import known_encoding
from elman.data.examples import Examples
from elman.data.form import Form
from elman.data.readers import read_columns, read_examples, read_inputs, read_lines
from elman.errors import ConfigError, DataError

ROWS = [
    ("Fine, really", "pos"),
    ('He said "no"', "neg"),
    ("Привет, мир 🤧", "pos"),
    ("two\nlines", "neg"),
    (" é ", "0"),
]
ONE_LINE = [row for row in ROWS if "\n" not in row[0]]


def as_csv(rows, delimiter=",", header=("text", "label"), end="\n") -> bytes:
    handle = io.StringIO()
    writer = csv.writer(handle, delimiter=delimiter, lineterminator=end)
    writer.writerows([header] * bool(header) + list(rows))
    return handle.getvalue().encode()


def as_jsonl(rows) -> bytes:
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    return "\n".join(lines).encode()


def as_parquet(rows) -> bytes:
    handle = io.BytesIO()
    pl.DataFrame(rows, schema=["text", "label"], orient="row").write_parquet(handle)
    return handle.getvalue()


def as_lines(rows) -> bytes:
    return "".join(f"{text}\t{label}\n" for text, label in rows).encode()


# name: (file name, bytes, rows that come back)
FORMATS = {
    "csv": ("a.csv", as_csv(ROWS), ROWS),
    "csv-crlf": ("a.csv", as_csv(ROWS, end="\r\n"), ROWS),
    "csv-semicolon": ("a.csv", as_csv(ROWS, delimiter=";"), ROWS),
    "csv-bom": ("a.csv", b"\xef\xbb\xbf" + as_csv(ROWS), ROWS),
    "tsv": ("a.tsv", as_csv(ROWS, delimiter="\t"), ROWS),
    "tsv-one-line-rows": ("a.tsv", as_csv(ONE_LINE, delimiter="\t"), ONE_LINE),
    "jsonl": ("a.jsonl", as_jsonl(ROWS), ROWS),
    "ndjson": ("a.ndjson", as_jsonl(ROWS), ROWS),
    "parquet": ("a.parquet", as_parquet(ROWS), ROWS),
    "lines": ("a.txt", as_lines(ONE_LINE), ONE_LINE),
    "lines-tsv": ("a.tsv", as_lines(ONE_LINE), ONE_LINE),
    "lines-no-suffix": ("a", as_lines(ONE_LINE), ONE_LINE),
    "csv-utf16": ("a.csv", as_csv(ROWS).decode().encode("utf-16"), ROWS),
}


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write


@pytest.fixture
def stdin(monkeypatch):
    def feed(data):
        text = data.encode() if isinstance(data, str) else data
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    return feed


def read_texts(path, text=None):
    """What `predict` answers: lines as they come from stdin, else a file."""
    return read_lines(path) if path == "-" else read_inputs(path, column=text).inputs


def rows_of(examples: Examples):
    return list(zip(examples.texts, examples.labels, strict=True))


@pytest.mark.parametrize("name", FORMATS)
def test_format(write, name):
    file, data, rows = FORMATS[name]
    path = write(file, data)
    examples = read_examples(path)
    assert rows_of(examples) == rows
    assert examples.source == str(path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("suffix", [".gz", ""])
def test_gzip_is_told_by_its_bytes(write, name, suffix):
    file, data, rows = FORMATS[name]
    assert rows_of(read_examples(write(file + suffix, gzip.compress(data)))) == rows


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_stdin(stdin, name, pack):
    _, data, rows = FORMATS[name]
    stdin(pack(data))
    examples = read_examples("-")
    assert rows_of(examples) == rows
    assert examples.source == "stdin"


def test_folder(tmp_path):
    (tmp_path / "German.txt").write_text("Schmidt\nMüller\r\n\nBach")
    (tmp_path / "Russian.txt").write_bytes("Иванов\nПетров\n".encode("cp1251"))
    (tmp_path / "Greek.txt.gz").write_bytes(gzip.compress(b"Pappas\n"))
    (tmp_path / "Empty.txt").touch()
    (tmp_path / "README.md").write_text("not a class")
    examples = read_examples(tmp_path)
    assert rows_of(examples) == [
        ("Schmidt", "German"),
        ("Müller", "German"),
        ("Bach", "German"),
        ("Pappas", "Greek"),
        ("Иванов", "Russian"),
        ("Петров", "Russian"),
    ]
    assert examples.notes == (
        "Empty.txt: the file is empty",
        "Russian.txt: not UTF-8; read as cp1251",
        "1 empty text skipped",
    )


# --- columns

COLUMNS = {
    "any case": ("Label,TEXT\nx,a\n", {}, ("a", "x"), ()),
    "spaces": ("text , label\na,x\n", {}, ("a", "x"), ()),
    "tweets": ("id,label,tweet\n1,x,a\n", {}, ("a", "x"), ("columns not used: 'id'",)),
    "surnames": ("surname,lang\na,x\n", {}, ("a", "x"), ()),
    "index": (",Unnamed: 0,text,label\n5,6,a,x\n", {}, ("a", "x"), ()),
    "order of the list": (
        "review,text,label\nb,a,x\n",
        {},
        ("a", "x"),
        (
            "'text' is taken as the text column, though there is 'review'",
            "columns not used: 'review'",
        ),
    ),
    "given": (
        "q,w,e\na,x,b\n",
        {"text": "q", "label": "W"},
        ("a", "x"),
        ("columns not used: 'e'",),
    ),
    "given by number": (
        "text,label,other\nb,y,a\n",
        {"text": "3", "label": "1"},
        ("a", "b"),
        (
            "the first row is taken as the header: 'text', 'label', 'other' "
            "(--no-header reads it as data)",
            "columns not used: 'label'",
        ),
    ),
    "given for the other part": ("label,class\na,x\n", {"text": "label"}, ("a", "x"), ()),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(write, name):
    data, options, row, notes = COLUMNS[name]
    examples = read_examples(write("a.csv", data), **options)
    assert rows_of(examples) == [row]
    assert examples.notes == notes


HEADERLESS = {
    "text first": ("good\tpos\nbad\tneg\nfine\tpos\n", {}, ("good", "pos")),
    "label first": ("p\tgood\nn\tbad\np\tfine\nn\tso\n", {}, ("good", "p")),
    "label first but given": ("p\tgood\nn\tbad\np\tfine\nn\tso\n", {"label": "2"}, ("p", "good")),
    "no label again": ("Ivanov\tRussian\nSmith\tEnglish\n", {}, ("Ivanov", "Russian")),
    "three": ("lie\tlies\tV\ngo\tgoes\tV\n", {"text": "1", "label": "3"}, ("lie", "V")),
    "comma": ("good,pos\nbad,neg\nfine,pos\n", {}, ("good", "pos")),
}


@pytest.mark.parametrize("name", HEADERLESS)
@pytest.mark.parametrize("file", ["a.tsv", "a.csv", "a.txt"])
def test_without_a_header(write, name, file):
    data, options, first = HEADERLESS[name]
    examples = read_examples(write(file, data), **options)
    assert rows_of(examples)[0] == first
    assert len(examples) == data.count("\n")
    assert examples.notes[0].startswith("no header found: column ")


def test_an_unknown_header_is_no_row(write):
    rows = "".join(f"text {i}\t{'pn'[i % 2]}\n" for i in range(12))
    path = write("a.tsv", "comment\tscore\n" + rows)
    with pytest.raises(DataError, match="no label column among the columns 'comment', 'score'"):
        read_examples(path)
    assert len(read_examples(path, text="1", label="2")) == 12


# --- values


def test_labels_are_strings(write):
    data = '{"text": "a", "label": 0}\n{"text": 5, "label": true}\n{"text": "c", "label": 1.5}\n'
    assert rows_of(read_examples(write("a.jsonl", data))) == [
        ("a", "0"),
        ("5", "true"),
        ("c", "1.5"),
    ]
    assert read_examples(write("a.csv", "text,label\na,0\nb,01\nc, 1.0 \n")).labels == [
        "0",
        "01",
        "1",
    ]


@pytest.mark.parametrize(
    ("values", "labels"),
    [([0, 1], ["0", "1"]), ([True, False], ["true", "false"]), (["NA", "null"], ["NA", "null"])],
)
def test_parquet_labels_are_strings(write, values, labels):
    handle = io.BytesIO()
    pl.DataFrame({"text": ["a", "b"], "label": values}).write_parquet(handle)
    assert read_examples(write("a.parquet", handle.getvalue())).labels == labels


def test_empty_texts_are_skipped_and_counted(write):
    examples = read_examples(write("a.csv", "text,label\n,x\n  ,y\na,x\n\n,\n"))
    assert rows_of(examples) == [("a", "x")]
    assert examples.notes == ("2 empty texts skipped",)


def test_a_text_of_a_million_characters(write):
    long = "ж, " * 333_334
    for name, data in (("a.csv", as_csv([(long, "x")])), ("a.txt", f"{long}\tx\n")):
        assert read_examples(write(name, data)).texts == [long]


def test_quotes_inside_plain_fields_stand_for_themselves(write):
    rows = [('a 5" screen', "x"), ('so "good" it is', "y")]
    plain = "".join(f"{text},{label}\n" for text, label in rows)
    assert rows_of(read_examples(write("a.csv", "text,label\n" + plain))) == rows


def test_a_quote_left_open_in_lines_swallows_nothing(write):
    # As one quoted field the second text would reach to the end of the third.
    rows = [("one", "x"), ('"two', "x"), ('three"', "y"), ("four", "x")]
    assert rows_of(read_examples(write("a.tsv", as_lines(rows)))) == rows


def test_half_a_surrogate_pair_becomes_a_character(write):
    data = '{"text": "a\\ud83e", "label": "x"}'
    assert read_examples(write("a.jsonl", data)).texts == ["a�"]


def test_old_mac_line_ends(write):
    assert rows_of(read_examples(write("a.csv", "text,label\ra,x\rb,y\r"))) == [
        ("a", "x"),
        ("b", "y"),
    ]


def test_take_keeps_order_and_source():
    examples = Examples(["a", "b", "c"], ["x", "y", "z"], "s", ("note",))
    assert examples.take([2, 0]) == Examples(["c", "a"], ["z", "x"], "s", ("note",))


# --- encodings

ENCODED = {
    "cp1251": ("Я вчера видел его в кино. Ёлка - 100 рублей", "cp1251", "cp1251"),
    "cp1251 names": ("Щёголев", "cp1251", "cp1251"),
    "mostly English with Russian": (
        "The word привет means hello to all of you",
        "cp1251",
        "cp1251",
    ),
    "French": ("Un café crème, s'il vous plaît, à côté", "latin-1", "latin-1"),
    "German": ("Größe und Maß, Straßenbahn über Äcker", "latin-1", "latin-1"),
    "créée": ("la créée, une idée née", "latin-1", "latin-1"),
    "Windows quotes": ("“café” – it’s", "cp1252", "cp1252"),
}


@pytest.mark.parametrize("name", ENCODED)
def test_encoding_is_told_and_said(write, name):
    text, encoding, said = ENCODED[name]
    examples = read_examples(write("a.tsv", f"{text}\tx\n".encode(encoding)))
    assert examples.texts == [text]
    assert examples.notes[0].startswith(f"not UTF-8; read as {said}, such as ")


def test_a_codec_that_answers_to_every_name_makes_no_encoding_of_it():
    """As that of future-typing does, in all programs where it is installed."""
    plain = codecs.lookup("utf-8")

    def answer(name):
        return codecs.CodecInfo(plain.encode, plain.decode, name="anything")

    codecs.register(answer)
    try:
        with pytest.raises(ConfigError, match="no encoding 'cp125x'; did you mean cp125"):
            known_encoding("cp125x")
        assert known_encoding("CP1251") == "cp1251"
    finally:
        codecs.unregister(answer)


@pytest.mark.parametrize("name", ENCODED)
def test_encoding_of_lines(write, name):
    text, encoding, _ = ENCODED[name]
    assert list(read_texts(write("a.txt", f"plain\n{text}\n".encode(encoding)))) == ["plain", text]


@pytest.mark.parametrize(("broken", "said"), [(1, "1 line is"), (2, "2 lines are")])
def test_utf8_with_some_lines_that_are_not(write, broken, said):
    data = "naïve, привет\tx\n".encode() + "café\ty\n".encode("latin-1") * broken
    path = write("a.txt", data)
    examples = read_examples(path)
    assert examples.texts == ["naïve, привет", *["café"] * broken]
    assert examples.notes[0] == f"{said} not UTF-8; read as latin-1, such as 'café'"
    assert list(read_texts(path)) == ["naïve, привет", *["café"] * broken]


def test_utf8_says_nothing(write):
    assert read_examples(write("a.csv", as_csv(ROWS))).notes == ()


# --- texts to predict on


def test_read_texts_keeps_empty_lines(write, stdin):
    data = b"\xef\xbb\xbfone\r\n\r\n  two\nthree"
    expected = ["one", "", "  two", "three"]
    assert list(read_texts(write("a.txt", data))) == expected
    assert list(read_texts(write("a.gz", gzip.compress(data)))) == expected
    stdin(data)
    assert list(read_texts("-")) == expected
    stdin(gzip.compress(data))
    assert list(read_texts("-")) == expected
    assert list(read_texts(write("b.txt", "one\n\nтри\n".encode("utf-16")))) == ["one", "", "три"]


def test_texts_of_lines_with_tabs(write):
    assert read_texts(write("a.txt", "a\tb\nc\tb\n")) == ["a", "c"]  # as in training
    assert read_texts(write("a.txt", "a\tb\nc\n")) == ["a\tb", "c"]
    assert read_texts(write("a.txt", "a\tb\nc\n"), text="2") == ["b", ""]


@pytest.mark.parametrize(
    ("file", "data", "texts"),
    [
        ("a.csv", "id,text\n1,a\n2,\n3,b\n", ["a", "", "b"]),
        ("a.csv", "text\na\n\nb\n", ["a", "", "b"]),
        ("a.csv", "just\nlines\n", ["just", "lines"]),
        ("a.tsv", "good\tpos\nbad\tneg\nfine\tpos\n", ["good", "bad", "fine"]),
        ("a.jsonl", '{"text": "a"}\n{"text": null}\n', ["a", ""]),
        ("a.parquet", as_parquet([("a", "x"), (None, "y")]), ["a", ""]),
    ],
)
def test_read_texts_of_tables(write, file, data, texts):
    assert list(read_texts(write(file, data))) == texts


def test_read_texts_answers_before_the_end(monkeypatch):
    read, send = os.pipe()
    os.write(send, "первая\nsecond".encode())
    with os.fdopen(read) as reading:
        monkeypatch.setattr(sys, "stdin", reading)
        texts = read_texts("-")
        assert next(texts) == "первая"  # would wait for ever if it read to the end
        os.write(send, b" line\n")
        os.close(send)
        assert list(texts) == ["second line"]


# --- the two parsers agree


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@given(
    st.lists(
        st.tuples(
            st.text(st.sampled_from("ab \",;\t|\n'é#"), max_size=8).filter(str.strip),
            st.sampled_from("xyz"),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_polars_and_csv_read_the_same(delimiter, rows):
    # With both in one field, the halves of a row can look like whole rows of the same width.
    assume(not any("\t" in text and "\n" in text for text, _ in rows))
    wanted = Wanted.of((TEXT, LABEL), {"text": "text", "label": "label"})
    raw = tables.read_table(as_csv(rows, delimiter), wanted, "t", Form(), preferred=delimiter)
    assert list(zip(raw.columns["text"], raw.columns["label"], strict=True)) == rows


# Other roles than text and label

PAIR = (Role("source", ("source", "src")), Role("target", ("target", "tgt")))
FORM = (Role("lemma", ("lemma",)), Role("form", ("form",)), Role("features", ("feats",)))


@pytest.mark.parametrize(
    ("file", "roles", "given", "columns"),
    [
        ("a\tb\nc\td\n", PAIR, {}, {"source": ["a", "c"], "target": ["b", "d"]}),
        # Few sources of many targets are no labels.
        ("a\tb\na\td\na\te\n", PAIR, {}, {"source": ["a"] * 3, "target": ["b", "d", "e"]}),
        ("tgt,src\nb,a\n", PAIR, {}, {"source": ["a"], "target": ["b"]}),
        ("a\tb\n", PAIR, {"source": "2"}, {"source": ["b"], "target": ["a"]}),
        ("x,y\na,b\n", PAIR, {"source": "y", "target": "x"}, {"source": ["b"], "target": ["a"]}),
        ("go\twent\tPST\n", FORM, {}, {"lemma": ["go"], "form": ["went"], "features": ["PST"]}),
        ('{"src": "a", "tgt": "b"}\n', PAIR, {}, {"source": ["a"], "target": ["b"]}),
    ],
)
def test_other_roles(tmp_path, file, roles, given, columns):
    path = tmp_path / "data.txt"
    path.write_text(file)
    raw = read_columns(path, Wanted.of(roles, given), str(path))
    assert raw.columns == columns


@pytest.mark.parametrize(
    ("file", "given", "said"),
    [
        ("a,b\nc,d\n", {"source": "x"}, "no column 'x' among the columns 'a', 'b'; give one"),
        ("src,b\nc,d\n", {}, "no target column among the columns 'src', 'b'; say which with --t"),
        ("a\nb\n", {}, "write a source, a tab and its target on each line"),
        ("a\tb\n", {"source": "2", "target": "2"}, "source and target are both said to be 'b'"),
    ],
)
def test_other_roles_that_are_not_there(tmp_path, file, given, said):
    path = tmp_path / "data.txt"
    path.write_text(file)
    with pytest.raises(DataError, match=re.escape(said)):
        read_columns(path, Wanted.of(PAIR, given), str(path))


def test_polars_reads_quoted_newlines_of_a_large_file(write):
    # Large enough for Polars to cut it into pieces for its threads.
    rng = random.Random(0)
    words = ["good", "bad, very", "film\n\nnext", 'say "hi"', "привет", "x,\ny\t1"]
    rows = [(" ".join(rng.choices(words, k=12)), rng.choice("xyz")) for _ in range(30_000)]
    assert rows_of(read_examples(write("a.csv", as_csv(rows)))) == rows


# --- any bytes at all


def assert_read_or_refused(read, path):
    """Read ``path`` to the end; a refusal must name it, in one line."""
    refusal = None
    try:
        list(getattr(found := read(path), "texts", found))
    except DataError as error:
        refusal = str(error)
    assert refusal is None or (str(path) in refusal and "\n" not in refusal)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=80),
        st.text(st.sampled_from('at,;\t\n\r"{}[]:\\é '), max_size=40).map(str.encode),
        st.text(max_size=30).map(lambda t: ("text,label\n" + t).encode("utf-8", "replace")),
    ),
    st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.txt", "a", "a.parquet", "a.csv.gz"]),
)
@example(b"\n\n \n\x0b", "a.csv")
@example(b'"\n"\ta', "a.tsv")
@example(b'{"text": "a", "label": ' + b"9" * 5000 + b"}", "a.jsonl")
def test_any_bytes_give_examples_or_a_data_error(tmp_path, data, name):
    path = tmp_path / name
    path.write_bytes(data)
    for read in (read_examples, read_texts):
        assert_read_or_refused(read, path)


@pytest.mark.parametrize("at", [*range(4, 1000, 83), -1, -4, -5, -8, -9])
def test_a_parquet_cut_anywhere_is_refused(tmp_path, at):
    # Cut, not changed: Polars ends the whole process over a few changed bytes.
    path = tmp_path / "a.parquet"
    path.write_bytes(as_parquet(ROWS)[:at])
    with pytest.raises(DataError, match="cut off or damaged"):
        read_examples(path)


# --- real files


@pytest.mark.parametrize(
    ("name", "text", "label"),
    [
        ("sentiment_en/twitter_hate_train.csv", "tweet", "label"),
        ("sentiment_ru/rusentitweet_train.csv", "text", "label"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_real_csv(shared_data, write, name, text, label, packed):
    path = shared_data / name
    with path.open(newline="", encoding="utf-8") as handle:
        rows = [(row[text], row[label]) for row in csv.DictReader(handle)]
    if packed:
        path = write("real.csv.gz", gzip.compress(path.read_bytes(), 1))
    assert rows_of(read_examples(path)) == rows
    assert list(read_texts(path)) == [text for text, _ in rows]


def test_russian_column_names(tmp_path):
    table = tmp_path / "отзывы.csv"
    table.write_text("номер,Текст,Тональность\n1,Хорошо,да\n2,Плохо,нет\n", encoding="cp1251")
    found = read_examples(table)
    assert (found.texts, found.labels) == (["Хорошо", "Плохо"], ["да", "нет"])
