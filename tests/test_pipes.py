"""A pipe is read once: nobody looks into it before."""

import os

import pytest

from elman.data.corpus import read_texts
from elman.data.source import read_data
from elman.data.tagged import looks_tagged

LINES = [f"строка {number}" for number in range(100)]


@pytest.fixture
def pipe():
    """What ``<(command)`` gives: a path that holds its content once."""
    read, write = os.pipe()
    path = f"/dev/fd/{read}"
    if not os.path.exists(path):
        pytest.skip("no paths of open files on this system")
    with open(write, "wb") as end:
        end.write("".join(f"{line}\tк{line[-1]}\n" for line in LINES).encode())
    yield path
    os.close(read)


def test_nothing_is_lost_where_the_task_is_told_from_the_data(pipe):
    assert not looks_tagged(pipe)
    assert read_data(pipe).texts == LINES


def test_nothing_is_lost_of_a_corpus(pipe):
    assert len([*read_texts(pipe)]) == len(LINES)
