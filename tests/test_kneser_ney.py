import gzip
import itertools
import math
import pickle
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import ConfigError, DataError
from elman.text import kneser_ney
from elman.text.kneser_ney import KneserNey, Unigram

V = 6
ROWS = st.lists(st.integers(0, V - 1), max_size=60)
ORDERS = st.integers(1, 6)
MANY = settings(deadline=None, derandomize=True, database=None)


class Plain:
    """The model as Chen & Goodman write it, token by token."""

    def __init__(self, ids, vocab_size, order):
        self.vocab_size, self.order = vocab_size, order
        self.counts = [self.counted(ids, size) for size in range(1, order + 1)]
        self.discounts = [self.estimated(counts) for counts in self.counts]
        self.followers = [defaultdict(list) for _ in self.counts]
        for followers, counts in zip(self.followers, self.counts, strict=True):
            for ngram, count in counts.items():
                followers[ngram[:-1]].append(count)

    def counted(self, ids, size):
        places = range(len(ids) - size + 1)
        if size == self.order:
            return Counter(tuple(ids[i : i + size]) for i in places)
        before = defaultdict(set)
        for i in places:
            before[tuple(ids[i : i + size])].add(ids[i - 1] if i else "start")
        return {ngram: len(tokens) for ngram, tokens in before.items()}

    def estimated(self, counts):
        n = [sum(count == k for count in counts.values()) for k in range(5)]
        if 0 in n[1:]:
            return [0, 0.5, 1, 1.5]
        y = n[1] / (n[1] + 2 * n[2])
        found = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
        return [0, *found] if all(one > 0 for one in found) else [0, 0.5, 1, 1.5]

    def prob(self, token, context):
        context = tuple(context)[max(len(context) - self.order + 1, 0) :]
        shorter = self.prob(token, context[1:]) if context else 1 / self.vocab_size
        level = len(context)
        after, discounts = self.followers[level].get(context, []), self.discounts[level]
        if not after:
            return shorter
        count = self.counts[level].get((*context, token), 0)
        left = sum(discounts[min(one, 3)] for one in after)
        return (count - discounts[min(count, 3)] + left * shorter) / sum(after)

    def log_probs(self, ids, context=()):
        both = [*context, *ids]
        return [math.log(self.prob(both[i], both[:i])) for i in range(len(context), len(both))]


def zipf(size, vocab_size, seed=0):
    """Text of which some n-grams are frequent, so that discounts can be estimated."""
    rng = np.random.default_rng(seed)
    fresh = np.minimum(rng.zipf(1.5, size), vocab_size) - 1
    for i in range(10, size - 5, 8):
        start = rng.integers(i - 5)
        fresh[i : i + 5] = fresh[start : start + 5]
    return fresh


@MANY
@given(ROWS, ROWS, ROWS, ORDERS)
def test_the_same_as_plain_dictionaries(train, ids, context, order):
    found = KneserNey.fit(train, V, order=order).log_probs(ids, context=context)
    np.testing.assert_allclose(found, Plain(train, V, order).log_probs(ids, context), rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3, 5, 6])
def test_the_same_as_plain_dictionaries_where_discounts_are_estimated(order):
    train, ids = zipf(6000, 300), zipf(300, 300, seed=1)
    model, plain = KneserNey.fit(train, 300, order=order), Plain(train.tolist(), 300, order)
    np.testing.assert_allclose(model.discounts, [found[1:] for found in plain.discounts])
    assert (0.5, 1, 1.5) not in model.discounts
    np.testing.assert_allclose(model.log_probs(ids), plain.log_probs(ids.tolist()), rtol=1e-10)


@MANY
@given(ROWS, ROWS, ORDERS)
def test_every_distribution_sums_to_1_and_leaves_nothing_out(train, context, order):
    model = KneserNey.fit(train, V, order=order)
    for start in range(len(context) + 1):
        probs = model.distribution(context[start:])
        assert probs.sum() == pytest.approx(1, abs=1e-12)
        assert (probs > 0).all()
        found = [model.log_probs([one], context=context[start:])[0] for one in range(V)]
        np.testing.assert_allclose(found, np.log(probs), rtol=1e-10)


def test_all_contexts_of_a_text_with_ids_that_never_stood_there():
    model = KneserNey.fit([0, 1, 2, 0, 1, 3, 0, 1, 2, 2], V, order=3)
    for context in itertools.product(range(V), repeat=2):
        probs = model.distribution(context)
        assert probs.sum() == pytest.approx(1)
        assert (probs > 0).all()
    assert model.distribution([0, 1]).argmax() == 2


def test_by_hand():
    # Two-token n-grams of "0 1 0": (0 1) and (1 0) once each, too few for other discounts than
    # 0.5 for a count of 1 and 1 for one of 2. Before 0: the start and 1; before 1: 0.
    model = KneserNey.fit([0, 1, 0], 4, order=2)
    assert model.discounts == ((0.5, 1, 1.5),) * 2
    single = np.array([1, 0.5, 0, 0]) / 3 + 1.5 / 3 / 4
    np.testing.assert_allclose(model.distribution(), single)
    np.testing.assert_allclose(model.distribution([0]), [0, 0.5, 0, 0] + 0.5 * single)
    np.testing.assert_allclose(model.distribution([3]), single)


@MANY
@given(ROWS, ROWS, ROWS, ORDERS)
def test_context_is_what_stood_before(train, before, ids, order):
    model = KneserNey.fit(train, V, order=order)
    both = model.log_probs([*before, *ids])
    split = [model.log_probs(before), model.log_probs(ids, context=before)]
    np.testing.assert_array_equal(both, np.concatenate(split))
    recent = before[max(len(before) - order + 1, 0) :]
    np.testing.assert_array_equal(split[1], model.log_probs(ids, context=recent))


def test_chunks_change_nothing(monkeypatch):
    train, ids = zipf(500, 20), zipf(100, 20, seed=1)
    whole = [KneserNey.fit(train, 20).log_probs(ids), Unigram.fit(train, 20).log_probs(ids)]
    for size in (1, 3, 50):
        monkeypatch.setattr(kneser_ney, "CHUNK_TOKENS", size)
        np.testing.assert_array_equal(KneserNey.fit(train, 20).log_probs(ids), whole[0])
        np.testing.assert_array_equal(Unigram.fit(train, 20).log_probs(ids), whole[1])


@pytest.mark.parametrize("model", [KneserNey, Unigram])
def test_nothing_to_count_is_uniform(model):
    fitted = model.fit([], V)
    assert fitted.num_tokens == 0
    np.testing.assert_allclose(fitted.distribution([1, 2]), np.full(V, 1 / V))
    np.testing.assert_allclose(fitted.log_probs([0, 5]), [-math.log(V)] * 2)
    assert fitted.log_probs([]).shape == (0,)


def test_one_token_and_a_vocabulary_of_one():
    assert KneserNey.fit([3], V).distribution([3, 3]).argmax() == 3
    np.testing.assert_allclose(KneserNey.fit([0, 0, 0], 1).log_probs([0, 0]), 0, atol=1e-12)


def test_max_tokens_counts_the_last():
    train = zipf(400, V)
    model = KneserNey.fit(train, V, max_tokens=150)
    assert (model.num_tokens, KneserNey.fit(train, V, max_tokens=None).num_tokens) == (150, 400)
    last = KneserNey.fit(train[-150:], V)
    np.testing.assert_array_equal(model.log_probs(train), last.log_probs(train))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint64])
def test_any_integer_type(dtype):
    train = zipf(2000, 200)
    wide, narrow = (KneserNey.fit(one, 200) for one in (train, train.astype(dtype)))
    found = narrow.log_probs(train.astype(dtype), context=train[:7].astype(dtype))
    np.testing.assert_array_equal(found, wide.log_probs(train, context=train[:7]))
    frequent = Unigram.fit(train.astype(dtype), 200).log_probs(train.astype(dtype))
    np.testing.assert_array_equal(frequent, Unigram.fit(train, 200).log_probs(train))


@MANY
@given(ROWS, ROWS)
def test_the_unigram_model_counts_one_more_of_each(train, ids):
    model = Unigram.fit(train, V)
    expected = [(train.count(one) + 1) / (len(train) + V) for one in range(V)]
    np.testing.assert_allclose(model.distribution(), expected)
    np.testing.assert_allclose(model.log_probs(ids, context=[1]), np.log(expected)[ids])


def test_a_model_survives_pickling():
    model = KneserNey.fit(zipf(300, V), V)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.log_probs([1, 2, 3]), model.log_probs([1, 2, 3]))


@pytest.mark.parametrize("model", [KneserNey, Unigram])
@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([0, V], "token id 6 is not in a vocabulary of 6, whose ids are 0 to 5"),
        ([-1, V], "token id -1 is not"),
        ([[0, 1]], r"of shape \(1, 2\)"),
        ([0.5], "float64"),
        (3, r"of shape \(\)"),
    ],
)
def test_ids_that_are_none(model, ids, said):
    with pytest.raises(DataError, match=said):
        model.fit(ids, V)
    with pytest.raises(DataError, match=said):
        model.fit([0, 1], V).log_probs(ids)


def test_a_context_that_is_none():
    with pytest.raises(DataError, match="token id 9"):
        KneserNey.fit([0, 1], V).distribution([0, 9])


@pytest.mark.parametrize("wrong", [{"vocab_size": 0}, {"order": 0}, {"max_tokens": -1}])
def test_numbers_below_1(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*must be at least 1"):
        KneserNey.fit([0], **{"vocab_size": V} | wrong)


def test_penn_treebank_as_published(shared_data):
    # 141.2 on the test part (Mikolov & Zweig 2012, "Context dependent recurrent neural network
    # language model", table 1); the validation part is a little harder.
    folder = shared_data / "wordlm"
    train = gzip.decompress((folder / "ptb.train.txt.gz").read_bytes()).decode()
    valid = (folder / "ptb.valid.txt").read_text(encoding="utf-8")
    words = [text.replace("\n", " <eos> ").split() for text in (train, valid)]
    ids = {word: number for number, word in enumerate(dict.fromkeys(words[0]))}
    rows = [np.array([ids[word] for word in part]) for part in words]
    log_probs = KneserNey.fit(rows[0], len(ids)).log_probs(rows[1])
    assert math.exp(-log_probs.mean()) == pytest.approx(147.74, abs=0.1)
