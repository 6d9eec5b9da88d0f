"""What a language model can be asked for, and what follows from the data where it is not asked.

Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from elman.errors import ConfigError
from elman.training.options import NetworkOptions, Option, Options

Tokens = Literal["auto", "characters", "bytes", "words", "bpe"]
Softmax = Literal["full", "adaptive", "sampled"]
Recipe = Literal["plain", "awd"]
Optimiser = Literal["adamw", "sgd", "asgd"]

SAMPLE_AT = (100, 300, 700, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
"""After how many updates a model in training writes something."""

REVERSED = "reads from the end of a text to its beginning (--reverse)"
"""What is noted of such a model."""

WORDS: tuple[str, ...] = ("words", "bpe")
"""Codings with thousands of tokens."""
CHUNKS = {"characters": 100, "bytes": 100, "words": 35, "bpe": 50}
TOKENS_SEEN = {"characters": 18e6, "bytes": 18e6, "words": 10e6, "bpe": 10e6}
MOST_EPOCHS = 60
MAX_LENGTH = 1_000

AWD: dict[str, Any] = {
    "input_dropout": 0.4,
    "dropout": 0.25,
    "output_dropout": 0.4,
    "embedding_dropout": 0.1,
    "weight_dropout": 0.5,
    "ar": 2.0,
    "tar": 1.0,
    "optimiser": "asgd",
    "learning_rate": 30.0,
    "batch_size": 20,
    "chunk_length": 70,
    "patience": 30,
    "weight_decay": 1.2e-6,
    "tied": True,
}
"""Merity et al. 2018, "Regularizing and Optimizing LSTM Language Models", section 5, but for the
sizes: three layers of 1,150 units and vectors of 400 there."""


class GenerateOptions(NetworkOptions, frozen=True, kw_only=True):
    """The options of a run. ``None`` means: settled from the data by ``settle``."""

    rules: ClassVar[Mapping[str, str]] = {
        "vocab_size": "50,000 words, 4,000 pieces",
        "min_count": "2; 1 of characters, and of text that marks unknown words itself",
        "chunk_length": "100 characters or bytes, 35 words, 50 pieces",
        "max_length": "1,000",
        "embedding_size": "128; 256 of words and pieces",
        "hidden_size": "128 to 512 by the length of the text",
        "tied": "on for words and pieces with --softmax full",
        "dropout": "0.5 of words and pieces, else 0.4; 0.25 with --recipe awd",
        "input_dropout": "half of --dropout; 0.4 with --recipe awd",
        "output_dropout": "as --dropout; 0.4 with --recipe awd",
        "embedding_dropout": "0; 0.1 with --recipe awd",
        "weight_dropout": "0; 0.5 with --recipe awd",
        "ar": "0; 2 with --recipe awd",
        "tar": "0; 1 with --recipe awd",
        "optimiser": "adamw; asgd with --recipe awd",
        "batch_size": "2 to 32 by the length of the text; 20 with --recipe awd",
        "epochs": "as many as read 18 million characters, 10 million words, at most 60",
        "weight_decay": "0.1; 0.01 of words and pieces; 1.2e-6 with --recipe awd",
        "patience": "5; 30 with --recipe awd",
        "learning_rate": "0.003, of words and pieces 0.005 (adamw); 20 (sgd); 30 (asgd)",
    }

    tokens: Annotated[
        Tokens,
        Option(
            "What one step reads and writes: auto takes characters; bpe are pieces of words.",
            panel="text",
        ),
    ] = "auto"
    vocab_size: Annotated[
        int | None, Option("How many words or pieces there are at most.", panel="text", ge=3)
    ] = None
    min_count: Annotated[
        int | None, Option("Tokens seen less often share the unknown entry.", panel="text", ge=1)
    ] = None
    chunk_length: Annotated[
        int | None,
        Option(
            "Tokens between two updates, through which gradients go back; the state is carried on.",
            panel="text",
            ge=1,
        ),
    ] = None
    max_length: Annotated[
        int | None,
        Option("Texts that stand alone are truncated to so many tokens.", panel="text", ge=1),
    ] = None
    reverse: Annotated[
        bool,
        Option(
            "Read from the end of a text to its beginning; such a model writes none.",
            panel="text",
        ),
    ] = False
    recipe: Annotated[
        Recipe,
        Option(
            "Dropout, penalties and optimiser: our own, or those of AWD-LSTM (Merity et al. 2018).",
            panel="network",
        ),
    ] = "plain"
    tied: Annotated[
        bool | None,
        Option("Let the last layer have the weights of the embedding.", panel="network"),
    ] = None
    softmax: Annotated[
        Softmax,
        Option(
            "Of many words: exact, adaptive (Grave et al. 2017), or sampled in training.",
            panel="network",
        ),
    ] = "full"
    input_dropout: Annotated[
        float | None,
        Option(
            "Share of what the first layer reads that is left out.", panel="network", ge=0, lt=1
        ),
    ] = None
    output_dropout: Annotated[
        float | None,
        Option("Share of what the last layer reads that is left out.", panel="network", ge=0, lt=1),
    ] = None
    embedding_dropout: Annotated[
        float | None,
        Option("Share of the vocabulary that is left out at a time.", panel="network", ge=0, lt=1),
    ] = None
    weight_dropout: Annotated[
        float | None,
        Option("Share of the recurrent weights that is left out.", panel="network", ge=0, lt=1),
    ] = None
    ar: Annotated[
        float | None,
        Option("Penalty on large outputs (activation regularisation).", ge=0),
    ] = None
    tar: Annotated[
        float | None,
        Option("Penalty on fast changes of outputs (temporal activation regularisation).", ge=0),
    ] = None
    learn_state: Annotated[
        bool, Option("Learn the states that a text begins with.", panel="network")
    ] = False
    optimiser: Annotated[
        Optimiser | None,
        Option("AdamW with a falling rate, SGD, or SGD whose weights are averaged in the end."),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocab_size is not None and self.tokens not in WORDS:
            raise ConfigError(
                f"vocab_size is {self.vocab_size}, but it is for words and pieces; add tokens bpe "
                "or leave vocab_size out"
            )
        if self.tied and self.softmax == "adaptive":
            raise ConfigError(
                "an adaptive softmax has layers of several sizes, which the embedding cannot lend; "
                "leave out tied or take softmax sampled"
            )


class GenerateAnswers(Options, frozen=True, kw_only=True):
    """How a language model answers: what it makes of a text."""

    rules: ClassVar[Mapping[str, str]] = {"label": "none"}

    surprise: Annotated[
        bool, Option("Say of each token how unlikely it was, in nats.", panel="output")
    ] = False
    label: Annotated[str | None, Option("Read the texts as those of this label.", panel="text")] = (
        None
    )


class GenerateScoring(Options, frozen=True, kw_only=True):
    """How a language model is judged."""

    rules: ClassVar[Mapping[str, str]] = {"dynamic": "off"}

    dynamic: Annotated[
        float | None,
        Option(
            "Let the model learn from what it has read, at this rate (dynamic evaluation).", gt=0
        ),
    ] = None


NEW_TOKENS = {"characters": 200, "bytes": 200, "words": 50, "bpe": 80}
"""Where a text ends in any case, if nothing is said."""


SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
"""The options that say which tokens may be drawn, and how readily."""


class Decoding(Options, frozen=True, kw_only=True):
    """How a language model writes."""

    rules: ClassVar[Mapping[str, str]] = {
        "max_new_tokens": "200 characters or bytes, 50 words, 80 pieces",
        "top_k": "all",
        "top_p": "all",
        "min_p": "all",
        "beam": "none",
        "label": "none",
        "seed": "another each time",
        "stop": "none",
        "clamp": "none",
    }

    prompt: Annotated[
        str,
        Option(
            "What texts begin with; - reads it from stdin.", panel="text", short="-p", dashes=True
        ),
    ] = ""
    label: Annotated[
        str | None,
        Option("What kind of text to write, of a model with --label-column.", panel="text"),
    ] = None
    n: Annotated[int, Option("How many texts.", panel="text", short="-n", ge=1, le=100_000)] = 1
    max_new_tokens: Annotated[
        int | None, Option("Where a text ends in any case.", panel="text", ge=1)
    ] = None
    stop: Annotated[
        list[str] | None,
        Option(
            "Text to stop at (\\n: a line end), not written itself; may be repeated.",
            panel="text",
            dashes=True,
        ),
    ] = None
    temperature: Annotated[
        float,
        Option(
            "Under 1 the probable gets more so; 0 takes the most probable each time.",
            panel="sampling",
            ge=0,
        ),
    ] = 1.0
    top_k: Annotated[
        int | None, Option("Only so many tokens, the most probable.", panel="sampling", ge=1)
    ] = None
    top_p: Annotated[
        float | None,
        Option(
            "Only the most probable tokens that together have this probability.",
            panel="sampling",
            gt=0,
            le=1,
        ),
    ] = None
    min_p: Annotated[
        float | None,
        Option(
            "Only tokens with this share of the most probable token's probability.",
            panel="sampling",
            ge=0,
            le=1,
        ),
    ] = None
    repetition_penalty: Annotated[
        float,
        Option("Over 1 what stands there already gets less probable.", panel="sampling", gt=0),
    ] = 1.0
    beam: Annotated[
        int | None,
        Option(
            "Search the most probable texts, so many at a time, in place of drawing.",
            panel="sampling",
            ge=1,
        ),
    ] = None
    seed: Annotated[int | None, Option("Of the random numbers.", panel="sampling", ge=0)] = None
    clamp: Annotated[
        list[str] | None,
        Option(
            "Hold a unit: 12=3.0, or with layer and state, 0.c.12=3.0; may be repeated.",
            panel="network",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(self.stop or ()):
            raise ConfigError("stop is an empty text, at which all would end; leave it out")

    def check_beam(self) -> None:
        """Refuse what a search for the most probable texts has no use for.

        Raises:
            ConfigError: with what to leave out.
        """
        if self.beam is None:
            return
        if self.n > self.beam:
            raise ConfigError(f"beam {self.beam} finds so many texts at most, not n {self.n}")
        for name in (*SAMPLING, "stop", "seed"):
            if name in self.given():
                raise ConfigError(
                    f"beam finds the most probable texts and draws none; leave out {name}"
                )


def settle(options: GenerateOptions, *, tokens: int, running: bool) -> GenerateOptions:
    """Fill in every ``None`` from the length of the training part.

    Args:
        options: as given; what is given stays.
        tokens: of the training part.
        running: whether it is one text, not many that stand alone.
    """
    if options.tokens == "auto":
        options = replaced(options, tokens="characters")
    words = options.tokens in WORDS
    if options.recipe == "awd":
        options = options.filled(**AWD)
    chunk = options.chunk_length or CHUNKS[options.tokens]
    large, middle = tokens >= 400_000, tokens >= 60_000
    dropout = options.dropout
    if dropout is None:
        dropout = 0.5 if words else 0.4
    optimiser = options.optimiser or "adamw"
    rates = {"adamw": 5e-3 if words else 3e-3, "sgd": 20.0, "asgd": 30.0}
    # A hundred updates an epoch at least: of a short text many small ones.
    batch_size = _power_of_two(tokens / chunk / 100, 2, 32) if running else 64
    return options.filled(
        vocab_size=(4_000 if options.tokens == "bpe" else 50_000) if words else None,
        chunk_length=chunk,
        max_length=MAX_LENGTH,
        embedding_size=256 if words else 128,
        hidden_size=512 if large else 256 if middle else 128,
        tied=words and options.softmax == "full",
        dropout=dropout,
        input_dropout=dropout / 2,
        output_dropout=dropout,
        embedding_dropout=0.0,
        weight_dropout=0.0,
        weight_decay=0.01 if words else 0.1,
        ar=0.0,
        tar=0.0,
        optimiser=optimiser,
        batch_size=batch_size,
        epochs=max(1, min(round(TOKENS_SEEN[options.tokens] / max(tokens, 1)), MOST_EPOCHS)),
        patience=5,
        learning_rate=rates[optimiser],
    )


def replaced(options: GenerateOptions, **values: Any) -> GenerateOptions:
    """Return the options with other values."""
    import msgspec

    return msgspec.structs.replace(options, **values)


def _power_of_two(value: float, low: int, high: int) -> int:
    return min(max(2 ** round(math.log2(max(value, 1))), low), high)
