"""Measurements and comparisons: what things cost, what they are worth, and why."""
