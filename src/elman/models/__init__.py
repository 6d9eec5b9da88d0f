"""Networks for each task, and how they are kept."""
