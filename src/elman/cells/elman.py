"""The simple recurrent network."""

from elman.cell import cell, relu, tanh


@cell(state=("h",))
def elman(p, x, h):
    """Simple recurrent network (Elman 1990, "Finding structure in time"), as torch.nn.RNN.

    h = tanh(W_x x + W_h h + b)

    Its concatenated form, h = tanh(W [x; h] + b), is the same cell: W is W_x and W_h side by side.
    """
    return tanh(p.h(x, h))


@cell(state=("h",))
def elman_relu(p, x, h):
    """Simple recurrent network with rectified units (Le, Jaitly and Hinton 2015).

    As torch.nn.RNN with nonlinearity="relu"; the recurrent matrix begins orthogonal.

    h = relu(W_x x + W_h h + b)
    """
    return relu(p.h(x, h))
