"""Parts are stratified, repeatable, and share no text."""

import subprocess
import sys
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data import splits
from elman.data.examples import Examples
from elman.data.readers import read_examples
from elman.data.splits import parse_fractions
from elman.errors import ConfigError, DataError
from elman.tasks.classify.task import folds, split


def examples_of(rows, source="a.csv") -> Examples:
    texts, labels = zip(*rows, strict=True) if rows else ((), ())
    return Examples(list(texts), list(labels), source)


def key(text):
    return unicodedata.normalize("NFC", text).strip()


def parts_of(cut):
    return (cut.train, cut.valid, cut.test)


MANY = examples_of([(f"text {i}", "abc"[(i % 10 > 5) + (i % 10 > 8)]) for i in range(1000)])


def test_stratified():
    cut = split(MANY)
    assert [len(part) for part in parts_of(cut)] == [800, 100, 100]
    for part in parts_of(cut):
        counts = Counter(part.labels)
        assert [counts[c] / len(part) for c in "abc"] == [0.6, 0.3, 0.1]
    assert cut.notes == ()
    assert all(part.source == "a.csv" for part in parts_of(cut))


def test_every_row_is_in_one_part_in_file_order():
    cut = split(MANY)
    assert sorted(text for part in parts_of(cut) for text in part.texts) == sorted(MANY.texts)
    place = {text: i for i, text in enumerate(MANY.texts)}
    for part in parts_of(cut):
        assert part.texts == sorted(part.texts, key=place.__getitem__)


@pytest.mark.parametrize(
    "fractions", [(0.5, 0.25, 0.25), (0.2, 0.1, 0.7), (0.9, 0.1, 0), (1, 0, 0)]
)
def test_fractions(fractions):
    cut = split(MANY, fractions=fractions)
    assert [len(part) for part in parts_of(cut)] == [round(1000 * share) for share in fractions]


def test_seed():
    assert split(MANY, seed=3) == split(MANY, seed=3)
    assert split(MANY, seed=3).test != split(MANY, seed=4).test


def test_the_cut_does_not_depend_on_hashes():
    code = (
        "from elman.data.examples import Examples; from elman.tasks.classify.task import split;"
        "e = Examples([f't{i % 70}' for i in range(90)], ['xyz'[i % 3] for i in range(90)], 's');"
        "print(split(e).test.texts)"
    )
    runs = {
        subprocess.check_output([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_equal_texts_stay_on_one_side():
    rows = [(f"t{i % 200}", "ab"[i % 3 == 0]) for i in range(600)]
    cut = split(examples_of(rows))
    keys = [each for part in parts_of(cut) for each in {key(text) for text in part.texts}]
    assert len(keys) == len(set(keys))
    assert sum(len(part) for part in parts_of(cut)) == len(set(rows))
    assert cut.notes == (
        "200 exact duplicates dropped",
        "200 texts occur with more than one label; each stays on one side",
    )


def test_spelling_variants_are_equal():
    rows = [(f"t{i}", "ab"[i % 2]) for i in range(20)]
    cut = split(
        examples_of([*rows, ("é", "a"), ("e\u0301", "a"), (" é\n", "a"), ("e\u0301 ", "b")])
    )
    assert cut.notes == (
        "2 exact duplicates dropped",
        "1 text occurs with more than one label; it stays on one side",
    )


def test_a_duplicate_counts_where_it_stands_first():
    rows = [("b", "x"), ("a", "y"), ("b", "x"), *((f"t{i}", "xy"[i % 2]) for i in range(8))]
    cut = split(examples_of(rows), fractions=(1, 0, 0))
    assert cut.train.texts == ["b", "a", *(f"t{i}" for i in range(8))]


def test_small_classes_go_to_training():
    rows = [(f"t{i}", "a") for i in range(30)]
    cut = split(examples_of([*rows, ("b1", "b"), ("b2", "b"), ("c1", "c")]))
    assert Counter(cut.train.labels) == {"a": 24, "b": 2, "c": 1}
    assert cut.notes == (
        "too few examples (under three) to stand in every part: class 'b' (2), class 'c' (1)",
    )


def test_a_class_of_three_stands_in_every_part():
    rows = [(f"t{i}", "a") for i in range(30)] + [(f"b{i}", "b") for i in range(3)]
    assert all("b" in part.labels for part in parts_of(split(examples_of(rows))))


@pytest.mark.parametrize("count", [4, 5, 6, 7, 8])
def test_tiny_data_fill_every_part(count):
    rows = [(f"t{i}", "ab"[i % 2]) for i in range(count)]
    cut = split(examples_of(rows))
    assert all(len(part) for part in parts_of(cut))
    assert set(cut.train.labels) == {"a", "b"}


ELSEWHERE = examples_of([("text 1", "a"), ("text 2", "a"), ("text 2", "a"), ("new", "q")], "b.csv")


def test_given_parts_are_left_alone():
    cut = split(MANY, valid=ELSEWHERE, test=ELSEWHERE)
    assert cut.train == MANY
    assert cut.valid is ELSEWHERE
    assert cut.test is ELSEWHERE
    overlap = "3 of 4 texts of b.csv also occur in the training part; left as they are"
    assert cut.notes == (
        overlap,
        overlap,
        "in the validation part but not in the training part: class 'q' (1)",
        "in the test part but not in the training part: class 'q' (1)",
    )


def test_an_empty_given_part_is_still_given():
    nothing = examples_of([], "none")
    cut = split(MANY, test=nothing)
    assert cut.test is nothing


def test_given_test_part():
    cut = split(MANY, test=ELSEWHERE)
    assert [len(part) for part in parts_of(cut)] == [889, 111, 4]
    assert not set(cut.train.texts) & set(cut.valid.texts)


def test_given_validation_part():
    cut = split(MANY, valid=ELSEWHERE, fractions=(0.6, 0.2, 0.2))
    assert [len(part) for part in parts_of(cut)] == [750, 4, 250]


def test_training_part_keeps_the_frequency_of_texts_beside_a_given_test_part():
    twice = examples_of([*zip(MANY.texts, MANY.labels, strict=True)] * 2)
    cut = split(twice, valid=ELSEWHERE, test=ELSEWHERE)
    assert len(cut.train) == 2000
    assert cut.notes[0] == "1,000 exact duplicates kept, as the test part is given"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "x"), ("b", "x")], "a.csv has one class only, 'x'; "),
        (
            [("a", "x"), ("b", "y"), ("c", "x")],
            "a.csv has 3 different texts, too few .* at least 4",
        ),
        ([("a", "x"), ("a", "y"), (" a", "y")], "a.csv has 1 different text, too few"),
        ([], "a.csv has 0 different texts"),
    ],
)
def test_too_little(rows, message):
    with pytest.raises(DataError, match=message):
        split(examples_of(rows))


@given(
    st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.sampled_from("xyz")), max_size=40),
    st.sampled_from([(0.8, 0.1, 0.1), (0.1, 0.1, 0.8), (0.5, 0.5, 0), (0.01, 0.98, 0.01)]),
    st.integers(0, 5),
)
def test_any_examples_split_or_are_refused(rows, fractions, seed):
    distinct = len({text for text, _ in rows})
    classes = len({label for _, label in rows})
    need = 2 + sum(share > 0 for share in fractions[1:])
    if classes < 2 or distinct < need:
        with pytest.raises(DataError):
            split(examples_of(rows), fractions=fractions, seed=seed)
        return
    cut = split(examples_of(rows), fractions=fractions, seed=seed)
    assert sorted(r for p in parts_of(cut) for r in zip(p.texts, p.labels, strict=True)) == sorted(
        set(rows)
    )
    assert sum(len(set(part.texts)) for part in parts_of(cut)) == distinct
    for part, share in zip(parts_of(cut), fractions, strict=True):
        assert (len(part) > 0) == (share > 0)


def test_parse_fractions():
    assert parse_fractions("0.8,0.1,0.1") == (0.8, 0.1, 0.1)
    assert parse_fractions(" 0.7, .3 ,0") == (0.7, 0.3, 0.0)


@pytest.mark.parametrize(
    "text",
    [
        *("80,10,10", "80/10/10", "80:10:10", "80 10 10", "80%,10%,10%", " 80.0 , 10.0 , 10 "),
        *("0.8/0.1/0.1", "0.8 0.1  0.1", "0.8;0.1;0.1", "0.8, 0.1, 0.1", "8e1,1e1,1e1"),
    ],
)
def test_shares_as_people_write_them(text):
    assert parse_fractions(text) == pytest.approx((0.8, 0.1, 0.1), abs=1e-12)


def test_shares_of_a_hundred_cut_as_shares_of_one():
    hundred, one = split(MANY, fractions=(80, 10, 10)), split(MANY)
    assert [part.texts for part in parts_of(hundred)] == [part.texts for part in parts_of(one)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.8,0.2",
        "0.8,0.1,0.2",
        "80,10,20",
        "8,1,1",
        "0,8 0,1 0,1",
        "a,b,c",
        "0,0.5,0.5",
        "nan,1,0",
        "1.5,-0.5,0",
    ],
)
def test_bad_fractions(text):
    with pytest.raises(ConfigError, match="sum to 1"):
        parse_fractions(text)
    with pytest.raises(ConfigError, match="sum to 1"):
        split(MANY, fractions=(0.5, 0.5, 0.5))


def calls(rows, classes):
    """How many functions are called to cut so many different texts."""
    examples = examples_of([(f"text {i}", f"class {i % classes}") for i in range(rows)])
    counted = Counter()
    sys.setprofile(lambda _, event, __: counted.update([event]))
    try:
        splits.split(
            examples,
            keys=lambda part: splits.keys_of(part.texts),
            strata=lambda part: part.labels,
        )
    finally:
        sys.setprofile(None)
    return counted["call"] + counted["c_call"]


def test_work_grows_with_the_rows_and_not_with_the_classes():
    few, many, more_classes = calls(2_000, 20), calls(8_000, 20), calls(8_000, 200)
    assert many < 4.1 * few
    assert more_classes < many + 200


def test_real_data(shared_data):
    cut = split(read_examples(shared_data / "sentiment_en" / "twitter_hate_train.csv"))
    shares = [part.labels.count("1") / len(part) for part in parts_of(cut)]
    assert max(shares) - min(shares) < 0.001
    assert cut.notes[0].endswith(" exact duplicates dropped")


# Folds


def test_each_row_is_tested_once_and_every_fold_is_stratified():
    cuts = folds(MANY, count=5)
    assert [len(cut.test) for cut in cuts] == [200] * 5
    assert sorted(text for cut in cuts for text in cut.test.texts) == sorted(MANY.texts)
    for cut in cuts:
        assert Counter(cut.test.labels) == {"a": 120, "b": 60, "c": 20}
        assert len(cut.valid) == pytest.approx(800 / 9, abs=2)
        texts = [text for part in parts_of(cut) for text in part.texts]
        assert sorted(texts) == sorted(MANY.texts)
    assert folds(MANY, count=5) == cuts
    assert folds(MANY, count=5, seed=1) != cuts


def test_equal_texts_stay_in_one_fold():
    rows = [(f"t{i % 200}", "ab"[i % 3 == 0]) for i in range(600)]
    cuts = folds(examples_of(rows), count=4)
    seen = [{key(text) for text in cut.test.texts} for cut in cuts]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 200
    for cut in cuts:
        assert cut.notes[:2] == (
            "200 exact duplicates dropped",
            "200 texts occur with more than one label; each stays on one side",
        )
        parts = [{key(text) for text in part.texts} for part in parts_of(cut)]
        assert sum(map(len, parts)) == len(set.union(*parts))


def test_every_training_part_knows_every_class():
    rows = [(f"t{i}", "a") for i in range(30)]
    cuts = folds(examples_of([*rows, ("b1", "b"), ("b2", "b"), ("c1", "c")]), count=3)
    tested = [label for cut in cuts for label in cut.test.labels]
    assert Counter(tested) == {"a": 30, "b": 2}  # of a single one nothing could be learned
    for cut in cuts:
        assert {"a", "b", "c"} == {*cut.train.labels}


@pytest.mark.parametrize(("count", "need"), [(2, 6), (3, 6), (7, 14)])
def test_more_folds_than_there_are_texts_for_are_refused(count, need):
    rows = [(f"t{i}", "ab"[i % 2]) for i in range(need)]
    assert len(folds(examples_of(rows), count=count)) == count
    with pytest.raises(ConfigError, match=f"a.csv has {need - 1} different texts, too few"):
        folds(examples_of(rows[1:]), count=count)
    with pytest.raises(DataError, match="one class only"):
        folds(examples_of([(f"t{i}", "a") for i in range(30)]), count=count)
