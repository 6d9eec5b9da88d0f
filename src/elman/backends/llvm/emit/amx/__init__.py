"""x86's matrix unit: its instructions, float32 in three parts, and panels of those."""
