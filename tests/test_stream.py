"""Text for language models: what is read, how it is cut, what is taken for running text."""

import gzip
import io
import json
import os
import subprocess
import sys
import threading

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data import recognition
from elman.data.form import Form
from elman.data.readers import read_examples
from elman.data.stream import claims, folds_of, joined, read_stream, split_stream
from elman.data.text_stream import SEGMENT, running_text, texts_alone
from elman.errors import ConfigError, DataError

NOVEL = "Call me Ishmael. Some years ago,\nnever mind how long,\n\nI thought I would sail — ёж.\n"
RUSSIAN = "Мой дядя самых честных правил,\nКогда не в шутку занемог,\nОн уважать себя заставил\n"
TABLE = "text,label\nKamoto,ja\nRossi,it\nÉmile,fr\n"
LINES = Form(lines=True)
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), min_size=1)


@pytest.fixture
def write(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


@pytest.fixture
def stdin(monkeypatch):
    def stdin(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.encode())))

    return stdin


def whole(stream):
    return "".join(stream.pieces())


# --- running text


@pytest.mark.parametrize(
    "data",
    [
        NOVEL.encode(),
        gzip.compress(NOVEL.encode()),
        gzip.compress(NOVEL[:9].encode()) + gzip.compress(NOVEL[9:].encode()) + bytes(9),
        b"\xef\xbb\xbf" + NOVEL.encode(),
        NOVEL.replace("\n", "\r\n").encode(),
        NOVEL.replace("\n", "\r").encode(),
        NOVEL.encode("utf-16"),
        NOVEL.encode() + b"\x1a",
    ],
    ids=["plain", "gzip", "members", "mark", "returns", "old Mac", "utf-16", "DOS"],
)
def test_a_file_of_text_is_one_running_text(write, data):
    stream = read_stream(write("novel.txt", data))
    assert stream.running
    assert stream.labels is None
    assert whole(stream) == NOVEL
    assert [*stream.texts()] == NOVEL.splitlines(keepends=True)
    assert len(stream) == 4
    assert stream.characters == len(NOVEL)
    [facts] = stream.facts
    assert facts.format == "running text"


@pytest.mark.parametrize("name", ["novel", "novel.md", "novel.log", "novel.TXT"])
def test_any_name_that_is_not_of_a_table_may_be_text(write, name):
    assert whole(read_stream(write(name, NOVEL))) == NOVEL


def test_an_old_encoding_is_told_and_said(write):
    stream = read_stream(write("onegin.txt", RUSSIAN.encode("koi8-r")))
    assert whole(stream) == RUSSIAN
    assert stream.notes == ("not UTF-8; read as koi8-r, such as 'Мой'",)
    said = read_stream(write("b.txt", RUSSIAN.encode("cp1251")), form=Form(encoding="cp1251"))
    assert whole(said) == RUSSIAN
    assert said.facts[0].encoding == "cp1251"


def test_a_text_without_a_last_line_end_stays_as_it_is(write):
    stream = read_stream(write("a.txt", "one\ntwo"))
    assert whole(stream) == "one\ntwo"
    assert [*stream.texts()] == ["one\n", "two"]


def test_standard_input_and_pipes(stdin, tmp_path):
    stdin(NOVEL)
    stream = read_stream("-")
    assert stream.source == "stdin"
    assert whole(stream) == NOVEL
    stdin(TABLE)
    assert [*read_stream("-").texts()] == ["Kamoto", "Rossi", "Émile"]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(NOVEL, encoding="utf-8"))
    writer.start()
    assert whole(read_stream(pipe)) == NOVEL
    writer.join()


def test_files_are_joined_with_a_line_end_between_them(write):
    parts = [read_stream(write(f"{i}.txt", text)) for i, text in enumerate(("one", "two\n", "3"))]
    stream = joined(parts)
    assert whole(stream) == "one\ntwo\n3"
    assert len(stream) == 3
    assert stream.source.endswith("2.txt")
    assert len(stream.facts) == 3
    assert joined(parts[:1]) is parts[0]


def test_a_folder_is_its_files_in_order(write, tmp_path):
    write("books/b.txt", "two\n")
    write("books/a.txt.gz", gzip.compress(b"one"))
    write("books/c.txt", "")
    write("books/d.txt", RUSSIAN.encode("cp1251"))
    write("books/cover.png", b"\x89PNG")
    write("books/more/e.txt", "not read")
    stream = read_stream(tmp_path / "books")
    assert whole(stream) == "one\ntwo\n" + RUSSIAN
    assert stream.source == str(tmp_path / "books")
    assert stream.notes[-1] == "c.txt: the file is empty"
    assert "d.txt: not UTF-8; read as cp1251, such as 'Мой'" in stream.notes
    lines = read_stream(tmp_path / "books", form=LINES)
    assert [*lines.texts()] == ["one", "two", *RUSSIAN.splitlines()]


def test_a_line_without_an_end_is_cut_at_blanks_else_at_characters(write):
    words = "слово " * 100_000
    stream = read_stream(write("a.txt", words))
    sizes = np.diff(stream.starts)
    assert sizes.max() <= SEGMENT
    assert len(stream) >= 100
    assert whole(stream) == words
    assert all(text.startswith(" слово") for text in [*stream.texts()][1:])
    letters = "ё" * 100_000 + "\n" * 200
    stream = read_stream(write("b.txt", letters))
    assert np.diff(stream.starts).max() <= SEGMENT
    assert "".join(stream.texts()) == letters
    assert {*"".join(stream.pieces(100))} == {"ё", "\n"}


def test_a_short_text_of_one_line_can_be_cut():
    stream = running_text(b"It was a dark and stormy night. " * 30, "a")
    split = split_stream(stream, fractions=(0.8, 0.1, 0.1))
    assert 0.75 < split.train.characters / stream.characters < 0.85


# --- texts that stand alone


@pytest.fixture(params=["csv", "tsv", "jsonl", "parquet", "mapping", "frame", "tuples"])
def table(request, write):
    rows = [line.split(",") for line in TABLE.splitlines()]
    columns = {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}
    objects = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    frame = pl.DataFrame(columns)
    packed = io.BytesIO()
    frame.write_parquet(packed)
    match request.param:
        case "csv":
            return write("a.csv", TABLE)
        case "tsv":
            return write("a.tsv", TABLE.replace(",", "\t"))
        case "jsonl":
            return write("a.jsonl", "\n".join(map(json.dumps, objects)))
        case "parquet":
            return write("a.parquet", packed.getvalue())
        case "mapping":
            return columns
        case "frame":
            return frame
    return [tuple(row) for row in rows[1:]]


def test_rows_of_a_table_stand_alone(table):
    stream = read_stream(table, label_column="label")
    assert not stream.running
    assert [*stream.texts()] == [*stream.pieces()] == ["Kamoto", "Rossi", "Émile"]
    assert stream.labels == ("ja", "it", "fr")
    assert stream.characters == 16
    if not isinstance(table, list):
        bare = read_stream(table)
        assert bare.labels is None
        assert [*bare.texts()] == [*stream.texts()]


def test_columns_are_found_as_for_a_classifier_or_named(write):
    path = write("a.csv", 'id,review,stars\n1,good,5\n2,,3\n3,"two\r\nlines",1\n')
    stream = read_stream(path)
    assert [*stream.texts()] == ["good", "two\nlines"]
    assert stream.notes == ("1 empty text skipped",)
    assert stream.facts[0].columns == {"text": "review"}
    stream = read_stream(path, text="id", label_column="stars")
    assert [*stream.texts()] == ["1", "2", "3"]
    assert stream.labels == ("5", "3", "1")
    assert stream.facts[0].columns == {"text": "id", "label-column": "stars"}
    stream = read_stream(path, text="1", label_column="3")
    assert stream.labels == ("5", "3", "1")


def test_columns_of_the_training_data_are_looked_for_first(write):
    path = write("a.csv", "text,body,stars\na,b,5\nc,d,3\n")
    stream = read_stream(path, likely={"text": "body", "label_column": "stars"})
    assert [*stream.texts()] == ["b", "d"]
    assert stream.labels == ("5", "3")


def test_labelled_lines_and_tables_without_a_name_are_told_from_their_content(write):
    stream = read_stream(write("a", "good film\tpos\nbad film\tneg\n"), label_column="2")
    assert stream.labels == ("pos", "neg")
    stream = read_stream(write("b", "__label__pos good film\n__label__neg bad film\n"))
    assert [*stream.texts()] == ["good film", "bad film"]
    # A name that says text is believed, unless columns are asked for.
    path = write("c.txt", "text\tlabel\ngood film\tpos\nbad film\tneg\n")
    assert read_stream(path).running
    assert read_stream(path, label_column="label").labels == ("pos", "neg")
    assert [*read_stream(path, text="text").texts()] == ["good film", "bad film"]


def test_a_row_without_a_label_is_refused_or_dropped(write):
    path = write("a.csv", "text,label\na,x\nb,\nc,y\n")
    with pytest.raises(DataError, match=r"a\.csv line 3: label column 'label' is empty; fill it"):
        read_stream(path, label_column="label")
    stream = read_stream(path, label_column="label", form=Form(drop_unlabelled=True))
    assert stream.labels == ("x", "y")
    assert stream.notes == ("1 unlabelled text skipped",)


def test_each_line_is_a_text_where_that_is_said(write):
    stream = read_stream(write("names.txt", "Kamoto\r\n\r\n  \r\nÉmile Zola\r\n"), form=LINES)
    assert not stream.running
    assert [*stream.texts()] == ["Kamoto", "Émile Zola"]
    table = read_stream(write("names.csv", TABLE), form=LINES)  # its rows stand alone anyway
    assert len(table) == 3


@pytest.mark.parametrize("name", ["surnames", "names-generate"])
def test_built_in_texts_stand_alone(name):
    stream = read_stream(name)
    assert len(stream) == 25_257
    assert not stream.running
    assert (stream.labels is None) == (name == "surnames")
    labelled = read_stream(name, label_column="label")
    assert labelled.labels[:1] == ("Arabic",)
    assert read_stream(name, likely={"label_column": "label"}).labels == labelled.labels


def test_the_built_in_plays_are_running_text():
    assert read_stream("shakespeare").running


def test_lone_surrogates_are_replaced():
    assert [*read_stream({"text": ["a\ud800"]}).texts()] == ["a\ufffd"]


# --- bad input


@pytest.mark.parametrize(
    ("name", "data", "options", "message"),
    [
        ("a.txt", "", {}, r"a\.txt is empty; give a file with data in it$"),
        ("a.txt", " \n \n", {}, r"a\.txt is empty"),
        ("a.txt", b"\x89PNG\r\n\x1a\n", {}, r"a\.txt is a PNG picture; give a text file$"),
        ("a.txt", bytes(range(32)) * 9, {}, r"a\.txt is a binary file; give text"),
        ("a.txt", b"\x1f\x8b\x08\x00cut", {}, r"a\.txt: the gzip file is cut off or damaged"),
        ("a.txt", "one\ntwo\0\n", {}, r"a\.txt line 2 has a NUL byte.*--bad-rows skip"),
        (
            *("a.txt", NOVEL, {"label_column": "mood"}),
            r"a\.txt is text without columns, so that there is no 'mood'; "
            r"leave --label-column out, or give a table such as \.csv or \.jsonl$",
        ),
        ("a.txt", NOVEL, {"text": "1"}, r"there is no '1'; leave --text out"),
        ("a.csv", TABLE, {"label_column": "mood"}, r"no column 'mood' among the columns 'text'"),
        ("a.csv", TABLE, {"label_column": "lable"}, r"did you mean 'label'\?$"),
        ("a.csv", TABLE, {"label_column": "7"}, r"--label-column 7 is none of them"),
        ("a.csv", "body,n\ngood film,5\nbad film,1\n", {}, r"no text column .*'body'.*--text NAME"),
        ("a.csv", "text,y\n1,2\n", {"label_column": "text"}, r"no text column|two columns"),
        ("a.csv", "text,label\n,x\n", {}, r"a\.csv has no text that is not empty"),
        ("a.parquet", "text", {}, r"a\.parquet is not a Parquet file"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(write, name, data, options, message):
    with pytest.raises(DataError, match=message):
        read_stream(write(name, data), **options)


def test_lines_with_a_nul_byte_can_be_left_out(write):
    stream = read_stream(write("a.txt", "one\ntwo\0\n3\n"), form=Form(bad_rows="skip"))
    assert whole(stream) == "one\n3\n"
    assert stream.notes == ("1 row that cannot be read left out (line 2)",)


def test_what_is_not_there_is_said(tmp_path, write):
    with pytest.raises(DataError, match=r"no file '.*novel\.txt'"):
        read_stream(tmp_path / "novel.txt")
    write("empty/cover.png", b"")
    with pytest.raises(DataError, match=r"empty has no \.txt file; put texts there, or name"):
        read_stream(tmp_path / "empty")
    write("blank/a.txt", "")
    with pytest.raises(DataError, match="blank has empty files only"):
        read_stream(tmp_path / "blank")
    write("books/a.txt", NOVEL)
    with pytest.raises(DataError, match="books is text without columns"):
        read_stream(tmp_path / "books", label_column="mood")
    with pytest.raises(DataError, match="did you mean the built-in data set shakespeare"):
        read_stream("shakespear")
    with pytest.raises(DataError, match="has no texts to write from; it is for --task tag"):
        read_stream("entities")
    with pytest.raises(DataError, match="no column 'mood' in the data set surnames, whose labels"):
        read_stream("surnames", label_column="mood")
    with pytest.raises(DataError, match="'label' in the data set shakespeare, which has no labels"):
        read_stream("shakespeare", label_column="label")


def test_several_labels_a_text_are_refused(write):
    with pytest.raises(ConfigError, match=r"multilabel is for .* leave it out"):
        read_stream(write("a.csv", TABLE), form=Form(multilabel=True))


def test_texts_of_two_kinds_are_not_joined(write):
    novel, table = read_stream(write("a.txt", NOVEL)), read_stream(write("a.csv", TABLE))
    message = r"a\.txt is one running text and .*a\.csv has texts that stand alone; give files of"
    for parts in ((novel, table), (table, novel)):
        with pytest.raises(DataError, match=message):
            joined(parts)
    with pytest.raises(DataError, match=message):
        split_stream(novel, test=table)
    labelled = read_stream(write("a.csv", TABLE), label_column="label")
    with pytest.raises(DataError, match=r"a\.csv has no labels as the other has"):
        joined([table, labelled])


# --- rows


@given(st.lists(texts), st.data())
def test_taken_rows_are_those_rows(given_texts, data):
    labels = [str(i) for i in range(len(given_texts))]
    stream = texts_alone(given_texts, "a", labels)
    rows = data.draw(st.lists(st.integers(0, len(given_texts) - 1)) if given_texts else st.just([]))
    part = stream.take(rows)
    assert [*part.texts()] == [given_texts[i] for i in rows]
    assert part.labels == tuple(labels[i] for i in rows)
    assert part.characters == sum(len(given_texts[i]) for i in rows)
    assert part.digest() == stream.take(np.array(rows, dtype=np.intp)).digest()
    assert part.source == "a"
    start = data.draw(st.integers(0, len(given_texts)))
    assert [*stream.take(slice(start, None)).texts()] == given_texts[start:]
    assert [*joined([stream.take(slice(start)), stream.take(slice(start, None))]).texts()] == (
        given_texts
    )


def test_rows_that_follow_one_another_are_not_copied():
    stream = running_text(NOVEL.encode(), "a")
    for rows in (slice(1, 3), range(1, 3), [1, 2], np.arange(1, 3)):
        part = stream.take(rows)
        assert np.shares_memory(part.buffer, stream.buffer)
        assert whole(part) == "never mind how long,\n\n"


@given(st.lists(texts.map(lambda text: text + "\n"), min_size=1), st.integers(1, 100))
def test_pieces_are_the_text_cut_at_line_ends(lines, size):
    stream = running_text("".join(lines).encode(), "a")
    pieces = [*stream.pieces(size)]
    assert "".join(pieces) == "".join(lines)
    if max(map(len, lines)) < 16:  # a long line may be cut
        assert all(piece.endswith("\n") for piece in pieces)


def test_a_digest_is_of_texts_their_borders_and_labels():
    different = [
        running_text(b"ab", "a"),
        running_text(b"abc", "a"),
        texts_alone(["ab"], "a"),
        texts_alone(["a", "b"], "a"),
        texts_alone(["a", "b"], "a", ["x", "y"]),
        texts_alone(["a", "b"], "a", ["x", "z"]),
    ]
    assert len({stream.digest() for stream in different}) == len(different)
    assert running_text(b"ab", "a").digest() == running_text(b"ab", "b", ("note",)).digest()


# --- parts


@given(
    st.lists(texts.map(lambda text: text + "\n"), min_size=3, max_size=60),
    st.sampled_from([None, (0.8, 0.1, 0.1), (98, 1, 1), (0.5, 0.5, 0), (0.5, 0, 0.5), (1, 0, 0)]),
)
def test_a_running_text_is_cut_twice(lines, fractions):
    stream = running_text("".join(lines).encode(), "a")
    parts = split_stream(stream, fractions=fractions)
    assert whole(parts.train) + whole(parts.valid) + whole(parts.test) == "".join(lines)
    three = (parts.train, parts.valid, parts.test)
    for part, share in zip(three, fractions or (1, 1, 1), strict=True):
        assert (len(part) > 0) == (share > 0)


@pytest.mark.parametrize("text", [NOVEL * 500, RUSSIAN * 500 + NOVEL * 500, "ёж " * 50_000])
def test_parts_are_near_to_their_shares_of_characters(text):
    parts = split_stream(running_text(text.encode(), "a"), fractions=(0.8, 0.1, 0.1))
    for part, share in ((parts.train, 0.8), (parts.valid, 0.1), (parts.test, 0.1)):
        assert part.characters / len(text) == pytest.approx(share, abs=0.01)


def test_parts_that_are_given_are_taken_as_they_are():
    stream, other = running_text(NOVEL.encode() * 100, "a"), running_text(b"x\n", "b")
    parts = split_stream(stream, test=other)
    assert parts.test is other
    assert parts.valid.characters / stream.characters == pytest.approx(0.05, abs=0.01)
    parts = split_stream(stream, valid=other)
    assert parts.valid is other
    assert parts.test.characters / stream.characters == pytest.approx(0.05 / 0.95, abs=0.01)
    parts = split_stream(stream, valid=other, test=other)
    assert parts.train.digest() == stream.digest()


def test_too_little_text_is_refused():
    with pytest.raises(DataError, match=r"^a has 1 line, too little text to train on and test; "):
        split_stream(running_text(b"one line", "a"))
    with pytest.raises(ConfigError, match="three shares that sum to 1"):
        split_stream(running_text(b"one line", "a"), fractions=(0.5, 0.1, 0.1))
    with pytest.raises(DataError, match="a has 2 different texts, too few to train on and test"):
        split_stream(texts_alone(["a", "b"], "a"))


def test_texts_that_stand_alone_are_drawn_label_by_label():
    stream = read_stream("names-generate")
    parts = split_stream(stream, seed=1)
    assert parts.counts().keys() == {"train", "valid", "test"}
    train = {*parts.train.texts()}
    assert not train & {*parts.test.texts()}
    assert {*parts.test.labels} == {*stream.labels}
    share = parts.test.labels.count("Polish") / stream.labels.count("Polish")
    assert share == pytest.approx(0.05, abs=0.01)
    assert split_stream(stream, seed=1).digest() == parts.digest()
    assert split_stream(stream, seed=2).digest() != parts.digest()


def test_a_part_with_a_label_of_its_own_is_refused():
    stream = texts_alone([*"abcdef"], "a", ["x"] * 6)
    with pytest.raises(DataError, match="b has the label 'y', which a has not"):
        split_stream(stream, test=texts_alone(["g"], "b", ["y"]))


@pytest.mark.parametrize("count", [2, 5])
def test_each_fold_is_tested_on_once(count):
    for stream in (
        running_text(NOVEL.encode() * 50, "a"),
        texts_alone([*map(str, range(99))], "a"),
    ):
        cuts = folds_of(stream, count=count, seed=3)
        assert len(cuts) == count
        tested = [text for cut in cuts for text in cut.test.texts()]
        assert sorted(tested) == sorted(stream.texts())
        for cut in cuts:
            assert len(cut.train) + len(cut.valid) + len(cut.test) == len(stream)
            assert len(cut.valid)
    with pytest.raises(ConfigError, match="a has 4 lines, too few for 5 folds"):
        folds_of(running_text(NOVEL.encode(), "a"), count=5)


# --- recognition


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("novel.txt", NOVEL * 20),
        ("novel.txt.gz", gzip.compress(NOVEL.encode())),
        ("novel.TXT", RUSSIAN),
        ("onegin.txt", RUSSIAN.encode("cp1251")),
        ("wide.txt", NOVEL.encode("utf-16")),
        ("one line.txt", "It was a dark and stormy night, and so on; " * 5_000),
        ("letters.txt", "ё" * 100_000),
        ("names.txt", "Kamoto\nRossi\nÉmile\nIvanova\n"),
        ("ptb.txt", " the company 's <unk> said \n no it was n't \n a <unk> of N \n"),
        ("indented.txt", "\tOnce upon a time there was\n\ta king, and he\n\thad a son\n"),
        ("folder/novel.txt", NOVEL),
    ],
)
def test_a_plain_text_is_claimed(write, name, data):
    path = write(name, data)
    assert claims(path)
    assert claims(str(path))
    if path.parent.name == "folder":
        assert claims(path.parent)


LABELLED = {
    "tabs": "good film\tpos\nbad film\tneg\nso so\tpos\n",
    "tabs and a bad row": "good film\tpos\n" * 5 + "no label\n",
    "label first": "".join(f"pos good {i}\nneg bad {i}\n" for i in range(30)),
    "fastText": "__label__pos good film\n__label__neg bad film\n",
    "header": TABLE,
    "commas": "good film,pos\nbad film,neg\n" * 10,
    "JSON": '{"text": "good film", "label": "pos"}\n{"text": "bad film", "label": "neg"}\n',
    "drawn": "| text | label |\n|---|---|\n| good film | pos |\n| bad film | neg |\n",
    "R": '"text" "label"\n"1" "good film" "pos"\n"2" "bad film" "neg"\n',
}


@pytest.mark.parametrize("name", LABELLED)
def test_what_the_classifier_reads_is_not_claimed(write, name):
    path = write("a.txt", LABELLED[name])
    if name != "tabs and a bad row":
        assert len(read_examples(path))
    assert not claims(path)


@pytest.mark.parametrize("data", ["", " \n"])
def test_an_empty_text_is_claimed_and_refused_where_it_is_read(write, data):
    path = write("a.txt", data)
    assert claims(path)
    with pytest.raises(DataError, match="is empty"):
        read_stream(path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("novel.md", NOVEL),
        ("novel", NOVEL),
        ("a.csv", TABLE),
        ("a.txt", b"\x89PNG\r\n\x1a\n"),
        ("a.txt", "-DOCSTART- O\n\nEU B-ORG\nrejects O\n\nPeter B-PER\n"),
        ("a.txt", "# text = a\n1\ta\ta\tX\t_\t_\t0\troot\t_\t_\n\n"),
    ],
)
def test_other_files_are_not_claimed(write, name, data):
    assert not claims(write(name, data))


def test_folders_of_classes_are_not_claimed(write, tmp_path):
    for label in ("Italian", "Japanese"):
        write(f"names/{label}.txt", "Rossi\nKamoto\n")
        write(f"texts/{label}/1.txt", NOVEL)
    write("one class/Italian/1.txt", NOVEL)
    write("mixed/a.txt", NOVEL)
    write("mixed/a.csv", TABLE)
    (tmp_path / "empty").mkdir()
    for name in ("names", "texts", "one class", "mixed", "empty", "absent", "absent.txt"):
        assert not claims(tmp_path / name), name
    for other in ("-", "surnames", {"text": ["a"]}, [("a", "b")], None):
        assert not claims(other)


def test_only_the_beginning_is_looked_at(write, monkeypatch):
    path = write("a.txt", NOVEL + LABELLED["tabs"] * 50)
    assert not claims(path)
    monkeypatch.setattr(recognition, "_HEAD", len(NOVEL.encode()))
    assert claims(path)


# --- memory


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_half_a_gigabyte_is_read_in_little_more_memory(tmp_path):
    path, size = tmp_path / "large.txt", 500 << 20
    block = ("It was a dark and stormy night; the rain fell.\n" * 30_000).encode()
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
    program = (
        "import resource, sys\n"
        "from elman.data.stream import read_stream, split_stream\n"
        "from elman.text.tokenizer.reversible import encode_stream, fit_coder\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10\n"
        "own = used()\n"
        # What Python and NumPy have taken by now, besides the limit on what is to come.
        "taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        f"limit = taken + int({size} * 2.4)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        f"stream = read_stream({str(path)!r})\n"
        f"assert used() - own < 1.25 * {size}, used() - own\n"
        "parts = split_stream(stream)\n"
        f"assert used() - own < 1.3 * {size}, used() - own\n"
        "coder = fit_coder(parts.train.pieces, level='characters')\n"
        "ids = encode_stream(coder, parts.train.pieces())\n"
        f"assert used() - own < 2.35 * {size}, used() - own\n"
        "assert len(ids) == parts.train.characters"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
