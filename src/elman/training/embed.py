"""Word vectors trained on texts: word2vec and fastText, by gensim.

Mikolov et al. 2013, "Distributed Representations of Words and Phrases and their Compositionality"
(skip-gram, CBOW, negative sampling, subsampling); Bojanowski et al. 2017, "Enriching Word Vectors
with Subword Information" (fastText).
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np

from elman._version import __version__
from elman.data.corpus import read_texts
from elman.data.files import expanded
from elman.data.form import AS_TOLD, BadRows, Form
from elman.errors import ConfigError, DataError
from elman.text.terminal import counted
from elman.text.tokenizer import words
from elman.text.vectors.folder import CONFIG, SUMS, TASK, WEIGHTS, WORDS, VectorConfig
from elman.text.vectors.subwords import Subwords
from elman.text.vectors.table import Vectors
from elman.training import bundle
from elman.training.lock import locked
from elman.training.options import Option, Options, meant, shorts
from elman.training.progress import Paced, asked_for, display
from elman.training.task import Watch

Method = Literal["skipgram", "cbow", "fasttext"]
"""Is told how far a training is, 0 to 1, and what is being done."""

READ = 20_000_000
"""Running words that a training reads at least, the corpus as often as that takes."""
FEWEST_EPOCHS, MOST_EPOCHS = 5, 50
LARGE = 1_000_000
"""Running words from which a word that comes twice or thrice tells too little."""
_MOST_COUNTED = 20_000_000  # different words; then the rarest are let go
_LONGEST = 10_000  # words of a sentence: gensim reads no further
_TOLD = 10_000  # sentences between two words on progress


class EmbedOptions(Options, frozen=True, kw_only=True):
    """What can be asked of a training of word vectors."""

    rules: ClassVar[Mapping[str, str]] = {
        "min_count": "5; 2 for under a million running words",
        "epochs": "as many as make 20 million running words, 5 to 50",
        "negative": "5; 0 with --hierarchical-softmax",
        "learning_rate": "0.025; 0.05 for cbow",
    }

    method: Annotated[
        Method,
        Option(
            "What is learnt: words around from a word, a word from those around, or words around "
            "from a word and its n-grams.",
        ),
    ] = "skipgram"
    size: Annotated[int, Option("Numbers of a vector.", ge=1, le=10_000)] = 100
    window: Annotated[int, Option("Words to each side that count as around, at most.", ge=1)] = 5
    min_count: Annotated[
        int | None, Option("Words seen less often get no vector.", panel="text", ge=1)
    ] = None
    case: Annotated[bool, Option("Keep capital letters apart.", panel="text")] = False
    epochs: Annotated[int | None, Option("Passes over the texts.", short="-e", ge=1)] = None
    negative: Annotated[
        int | None, Option("Words drawn as wrong answers for each right one.", ge=0, le=1000)
    ] = None
    hierarchical_softmax: Annotated[
        bool, Option("Learn a path in a tree of words, beside or instead of --negative.")
    ] = False
    subsample: Annotated[
        float, Option("Share of the text above which a word is left out at times.", ge=0, lt=1)
    ] = 1e-3
    learning_rate: Annotated[
        float | None, Option("At the beginning; it falls to 0.0001.", short="--lr", gt=0)
    ] = None
    min_n: Annotated[int, Option("Of fasttext: characters of an n-gram, at least.", ge=1)] = 3
    max_n: Annotated[int, Option("Of fasttext: characters of an n-gram, at most.", ge=1)] = 6
    buckets: Annotated[
        int, Option("Of fasttext: vectors that all n-grams share.", ge=1, le=2**31 - 1)
    ] = 100_000
    seed: Annotated[
        int,
        Option(
            "With one thread the same seed gives the same vectors, bit for bit.", ge=0, lt=2**32
        ),
    ] = 0
    threads: Annotated[
        int, Option("With more than one a run cannot be repeated exactly.", panel="machine", ge=1)
    ] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.negative == 0 and not self.hierarchical_softmax:
            raise ConfigError(
                "negative is 0 and so nothing would be learnt; make it 1 or more, or add "
                "hierarchical_softmax"
            )
        if self.min_n > self.max_n:
            raise ConfigError(f"min_n is {self.min_n} and max_n is {self.max_n}; swap them")

    def settled(self, running: int) -> EmbedOptions:
        """Return the options with a value for each.

        Args:
            running: words of all texts.
        """
        passes = round(READ / max(running, 1))
        rates = {"cbow": 0.05}
        defaults: dict[str, Any] = {
            "min_count": 5 if running >= LARGE else 2,
            "epochs": min(max(passes, FEWEST_EPOCHS), MOST_EPOCHS),
            "negative": 0 if self.hierarchical_softmax else 5,
            "learning_rate": rates.get(self.method, 0.025),
        }
        missing = {name: v for name, v in defaults.items() if getattr(self, name) is None}
        return msgspec.structs.replace(self, **missing)


@dataclass(frozen=True)
class Embedded:
    """What a training of word vectors made.

    Attributes:
        vectors: of the vocabulary.
        counts: how often each of its words comes.
        texts: how many were read.
        running: their words.
        options: all settled.
        seconds: of reading and training.
    """

    vectors: Vectors
    counts: Mapping[str, int]
    texts: int
    running: int
    options: EmbedOptions
    seconds: float


def train(texts: Iterable[str], options: EmbedOptions, watch: Watch | None = None) -> Embedded:
    """Train word vectors on texts, which are read once and cut into words as all of Elman does.

    The words are kept in a file beside (TMPDIR says where), as training passes over them several
    times: a corpus may be larger than the memory.

    Args:
        texts: as they come.
        options: what is asked for.
        watch: is told how far it is.

    Raises:
        DataError: there are no words, or none comes often enough.
    """
    import gensim  # noqa: F401 - where it is missing, that is said before anything is read

    begun = time.perf_counter()
    tell = watch or (lambda share, text: None)
    with tempfile.TemporaryDirectory(prefix="elman-embed-") as folder:
        file = Path(folder) / "words"
        corpus = _write(texts, file, case=options.case, tell=tell)
        settled = options.settled(corpus.running)
        counts = _kept(corpus, settled)
        vectors = _trained(file, corpus, counts, settled, tell)
    seconds = time.perf_counter() - begun
    return Embedded(vectors, counts, corpus.texts, corpus.running, settled, seconds)


@dataclass
class _Corpus:
    counts: Counter[str]
    texts: int = 0
    sentences: int = 0
    running: int = 0


def _write(texts: Iterable[str], file: Path, *, case: bool, tell: Watch) -> _Corpus:
    """Write the words of texts to a file, those of a sentence in a line with blanks between."""
    corpus, least = _Corpus(Counter()), 1
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for corpus.texts, text in enumerate(texts, start=1):
            found = words(text, case=case)
            for start in range(0, len(found), _LONGEST):
                stream.write(" ".join(found[start : start + _LONGEST]) + "\n")
                corpus.sentences += 1
            corpus.running += len(found)
            corpus.counts.update(found)
            if len(corpus.counts) > _MOST_COUNTED:
                corpus.counts = Counter({w: n for w, n in corpus.counts.items() if n > least})
                least += 1
            if corpus.texts % _TOLD == 0:
                tell(0.0, f"{corpus.texts:,} texts read, {corpus.running:,} words")
    if not corpus.running:
        raise DataError("the texts hold no word; give others, or name their column with --text")
    return corpus


def _kept(corpus: _Corpus, options: EmbedOptions) -> dict[str, int]:
    """Return the vocabulary with its counts, the most frequent first, equal ones by the alphabet.

    Raises:
        DataError: there are not two such words.
    """
    assert options.min_count is not None
    kept = {word: n for word, n in corpus.counts.items() if n >= options.min_count}
    if len(kept) < 2:
        raise DataError(
            f"of {counted(corpus.running, 'word')} not two are seen {options.min_count} times; "
            "give more texts, or make --min-count smaller"
        )
    return dict(sorted(kept.items(), key=lambda pair: (-pair[1], pair[0])))


class _Sentences:
    """The sentences of the file, which are passed over once an epoch."""

    def __init__(self, file: Path, sentences: int, epochs: int, tell: Watch):
        self.file, self.sentences, self.epochs, self.tell = file, sentences, epochs, tell
        self.epoch = 0

    def __iter__(self) -> Iterator[list[str]]:
        self.epoch += 1
        begun, read = time.perf_counter(), 0
        with self.file.open(encoding="utf-8", newline="\n") as stream:
            for number, line in enumerate(stream):
                found = line.rstrip("\n").split(" ")
                read += len(found)
                if number % _TOLD == 0 and number:
                    speed = read / (time.perf_counter() - begun)
                    share = (self.epoch - 1 + number / self.sentences) / self.epochs
                    self.tell(share, f"epoch {self.epoch}/{self.epochs}  {speed:,.0f} words/s")
                yield found


def _trained(
    file: Path, corpus: _Corpus, counts: Mapping[str, int], options: EmbedOptions, tell: Watch
) -> Vectors:
    assert options.epochs is not None
    with _quiet():
        model = _model(options)
        model.build_vocab_from_freq({**counts}, corpus_count=corpus.sentences)
        sentences = _Sentences(file, corpus.sentences, options.epochs, tell)
        model.train(
            corpus_iterable=sentences,
            total_examples=corpus.sentences,
            total_words=corpus.running,
            epochs=options.epochs,
        )
    vectors = model.wv
    assert vectors.index_to_key == [*counts]
    subwords = None
    if options.method == "fasttext":
        subwords = Subwords(vectors.vectors_ngrams, options.min_n, options.max_n)
    return Vectors([*counts], np.array(vectors.vectors, dtype=np.float32), subwords=subwords)


def _model(options: EmbedOptions) -> Any:
    from gensim.models import FastText, Word2Vec

    common: dict[str, Any] = {
        "vector_size": options.size,
        "window": options.window,
        "min_count": 1,
        "sg": int(options.method != "cbow"),
        "negative": options.negative,
        "hs": int(options.hierarchical_softmax),
        "sample": options.subsample,
        "alpha": options.learning_rate,
        "seed": options.seed,
        "workers": options.threads,
        "sorted_vocab": 0,  # they come so, and gensim leaves the order of equal ones open
    }
    if options.method == "fasttext":
        grams = {"min_n": options.min_n, "max_n": options.max_n, "bucket": options.buckets}
        return FastText(**common, **grams)
    return Word2Vec(**common)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep gensim from advising a person who has set none of its options."""
    logger = logging.getLogger("gensim")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


# -------------------------------------------------------------------------------------------------
# As a folder


def save(path: Path, embedded: Embedded, *, force: bool = False) -> None:
    """Write vectors as a folder of plain files: all of it, or nothing.

    Raises:
        BundleError: something stands at ``path``, or it cannot be written.
    """
    from safetensors.numpy import save as to_safetensors

    vectors, options = embedded.vectors, embedded.options
    tensors = {"vectors": np.ascontiguousarray(vectors.matrix)}
    model = VectorConfig(size=vectors.size, words=len(vectors), method=options.method)
    if vectors.subwords is not None:
        tensors["subwords"] = np.ascontiguousarray(vectors.subwords.matrix)
        model = msgspec.structs.replace(
            model, min_n=options.min_n, max_n=options.max_n, buckets=len(tensors["subwords"])
        )
    config = bundle.BundleConfig(
        format="elman",
        format_version=bundle.FORMAT_VERSION,
        elman_version=__version__,
        task=TASK,
        model=msgspec.Raw(msgspec.json.encode(model)),
        training={**options.to_dict(), "texts": embedded.texts, "running_words": embedded.running},
    )
    lines = (f"{word}\t{count}\n" for word, count in embedded.counts.items())
    files = {
        CONFIG: msgspec.json.format(msgspec.json.encode(config), indent=1),
        WORDS: "".join(lines).encode(),
        WEIGHTS: to_safetensors(tensors),
    }
    bundle.write_folder(path, {**files, SUMS: bundle.checksums(files)}, force=force)


# -------------------------------------------------------------------------------------------------
# What people call


def embed(
    data: Any,
    *,
    out: str | Path | None = None,
    force: bool = False,
    progress: bool | None = None,
    text: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    bad_rows: BadRows = "refuse",
    **options: Any,
) -> Vectors:
    """Train word vectors on texts.

    Args:
        data: a file of texts (lines, or a table with a column of them), a folder, ``-`` for stdin,
            a built-in data set, a table in memory, or a list of these. Files of lines may be larger
            than the memory.
        out: the folder to write to; None writes nothing.
        force: replace what stands at ``out``.
        progress: show how it goes; None shows it in a notebook and on a terminal.
        text: the column of the texts, by name or by number from 1.
        encoding: of text files.
        delimiter: of tables.
        header: whether the first row of a table names the columns.
        bad_rows: what to do with a row that cannot be read: ``refuse`` or ``skip``.
        **options: as ``elman embed --help`` lists them: ``method="fasttext"``, ``size=200``.

    Raises:
        ConfigError, DataError, BundleError: the request cannot work.
    """
    form = Form(encoding, delimiter, header, bad_rows)
    place = None if out is None else Path(expanded(out))
    shown = display() if asked_for(progress) else None
    try:
        bar = None if shown is None else Paced(shown)
        made = run(data, asked(options), out=place, force=force, text=text, form=form, watch=bar)
    finally:
        if shown is not None:
            shown.close()
    return made.vectors


def asked(options: Mapping[str, Any]) -> EmbedOptions:
    """Return options, each checked.

    Raises:
        ConfigError: there is none of a name, or a value cannot work.
    """
    known = EmbedOptions.__struct_fields__
    for name in options:
        if name not in known:
            near = meant(name, known, shorts(EmbedOptions))
            hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"there is no option {name}; {hint}")
    return EmbedOptions(**options)


def run(
    data: Any,
    options: EmbedOptions,
    *,
    out: Path | None,
    force: bool = False,
    text: str | None = None,
    form: Form = AS_TOLD,
    watch: Watch | None = None,
) -> Embedded:
    """Read texts, train vectors on them, and write these to a folder.

    Raises:
        ConfigError, DataError, BundleError: the request cannot work.
    """
    with nullcontext() if out is None else locked(out):
        if out is not None:
            bundle.check_destination(out, force=force)
        made = train(read_texts(data, form=form, text=text), options, watch)
        if out is not None:
            save(out, made, force=force)
            made.vectors.source = str(out)
    return made
