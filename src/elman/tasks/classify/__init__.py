"""Many-to-one: one label for a whole text."""
