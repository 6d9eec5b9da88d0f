"""A kernel as data becomes text in LLVM's assembly language, without torch and llvmlite."""
