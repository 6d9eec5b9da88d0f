"""Texts as n-grams: the figures are scikit-learn's, and any string has some."""

import zlib
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.preprocessing import normalize

from elman.errors import ConfigError
from elman.text.cleaning import normalise, without_surrogates
from elman.text.ngrams import (
    HASHED,
    NGramVectoriser,
    SavedVectoriser,
    VectoriserConfig,
    character_ngrams,
    stacked,
)
from elman.text.subwords import spelling
from elman.text.tokenizer import WordTokenizer, fit_tokenizer, words

TEXTS = [
    "Мне не нравится, не нравится!",
    "It's not good, not good at all",
    "",
    "ёж и ЁЖ, и ё",
    "  \t ",
    "a aa aaa 👍🏽 good",
    "Straße İstanbul 我能 не",
]
UNSEEN = ["не знаю good", "", "совсем другое"]
UNITS = {"characters": 5, "words": 2}
WEIGHTINGS = ("counts", "binary", "tfidf", "hashing")
# Lone halves of pairs too: Python's strings can hold them.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


def prepared(text):
    return normalise(without_surrogates([text])[0].lower())


def theirs(unit, weighting):
    """scikit-learn's vectoriser; by words it cuts texts as ours does."""
    kind = TfidfVectorizer if weighting == "tfidf" else CountVectorizer
    kept = {"sublinear_tf": True} if weighting == "tfidf" else {"binary": weighting == "binary"}
    kept |= {"ngram_range": (1, UNITS[unit]), "lowercase": False, "dtype": np.float64}
    if unit == "words":
        cut = {"tokenizer": words, "token_pattern": None}
        return kind(**cut, preprocessor=lambda text: without_surrogates([text])[0], **kept)
    return kind(analyzer="char_wb", preprocessor=prepared, **kept)


def ours(unit, weighting):
    return VectoriserConfig(unit=unit, longest=UNITS[unit], weighting=weighting)


def dense(rows, width):
    ends = np.concatenate([[0], np.cumsum(rows.lengths)])
    return csr_matrix((rows.values, rows.columns, ends), shape=(len(rows), width)).toarray()


@pytest.mark.parametrize("min_texts", [1, 2])
@pytest.mark.parametrize("weighting", ["counts", "binary", "tfidf"])
@pytest.mark.parametrize("unit", UNITS)
def test_the_figures_are_those_of_scikit_learn(unit, weighting, min_texts):
    oracle = theirs(unit, weighting).set_params(min_df=min_texts).fit(TEXTS)
    vectoriser = NGramVectoriser.fit(ours(unit, weighting), TEXTS, min_texts=min_texts)
    assert list(vectoriser.entries) == oracle.get_feature_names_out().tolist()
    for texts in (TEXTS, UNSEEN):
        found = dense(vectoriser.transform(texts), len(vectoriser))
        np.testing.assert_allclose(found, oracle.transform(texts).toarray(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("unit", UNITS)
def test_hashing_adds_the_counts_that_share_a_column_and_scales_the_row(unit):
    counts = theirs(unit, "counts").fit([*TEXTS, *UNSEEN])
    expected = np.zeros((len(UNSEEN), HASHED))
    table = counts.transform(UNSEEN).toarray()
    for column, ngram in enumerate(counts.get_feature_names_out()):
        expected[:, zlib.crc32(ngram.encode()) % HASHED] += table[:, column]
    vectoriser = NGramVectoriser.fit(ours(unit, "hashing"), TEXTS)
    found = dense(vectoriser.transform(UNSEEN), len(vectoriser))
    np.testing.assert_allclose(found, normalize(expected), rtol=1e-5)
    assert len(msgspec.json.encode(vectoriser.saved())) < 200


@given(st.lists(ANY_TEXT, max_size=4), st.lists(ANY_TEXT, max_size=4))
def test_any_string_has_the_n_grams_that_scikit_learn_finds(texts, others):
    known = ["ё ёж", *texts]  # an empty vocabulary is an error of theirs
    for unit in UNITS:
        oracle = theirs(unit, "tfidf").fit(known)
        vectoriser = NGramVectoriser.fit(ours(unit, "tfidf"), known)
        found = dense(vectoriser.transform([*others, ""]), len(vectoriser))
        expected = oracle.transform([*others, ""]).toarray()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@given(st.lists(ANY_TEXT, max_size=4), ANY_TEXT)
def test_every_column_of_a_text_has_a_name(texts, other):
    for unit in UNITS:
        for weighting in WEIGHTINGS:
            vectoriser = NGramVectoriser.fit(ours(unit, weighting), texts)
            for text in [*texts, other]:
                columns = vectoriser.transform([text]).columns.tolist()
                assert sorted(vectoriser.named(text)) == columns


@given(ANY_TEXT.filter(str.strip))
def test_characters_within_words_are_those_of_char_wb(text):
    analyze = CountVectorizer(analyzer="char_wb", ngram_range=(2, 4), lowercase=False)
    found = [one for word in text.split() for one in character_ngrams(word, 2, 4)]
    assert sorted(found) == sorted(analyze.build_analyzer()(text))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("unit", UNITS)
def test_a_saved_vectoriser_gives_the_same_rows(unit, weighting):
    vectoriser = NGramVectoriser.fit(ours(unit, weighting), TEXTS)
    data = msgspec.json.encode(vectoriser.saved())
    again = msgspec.json.decode(data, type=SavedVectoriser).restored()
    for name in ("lengths", "columns", "values"):
        one, other = (getattr(v.transform(UNSEEN), name) for v in (vectoriser, again))
        np.testing.assert_array_equal(one, other)


def test_nothing_to_learn_of_and_nothing_to_read():
    for texts in ([], ["", " "]):
        for unit in UNITS:
            vectoriser = NGramVectoriser.fit(ours(unit, "tfidf"), texts)
            assert len(vectoriser) == 0
            assert vectoriser.transform(["ёж"]).lengths.tolist() == [0]
            assert len(vectoriser.transform([])) == 0


def test_the_columns_of_two_stand_side_by_side():
    two = [NGramVectoriser.fit(ours(unit, "counts"), TEXTS) for unit in UNITS]
    parts, widths = [one.transform(UNSEEN) for one in two], [len(one) for one in two]
    found = dense(stacked(parts, widths), sum(widths))
    expected = np.hstack([dense(*one) for one in zip(parts, widths, strict=True)])
    np.testing.assert_array_equal(found, expected)


def test_a_range_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="n-grams of 3 to 2 cannot be"):
        VectoriserConfig(unit="words", shortest=3, longest=2)


def test_a_damaged_vectoriser_is_refused():
    saved = NGramVectoriser.fit(ours("words", "counts"), TEXTS).saved()
    saved.texts_with = saved.texts_with[1:]
    with pytest.raises(ValueError, match="do not match"):
        saved.restored()


def test_the_spelling_of_words_as_numbers():
    found = spelling(["ёж", "кот", "a"], [0, 2], 8192)
    framed = ["<ёж", "ёж>", "<ёж>"]
    expected = [zlib.crc32(one.encode()) % 8192 for one in [*framed, "<a>"]]
    assert found.values.tolist() == expected
    assert found.lengths.tolist() == [3, 0, 1]
    assert found.starts.tolist() == [0, 3, 3]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=5))
def test_the_spelling_of_words_is_a_checksum_of_their_ngrams(entries):
    found = spelling(entries, range(len(entries)), 1000)
    expected = [
        [
            zlib.crc32(word[start : start + size].encode()) % 1000
            for size in range(3, 7)
            for start in range(len(word) - size + 1)
        ]
        for word in (f"<{entry}>" for entry in entries)
    ]
    assert found.values.tolist() == [number for row in expected for number in row]
    assert found.lengths.tolist() == [len(row) for row in expected]


@given(
    st.lists(ANY_TEXT, max_size=5),
    st.lists(ANY_TEXT, max_size=5),
    st.sampled_from([(1, 5), (1, 1), (3, 4), (4, 6)]),
)
def test_ngrams_of_characters_are_found_whatever_the_words(texts, others, sizes):
    shortest, longest = sizes
    config = VectoriserConfig(
        unit="characters", shortest=shortest, longest=longest, weighting="counts"
    )
    fitted = NGramVectoriser.fit(config, texts)
    ids = {entry: i for i, entry in enumerate(fitted.entries)}
    for some in (texts, others):
        rows = fitted.transform(some)
        expected = []
        for text in some:
            split = prepared(text).split()
            found = Counter(
                ngram for word in split for ngram in character_ngrams(word, shortest, longest)
            )
            known = sorted((ids[one], count) for one, count in found.items() if one in ids)
            expected.append(known)
        assert rows.lengths.tolist() == [len(row) for row in expected]
        together = [pair for row in expected for pair in row]
        assert rows.columns.tolist() == [column for column, _ in together]
        assert rows.values.tolist() == [count for _, count in together]


@given(st.lists(ANY_TEXT, max_size=4), st.lists(ANY_TEXT, max_size=4), st.integers(1, 100))
def test_any_word_has_a_spelling(texts, others, num_vectors):
    tokenizer = fit_tokenizer(["ёж", *texts], level="words", min_count=1)
    assert isinstance(tokenizer, WordTokenizer)
    encoded = tokenizer.encode_spelt(others)
    entries = [*tokenizer.entries, *encoded.unknown]
    found = spelling(entries, np.unique(encoded.values).tolist(), num_vectors)
    assert len(found.lengths) == len(entries)
    assert found.lengths.sum() == len(found.values)
    assert ((found.values >= 0) & (found.values < num_vectors)).all()
    used = np.unique(encoded.values)
    assert (found.lengths[used] > 0).all()


def test_unknown_words_of_one_call_are_unknown_to_the_next():
    tokenizer = fit_tokenizer(["кот и кот"], level="words", min_count=1)
    assert isinstance(tokenizer, WordTokenizer)
    entries = tokenizer.entries
    assert tokenizer.encode_spelt(["кот рыж"]).unknown == ["рыж"]
    assert tokenizer.encode_spelt(["бел кот"]).unknown == ["бел"]
    assert tokenizer.entries == entries
