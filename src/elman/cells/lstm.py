"""Long short-term memory."""

from typing import Any

from elman.cell import cell, sigmoid, tanh


@cell(state=("h", "c"))
def lstm(p: Any, x: Any, h: Any, c: Any) -> Any:
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
