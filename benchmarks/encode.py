"""Characters a second from text to token ids, names and tweets: `python benchmarks/encode.py`.

The bar is 10 million characters a second on one core, by character.
"""

from __future__ import annotations

import statistics
import time

from elman.data.datasets import load_dataset
from elman.text.tokenizer import Level, fit_tokenizer

ROUNDS = 7
ROWS: tuple[tuple[str, Level], ...] = (
    ("surnames", "characters"),
    ("surnames-native", "characters"),
    ("tweets", "characters"),
    ("tweets", "words"),
)


def main() -> None:
    """Encode each built-in data set several times and print the median."""
    for name, level in ROWS:
        texts = load_dataset(name).texts
        texts = texts * (4_000_000 // sum(map(len, texts)) + 1)
        characters = sum(map(len, texts))
        tokenizer = fit_tokenizer(texts, level=level)
        speeds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            tokenizer.encode(texts)
            speeds.append(characters / (time.perf_counter() - start) / 1e6)
        spread = f"{min(speeds):.0f}-{max(speeds):.0f}"
        print(
            f"{name:18}{level:12}{statistics.median(speeds):8.0f} million characters/s  ({spread})"
        )


if __name__ == "__main__":
    main()
