"""Elman: train, understand and ship recurrent networks for text."""

__version__ = "0.1.0"
