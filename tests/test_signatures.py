"""What an editor, `help` and the tab key know of the functions that people call.

`elman/keywords.py` is made from the options that the tasks declare:

    ELMAN_RENEW_KEYWORDS=1 python -m pytest tests/test_signatures.py
"""

import inspect
import os
import pydoc
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import elman
from elman import keywords, tasks
from elman.errors import ConfigError
from elman.training.options import ReadOptions, declared

FILE = Path(keywords.__file__)
RENEW = bool(os.environ.get("ELMAN_RENEW_KEYWORDS"))
HOW = "ELMAN_RENEW_KEYWORDS=1 python -m pytest tests/test_signatures.py"


def written():
    """The text of `elman/keywords.py` for the tasks that there are."""
    columns, scoring, others, runs = {}, {}, {}, {}
    for one in declared(ReadOptions):
        add(columns, one.name, spelt(one), one.option.text)
    for task in map(tasks.find, tasks.TASKS):
        for name, text in task.columns.items():
            add(columns, name, "str | int | None", text)
        for one in declared(task.scoring):
            add(scoring, one.name, spelt(one), one.option.text)
        for one in declared(task.options):
            own = one.takes_cell or one.name == "seed"
            add(runs if own else others, one.name, spelt(one), one.option.text)
    lines = [
        f'"""{keywords.__doc__}"""\n',
        "from typing import Literal, TypedDict\n",
        "from elman.cell import Cell\n",
        *fields("DataOptions(TypedDict, total=False)", "How data are read.", columns),
        *fields("EvaluateOptions(DataOptions, total=False)", "Of a judgement.", scoring),
        *fields("CompareOptions(DataOptions, total=False)", "Of all runs of a comparison.", others),
        *fields("TrainOptions(CompareOptions, total=False)", "Of one run.", runs),
    ]
    return "\n".join(lines)


def add(rows, name, kind, text):
    """Note an option; two tasks may give one name to options of two types, the first its text."""
    kinds, said = rows.get(name, ("", text))
    together = dict.fromkeys([*kinds.split(" | "), *kind.split(" | ")])
    rows[name] = (" | ".join(filter(None, together)), said)


def spelt(one):
    words = ", ".join(f'"{choice}"' for choice in one.choices)
    kind = f"Literal[{words}]" if words else one.kind.__name__
    if words and one.kind is not str:
        kind = f"{one.kind.__name__} | {kind}"
    return kind + " | Cell" * one.takes_cell + " | None" * one.optional


def fields(head, text, rows):
    yield f'\nclass {head}:\n    """{text}"""\n'
    for name, (kind, said) in sorted(rows.items()):
        doc = textwrap.fill(f'"""{said}"""', 96)
        line = f"    {name}: {kind}"
        if len(line) > 100:  # as ruff writes it
            kinds = "\n        | ".join(kind.split(" | "))
            line = f"    {name}: (\n        {kinds}\n    )"
        yield f"{line}\n{textwrap.indent(doc, '    ')}"
    yield ""


def test_the_options_that_editors_know_are_those_of_the_tasks():
    text = written()
    if RENEW:
        FILE.write_text(text, encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == text, f"write it anew: {HOW}"


@pytest.mark.parametrize("function", [elman.train, elman.compare])
def test_every_option_stands_in_the_signature_with_its_default(function):
    shown = inspect.signature(function).parameters
    for task in map(tasks.find, tasks.TASKS):
        for name in task.columns:
            assert shown[name].default is None
        for one in declared(ReadOptions):
            assert shown[one.name].default == one.default
        for one in declared(task.options):
            if function is elman.compare and (one.takes_cell or one.name == "seed"):
                assert one.name not in shown
            else:
                assert shown[one.name].default == one.default
    assert not any(one.kind is one.VAR_KEYWORD for one in shown.values())


def test_python_and_the_command_line_call_options_by_the_same_names(names_file):
    from elman.cli import train

    # In Python the answers to the test part are trained.model.predictions(trained.split.test), and
    # `progress` says whether anything is shown.
    alone = {"config", "json", "predictions", "quiet"}
    shell = {
        name
        for task in tasks.TASKS
        for name in inspect.signature(train.command(["--task", task])).parameters
    } - alone
    python = {*inspect.signature(elman.train).parameters} - {"progress", "callbacks"}
    assert shell == python


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("forc", "force"),
        ("test_file", "test"),
        ("callback", "callbacks"),
        ("hiden_size", "hidden_size"),
        ("labels", "label"),
        ("splits", "split"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_nearest(names_file, name, meant):
    with pytest.raises(ConfigError, match=f"no option {name}; did you mean {meant}"):
        elman.train(names_file, **{name: 1})


@pytest.mark.parametrize("name", ["seeds", "cells", "progress"])
def test_compare_knows_its_own_names_too(names_file, name):
    with pytest.raises(ConfigError, match=f"no option {name}x; did you mean {name}"):
        elman.compare(names_file, **{f"{name}x": 1})


def test_help_begins_with_what_people_call_and_is_no_book():
    lines = pydoc.render_doc(elman, renderer=pydoc.plaintext).splitlines()
    first = "\n".join(lines[:40])
    for name in ("train", "load", "evaluate", "compare", "TextClassifier", "callbacks"):
        assert f"elman.{name}" in first
    assert len(lines) < 300


def test_the_tab_key_lists_what_people_call_and_no_more():
    code = "import elman; print(*dir(elman))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = [name for name in ran.stdout.split() if not name.startswith("_")]
    assert names == [
        *(
            "Recurrent",
            "SequenceTagger",
            "TextClassifier",
            "TextCleaner",
            "Vectors",
            "callbacks",
            "cell",
            "cells",
        ),
        *("compare", "compare_models", "embed", "errors", "evaluate", "load", "nn", "train"),
    ]


def test_what_is_listed_is_there_without_another_import():
    code = (
        "import elman, sys; "
        "elman.errors.ElmanError; elman.callbacks.Callback; elman.cells.find('lstm'); "
        "elman.cell.tanh; print('torch' in sys.modules); elman.nn.LSTM"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


TYPED = """
import elman
from elman.errors import ElmanError

model = elman.load("models/names")
reveal_type(model.predict(["a"]))
trained = elman.train("names.csv", cell="gru", epochs=3, tokens="words", split=(0.8, 0.1, 0.1))
reveal_type(trained.model.predict_proba(["a"]).shape)
reveal_type(trained.report.test.accuracy)
reveal_type(elman.evaluate(model, "names.csv").macro_f1)
elman.train("names.csv", hiden_size=3)
elman.train("names.csv", tokens="syllables")
elman.compare("names.csv", seed=3)
"""


@pytest.mark.slow
def test_an_editor_knows_types_and_options(tmp_path):
    """Reading a program without running it finds the types and what is misspelt."""
    (tmp_path / "page.py").write_text(TYPED)
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "page.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    said = [line.split(": ", 1) for line in ran.stdout.splitlines()]
    notes = [text for _, text in said if "Revealed" in text]
    errors = {place: text for place, text in said if text.startswith("error")}
    for note, kind in zip(notes, ("list[", "tuple[", "float", "float"), strict=True):
        assert kind in note
    assert [*errors] == ["page.py:11", "page.py:12", "page.py:13"]
    assert "hiden_size" in errors["page.py:11"]
