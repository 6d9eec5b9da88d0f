"""From examples to a judged model."""
