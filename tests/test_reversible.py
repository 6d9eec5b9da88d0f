"""Tokenizers that turn ids back into the text: round trips, counts, what is saved."""

import gzip
import json
import os
import re
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.stream import read_stream
from elman.errors import ConfigError, DataError
from elman.text.tokenizer.reversible import (
    CODINGS,
    END_ID,
    UNKNOWN_ID,
    encode_stream,
    fit_coder,
    load_coder,
)

LEVELS = [*CODINGS]
PROSE = (
    "Он сказал: «Да-да, это д'Артаньян!» — и ушёл.\n"
    "\tI can't, won't  pay $1,000.50 (e.g. _this_ or snake_case)…\n"
    "\n👩‍👩‍👧 🇷🇺🇫🇷 👍🏽 1️⃣ हिन्दी 漢字かな ok\u00a0x \u2028 \r\n"
)
# Lone surrogates can be in no file; what becomes of them is told by itself.
texts = st.text(st.characters(exclude_categories=("Cs",)))
words = st.lists(
    st.sampled_from(
        [" ", "  ", "\n", "\t", "a", "é", "don't", "x-y", "_", ",", "ё", "👍🏽", "漢", "7"]
    )
).map("".join)


def fitted(*pieces, level, **options):
    return fit_coder(lambda: pieces, level=level, **{"min_count": 1, **options})


def normal(text):
    return unicodedata.normalize("NFC", text)


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


# --- there and back


@given(st.sampled_from(LEVELS), st.one_of(texts, words))
def test_what_was_learnt_from_comes_back(level, text):
    coder = fitted(text, level=level)
    ids = coder.encode(text)
    assert ids.dtype == np.int32
    assert ids.ndim == 1
    assert ((ids > UNKNOWN_ID) & (ids < coder.vocab_size)).all()
    expected = text if level in ("bytes", "bpe") else normal(text)
    assert coder.decode(ids) == expected == coder.decode(ids.tolist())


@given(st.sampled_from(["bytes", "bpe"]), texts)
def test_bytes_give_any_text_back_whatever_they_were_learnt_from(level, text):
    coder = BYTE_LEVEL[level]
    ids = coder.encode(text)
    assert coder.decode(ids) == text
    assert UNKNOWN_ID not in ids


BYTE_LEVEL = {level: fitted(PROSE * 3, level=level) for level in ("bytes", "bpe")}


@given(st.one_of(texts, words))
def test_words_come_back_but_for_unknown_ones(text):
    coder = WORDS
    ids = coder.encode(text)
    pieces = coder._find(normal(text))
    assert "".join(pieces) == normal(text)
    known = [p if i != UNKNOWN_ID else "\ufffd" for p, i in zip(pieces, ids, strict=True)]
    assert coder.decode(ids) == "".join(known)


WORDS = fitted(PROSE, "don't x-y, a é ё 漢 7\n", level="words")


@given(st.sampled_from(LEVELS), texts, texts)
def test_a_text_cut_at_a_line_end_gives_the_same_ids(level, first, second):
    first += "\n"
    coder = fitted(PROSE, first, second, level=level)
    parts = [coder.encode(part) for part in (first, second)]
    assert np.concatenate(parts).tolist() == coder.encode(first + second).tolist()


@given(st.sampled_from(LEVELS), st.text())
def test_no_text_is_refused(level, text):
    coder = fitted(PROSE, level=level)
    ids = coder.encode(text)
    assert isinstance(coder.decode(ids), str)
    assert (len(ids) == 0) == (text == "")


def test_a_lone_surrogate_is_unknown_or_u_fffd(level):
    coder = fitted("ab", level=level)
    assert coder.decode(coder.encode("a\ud800")) in ("a\ufffd", "\ufffd")


def test_learning_from_nothing_leaves_all_unknown():
    for level in ("characters", "words"):
        coder = fitted(level=level)
        assert coder.vocab_size == 2
        assert coder.encode("ab ab").tolist() == [UNKNOWN_ID] * len(coder.encode("ab ab"))


# --- special tokens


def test_the_end_is_written_as_nothing_and_the_unknown_as_u_fffd(level):
    coder = fitted("one two", level=level)
    ids = [END_ID, *coder.encode("one").tolist(), UNKNOWN_ID, END_ID]
    assert coder.decode(ids) == "one\ufffd"
    assert coder.decode([]) == ""
    assert coder.token(END_ID) == "<end>"
    assert coder.token(UNKNOWN_ID) == "<unk>"


def test_names_of_special_tokens_in_a_text_are_text(level):
    text = "<unk> <end> <pad>\n"
    coder = fitted(text, level=level)
    ids = coder.encode(text)
    assert ids.min() > UNKNOWN_ID
    assert coder.decode(ids) == text


def test_bytes_that_are_no_utf8_are_written_as_u_fffd():
    for level in ("bytes", "bpe"):
        coder = fitted("é", level=level, min_count=9)
        first, second = coder.encode("é")
        assert coder.decode([first]) == "\ufffd"
        assert coder.decode([second, first, second]) == "\ufffdé"
        assert coder.token(first) == r"\xc3"


def test_tokens_are_shown_with_their_blanks():
    assert [WORDS.token(i) for i in WORDS.encode("Он ушёл.\n")] == ["Он", " ушёл", ".", "\n"]
    coder = fitted("ab", level="characters")
    assert [coder.token(i) for i in coder.encode("ab")] == ["a", "b"]
    assert [BYTE_LEVEL["bytes"].token(i) for i in BYTE_LEVEL["bytes"].encode("a\n")] == ["a", "\n"]
    assert BYTE_LEVEL["bytes"].vocab_size == 258


# --- words


def shown(text, **options):
    coder = fitted(text, level="words", **options)
    return [coder.token(i) for i in coder.encode(text)]


def test_words_of_running_text():
    assert shown(PROSE) == [
        *("Он", " сказал", ":", " «", "Да-да", ",", " это", " д'Артаньян", "!", "»", " —", " и"),
        *(" ушёл", ".", "\n", "\t", "I", " can't", ",", " won't", "  ", "pay", " $", "1", ","),
        *("000", ".", "50", " (", "e", ".", "g", ".", " _", "this", "_", " or", " snake_case"),
        *(")", "…", "\n", "\n", "👩‍👩‍👧", " 🇷🇺", "🇫🇷", " 👍🏽", " 1️⃣", " हिन्दी", " 漢", "字", "か"),
        *("な", " ok", "\u00a0", "x", " \u2028 \r", "\n"),
    ]


def test_text_that_is_cut_already_is_cut_at_blanks_alone():
    text = " the u.s. company 's <unk> said it does n't , $ N \n no it was n't \n"
    assert shown(text) == [
        *(" the", " u.s.", " company", " 's", " <unk>", " said", " it", " does", " n't", " ,"),
        *(" $", " N", " \n", " no", " it", " was", " n't", " \n"),
    ]
    coder = fitted(text, level="words")
    # A prompt does not begin with a blank, as lines of such a file do.
    assert coder.encode("the company").tolist() == coder.encode(" the company").tolist()
    assert load_coder(coder.to_json()).is_cut


@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        ("one, two; three", False),
        ("one , two ; three", True),
        ("one two three", True),
        ("one, two , three", False),
        ("He said , `` well, no '' , and went , so", True),
    ],
)
def test_whether_a_text_is_cut_is_told_from_its_marks(text, is_cut):
    assert fitted(text, level="words").is_cut is is_cut


def test_rare_words_are_unknown_and_the_vocabulary_is_bounded():
    coder = fit_coder(lambda: ["a, b, a, c, b, a"], level="words")
    assert [coder.token(i) for i in range(coder.vocab_size)] == ["<end>", "<unk>", ",", " a", " b"]
    coder = fit_coder(lambda: ["a, b, a, c, b, a"], level="words", vocab_size=3)
    assert [coder.token(i) for i in range(coder.vocab_size)] == ["<end>", "<unk>", ","]
    cut = " a <unk> b \n"  # its rare words are gone already
    assert fit_coder(lambda: [cut], level="words").decode([2, 3, 4, 5]) == " \n <unk> a b"


# --- the others


def test_characters_are_counted_over_many_short_pieces():
    names = ["Ёж", "й", "😀"] * 10_000
    coder = fit_coder(lambda: names, level="characters")
    assert [coder.token(i) for i in range(2, coder.vocab_size)] == ["Ё", "ж", "й", "😀"]
    assert fit_coder(lambda: ["aab"], level="characters", min_count=2).encode("ab").tolist() == [
        2,
        UNKNOWN_ID,
    ]
    assert fit_coder(lambda: ["aab"], level="characters", vocab_size=3).vocab_size == 3


def test_bpe_has_as_many_entries_as_asked_for_and_merges_words_with_their_blank():
    coder = fitted("the cat sat on the mat\n" * 50, level="bpe", vocab_size=270)
    assert coder.vocab_size == 270
    assert " the" in [coder.token(i) for i in range(coder.vocab_size)]
    assert not [t for i in range(270) if "\n" in (t := coder.token(i)) and t != "\n"]


def test_bpe_is_the_same_in_every_process():
    program = (
        "import hashlib; from elman.text.tokenizer.reversible import fit_coder\n"
        f"text = {PROSE * 5!r}\n"
        "coder = fit_coder(lambda: [text], level='bpe', vocab_size=300)\n"
        "print(hashlib.sha256(coder.to_json()).hexdigest())"
    )
    ran = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in (1, 2)
    ]
    assert ran[0] == ran[1] != ""


# --- saved


def test_a_saved_coder_is_the_same(level):
    coder = fitted(PROSE * 3, level=level)
    again = load_coder(coder.to_json())
    assert again.level == level == coder.level
    assert again.vocab_size == coder.vocab_size
    assert again.to_json() == coder.to_json()
    other = PROSE[::-1]
    assert again.encode(other).tolist() == coder.encode(other).tolist()
    assert [*map(again.token, range(coder.vocab_size))] == [
        *map(coder.token, range(coder.vocab_size))
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"coding": "letters"}',
        b'{"level": "words", "max_length": 256, "tokens": ["<pad>", "<unk>", "a"]}',
        b'{"coding": "characters", "tokens": ["ab"]}',
        b'{"coding": "characters", "tokens": ["a", "a"]}',
        b'{"coding": "words", "tokens": ["a", "a"]}',
        b'{"coding": "bpe"}',
        json.dumps({"coding": "bpe", "pieces": {"model": {"type": "BPE"}}}).encode(),
    ],
)
def test_what_elman_did_not_write_is_refused(data):
    with pytest.raises(DataError, match=r"x\.json is not a tokenizer that Elman wrote"):
        load_coder(data, source="x.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "words", "min_count": 0}, "min_count is 0; it must be 1 or more"),
        ({"level": "words", "vocab_size": 2}, "vocab_size is 2; it must be 3 or more"),
        ({"level": "bpe", "vocab_size": 257}, "the bytes alone are 258 entries"),
        ({"level": "unigram"}, "there are no tokens 'unigram'; there are characters, bytes"),
    ],
)
def test_numbers_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        fit_coder(lambda: ["a"], **options)


# --- whole texts


@pytest.mark.parametrize(("size", "dtype"), [(200, "uint8"), (300, "uint16"), (70_000, "uint32")])
def test_a_stream_has_the_smallest_type(size, dtype):
    letters = "".join(chr(0x20000 + i) for i in range(size - 2))
    coder = fitted(letters, level="characters")
    ids = encode_stream(coder, [letters[:100], "", letters[100:]])
    assert ids.dtype == dtype
    assert ids.tolist() == coder.encode(letters).tolist()
    assert len(encode_stream(coder, [])) == 0


@pytest.mark.slow
def test_the_penn_treebank_has_its_words(shared_data):
    train = read_stream(shared_data / "wordlm" / "ptb.train.txt.gz")
    valid = read_stream(shared_data / "wordlm" / "ptb.valid.txt")
    coder = fit_coder(train.pieces, level="words")
    assert coder.vocab_size == 10_000 + 2
    for part, count in ((train, 929_589), (valid, 73_760)):
        ids = encode_stream(coder, part.pieces())
        assert len(ids) == count
        assert ids.min() > UNKNOWN_ID
        assert coder.decode(ids) == "".join(part.pieces())
    with gzip.open(shared_data / "wordlm" / "ptb.train.txt.gz", "rt") as file:
        assert "".join(train.pieces()) == file.read()
