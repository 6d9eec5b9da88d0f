"""Compiled code on disk: what is shared, what is not, and what becomes of files not ours."""

import errno
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import weakref
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import elman
import elman.compiler
from elman.backends.llvm.call import signature
from elman.backends.llvm.emit.kernel import write
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.native import cache, compiler, host
from elman.cell import cell, tanh
from elman.cells import ALL_CELLS, find
from elman.ir.graph import Op, apply, constant, state_node
from elman.nn import Recurrent

NAMES = ("run", "pack")
KINDS = ("inference", "forward", "backward")
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ELMAN_CACHE", str(folder))
    monkeypatch.setattr(cache, "_said", set())
    return folder


@pytest.fixture(scope="module")
def small_object():
    """Object code with the names that are asked for, much sooner compiled than a kernel."""
    return compiler.compile_object(
        "".join(f"define void @{one}() {{ ret void }}\n" for one in NAMES)
    )


@pytest.fixture(autouse=True)
def compiled(request, monkeypatch, small_object):
    """Grows by one with each compilation, of the small object unless a test is marked."""
    done = []
    real = compiler.compile_object if "real" in request.fixturenames else lambda _: small_object
    monkeypatch.setattr(compiler, "compile_object", lambda text: done.append(text) or real(text))
    return done


@pytest.fixture
def real():
    """For a test that needs the kernels themselves."""


def source(name="elman", kind="inference", size=5, scalar="float"):
    program = elman.compiler.compile(find(name).graph)
    return source_of(host.detect().spec(getattr(program, kind), program.place, size, scalar))


def source_of(spec):
    return cache.Source(spec, lambda: write(Layout(spec)))


def load(*args, **options):
    return cache.load(source(*args, **options), NAMES)


def only_file(folder) -> Path:
    (path,) = folder.iterdir()
    return path


# Hit and miss


def test_code_is_compiled_once(folder, compiled):
    for _ in range(3):
        _, addresses = load()
        assert all(addresses[name] for name in NAMES)
    assert len(compiled) == 1


def forget_executables():
    """Have them loaded anew, as a fresh process would."""
    for name in ("backend", "call.autograd"):
        module = sys.modules.get(f"elman.backends.llvm.{name}")
        for one in vars(module).values() if module else ():
            if hasattr(one, "cache_clear") and "elman.backends.llvm" in one.__module__:
                one.cache_clear()


def test_what_is_loaded_computes_the_same(folder, compiled, real):
    torch.manual_seed(0)
    layer = Recurrent("gru", 3, 5, backend="llvm")
    batch = torch.nn.utils.rnn.pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    results = []
    for _ in range(2):
        forget_executables()
        layer.zero_grad()
        output = layer(batch)[0].data
        output.sum().backward()
        results.append([output.detach(), *(one.grad.clone() for one in layer.parameters())])
    assert len(compiled) == 2, "forward and backward, once each"
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


def test_folder_and_files_are_private(folder):
    load()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 or sys.platform == "win32"
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600 or sys.platform == "win32"


# What code depends on


def test_key_is_the_same_where_the_code_is_and_only_there(folder):
    keys: dict[str, str] = {}
    texts: dict[str, str] = {}
    for one in ALL_CELLS:
        for kind in KINDS if "lstm" in one.name else KINDS[2:]:
            found = source(one.name, kind)
            key, text = found.key, found.text()
            assert texts.setdefault(key, text) == text
            assert keys.setdefault(text, key) == key
    assert len(keys) > len(ALL_CELLS)
    assert source("lstm").key == source("lstm_b").key, "they begin differently, and that is all"


@pytest.mark.parametrize(
    "other",
    [
        {"name": "elman_relu"},
        {"kind": "forward"},
        {"kind": "backward"},
        {"size": 6},
        {"size": 8},
        {"scalar": "double"},
    ],
    ids=str,
)
def test_other_code_is_not_shared(folder, compiled, other):
    load()
    load(**other)
    assert len(compiled) == 2
    assert len(list(folder.iterdir())) == 2


def test_kernels_of_the_same_operations_are_told_apart(folder):
    @cell(state="h")
    def one(p, x, h):
        return tanh(p.a(x, bias=False) + p.b(h, bias=False)) * h + x

    @cell(state="h")
    def other(p, x, h):
        return tanh(p.a(x, bias=False) + p.b(h, bias=False)) * x + h

    assert source(one).key != source(other).key


def test_place_of_a_matrix_counts(folder):
    spec = source().name
    (name,) = (str(node.attr) for node in spec.kernel.products)
    stack, at = spec.places[name]
    moved = replace(spec, places={**spec.places, name: (stack, at + 1)})
    assert source_of(spec).key != source_of(moved).key


@pytest.mark.parametrize("change", ["lanes", "registers", "size", "x86", "tuning"])
def test_every_part_of_the_spec_counts(folder, change):
    spec = source().name
    shape = spec.shape
    other = {
        "lanes": {"shape": replace(shape, lanes=replace(shape.lanes, count=2))},
        "registers": {"shape": replace(shape, registers=48 - shape.registers)},
        "size": {"shape": replace(shape, hidden_size=9)},
        "x86": {"x86": not spec.x86},
        "tuning": {"tuning": replace(spec.tuning, row_group=5)},
    }[change]
    assert source_of(spec).key != source_of(replace(spec, **other)).key


@pytest.mark.parametrize("change", ["compiler", "versions", "processor"])
def test_another_compiler_or_processor_compiles_anew(folder, compiled, monkeypatch, change):
    load()
    here = host.detect()
    if change == "compiler":
        monkeypatch.setattr(cache, "_SOURCES", "another")
    elif change == "versions":
        monkeypatch.setattr(compiler, "versions", lambda: "llvmlite 99")
    else:
        other = replace(here, features=here.features + ",+more")
        monkeypatch.setattr(host, "detect", lambda: other)
    load()
    assert len(compiled) == 2
    assert len(list(folder.iterdir())) == 2


def test_every_source_of_the_compiler_counts(tmp_path):
    root = Path(elman.__file__).parent
    copy = tmp_path / "elman"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("__pycache__", "static"))
    before = cache._hash_of_sources(copy)
    assert before == cache._hash_of_sources(root)
    for name in (
        "compiler.py",
        "ir/rewrite.py",
        "autodiff/rules.py",
        "schedule/residuals.py",
        "backends/llvm/emit/kernel.py",
        "backends/llvm/native/compiler.py",
    ):
        text = (copy / name).read_text(encoding="utf-8")
        (copy / name).write_text(text + "# changed\n", encoding="utf-8")
        assert cache._hash_of_sources(copy) != before, name
        (copy / name).write_text(text, encoding="utf-8")
    (copy / "nn" / "more.py").write_text("")
    assert cache._hash_of_sources(copy) == before


def test_without_sources_nothing_is_kept(folder, compiled, monkeypatch, caplog, tmp_path):
    assert cache._hash_of_sources(tmp_path) == ""
    monkeypatch.setattr(cache, "_SOURCES", "")
    load()
    load()
    assert len(compiled) == 2
    assert not folder.exists()
    assert "sources" in caplog.text


def test_listing_is_structural():
    h = state_node("h")
    deep = h
    for _ in range(20_000):
        deep = apply(Op.TANH, deep)
    assert cache.listing(deep).count("\n") == 20_001
    assert cache.listing((h, h)) == cache.listing([h, h])
    assert cache.listing(constant(0.0)) != cache.listing(constant(-0.0))
    assert cache.listing({"a": 1, "b": 2}) != cache.listing({"b": 2, "a": 1})
    assert cache.listing({"b", "a"}) == cache.listing({"a", "b"})
    assert cache.listing(("a,b",)) != cache.listing(("a", "b"))
    with pytest.raises(TypeError, match="object has no text"):
        cache.listing((1, object()))


def test_listing_tells_types_apart():
    @dataclass
    class A:
        x: int

    @dataclass
    class B:
        x: int

    assert cache.listing(A(1)) != cache.listing(B(1))
    assert cache.listing("1") != cache.listing(1)


# Files that are not what they should be


DAMAGE = {
    "empty": lambda data, other: b"",
    "one byte": lambda data, other: data[:1],
    "no code": lambda data, other: data[:144],
    "truncated": lambda data, other: data[:-1],
    "longer": lambda data, other: data + b"\0",
    "a bit": lambda data, other: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "head": lambda data, other: data.replace(b"kernel 1", b"kernel 0", 1),
    "foreign": lambda data, other: b"\x7fELF" + bytes(1000),
    "of another kernel": lambda data, other: other,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_file_is_made_anew(folder, compiled, damage):
    load("elman_relu")
    other = only_file(folder).read_bytes()
    only_file(folder).unlink()
    load()
    path = only_file(folder)
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[damage](whole, other))
    load()
    assert len(compiled) == 3
    assert path.read_bytes() == whole
    load()
    assert len(compiled) == 3


def test_whole_file_that_cannot_be_linked_is_made_anew(folder, compiled):
    load()
    path = only_file(folder)
    whole = path.read_bytes()
    cache._Store(folder).write(path.stem, b"not object code")
    load()
    assert len(compiled) == 2
    assert path.read_bytes() == whole


def test_folder_in_place_of_a_file_is_left_alone(folder, compiled, caplog):
    load()
    path = only_file(folder)
    path.unlink()
    path.mkdir()
    load()
    load()
    assert len(compiled) == 3
    assert [path.name for path in folder.iterdir()] == [path.name], "nothing unfinished is left"
    assert caplog.text.count("set ELMAN_CACHE") == 1


@posix
def test_neither_links_nor_pipes_are_followed(folder, compiled, tmp_path):
    load()
    path = only_file(folder)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    load()
    path.unlink()
    os.mkfifo(path)
    load()
    load()
    assert len(compiled) == 3
    assert path.is_file()


# Folders that cannot or must not be used


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702], ids=oct)
def test_folder_that_others_can_write_to_is_not_used(folder, compiled, caplog, mode):
    load()
    folder.chmod(mode)
    load()
    load("elman_relu")
    assert len(compiled) == 3
    assert len(list(folder.iterdir())) == 1
    assert caplog.messages == [
        f"compiled cells are not kept for the next process, since {folder} can be written to by "
        "other users; set ELMAN_CACHE to a folder that only you can write to"
    ]


@posix
def test_file_that_others_can_write_to_is_not_used(folder, compiled):
    load()
    only_file(folder).chmod(0o666)
    load()
    assert len(compiled) == 2
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600


@posix
def test_only_mine_and_roots_own_count():
    def owned(uid, mode):
        return os.stat_result((mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))

    me = os.geteuid()
    assert cache._only_mine(owned(me, 0o100600))
    assert cache._only_mine(owned(0, 0o40755))
    assert not cache._only_mine(owned(me + 1, 0o100600))
    assert not cache._only_mine(owned(me, 0o100620))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_folder_that_cannot_be_written_is_said_once(folder, compiled, caplog, monkeypatch, code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "mkstemp", fail)
    load()
    load("elman_relu")
    assert len(compiled) == 2
    assert len(caplog.messages) == 1
    assert f"{folder} cannot be written ({os.strerror(code).lower()})" in caplog.text


def test_disk_that_fills_up_leaves_nothing_behind(folder, compiled, monkeypatch, caplog):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    load()
    assert list(folder.iterdir()) == []
    assert "no space left" in caplog.text


def test_read_only_folder_is_read(folder, compiled, monkeypatch):
    load()
    folder.chmod(0o500)

    def fail(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("replace", "utime", "mkdir"):
        monkeypatch.setattr(os, name, fail)
    monkeypatch.setattr(tempfile, "mkstemp", fail)
    load()
    assert len(compiled) == 1
    folder.chmod(0o700)


def test_cache_under_a_file_is_said_once(tmp_path, compiled, caplog, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cache, "_said", set())
    for name in ("file", "file/below"):
        monkeypatch.setenv("ELMAN_CACHE", str(tmp_path / name))
        load()
        load()
    assert len(compiled) == 4
    assert len(caplog.messages) == 2


def test_no_home_folder(monkeypatch, compiled, caplog):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache, "_said", set())
    monkeypatch.setattr(Path, "home", homeless)
    for name in ("ELMAN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    load()
    assert len(compiled) == 1
    assert "no home folder" in caplog.text


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", None, ".cache/elman"),
        ("linux", "XDG_CACHE_HOME", "x/elman"),
        ("darwin", None, "Library/Caches/elman"),
        ("win32", None, "AppData/Local/elman"),
        ("win32", "LOCALAPPDATA", "x/elman"),
        ("win32", "ELMAN_CACHE", "x"),
        ("linux", "ELMAN_CACHE", "x"),
    ],
)
def test_platforms_cache_folder(monkeypatch, tmp_path, platform, variable, expected):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("ELMAN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "x"))
    assert cache.folder() == tmp_path / expected


# Several processes


PROGRAM = """
import sys
from test_llvm_cache import KEYS, NAMES, cache, compiler, source
cache._SOURCES = "as one"  # someone may be editing them between the starts
done = []
real = compiler.compile_object
compiler.compile_object = lambda text: done.append(text) or real(text)
sys.stdin.readline()
cache.load(source("mingru", "forward"), NAMES)
print(len(done), *(source(name, "backward").key for name in KEYS))
"""
KEYS = ("lstm", "gru_v1", "slstm", "zoneout(layer_norm(mut3))", "recurrent_dropout(mlstm)")


def test_processes_at_once_and_the_next_one(folder, compiled, monkeypatch):
    """What one process has compiled others find under the same key, however they overlap."""
    monkeypatch.setattr(cache, "_SOURCES", "as one")
    program = [sys.executable, "-c", PROGRAM]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environments = (
        {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed} for seed in ("1", "2")
    )
    both = [subprocess.Popen(program, env=one, text=True, **pipes) for one in environments]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    keys = []
    for process in both:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        count, *found = out.split()
        assert count in ("0", "1")
        keys.append(found)
    assert keys[0] == keys[1] == [source(name, "backward").key for name in KEYS]
    load("mingru", "forward")
    assert compiled == []
    assert only_file(folder).stat().st_size > 1000


# Bounds


NOW = 1e9


@pytest.fixture
def now(monkeypatch):
    """The clock stands still."""
    monkeypatch.setattr(cache.time, "time", lambda: NOW)


def fill(folder, *ages: float) -> list[Path]:
    folder.mkdir(mode=0o700)
    paths = [folder / f"{at:064}.kernel" for at in range(len(ages))]
    for path, age in zip(paths, ages, strict=True):
        path.write_bytes(bytes(100))
        os.utime(path, (NOW - age,) * 2)
    return paths


def test_least_recently_used_files_go_first(folder, monkeypatch):
    monkeypatch.setattr(cache, "_MOST_FILES", 3)
    old, older, new = fill(folder, 50, 100, 10)
    load()
    assert not older.exists()
    assert old.exists()
    assert new.exists()


def test_use_makes_a_file_recent(folder, monkeypatch, compiled):
    load()
    used = only_file(folder)
    os.utime(used, (0, 0))
    load()
    assert used.stat().st_mtime > 0


def test_bytes_are_bounded(folder, monkeypatch):
    load()
    path = only_file(folder)
    monkeypatch.setattr(cache, "_MOST_BYTES", 3 * path.stat().st_size)
    for size in range(6, 11):
        load(size=size)
    assert 1 <= len(list(folder.iterdir())) <= 3


def test_only_what_dead_writers_left_is_cleared(folder, now):
    fill(folder)
    names = {"dead.unfinished": 4000, "writing.unfinished": 1, "notes.txt": 1e6}
    for name, age in names.items():
        (folder / name).write_text("")
        os.utime(folder / name, (NOW - age,) * 2)
    load()
    assert {path.name for path in folder.iterdir()} >= {"writing.unfinished", "notes.txt"}
    assert not (folder / "dead.unfinished").exists()


def test_files_that_others_prune_meanwhile_are_no_failure(folder, monkeypatch, caplog):
    monkeypatch.setattr(cache, "_MOST_FILES", 1)
    fill(folder, 10, 20)

    def gone(path):
        raise FileNotFoundError(errno.ENOENT, "No such file", path)

    monkeypatch.setattr(os, "unlink", gone)
    with caplog.at_level(logging.INFO):
        load()
    assert caplog.messages == []


# In memory


def test_a_search_over_sizes_keeps_few_kernels_loaded(monkeypatch):
    class Loaded:
        def __init__(self, spec):
            self.size = spec.shape.hidden_size

    monkeypatch.setattr(signature, "Executable", Loaded)
    signature._executable.cache_clear()
    known, most = signature.signature_of(find("elman").graph), signature.MOST_EXECUTABLES
    loaded = weakref.WeakSet()
    for size in range(1, most + 20):
        loaded.add(known.executable("forward", size, torch.float32))
        first = known.executable("forward", 1, torch.float32)
    sizes = {one.size for one in loaded}
    assert len(sizes) == most
    assert {1, most + 19} <= sizes, "what is used stays"
    assert first is known.executable("forward", 1, torch.float32)
    signature._executable.cache_clear()


def test_a_kernel_that_is_let_go_is_unloaded(folder, real):
    known = signature.signature_of(find("elman").graph)
    executable = weakref.ref(known.executable("inference", 3, torch.float32))
    tracker = weakref.ref(executable()._alive)
    signature._executable.cache_clear()
    assert executable() is None
    assert tracker() is None


FRAGMENTED = """
import ctypes, sys
from elman.backends.llvm.native import compiler

NONE, ANONYMOUS = 0, 0x4022  # private, and no memory behind it
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
code = compiler.compile_object(sys.stdin.read())
compiler._jit()
pages = [libc.mmap(None, 4096, NONE, ANONYMOUS, -1, 0) for _ in range(2000)]
wall = libc.mmap(None, 6 << 30, NONE, ANONYMOUS, -1, 0)
for shift in range(32, 12, -1):  # no room above the wall but for single pages
    while (place := libc.mmap(None, 1 << shift, NONE, ANONYMOUS, -1, 0)) > wall:
        pass
    libc.munmap(place, 1 << shift)
for page in pages[::2]:
    libc.munmap(page, 4096)
kept = [compiler.load(code, ("run",)) for _ in range(10)]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="fills the address space as Linux has it")
def test_code_and_constants_lie_together_however_memory_is_cut_up():
    text = source("lstm", "forward").text()
    done = subprocess.run(
        [sys.executable, "-c", FRAGMENTED], input=text, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_the_suite_has_a_cache_of_its_own():
    assert cache.folder().name.startswith("elman-tests-")
