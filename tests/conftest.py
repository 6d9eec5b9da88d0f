"""Fixtures that several test files use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, which is not part of the project (../shared/data or ELMAN_DATA)."""
    folder = Path(os.environ.get("ELMAN_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set ELMAN_DATA to the folder that has it")
    return folder
