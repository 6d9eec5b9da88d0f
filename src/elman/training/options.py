"""What a run is asked for, declared once, and what was settled.

An option is a field of a struct with an `Option` beside its type. From that follow the range check,
the command line (``elman.cli.options``), the table in the docs and what a bundle records. ``None``
means: not said, so it follows from the data, by a rule that the task's struct says in ``rules``.

Nothing here imports torch: a wrong option is answered at once.
"""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
import numpy as np

from elman.cell import Cell
from elman.data.form import BadRows, Form
from elman.errors import ConfigError

Backend = Literal["auto", "llvm", "builtin", "eager"]
Tokens = Literal["auto", "characters", "words", "bpe", "unigram"]

Device = Literal["cpu", "cuda"]

MACHINE = ("device", "threads")
"""Options that say how the machine is used, not what is trained: a stopped run may go on with
others, on another machine."""

PANELS = ("data", "text", "sampling", "network", "training", "machine", "output")
"""The groups in which ``--help`` shows options, in this order."""


@dataclass(frozen=True)
class Option:
    """What there is to know of an option beside its name, type and default."""

    text: str
    """One sentence for ``--help`` and the docs."""
    _: KW_ONLY
    panel: str = "training"
    short: str = ""
    """A second name on the command line, as it is written there: -e."""
    dashes: bool = False
    """Whether what is given on the command line may begin with a dash."""
    path: bool = False
    """Whether it names a file or folder, of which what is given to others has the name alone."""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def allows(self, number: float) -> bool:
        """Whether a number is finite and within the bounds."""
        return (
            _is_finite(number)
            and (self.ge is None or number >= self.ge)
            and (self.gt is None or number > self.gt)
            and (self.le is None or number <= self.le)
            and (self.lt is None or number < self.lt)
        )

    @property
    def bounds(self) -> str:
        """The bounds in words, as the end of "it must be"."""
        if self.ge is not None and self.le is not None:
            return f"{self.ge} to {self.le}"
        if self.ge is not None and self.lt is None:
            return f"{self.ge} or more"
        words = {"at least": self.ge, "above": self.gt, "at most": self.le, "under": self.lt}
        return " and ".join(f"{w} {n}" for w, n in words.items() if n is not None) or "finite"


def _is_finite(number: float) -> bool:
    return -math.inf < number < math.inf  # math.isfinite overflows for whole numbers of 309 digits


@dataclass(frozen=True)
class Declared:
    """One option of a struct: its name and type, and what its `Option` says."""

    name: str
    kind: type
    """bool, int, float or str; for the name of a cell str; list for texts that are repeated."""
    choices: tuple[str, ...]
    """The words to choose from; of a number those that may stand in its place."""
    optional: bool
    """Whether it may be None."""
    takes_cell: bool
    default: Any
    rule: str
    """What a default of None becomes, in words."""
    option: Option

    @property
    def annotation(self) -> Any:
        """The type as the command line takes it: a cell by its name."""
        kind: Any = Literal[self.choices] if self.choices else self.kind
        if self.kind is list:
            kind = list[str]
        if self.choices and self.kind is not str:
            kind = self.kind | kind
        return kind | None if self.optional else kind

    def check(self, value: Any) -> None:
        """Refuse a value of another type or out of range.

        Raises:
            ConfigError: with the name of the option.
        """
        if (value is None and self.optional) or (isinstance(value, str) and value in self.choices):
            return
        if not self._has_type(value):
            words = {
                int: "a whole number",
                float: "a number",
                bool: "True or False",
                str: "text",
                list: "a list of texts",
            }
            wanted = "the name of a cell, or a cell" if self.takes_cell else words[self.kind]
            others = "".join(f" or {word!r}" for word in self.choices if self.kind is not str)
            raise ConfigError(f"{self.name} is {value!r}; it must be {wanted}{others}")
        if self.choices and self.kind is str:
            raise ConfigError(
                f"{self.name} is {value!r}; it must be one of {', '.join(self.choices)}"
            )
        if self.kind in (int, float) and not self.option.allows(value):
            finite = "" if _is_finite(value) else "a finite number, "
            raise ConfigError(f"{self.name} is {value}; it must be {finite}{self.option.bounds}")

    def _has_type(self, value: Any) -> bool:
        if self.takes_cell:
            return isinstance(value, str | Cell)
        if isinstance(value, bool) or self.kind is bool:
            return isinstance(value, bool) and self.kind is bool
        if self.kind is list:
            return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
        return isinstance(value, {int: Integral, float: Real, str: str}[self.kind])


@cache
def declared(struct: type[msgspec.Struct]) -> tuple[Declared, ...]:
    """Return the options of a struct, those of its base classes first."""
    hints = typing.get_type_hints(struct, include_extras=True)
    defaults = zip(
        reversed(struct.__struct_fields__), reversed(struct.__struct_defaults__), strict=False
    )
    by_name = dict(defaults)
    rules: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        rules |= vars(base).get("rules", {})
    return tuple(
        _declared(name, hints[name], by_name[name], rules.get(name, ""))
        for name in struct.__struct_fields__
    )


def _declared(name: str, hint: Any, default: Any, rule: str) -> Declared:
    if not any(isinstance(one, Option) for one in typing.get_args(hint)):
        raise TypeError(f"the field {name} has no Option; write Annotated[type, Option(...)]")
    kind, option = typing.get_args(hint)
    kinds = [kind]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = list(typing.get_args(kind))
    optional, takes_cell = types.NoneType in kinds, Cell in kinds
    kind = next(one for one in kinds if one not in (types.NoneType, Cell))
    choices: tuple[str, ...] = ()
    for one in kinds:
        if typing.get_origin(one) is Literal:
            choices = typing.get_args(one)
    if typing.get_origin(kind) is Literal:
        kind = str
    if typing.get_origin(kind) is list:
        kind = list
    return Declared(name, kind, choices, optional, takes_cell, default, rule, option)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A struct of declared options, each checked when it is made.

    Raises:
        ConfigError: a value has another type or is out of range.
    """

    rules: ClassVar[Mapping[str, str]] = {}
    """For each option whose default is None, what it then becomes, in words."""

    def __post_init__(self) -> None:
        for one in declared(type(self)):
            value = getattr(self, one.name)
            if isinstance(value, np.generic):  # a number of NumPy's, as of a grid of values
                value = value.item()
                msgspec.structs.force_setattr(self, one.name, value)
            if isinstance(value, Path):
                value = str(value)
                msgspec.structs.force_setattr(self, one.name, value)
            one.check(value)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON can hold them, a cell by its name."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {k: v.name if isinstance(v, Cell) else v for k, v in values.items()}

    def given(self) -> dict[str, Any]:
        """Return the options that differ from their defaults."""
        return {
            one.name: getattr(self, one.name)
            for one in declared(type(self))
            if getattr(self, one.name) != one.default
        }


class ReadOptions(Options, frozen=True, kw_only=True):
    """What can be said about the form of the files, whatever the task."""

    rules: ClassVar[Mapping[str, str]] = {
        "encoding": "UTF-8, else told from the bytes",
        "delimiter": "told from the rows",
        "header": "told from the rows",
        "label_separator": "told from the labels: lists in brackets, or ; | , or blanks",
    }

    encoding: Annotated[
        str | None, Option("Of text files: utf-8, cp1251, koi8-r, gbk ...", panel="data")
    ] = None
    delimiter: Annotated[
        str | None, Option("Of tables: as it stands there, or tab, space.", panel="data")
    ] = None
    header: Annotated[
        bool | None, Option("Whether the first row of a table names the columns.", panel="data")
    ] = None
    bad_rows: Annotated[
        BadRows, Option("What to do with a row that cannot be read.", panel="data")
    ] = "refuse"
    drop_unlabelled: Annotated[
        bool, Option("Leave out examples without a label, refused otherwise.", panel="data")
    ] = False
    multilabel: Annotated[
        bool,
        Option("Read several labels a text, or none: lists in the label column.", panel="data"),
    ] = False
    label_separator: Annotated[
        str | None,
        Option("What stands between the labels of --multilabel: a sign, or space.", panel="data"),
    ] = None
    lines: Annotated[
        bool,
        Option(
            "Each line of a text file is a text of its own, as in a list of names.", panel="data"
        ),
    ] = False

    def form(self) -> Form:
        """Return what the readers take.

        Raises:
            ConfigError: the delimiter or the separator cannot be one.
        """
        return Form(**self.to_dict())


OF_ANY_FILE = ("encoding", "delimiter", "header", "bad_rows")
"""The ``ReadOptions`` that say how a file is written, whatever is in it."""


class MachineOptions(Options, frozen=True, kw_only=True):
    """What a run or a model may use of the machine."""

    rules: ClassVar[Mapping[str, str]] = {"threads": "one a core"}

    device: Annotated[
        Device, Option("What computes: the processor, or a GPU.", panel="machine")
    ] = "cpu"
    threads: Annotated[
        int | None,
        Option(
            "Threads to compute in, at most; their number changes roundings.", panel="machine", ge=1
        ),
    ] = None


class RunOptions(MachineOptions, frozen=True, kw_only=True):
    """What every task can be asked for."""

    batch_size: Annotated[int | None, Option("Examples in a batch.", short="-b", ge=1)] = None
    epochs: Annotated[
        int | None, Option("Passes over the training part, at most.", short="-e", ge=1)
    ] = None
    patience: Annotated[
        int | None,
        Option("Epochs without a better validation score before training stops.", ge=1),
    ] = None
    learning_rate: Annotated[
        float | None, Option("Highest of the schedule.", short="--lr", gt=0)
    ] = None
    weight_decay: Annotated[float | None, Option("Of AdamW.", ge=0)] = None
    seed: Annotated[
        int,
        Option(
            "A run on CPU with the same seed gives the same model, bit for bit.",
            ge=0,
            le=2**63 - 1,
        ),
    ] = 0

    def cells(self) -> dict[str, Cell]:
        """Return each cell that is asked for, by the name of its option.

        Raises:
            CellError: there is no such cell.
        """
        from elman import cells

        names = (one.name for one in declared(type(self)) if one.takes_cell)
        return {name: cells.find(getattr(self, name)) for name in names}

    def filled(self, **defaults: Any) -> Self:
        """Return the options with ``defaults`` for those that are None."""
        missing = {name: v for name, v in defaults.items() if getattr(self, name) is None}
        return msgspec.structs.replace(self, **missing)

    def decided(self) -> Mapping[str, Any]:
        """Return the options that follow from the model that the network starts from, if any.

        Raises:
            BundleError, ConfigError: there is no such model.
        """
        return {}

    def schedule(self, *, unit: str, batch_work: float = math.inf) -> Schedule:
        """Return what the trainer is told, from settled options.

        Args:
            unit: what is counted, in the plural.
            batch_work: tokens times units of a usual batch.
        """
        assert self.epochs is not None
        assert self.patience is not None
        assert self.learning_rate is not None
        assert self.weight_decay is not None
        return Schedule(
            seed=self.seed,
            epochs=self.epochs,
            patience=self.patience,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            unit=unit,
            batch_work=batch_work,
        )


def disagreement(source: str, name: str, options: RunOptions, own: RunOptions) -> str:
    """Say that an option asks for something else than a model that is gone on from.

    Args:
        source: the option that names the model.
        name: of the option.
        options: as asked for.
        own: what the model has decided.
    """
    flag = flag_of(name)
    if getattr(own, name) is None:
        return f"{flag} is decided by the model that {source} names; leave it out"
    return (
        f"{source} is a model with {name} {own.to_dict()[name]}, not {options.to_dict()[name]}; "
        f"leave out {flag}, or train anew without {source}"
    )


Keep = Literal["mean", "best"]


class Repeats(Options, frozen=True, kw_only=True):
    """How often a run trains, and what is kept of that: asked for beside a task's options."""

    rules: ClassVar[Mapping[str, str]] = {
        "keep": "mean; best where answers have no mean",
        "folds": "none",
    }

    seeds: Annotated[
        int, Option("Networks to train on the same split, from --seed, --seed + 1 ...", ge=1, le=99)
    ] = 1
    keep: Annotated[
        Keep | None,
        Option("Of several seeds: the mean of their answers, or the best on validation."),
    ] = None
    folds: Annotated[
        int | None,
        Option("Cross-validation: so many parts of DATA, each the test part once.", ge=2, le=99),
    ] = None
    final: Annotated[
        bool, Option("After the scores, train once more on all data, and keep that model.")
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folds is not None and self.seeds > 1:
            raise ConfigError(
                f"--folds {self.folds} trains one network for each fold, and --seeds {self.seeds} "
                "several on the same parts; leave out one of the two"
            )
        if self.keep == "best" and self.seeds == 1:
            raise ConfigError(f"--keep {self.keep} is of several seeds; add --seeds 3, or so")


class NetworkOptions(RunOptions, frozen=True, kw_only=True):
    """What every recurrent network can be asked for."""

    cell: Annotated[str | Cell, Option("A cell of the zoo, or file.py:name.", panel="network")] = (
        "lstm"
    )
    embedding_size: Annotated[
        int | None, Option("Size of a token's vector.", panel="network", ge=1)
    ] = None
    hidden_size: Annotated[
        int | None, Option("Units of each direction.", panel="network", ge=1)
    ] = None
    num_layers: Annotated[
        int, Option("Recurrent layers on top of each other.", panel="network", ge=1, le=100)
    ] = 1
    dropout: Annotated[
        float | None,
        Option("Share of values left out in training.", panel="network", ge=0, lt=1),
    ] = None
    backend: Annotated[Backend, Option("What runs the recurrence.", panel="network")] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.device != "cpu" and self.backend == "llvm":
            raise ConfigError(
                f"the backend llvm runs on the CPU alone, not on {self.device}; leave one of the "
                "two out"
            )


MinCount = Annotated[
    int | None, Option("Tokens seen less often share the unknown entry.", panel="text", ge=1)
]
TokenDropout = Annotated[
    float | None, Option("Share of training tokens read as unknown.", panel="text", ge=0, lt=1)
]
Subwords = Annotated[
    int | None,
    Option("Vectors for the character n-grams of words; 0 for none.", panel="network", ge=0),
]
VectorsFile = Annotated[
    str | None,
    Option(
        "Word vectors to start from: a file, or a folder of elman embed.", panel="text", path=True
    ),
]

LanguageModel = Annotated[
    str | None,
    Option(
        "A language model to start from: its tokenizer, embedding and layers.",
        panel="network",
        path=True,
    ),
]


class TextOptions(NetworkOptions, frozen=True, kw_only=True):
    """What every task that reads texts can be asked for."""

    tokens: Annotated[
        Tokens,
        Option(
            "What one step reads; auto takes characters for short texts and words for others, bpe "
            "and unigram are pieces of words.",
            panel="text",
        ),
    ] = "auto"
    vocab_size: Annotated[
        int | None, Option("How many pieces of words there are at most.", panel="text", ge=3)
    ] = None
    min_count: MinCount = None
    max_length: Annotated[
        int | None, Option("Longer texts are truncated.", panel="text", ge=1, le=2**31)
    ] = None
    token_dropout: TokenDropout = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocab_size is not None and self.tokens not in ("bpe", "unigram"):
            raise ConfigError(
                f"vocab_size is {self.vocab_size}, but it is for pieces of words alone; add tokens "
                "bpe or leave vocab_size out"
            )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a run goes, all of it settled: what the trainer is told."""

    seed: int
    epochs: int
    patience: int
    learning_rate: float
    weight_decay: float
    unit: str
    """What is counted as the training goes, in the plural: texts, tokens."""
    optimiser: str = "adamw"
    """A row of ``elman.training.optimisers.OPTIMISERS``."""
    clip_norm: float = 1.0
    """The largest norm of the gradients."""
    decay: bool = True
    """Whether the learning rate rises and falls, or stays as it is."""
    average_after: int | None = None
    """Epochs without a better score after which weights are averaged (Merity et al. 2018, section
    4, "non-monotonically triggered"); of optimisers that can."""
    batch_work: float = math.inf
    """Tokens times units of a usual batch: small ones are trained in one thread."""


def toml(values: dict[str, Any], *, comments: Sequence[str] = ()) -> bytes:
    """Return a flat TOML document; what is None is left out."""
    lines = [f"# {line}" for line in comments]
    lines += [
        f"{spelt(name)} = {_toml(value)}" for name, value in values.items() if value is not None
    ]
    return ("\n".join(lines) + "\n").encode()


def _toml(value: Any) -> str:
    # Strings, numbers, booleans and lists are spelt as in JSON, but for one control character.
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def meant(name: str, known: Iterable[str], shorts: Mapping[str, str] | None = None) -> str | None:
    """Return which of the ``known`` names is meant by one that is none of them, if any.

    ``shorts`` has what else they are called on the command line, as in ``lr`` for
    ``learning_rate``: in Python and in files there is one spelling.
    """
    near = difflib.get_close_matches(name, [*known], n=1)
    return (shorts or {}).get(name) or (near[0] if near else None)


def flag_of(name: str) -> str:
    """Return how an option is written on the command line.

    Where a name is a word of Python's own, such as ``from``, it ends with an underscore in Python.
    """
    return f"--{spelt(name).replace('_', '-')}"


def spelt(name: str) -> str:
    """Return how an option is called in a file."""
    return name.rstrip("_")


def shorts(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the options that have a second name, by that name without its dashes."""
    return {one.option.short.lstrip("-"): one.name for one in declared(struct) if one.option.short}


def table(struct: type[msgspec.Struct]) -> str:
    """Return the options of a struct as a table in Markdown, in the order of ``--help``."""
    lines = ["| option | takes | default | |", "|---|---|---|---|"]
    for one in sorted(declared(struct), key=lambda one: PANELS.index(one.option.panel)):
        kind = {int: "int", float: "float", str: "text", list: "text, repeated"}.get(
            one.kind, "on or off"
        )
        words = [*one.choices] if one.kind is str else [*one.choices, kind]
        takes = ", ".join(words) or kind
        bounds = f", {one.option.bounds}" if one.kind in (int, float) else ""
        default = one.rule if one.default is None else one.default
        name = f"`{flag_of(one.name)}`"
        name += f", `{one.option.short}`" if one.option.short else ""
        lines.append(f"| {name} | {takes}{bounds} | {default} | {one.option.text} |")
    return "\n".join(lines) + "\n"
