"""Peak memory of `elman train` on a CSV of 400,000 rows and 60 MB: `python benchmarks/memory.py`.

One epoch is run, as further ones take no more memory. The bar is 1.5 GB.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROWS = 400_000


def write_table(path: Path) -> None:
    """Write random words with Zipf's frequencies, some 150 bytes a row, in three classes."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwyp"))
    words = ["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(40_000)]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text", "label"])
        for i in range(ROWS):
            chosen = np.minimum(rng.zipf(1.3, rng.integers(10, 33)), len(words)) - 1
            writer.writerow([i, " ".join(words[w] for w in chosen), "abc"[i % 3]])


def main() -> None:
    """Train in a process of its own and print its peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("options", nargs="*", help="further options of elman train, after --")
    options = parser.parse_args().options
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rows.csv"
        write_table(table)
        print(f"{ROWS:,} rows, {table.stat().st_size / 1e6:.0f} MB")
        command = [sys.executable, "-m", "elman", "train", str(table), "--epochs", "1"]
        command += ["--out", str(Path(folder) / "model"), *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit("elman train failed")
        print(f"peak memory {usage.ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
