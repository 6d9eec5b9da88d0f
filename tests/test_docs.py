"""The Python of every page runs, block after block in one namespace, as a reader would run it."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(?P<tag>\w*)[^\n]*\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)


def blocks(text: str, tag: str) -> list[tuple[int, str]]:
    """The fenced blocks with this tag: the line on which each body begins, and the body."""
    return [
        (text.count("\n", 0, match.start("body")) + 1, match["body"])
        for match in _BLOCK.finditer(text)
        if match["tag"] == tag
    ]


def run_python(page: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a page's Python blocks; a failure shows the line of the page."""
    # A real module, since what the page defines may ask for its own.
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    found = blocks(page.read_text(encoding="utf-8"), "python")
    for line, body in found:
        code = compile("\n" * (line - 1) + body, str(page), "exec")
        exec(code, vars(module))
    return len(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_python(page, monkeypatch)


def test_there_are_pages_with_python():
    counts = {page.name: len(blocks(page.read_text(encoding="utf-8"), "python")) for page in PAGES}
    assert counts["writing-a-cell.md"] >= 7


def test_a_block_that_fails_is_shown_with_its_line(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\nx = 1\n```\n\ntext\n\n```python\n\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as caught:
        run_python(page, monkeypatch)
    assert [entry.lineno + 1 for entry in caught.traceback][-1] == 11
    page.write_text("```console\n$ elman\n```\n\n```\nraise\n```\n")
    assert run_python(page, monkeypatch) == 0
