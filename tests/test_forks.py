"""Children of a process that has used several threads: they answer, and in as many threads."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")

# A child that waits for ever is ended by its own alarm, so that none is left behind.
HEAD = """
import os, signal, sys, threading, traceback
import torch
import elman.nn
from elman.backends.llvm.call import memory
from elman.backends.llvm.native import threads
from elman.ir import graph
from elman.nn import Recurrent, ragged

def tasks():
    return len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0

before = tasks()
torch.set_num_threads(2)
counts = []  # of the threads in which kernels ran
run = threads.run

def counted(alone, team_entry, address, count):
    counts.append(count)
    run(alone, team_entry, address, count)

threads.run = counted
lengths = [10] * 15 + [0]
data = torch.randn(150, 16)
large = torch.randn(500, 500)
layers = {
    "recurrent": Recurrent("lstm", 16, 48),
    "layer_norm": Recurrent("layer_norm(gru)", 16, 48),
    "drop-in": elman.nn.LSTM(16, 48, 2),
    "torch": torch.nn.LSTM(16, 48),
}

def train(name):
    x = ragged.pack(data, lengths) if name != "torch" else data.view(10, 15, 16)
    output = layers[name](x)[0]
    output = output if name == "torch" else output.data
    gradients = torch.autograd.grad(output.square().sum(), list(layers[name].parameters()))
    return [output.detach(), *gradients]

def products():
    return [large @ large, torch.tanh(large), large.sum(0)]

def everything():
    return [one for found in (products(), *map(train, layers)) for one in found]

def fork(work):
    "Do it in a child and wait for that."
    pid = os.fork()
    if not pid:
        signal.alarm(150)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"the child ended with {status}"

def check(wanted, count):
    "The same again, in so many threads."
    counts.clear()
    assert torch.get_num_threads() == count
    torch.testing.assert_close(everything(), wanted)
    assert max(counts, default=1) == count, counts

products()
assert sys.platform != "linux" or tasks() > before, "torch ran in one thread"
wanted = everything()
check(wanted, 2)
"""


def ran(script, *arguments, timeout=400, **variables):
    """The script after `HEAD` in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-c", HEAD + script, *map(str, arguments)],
        # Threads that wait spin for a while, which takes long on a busy machine.
        env=os.environ | {"GOMP_SPINCOUNT": "0"} | variables,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_a_child_and_its_parent_go_on():
    ran("fork(lambda: check(wanted, 2)); check(wanted, 2)")


def test_a_child_of_a_child():
    ran(
        """
def child():
    check(wanted, 2)
    fork(lambda: check(wanted, 2))
    check(wanted, 2)

fork(child)
fork(lambda: fork(lambda: check(wanted, 2)))
check(wanted, 2)
"""
    )


def test_a_fork_in_another_thread():
    ran(
        """
failed = []

def work():
    try:
        check(wanted, 2)
        fork(lambda: check(wanted, 2))
    except BaseException as error:
        failed.append(error)

thread = threading.Thread(target=work, daemon=True)
thread.start()
thread.join()
assert not failed, failed
fork(lambda: check(wanted, 2))
"""
    )


TEAMS = {
    "too old to be ended": "old = threads.team()._replace(pause=None); threads.team = lambda: old",
    "busy": "busy = threads.team()._replace(pause=lambda kind: -1); threads.team = lambda: busy",
    "not GNU's": "threads.team = lambda: None",
}


@pytest.mark.parametrize("team", TEAMS)
def test_one_thread_where_the_team_cannot_be_ended(team):
    ran(f"{TEAMS[team]}\ncheck(wanted, 2)\nfork(lambda: check(wanted, 1))\ncheck(wanted, 2)")


def test_a_pool_of_pythons_threads_starts_anew():
    ran(
        """
def child():
    threads._pool(1)
    seen = []
    threads.in_pool(seen.append, 2)
    assert sorted(seen) == [0, 1]

threads.in_pool(lambda index: None, 2)
fork(child)
"""
    )


def test_predictions(bundle_made_once):
    ran(
        """
import elman

model = elman.load(sys.argv[1])
names = ["kamoto", "schmidt", "", "miyama"] * 400
counts.clear()
answers = model.predict(names)
assert max(counts) == 2, counts

def child():
    counts.clear()
    assert model.predict(names) == answers
    assert max(counts) == 2, counts
    assert elman.load(sys.argv[1]).predict(names) == answers

fork(child)
assert model.predict(names) == answers
""",
        bundle_made_once,
    )


def test_workers_of_a_data_loader():
    ran(
        """
class Outputs(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        packed = ragged.pack(data * index, lengths)
        return layers["recurrent"](packed)[0].data.detach().sum(0)

whole = torch.stack([Outputs()[index] for index in range(6)])
loader = torch.utils.data.DataLoader(
    Outputs(), batch_size=2, num_workers=2, multiprocessing_context="fork", timeout=150
)
for _ in range(2):
    torch.testing.assert_close(torch.cat(list(loader)), whole, rtol=1e-3, atol=1e-3)
    check(wanted, 2)
"""
    )


def test_locks_that_another_thread_holds():
    ran(
        """
stream = Recurrent("gru", 4, 5)
state = stream.start(batch_size=2)
held, done = threading.Event(), threading.Event()

def hold():
    with graph._lock, memory._lock, state.session._lock:
        held.set()
        done.wait()

def child():
    stream.step(torch.zeros(2, 4), state)
    graph.input_node("a name of its own")
    check(wanted, 2)
    memory.borrow(1 << 12, 1 << 12, torch.float32)

thread = threading.Thread(target=hold, daemon=True)
thread.start()
held.wait()
fork(child)
done.set()
thread.join()
child()
"""
    )


def test_a_fork_waits_for_a_call_of_llvm(tmp_path):
    # llvmlite's own name for its lock: without it forks would not wait.
    ran(
        """
from time import sleep
from llvmlite import binding

held = threading.Event()

def call():
    with binding.ffi.lib._lock:
        held.set()
        sleep(1)

thread = threading.Thread(target=call, daemon=True)
thread.start()
held.wait()
fork(lambda: Recurrent("gru", 4, 1000)(ragged.pack(torch.zeros(3, 4), [2, 1])))
thread.join()
Recurrent("gru", 4, 1001)(ragged.pack(torch.zeros(3, 4), [2, 1]))
""",
        ELMAN_CACHE=str(tmp_path),
    )


def test_a_fork_while_another_thread_compiles(tmp_path):
    ran(
        """
sizes = iter(range(3, 1000))
compiling, enough = threading.Event(), threading.Event()

def compile(sizes):
    for size in sizes:
        with torch.no_grad():
            Recurrent("gru", 4, size)(ragged.pack(torch.zeros(3, 4), [2, 1]))
        compiling.set()
        if enough.is_set():
            break

thread = threading.Thread(target=compile, args=(sizes,), daemon=True)
thread.start()
compiling.wait()
for at in range(3):
    fork(lambda: compile([1000 + at]))
enough.set()
thread.join()
""",
        ELMAN_CACHE=str(tmp_path),
    )
