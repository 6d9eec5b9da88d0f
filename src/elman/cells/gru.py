"""Gated recurrent units."""

from elman.cell import cell, sigmoid, tanh


@cell(state=("h",))
def gru(p, x, h):
    """Gated recurrent unit (Cho et al. 2014), reset gate after the product, as torch.nn.GRU.

    r = sigmoid(W_xr x + W_hr h + b_r)
    z = sigmoid(W_xz x + W_hz h + b_z)
    n = tanh(W_xn x + b_n + r (W_hn h + b_hn))
    h = (1 - z) n + z h
    """
    r = sigmoid(p.r(x, h))
    z = sigmoid(p.z(x, h))
    n = tanh(p.n(x) + r * p.hn(h))
    return (1 - z) * n + z * h


@cell(state=("h",))
def gru_v1(p, x, h):
    """Gated recurrent unit as published (Cho et al. 2014): reset gate before the product.

    With the biases that the paper leaves out.

    r = sigmoid(W_xr x + W_hr h + b_r)
    z = sigmoid(W_xz x + W_hz h + b_z)
    n = tanh(W_xn x + W_hn (r h) + b_n)
    h = (1 - z) n + z h
    """
    r = sigmoid(p.r(x, h))
    z = sigmoid(p.z(x, h))
    n = tanh(p.n(x, r * h))
    return (1 - z) * n + z * h
