"""Tensors go through kernels and come back as tensors that autograd knows."""
