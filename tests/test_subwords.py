"""Pieces of words: BPE and unigram, by themselves and in a classifier."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elman
from elman.cli.app import run
from elman.errors import ConfigError, DataError
from elman.tasks.classify.options import ClassifyOptions, settle
from elman.text.tokenizer import NAMES, fit_tokenizer, load_tokenizer, words
from elman.text.vocabulary import PADDING, UNKNOWN, UNKNOWN_ID

LEVELS = ("bpe", "unigram")
TEXTS = [
    f"{a} {thing}"
    for thing in ("фильм", "книга", "обед", "отель", "song", "film")
    for a in ("хороший", "хорошая", "отличный", "плохой", "плохая", "ужасный", "good", "bad")
]
LABELS = ["pos", "pos", "pos", "neg", "neg", "neg", "pos", "neg"] * 6
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
PLAIN_TEXT = st.text(st.sampled_from("аябеёжo hl1!?,@#'-😀\n"), max_size=30)


def fitted(level, texts, **options):
    return fit_tokenizer(texts, level=level, **{"min_count": 1, **options})


@pytest.mark.parametrize("level", LEVELS)
def test_pieces_are_parts_of_words(level):
    tokenizer = fitted(level, TEXTS, vocab_size=60)
    text = "Плохие отели, ХОРОШИЙ обед"
    pieces = tokenizer.split(text)
    assert "".join(pieces) == text.replace(" ", "")
    assert len(words(text)) < len(pieces) < len("".join(pieces))
    assert tokenizer.encode([text]).lengths.tolist() == [len(pieces)]


@pytest.mark.parametrize("level", LEVELS)
def test_frequent_words_become_one_piece(level):
    tokenizer = fitted(level, TEXTS * 9, vocab_size=400)
    assert tokenizer.split("Хороший фильм") == ["Хороший", "фильм"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", [3, 12, 50])
def test_the_vocabulary_is_bounded(level, size):
    tokenizer = fitted(level, TEXTS, vocab_size=size)
    assert 2 < tokenizer.vocab_size <= size
    assert set(tokenizer.encode(TEXTS).values.tolist()) <= set(range(1, size))


@pytest.mark.parametrize("level", LEVELS)
def test_unseen_and_rare_characters_are_unknown(level):
    tokenizer = fitted(level, ["aa ab ab b ж"], min_count=2)
    assert tokenizer.encode(["ж", "我能吞"]).values.tolist() == [UNKNOWN_ID] * 2
    ids = tokenizer.encode(["a", "b"]).values.tolist()
    assert UNKNOWN_ID not in ids
    assert len(set(ids)) == 2


@pytest.mark.parametrize("level", LEVELS)
def test_special_entries_cannot_be_written_in_a_text(level):
    text = f"{PADDING} {UNKNOWN} a"
    tokenizer = fitted(level, [text])
    assert {0, UNKNOWN_ID}.isdisjoint(tokenizer.encode([text]).values.tolist())
    assert tokenizer.split(text)[0].startswith("<")


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_to_learn_from(level):
    tokenizer = fitted(level, ["", " "])
    assert tokenizer.vocab_size == 2
    assert tokenizer.encode(["", "слово"]).values.tolist() == [UNKNOWN_ID]
    assert len(tokenizer.encode([])) == 0


@pytest.mark.parametrize("level", LEVELS)
def test_long_texts_are_cut_at_their_end_and_counted(level):
    tokenizer = fitted(level, TEXTS, vocab_size=40, max_length=3)
    encoded = tokenizer.encode(["плохой отличный ужасный", "о", ""])
    assert encoded.lengths.tolist() == [3, 1, 0]
    assert encoded.truncated_rows == [0]
    assert len(tokenizer.split("плохой отличный ужасный")) == 3


@pytest.mark.parametrize("level", LEVELS)
def test_forms_and_unseen_marks_change_nothing(level):
    tokenizer = fitted(level, ["йод café хороший"] * 3)
    texts = ["Йод café хороший", "И\u0306од cafe\u0301 хо\u00adроший"]
    one = tokenizer.encode(texts).values
    half = len(one) // 2
    assert one[:half].tolist() == one[half:].tolist()
    assert UNKNOWN_ID not in one


@pytest.mark.parametrize("level", LEVELS)
def test_a_letter_that_becomes_two(level):
    """Its second piece is empty, so that every piece is found from left to right."""
    tokenizer = fitted(level, ["क", "\u093c", "а"] * 3)
    text = "а\u0958а"
    pieces = tokenizer.split(text)
    assert "".join(pieces) == text
    assert tokenizer.encode([text]).lengths.tolist() == [len(pieces)]


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=40)
@given(st.lists(ANY_TEXT, max_size=4), st.lists(ANY_TEXT, max_size=4))
def test_any_texts_round_trip(level, seen, unseen):
    tokenizer = fitted(level, seen, max_length=9, vocab_size=30)
    data = tokenizer.to_json()
    again = load_tokenizer(data)
    assert again.to_json() == data
    assert (again.level, again.max_length) == (level, 9)
    texts = [*seen, *unseen]
    first, second = tokenizer.encode(texts), again.encode(texts)
    assert first.values.tolist() == second.values.tolist()
    assert first.truncated_rows == second.truncated_rows
    assert set(first.values.tolist()) <= set(range(1, tokenizer.vocab_size))
    for text, length in zip(texts, first.lengths, strict=True):
        pieces, end = tokenizer.split(text), 0
        assert len(pieces) == length <= 9
        [text] = elman.text.cleaning.without_surrogates([text])
        for piece in pieces:
            end = text.index(piece, end) + len(piece)


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=40)
@given(PLAIN_TEXT, PLAIN_TEXT)
def test_joined_pieces_are_the_text_without_blanks(level, seen, unseen):
    tokenizer = fitted(level, [seen], vocab_size=25)
    for text in (seen, unseen):
        assert "".join(tokenizer.split(text)) == re.sub(r"\s", "", text)


@pytest.mark.parametrize("level", LEVELS)
def test_the_same_texts_give_the_same_vocabulary(level):
    """In any order, and in another process, whose hash tables have another order."""
    data = fitted(level, TEXTS, vocab_size=80).to_json()
    assert fitted(level, TEXTS[::-1], vocab_size=80).to_json() == data
    code = (
        "import json, sys; from elman.text.tokenizer import fit_tokenizer\n"
        f"made = fit_tokenizer(json.load(sys.stdin), level={level!r}, min_count=1, vocab_size=80)\n"
        "sys.stdout.buffer.write(made.to_json())"
    )
    given = json.dumps(TEXTS).encode()
    done = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, check=True
    )
    assert done.stdout == data


def test_a_damaged_file_is_refused_by_name():
    data = fitted("bpe", TEXTS).to_json().replace(b'"merges"', b'"margins"')
    with pytest.raises(DataError, match=r"^x\.json is not a tokenizer"):
        load_tokenizer(data, source="x.json")


# In a classifier


@pytest.mark.parametrize("level", LEVELS)
def test_pieces_are_settled_as_words_without_their_spelling(level):
    by_word = settle(ClassifyOptions(tokens="words"), level="words", count=500)
    pieces = settle(ClassifyOptions(tokens=level), level=level, count=500)
    assert (pieces.vocab_size, pieces.subwords, pieces.max_length) == (4_000, 0, 384)
    assert by_word.vocab_size is None
    for name in ("hidden_size", "epochs", "pooling", "r_drop", "learning_rate", "pairs"):
        assert getattr(pieces, name) == getattr(by_word, name)


@pytest.mark.parametrize("tokens", ["auto", "characters", "words"])
def test_a_size_without_pieces_is_refused(tokens):
    with pytest.raises(ConfigError, match="vocab_size is 99, but it is for pieces of words alone"):
        ClassifyOptions(tokens=tokens, vocab_size=99)


def test_spelling_of_pieces_is_refused():
    with pytest.raises(ConfigError, match=r"reads subwords \(BPE\); add --tokens words"):
        settle(ClassifyOptions(tokens="bpe", subwords=64), level="bpe", count=500)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{text}\t{label}\n" for text, label in zip(TEXTS, LABELS, strict=True)]
    Path("reviews.tsv").write_text("".join(rows), encoding="utf-8")
    return tmp_path


SMALL = ("--hidden-size", "4", "--epochs", "2", "--min-count", "1", "--vocab-size", "60")


@pytest.mark.parametrize("level", LEVELS)
def test_a_model_by_pieces_from_the_command_line(here, level, capsys):
    assert run(["train", "reviews.tsv", "-o", "model", "--tokens", level, *SMALL]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"{elman.load('model').tokenizer.vocab_size} {NAMES[level]}" in said
    assert f"reads {NAMES[level]} and answers" in Path("model/README.md").read_text("utf-8")
    model = elman.load("model")
    assert model.tokenizer.level == level
    assert model.tokenizer.vocab_size <= 60
    assert NAMES[level] in model._repr_html_()
    assert run(["predict", "model", "Плохая книга", "--steps", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert "".join(step["token"] for step in row["steps"]) == "Плохаякнига"
    np.testing.assert_allclose(
        model.steps("Плохая книга")[-1].probabilities,
        model.predict_proba(["Плохая книга"])[0],
        rtol=1e-5,
    )


def test_going_on_from_a_model_by_pieces(here):
    options = {"hidden_size": 4, "epochs": 1, "linear": "off", "progress": False}
    first = elman.train("reviews.tsv", tokens="bpe", vocab_size=60, min_count=1, **options)
    first.model.save("first")
    again = elman.train("reviews.tsv", init="first", epochs=1, linear="off", progress=False)
    assert again.model.tokenizer.to_json() == first.model.tokenizer.to_json()


def test_word_vectors_are_refused(here, capsys):
    Path("vectors.txt").write_text("1 2\nхороший 1 2\n", encoding="utf-8")
    command = ["train", "reviews.tsv", "--tokens", "bpe", "--vectors", "vectors.txt"]
    assert run(command) == 2
    assert "this one reads subwords (BPE); add" in " ".join(capsys.readouterr().err.split())
