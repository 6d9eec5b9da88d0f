"""`elman explain`: what it says is true, whole, and what the docs say that it says."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from elman.backends.llvm.native import host
from elman.cell import cell, tanh
from elman.cells import ALL_CELLS, find
from elman.cli.app import run
from elman.compiler import compile
from elman.errors import BackendError, ConfigError
from elman.ir import costs, reference
from elman.ir.graph import parameter_node
from elman.ir.text import parse
from elman.lab.explain import DTYPES, KERNELS, STAGES, explain
from elman.lab.explain.naming import Naming
from machines import reading
from wild_cells import wild_graph

PAGE = Path(__file__).parent.parent / "docs" / "compiler.md"
MODIFIED = (
    "layer_norm(lstm)",
    "zoneout(gru_v1, h=0.3)",
    "recurrent_dropout(mlstm, 0.5)",
    "residual(layer_norm(mut3))",
    'recurrent_dropout(gru, 0.5, on="candidate")',
)
CELLS = [*(one.name for one in ALL_CELLS), *MODIFIED]
SIZE = 4


@pytest.fixture
def large_machine(monkeypatch):
    """A machine with AVX-512 and AMX, whatever this one is."""
    monkeypatch.setattr(host, "detect", lambda: host.Host("some", "", 64, 32, amx="native"))


# What is shown is true: the text itself is computed with


class Matrix(np.ndarray):
    """`W x` is written `W ** x`, which binds as the text means it."""

    def __pow__(self, operand):
        return np.asarray(self) @ operand


def python(text: str) -> str:
    text = text.replace("[t-1]", "_before").replace("^T ", ".T ").replace(" > 0)", " > 0) * 1.0")
    return re.sub(r"\b(W_\w+(?:\.T)?) (?=[\w(])", r"\1 ** ", text)


def compute(lines: list[str], values: dict) -> dict:
    """The values after these equations, each of names that are known by then."""
    found = dict(values)
    functions = {op.value: function for op, function in reference.FUNCTIONS.items()}
    for line in lines:
        name, _, text = python(line).partition(" = ")
        found[name] = eval(text, functions, found)
    return found


def draw(graph):
    """Weights by their own names and by those in the text, a step's input, states and masks."""
    rng = np.random.default_rng(0)
    naming = Naming(graph)
    shapes = costs.shapes(graph, input_size=SIZE, hidden_size=SIZE)
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    shown = {
        naming.matrix(one.name)
        if one.kind == "matrix"
        else naming.names[parameter_node(one.name)]: weights[one.name].view(Matrix)
        if one.kind == "matrix"
        else weights[one.name]
        for one in graph.parameters
    }
    states = {name: rng.uniform(0.6, 1.4, SIZE) for name in graph.state_names}
    masks = {mask.name: rng.integers(0, 2, SIZE).astype(float) for mask in graph.masks}
    (x,) = (str(node.attr) for node in graph.inputs)
    return weights, shown, {x: rng.normal(size=SIZE)}, states, masks


def traced(text: str) -> tuple[list[str], str]:
    """The equations of the first stage, and the output's name."""
    lines = text.partition("As traced:\n")[2].splitlines()
    output = re.fullmatch(r"The output is (.+)\.", lines.pop())
    return [line.strip() for line in lines], output[1]


def before(states):
    return {f"{name}_before": value for name, value in states.items()}


@pytest.mark.parametrize("name", CELLS)
def test_equations_compute_the_cell(name):
    graph = find(name).graph
    weights, shown, x, states, masks = draw(graph)
    lines, output = traced(explain(find(name)))
    found = compute(lines, {**shown, **x, **before(states), **masks})
    (given,) = x.values()
    expected = reference.step_values(graph, weights, given, states, masks)
    np.testing.assert_allclose(found[output], expected[graph.output], rtol=1e-12)
    for label, node in graph.named:
        np.testing.assert_allclose(found[label], expected[node], rtol=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_equations_compute_odd_cells(seed):
    graph = wild_graph(seed)
    weights, shown, x, states, masks = draw(graph)
    for stage in ("adjoint", "schedule", "kernel"):
        assert explain(SimpleNamespace(graph=graph), stage, hidden_size=5)
    lines, output = traced(explain(SimpleNamespace(graph=graph)))
    found = compute(lines, {**shown, **x, **before(states), **masks})
    given = compute([f"found = {output}"], found)["found"]
    (value,) = x.values()
    expected = reference.step_values(graph, weights, value, states, masks)[graph.output]
    np.testing.assert_allclose(given, np.broadcast_to(expected, np.shape(given)), rtol=1e-9)


@pytest.mark.parametrize("name", CELLS)
def test_adjoint_computes_the_gradients(name):
    graph = find(name).graph
    _, shown, x, states, masks = draw(graph)
    lines, output = traced(explain(find(name)))
    rng = np.random.default_rng(1)
    pulls = {"output": rng.normal(size=SIZE)}
    pulls |= {f"next_{state}": rng.normal(size=SIZE) for state in states}

    def forward(values):
        found = compute(lines, values)
        nexts = {label: found[label] for label, _ in graph.named}
        loss = pulls["output"] @ found[output]
        return loss + sum(pulls[f"next_{state}"] @ nexts[state] for state in states), nexts

    values = {**shown, **x, **before(states), **masks}
    text = explain(find(name), "adjoint")
    equations = re.findall(r"^ *\d+  (.+)$", text, re.M)
    where = re.findall(r"(?:^where |, )(\w+ = [^,\n]+)", text, re.M)
    given = {**values, **forward(values)[1], **{f"d_{key}": one for key, one in pulls.items()}}
    found = compute([*where, *equations], given)

    said = re.search(r"^To the step before: (.+?)\nThe", text, re.M | re.S)[1]
    wanted = {}
    for part in re.split(r",\s+", python(said)):
        left, _, right = part.partition(" = ")
        wanted[left.removeprefix("d_")] = found[right or left]
    sums = text.partition("Summed over all steps and rows:\n")[2]
    for line in sums.splitlines():
        gradient, _, parameter = python(line.strip()).partition(" for ")
        wanted[parameter] = found[gradient]
    assert wanted.keys() >= {f"{state}_before" for state in states} - {"m_before"}
    for key, gradient in wanted.items():
        for unit in range(SIZE):
            step = np.zeros(SIZE)
            step[unit] = 1e-6
            ends = (forward({**values, key: values[key] + sign * step})[0] for sign in (1, -1))
            np.testing.assert_allclose(
                np.broadcast_to(gradient, SIZE)[unit],
                (next(ends) - next(ends)) / 2e-6,
                rtol=1e-5,
                atol=1e-7,
                err_msg=f"{key} {unit}",
            )


@pytest.mark.parametrize("name", CELLS)
def test_schedule_names_nothing_that_is_not_there(name):
    """Each phase's work can be computed from what stands before it."""
    graph = find(name).graph
    _, shown, x, states, masks = draw(graph)
    text = explain(find(name), "schedule")
    one = np.full(SIZE, 0.7)
    known = {**shown, **x, **masks, **before(states)}
    known |= {label: one for label, _ in graph.named}
    known |= {f"d_{key}": one for key in ("output", *(f"next_{state}" for state in states))}
    known |= {part.split(" = ")[0]: one for part in re.findall(r"by torch: (.+)", text)}
    lines = re.findall(r"^    (?:products|each unit|         ) +(\S+ = .+)$", text, re.M)
    assert len(lines) > 3
    compute(lines, known)


def test_graph_reads_back():
    for name in CELLS:
        assert parse(explain(find(name), "graph")) == find(name).graph


# Every stage of every cell


@pytest.mark.parametrize("name", CELLS)
def test_every_stage_of_every_cell(name, large_machine):
    found = find(name)
    for stage in STAGES:
        if stage != "asm":
            text = explain(found, stage, hidden_size=20)
            assert text.endswith("\n")
            assert text.isprintable() or text.replace("\n", "").isprintable()
            assert text == explain(found, stage, hidden_size=20)
            assert stage == "llvm" or max(map(len, text.splitlines())) <= 110
    for kernel in KERNELS:
        for dtype in DTYPES:
            text = explain(found, "kernel", kernel=kernel, dtype=dtype, hidden_size=20)
            assert f" {kernel}, H = 20, {dtype}," in text
        tiled = explain(found, "kernel", kernel=kernel, hidden_size=20, amx=True)
        products = getattr(compile(found.graph), kernel).products
        assert tiled.count(" times ") == len(products)
        assert ("into three numbers of 8 bits" in tiled) == bool(products)


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_kernel_on_other_machines(monkeypatch, bits):
    other = host.Host("some", "", bits, 32 if bits == 64 else 16)
    monkeypatch.setattr(host, "detect", lambda: other)
    text = explain(find("lstm"), "kernel", hidden_size=20)
    assert f"blocks of {bits // 4} units" in text
    assert all(int(used) <= other.registers for used in re.findall(r"= (\d+) registers", text))


def test_amx_of_a_machine_without_it(monkeypatch):
    monkeypatch.setattr(host, "detect", lambda: host.Host("haswell", "", 32, 16))
    with pytest.raises(BackendError, match="this machine has no AMX"):
        explain(find("lstm"), "asm", amx=True)
    assert "which it does not have" in explain(find("lstm"), "kernel", amx=True)


def test_machine_code_is_this_machines():
    assert "tile_0_1x1:" in explain(find("elman"), "asm", hidden_size=5, kernel="inference")


@pytest.mark.parametrize(
    ("machine", "instruction"),
    [("skylake", r"vfmadd\S+\s.*%zmm"), ("haswell", r"vfmadd\S+\s.*%ymm"), ("neon", r"fmla\s+v")],
)
def test_machine_code_is_of_the_processor(machine, instruction):
    with reading(machine):
        text = explain(find("elman"), "asm", hidden_size=20, kernel="inference")
    assert "\ntile_0_" in text
    assert re.search(instruction, text)


def test_a_cell_without_a_docstring_has_equations():
    @cell(state="h")
    def bare(p, x, h):
        return tanh(p.h(x, h))

    assert explain(bare) == (
        "As traced:\n  h = tanh(W_xh x + W_hh h[t-1] + b_h)\nThe output is h.\n"
    )


def test_names_that_would_be_the_same_are_told_apart():
    @cell(state="h")
    def twice(p, x, h):
        b_f = p.f(x, h)
        W_xf = p.n_1(x) * b_f
        return tanh(b_f - (W_xf - h))

    lines, output = traced(explain(twice))
    graph = twice.graph
    weights, shown, x, states, _ = draw(graph)
    found = compute(lines, {**shown, **x, **before(states)})
    expected = reference.step_values(graph, weights, x["x"], states)
    np.testing.assert_allclose(found[output], expected[graph.output])
    assert len({line.split(" = ")[0] for line in lines} | shown.keys()) == len(lines) + len(shown)


def test_very_deep_and_shared_cells_stay_readable():
    @cell(state="h")
    def deep(p, x, h):
        value = p.h(x, h)
        for _ in range(300):
            value = tanh(value + value)
        return value

    for stage in ("equations", "adjoint", "schedule"):
        text = explain(deep, stage)
        assert len(text) < 200_000


# Refusals


def test_what_is_not_there_is_refused_by_name():
    lstm = find("lstm")
    with pytest.raises(ConfigError, match="there is no stage 'tree'; there are equations, graph"):
        explain(lstm, "tree")
    with pytest.raises(ConfigError, match="no kernel 'sideways'; there are inference, forward"):
        explain(lstm, "kernel", kernel="sideways")
    with pytest.raises(ConfigError, match="no dtype 'float16'; there are float32, float64"):
        explain(lstm, "kernel", dtype="float16")
    with pytest.raises(ConfigError, match="hidden_size is 0; it must be 1 or more"):
        explain(lstm, hidden_size=0)
    with pytest.raises(ConfigError, match="multiplies float32 alone, and dtype is float64"):
        explain(lstm, "kernel", dtype="float64", amx=True)


def test_without_llvm_the_early_stages_are_shown(monkeypatch):
    def missing():
        raise host.UnsupportedError("llvmlite cannot be imported (no module)")

    monkeypatch.setattr(host, "detect", missing)
    assert explain(find("gru"), "schedule")
    with pytest.raises(BackendError, match=r"llvmlite cannot be imported.*stages before `kernel`"):
        explain(find("gru"), "llvm")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["lstn"], "did you mean lstm?"),
        (["lstm", "--stage", "tree"], 'Invalid value "tree" for --stage'),
        (["lstm", "--hidden-size", "0"], "hidden_size is 0"),
        (["lstm", "--dtype", "float16"], '"float16"'),
        ([], "CELL"),
    ],
    ids=str,
)
def test_command_refuses_in_one_sentence(capsys, argv, said):
    assert run(["explain", *argv]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err
    assert found.err.count("\n") == 1


# The command


def test_command_prints_what_the_library_returns(capsys):
    assert run(["explain", "layer_norm(gru)", "--stage", "adjoint"]) == 0
    assert capsys.readouterr().out == explain(find("layer_norm(gru)"), "adjoint")


def test_json(capsys):
    assert run(["explain", "GRU", "--stage", "graph", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {"cell": "gru", "stage": "graph", "text": explain(find("gru"), "graph")}


def test_early_stages_need_no_torch():
    program = (
        "import sys; from elman.cli.app import run\n"
        "for stage in ('equations', 'graph', 'adjoint', 'schedule'):\n"
        "    assert run(['explain', 'lstm', '--stage', stage]) == 0\n"
        "sys.exit('torch' in sys.modules or 'llvmlite' in sys.modules)\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL).returncode == 0
    )


def test_what_a_file_says_does_not_drive_the_terminal(capsys, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from elman.cell import cell, tanh\n@cell(state='h')\ndef mine(p, x, h):\n"
        "    '''Red \\x1b[31m.'''\n    return tanh(p.h(x, h))\n"
    )
    assert run(["explain", f"{path}:mine"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_stream_without_a_name_is_bracketed_where_it_is_read():
    text = explain(find("layer_norm(mut1)"), "schedule")
    assert "= (W_xz x - mean(W_xz x)) / t2\n" in text


# The page


def excerpts(text: str) -> list[tuple[str, str]]:
    """Each block without a language, with the command that stands above it."""
    found, command = [], ""
    for tag, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        if tag == "console":
            command = body.splitlines()[-1].removeprefix("$ elman ")
        elif not tag:
            found.append((command, body))
    return found


def is_in(excerpt: str, output: str) -> bool:
    """Whether its parts, cut at lines of three dots, stand in the output in this order."""
    at = 0
    for part in re.split(r"^\.\.\.\n", excerpt, flags=re.M):
        at = output.find(f"\n{part}", max(at - 1, 0))
        if at < 0:
            return False
        at += len(part) + 1
    return True


EXCERPTS = excerpts(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("command", "excerpt"), EXCERPTS, ids=lambda value: value[:40])
def test_excerpts_of_the_page_are_real(capsys, large_machine, command, excerpt):
    assert run(shlex.split(command)) == 0
    assert is_in(excerpt, "\n" + capsys.readouterr().out), excerpt


def test_the_page_shows_every_stage():
    text = PAGE.read_text(encoding="utf-8")
    shown = {command.split("--stage ")[1].split()[0] for command, _ in EXCERPTS}
    assert shown == {"equations", "graph", "adjoint", "schedule", "kernel"}
    assert all(f"--stage {stage}" in text for stage in STAGES)
    assert len(EXCERPTS) >= 8


def test_code_of_the_page_is_of_the_kind_that_is_written(large_machine):
    """Machine code differs from machine to machine: each operation must be there, somewhere."""
    text = PAGE.read_text(encoding="utf-8")
    (llvm,) = re.findall(r"^```llvm\n(.*?)^```$", text, re.M | re.S)
    written = explain(find("lstm"), "llvm")
    assert all(line.strip() in written for line in llvm.splitlines())


def test_machine_code_of_the_page():
    text = PAGE.read_text(encoding="utf-8")
    (asm,) = re.findall(r"^```asm\n(.*?)^```$", text, re.M | re.S)
    with reading("skylake"):
        written = explain(find("lstm"), "asm")
    assert all(line.split()[0] in written for line in asm.splitlines())


def test_an_excerpt_that_is_not_real_is_noticed():
    output = "\na = 1\nb = 2\nc = 3\n"
    assert is_in("a = 1\n...\nc = 3\n", output)
    assert not is_in("c = 3\n...\na = 1\n", output)
    assert not is_in("a = 1\nc = 3\n", output)
    assert not is_in("a = 10\n", output)
