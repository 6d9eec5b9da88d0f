"""Subnormal numbers are taken for zero while a kernel runs.

Decayed states become subnormal, and arithmetic on those takes 100 times as long.
"""

from elman.backends.llvm.emit.assembly import Function, Value

_FLUSH_TO_ZERO, _DENORMALS_ARE_ZERO = 1 << 15, 1 << 6
"""Bits of MXCSR, the mode of the processor's float arithmetic."""


def flush(f: Function) -> Value:
    """Set x86's mode, and return where the former one is kept."""
    f.declared.add("declare void @llvm.x86.sse.stmxcsr(ptr)")
    f.declared.add("declare void @llvm.x86.sse.ldmxcsr(ptr)")
    old = f.emit("ptr", "alloca i32, align 4")
    new = f.emit("ptr", "alloca i32, align 4")
    f.do(f"call void @llvm.x86.sse.stmxcsr({old.typed})")
    mode = f.load("i32", old)
    f.store(f.emit("i32", f"or {mode.typed}, {_FLUSH_TO_ZERO | _DENORMALS_ARE_ZERO}"), new)
    f.do(f"call void @llvm.x86.sse.ldmxcsr({new.typed})")
    return old


def restore(f: Function, old: Value) -> None:
    """Set the mode that `flush` found."""
    f.do(f"call void @llvm.x86.sse.ldmxcsr({old.typed})")
