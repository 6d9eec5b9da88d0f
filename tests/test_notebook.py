"""The notebook of the docs: committed without outputs, and it runs from end to end."""

import base64
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from elman.text.terminal import columns

NOTEBOOK = Path(__file__).parent.parent / "docs" / "quickstart.ipynb"


def test_it_is_committed_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) >= 8
    for cell in code:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        compile("".join(cell["source"]), str(NOTEBOOK), "exec")


@pytest.mark.slow
def test_it_runs_and_what_it_shows_fits_a_screen(tmp_path):
    shutil.copy(NOTEBOOK, tmp_path)
    command = "nbconvert --to notebook --execute quickstart.ipynb --output run.ipynb"
    ran = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    cells = json.loads((tmp_path / "run.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = [output for cell in cells for output in cell.get("outputs", [])]
    pages = [output.get("data", {}) for output in shown]
    for page in pages:
        lines = "".join(page.get("text/plain", "")).splitlines()
        assert len(lines) <= 25
        assert all(columns(line) <= 100 for line in lines)
        assert "<script" not in "".join(page.get("text/html", ""))
    pictures = [base64.b64decode(page["image/png"]) for page in pages if "image/png" in page]
    assert len(pictures) == 2
    for picture in pictures:
        width, height = struct.unpack(">II", picture[16:24])
        assert 300 < width <= 1000
        assert 200 < height <= 700
    progress = "".join(pages[0]["text/html"])
    assert len(re.findall("<tr>", progress)) == 11
    assert "<progress" not in progress
    assert {output["output_type"] for output in shown} <= {
        *("display_data", "execute_result", "stream")
    }
    assert not any(output.get("name") == "stderr" for output in shown)
