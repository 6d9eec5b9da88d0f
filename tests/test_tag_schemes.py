"""Tag schemes are recognised, checked, converted, and hold what a sequence model may do."""

from itertools import pairwise, product

import pytest
import seqeval.scheme
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from elman.errors import DataError
from elman.text.tag_schemes import (
    BILOU,
    BIOES,
    IOB1,
    IOB2,
    SCHEMES,
    allowed,
    check,
    convert,
    from_spans,
    recognise,
    spans,
)

ALL = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
# Two names beside each other, one of a single token, one at the end.
SPANS = [(0, 2, "PER"), (2, 3, "PER"), (3, 4, "LOC"), (5, 8, "ORG")]
WRITTEN = {
    "IOB1": "I-PER I-PER B-PER I-LOC O I-ORG I-ORG I-ORG",
    "IOB2": "B-PER I-PER B-PER B-LOC O B-ORG I-ORG I-ORG",
    "BIOES": "B-PER E-PER S-PER S-LOC O B-ORG I-ORG E-ORG",
    "BILOU": "B-PER L-PER U-PER U-LOC O B-ORG I-ORG L-ORG",
}


def tags_of(scheme, types=("X", "Y")):
    return ["O", *(f"{one}-{kind}" for kind in types for one in sorted(scheme.letters))]


@st.composite
def span_lists(draw):
    """Spans in any order beside each other, and the length of their sentence."""
    found, place = [], 0
    for gap, length, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from("XY")))
    ):
        place += gap
        found.append((place, place + length, kind))
        place += length
    return found, place + draw(st.integers(0, 2))


@ALL
def test_each_scheme_as_it_is_written(scheme):
    tags = WRITTEN[scheme.name].split()
    assert from_spans(SPANS, 8, scheme) == tags
    assert spans(tags, scheme) == spans(tags, scheme, strict=True) == SPANS
    assert recognise([tags]) is scheme
    assert check([tags], scheme) == []


@ALL
@given(found=span_lists())
def test_spans_come_back(scheme, found):
    found, length = found
    tags = from_spans(found, length, scheme)
    assert spans(tags, scheme) == spans(tags, scheme, strict=True) == found
    assert check([tags], scheme) == []


@pytest.mark.parametrize("target", SCHEMES.values(), ids=SCHEMES)
@ALL
@given(data=st.data())
def test_conversion_keeps_the_spans_of_any_tags(scheme, target, data):
    tags = data.draw(st.lists(st.sampled_from(tags_of(scheme))))
    assert convert(tags, scheme, target) == from_spans(spans(tags, scheme), len(tags), target)


@pytest.mark.parametrize("target", SCHEMES.values(), ids=SCHEMES)
@ALL
@given(found=span_lists(), data=st.data())
def test_what_hangs_on_an_unknown_tag_is_unknown_and_the_rest_right(scheme, target, found, data):
    found, length = found
    tags = from_spans(found, length, scheme)
    hidden = data.draw(st.sets(st.integers(0, max(length - 1, 0))))
    partial = [None if i in hidden else tag for i, tag in enumerate(tags)]
    whole = from_spans(found, length, target)
    for i, tag in enumerate(convert(partial, scheme, target)):
        near = {i - 1, i, i + 1} & hidden
        assert tag == whole[i] or (tag is None and near)
        assert tag is None or i not in hidden


def test_an_unknown_neighbour():
    assert convert(["B-X", None, "O"], IOB2, BIOES) == [None, None, "O"]
    assert convert(["B-X", None, "O"], BIOES, IOB2) == ["B-X", None, "O"]
    assert convert([None, "I-X", "O"], IOB2, BIOES) == [None, "E-X", "O"]
    assert convert([None, "I-X"], IOB1, IOB2) == [None, None]
    assert convert([None, "B-X"], IOB2, IOB1) == [None, None]
    assert spans(["B-X", None, "I-X"], IOB2) == [(0, 1, "X"), (2, 3, "X")]
    assert check([["B-X", None, "I-X"]], IOB2) == []


@ALL
@pytest.mark.parametrize("length", [1, 2, 3])
def test_what_may_follow_is_what_is_well_written(scheme, length):
    """All sequences of two types, against writing their spans anew."""
    tags = tags_of(scheme)
    transitions, starts, ends = allowed(tags, scheme)
    for places in product(range(len(tags)), repeat=length):
        sequence = [tags[i] for i in places]
        follows = all(transitions[i, j] for i, j in pairwise(places))
        well = starts[places[0]] and follows and ends[places[-1]]
        assert well == (from_spans(spans(sequence, scheme), length, scheme) == sequence)
        assert well == (check([sequence], scheme) == [])


def test_without_a_scheme_all_may_follow():
    assert all(one.all() for one in allowed(["NOUN", "VERB"], None))


@pytest.mark.parametrize(
    ("scheme", "theirs"),
    [(IOB2, seqeval.scheme.IOB2), (BIOES, seqeval.scheme.IOBES), (BILOU, seqeval.scheme.BILOU)],
)
@given(data=st.data())
def test_strict_spans_are_those_of_seqeval(scheme, theirs, data):
    tags = data.draw(st.lists(st.sampled_from(tags_of(scheme)), min_size=1))
    expected = [(e.start, e.end, e.tag) for e in seqeval.scheme.Tokens(tags, theirs).entities]
    assert spans(tags, scheme, strict=True) == expected


@pytest.mark.parametrize("scheme", [IOB1, IOB2, BIOES])
@given(data=st.data())
def test_spans_are_those_of_conlleval(scheme, data):
    tags = data.draw(st.lists(st.sampled_from(tags_of(scheme))))
    expected = [(start, end + 1, kind) for kind, start, end in get_entities(tags)]
    assert spans(tags, scheme) == expected


# ------------------------------------------------------------------------------------------------
# What it is


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ("NOUN VERB PUNCT", None),
        ("NN . O VB", None),  # a tag set that has an O
        ("Ncmsn S-a I Vmip", None),  # a hyphen in one of several
        ("", None),
        ("O O", "IOB2"),
        ("I-PER I-PER O I-LOC", "IOB1"),
        ("B-PER O B-LOC B-LOC", "IOB2"),
        ("S-PER O", "BIOES"),
        ("U-PER O B-LOC L-LOC", "BILOU"),
        ("B-a-b I-a-b O", "IOB2"),
    ],
)
def test_recognised(tags, name):
    found = recognise([tags.split()])
    assert (found and found.name) == name


def test_unknown_tags_tell_nothing():
    assert recognise([[None, None]]) is None
    assert recognise([[None, "B-PER", None, "I-PER"]]) is IOB2


def test_a_few_faults_are_no_other_scheme():
    tags = [["B-PER", "I-PER", "O"]] * 30 + [["O", "I-LOC", "I-LOC"]]
    assert recognise(tags) is IOB2
    [fault] = check(tags, IOB2)
    assert fault[:2] == (30, 1)
    assert str(fault) == "I-LOC after O"
    [fault] = check([["B-PER", "I-PER"]], BIOES)
    assert fault[:2] == (0, 1)
    assert str(fault) == "I-PER at the end"
    assert [str(one) for one in check([["E-PER", "O"]], IOB2)] == ["E-PER after O"]


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        (["B-PER E-PER", "U-LOC"], r"E-PER \(sentence 1, token 2\) is of BIOES and U-LOC "),
        (["B-PER I-PER O PER"], r"PER \(sentence 1, token 4\) has no letter before its type"),
        (["B-PER O B-LOC", "I-PER O", "I-LOC"], r"2 tags do not fit IOB2, .* I-PER after O \(sent"),
        (["B-PER I-PER O", "B-PER I-PER S-LOC"], "2 tags do not fit BIOES"),
    ],
)
def test_a_mixed_scheme(tags, says):
    with pytest.raises(DataError, match=f"mixed scheme: .*{says}"):
        recognise([one.split() for one in tags])


def test_places_of_a_mixed_scheme_are_named_as_asked():
    with pytest.raises(DataError, match=r"E-X \(line 12\)"):
        recognise([["E-X"], ["U-X"]], lambda sentence, token: f"line {12 + sentence}")


@pytest.mark.parametrize("found", [[(0, 0, "X")], [(2, 4, "X")], [(0, 2, "X"), (1, 3, "Y")]])
def test_spans_that_cannot_be_written(found):
    with pytest.raises(ValueError, match="no place for"):
        from_spans(found, 3, IOB2)


def test_conll_2003_is_iob1(shared_data):
    tags, sentence = [], []
    for line in (shared_data / "ner/eng.train").read_text().split("\n"):
        if line:
            sentence.append(line.split()[-1])
        elif sentence:
            tags.append(sentence)
            sentence = []
    assert recognise(tags) is IOB1
    assert [str(one) for one in check(tags, IOB1)] == ["B-MISC after O"] * 2  # as it was published
    converted = [convert(one, IOB1, BIOES) for one in tags]
    assert recognise(converted) is BIOES
    assert sum(len(spans(one, BIOES)) for one in converted) == 23_499
