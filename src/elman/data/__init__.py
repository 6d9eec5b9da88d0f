"""From files to labelled texts, parts and batches."""
