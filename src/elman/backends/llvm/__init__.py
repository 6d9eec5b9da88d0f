"""Kernels compiled by LLVM for the processor at hand.

Three stations, each of which knows those behind it: ``call`` (tensors, torch), ``native`` (machine
code, llvmlite) and ``emit`` (assembly as text). README.md beside this file walks one kernel through
them. What is named here is what others may use.
"""

from elman.backends.llvm.backend import Llvm
from elman.backends.llvm.call.launch import watched
from elman.backends.llvm.call.matmul import product
from elman.backends.llvm.call.passes import Call
from elman.backends.llvm.call.signature import signature_of
from elman.backends.llvm.call.tuning import Tuning, tuned
from elman.backends.llvm.emit.blocking import Chunk
from elman.backends.llvm.emit.kernel import write
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.emit.tuning import NEVER, CodeTuning, TileLimits
from elman.backends.llvm.native import compiler, host, threads

__all__ = [
    "NEVER",
    "Call",
    "Chunk",
    "CodeTuning",
    "Layout",
    "Llvm",
    "TileLimits",
    "Tuning",
    "compiler",
    "host",
    "product",
    "signature_of",
    "threads",
    "tuned",
    "watched",
    "write",
]
