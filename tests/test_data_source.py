"""What DATA may be, and which reading goes first."""

import io
import sys

import pytest

import elman
import tiny
from elman import api
from elman.data import source
from elman.data.datasets import DATASETS
from elman.data.source import read_data
from elman.errors import ConfigError, DataError
from elman.tasks.classify import task


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_split(data, **options):
    return api.read_split(task, data, {}, **options)


def test_a_file_goes_before_a_data_set_of_its_name(here, monkeypatch):
    monkeypatch.setattr(source, "load_dataset", lambda name: name)
    assert read_data("surnames") == "surnames"
    (here / "surnames").write_text("kamoto\tja\n")
    assert read_data("surnames").texts == ["kamoto"]


def test_stdin_is_a_hyphen(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"kamoto\tja\nBaumann\tde\n")))
    assert read_data("-").labels == ["ja", "de"]


def test_columns_are_handed_on(here):
    (here / "a.csv").write_text("id,said,what\n1,kamoto,ja\n2,Baumann,de\n")
    found = read_data("a.csv", text="said", label="3")
    assert (found.texts, found.labels) == (["kamoto", "Baumann"], ["ja", "de"])


def test_a_name_that_is_neither_points_to_the_data_sets():
    with pytest.raises(DataError, match="did you mean the built-in data set surnames"):
        read_data("surnmes")
    assert "surnmes" not in DATASETS


def test_parts_that_are_given_are_taken_whole(names_file, here):
    (here / "valid.tsv").write_text("valid1\tja\nvalid2\tde\n")
    (here / "test.tsv").write_text("test1\tja\n")
    parts = read_split(names_file, valid="valid.tsv", test="test.tsv")
    assert parts.train.texts == tiny.NAMES
    assert parts.valid.texts == ["valid1", "valid2"]
    assert parts.test.texts == ["test1"]


def test_fractions_and_seed_decide_the_cut(names_file):
    first, same, other = (read_split(names_file, seed=seed) for seed in (1, 1, 2))
    assert [len(p) for p in (first.train, first.valid, first.test)] == [44, 6, 6]
    assert first.test.texts == same.test.texts != other.test.texts
    half = read_split(names_file, fractions=(0.5, 0.25, 0.25))
    assert [len(p) for p in (half.train, half.valid, half.test)] == [28, 14, 14]
    with pytest.raises(ConfigError, match="is not three shares that sum to 1"):
        read_split(names_file, fractions=(0.5, 0.5, 0.5))


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_part_that_cannot_be_read_is_named(names_file, here, part):
    with pytest.raises(DataError, match=r"no file 'no\.csv'"):
        read_split(names_file, **{part: "no.csv"})
    (here / "bad.csv").write_text("text,label\na,\n")
    with pytest.raises(DataError, match=r"bad\.csv line 2"):
        read_split(names_file, **{part: "bad.csv"})


def test_lines_are_not_for_labelled_texts(names_file):
    with pytest.raises(ConfigError, match="lines is not for the task classify; leave it out"):
        elman.train(names_file, lines=True)
