"""The step of a recurrent cell as data: graph, checks, rewriting, text form and oracle."""

from elman.ir import text as text  # says how a graph is pickled
