"""From a step and its adjoint to kernels: what leaves the loop, what is kept, in which phases."""
