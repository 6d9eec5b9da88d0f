"""Long short-term memory."""

from elman.cell import cell, sigmoid, tanh


@cell(state=("h", "c"))
def lstm(p, x, h, c):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), as torch.nn.LSTM.

    With the forget gate of Gers, Schmidhuber and Cummins 2000 and without peepholes.

    i = sigmoid(W_xi x + W_hi h + b_i)
    f = sigmoid(W_xf x + W_hf h + b_f)
    g = tanh(W_xg x + W_hg h + b_g)
    o = sigmoid(W_xo x + W_ho h + b_o)
    c = f c + i g
    h = o tanh(c)
    """
    i = sigmoid(p.i(x, h))
    f = sigmoid(p.f(x, h))
    g = tanh(p.g(x, h))
    o = sigmoid(p.o(x, h))
    c = f * c + i * g
    h = o * tanh(c)
    return h, c


@cell(state=("h", "c"))
def lstm_b(p, x, h, c):
    """LSTM whose forget bias begins at 1 (LSTM-b of Jozefowicz, Zaremba and Sutskever 2015).

    The equations are those of the LSTM; only the first value of b_f is another.

    i = sigmoid(W_xi x + W_hi h + b_i)
    f = sigmoid(W_xf x + W_hf h + b_f), b_f = 1 at first
    g = tanh(W_xg x + W_hg h + b_g)
    o = sigmoid(W_xo x + W_ho h + b_o)
    c = f c + i g
    h = o tanh(c)
    """
    i = sigmoid(p.i(x, h))
    f = sigmoid(p.f(x, h, bias=1.0))
    g = tanh(p.g(x, h))
    o = sigmoid(p.o(x, h))
    c = f * c + i * g
    h = o * tanh(c)
    return h, c


@cell(state=("h", "c"))
def lstm_f(p, x, h, c):
    """LSTM without a forget gate (LSTM-f of Jozefowicz, Zaremba and Sutskever 2015): f = 1.

    i = sigmoid(W_xi x + W_hi h + b_i)
    g = tanh(W_xg x + W_hg h + b_g)
    o = sigmoid(W_xo x + W_ho h + b_o)
    c = c + i g
    h = o tanh(c)
    """
    i = sigmoid(p.i(x, h))
    g = tanh(p.g(x, h))
    o = sigmoid(p.o(x, h))
    c = c + i * g
    h = o * tanh(c)
    return h, c


@cell(state=("h", "c"))
def lstm_i(p, x, h, c):
    """LSTM without an input gate (LSTM-i of Jozefowicz, Zaremba and Sutskever 2015): i = 1.

    f = sigmoid(W_xf x + W_hf h + b_f)
    g = tanh(W_xg x + W_hg h + b_g)
    o = sigmoid(W_xo x + W_ho h + b_o)
    c = f c + g
    h = o tanh(c)
    """
    f = sigmoid(p.f(x, h))
    g = tanh(p.g(x, h))
    o = sigmoid(p.o(x, h))
    c = f * c + g
    h = o * tanh(c)
    return h, c


@cell(state=("h", "c"))
def lstm_o(p, x, h, c):
    """LSTM without an output gate (LSTM-o of Jozefowicz, Zaremba and Sutskever 2015): o = 1.

    i = sigmoid(W_xi x + W_hi h + b_i)
    f = sigmoid(W_xf x + W_hf h + b_f)
    g = tanh(W_xg x + W_hg h + b_g)
    c = f c + i g
    h = tanh(c)
    """
    i = sigmoid(p.i(x, h))
    f = sigmoid(p.f(x, h))
    g = tanh(p.g(x, h))
    c = f * c + i * g
    h = tanh(c)
    return h, c


@cell(state=("h", "c"))
def lstm_coupled(p, x, h, c):
    """LSTM with coupled gates (Greff et al. 2015, CIFG): what is forgotten is written anew.

    f = sigmoid(W_xf x + W_hf h + b_f)
    i = 1 - f
    g = tanh(W_xg x + W_hg h + b_g)
    o = sigmoid(W_xo x + W_ho h + b_o)
    c = f c + i g
    h = o tanh(c)
    """
    f = sigmoid(p.f(x, h))
    i = 1 - f
    g = tanh(p.g(x, h))
    o = sigmoid(p.o(x, h))
    c = f * c + i * g
    h = o * tanh(c)
    return h, c


@cell(state=("h", "c"))
def lstm_peephole(p, x, h, c):
    """LSTM with peepholes (Gers and Schmidhuber 2000, equations as in Graves 2013).

    Each gate also sees the cell state through a vector w; the output gate sees the new one.

    i = sigmoid(W_xi x + W_hi h + w_ci c + b_i)
    f = sigmoid(W_xf x + W_hf h + w_cf c + b_f)
    g = tanh(W_xg x + W_hg h + b_g)
    c = f c + i g
    o = sigmoid(W_xo x + W_ho h + w_co c + b_o)
    h = o tanh(c)
    """
    i = sigmoid(p.i(x, h) + p.ci * c)
    f = sigmoid(p.f(x, h) + p.cf * c)
    g = tanh(p.g(x, h))
    c = f * c + i * g
    o = sigmoid(p.o(x, h) + p.co * c)
    h = o * tanh(c)
    return h, c
