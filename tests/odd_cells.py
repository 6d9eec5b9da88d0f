"""Cells that no paper has, each with one thing that a compiler may get wrong."""

from elman.cell import cell, exp, maximum, mean, minimum, relu, sigmoid, softplus, sqrt, tanh


@cell(state=("h", "c"))
def swapped(p, x, h, c):
    """States that change places."""
    return c, tanh(p.h(x, h)) + 0.5 * c


@cell(state=("h", "c", "m"))
def rotated(p, x, h, c, m):
    """Three states in a circle, and one product of them all."""
    return tanh(p.a(x, h, c, m)), h, c


@cell(state=("h", "c"))
def still(p, x, h, c):
    """A state that does not change and is multiplied all the same."""
    return tanh(p.h(x, h, c)) + c, c


@cell(state="h")
def not_a_state(p, x, h):
    """An output that is no state, and a state that is kept by itself."""
    after = tanh(p.h(x, h))
    return relu(p.out(after)) + sigmoid(p.gate(h)), after


@cell(state=("h", "c"))
def deaf(p, x, h, c):
    """A state that the input does not reach."""
    c = tanh(p.c(c))
    return tanh(p.h(x, h)) * c, c


@cell(state="h")
def blind(p, x, h):
    """No state is read at all."""
    return sigmoid(p.a(x)) * p.b(x)


@cell(state=("h", "c"))
def late(p, x, h, c):
    """The former states are read after two products that need what comes of the new ones."""
    n = tanh(p.n(x, h))
    m = tanh(p.m(n)) + c
    return tanh(p.k(m)) * h + c * n, n


@cell(state=("h", "c"))
def whole_products(p, x, h, c):
    """The output is a product that also stands in a sum of products, and so does a stream."""
    a, b = p.a(h, bias=False), p.b(x, bias=False)
    return a, tanh(a + p.d(c, bias=False) + b) + b, sigmoid(c)


@cell(state=("h", "c"))
def tied(p, x, h, c):
    """One matrix for two operands, of which one comes a phase later, and one operand twice."""
    a = tanh(p.w(h) + p.v(x))
    return tanh(p.w(a)) + tanh(p.w(c) - p.u(h)), a


@cell(state="h")
def squared(p, x, h):
    """The input is worked on, of size I, before it is multiplied."""
    return tanh(p.z(x * x, h) + p.y(tanh(x)) * mean(x) + mean(x * x))


@cell(state="h")
def beside(p, x, h):
    """The input itself beside the units, so that I = H."""
    return tanh(x * p.gain + p.h(h)) + relu(x)


@cell(state="h")
def chained(p, x, h):
    """A product of a product of the input, and both are read."""
    a = p.a(x)
    return tanh(p.b(a) + a + p.c(p.d(h)))


@cell(state=("h", "c"))
def means(p, x, h, c):
    """Means of means, of states and of nothing but weights."""
    v = p.v(x, h)
    spread = v - mean(v)
    scale = sqrt(mean(spread * spread) + 0.1) + mean(mean(c) * c)
    return tanh(spread / scale + mean(p.w * p.w)), tanh(c + mean(h))


@cell(state="h")
def vectors(p, x, h):
    """Vectors and biases, used more than once, and functions of weights alone."""
    return tanh(p.h(x, h) * exp(p.a) + p.a * h + softplus(p.b) * p.a) + p.b


@cell(state="h")
def extremes(p, x, h):
    """Constants beyond all numbers and beyond those of float32."""
    v = tanh(p.h(x, h))
    high, low = minimum(v, float("inf")), maximum(v, -1e300)
    return high * 0.5 + low * 1e-300 + v / 1e30 + minimum(h, 1e-40)


@cell(state="h")
def ties(p, x, h):
    """Both sides of a maximum are equal."""
    v = p.h(x, h)
    return tanh(maximum(v, v) + maximum(relu(v), v) - minimum(relu(v), maximum(v, 0)))


@cell(state="h")
def nine(p, x, h):
    """Nine products of one operand, which no tile holds together."""
    total = p.first(x, h)
    for name in "abcdefgh":
        total = total + sigmoid(getattr(p, name)(h)) / 9
    return tanh(total)


@cell(state="h")
def five_phases(p, x, h):
    """A product of a product of a product."""
    v = h
    for name in "abcde":
        v = tanh(getattr(p, name)(v, x))
    return v


@cell(state="h")
def deep(p, x, h):
    """A thousand operations."""
    v = p.v(x, h)
    for _ in range(330):
        v = v * 0.99 + 0.01 * h
    return tanh(v)


ODD_CELLS = (
    swapped,
    rotated,
    still,
    not_a_state,
    deaf,
    blind,
    late,
    whole_products,
    tied,
    squared,
    beside,
    chained,
    means,
    vectors,
    extremes,
    ties,
    nine,
    five_phases,
    deep,
)
