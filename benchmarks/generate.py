"""Writing a character at a time here, beside a plain loop over ``nn.LSTM`` with the same weights.

    python benchmarks/generate.py [--rounds 5] [--hidden 128] [--layers 1] [--tokens 2000]

The model is one layer of LSTM with 128 units and an embedding of 128 over 65 characters,
untrained, since its weights do not change how long it takes. The plain loop is that of the
tutorials: a step of ``nn.LSTM``, the linear layer, a softmax and `torch.multinomial`, all of it
without gradients.

Prints characters a second in one thread, of wall-clock time and, as machines are shared, of this
process's own time; both loops in turn, the median of all rounds, and their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from elman.nn.language_model import LanguageModelConfig, RecurrentLanguageModel
from elman.tasks.generate.predictor import LanguageModel, ModelConfig
from elman.text.tokenizer.reversible import fit_coder
from elman.training import machine

CHARACTERS = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
EMBEDDING = 128


def make(hidden: int, layers: int) -> LanguageModel:
    torch.manual_seed(0)
    coder = fit_coder(lambda: [CHARACTERS], level="characters")
    network = LanguageModelConfig(
        vocab_size=coder.vocab_size,
        embedding_size=EMBEDDING,
        hidden_size=hidden,
        num_layers=layers,
    )
    config = ModelConfig(network=network, running=True, labels=[], max_length=1)
    return LanguageModel(RecurrentLanguageModel(network, "lstm"), coder, config)


class Plain:
    """The same model as the tutorials write it."""

    def __init__(self, model: LanguageModel):
        module = model.module
        self.embedding, self.head = module.embedding, module.head
        config = module.config
        self.lstm = nn.LSTM(EMBEDDING, config.hidden_size, num_layers=config.num_layers)
        weights = module.recurrent.state_dict()
        for layer in range(config.num_layers):  # torch has two biases, whose sum alone matters
            bias = weights.pop(f"bias_l{layer}")
            weights |= {f"bias_ih_l{layer}": bias, f"bias_hh_l{layer}": torch.zeros_like(bias)}
        self.lstm.load_state_dict(weights)

    @torch.no_grad()
    def write(self, rows: int, tokens: int) -> None:
        """Draw so many tokens for each of the rows."""
        ids, states, written = torch.full((rows,), 2), None, []
        for _ in range(tokens):
            output, states = self.lstm(self.embedding(ids)[None], states)
            odds = torch.softmax(self.head(output[0]), dim=-1)
            ids = torch.multinomial(odds, 1)[:, 0]
            written.append(ids)
        torch.stack(written).tolist()


def speeds(write: Callable[[], object], characters: int) -> tuple[float, float]:
    """Return characters a second, of the clock and of this process."""
    wall, own = time.perf_counter(), time.process_time()
    write()
    return characters / (time.perf_counter() - wall), characters / (time.process_time() - own)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=2_000, help="of each text")
    asked = parser.parse_args()
    model = make(asked.hidden, asked.layers)
    plain = Plain(model)
    sizes = f"{asked.layers} layer(s) of {asked.hidden} units, {len(CHARACTERS)} characters"
    print(f"LSTM, {sizes}, one thread; torch {torch.__version__}")
    print(f"{'':28}{'here':>12}{'of CPU':>12}{'nn.LSTM':>12}{'of CPU':>12}{'ratio':>8}")
    options: list[tuple[str, dict[str, Any]]] = [
        ("one text", {}),
        ("one text, --temperature 0.8", {"temperature": 0.8}),
        ("one text, --top-k 10", {"top_k": 10}),
        ("one text, --top-p 0.9", {"top_p": 0.9}),
        ("5 texts", {"n": 5}),
        ("32 texts", {"n": 32}),
        ("256 texts", {"n": 256}),
    ]
    with machine.threads(1):
        for name, more in options:
            rows = int(more.get("n", 1))
            tokens = asked.tokens if rows == 1 else max(100, asked.tokens // rows)
            ours = partial(model.generate, max_new_tokens=tokens, seed=0, **more)
            theirs = partial(plain.write, rows, tokens)
            ours()
            theirs()
            rounds = [
                (*speeds(ours, rows * tokens), *speeds(theirs, rows * tokens))
                for _ in range(asked.rounds)
            ]
            middle = [statistics.median(column) for column in zip(*rounds, strict=True)]
            ratio = statistics.median(one[1] / one[3] for one in rounds)
            print(f"{name:28}" + "".join(f"{one:12,.0f}" for one in middle) + f"{ratio:8.1f}")


if __name__ == "__main__":
    main()
