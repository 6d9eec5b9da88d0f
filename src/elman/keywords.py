"""The options of `elman.train` and `elman.compare` as editors complete and check them.

Made from what the tasks declare, by a test that also holds it to them: tests/test_signatures.py.
"""

from typing import Literal, TypedDict

from elman.cell import Cell


class DataOptions(TypedDict, total=False):
    """How data are read."""

    bad_rows: Literal["refuse", "skip"]
    """What to do with a row that cannot be read."""
    column: str | int | None
    """Column of the tags: upos, xpos, feats, lemma, or its number from 1."""
    delimiter: str | None
    """Of tables: as it stands there, or tab, space."""
    drop_unlabelled: bool
    """Leave out examples without a label, refused otherwise."""
    encoding: str | None
    """Of text files: utf-8, cp1251, koi8-r, gbk ..."""
    header: bool | None
    """Whether the first row of a table names the columns."""
    label: str | int | None
    """Column that holds the class, by name or by number from 1."""
    label_column: str | int | None
    """Column of labels: the model then writes texts of a label."""
    label_separator: str | None
    """What stands between the labels of --multilabel: a sign, or space."""
    lines: bool
    """Each line of a text file is a text of its own, as in a list of names."""
    multilabel: bool
    """Read several labels a text, or none: lists in the label column."""
    text: str | int | None
    """Column that holds the text, by name or by number from 1."""


class EvaluateOptions(DataOptions, total=False):
    """Of a judgement."""

    dynamic: float | None
    """Let the model learn from what it has read, at this rate (dynamic evaluation)."""
    recall: float | None
    """Judge the spans from where this share was found in validation."""
    threshold: float | None
    """From which probability on the rarer of two classes, or a label, is answered."""


class CompareOptions(DataOptions, total=False):
    """Of all runs of a comparison."""

    ar: float | None
    """Penalty on large outputs (activation regularisation)."""
    backend: Literal["auto", "llvm", "builtin", "eager"]
    """What runs the recurrence."""
    backward_states: str | None
    """Likewise one that reads backwards (--reverse), at the beginnings of words."""
    balance: bool
    """Weigh classes by the inverse of their size."""
    batch_size: int | None
    """Examples in a batch."""
    bidirectional: bool
    """Read each text in both directions."""
    character_size: int | None
    """Units of each direction over the characters of a word."""
    chunk_length: int | None
    """Tokens between two updates, through which gradients go back; the state is carried on."""
    clean: str | None
    """Steps of cleaning with commas between them, as of elman clean: lecture, urls,lower."""
    decoder: Literal["softmax", "crf"] | None
    """A tag a word by itself, or the best sequence (conditional random field)."""
    device: Literal["cpu", "cuda"]
    """What computes: the processor, or a GPU."""
    dropout: float | None
    """Share of values left out in training."""
    embedding_dropout: float | None
    """Share of the embedding's values left out."""
    embedding_size: int | None
    """Size of a token's vector."""
    encoder: Literal["characters", "convolution", "words"]
    """What a word is read as: itself with its characters by a recurrence or a convolution, or
    itself alone."""
    epochs: int | None
    """Passes over the training part, at most."""
    from_: str | None
    """A language model to start from: its tokenizer, embedding and layers."""
    hidden_size: int | None
    """Units of each direction."""
    input_dropout: float | None
    """Share of what the first layer reads that is left out."""
    label_smoothing: float | None
    """Share of each target spread over all classes."""
    learn_state: bool
    """Learn the states that a text begins with."""
    learning_rate: float | None
    """Highest of the schedule."""
    linear: Literal["on", "off"]
    """Whether n-grams stand beside the network; off: it is alone."""
    logit_adjustment: float
    """How much training leans against the class sizes."""
    max_length: int | None
    """Longer texts are truncated."""
    metric: str | None
    """What early stopping, the threshold and the verdict look at: accuracy, macro_f1, f1:CLASS,
    average_precision, log_loss ..."""
    min_count: int | None
    """Tokens seen less often share the unknown entry."""
    model: Literal["network", "ngrams"]
    """A recurrent network, or n-grams with logistic regression alone."""
    ngrams: Literal["both", "words", "characters"]
    """Which n-grams: words 1-2, characters 1-5 within words."""
    num_layers: int
    """Recurrent layers on top of each other."""
    optimiser: Literal["adamw", "sgd", "asgd"] | None
    """AdamW with a falling rate, SGD, or SGD whose weights are averaged in the end."""
    output_dropout: float | None
    """Share of what the last layer reads that is left out."""
    pairs: int | None
    """Vectors for pairs of neighbouring tokens; 0 for none."""
    patience: int | None
    """Epochs without a better validation score before training stops."""
    pooling: Literal["last", "max", "mean", "max+mean", "last+max+mean", "attention"] | None
    """How the steps become one vector."""
    r_drop: float | None
    """How much two dropouts of one text are to agree; 0 trains with one."""
    recipe: Literal["plain", "awd"]
    """Dropout, penalties and optimiser: our own, or those of AWD-LSTM (Merity et al. 2018)."""
    reverse: bool
    """Read from the end of a text to its beginning; such a model writes none."""
    softmax: Literal["full", "adaptive", "sampled"]
    """Of many words: exact, adaptive (Grave et al. 2017), or sampled in training."""
    states: str | None
    """A language model of characters whose states at the ends of words are read, too."""
    subwords: int | None
    """Vectors for the character n-grams of words; 0 for none."""
    tar: float | None
    """Penalty on fast changes of outputs (temporal activation regularisation)."""
    threads: int | None
    """Threads to compute in, at most; their number changes roundings."""
    threshold: float | Literal["auto"] | None
    """From which probability on the rarer of two classes, or a label, is answered; auto chooses it
    on the validation part."""
    tied: bool | None
    """Let the last layer have the weights of the embedding."""
    token_dropout: float | None
    """Share of training tokens read as unknown."""
    tokens: (
        Literal["auto", "characters", "words", "bpe", "unigram"]
        | Literal["auto", "characters", "bytes", "words", "bpe"]
    )
    """What one step reads; auto takes characters for short texts and words for others, bpe and
    unigram are pieces of words."""
    unlabelled: str | None
    """Texts without labels of which word vectors are learnt first."""
    vectoriser: Literal["tfidf", "counts", "binary", "hashing"]
    """What stands for an n-gram in a text, as docs/words.md has it."""
    vectors: str | None
    """Word vectors to start from: a file, or a folder of elman embed."""
    vectors_mode: Literal["tuned", "frozen", "warm"]
    """Whether they are trained on, stand still, or stand still in a quarter of the epochs."""
    vocab_size: int | None
    """How many pieces of words there are at most."""
    weight_decay: float | None
    """Of AdamW."""
    weight_dropout: float | None
    """Share of the recurrent weights that is left out."""


class TrainOptions(CompareOptions, total=False):
    """Of one run."""

    cell: str | Cell
    """A cell of the zoo, or file.py:name."""
    seed: int
    """A run on CPU with the same seed gives the same model, bit for bit."""
