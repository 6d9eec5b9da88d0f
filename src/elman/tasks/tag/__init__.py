"""Many-to-many, aligned: a label for each word."""
