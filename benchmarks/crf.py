"""Our conditional random field beside pytorch-crf: `python benchmarks/crf.py`.

32 rows of 1 to 60 tokens, float32, 9 and 40 tags. Each has the scores as it takes them: a ragged
batch here, a padded one with a mask there; a training step is the loss and its gradients. The two
take turns, so what else the machine does meets both; the ratio is the median over the turns, with
its quartiles.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torchcrf
from torch.nn.utils.rnn import pad_sequence

from elman.nn import ragged
from elman.nn.crf import CRF

ROWS, LONGEST = 32, 60


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def works(num_tags: int) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """What is timed, ours and theirs."""
    torch.manual_seed(0)
    lengths = torch.randint(1, LONGEST + 1, (ROWS,))
    lengths[0] = LONGEST
    rows = [torch.randn(length, num_tags) for length in lengths.tolist()]
    tags = [torch.randint(num_tags, (length,)) for length in lengths.tolist()]
    packed = ragged.pack(torch.cat(rows), lengths)
    packed_tags = ragged.pack(torch.cat(tags), lengths).data
    padded, padded_tags = pad_sequence(rows), pad_sequence(tags)
    mask = torch.arange(LONGEST)[:, None] < lengths
    packed.data.requires_grad_()
    padded.requires_grad_()
    ours, theirs = CRF(num_tags), torchcrf.CRF(num_tags)
    theirs.load_state_dict(
        {
            "transitions": ours.transitions,
            "start_transitions": ours.start,
            "end_transitions": ours.end,
        }
    )
    losses = [-ours(packed, packed_tags).sum(), -theirs(padded, padded_tags, mask)]
    torch.testing.assert_close(*losses)
    return {
        "training step": (
            lambda: (-ours(packed, packed_tags).sum()).backward(),
            lambda: (-theirs(padded, padded_tags, mask)).backward(),
        ),
        "decoding": (lambda: ours.decode(packed), lambda: theirs.decode(padded, mask)),
    }


def main() -> None:
    """Print a table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100, help="how often each is timed")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    print("threads  tags  what            ours ms  theirs ms  ratio (quartiles)")
    for threads in options.threads:
        torch.set_num_threads(threads)
        for num_tags in (9, 40):
            for name, pair in works(num_tags).items():
                for call in pair:
                    call()
                times = [[seconds(call) for call in pair] for _ in range(options.rounds)]
                ratios = [theirs / ours for ours, theirs in times]
                low, middle, high = statistics.quantiles(ratios, n=4)
                ours, theirs = (
                    1e3 * statistics.median(column) for column in zip(*times, strict=True)
                )
                print(
                    f"{threads:7}  {num_tags:4}  {name:14}  {ours:7.2f}  {theirs:9.2f}  "
                    f"{middle:.1f} ({low:.1f} to {high:.1f})"
                )


if __name__ == "__main__":
    main()
