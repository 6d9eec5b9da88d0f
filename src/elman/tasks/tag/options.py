"""What a tagger can be asked for, and what follows from the data where it is not asked.

Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from elman.errors import ConfigError
from elman.training.options import (
    MinCount,
    NetworkOptions,
    Option,
    Options,
    Subwords,
    TokenDropout,
    VectorsFile,
)

Encoder = Literal["characters", "convolution", "words"]
ENCODERS: tuple[str, ...] = get_args(Encoder)
Decoder = Literal["softmax", "crf"]
DECODERS: tuple[str, ...] = get_args(Decoder)

UPDATES = 6_000
FEWEST_EPOCHS, MOST_EPOCHS = 6, 60
SPELLINGS = 4_096


class TagOptions(NetworkOptions, frozen=True, kw_only=True):
    """The options of a run. ``None`` means: settled from the data by ``settle``."""

    rules: ClassVar[Mapping[str, str]] = {
        "decoder": "crf for spans (entities), softmax for a tag a word",
        "embedding_size": "100; with --vectors that of the file",
        "hidden_size": "160",
        "character_size": "32; 0 with --encoder words",
        "subwords": "4,096; 0 with --encoder words",
        "min_count": "2",
        "token_dropout": "0.15",
        "dropout": "0.5",
        "batch_size": "a four-hundredth of the sentences, a power of 2 from 8 to 32",
        "epochs": "as many as make 6,000 updates, 6 to 60",
        "patience": "half of --epochs, at least 3",
        "weight_decay": "0.01",
        "learning_rate": "0.004 times the root of --batch-size / 32",
        "label_smoothing": "0",
        "vectors": "none",
        "from_": "none",
        "states": "none",
        "backward_states": "none",
    }

    encoder: Annotated[
        Encoder,
        Option(
            "What a word is read as: itself with its characters by a recurrence or a convolution, "
            "or itself alone.",
            panel="network",
        ),
    ] = "characters"
    decoder: Annotated[
        Decoder | None,
        Option(
            "A tag a word by itself, or the best sequence (conditional random field).",
            panel="network",
        ),
    ] = None
    bidirectional: Annotated[
        bool, Option("Read each sentence in both directions.", panel="network")
    ] = True
    character_size: Annotated[
        int | None,
        Option("Units of each direction over the characters of a word.", panel="network", ge=0),
    ] = None
    subwords: Subwords = None
    min_count: MinCount = None
    token_dropout: TokenDropout = None
    vectors: VectorsFile = None
    from_: Annotated[
        str | None,
        Option(
            "A language model of words to start from: its embedding.", panel="network", path=True
        ),
    ] = None
    states: Annotated[
        str | None,
        Option(
            "A language model of characters whose states at the ends of words are read, too.",
            panel="network",
            path=True,
        ),
    ] = None
    backward_states: Annotated[
        str | None,
        Option(
            "Likewise one that reads backwards (--reverse), at the beginnings of words.",
            panel="network",
            path=True,
        ),
    ] = None
    label_smoothing: Annotated[
        float | None, Option("Share of each target spread over all tags (softmax).", ge=0, lt=1)
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.from_ and self.vectors:
            raise ConfigError(
                "vectors says which vectors to start from, and so does from; leave one of the two "
                "out"
            )
        if self.encoder == "words":
            for name in ("character_size", "subwords"):
                if getattr(self, name):
                    raise ConfigError(
                        f"{name} is {getattr(self, name)}, but --encoder words reads words alone; "
                        "leave one of the two out"
                    )

    def decided(self) -> Mapping[str, Any]:
        """Return the options that follow from the language model of ``from_``.

        Raises:
            BundleError, ConfigError: it is none of words.
        """
        if self.from_ is None:
            return {}
        from elman.tasks.tag.pretrained import decided
        from elman.training.transfer import read_language_model

        return decided(read_language_model(self.from_))


class TagAnswers(Options, frozen=True, kw_only=True):
    """How a tagger answers."""

    rules: ClassVar[Mapping[str, str]] = {
        "threshold": "the best sequence, whatever its probability",
        "recall": "the best sequence",
    }

    pretokenized: Annotated[
        bool,
        Option("Inputs are sentences whose tokens have blanks between them.", panel="text"),
    ] = False
    nbest: Annotated[
        int, Option("The best sequences of each sentence, with their probabilities.", ge=1, le=100)
    ] = 1
    threshold: Annotated[
        float | None,
        Option("From which probability on a span, or a tag, is answered.", ge=0, le=1),
    ] = None
    recall: Annotated[
        float | None,
        Option(
            "Answer spans from the probability on that found this share of them in validation.",
            gt=0,
            le=1,
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_one_way(self.threshold, self.recall)


class TagScoring(Options, frozen=True, kw_only=True):
    """How a tagger is judged."""

    rules: ClassVar[Mapping[str, str]] = {
        "threshold": "the best sequence, whatever its probability",
        "recall": "the best sequence",
    }

    threshold: Annotated[
        float | None, Option("Judge the spans from this probability on.", ge=0, le=1)
    ] = None
    recall: Annotated[
        float | None,
        Option("Judge the spans from where this share was found in validation.", gt=0, le=1),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_one_way(self.threshold, self.recall)


def _check_one_way(threshold: float | None, recall: float | None) -> None:
    if threshold is not None and recall is not None:
        raise ConfigError("threshold and recall both say which spans are answered; give one")


def settle(options: TagOptions, *, count: int, spans: bool) -> TagOptions:
    """Fill in every ``None`` from the kind and size of the training part.

    Args:
        options: as given; what is given stays.
        count: number of training sentences.
        spans: whether the tags make spans, as entities do.
    """
    words = options.encoder == "words"
    batch_size = options.batch_size or _power_of_two(count / 400, 8, 32)
    epochs = options.epochs or min(
        max(round(UPDATES / math.ceil(count / batch_size)), FEWEST_EPOCHS), MOST_EPOCHS
    )
    defaults: dict[str, Any] = {
        "decoder": "crf" if spans else "softmax",
        "embedding_size": 100,
        "hidden_size": 160,
        "character_size": 0 if words else 32,
        "subwords": 0 if words else SPELLINGS,
        "min_count": 2,
        "token_dropout": 0.15,
        "dropout": 0.5,
        "label_smoothing": 0.0,
        "batch_size": batch_size,
        "epochs": epochs,
        "patience": max(3, math.ceil(epochs / 2)),
        "weight_decay": 0.01,
        "learning_rate": 4e-3 * math.sqrt(batch_size / 32),
    }
    return options.filled(**defaults)


def _power_of_two(value: float, low: int, high: int) -> int:
    return min(max(2 ** round(math.log2(max(value, 1))), low), high)
