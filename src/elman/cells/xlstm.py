"""The scalar cell of xLSTM."""

from elman.cell import cell, exp, maximum, relu, sigmoid, softplus, tanh

_NEVER = 1e6


@cell(state=("h", "c", "n", "m"))
def slstm(p, x, h, c, n, m):
    """sLSTM, the LSTM with an exponential input gate (Beck et al. 2024, "xLSTM").

    One head, a sigmoid forget gate, and the stabiliser m, which keeps both gates at most 1 and
    leaves h as it would be without. The paper's z is called g here.

    a = W_xi x + W_hi h + b_i, the logarithm of the input gate
    b = log(sigmoid(W_xf x + W_hf h + b_f)), that of the forget gate
    g = tanh(W_xg x + W_hg h + b_g)
    o = sigmoid(W_xo x + W_ho h + b_o)
    m' = max(b + m, a)
    i = exp(a - m')
    f = exp(b + m - m')
    c = f c + i g
    n = f n + i
    h = o c / n

    At the first step m = 0 would hold a small input gate down, and c / n could become 0 / 0. So
    where n < 1/2, which says that nothing was read yet, m counts as minus a million: then m' = a,
    i = 1 and f = 0. Later n is at least 1, since the larger of i and f is 1, and m is itself.
    """
    a = p.i(x, h)
    b = -softplus(-p.f(x, h))
    g = tanh(p.g(x, h))
    o = sigmoid(p.o(x, h))
    kept = b + (m - _NEVER * relu(1 - 2 * n))
    m = maximum(kept, a)
    i = exp(a - m)
    f = exp(kept - m)
    c = f * c + i * g
    n = f * n + i
    h = o * c / n
    return h, c, n, m
