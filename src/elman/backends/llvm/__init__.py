"""Kernels compiled by LLVM for the processor at hand."""
