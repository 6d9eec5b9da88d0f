"""Scores of spans are those of seqeval, strict and not, and of conlleval."""

import warnings
from collections import Counter
from itertools import chain

import pytest
import seqeval.scheme
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report

from elman.tasks.tag.spans import Counts, SpanCounts, count_spans
from elman.text.tag_schemes import BILOU, BIOES, IOB1, IOB2, spans

THEIRS = [
    (IOB2, seqeval.scheme.IOB2),
    (BIOES, seqeval.scheme.IOBES),
    (BILOU, seqeval.scheme.BILOU),
]


def answered(scheme):
    """Strategy: sentences with two taggings each, not always well written."""
    tags = ["O", *(f"{one}-{kind}" for kind in ("PER", "LOC") for one in sorted(scheme.letters))]
    token = st.tuples(st.sampled_from(tags), st.sampled_from(tags))
    sentences = st.lists(st.lists(token, min_size=1), min_size=1, max_size=8)
    return sentences.map(
        lambda rows: tuple([[pair[i] for pair in row] for row in rows] for i in range(2))
    )


def scored(true, found, scheme, *, strict):
    sides = ([spans(tags, scheme, strict=strict) for tags in rows] for rows in (true, found))
    return count_spans(*sides)


def as_seqeval(counts):
    """Write counts as the report of seqeval."""
    rows = {
        kind: (one.precision, one.recall, one.f1, one.true) for kind, one in counts.types.items()
    }
    total = counts.total
    rows["micro avg"] = (total.precision, total.recall, total.f1, total.true)
    names = ("precision", "recall", "f1-score", "support")
    return {kind: dict(zip(names, row, strict=True)) for kind, row in rows.items()}


def report_of(true, found, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is nothing, 0 is said with a warning
        rows = classification_report(true, found, output_dict=True, zero_division=0, **options)
    return {kind: row for kind, row in rows.items() if kind not in ("macro avg", "weighted avg")}


def assert_equal(counts, report):
    mine = as_seqeval(counts)
    assert mine.keys() == report.keys()
    for kind, row in report.items():
        assert mine[kind] == pytest.approx(row, abs=1e-12)


@pytest.mark.parametrize(("scheme", "theirs"), THEIRS, ids=lambda one: getattr(one, "name", ""))
@given(data=st.data())
def test_strict_scores_are_those_of_seqeval(scheme, theirs, data):
    true, found = data.draw(answered(scheme))
    counts = scored(true, found, scheme, strict=True)
    if counts.types:  # seqeval fails without
        assert_equal(counts, report_of(true, found, mode="strict", scheme=theirs))


@pytest.mark.parametrize("scheme", [IOB1, IOB2, BIOES])
@given(data=st.data())
def test_lenient_scores_are_those_of_seqeval(scheme, data):
    true, found = data.draw(answered(scheme))
    counts = scored(true, found, scheme, strict=False)
    if counts.types:
        assert_equal(counts, report_of(true, found))


def conlleval(true, found):
    """Return right, answered and true spans by type, token by token as conlleval.pl does it."""

    def parts(tag):
        return ("O", "") if tag == "O" else tuple(tag.split("-", 1))

    def ends(before, tag, before_type, type_):
        return (
            (before in "BI" and tag in "BO")
            or (before != "O" and before_type != type_)
            or before == "E"
        )

    def starts(before, tag, before_type, type_):
        return (
            tag == "B" or (before in "EO" and tag in "EI") or (tag != "O" and before_type != type_)
        )

    right, said, there = Counter(), Counter(), Counter()
    inside, kind = False, ""
    last = [("O", ""), ("O", "")]
    streams = [list(chain(*([*tags, "O"] for tags in rows))) for rows in (true, found)]
    for pair in zip(*streams, strict=True):
        now = [parts(tag) for tag in pair]
        before = [(last[i][0], now[i][0], last[i][1], now[i][1]) for i in range(2)]
        ended, started = [ends(*one) for one in before], [starts(*one) for one in before]
        if inside:
            if all(ended) and last[0][1] == last[1][1]:
                inside = False
                right[kind] += 1
            elif ended[0] != ended[1] or now[0][1] != now[1][1]:
                inside = False
        if all(started) and now[0][1] == now[1][1]:
            inside, kind = True, now[0][1]
        there[now[0][1]] += started[0]
        said[now[1][1]] += started[1]
        last = now
    kinds = {kind for kind in (*there, *said) if there[kind] or said[kind]}
    return {kind: Counts(there[kind], said[kind], right[kind]) for kind in kinds}


@pytest.mark.parametrize("scheme", [IOB1, IOB2])
@given(data=st.data())
def test_counts_are_those_of_conlleval(scheme, data):
    true, found = data.draw(answered(scheme))
    assert scored(true, found, scheme, strict=False).types == conlleval(true, found)


def test_counts_by_hand():
    true = [[(0, 2, "PER"), (3, 4, "LOC")], [], [(0, 1, "PER")]]
    found = [[(0, 2, "PER"), (3, 4, "ORG")], [(1, 2, "LOC")], [(0, 2, "PER"), (0, 2, "PER")]]
    counts = count_spans(true, found)
    assert list(counts.types) == ["PER", "LOC", "ORG"]  # the most frequent first
    assert counts.types["PER"] == Counts(true=2, answered=2, right=1)
    assert counts.total == Counts(3, 4, 1)
    assert (counts.total.precision, counts.total.recall) == (1 / 4, 1 / 3)
    assert counts.total.f1 == pytest.approx(2 / 7)


def test_nothing_scores_zero():
    none = count_spans([[]], [[]])
    assert none == SpanCounts({})
    assert (none.total.precision, none.total.recall, none.total.f1) == (0.0,) * 3


def test_sentences_must_fit_each_other():
    with pytest.raises(ValueError, match="zip"):
        count_spans([[], []], [[]])


@pytest.mark.slow
def test_real_tags_score_as_in_seqeval(shared_data):
    """Each sentence's tags against the same ones moved by a token."""
    rows = [
        [line.split()[-1] for line in block.split("\n") if line]
        for block in (shared_data / "ner/eng.testa").read_text().split("\n\n")
    ]
    true = [row for row in rows if row]
    found = [[*row[1:], row[0]] for row in true]
    assert_equal(scored(true, found, IOB1, strict=False), report_of(true, found))
    assert scored(true, found, IOB1, strict=False).types == conlleval(true, found)
