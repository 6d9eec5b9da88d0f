"""Tagged sentences of every format are read alike; what is wrong with them is said."""

import gzip
import io
import json
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.conll import columns, conllu
from elman.data.form import Form
from elman.data.tagged import (
    Tagged,
    joined,
    looks_tagged,
    of_lists,
    read_conll,
    read_tagged,
    read_tokens,
)
from elman.errors import DataError
from elman.text.segmentation import segment, word_spans
from elman.text.tag_schemes import BIOES, IOB1, IOB2

TOKENS = [["Dr.", "Anna", "Ли", "went"], ["#", "Tver", "10\u00a0000"]]
TAGS = [["O", "B-PER", "I-PER", "O"], ["O", "B-LOC", "O"]]
POS = [["NOUN", "PROPN", "PROPN", "VERB"], ["SYM", "PROPN", "NUM"]]
FIELDS = [{"tokens": a, "tags": b} for a, b in zip(TOKENS, TAGS, strict=True)]
JSONL = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in FIELDS)
PARQUET = io.BytesIO()
pl.DataFrame(FIELDS).write_parquet(PARQUET)

FORMATS = {
    "a.conllu": conllu(TOKENS, TAGS, column="upos").encode(),
    "a.conll": columns(TOKENS, POS, TAGS).encode(),
    "blanks": columns(TOKENS, POS, TAGS).replace("\t", " ").encode(),
    "windows": columns(TOKENS, POS, TAGS).replace("\n", "\r\n").encode(),
    "not_ended": columns(TOKENS, TAGS).rstrip().encode(),
    "blank_lines": columns(TOKENS, TAGS).replace("\n\n", "\n \t\n").encode(),
    "documents": b"-DOCSTART- O\n\n" + columns(TOKENS, TAGS).encode(),
    "packed.gz": gzip.compress(columns(TOKENS, TAGS).encode()),
    "utf16": columns(TOKENS, TAGS).encode("utf-16"),
    "a.jsonl": JSONL.encode(),
    "lines": JSONL.encode(),
    "a.json": json.dumps(FIELDS).encode(),
    "spread.json": json.dumps(FIELDS, indent=2).encode(),
    "columns.json": json.dumps({"tokens": TOKENS, "tags": TAGS}).encode(),
    "within.json": json.dumps({"version": 1, "data": FIELDS}).encode(),
    "a.parquet": PARQUET.getvalue(),
}


@pytest.fixture
def write(tmp_path):
    """Writes a file and returns its path."""

    def write(content, name="a.conll"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def lines_of(*rows):
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same(write, name):
    path = write(FORMATS[name], name)
    assert looks_tagged(path) == (name not in ("utf16", "a.parquet"))  # not plainly
    found = read_tagged(path)
    assert (found.tokens, found.tags, found.scheme) == (TOKENS, TAGS, IOB2)
    assert (found.source, len(found), found.num_tokens) == (str(path), 2, 7)
    assert found.facts[0].source == str(path)
    assert found.digest() == read_tagged((TOKENS, TAGS)).digest()
    if name != "utf16":
        assert read_tokens(path).inputs == TOKENS


@pytest.mark.parametrize("data", [(TOKENS, TAGS), [TOKENS, TAGS], FIELDS])
def test_lists_of_python(data):
    assert looks_tagged(data)
    found = read_tagged(data)
    assert (found.tokens, found.tags, found.lines) == (TOKENS, TAGS, [0, 0])
    assert found.digest() == of_lists(TOKENS, TAGS).digest()


def test_standard_input(monkeypatch):
    for name in ("a.conll", "a.conllu", "a.jsonl", "packed.gz"):
        for read, what in ((read_tagged, "tokens"), (read_tokens, "inputs")):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FORMATS[name])))
            assert not looks_tagged("-")  # it can be read only once
            assert getattr(read("-"), what) == TOKENS


def test_encodings_are_told_or_said(write):
    text = columns([["Анна", "поёт"]] * 40, [["B-PER", "O"]] * 40)
    for form in (Form(), Form(encoding="cp1251")):
        found = read_tagged(write(text.encode("cp1251")), form=form)
        assert found.tokens[0] == ["Анна", "поёт"]
        assert found.facts[0].encoding == "cp1251"
    with pytest.raises(DataError, match="a PNG picture"):
        read_tagged(write(b"\x89PNG\r\n"))
    with pytest.raises(DataError, match="gzip file is cut off"):
        read_tagged(write(gzip.compress(text.encode())[:-20]))


def test_a_subset(write):
    found = read_tagged(write(FORMATS["documents"]))
    assert found.lines == [3, 8]
    part = found.take(np.array([1]))
    assert (part.tokens, part.tags, part.lines) == (TOKENS[1:], TAGS[1:], [8])
    assert part.digest() != found.digest()
    assert repr(part) == f"<1 sentences, 3 tokens (IOB2) of {found.source}>"
    assert found.take([]).num_tokens == 0
    with pytest.raises(ValueError, match="differ in number"):
        Tagged([["a"]], [[]], "a")


@given(st.lists(st.lists(st.tuples(st.text(min_size=1), st.sampled_from(["X", None])), min_size=1)))
def test_digests_of_anything(rows):
    tokens, tags = ([[pair[i] for pair in row] for row in rows] for i in range(2))
    found = Tagged(tokens, tags, "a")
    assert found.digest() == Tagged(tokens, tags, "b").digest()
    assert found.digest() != Tagged([*tokens, ["a"]], [*tags, ["X"]], "a").digest()


def test_digests_keep_apart_what_is_not_the_same():
    pairs = [([["a", "b"]], [["X", "Y"]]), ([["a"], ["b"]], [["X"], ["Y"]])]
    pairs += [([["ab"]], [["XY"]]), ([["a", "b"]], [["X", None]])]
    assert len({Tagged(*pair, "a").digest() for pair in pairs}) == len(pairs)


# ------------------------------------------------------------------------------------------------
# Columns

WORD = "1\tкот\tКОТ\tNOUN\tNN\t_\t0\troot\t_\t_\n"
PERIOD = "2\t.\t_\tPUNCT\t_\t_\t1\tpunct\t_\tSpaceAfter=No\n"


@pytest.mark.parametrize(
    ("column", "tags"),
    [
        (None, ["NOUN", "PUNCT"]),
        ("upos", ["NOUN", "PUNCT"]),
        ("XPOS", ["NN", None]),
        ("lemma", ["КОТ", None]),
        ("4", ["NOUN", "PUNCT"]),
        ("misc", [None, "SpaceAfter=No"]),
        ("feats", ["_", "_"]),  # it has none
    ],
)
def test_columns_of_conllu(write, column, tags):
    path = write(WORD + PERIOD, "a.conllu")
    found = read_tagged(path, column=column)
    assert found.tags == [tags]
    assert found.scheme is None
    unknown = ("1 of 2 tokens have no tag: not learnt and not judged",) * (None in tags)
    assert found.notes == unknown


def test_other_columns(write):
    path = write(columns(TOKENS, POS, TAGS))
    assert read_tagged(path, column="2").tags == POS
    assert read_tagged(path, likely={"column": "2"}).tags == POS
    assert read_tagged(path, likely={"column": "XPOS"}).tags == TAGS
    assert read_tagged(path, column="3", likely={"column": "2"}).column == "3"
    path = write("word tag\na X\nb Y\n")
    assert read_tagged(path, form=Form(header=True), column="tag").tags == [["X", "Y"]]


def test_tags_before_tokens(write):
    assert read_tagged(write(columns(TAGS, TOKENS)), column="1").tokens == TOKENS


def test_columns_without_values_are_not_the_last(write):
    text = "# sent_id = 1\n1\tEU\tB-ORG\t-\t_\n2\tis\tO\t-\t_\n"
    found = read_tagged(write(text, "a.iob2"))
    assert (found.tokens, found.tags) == ([["EU", "is"]], [["B-ORG", "O"]])
    assert found.lines == [2]


@pytest.mark.parametrize(
    ("text", "name", "column", "says"),
    [
        (
            WORD,
            "a.conllu",
            "ner",
            "no column 'ner' among the columns 'ID', 'FORM', 'LEMMA', 'UPOS'",
        ),
        (WORD, "a.conllu", "12", "has 10 columns, so --column 12 is none of them"),
        (WORD, "a.conllu", "form", "column FORM holds the tokens; say with --column which of"),
        (WORD, "a.conllu", "deps", "column DEPS is '_' everywhere; the columns with values are '"),
        ("a X O\n", "a", "upos", "no column 'upos' among the columns '1', '2', '3'; give one"),
        ("a X O\n", "a", "1", "column 1 holds the tokens"),
        ("a X O\n", "a.conllu", None, "is no CoNLL-U, which has ten columns with a tab"),
        ("a\nb\n\nc\n", "a", None, "has one column only, 'a' in its first line; put the tag of"),
        ("a X O\nb O\nc X O\n", "a", None, "line 2 has 2 columns, 'b O', and most lines have 3"),
        ("a\tX\tO\nb\t\tO\n", "a", "2", "line 2: the column 2 is empty; write '_' there"),
        ("\tX\tO\nb\tX\tO\n", "a", None, "line 1: the token is empty"),
        ("a X\n" * 1500, "a", None, "has no blank lines between sentences, so that its 1,500 tok"),
        ("", "a", None, "is empty; give a file"),
        ("# sent_id = 1\n\n", "a", None, "has no tokens"),
        ("a _\nb _\n", "a", None, "column 2 is '_' everywhere"),
    ],
)
def test_columns_at_fault(write, text, name, column, says):
    path = write(text, name)
    with pytest.raises(DataError) as caught:
        read_tagged(path, column=column)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_lines_are_left_out_as_asked(write):
    path = write("a X\nb\n\nc Y\n")
    found = read_tagged(path, form=Form(bad_rows="skip"))
    assert found.tokens == [["c"]]
    assert found.notes == ("1 row that cannot be read left out (line 2)",)


def test_empty_sentences_are_left_out_and_counted(write):
    path = write(f"# licence\n\n# sent_id = 1\n# text = a\n\n# sent_id = 2\n{WORD}\n", "a.conllu")
    assert read_tagged(path).notes == ("1 empty sentence skipped (line 3)",)
    path = write(lines_of({"tokens": [], "tags": []}, *FIELDS), "a.jsonl")
    found = read_tagged(path)
    assert found.notes == ("1 empty sentence skipped (line 1)",)
    assert (found.tokens, found.lines) == (TOKENS, [2, 3])
    found = read_tagged(([["a"], [], []], [["X"], [], []]))
    assert found.notes == ("2 empty sentences skipped (sentence 2; sentence 3)",)
    with pytest.raises(DataError, match="has no sentence with tokens"):
        read_tagged(([[]], [[]]))


def test_a_long_sentence_is_read_and_pointed_out(write):
    path = write("a X\n\n" + "b Y\n" * 5000)
    found = read_tagged(path)
    assert [len(row) for row in found.tokens] == [1, 5000]
    assert found.notes == ("a sentence of 5,000 tokens (line 3); is its end marked?",)


def test_a_column_that_is_hardly_one_of_tags_is_pointed_out(write):
    path = write("".join(f"X w{i}\n\n" for i in range(300)))
    [note] = read_tagged(path).notes
    assert note == "300 different tags for 300 tokens in column 2; --column takes another"
    assert read_tagged(path, column="2").notes == ()


# ------------------------------------------------------------------------------------------------
# Schemes


def test_faults_are_counted_and_named(write):
    good = "a B-PER\nb I-PER\nc O\n\n" * 50
    path = write(good + "a O\nb I-LOC\n\n" * 5)
    found = read_tagged(path)
    assert found.scheme is IOB2
    [note] = found.notes
    assert note.startswith("5 tags that IOB2 does not have there (line 202: I-LOC after O; ")
    assert "line 208: I-LOC after O; ...)" in note


def test_a_mixed_scheme_is_refused(write):
    path = write("a B-PER\nb E-PER\n\nc U-LOC\n")
    with pytest.raises(DataError) as caught:
        read_tagged(path)
    assert str(caught.value) == (
        f"{path}: the tags are of a mixed scheme: E-PER (line 2) is of BIOES and U-LOC (line 4) of "
        "BILOU; write all in one of IOB2, IOB1, BIOES, BILOU"
    )
    with pytest.raises(DataError, match=r"E-PER \(line 1, token 2\)"):
        read_tagged(write(lines_of({"tokens": ["a", "b"], "tags": ["U-X", "E-PER"]}), "a.jsonl"))


def test_schemes_are_converted():
    found = read_tagged((TOKENS, TAGS)).in_scheme(BIOES)
    assert found.tags == [["O", "B-PER", "E-PER", "O"], ["O", "S-LOC", "O"]]
    assert found.scheme is BIOES
    assert found.in_scheme(IOB2).tags == TAGS
    pos = read_tagged((TOKENS, POS))
    assert pos.in_scheme(BIOES) is pos


def test_several_files_as_one(write):
    first = read_tagged(write(columns(TOKENS, TAGS), "a.conll"))
    second = read_tagged(write("a I-PER\n", "b.conll"))
    assert second.scheme is IOB1
    both = joined([first, second])
    assert both.tags == [*TAGS, ["B-PER"]]
    assert (both.scheme, both.lines, len(both.facts)) == (IOB2, [1, 6, 1], 2)
    assert both.source == f"{first.source} and {second.source}"
    assert joined([second, second]).scheme is IOB1
    assert joined([first]) is first
    with pytest.raises(DataError, match=r"has tags of spans \(IOB2\) and the lists has not"):
        joined([first, read_tagged((TOKENS, POS))])


# ------------------------------------------------------------------------------------------------
# Objects with tokens


def test_unknown_tags_of_objects():
    found = read_tagged([{"tokens": ["a", "b", "c"], "tags": ["X", None, "_"], "id": 7}])
    assert found.tags == [["X", None, None]]
    assert found.notes == ("2 of 3 tokens have no tag: not learnt and not judged",)


def test_tags_that_are_numbers():
    found = read_tagged([{"id": "0", "tokens": ["a", "b"], "ner_tags": [0, 7]}])
    assert found.tags == [["0", "7"]]
    assert found.notes == ("the tags are numbers; with their names spans could be told",)


def test_fields_by_name():
    row = {"words": ["a"], "pos_tags": ["X"], "mine": ["Y"]}
    assert read_tagged([row]).column == "pos_tags"
    assert read_tagged([row], column="mine").tags == [["Y"]]
    assert read_tagged([row], column="3").tags == [["Y"]]
    assert read_tagged([row], likely={"column": "mine"}).tags == [["Y"]]


def test_one_object_is_one_sentence(write):
    row = {"tokens": ["a", "b"], "tags": ["X", "Y"]}
    assert read_tagged(write(lines_of(row), "a.jsonl")).tokens == [["a", "b"]]
    assert read_tokens(write(lines_of(row), "a.jsonl")).inputs == [["a", "b"]]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"tokens": ["a", "b"], "tags": ["X"]}, "line 2 has 2 tokens and 1 tag; give each token"),
        ({"tokens": "a b", "tags": ["X"]}, "line 2: field 'tokens' is no list of tokens"),
        ({"tokens": ["a"], "tags": "X"}, "line 2: field 'tags' is no list of tags"),
        ({"tokens": ["a"]}, "line 2: field 'tags' is no list of tags"),
        ({"tokens": ["a", " "], "tags": ["X", "X"]}, "line 2: token 2 is empty; leave it out"),
        ({"tokens": [None], "tags": ["X"]}, "line 2: token 1 is empty"),
        ({"tokens": [["a"]], "tags": ["X"]}, "line 2: field 'tokens' is no list of tokens"),
        ({"tokens": ["a"], "tags": [{}]}, "line 2: field 'tags' is no list of tags"),
        (["a"], "line 2 is not a JSON object"),
    ],
)
def test_objects_at_fault(write, row, says):
    path = write(lines_of(FIELDS[0], row, FIELDS[1]), "a.jsonl")
    with pytest.raises(DataError) as caught:
        read_tagged(path)
    assert str(caught.value).startswith(f"{path} {says}")
    found = read_tagged(path, form=Form(bad_rows="skip"))
    assert found.tokens == TOKENS
    assert found.notes == ("1 row that cannot be read left out (line 2)",)


@pytest.mark.parametrize(
    ("rows", "column", "says"),
    [
        ([{"a": 1}], None, "no sentences with tags among the fields 'a'; give 'tokens' and 'tags'"),
        ([{"tokens": ["a"]}], None, "no sentences with tags among the fields 'tokens'"),
        (
            [{"tokens": ["a"], "tags": ["X"]}],
            "ner",
            "no column 'ner' among the columns 'tokens', '",
        ),
        ([{"tokens": ["a"], "tags": [None]}], None, "no token has a tag in 'tags'"),
    ],
)
def test_fields_that_are_not_there(rows, column, says):
    with pytest.raises(DataError, match=f"^the list: {says}"):
        read_tagged(rows, column=column)


def test_lists_at_fault():
    with pytest.raises(DataError, match="the lists: 2 token lists and 1 tag lists; give one each"):
        read_tagged((TOKENS, TAGS[:1]))
    with pytest.raises(DataError, match="the lists sentence 2 has 3 tokens and 2 tags"):
        read_tagged((TOKENS, [TAGS[0], TAGS[1][:2]]))
    with pytest.raises(DataError, match="cannot be read from a ndarray"):
        read_tagged(np.zeros(3))


# ------------------------------------------------------------------------------------------------
# Texts with spans of characters

TEXT = "Anna  Ли met\u00a0Bob in Tver."
SPANS = [[0, 8, "PER"], [13, 16, "PER"], [20, 24, "LOC"]]
OF_WORDS = ["B-PER", "I-PER", "O", "B-PER", "O", "B-LOC", "O"]


def as_objects(start="start", end="end", label="label", several=False):
    return [{"id": 1, start: a, end: b, label: [c] if several else c} for a, b, c in SPANS]


@pytest.mark.parametrize(
    "row",
    [
        {"text": TEXT, "entities": SPANS},
        {"text": TEXT, "entities": SPANS[::-1] + SPANS},  # in any order, and twice
        {"id": 1, "text": TEXT, "label": SPANS},
        {"text": TEXT, "spans": as_objects(), "tokens": [{"text": "Anna", "start": 0}]},
        {"text": TEXT, "entities": as_objects("start_offset", "end_offset"), "relations": []},
        {"text": TEXT, "label": as_objects(label="labels", several=True)},
        {"text": TEXT, "entities": as_objects(label="entity_group")},
        {"text": TEXT, "entities": [[a, b + (b == 16), c] for a, b, c in SPANS]},  # a blank behind
        {
            "data": {"text": TEXT},
            "annotations": [
                {
                    "result": [
                        {"value": {"choices": ["x"]}},
                        *({"value": one} for one in as_objects(label="labels", several=True)),
                    ]
                }
            ],
        },
    ],
    ids=str,
)
def test_spans_of_every_tool(write, row):
    for content, name in ((lines_of(row), "a.jsonl"), (json.dumps([row]), "a.json")):
        path = write(content, name)
        assert looks_tagged(path)
        found = read_tagged(path)
        assert found.tokens == [["Anna", "Ли", "met", "Bob", "in", "Tver", "."]]
        assert (found.tags, found.scheme, found.notes) == ([OF_WORDS], IOB2, ())


def test_pairs_of_spacy(write):
    path = write(json.dumps([[TEXT, {"entities": SPANS}], ["No one.", {"entities": []}]]), "a.json")
    assert looks_tagged(path)
    assert read_tagged(path).tags == [OF_WORDS, ["O", "O", "O"]]


def test_texts_before_the_first_with_a_span(write):
    rows = [{"text": "No one.", "entities": []}] * 150 + [{"text": TEXT, "entities": SPANS}]
    assert len(read_tagged(write(lines_of(*rows), "a.jsonl"))) == 151


def test_spans_of_parts_of_words_leave_them_without_a_tag(write):
    rows = [
        {"text": TEXT, "entities": [[2, 8, "PER"], [20, 24, "LOC"]]},
        {"text": "a", "entities": []},
        {"text": "Anna", "entities": [[0, 2, "A"], [2, 4, "B"]]},
    ]
    found = read_tagged(write(lines_of(*rows), "a.jsonl"))
    assert found.tags == [[None, None, "O", "O", "O", "B-LOC", "O"], ["O"], [None]]
    assert found.notes[0] == (
        "3 spans not made of whole words, which are left without a tag "
        "(line 1: 'na  Ли'; line 3: 'An'; line 3: 'na')"
    )


def test_sentences_are_cut_but_not_within_a_span():
    def sentences(text):
        words = word_spans(text)
        parts = [[]]
        for word in words:
            parts[-1].append(word)
            if word.text == ".":
                parts.append([])
        return parts

    row = {"text": "Tom. Anna sang. I left. So.", "entities": [[0, 9, "PER"]]}
    found = read_tagged([row], segment=sentences)
    assert found.tokens == [["Tom", ".", "Anna", "sang", "."], ["I", "left", "."], ["So", "."]]
    assert found.tags[0] == ["B-PER", "I-PER", "I-PER", "O", "O"]


@pytest.mark.parametrize(
    ("text", "spans", "says"),
    [
        (TEXT, [[20, 40, "X"]], ": the span [20, 40, 'X'] is not within the text, which has 25 "),
        (TEXT, [[-1, 4, "X"]], ": the span [-1, 4, 'X'] is not within the text"),
        (TEXT, [[4, 0, "X"]], ": the span [4, 0, 'X'] is not within the text"),
        (TEXT, [[4, 4, "X"]], ": the span [4, 4, 'X'] is empty"),
        (TEXT, [[4, 6, "X"]], ": the span [4, 6, 'X'] is empty"),
        (TEXT, [[0, 8, "X"], [6, 12, "Y"]], ": the spans [0, 8, 'X'] and [6, 12, 'Y'] overlap"),
        (TEXT, [[0, 8, "X"], [0, 8, "Y"]], ": the spans [0, 8, 'X'] and [0, 8, 'Y'] overlap"),
        (TEXT, [["0", 8, "X"]], ": the span ['0', 8, 'X'] cannot be read; write it as"),
        (TEXT, [[0, 8]], ": the span [0, 8] cannot be read"),
        (TEXT, [{"start": 0, "end": 8}], ": the span {'start': 0, 'end': 8} cannot be read"),
        (TEXT, [{"start": 0, "end": 8, "labels": ["A", "B"]}], ": the span {'start': 0, 'end'"),
        (TEXT, [7], ": the span 7 cannot be read"),
        (TEXT, "PER", ": field 'entities' is no list of spans"),
        (7, [], ": field 'text' is no text; make it a string"),
    ],
)
def test_spans_at_fault(write, text, spans, says):
    good = {"text": TEXT, "entities": SPANS}
    path = write(lines_of(good, {"text": text, "entities": spans}), "a.jsonl")
    with pytest.raises(DataError) as caught:
        read_tagged(path)
    assert str(caught.value).startswith(f"{path} line 2{says}")
    assert read_tagged(path, form=Form(bad_rows="skip")).tags == [OF_WORDS]


@given(st.text("ab .\n\u00a0😀é", min_size=1), st.data())
def test_spans_of_whole_words_come_back(text, data):
    words = [word for sentence in segment(text) for word in sentence]
    if not words:
        return
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    row = {"text": text, "entities": [[words[first].start, words[last].end, "X"]]}
    found = read_tagged([row])
    expected = ["O"] * first + ["B-X"] + ["I-X"] * (last - first)
    tags = [tag for sentence in found.tags for tag in sentence]
    assert tags == expected + ["O"] * (len(words) - last - 1)


# ------------------------------------------------------------------------------------------------
# What to tag


def test_texts_with_spans_are_answered_as_texts(write):
    rows = [{"text": "Anna sings.", "entities": [[0, 4, "PER"]]}, {"text": "So.", "entities": []}]
    found = read_tokens(write(lines_of(*rows), "a.jsonl"))
    assert found.inputs == ["Anna sings.", "So."]
    assert found.table["text"] == found.inputs


def test_objects_without_tags(write):
    path = write(lines_of({"id": 1, "tokens": ["a", "b"]}, {"id": 2, "tokens": ["c"]}), "a.jsonl")
    found = read_tokens(path)
    assert found.inputs == [["a", "b"], ["c"]]
    assert found.table == {"id": ["1", "2"], "tokens": ['["a", "b"]', '["c"]']}
    with pytest.raises(DataError, match="line 2: field 'tokens' is no list of tokens"):
        read_tokens(write(lines_of({"tokens": ["a"]}, {"tokens": "b"}), "a.jsonl"))


@pytest.mark.parametrize(
    ("content", "name", "inputs"),
    [
        ("One text.\nTwo.\n", "a.txt", ["One text.", "Two."]),
        ("text,id\nOne,1\n", "a.csv", ["One"]),
        (lines_of({"text": "One"}), "a.jsonl", ["One"]),
        ("a\nb\n\nc\n", "a.conll", [["a", "b"], ["c"]]),
        ("a NOUN\nb X\n\nc X\n", "a.conll", [["a", "b"], ["c"]]),
    ],
)
def test_texts_and_tokens(write, monkeypatch, content, name, inputs):
    path = write(content, name)
    assert read_tokens(path).inputs == inputs
    if name in ("a.txt", "a.jsonl"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        assert read_tokens("-").inputs == inputs


def test_files_to_write_again(write):
    path = write(FORMATS["windows"])
    file = read_conll(path)
    assert file.replaced(2, TAGS).text().encode() == FORMATS["windows"]
    with pytest.raises(DataError, match="is JSON lines; give CoNLL-U or columns"):
        read_conll(write(JSONL, "a.jsonl"))


# ------------------------------------------------------------------------------------------------
# Whose files they are


@pytest.mark.parametrize(
    "content",
    [
        "text,label\nOne,pos\n",
        "One\tpos\nTwo\tneg\n\nThree\tpos\n",
        "One pos\nTwo neg\n\n",
        "pos One text\nneg Two\n",
        "One B-PER\nTwo O\n",  # no blank line: a label may be called so
        "One B-PER\n\nTwo three O\n",
        "",
        "\n\n",
        lines_of({"text": "One", "label": "pos"}),
        lines_of({"text": "One", "label": ["pos", "neg"]}),
        lines_of({"text": "One", "labels": [0, 4, 1]}),
        lines_of({"text": "One", "entities": []}),
        lines_of({"tokens": ["a"], "tags": ["X", "Y"]}),
        '[{"text": "One", "label": "pos"}]',
        b"\x1f\x8bno gzip",
        b"\x89PNG\r\n",
        b"\xff\xfe\x00",
    ],
)
def test_files_of_other_tasks_are_not_claimed(write, content):
    assert not looks_tagged(write(content, "a"))


@pytest.mark.parametrize(
    "data",
    [
        "no such file",
        ".",
        None,
        7,
        [],
        ["One", "Two"],
        [("One", "pos"), ("Two", "neg")],
        [["One", "pos"], ["Two", "neg"]],
        {"text": ["One"], "label": ["pos"]},
        [{"text": "One", "label": "pos"}],
        (["One", "Two"], ["pos", "neg"]),
    ],
)
def test_data_of_other_tasks_is_not_claimed(data):
    assert not looks_tagged(data)


def test_real_files_of_other_tasks_are_not_claimed(shared_data):
    of_tags = ("pos", "ner")
    for path in sorted(shared_data.glob("*/*")):
        assert looks_tagged(path) == (path.parent.name in of_tags), path


def test_a_beginning_tells_also_where_it_is_cut_off(write):
    for content in (
        lines_of(*FIELDS * 2000),
        json.dumps(FIELDS * 2000),
        columns(TOKENS * 9000, TAGS * 9000),
    ):
        assert len(content) > 1 << 17
        assert looks_tagged(write(content, "a"))
        assert looks_tagged(write(gzip.compress(content.encode()), "a"))
        assert len(read_tokens(write(content, "a")).inputs) >= 4000


@pytest.mark.slow
def test_real_files(shared_data):
    found = read_tagged(shared_data / "pos/en_ewt-ud-train.conllu.gz")
    assert (len(found), found.num_tokens, len(found.sizes())) == (12_544, 204_577, 17)
    assert found.notes == ()
    found = read_tagged(shared_data / "ner/eng.train")
    assert (len(found), found.num_tokens, found.scheme) == (14_041, 203_621, IOB1)
    assert found.notes[0].startswith("2 tags that IOB1 does not have there (line 152428: B-MISC af")
    with pytest.raises(DataError, match=r"column XPOS is '_' everywhere"):
        read_tagged(shared_data / "pos/ru_GramEval2020-Taiga-news-train.conllu", column="xpos")


# -------------------------------------------------------------------------------------------------
# Tables with lists in their cells


def test_tables_with_lists_in_their_cells(tmp_path):
    place = tmp_path / "rows.csv"
    place.write_text(
        'id,tokens,tags\n1,"[""Anna"", ""said ,"", ""\\""""]","[""B-PER"", ""O"", null]"\n\n'
        '2,"[""a""]","[""O""]"\n'
    )
    assert looks_tagged(place)
    read = read_tagged(place)
    assert read.tokens == [["Anna", "said ,", '"'], ["a"]]
    assert read.tags == [["B-PER", "O", None], ["O"]]
    assert read.lines == [2, 4]
    assert read.facts[0].format == "CSV"
    assert read_tokens(place).inputs == read.tokens
    place.write_text('tokens;tags\n["a"];["O"]\n["b"]\n[c];["O"]\n')
    with pytest.raises(
        DataError, match="line 3 has other cells than the header, 1 and not 2; --bad-rows skip"
    ):
        read_tagged(place)
    read = read_tagged(place, form=Form(bad_rows="skip"))
    assert read.tokens == [["a"]]
    assert read.notes == ("2 rows that cannot be read left out (line 3, 4)",)
