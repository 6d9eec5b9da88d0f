"""The derivative of a step, as another graph."""
