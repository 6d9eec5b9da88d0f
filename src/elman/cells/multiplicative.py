"""The cell whose recurrent weights depend on the input."""

from elman.cell import cell, sigmoid, tanh


@cell(state=("h", "c"))
def mlstm(p, x, h, c):
    """Multiplicative LSTM (Krause et al. 2016), as in the sentiment neuron (Radford et al. 2017).

    An LSTM that sees m where it saw h, so that each input has its own recurrent weights. Not the
    mLSTM of xLSTM, whose state is a matrix.

    m = (W_mx x) (W_mh h)
    i = sigmoid(W_xi x + W_mi m + b_i)
    f = sigmoid(W_xf x + W_mf m + b_f)
    g = tanh(W_xg x + W_mg m + b_g)
    o = sigmoid(W_xo x + W_mo m + b_o)
    c = f c + i g
    h = o tanh(c)
    """
    m = p.mx(x, bias=False) * p.mh(h, bias=False)
    i = sigmoid(p.i(x, m))
    f = sigmoid(p.f(x, m))
    g = tanh(p.g(x, m))
    o = sigmoid(p.o(x, m))
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
