"""Assembly becomes machine code of this processor, kept on disk and run in threads."""
