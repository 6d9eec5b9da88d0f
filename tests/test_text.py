"""Texts become numbers: any script, nothing crashes, and the same again from JSON."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import ConfigError, DataError
from elman.text import tokenizer as tokenizers
from elman.text.tokenizer import (
    CharacterTokenizer,
    WordTokenizer,
    choose_level,
    fit_tokenizer,
    load_tokenizer,
)
from elman.text.vocabulary import PADDING, UNKNOWN, UNKNOWN_ID, Vocabulary

LEVELS = ("characters", "words")
SCRIPTS = {
    "Russian": "Съешь же ещё этих мягких французских булок",
    "Greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "Chinese": "我能吞下玻璃而不伤身体",
    "Hindi": "मैं काँच खा सकता हूँ",
    "Arabic": "أنا قادر على أكل الزجاج",
    "Thai": "ฉันกินกระจกได้",
    "emoji": "yes 👍🏽 👩‍👩‍👧 🇷🇺 ok",
    "beyond the BMP": "𝔘𝔫𝔦 𐍈 𠮷",
}
# Lone halves of pairs too: Python's strings can hold them.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


def fitted(level, texts, **options):
    return fit_tokenizer(texts, level=level, **{"min_count": 1, **options})


def rows_of(encoded):
    return [row.tolist() for row in np.split(encoded.values, np.cumsum(encoded.lengths)[:-1])]


# Vocabulary


def test_vocabulary_orders_by_count_and_then_by_token():
    vocabulary = Vocabulary.from_counts({"b": 2, "a": 2, "c": 9, "rare": 1}, min_count=2)
    assert vocabulary.tokens == (PADDING, UNKNOWN, "c", "a", "b")
    assert [vocabulary["c"], vocabulary["rare"], vocabulary["never"]] == [2, UNKNOWN_ID, UNKNOWN_ID]
    assert "a" in vocabulary
    assert "rare" not in vocabulary


def test_vocabulary_is_bounded_with_the_special_entries():
    vocabulary = Vocabulary.from_counts({"a": 3, "b": 2, "c": 1}, max_size=4)
    assert vocabulary.tokens == (PADDING, UNKNOWN, "a", "b")


@pytest.mark.parametrize("tokens", [["a", "b"], [UNKNOWN, PADDING], [PADDING, UNKNOWN, "a", "a"]])
def test_vocabulary_refuses_what_it_cannot_number(tokens):
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary(tokens)


# Both tokenizers


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_known_texts_have_no_unknown_token(level, script):
    text = SCRIPTS[script]
    tokenizer = fitted(level, [text])
    encoded = tokenizer.encode([text])
    assert UNKNOWN_ID not in encoded.values
    assert encoded.lengths.tolist() == [len(tokenizer.split(text))]
    # The same piece has the same number, and another piece another.
    pieces = [piece.lower() if level == "words" else piece for piece in tokenizer.split(text)]
    assert len({*zip(pieces, encoded.values.tolist(), strict=True)}) == len(set(pieces))


@pytest.mark.parametrize("level", LEVELS)
def test_forms_of_one_text_are_one(level):
    composed, decomposed = "Йод Café ẹ̈", unicodedata.normalize("NFD", "Йод Café ẹ̈")
    assert composed != decomposed
    tokenizer = fitted(level, [decomposed])
    assert rows_of(tokenizer.encode([composed])) == rows_of(tokenizer.encode([decomposed]))
    assert UNKNOWN_ID not in tokenizer.encode([composed]).values


def test_neighbours_do_not_compose():
    """A combining mark at the start of a text belongs to no letter of the text before it."""
    tokenizer = fitted("characters", ["e", "\u0301"])
    assert tokenizer.encode(["e", "\u0301", "e"]).lengths.tolist() == [1, 1, 1]


@pytest.mark.parametrize("level", LEVELS)
def test_empty_texts_have_no_tokens(level):
    tokenizer = fitted(level, ["", "a b", ""])
    encoded = tokenizer.encode(["", "a", "", ""])
    assert encoded.lengths.tolist() == [0, 1, 0, 0]
    assert len(tokenizer.encode([])) == 0
    assert len(tokenizer.encode([]).values) == 0
    assert tokenizer.split("") == []


@pytest.mark.parametrize("level", LEVELS)
def test_unseen_and_rare_tokens_are_unknown(level):
    tokenizer = fitted(level, ["a", "b", "a"], min_count=2)
    assert tokenizer.encode(["b", "ж", "a"]).values.tolist()[:2] == [UNKNOWN_ID] * 2
    assert tokenizer.encode(["a"]).values.tolist() == [2]


@pytest.mark.parametrize("level", LEVELS)
def test_special_entries_cannot_be_written_in_a_text(level):
    tokenizer = fitted(level, [f"{PADDING} {UNKNOWN} a"])
    assert 0 not in tokenizer.encode([f"{PADDING} {UNKNOWN}"]).values
    assert UNKNOWN_ID not in tokenizer.encode([f"{PADDING} {UNKNOWN}"]).values


@pytest.mark.parametrize("level", LEVELS)
def test_long_texts_are_cut_at_their_end_and_counted(level):
    texts = ["a b c d", "a b", "d c b a"]
    tokenizer = fitted(level, texts, max_length=3)
    whole = fitted(level, [text[: 3 if level == "characters" else 5] for text in texts])
    encoded = tokenizer.encode(texts)
    # "a b" is three characters and two words.
    assert encoded.lengths.tolist() == ([3, 3, 3] if level == "characters" else [3, 2, 3])
    assert encoded.truncated == 2
    assert tokenizer.vocab_size == whole.vocab_size  # what is cut off makes no entry
    assert all(len(tokenizer.split(text)) <= 3 for text in texts)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("text", ["\ud83d", "a\udc00b", "\udcff\udcfe", "ж \ud800 ж"])
def test_lone_surrogates_are_bad_text_and_no_crash(level, text):
    tokenizer = fitted(level, [text, "a b ж"])
    encoded = tokenizer.encode([text])
    assert len(encoded.values) == len(tokenizer.split(text)) == encoded.lengths[0]
    again = load_tokenizer(tokenizer.to_json())
    assert again.encode([text]).values.tolist() == encoded.values.tolist()
    assert again.vocab_size == tokenizer.vocab_size


@pytest.mark.parametrize("level", LEVELS)
@given(st.lists(ANY_TEXT, max_size=6), st.lists(ANY_TEXT, max_size=6))
def test_any_texts_round_trip(level, seen, unseen):
    tokenizer = fitted(level, seen, max_length=9)
    data = tokenizer.to_json()
    again = load_tokenizer(data)
    assert again.to_json() == data
    assert (again.level, again.max_length) == (level, 9)
    first, second = tokenizer.encode([*seen, *unseen]), again.encode([*seen, *unseen])
    assert first.values.tolist() == second.values.tolist()
    assert first.lengths.tolist() == second.lengths.tolist()
    assert first.truncated == second.truncated
    assert len(first) == len(seen) + len(unseen)
    assert first.lengths.sum() == len(first.values)
    assert first.lengths.max(initial=0) <= 9
    assert set(first.values.tolist()) <= set(range(1, tokenizer.vocab_size))
    for text, length in zip([*seen, *unseen], first.lengths, strict=True):
        assert len(tokenizer.split(text)) == length


@pytest.mark.parametrize("level", LEVELS)
def test_one_by_one_is_as_together(level, monkeypatch):
    """Across the borders of chunks, with a text cut and one decomposed in the middle."""
    monkeypatch.setattr(tokenizers, "CHUNK_CHARACTERS", 20)
    monkeypatch.setattr(tokenizers, "CHUNK_TEXTS", 3)
    texts = ["one two", "", "three" * 9, "cafe\u0301", "", "x" * 40, "four five six", "ж", ""] * 3
    tokenizer = fitted(level, texts, max_length=30)
    together = rows_of(tokenizer.encode(texts))
    assert together == [tokenizer.encode([text]).values.tolist() for text in texts]
    assert tokenizer.encode(texts).truncated == (6 if level == "characters" else 0)
    monkeypatch.undo()
    assert fitted(level, texts, max_length=30).to_json() == tokenizer.to_json()


@pytest.mark.parametrize("level", LEVELS)
def test_fit_does_not_depend_on_the_order_of_texts(level):
    texts = [f"{a} {b} common" for a in "abc" for b in "def"]
    assert fitted(level, texts).to_json() == fitted(level, texts[::-1]).to_json()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["min_count", "max_length"])
def test_numbers_under_one_are_refused(level, name):
    with pytest.raises(ConfigError, match=f"{name} is 0; it must be 1 or more"):
        fit_tokenizer(["a"], level=level, **{name: 0})


# Each by itself


def test_characters_are_code_points_in_form_c():
    tokenizer = CharacterTokenizer.fit(["абв"])
    assert tokenizer.split("и\u0306👍") == ["й", "👍"]


def test_words_hold_together_what_belongs_together():
    tokenizer = WordTokenizer.fit(["a"])
    text = "Don't @user_1 #Tag https://x.org/a?b=1 self-made 3.14 ok!!👍"
    assert tokenizer.split(text) == [
        "Don't",
        "@user_1",
        "#Tag",
        "https://x.org/a?b=1",
        "self-made",
        "3",
        ".",
        "14",
        "ok",
        "!",
        "!",
        "👍",
    ]


def test_words_are_one_whatever_their_case():
    tokenizer = WordTokenizer.fit(["Привет ПРИВЕТ"], min_count=2)
    [[first], [second]] = rows_of(tokenizer.encode(["привет", "ПрИвЕт"]))
    assert first == second != UNKNOWN_ID


def test_the_vocabulary_of_words_is_bounded():
    tokenizer = WordTokenizer.fit(["a a a b b c"], min_count=1, max_size=4)
    assert tokenizer.vocab_size == 4
    assert tokenizer.encode(["a b c"]).values.tolist() == [2, 3, UNKNOWN_ID]


def test_a_text_of_a_million_characters():
    text = "слово " * 166_667
    for level in LEVELS:
        tokenizer = fitted(level, [text])
        encoded = tokenizer.encode([text])
        assert encoded.truncated == 1
        assert encoded.lengths.tolist() == [tokenizer.max_length]


# Loading


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"level": "syllables", "max_length": 3}',
        b'{"level": "characters", "max_length": 3}',
        b'{"level": "characters", "max_length": 3, "tokens": ["<pad>", "<unk>", "a", "a"]}',
        b'{"level": "words", "max_length": 3, "words": {}}',
        b'{"level": "words", "max_length": 3, "surprise": 1}',
    ],
)
def test_a_foreign_tokenizer_is_refused_by_name(data):
    with pytest.raises(DataError, match=r"^some/tokenizer\.json is not a tokenizer"):
        load_tokenizer(data, source="some/tokenizer.json")


# Choosing


@pytest.mark.parametrize(
    ("texts", "level"),
    [
        (["Ivanov", "Schmidt"], "characters"),
        (["a sentence of some eight words, as people write them"] * 3, "words"),
        (["Довольно длинное предложение на русском языке, слов в нём много"], "words"),
        (["我能吞下玻璃而不伤身体" * 6], "characters"),
        ([], "characters"),
        ([""], "characters"),
        (["ACGT" * 20], "characters"),
    ],
)
def test_level_follows_from_the_texts(texts, level):
    assert choose_level(texts) == level


def test_level_is_judged_on_texts_from_all_over():
    """A file sorted by length must not be judged by its beginning."""
    texts = ["short"] * 11_000 + ["quite a long sentence of many words, again and again"] * 15_000
    assert choose_level(texts) == "words"
