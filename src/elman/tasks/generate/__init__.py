"""Language models: a text in, a network that writes like it out."""
