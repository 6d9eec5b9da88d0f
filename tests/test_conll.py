"""Files of one token a line are read as others read them, and written again byte for byte."""

import gzip
import re

import conllu as oracle
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elman.data.conll import (
    CONLLU_NAMES,
    columns,
    conllu,
    conllu_names,
    is_empty_sentence,
    parse_columns,
    parse_conllu,
)
from elman.data.form import Form
from elman.errors import DataError


def row(*fields):
    return "\t".join([*fields, *["_"] * (10 - len(fields))])


CONLLU = "\n".join(
    [
        "# newdoc",
        "# sent_id = 1",
        "# text = Don't\tgo  there",
        row("1-2", "Don't"),
        row("1", "Do", "do", "AUX"),
        row("2", "n't", "not", "PART"),
        row("3", "go", "go", "VERB", "VB", "Mood=Imp"),
        row("3.1", "go", "go", "VERB"),
        row("4", "10 000", "#", "NUM"),
        "",
        "# text = Эх",
        row("1", "Эх", "эх", "INTJ"),
        "",
        "",
    ]
)


def test_conllu_is_read_without_ranges_and_empty_nodes():
    file = parse_conllu(CONLLU, "a.conllu")
    assert file.tokens == [["Do", "n't", "go", "10 000"], ["Эх"]]
    assert file.column(3) == [["AUX", "PART", "VERB", "NUM"], ["INTJ"]]
    assert [file.line_of(*place) for place in [(0, 0), (0, 2), (0, 3), (1, 0)]] == [5, 7, 9, 12]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\n", "\n \t\n", "\n# the end", "\n\n# the end\n"])
@pytest.mark.parametrize("between", ["", " ", "\t", "\n\n"])
def test_conllu_is_written_as_it_was(end, tail, between):
    text = "\n" + CONLLU.rstrip("\n").replace("\n\n", f"\n{between}\n") + tail
    text = text.replace("\n", end)
    file = parse_conllu(text, "a.conllu")
    assert file.text() == text
    assert file.tokens == parse_conllu(CONLLU, "a.conllu").tokens
    assert file.column(9)[1] == ["_"]
    assert file.replaced(9, [["a", "b", "c", "d"], ["e"]]).column(9)[1] == ["e"]


def test_one_column_is_replaced():
    file = parse_conllu(CONLLU, "a.conllu").replaced(3, [["A", "B", "C", "D"], [""]])
    expected = CONLLU
    for old, new in {"AUX": "A", "PART": "B", "NUM": "D", "INTJ": "_"}.items():
        expected = expected.replace(old, new)
    assert file.text() == expected.replace("VERB", "C", 1)  # that of the empty node stays


def test_conllu_plus_names_its_columns():
    text = "# global.columns = ID FORM NER\n1\tEU\tB-ORG\n\n1\tis\tO\n"
    assert conllu_names(text) == ("ID", "FORM", "NER")
    assert parse_conllu(text, "a", names=("ID", "FORM", "NER")).column(2) == [["B-ORG"], ["O"]]
    unnumbered = text.replace("ID ", "").replace("1\t", "")
    names = conllu_names(unnumbered)
    assert parse_conllu(unnumbered, "a", names=names).tokens == [["EU"], ["is"]]
    with pytest.raises(DataError, match="names no column FORM"):
        parse_conllu(text, "a", names=("ID", "WORD", "NER"))


@pytest.mark.parametrize(
    "text", ["", "EU NNP I-NP I-ORG\n", "a\tb\n", "# a\n", "1\t2\n", CONLLU.replace("1", "x")]
)
def test_what_is_no_conllu(text):
    assert conllu_names(text) is None


def test_what_is_conllu():
    assert conllu_names(CONLLU) == conllu_names("\n" + row("1", "a")) == CONLLU_NAMES


# Fields of CoNLL-U hold no tab and no line end, and the oracle cuts blanks off.
_FIELD = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1)


@example([[("1", "2"), ("3", "4")]])
@given(st.lists(st.lists(st.tuples(_FIELD, _FIELD), min_size=1), min_size=1))
def test_what_is_written_is_read_here_and_by_conllu(sentences):
    words = [[word for word, _ in sentence] for sentence in sentences]
    tags = [[tag for _, tag in sentence] for sentence in sentences]
    text = conllu(words, tags, column="xpos")
    file = parse_conllu(text, "a")
    assert (file.tokens, file.column(4)) == (words, tags)
    assert file.text() == text
    theirs = oracle.parse(text)
    assert [[token["form"] for token in one] for one in theirs] == words
    expected = [[None if tag == "_" else tag for tag in row] for row in tags]
    assert [[token["xpos"] for token in one] for one in theirs] == expected


def test_written_from_tokens():
    text = conllu([["a\tb", "c"]], [["X", ""]], texts=["a\tb\nc"])
    first, second = row("1", "a b", "_", "X"), row("2", "c")
    assert text == f"# text = a b c\n{first}\n{second}\n\n"
    assert columns([["a\tb", ""]], [["X", "Y"]]) == "a b\tX\n_\tY\n\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (row("3", "a", "b") + "\t_", "line 3 has 11 columns, and CoNLL-U 10"),
        ("3 a b", "line 3 has 1 column, and CoNLL-U 10 with a tab between them; put _ where"),
        (row("1", "a"), r"line 3 begins a sentence \(ID 1\); put a blank line before it"),
        (row("x", "a"), "line 3 has the ID 'x'"),
        (row("3", "a\0"), "line 3 has a NUL byte"),
    ],
)
def test_a_line_of_conllu_at_fault(line, says):
    text = f"{row('1', 'a')}\n{row('2', 'b')}\n{line}\n{row('4', 'd')}\n\n{row('1', 'c')}\n"
    with pytest.raises(DataError, match=f"^a.conllu {says}.*--bad-rows skip leaves"):
        parse_conllu(text, "a.conllu")
    file = parse_conllu(text, "a.conllu", Form(bad_rows="skip"))
    assert file.tokens == [["c"]]
    assert file.skipped == (3,)
    assert file.text() == text


def test_comments_without_words_are_no_sentence():
    text = f"# licence\n\n# sent_id = 1\n\n# text = a\n{row('1', 'a')}\n"
    file = parse_conllu(text, "a")
    assert [is_empty_sentence(block) for block in file.blocks] == [False, True, False]
    assert file.tokens == [["a"]]
    assert file.text() == text


# ------------------------------------------------------------------------------------------------
# Columns

ENG = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\n# # O O\n\n \nPeter NNP I-NP I-PER\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("between", ["\n", "\n \n", "\n\t\n", "\n\n\n"])
@pytest.mark.parametrize("delimiter", [" ", "\t", "  ", " \t"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n", "\n-DOCSTART- -X- O O\n"])
def test_columns_are_read_and_written_as_they_were(end, between, delimiter, last):
    text = ENG.rstrip("\n").replace(" ", delimiter).replace("\n\n", f"\n{between}") + last
    text = text.replace("\n", end)
    file = parse_columns(text, "eng.train")
    assert file.tokens == [["EU", "#"], ["Peter"]]
    assert file.column(3) == [["I-ORG", "O"], ["I-PER"]]
    assert file.names == ("1", "2", "3", "4")
    assert file.text() == text
    new = file.replaced(3, [["A", "B"], ["C"]])
    assert new.column(3) == [["A", "B"], ["C"]]
    assert new.replaced(3, file.column(3)).text() == text


def test_a_column_is_added_behind_the_others():
    file = parse_columns("a  X \r\nb\tY\n", "a")
    assert file.replaced(2, [["P", "Q"]]).text() == "a  X P \r\nb\tY\tQ\n"
    file = parse_columns("a\tX\nb\tY\n", "a")
    assert file.replaced(2, [["P", "Q"]]).text() == "a\tX\tP\nb\tY\tQ\n"


def test_documents_end_sentences_also_without_a_blank_line():
    text = "a O\n-DOCSTART- O\nb O\n"
    file = parse_columns(text, "a")
    assert file.tokens == [["a"], ["b"]]
    assert file.text() == text


def test_blanks_of_unicode_are_part_of_a_token():
    file = parse_columns("10\u00a0000 NUM\nкм NOUN\n\u2028x NOUN\n", "a")
    assert file.tokens == [["10\u00a0000", "км", "\u2028x"]]


def test_comments_are_no_tokens():
    text = "# id 8a4a domain=en\n# _ _ O\nb _ _ O\n\n# text = a b\n#a _ _ B-X\n#begin document x;\n"
    assert parse_columns(text, "a").tokens == [["#", "b"], ["#a"]]


def test_a_first_column_that_counts_is_none_of_tokens():
    text = "# sent_id = 1\n1\tEU\tB-ORG\t-\t-\n2\tis\tO\t-\t-\n\n1\t7\tO\t-\t-\n"
    assert parse_columns(text, "a.iob2").tokens == [["EU", "is"], ["7"]]
    assert parse_columns("0 a X\n1 b Y\n", "a").tokens == [["a", "b"]]
    assert parse_columns("1 X Y\n\n2 X Y\n", "a").tokens == [["1"], ["2"]]
    assert parse_columns("1 X\n2 Y\n", "a").tokens == [["1", "2"]]


def test_a_header_and_a_delimiter_as_they_were_said():
    file = parse_columns("word,tag\na b,X\n\nc,Y\n", "a", Form(header=True, delimiter=","))
    assert file.names == ("word", "tag")
    assert file.tokens == [["a b"], ["c"]]
    assert file.replaced(1, [["P"], ["Q"]]).text() == "word,tag\na b,P\n\nc,Q\n"
    told = parse_columns("Token POS Tag\nEU NN B-ORG\n", "a")
    assert (told.names, told.tokens) == (("Token", "POS", "Tag"), [["EU"]])
    assert len(parse_columns("a tag\nb X\n", "a", Form(header=False)).tokens[0]) == 2
    assert parse_columns("a\tb X\nc\td Y\n", "a", Form(delimiter="space")).names == tuple("123")


def test_a_line_of_columns_at_fault():
    text = "a X O\nb X O\nc O\n\nd X O\n"
    says = "^eng line 3 has 2 columns, 'c O', and most lines have 3; give each line the same"
    with pytest.raises(DataError, match=says):
        parse_columns(text, "eng")
    file = parse_columns(text, "eng", Form(bad_rows="skip"))
    assert (file.tokens, file.skipped, file.text()) == ([["d"]], (3,), text)
    with pytest.raises(DataError, match=r"^eng line 2 has a NUL byte"):
        parse_columns("a O\nb\0 O\n", "eng")


@pytest.mark.parametrize("text", ["-DOCSTART- O\n", "\n \n", "# text = a\n"])
def test_columns_without_tokens(text):
    with pytest.raises(DataError, match=re.escape("eng has no tokens")):
        parse_columns(text, "eng")


def test_prose_is_no_file_of_columns():
    text = "One two three.\nFour five.\nSix.\nOne two three four five.\nAnd so on, and so on.\n"
    with pytest.raises(DataError, match=r"^a\.txt has no token and tag on each line, but 1 to 6 w"):
        parse_columns(text, "a.txt")


# ------------------------------------------------------------------------------------------------
# Real files


def _treebanks(folder):
    for path in sorted((folder / "pos").iterdir()):
        data = path.read_bytes()
        yield path.name, gzip.decompress(data) if path.suffix == ".gz" else data


@pytest.mark.slow
def test_treebanks_are_read_as_by_conllu_and_written_byte_for_byte(shared_data):
    for name, data in _treebanks(shared_data):
        text = data.decode()
        file = parse_conllu(text, name, names=conllu_names(text))
        theirs = [[t for t in one if isinstance(t["id"], int)] for one in oracle.parse(text)]
        assert file.tokens == [[token["form"] for token in one] for one in theirs]
        assert file.column(3) == [[token["upos"] or "_" for token in one] for one in theirs]
        assert file.text().encode() == data
        assert file.replaced(3, file.column(3)).text() == text


def test_conll_2003_is_read_whole(shared_data):
    for name, sentences, tokens in [("eng.train", 14_041, 203_621), ("eng.testa", 3_250, 51_362)]:
        data = (shared_data / "ner" / name).read_bytes()
        file = parse_columns(data.decode(), name)
        assert (len(file.tokens), sum(map(len, file.tokens))) == (sentences, tokens)
        assert file.text().encode() == data
