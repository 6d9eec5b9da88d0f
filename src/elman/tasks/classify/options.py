"""What a classifier can be asked for, and what follows from the data where it is not asked.

Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

import msgspec

from elman.errors import ConfigError
from elman.tasks.classify.objective import parse
from elman.text.cleaning import Steps
from elman.text.ngrams import Weighting
from elman.text.tokenizer import MAX_LENGTH, MAX_SUBWORDS, NAMES, SUBWORDS, Level
from elman.training.options import (
    LanguageModel,
    Option,
    Options,
    Subwords,
    TextOptions,
    VectorsFile,
)

VectorsMode = Literal["tuned", "frozen", "warm"]
Pooling = Literal["last", "max", "mean", "max+mean", "last+max+mean", "attention"]
POOLINGS: tuple[str, ...] = get_args(Pooling)
Trains = Literal["network", "ngrams"]


class ClassifyOptions(TextOptions, frozen=True, kw_only=True):
    """The options of a run. ``None`` means: settled from the data by ``settle``."""

    rules: ClassVar[Mapping[str, str]] = {
        "clean": "none",
        "vectors": "none",
        "unlabelled": "none",
        "from_": "none",
        "min_count": "2",
        "max_length": "512 characters, 256 words or 384 pieces of words",
        "vocab_size": "4,000 with --tokens bpe and unigram",
        "token_dropout": "3,000 / number of texts, from 0.05 to 0.2",
        "embedding_size": "64 by character, 96 by word; with --vectors that of the file",
        "hidden_size": "112 by character, 96 by word",
        "pooling": "last by character, max+mean by word; last+max+mean with --from",
        "pairs": "2,039 by character, 0 by word",
        "subwords": "8,192 by word, else 0",
        "dropout": "0.5",
        "embedding_dropout": "half of --dropout by character, 0.4 by word",
        "label_smoothing": "0.05 by character, 0.1 by word",
        "r_drop": "0 by character, 1 by word",
        "batch_size": "a hundredth of the texts, a power of 2 from 16 to 128",
        "epochs": "as many as make 4,000 updates by character, 2,000 by word; 4 to 30, or to 60 "
        "for under 2,000 texts; with --from 1,000 updates, 4 to 15",
        "patience": "half of --epochs, at least 3",
        "weight_decay": "0.01",
        "learning_rate": "0.008 by character, 0.004 by word, times the root of --batch-size / 128; "
        "0.004 with --from",
        "metric": "log loss to stop, accuracy (macro_f1 of several labels) to compare",
        "threshold": "auto with f1:CLASS, macro_f1 and the like, else 0.5",
    }

    clean: Annotated[
        str | None,
        Option(
            "Steps of cleaning with commas between them, as of elman clean: lecture, urls,lower.",
            panel="text",
        ),
    ] = None
    model: Annotated[
        Trains,
        Option("A recurrent network, or n-grams with logistic regression alone.", panel="network"),
    ] = "network"
    linear: Annotated[
        Literal["on", "off"],
        Option("Whether n-grams stand beside the network; off: it is alone.", panel="network"),
    ] = "on"
    vectoriser: Annotated[
        Weighting,
        Option("What stands for an n-gram in a text, as docs/words.md has it.", panel="network"),
    ] = "tfidf"
    ngrams: Annotated[
        Literal["both", "words", "characters"],
        Option("Which n-grams: words 1-2, characters 1-5 within words.", panel="network"),
    ] = "both"
    vectors: VectorsFile = None
    vectors_mode: Annotated[
        VectorsMode,
        Option(
            "Whether they are trained on, stand still, or stand still in a quarter of the epochs.",
            panel="text",
        ),
    ] = "tuned"
    unlabelled: Annotated[
        str | None,
        Option(
            "Texts without labels of which word vectors are learnt first.", panel="text", path=True
        ),
    ] = None
    from_: LanguageModel = None
    bidirectional: Annotated[
        bool, Option("Read each text in both directions.", panel="network")
    ] = True
    pooling: Annotated[
        Pooling | None, Option("How the steps become one vector.", panel="network")
    ] = None
    pairs: Annotated[
        int | None,
        Option("Vectors for pairs of neighbouring tokens; 0 for none.", panel="network", ge=0),
    ] = None
    subwords: Subwords = None
    embedding_dropout: Annotated[
        float | None,
        Option("Share of the embedding's values left out.", panel="network", ge=0, lt=1),
    ] = None
    # Labels can be wrong (Szegedy et al. 2016, "Rethinking the Inception Architecture").
    label_smoothing: Annotated[
        float | None, Option("Share of each target spread over all classes.", ge=0, lt=1)
    ] = None
    # Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", equation 4.
    r_drop: Annotated[
        float | None,
        Option("How much two dropouts of one text are to agree; 0 trains with one.", ge=0),
    ] = None
    # 0 not at all, 1 as if all classes were equal (Menon et al. 2021, "Long-tail learning via logit
    # adjustment", equation 10). Dropout makes a network answer small classes too seldom; a little
    # of this corrects it.
    logit_adjustment: Annotated[
        float, Option("How much training leans against the class sizes.", ge=0, le=1)
    ] = 0.2
    balance: Annotated[bool, Option("Weigh classes by the inverse of their size.")] = False
    metric: Annotated[
        str | None,
        Option(
            "What early stopping, the threshold and the verdict look at: accuracy, macro_f1, "
            "f1:CLASS, average_precision, log_loss ..."
        ),
    ] = None
    threshold: Annotated[
        float | Literal["auto"] | None,
        Option(
            "From which probability on the rarer of two classes, or a label, is answered; auto "
            "chooses it on the validation part.",
            gt=0,
            lt=1,
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.metric is not None:
            parse(self.metric)  # refuses what there is not
        if self.clean is not None:
            # In their order, a preset by its steps: what is recorded never changes its meaning.
            msgspec.structs.force_setattr(self, "clean", str(Steps.of(self.clean)))
        if self.vectors and self.unlabelled:
            raise ConfigError(
                "vectors and unlabelled both say which vectors to start from; leave one of the two "
                "out (elman embed makes vectors of several files)"
            )
        if self.from_ and (self.vectors or self.unlabelled):
            name = "vectors" if self.vectors else "unlabelled"
            raise ConfigError(
                f"{name} says which vectors to start from, and so does from; leave one of the two "
                "out"
            )
        if self.model == "ngrams" and (self.vectors or self.unlabelled or self.from_):
            name = "vectors" if self.vectors else "unlabelled" if self.unlabelled else "from"
            raise ConfigError(
                f"{name} is for the network, which model ngrams has not; leave it out"
            )
        if self.model == "ngrams" and self.linear == "off":
            raise ConfigError(
                "model is ngrams, which is n-grams alone, and linear is off, which is the network "
                "alone; leave one of the two out"
            )
        if self.linear == "off" and self.other_ngrams:
            raise ConfigError(
                f"n-grams are asked for ({self.other_ngrams}) and linear is off, which is the "
                "network alone; leave one of the two out"
            )
        if self.vectors_mode != "tuned" and not (self.vectors or self.unlabelled):
            raise ConfigError(
                f"vectors_mode is {self.vectors_mode} and there are no vectors; add vectors or "
                "unlabelled"
            )

    def decided(self) -> Mapping[str, Any]:
        """Return the options that follow from the language model of ``from_``.

        Raises:
            BundleError, ConfigError: it is none.
        """
        if self.from_ is None:
            return {}
        from elman.tasks.classify.transfer import decided
        from elman.training.transfer import read_language_model

        return decided(read_language_model(self.from_))

    @property
    def other_ngrams(self) -> str:
        """What other than the usual n-grams is asked for, in words; "" for nothing."""
        if (self.vectoriser, self.ngrams) == ("tfidf", "both"):
            return ""
        units = {"both": "words and characters"}.get(self.ngrams, self.ngrams)
        return f"{self.vectoriser} of {units}"


Threshold = Annotated[
    float | None,
    Option(
        "From which probability on the rarer of two classes, or a label, is answered.",
        panel="output",
        gt=0,
        lt=1,
    ),
]


class ClassifyAnswers(Options, frozen=True, kw_only=True):
    """The options of an answer."""

    rules: ClassVar[Mapping[str, str]] = {
        "top": "1; with --steps 3",
        "threshold": "the model's own",
    }

    top: Annotated[
        int | None, Option("How many classes to show for each text.", panel="output", ge=1)
    ] = None
    steps: Annotated[
        bool, Option("Show the opinion after each character or word.", panel="output")
    ] = False
    explain: Annotated[
        bool, Option("Show the n-grams that speak most for and against the answer.", panel="output")
    ] = False
    threshold: Threshold = None


class ClassifyScoring(Options, frozen=True, kw_only=True):
    """The options of a judgement."""

    rules: ClassVar[Mapping[str, str]] = {"threshold": "the model's own"}

    threshold: Threshold = None


# A network needs some thousand updates, which are many epochs of a small set and few of a large
# one. So a run is given a number of updates, within these bounds of epochs.
UPDATES, UPDATES_BY_WORD = 4_000, 2_000  # words are learnt by heart sooner
FEWEST_EPOCHS = 4
TUNING, MOST_TUNING = 1_000, 15
"""Updates and epochs of a network that starts from a language model; measured on the development
collection of docs/transfer.md."""
MOST_EPOCHS, MOST_EPOCHS_OF_SMALL = 30, 60
SMALL = 2_000  # texts

PAIRS = 2_039
"""A prime, so that pairs are spread evenly; those of frequent characters then seldom share one.
Measured on surnames (110 characters): 4,093 and 8,191 are no better."""

SPELLINGS = 8_192
"""32,768 are no better on the development collection."""


def settle(
    options: ClassifyOptions, *, level: Level, count: int, fresh: bool = False
) -> ClassifyOptions:
    """Fill in every ``None``, and the level, from the kind and size of the training part.

    Args:
        options: as given; what is given stays.
        level: what a step reads.
        count: number of training texts.
        fresh: whether the network learns from scratch also where there is a language model.
    """
    characters = level in ("characters", "bytes")
    if level != "words" and options.subwords:
        raise ConfigError(
            f"subwords is {options.subwords}, but it is for models by words, and this one reads "
            f"{NAMES[level]}; add --tokens words or leave --subwords out"
        )
    batch_size = options.batch_size or _power_of_two(count / 100, 16, 128)
    most = MOST_EPOCHS if count >= SMALL else MOST_EPOCHS_OF_SMALL
    updates = UPDATES if characters else UPDATES_BY_WORD
    epochs = options.epochs or min(
        max(round(updates / math.ceil(count / batch_size)), FEWEST_EPOCHS), most
    )
    defaults: dict[str, Any] = {
        "min_count": 2,
        "max_length": MAX_LENGTH[level],
        "embedding_size": 64 if characters else 96,
        "hidden_size": 112 if characters else 96,
        "pooling": "last" if characters else "max+mean",
        "pairs": PAIRS if characters else 0,
        "vocab_size": MAX_SUBWORDS if level in SUBWORDS else None,
        "subwords": SPELLINGS if level == "words" else 0,
        "dropout": 0.5,
        "embedding_dropout": (0.5 if options.dropout is None else options.dropout) / 2
        if characters
        else 0.4,
        "label_smoothing": 0.05 if characters else 0.1,
        "r_drop": 0.0 if characters else 1.0,
        # The fewer texts, the sooner single tokens are learnt by heart.
        "token_dropout": min(max(3_000 / count, 0.05), 0.2),
        "batch_size": batch_size,
        "epochs": epochs,
        "patience": max(3, math.ceil(epochs / 2)),
        # With the square root of the batch, as the noise of a gradient falls with it.
        "weight_decay": 0.01,
        "learning_rate": (8e-3 if characters else 4e-3) * math.sqrt(batch_size / 128),
    }
    if options.from_ is not None:
        defaults |= {"min_count": None, "vocab_size": None, "pooling": "last+max+mean"}
        if not fresh:
            updates = round(TUNING / math.ceil(count / batch_size))
            epochs = options.epochs or min(max(updates, FEWEST_EPOCHS), MOST_TUNING)
            defaults |= {"epochs": epochs, "patience": max(3, math.ceil(epochs / 2))}
            defaults |= {"learning_rate": 4e-3}
        return options.filled(**defaults)
    return msgspec.structs.replace(options.filled(**defaults), tokens=level)


def _power_of_two(value: float, low: int, high: int) -> int:
    return min(max(2 ** round(math.log2(max(value, 1))), low), high)
