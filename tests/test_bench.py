"""`elman bench` and `elman cells`: what is measured, how it is summed up, what is refused."""

import itertools
import json
from pathlib import Path

import msgspec
import pytest
import torch

from elman import backends, compiler
from elman.backends.eager import FUNCTIONS
from elman.backends.llvm import host, watched
from elman.backends.llvm.call import launch
from elman.cells import ALL_CELLS, find
from elman.cli.app import run
from elman.errors import DataError, LabError
from elman.lab import bench as lab
from elman.lab.bench import (
    ablation,
    child,
    fma,
    fresh,
    loops,
    machine,
    scan,
    subjects,
    timing,
    works,
)
from elman.lab.bench.result import to_plain

TINY = lab.Shape(3, 4, 5, 6)
ONCE = {"shapes": (TINY,), "threads": (1,), "repeats": 1, "sample_ms": 0.0}


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run a command in this process, in an empty folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*argv):
        code = run([str(a) for a in argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def measure(**options):
    found = list(works.measure(lab.Options(**ONCE | options), 1))
    rows = [one for one in found if isinstance(one, lab.Row)]
    return rows, [one for one in found if isinstance(one, lab.Skipped)]


# Each work


def test_each_work_is_described_and_done():
    assert works.RUN.keys() == lab.WORKS.keys()


def test_ragged_and_dense_beside_torch_and_the_eager_loop():
    rows, skipped = measure(
        works=("ragged", "dense"), cells=("lstm", "gru", "mut1"), against=("torch", "eager")
    )
    assert [(row.work, row.cell, row.against) for row in rows] == [
        ("ragged", "lstm", "nn.LSTM on PackedSequence"),
        ("ragged", "lstm", "eager loop"),
        ("ragged", "gru", "nn.GRU on PackedSequence"),
        ("ragged", "gru", "eager loop"),
        ("ragged", "mut1", "eager loop"),
        ("dense", "lstm", "nn.LSTM"),
        ("dense", "lstm", "eager loop"),
        ("dense", "gru", "nn.GRU"),
        ("dense", "gru", "eager loop"),
        ("dense", "mut1", "eager loop"),
    ]
    assert [one.what for one in skipped] == ["ragged mut1 beside torch", "dense mut1 beside torch"]
    for row in rows:
        assert row.backend
        assert row.ratios == [pytest.approx(row.theirs / row.ours)]


def test_a_stream():
    rows, _ = measure(works=("stream",), against=("torch", "eager"))
    assert [row.against for row in rows] == ["nn.LSTM on T = 1", "eager loop"]
    assert {row.shape for row in rows} == {lab.Shape(1, 1, 128, 128)}


def test_a_stream_carries_its_state():
    layer = subjects.recurrent(
        find("gru"), subjects.source(find("gru"), 3, 4), lab.Shape(1, 1, 3, 4)
    )
    step = subjects.stream(layer)
    with torch.no_grad():
        outputs = [step() for _ in range(2)]
    assert not torch.equal(*outputs)


def test_the_loop_per_flop_and_beside_a_copy():
    shape = lab.Shape(2, 2, 3, 128)
    rows, skipped = measure(
        works=("flops", "copy"), cells=("lstm", "mut1", "mingru"), shapes=(shape,)
    )
    assert [(row.work, row.cell, row.unit, row.against) for row in rows] == [
        ("flops", "mut1", "GFLOP/s", "lstm"),
        ("copy", "mingru", "GB/s", "a copy"),
    ]
    assert {row.backend for row in rows} == {"llvm"}
    assert {one.what for one in skipped} == {
        *("flops lstm", "flops mingru", "copy lstm", "copy mut1")
    }


def test_a_rate_of_few_units_does_not_count():
    rows, _ = measure(
        works=("rate",), cells=("gru",), shapes=(lab.Shape(4, 2, 3, 5), lab.Shape(4, 2, 3, 128))
    )
    assert [(row.counts, row.note) for row in rows] == [
        (False, "H under 128: not counted below"),
        (True, ""),
    ]
    assert lab.summarise(rows)[0].shapes == 1


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a millisecond whenever it is read, and by what is added to it."""

    class Clock:
        now = 0.0

        def read(self):
            self.now += 0.001
            return self.now

    clock = Clock()
    monkeypatch.setattr(launch, "perf_counter", clock.read)
    monkeypatch.setattr(timing.time, "perf_counter", clock.read)
    return clock


def test_only_the_kernels_are_timed(clock):
    step = subjects.dense_step(
        find("lstm"),
        TINY,
        subjects.source(find("lstm"), 5, 6),
        subjects.batch(TINY, ragged=False),
    )

    def slow():
        step()
        clock.now += 0.05

    with watched() as found:
        step()
        with watched() as inner:
            pass
    step()
    assert inner == []
    assert [name for name, _ in found] == [
        *("forward.pack", "forward.run", "backward.pack", "backward.run")
    ]
    assert [seconds for _, seconds in found] == pytest.approx([0.001] * 4)
    steps = {"whole": slow, "kernels": slow}
    timed = timing.in_turn(steps, repeats=1, sample_seconds=0.0, kernels=("kernels",))
    assert timed["kernels"] == pytest.approx([4 * 0.001])
    assert timed["whole"] == pytest.approx([0.05 + 0.001])


def test_where_no_kernel_runs_there_is_no_loop_to_time(monkeypatch):
    exact = subjects.recurrent
    monkeypatch.setattr(subjects, "recurrent", lambda *given, **_: exact(*given, backend="eager"))
    rows, (left,) = measure(works=("copy",), cells=("mingru",))
    assert rows == []
    assert left == lab.Skipped(
        "the loop of mingru", "eager ran it, which has no kernels of its own"
    )


def test_what_the_loop_of_mingru_reads_and_writes():
    program = compiler.compile(find("mingru").graph)
    (streams, kept), (residuals, grads) = map(loops.traffic, (program.forward, program.backward))
    assert list(map(len, (streams, kept, residuals, grads))) == [2, 4, 4, 2]
    assert len(streams | kept | residuals | grads) == 5


def test_without_vectors_there_is_no_rate(monkeypatch):
    monkeypatch.setattr(fma, "why_not", lambda: "it has none")
    assert measure(works=("rate",)) == ([], [lab.Skipped("rate", "it has none")])


def test_the_rate_beside_a_bare_loop():
    shape = lab.Shape(2, 2, 3, 128)
    rows, skipped = measure(works=("rate",), cells=("lstm", "mingru"), shapes=(shape,))
    (only,) = rows
    assert (only.cell, only.unit, only.against) == ("lstm", "GFLOP/s", "a bare FMA loop")
    assert only.theirs > 0
    assert [one.what for one in skipped] == ["rate mingru"]


def test_two_threads_beside_one():
    shape = lab.Shape(2, 64, 3, 4)
    options = lab.Options(**ONCE | {"works": ("threads",), "shapes": (shape,), "cells": ("elman",)})
    (only,) = works.measure(options, 1)
    assert only.why == "only one thread was asked for; add --threads 1,2"
    session = works.Session(options, 2)
    try:
        (row,) = works.RUN["threads"](session)
    finally:
        torch.set_num_threads(1)
    assert (row.against, row.threads) == ("one thread", 2)


def test_the_peak_of_memory(monkeypatch, tmp_path):
    status, clear, calls = tmp_path / "status", tmp_path / "clear", []
    status.write_text("VmHWM:  900000 kB\nVmRSS:  200000 kB\n")
    clear.touch()
    monkeypatch.setattr(child, "_STATUS", status)
    monkeypatch.setattr(child, "_CLEAR", clear)

    def step():
        calls.append(clear.read_text())
        status.write_text(f"VmHWM:  {200_000 + 5_000 * len(calls)} kB\nVmRSS:  200000 kB\n")

    assert child.growth(step) == pytest.approx(15)
    assert calls == ["5"] * 3, "the peak begins anew before the first"


def test_where_the_system_says_no_peak_there_is_none(monkeypatch):
    monkeypatch.setattr(child, "_resident", lambda: (0.0, None))
    assert child.growth(lambda: None) is None


@pytest.mark.parametrize("side", ["elman", "torch"])
def test_memory_as_the_fresh_process_has_it(side):
    request = {"kind": "memory", "cell": "gru", "shape": TINY, "side": side}
    (found,) = child.KINDS["memory"](request)
    assert found.keys() == {"megabytes", "backend"}
    assert isinstance(found["megabytes"], float), "this system does say a process's peak"
    assert found["backend"]


def test_compiling_as_the_fresh_process_has_it():
    request = {"kind": "compile", "cells": ["elman"], "shape": TINY}
    (found,) = child.KINDS["compile"](request)
    assert found["cell"] == "elman"
    assert found["seconds"] >= 0
    assert found["backend"]


def test_what_computes_something_else_is_not_compared(monkeypatch):
    exact = subjects.recurrent

    def off(*given, **options):
        layer = exact(*given, **options)
        if options.get("backend") == "eager":
            with torch.no_grad():
                layer.bias_l0 += 0.01
        return layer

    monkeypatch.setattr(subjects, "recurrent", off)
    with pytest.raises(LabError, match="mut3 at 3,4,5,6: elman and eager differ by"):
        measure(works=("dense",), cells=("mut3",), against=("eager",))


def test_lengths_are_uniform_and_the_longest_is_whole():
    batch = subjects.batch(lab.Shape(40, 200, 3, 4), ragged=True)
    assert batch.batch_sizes[0] == batch.batch_sizes[9] == 200  # none is under T/4
    assert 1 <= batch.batch_sizes[-1] < 30
    assert len(batch.data) == batch.batch_sizes.sum() == len(batch.grad_output)
    assert 0.58 < len(batch.data) / (40 * 200) < 0.68


# Knobs of the compiled backend


def changed(one, other):
    return {name for name in vars(one) if getattr(one, name) != getattr(other, name)}


def test_every_knob_is_turned_off_by_some_ablation():
    usual, found = ablation.USUAL, set()
    for knob in ablation.KNOBS:
        own = changed(usual, knob.off) | changed(usual.code, knob.off.code)
        assert own - {"code"}, f"{knob.name} changes nothing"
        found |= own
    assert found == {*vars(usual), *vars(usual.code)}


def test_each_knob_is_measured_where_it_changes_something():
    rows, skipped = measure(works=("ablation",), cells=("gru",), shapes=(lab.Shape(3, 5, 6, 130),))
    names = [row.against.removeprefix("without ") for row in rows]
    assert {"whole tiles", "shared output"} <= set(names)
    left = {one.what: one.why for one in skipped}
    assert left["ablation of wide groups on AMX, gru"]
    assert left["ablation of one thread for little work, gru"] == (
        "it matters with several threads only"
    )
    assert len(names) + len(left) == len(ablation.KNOBS)
    ((title, (head, *lines)),) = lab.knobs(rows)
    assert title == "gru, threads: 1"
    assert head == ("gru without", "3,5,6,130", "mean", "most")
    assert [line[0] for line in lines] == names


def test_knobs_of_vectors_are_measured_on_vectors(monkeypatch):
    amx = host.Host("sapphirerapids", "", 64, 32, amx="native")
    monkeypatch.setattr(host, "detect", lambda: amx)
    monkeypatch.setattr(ablation, "_written", lambda cell, shape, tuning: shown(tuning))

    def shown(tuning):
        return [tuning.code.tall_from if tuning.amx_rows == ablation.NEVER else 0]

    tall = next(knob for knob in ablation.KNOBS if knob.name == "tall tiles")
    backend, usual, off = ablation._pair(find("gru"), TINY, tall)
    assert backend == "llvm on vectors"
    assert usual.amx_rows == off.amx_rows == ablation.NEVER
    assert usual.code.tall_from < off.code.tall_from
    group = next(knob for knob in ablation.KNOBS if knob.name == "groups of rows")
    assert ablation._pair(find("gru"), TINY, group) is None


def test_without_kernels_there_is_no_ablation(monkeypatch):
    monkeypatch.setattr(
        type(backends.compiled), "unsupported_machine_reason", lambda self: "no LLVM"
    )
    assert measure(works=("ablation",)) == ([], [lab.Skipped("ablation", "no LLVM")])


# JAX


def test_jax_runs_each_cell_as_elman_does():
    pytest.importorskip("jax", reason="JAX is optional: pip install 'elman[bench]'")
    assert scan.functions().keys() == FUNCTIONS.keys()
    cells = ("mut1", "slstm")  # a projection and a product after another; many ops and states
    rows, skipped = measure(works=("dense", "ragged"), cells=cells, against=("jax",))
    assert [(row.cell, row.against) for row in rows] == [(one, "jax.lax.scan") for one in cells]
    assert {one.why for one in skipped} == {"jax.lax.scan takes rows of equal length"}


def test_without_jax_it_is_left_out(monkeypatch):
    monkeypatch.setattr(scan, "import_module", lambda name: __import__("no_jax_here"))
    rows, (left,) = measure(works=("dense",), cells=("mut3",), against=("jax", "eager"))
    assert [row.against for row in rows] == ["eager loop"]
    assert "JAX cannot be imported" in left.why
    assert "pip install 'elman[bench]'" in left.why


# Timing and sums


def test_samples_are_taken_in_turn_and_the_order_turns_around():
    called = []
    steps = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = timing.in_turn(steps, repeats=3, sample_seconds=0.0)
    assert "".join(called) == "aaa" + "bbb" + "ab" + "ba" + "ab"
    assert [len(one) for one in seconds.values()] == [3, 3]


def test_a_sample_is_as_long_as_it_must_be(monkeypatch):
    clock = itertools.count(step=0)
    now = 0.0

    def step():
        nonlocal now
        now += 0.001

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now + next(clock))
    called = []
    seconds = timing.in_turn(
        {"a": lambda: (step(), called.append(1))}, repeats=2, sample_seconds=0.0105
    )
    assert seconds["a"] == pytest.approx([0.001, 0.001])
    assert len(called) >= 2 + 2 * 11


def row(ratios, *, shape=TINY, **changes):
    given = {"work": "dense", "cell": "lstm", "threads": 1, "backend": "llvm", "against": "nn.LSTM"}
    return lab.Row(
        **given | {"shape": shape, "ours": 2.0, "theirs": 4.0, "ratios": ratios} | changes
    )


def test_median_and_spread():
    one = row([float(n) for n in range(1, 12)])
    assert one.ratio == 6
    assert one.spread == (2, 10)
    assert row([]).ratio is None
    assert row([]).spread is None


def test_geometric_mean_and_least():
    other = lab.Shape(9, 9, 9, 9)
    rows = [row([1.0, 2.0, 30.0]), row([8.0], shape=other), row([5.0], threads=2), row([])]
    first, second = lab.summarise(rows)
    assert (first.geometric_mean, first.lowest, first.lowest_shape) == (pytest.approx(4), 2, TINY)
    assert (first.shapes, second.shapes, second.threads) == (2, 1, 2)


HERE = machine.Machine(
    processor="Some Processor",
    vectors="avx2",
    cores=2,
    load=0.5,
    system="Linux x86_64",
    python="3.12.0",
    versions={"torch": "2.9"},
)


def result():
    rows = [row([2.0, 2.5, 3.0]), row([], work="compile", unit="s", ours=0.25, theirs=None)]
    return lab.Result(
        machine=HERE,
        options=lab.Options(**ONCE, works=("dense", "compile")),
        how={"dense": lab.WORKS["dense"]},
        seconds=1.0,
        summary=lab.summarise(rows),
        rows=rows,
        skipped=[],
    )


def test_a_result_is_a_file_and_a_table(call, tmp_path):
    (tmp_path / "result.json").write_bytes(lab.to_json(result()))
    assert lab.read(tmp_path / "result.json") == result()
    code, out, err = call("bench", "--readme", "result.json")
    assert (code, err) == (0, "")
    assert out == lab.markdown(result())
    assert "| dense | lstm | nn.LSTM | 1 | 2.50 | 2.50 at 3,4,5,6 |" in out
    assert "| compile | lstm | 1 | 0.25 s at 5, 6 |" in out
    assert out.startswith("Some Processor, avx2, 2 cores, load 0.5 at the start, Linux x86_64;")
    plain = to_plain(result())["rows"][0]
    assert (plain["ratio"], plain["low"], plain["high"]) == (2.5, 2.1, 2.9)


@pytest.mark.parametrize("content", [None, b"{}", b"\xff"])
def test_a_file_that_is_no_result(tmp_path, content):
    path = tmp_path / "result.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read" if content is None else "is no result"):
        lab.read(path)


def test_the_machine_is_named():
    here = machine.machine()
    assert here.processor
    assert here.cores >= 1
    assert here.versions["torch"].startswith(torch.__version__.split("+")[0])


# The commands


def test_bench_in_a_process_of_its_own(call):
    argv = ("bench", "--work", "ragged", "--cells", "elman", "--shapes", "3,4,5,6")
    code, out, err = call(*argv, "--repeats", "1", "--threads", "1", "--json", "--out", "r.json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [one["cell"] for one in found["rows"]] == ["elman"]
    assert found["summary"][0]["shapes"] == 1
    assert msgspec.to_builtins(lab.read(Path("r.json")))["rows"][0]["threads"] == 1


def test_bench_prints_whole_lines(call, monkeypatch):
    monkeypatch.setattr(
        lab, "bench", lambda options, on_row: (on_row(result().rows[0]), result())[1]
    )
    code, out, err = call("bench")
    assert code == 0
    assert err == "dense lstm at 3,4,5,6, 1 thread: 2 ms, 2.50 times nn.LSTM\n"
    assert "2.50 (2.10-2.90)" in out
    assert "\nOver all shapes\n" in out


def test_a_process_that_fails():
    with pytest.raises(LabError, match="a measuring process failed: KeyError: 'nonsense'"):
        list(fresh.answers({"kind": "nonsense"}, threads=1))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--work", "raged"], "--work names 'raged'; there are ragged, dense"),
        (["--work", ","], "--work names nothing; there are ragged"),
        (["--against", "keras"], "--against names 'keras'; there are torch, eager, jax"),
        (["--cells", "lstn"], "there is no cell called 'lstn'; did you mean lstm?"),
        (["--shapes", "1,2,3"], "--shapes is '1,2,3'; give small, all, or T,B,I,H"),
        (["--shapes", "1,2,0,3"], "the shape 1,2,0,3 has a size under 1"),
        (["--threads", "0"], "--threads is 0; this process may use 1 to"),
        (["--threads", "two"], "--threads names 'two'; give whole numbers, as in 1,2"),
        (["--repeats", "0"], "--repeats is 0; it must be 1 or more"),
        (["--out", "none/r.json"], "--out none/r.json: there is no folder none"),
        (["--readme", "none.json"], "none.json: cannot be read"),
    ],
)
def test_bench_refuses(call, argv, said):
    code, out, err = call("bench", *argv)
    assert (code, out) == (2, "")
    assert err.startswith(f"elman: {said}")
    assert err.count("\n") == 1


def test_names_of_cells_may_hold_commas():
    assert lab.read_cells("lstm, zoneout(lstm, h=.1, c=.1),lstm") == (
        "lstm",
        "zoneout(lstm, h=.1, c=.1)",
    )
    assert lab.read_shape("small") + lab.read_shape("1,2,3,4") == (*lab.SMALL, (1, 2, 3, 4))


def test_cells_are_listed_with_equations_and_costs(call):
    code, out, err = call("cells")
    assert (code, err) == (0, "")
    for one in ALL_CELLS:
        assert f"\n{one.name}  " in f"\n{out}"
    assert "    i = sigmoid(W_xi x + W_hi h + b_i)\n" in out
    assert "131,584 parameters; 264,320 FLOP a token, 133,248 of them in the loop\n" in out
    rows = json.loads(call("cells", "--json", "--input-size", "3", "--hidden-size", "4")[1])
    assert [row["name"] for row in rows] == [one.name for one in ALL_CELLS]
    assert {row["hidden_size"] for row in rows} == {4}


def test_one_cell_in_full(call, tmp_path):
    code, out, err = call("cells", "mut1", "--input-size", "64", "--hidden-size", "32")
    assert (code, err) == (0, "")
    assert "\nz = sigmoid(W_xz x + b_z)\n" in out
    assert "projection  32 x 64" in out
    assert "a learned projection brings x to H first" in out
    (tmp_path / "mine.py").write_text(
        "from elman.cell import cell, tanh\n"
        '@cell(state="h")\ndef mine(p, x, h):\n    """Mine."""\n    return tanh(p.h(x, h))\n'
    )
    assert json.loads(call("cells", "mine.py:mine", "--json")[1])["shapes"]["h.x"] == [128, 128]
    assert call("cells", "lsmt")[0] == 2
    assert (
        call("cells", "--hidden-size", "0")[2] == "elman: hidden_size is 0; it must be 1 or more\n"
    )
