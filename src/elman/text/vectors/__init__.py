"""Word vectors: reading them from the files that there are, asking them, judging them."""
