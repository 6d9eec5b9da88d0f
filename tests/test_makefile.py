"""What `make` installs: no gigabytes of CUDA that nobody asked for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or sys.platform == "win32", reason="needs make and a shell"
)
VERSION = next(
    line.removeprefix("torch==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line.startswith("torch==")
)
INDEX = "https://download.pytorch.org/whl/cpu"


def choose(folder, *words, versions, installed=False, index_answers=True, system="Linux"):
    """Run `make torch` with a pip that only writes down what it is asked, and return that."""
    fakes = {
        "python": (
            'echo "$@" >> "$FAKES/asked"\n'
            f'case "$*" in *" show "*) exit {int(not installed)} ;;\n'
            f'*" index "*) echo "torch (9.9.9)"; echo "Available versions: {versions}" ;;\n'
            f'*" install "*) exit {int(not index_answers)} ;; esac\n'
        ),
        "uname": f"echo {system}\n",
    }
    for name, body in fakes.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}")
        (folder / name).chmod(0o755)
    outer = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS", "TORCH")  # as of `make test`
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    environment |= {"FAKES": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}
    argv = ["make", "--no-print-directory", "torch", f"BIN={folder}", *words]
    ran = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True)
    asked = folder / "asked"
    lines = asked.read_text().splitlines() if asked.exists() else []
    return ran, [line for line in lines if " install " in line]


def test_where_pip_has_the_plain_build_alone_that_for_cpus_is_taken_first(tmp_path):
    ran, installs = choose(tmp_path, versions=f"9.9.9, {VERSION}, 1.0.0+cpu")
    assert ran.returncode == 0, ran.stderr
    [install] = installs
    # Its own requirements come with the rest, in the versions of constraints.txt.
    assert install.endswith(f"-c constraints.txt --no-deps --retries 2 --index-url {INDEX} torch")
    assert f"torch {VERSION}: the build for CPUs" in ran.stdout
    assert "TORCH=cuda" in ran.stdout


@pytest.mark.parametrize(
    "given",
    [
        {"versions": f"9.9.9, {VERSION}+cpu, {VERSION}"},  # pip is given a build
        {"versions": f"{VERSION}+cu126"},
        {"versions": VERSION, "installed": True},
        {"versions": VERSION, "system": "Darwin"},  # has no CUDA
    ],
)
def test_elsewhere_nothing_is_fetched_from_there(tmp_path, given):
    ran, installs = choose(tmp_path, **given)
    assert (ran.returncode, ran.stdout, ran.stderr, installs) == (0, "", "", [])


def test_who_asks_for_cuda_gets_it(tmp_path):
    ran, installs = choose(tmp_path, "TORCH=cuda", versions=VERSION)
    assert (ran.returncode, installs) == (0, [])


def test_where_the_builds_for_cpus_cannot_be_fetched_it_is_said_and_nothing_is_pulled(tmp_path):
    ran, installs = choose(tmp_path, versions=VERSION, index_answers=False)
    assert ran.returncode != 0
    assert "the CPU build of torch cannot be fetched" in ran.stderr
    assert "TORCH=cuda" in ran.stderr
    assert len(installs) == 1


def test_every_installation_chooses_first():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = [line for line in text.splitlines() if "-installed: pyproject" in line]
    assert len(rules) >= 3
    assert all(rule.endswith("| .venv/torch-chosen") for rule in rules)
    assert INDEX in (ROOT / "README.md").read_text(encoding="utf-8")
