"""The step of a recurrent cell as data: graph, checks, rewriting, text form and oracle."""
