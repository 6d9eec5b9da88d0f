"""Cells whose gates do not see the state, so that no product stands in the time loop."""

from elman.cell import cell, sigmoid


@cell(state=("h",))
def mingru(p, x, h):
    """Minimal GRU (Feng et al. 2024, "Were RNNs all we needed?"), in linear space.

    z = sigmoid(W_z x + b_z)
    n = W_n x + b_n
    h = (1 - z) h + z n
    """
    z = sigmoid(p.z(x))
    n = p.n(x)
    return (1 - z) * h + z * n


@cell(state=("h",))
def minlstm(p, x, h):
    """Minimal LSTM (Feng et al. 2024, "Were RNNs all we needed?"), in linear space.

    Its two gates are normalised, so that what is kept and what is new add up to 1.

    f = sigmoid(W_f x + b_f)
    i = sigmoid(W_i x + b_i)
    n = W_n x + b_n
    h = f / (f + i) h + i / (f + i) n
    """
    f = sigmoid(p.f(x))
    i = sigmoid(p.i(x))
    n = p.n(x)
    return f / (f + i) * h + i / (f + i) * n
