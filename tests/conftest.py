"""Fixtures that several test files use."""

import atexit
import os
import shutil
import tempfile

# One thread a process, before torch is loaded: two workers of two OpenMP threads each on two cores
# take turns at spinning and are several times slower. Subprocesses inherit it.
os.environ["OMP_NUM_THREADS"] = "1"

# The compiler looks through what each of its passes makes.
os.environ["ELMAN_VERIFY_PASSES"] = "1"

# One run's workers and subprocesses share compiled cells, and leave the user's alone.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["ELMAN_CACHE"] = tempfile.mkdtemp(prefix="elman-tests-")
    atexit.register(shutil.rmtree, os.environ["ELMAN_CACHE"], ignore_errors=True)

from pathlib import Path

import pytest

import tiny

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, which is not part of the project (../shared/data or ELMAN_DATA)."""
    folder = Path(os.environ.get("ELMAN_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set ELMAN_DATA to the folder that has it")
    return folder


@pytest.fixture
def names_file(tmp_path) -> Path:
    """56 names of two classes that their letters tell apart, as ``text<TAB>label`` lines."""
    path = tmp_path / "names.tsv"
    path.write_text(tiny.LINES, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def bundle_made_once(tmp_path_factory) -> Path:
    """A trained model of names; read it, do not change it."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "names.tsv").write_text(tiny.LINES, encoding="utf-8")
    tiny.train(folder / "names.tsv", out=folder / "model")
    return folder / "model"


@pytest.fixture
def model_folder(bundle_made_once, tmp_path) -> Path:
    """A copy of the trained model, to be changed at will."""
    import shutil

    return Path(shutil.copytree(bundle_made_once, tmp_path / "model"))
