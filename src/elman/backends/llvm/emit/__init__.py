"""A kernel as data becomes text in LLVM's assembly language; nothing here needs torch or llvmlite."""
