"""The cells that an evolutionary search found (Jozefowicz, Zaremba and Sutskever 2015).

Their update gate is the other way round than a GRU's: z is the share of the new value.
"""

from elman.cell import cell, sigmoid, tanh


@cell(state=("h",))
def mut1(p, x, h):
    """MUT1 (Jozefowicz, Zaremba and Sutskever 2015).

    It adds the input itself to hidden units, so it needs I = H or a learned projection before it.

    z = sigmoid(W_xz x + b_z)
    r = sigmoid(W_xr x + W_hr h + b_r)
    n = tanh(W_hh (r h) + tanh(x) + b_h)
    h = n z + h (1 - z)
    """
    z = sigmoid(p.z(x))
    r = sigmoid(p.r(x, h))
    n = tanh(p.n(r * h) + tanh(x))
    return n * z + h * (1 - z)


@cell(state=("h",))
def mut2(p, x, h):
    """MUT2 (Jozefowicz, Zaremba and Sutskever 2015).

    It adds the input itself to hidden units, so it needs I = H or a learned projection before it.

    z = sigmoid(W_xz x + W_hz h + b_z)
    r = sigmoid(x + W_hr h + b_r)
    n = tanh(W_hh (r h) + W_xh x + b_h)
    h = n z + h (1 - z)
    """
    z = sigmoid(p.z(x, h))
    r = sigmoid(x + p.r(h))
    n = tanh(p.n(x, r * h))
    return n * z + h * (1 - z)


@cell(state=("h",))
def mut3(p, x, h):
    """MUT3 (Jozefowicz, Zaremba and Sutskever 2015).

    z = sigmoid(W_xz x + W_hz tanh(h) + b_z)
    r = sigmoid(W_xr x + W_hr h + b_r)
    n = tanh(W_hh (r h) + W_xh x + b_h)
    h = n z + h (1 - z)
    """
    z = sigmoid(p.z(x, tanh(h)))
    r = sigmoid(p.r(x, h))
    n = tanh(p.n(x, r * h))
    return n * z + h * (1 - z)
