"""Every page runs: its Python in one namespace and its commands, as a reader would run them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from elman import tasks
from elman.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(?P<tag>\w*)[^\n]*\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)


def blocks(text: str, *tags: str) -> list[tuple[int, str, str]]:
    """The fenced blocks with these tags: the line on which the body begins, tag and body."""
    return [
        (text.count("\n", 0, match.start("body")) + 1, match["tag"], match["body"])
        for match in _BLOCK.finditer(text)
        if match["tag"] in tags
    ]


def run_page(page: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a page's Python and console blocks in order; a failure shows the line of the page."""
    # A real module, since what the page defines may ask for its own.
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    found = blocks(page.read_text(encoding="utf-8"), "python", "console")
    for line, tag, body in found:
        if tag == "console":
            run_console(body)
            continue
        code = compile("\n" * (line - 1) + body, str(page), "exec")
        exec(code, vars(module))
    return len(found)


def run_console(body: str) -> None:
    """Run the lines that begin with `$ `: elman in this process, anything else by the shell."""
    for line in body.splitlines():
        command = line.removeprefix("$ ")
        if command == line:
            continue
        if command.startswith("elman ") and "|" not in command:
            assert app.run(shlex.split(command)[1:]) == 0, command
            continue
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(command, shell=True, check=True, env={**os.environ, "PATH": path})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(page, tmp_path, monkeypatch, model_folder):
    # The README speaks of the demo's model: a small one stands in its place.
    (tmp_path / "models").mkdir()
    model_folder.rename(tmp_path / "models" / "surnames")
    monkeypatch.chdir(tmp_path)
    run_page(page, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist_with_these_options(page, monkeypatch):
    lines = re.findall(r"^(?:\$ |.*\| )?elman ([^#|\n]+)", page.read_text(encoding="utf-8"), re.M)
    for line in lines:
        if line.split()[0].isupper():  # `elman COMMAND --help`
            continue
        # The file, which names the data, is the reader's and not here.
        words = shlex.split(re.sub(r"--config \S+", "data.csv", line))
        refused = []
        for task in tasks.TASKS:  # of which the model or the file that the page names may be
            monkeypatch.setattr(tasks, "DEFAULT", task)
            try:
                app.build(words).parse_args(words, exit_on_error=False, print_error=False)
            except Exception as error:
                refused.append(error)
        assert len(refused) < len(tasks.TASKS), (line, refused)


def test_there_are_pages_with_code():
    counts = {
        page.name: len(blocks(page.read_text(encoding="utf-8"), "python", "console"))
        for page in PAGES
    }
    assert counts["writing-a-cell.md"] >= 7
    assert counts["quickstart.md"] >= 7


def test_code_that_fails_is_shown_with_its_line(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\nx = 1\n```\n\ntext\n\n```python\n\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as caught:
        run_page(page, monkeypatch)
    assert [entry.lineno + 1 for entry in caught.traceback][-1] == 11


@pytest.mark.parametrize("command", ["elman trian", "elman datasets --jsn"])
def test_command_that_fails_is_shown(tmp_path, monkeypatch, command):
    page = tmp_path / "page.md"
    page.write_text(f"```console\n$ {command}\n```\n")
    with pytest.raises(AssertionError, match=command):
        run_page(page, monkeypatch)


def test_blocks_of_other_kinds_are_passed_over(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("```\nraise\n```\n")
    assert run_page(page, monkeypatch) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_place_is_left_to_be_filled(page):
    assert "@@" not in page.read_text(encoding="utf-8")
