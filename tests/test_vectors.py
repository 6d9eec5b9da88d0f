"""Word vectors: every form of file is read alike, and what one asks is answered rightly."""

import gzip
import json
import struct

import numpy as np
import pytest

import elman
from elman.cli.app import run
from elman.errors import BundleError, ConfigError, DataError, WordError
from elman.text.vectors.export import write
from elman.text.vectors.judge import judge, read_test, spearman
from elman.text.vectors.subwords import Subwords, hashes, ngrams
from elman.text.vectors.table import Vectors

WORDS = ["король", "королева", "мужчина", "женщина", "king", "Queen", "man", "woman"]


def rows(count=8, size=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def call(capsys):
    def call(*argv):
        code = run([str(a) for a in argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def text_of(words, matrix, *, header=True, end="\n"):
    lines = [f"{len(words)} {matrix.shape[1]}"] if header else []
    lines += [f"{w} {' '.join(map(str, row))}" for w, row in zip(words, matrix, strict=True)]
    return ("\n".join(lines) + end).encode()


def binary_of(words, matrix, end=b"\n"):
    head = f"{len(words)} {matrix.shape[1]}\n".encode()
    pairs = zip(words, matrix, strict=True)
    return head + b"".join(w.encode() + b" " + row.tobytes() + end for w, row in pairs)


def model_of(words, matrix, buckets, *, min_n=3, max_n=5, labels=(), quantised=False, version=12):
    """A fastText model, byte by byte as its documentation has it."""
    size = matrix.shape[1]
    settings = [793712314, version, size, 5, 5, 1, 5, 1, 1, 2, len(buckets), min_n, max_n, 100]
    data = struct.pack("<14id", *settings, 1e-4)
    data += struct.pack("<iiiqq", len(words) + len(labels), len(words), len(labels), 100, -1)
    for kind, entries in enumerate((words, labels)):
        data += b"".join(w.encode() + b"\0" + struct.pack("<qb", 7, kind) for w in entries)
    rows = np.concatenate([matrix, buckets])
    return data + struct.pack("<?qq", quantised, *rows.shape) + rows.tobytes()


FORMS = {
    "word2vec text": lambda: text_of(WORDS, rows()),
    "word2vec text, CRLF": lambda: text_of(WORDS, rows()).replace(b"\n", b"\r\n"),
    "word2vec text, no last line end": lambda: text_of(WORDS, rows(), end=""),
    "word2vec text, BOM": lambda: b"\xef\xbb\xbf" + text_of(WORDS, rows()),
    "fastText .vec": lambda: text_of(WORDS, rows()).replace(b"\n", b" \n"),
    "GloVe": lambda: text_of(WORDS, rows(), header=False),
    "word2vec binary": lambda: binary_of(WORDS, rows()),
    "word2vec binary of gensim": lambda: binary_of(WORDS, rows(), b""),
    "packed text": lambda: gzip.compress(text_of(WORDS, rows())),
    "packed binary": lambda: gzip.compress(binary_of(WORDS, rows())),
    "fastText .bin without n-grams": lambda: model_of(WORDS, rows(), rows(0), max_n=0),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["file", "file.txt", "file.bin"])
def test_every_form_is_told_from_its_content(here, form, name):
    (here / name).write_bytes(FORMS[form]())
    vectors = Vectors.load(here / name)
    assert vectors.words == WORDS
    assert vectors.size == 4
    assert np.array_equal(vectors.matrix, rows())
    assert vectors.notes == ()


@pytest.mark.parametrize("form", FORMS)
def test_rows_in_use_alone_are_kept(here, form):
    (here / "file").write_bytes(FORMS[form]())
    asked = ["woman", "королева", "nothing", "woman"]
    vectors = Vectors.load(here / "file", words=asked)
    assert vectors.words == ["woman", "королева"]
    assert np.array_equal(vectors.matrix, rows()[[7, 1]])
    first = Vectors.load(here / "file", limit=2)
    assert first.words == WORDS[:2]
    assert Vectors.load(here / "file", words=["nothing"]).matrix.shape == (0, 4)


def test_a_spelling_goes_before_lower_case_and_that_before_another_case(here):
    words = ["PARIS", "Paris", "Moscow", "moscow", "Élan"]
    (here / "v.txt").write_bytes(text_of(words, rows(5)))
    whole = Vectors.load(here / "v.txt")
    asked = ["paris", "Paris", "MOSCOW", "moscow", "Rome", "e\u0301lan"]
    chosen = Vectors.load(here / "v.txt", words=asked)
    expected = {"paris": 0, "Paris": 1, "MOSCOW": 3, "moscow": 3, "e\u0301lan": 4}
    assert chosen.words == [*expected]
    for word, row in expected.items():
        assert whole.row(word) == row
        assert np.array_equal(chosen[word], rows(5)[row])


def test_a_word_that_stands_twice_has_its_first_row(here):
    (here / "v.txt").write_bytes(text_of(["a", "b", "a"], rows(3)))
    vectors = Vectors.load(here / "v.txt")
    assert vectors.words == ["a", "b"]
    assert np.array_equal(vectors.matrix, rows(3)[:2])
    assert vectors.notes == ("1 rows of words that stand there before are left out",)
    assert np.array_equal(Vectors.load(here / "v.txt", words=["a"])["a"], rows(3)[0])


def test_words_with_blanks_as_glove_has_some(here):
    words = ["и", ". . .", "New York", "new", "at a@b.com"]
    (here / "v.txt").write_bytes(text_of(words, rows(5), header=False))
    assert Vectors.load(here / "v.txt").words == words
    chosen = Vectors.load(here / "v.txt", words=["new york", "new"])
    assert np.array_equal(chosen.matrix, rows(5)[[2, 3]])


def test_thousands_of_rows_are_the_same_in_any_form(here):
    words, matrix = [f"слово{i}" for i in range(5000)], rows(5000, 7)
    (here / "text").write_bytes(text_of(words, matrix))
    (here / "binary").write_bytes(binary_of(words, matrix))
    for name in ("text", "binary"):
        vectors = Vectors.load(here / name)
        assert vectors.words == words
        assert np.array_equal(vectors.matrix, matrix)


def test_odd_numbers_are_read(here):
    (here / "v").write_bytes(b"2 3\na 1 -.5 +2.\nb 1e-3 0 1E2\n")
    assert Vectors.load(here / "v").matrix.tolist() == [[1, -0.5, 2], [np.float32(1e-3), 0, 100]]


LINES = text_of(WORDS, rows(), header=True)
SHORT = LINES.replace(b"man ", b"man_", 1)
BAD_FILES = {
    "empty": (b"", "is empty"),
    "prose": (b"It was the best of times\nit was\n", "holds no word vectors"),
    "garbage": (bytes(range(256)) * 20, "holds no word vectors"),
    "zip": (b"PK\x03\x04" + bytes(99), "is a zip archive; unpack it first"),
    "header alone": (b"3 4\n", "ends at line 1 with 0 of the 3 words"),
    "rows missing": (
        b"\n".join(LINES.split(b"\n")[:6]) + b"\n",
        "ends at line 6 with 5 of the 8 words that its first line announces; it is cut off",
    ),
    "cut within a row": (LINES[:-20], "ends within line 9; it is cut off"),
    "GloVe cut within a row": (
        text_of(WORDS, rows(), header=False)[:-20],
        "ends within line 8; it is cut off",
    ),
    "a row too short": (
        text_of(["a", "b"], rows(2)).replace(b"\nb ", b"\nb"),
        "line 3 has 3 numbers, where other rows have 4",
    ),
    "a row too long": (
        text_of(["a", "b 0.5", "c"], rows(3)),
        "line 3 has 5 numbers, where other rows have 4",
    ),
    "no number": (
        b"2 3\na 1 2 3\nb 1 zwei 3\n",
        "line 3: 'zwei' is not a finite number",
    ),
    "NaN": (b"2 3\na 1 2 3\nb 1 nan 3\n", "line 3: 'nan' is not a finite number"),
    "too large": (b"2 3\na 1 2 3\nb 1 1e99 3\n", "line 3: '1e99' is not a finite number"),
    "a size that no vector has": (b"2 99999999\na 1 2\n", "99,999,999 numbers"),
    "no size": (b"2 0\na\nb\n", "vectors of 0 numbers"),
    "binary cut": (binary_of(WORDS, rows())[:-9], "ends within row 8 of the 8"),
    "binary cut at a row": (binary_of(WORDS, rows())[: 10 + 13], "ends within row 1 of the 8"),
    "binary with NaN": (
        binary_of(WORDS, np.where(rows() > 1, np.nan, rows()).astype(np.float32)),
        "has a number that is not finite",
    ),
    "packed and cut": (gzip.compress(LINES)[:-30], "the gzip file is cut off or damaged"),
    "packed and damaged": (
        gzip.compress(LINES)[:20] + bytes(9) + gzip.compress(LINES)[29:],
        "the gzip file is cut off or damaged",
    ),
    "fastText cut in its words": (model_of(WORDS, rows(), rows(9))[:120], "ends within word"),
    "fastText cut in its head": (model_of(WORDS, rows(), rows(9))[:40], "ends within its first"),
    "fastText cut": (model_of(WORDS, rows(), rows(9))[:-1], "ends within its matrix"),
    "fastText quantised": (model_of(WORDS, rows(), rows(9), quantised=True), "is quantised"),
    "fastText version": (model_of(WORDS, rows(), rows(9), version=13), "of version 13"),
    "fastText packed": (gzip.compress(model_of(WORDS, rows(), rows(9))), "unpack it first"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_sentence(here, call, name):
    data, said = BAD_FILES[name]
    (here / "v.bin").write_bytes(data)
    with pytest.raises(DataError) as caught:
        Vectors.load(here / "v.bin")
    assert said in str(caught.value)
    assert "v.bin" in str(caught.value)
    code, out, err = call("vectors", "similar", "v.bin", "man")
    assert (code, out) == (2, "")
    assert err.startswith(("elman: v.bin ", "elman: v.bin:"))
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["rows missing", "cut within a row", "no number", "binary cut"])
def test_a_bad_file_is_refused_too_where_words_are_asked_for(here, name):
    data, said = BAD_FILES[name]
    (here / "v").write_bytes(data)
    with pytest.raises(DataError, match=said[:20]):
        Vectors.load(here / "v", words=["b", "nothing"])


def test_more_rows_than_announced_is_a_note(here):
    (here / "v").write_bytes(b"1 2\na 1 2\nb 3 4\n")
    assert Vectors.load(here / "v").notes == ("2 rows, though the first line says 1",)


def test_a_file_that_is_not_there(call):
    code, _, err = call("vectors", "similar", "nothing.bin", "man")
    assert (code, err.count("\n")) == (2, 1)
    assert "no file 'nothing.bin'" in err
    with pytest.raises(DataError, match="cannot be read"):
        Vectors.load("nothing.bin")


# fastText's n-grams


def test_ngrams_and_hashes_are_those_of_fasttext():
    assert ngrams("да", 3, 6) == ["<да".encode(), "<да>".encode(), "да>".encode()]
    assert ngrams("ab", 1, 2) == [b"<a", b"a", b"ab", b"b", b"b>"]
    assert ngrams("</s>", 3, 6) == []
    inner = pytest.importorskip("gensim.models.fasttext_inner")
    grams = [gram for word in (*WORDS, "日本語", "ё") for gram in ngrams(word, 1, 6)]
    assert hashes(grams).tolist() == [inner.ft_hash_bytes(gram) for gram in grams]
    assert set(ngrams("королева", 3, 6)) == set(inner.compute_ngrams_bytes("королева", 3, 6))


def test_a_model_of_fasttext_gives_any_word_a_vector(here):
    """As gensim reads what gensim wrote."""
    fasttext = pytest.importorskip("gensim.models.fasttext")
    sentences = [WORDS[:4], WORDS[4:]] * 20
    settings = {"vector_size": 6, "min_count": 1, "bucket": 50, "epochs": 2, "workers": 1}
    fasttext.save_facebook_model(fasttext.FastText(sentences, **settings), "model.bin")
    theirs = fasttext.load_facebook_vectors("model.bin")
    ours = Vectors.load("model.bin")
    assert ours.words == theirs.index_to_key
    asked = [*WORDS, "kings", "королевой", "я"]
    chosen = Vectors.load("model.bin", words=asked)
    for word in asked:
        assert np.allclose(ours[word], theirs[word], atol=1e-7)
        assert np.allclose(chosen[word], theirs[word], atol=1e-7)
        assert word in ours
    assert sorted(chosen.words) == sorted(asked)
    coverage = chosen.coverage({"king": 5, "kings": 2, "": 3})
    assert (coverage.found, coverage.composed, coverage.running_found) == (1, 1, 7)
    assert "1 of them by their n-grams" in str(coverage)


def test_labels_of_a_supervised_model_are_no_words(here):
    (here / "m").write_bytes(model_of(WORDS, rows(), rows(20), labels=["__label__a"]))
    vectors = Vectors.load(here / "m")
    assert vectors.words == WORDS
    assert vectors.subwords is not None


def test_words_without_ngrams_keep_their_own_vector():
    grams = Subwords(rows(5), 3, 3)
    both = grams.added(["</s>", "a"], rows(2, seed=1))
    assert np.array_equal(both[0], rows(2, seed=1)[0])
    expected = (rows(2, seed=1)[1] + rows(5)[grams.rows("a")].sum(axis=0)) / 2
    assert np.allclose(both[1], expected)
    assert Subwords(rows(5), 9, 9).vector("a") is None


# What one asks


@pytest.fixture
def toy():
    """king = royal + male and so on, with words that are far from all of these."""
    axes = {"royal": 0, "male": 1, "female": 2, "noise": 3}
    made = {
        "king": ("royal", "male"),
        "queen": ("royal", "female"),
        "man": ("male",),
        "woman": ("female",),
        "табурет": ("noise",),
    }
    matrix = np.zeros((len(made), 4), np.float32)
    for i, parts in enumerate(made.values()):
        matrix[i, [axes[part] for part in parts]] = i + 1  # lengths do not count
    return Vectors([*made], matrix)


def test_similar_and_analogy_by_hand(toy):
    assert toy.similarity("king", "man") == pytest.approx(0.5**0.5)
    assert [word for word, _ in toy.similar("king", 2)] == ["man", "queen"]
    word, cosine = toy.similar("табурет", 1)[0]
    assert (word, cosine) == ("king", 0.0)
    unit = {w: toy[w] / np.linalg.norm(toy[w]) for w in toy.words}
    target = unit["king"] - unit["man"] + unit["woman"]
    [(word, cosine)] = toy.analogy("king", "man", "woman", 1)
    assert word == "queen"
    assert cosine == pytest.approx(target @ unit["queen"] / np.linalg.norm(target), abs=1e-6)
    assert len(toy.similar("king", 99)) == 4
    assert toy.similar(toy["queen"], 1)[0][0] == "queen"
    assert "king" in toy
    assert "prince" not in toy
    assert 3 not in toy
    assert len(toy) == 5
    assert "5 vectors of 4 numbers" in repr(toy)


def test_the_same_as_gensim(here):
    keyed = pytest.importorskip("gensim.models").KeyedVectors(6)
    words = [f"w{i}" for i in range(50)]
    keyed.add_vectors(words, rows(50, 6))
    ours = Vectors(words, rows(50, 6))
    for mine, theirs in (
        (ours.similar("w3", 7), keyed.similar_by_word("w3", topn=7)),
        (
            ours.analogy("w1", "w2", "w3", 7),
            keyed.most_similar(positive=["w1", "w3"], negative=["w2"], topn=7),
        ),
    ):
        assert [word for word, _ in mine] == [word for word, _ in theirs]
        assert [c for _, c in mine] == pytest.approx([c for _, c in theirs], abs=1e-5)


def test_an_unknown_word_is_one_sentence_with_near_spellings(toy):
    with pytest.raises(KeyError) as caught:
        toy["kinng"]
    assert isinstance(caught.value, WordError)
    assert str(caught.value) == "'kinng' is not among the 5 words of memory; there are king"
    with pytest.raises(DataError, match="there are табурет"):
        toy.similar("Табуретъ")


def test_what_cannot_be_is_refused(toy):
    with pytest.raises(ConfigError, match="must have a row a word"):
        Vectors(["a"], rows(2))
    with pytest.raises(ConfigError, match="stands twice"):
        Vectors(["a", "a"], rows(2))
    with pytest.raises(ConfigError, match="count is 0"):
        toy.similar("king", 0)
    with pytest.raises(ConfigError, match="these have 4 numbers"):
        toy.similar(np.zeros(3), 1)


def test_coverage_counts_words_and_running_words(toy):
    coverage = toy.coverage({"king": 6, "KING": 1, "prince": 3})
    assert (coverage.words, coverage.found, coverage.composed) == (3, 2, 0)
    assert coverage.share == pytest.approx(2 / 3)
    assert coverage.running_share == pytest.approx(0.7)
    assert str(coverage) == "2 of 3 words (67%), and 70.0% of the running words"


# Tests that people made

PAIRS = {
    "wordsim353.tsv": "# a comment\n# Word 1\tWord 2\tHuman\nking\tqueen\t8.5\nman\tking\t7\n",
    "combined.csv": "Word 1,Word 2,Human (mean)\nking,queen,8.5\nman,king,7.00\n",
    "SimLex.txt": "word1\tword2\tPOS\tSimLex999\tc\nking\tqueen\tN\t8.5\t2\nman\tking\tN\t7\t1\n",
    "MEN": "king queen 8.5\nman king 7\n",
    "windows": "\ufeffking;queen;8.5\r\nman;king;7\r\n",
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_with_a_mark_in_many_forms(here, name):
    (here / name).write_text(PAIRS[name], encoding="utf-8", newline="")
    test = read_test(here / name)
    assert test.pairs == [("king", "queen"), ("man", "king")]
    assert test.marks == [8.5, 7.0]


def test_spearman_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 9, 30), rng.normal(size=30)
        assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert spearman([1, 1, 1], [1, 2, 3]) is None


def test_pairs_out_of_the_vocabulary_are_counted(toy, here):
    lines = ["king queen 9", "man woman 8", "king man 7", "prince man 6", "queen табурет 0"]
    (here / "pairs").write_text("\n".join(lines))
    scores = judge(toy, read_test(here / "pairs"))
    assert (scores.count, scores.judged, scores.composed) == (5, 4, 0)
    assert scores.spearman == pytest.approx(spearman([9, 8, 7, 0], [0.5, 0, 0.5**0.5, 0]))
    (here / "two").write_text("king queen 9\nman prince 3\n")
    assert judge(toy, read_test(here / "two")).spearman is None


def test_analogies_are_those_of_gensim(here):
    models = pytest.importorskip("gensim.models")
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(60, 5)).astype(np.float32)
    words = [f"w{i}" for i in range(60)]
    for i in range(0, 60, 4):  # half of the questions have an answer
        matrix[i + 3] = matrix[i + 1] - matrix[i] + matrix[i + 2] + 0.1 * rng.normal(size=5)
    lines = [": first", *(f"w{i} w{i + 1} w{i + 2} w{i + 3}" for i in range(0, 30, 2))]
    lines += [": second", *(f"w{i} w{i + 1} w{i + 2} w{i + 3}" for i in range(30, 56, 2))]
    (here / "questions").write_text("\n".join([*lines, "w1 w2 w3 nothing"]) + "\n")
    keyed = models.KeyedVectors(5)
    keyed.add_vectors(words, matrix)
    share, sections = keyed.evaluate_word_analogies("questions", case_insensitive=False)
    scores = judge(Vectors(words, matrix), read_test("questions"))
    assert 0 < scores.right < scores.judged == scores.count - 1
    assert scores.accuracy == pytest.approx(share)
    for mine, theirs in zip(scores.sections, sections, strict=False):
        assert (mine.name, mine.right) == (theirs["section"], len(theirs["correct"]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no test of word vectors"),
        ("one line of prose\n", "is no test of word vectors"),
        ("king queen 9\nman woman\n", "line 2 is not two words and a mark"),
        (": family\nking queen man\n", "line 2 has 3 words; a question has four"),
        ("king,queen,9\nman,woman,much\n", "line 2 is not two words and a mark"),
    ],
)
def test_a_bad_test_is_one_sentence(here, text, said):
    (here / "test.txt").write_text(text)
    with pytest.raises(DataError, match=f"test.txt.*{said}"):
        read_test(here / "test.txt")


# Writing


@pytest.mark.parametrize("format", ["word2vec", "word2vec-binary", "glove"])
@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz"])
def test_what_is_written_is_read_back_exactly(here, format, name):
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    vectors = Vectors(WORDS, rows())
    write(vectors, here / name, format=format)
    again = Vectors.load(here / name)
    assert again.words == WORDS
    assert np.array_equal(again.matrix, rows())
    if format != "glove":  # gensim leaves such a file open
        theirs = keyed.load_word2vec_format(name, binary=format == "word2vec-binary")
        assert np.allclose(theirs["король"], vectors["король"])
    with pytest.raises(ConfigError, match="exists; add --force"):
        write(vectors, here / name)
    assert [file.name for file in here.iterdir()] == [name]


# Training

PEOPLE = (("king", "his"), ("queen", "her"), ("man", "his"), ("woman", "her"))
DOES = {
    "king": ("rules the land", "wears a crown", "sits on a throne"),
    "queen": ("rules the land", "wears a crown", "sits on a throne"),
    "man": ("eats bread", "works hard", "walks home"),
    "woman": ("eats bread", "works hard", "walks home"),
    "король": ("правит страной", "носит корону"),
    "королева": ("правит страной", "носит корону"),
}


@pytest.fixture
def corpus(here):
    """Who does what and whose: 600 sentences in which words of a kind have the same around them."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(100):
        for who, whose in (*PEOPLE, ("король", "свою"), ("королева", "свою")):
            lines.append(f"{rng.choice(DOES[who])} {who} {whose} {rng.choice(DOES[who])}")
    (here / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    return here / "corpus.txt"


SMALL = {"size": 12, "window": 2, "epochs": 30, "buckets": 500}


@pytest.mark.parametrize("method", ["skipgram", "cbow", "fasttext"])
def test_neighbours_make_sense(corpus, method):
    vectors = elman.embed(corpus, method=method, **SMALL)
    assert "queen" in [word for word, _ in vectors.similar("king", 5)]
    if method != "fasttext":  # in so few texts the n-grams say more than what is around
        assert vectors.analogy("king", "man", "woman")[0][0] == "queen"
    assert vectors.similarity("король", "королева") > vectors.similarity("король", "bread")


def test_hierarchical_softmax_too(corpus):
    vectors = elman.embed(corpus, hierarchical_softmax=True, **SMALL)
    assert vectors.similarity("king", "queen") > vectors.similarity("king", "bread")


@pytest.mark.parametrize("method", ["skipgram", "fasttext"])
def test_one_thread_and_a_seed_repeat_it_and_a_folder_keeps_it(corpus, method):
    options = {"method": method, **SMALL}
    first = elman.embed(corpus, out="first", **options)
    second = elman.embed(corpus, out="second", **options)
    other = elman.embed(corpus, seed=1, **options)
    assert np.array_equal(first.matrix, second.matrix)
    assert not np.array_equal(first.matrix, other.matrix)
    for name in ("config.json", "words.tsv", "model.safetensors", "SHA256SUMS"):
        assert (corpus.parent / "first" / name).read_bytes() == (
            corpus.parent / "second" / name
        ).read_bytes()
    again = Vectors.load("first")
    assert again.words == first.words
    assert np.array_equal(again.matrix, first.matrix)
    assert again.similar("king") == first.similar("king")
    chosen = Vectors.load("first", words=["queen", "kings", "nothing"])
    assert chosen.words[0] == "queen"
    assert ("kings" in chosen) == (method == "fasttext")
    if method == "fasttext":
        assert np.array_equal(chosen["kings"], first["kings"])


def test_a_trained_words_vector_is_the_mean_of_its_parts(corpus, monkeypatch):
    """So what gensim says of a word of the vocabulary and of one outside it fits together."""
    from elman.training import embed

    models = []
    make = embed._model
    monkeypatch.setattr(embed, "_model", lambda options: models.append(make(options)) or models[0])
    vectors = elman.embed(corpus, method="fasttext", **SMALL)
    keyed = models[0].wv
    expected = vectors.subwords.added(vectors.words, keyed.vectors_vocab)
    assert np.allclose(vectors.matrix, expected, atol=1e-6)
    assert np.allclose(vectors["kings"], keyed["kings"], atol=1e-6)


def test_texts_are_cut_into_words_as_everywhere(here):
    (here / "c.txt").write_text("Да, Soft\u00adware!\nда, software!\n" * 3, encoding="utf-8")
    assert sorted(elman.embed("c.txt", size=4).words) == ["!", ",", "software", "да"]
    cased = elman.embed("c.txt", size=4, case=True)
    assert sorted(cased.words) == ["!", ",", "Software", "software", "Да", "да"]


def test_whatever_elman_reads_is_a_corpus(here):
    texts = ["хорошо, что так", 'он сказал "да"', "good one"] * 3
    quoted = (text.replace('"', '""') for text in texts)
    cells = "".join(f'{i},"{text}"\n' for i, text in enumerate(quoted))
    (here / "a.csv").write_text(f"id,text\n{cells}", encoding="utf-8")
    lines = "".join(json.dumps({"text": t}) + "\n" for t in texts)
    (here / "a.jsonl").write_text(lines)
    (here / "a.txt.gz").write_bytes(gzip.compress("\n".join(texts).encode()))
    (here / "a.txt").write_text("\n".join(texts), encoding="utf-16")
    (here / "folder").mkdir()
    (here / "folder" / "train.txt").write_text("\n".join(texts[:4]), encoding="utf-8")
    (here / "folder" / "test.txt").write_text("\n".join(texts[4:]), encoding="utf-8")
    expected = set(elman.embed("a.csv", size=4).words)
    assert {"хорошо", "сказал", "good", '"'} <= expected
    for data in ("a.jsonl", "a.txt.gz", "a.txt", "folder", ["folder/train.txt", "folder/test.txt"]):
        assert set(elman.embed(data, size=4).words) == expected, data
    table = {"id": list(range(9)), "words": texts}
    assert set(elman.embed(table, text="words", size=4).words) == expected


def test_a_corpus_of_lines_is_read_as_a_stream(here, monkeypatch):
    from elman.data import readers

    (here / "c.txt").write_text("a b c\n" * 50_000)
    monkeypatch.setattr(readers, "read_bytes", None)  # what reads a file whole
    from elman.data.corpus import read_texts

    assert sum(1 for _ in read_texts("c.txt")) == 50_000


def test_long_texts_are_no_shorter(here):
    (here / "c.txt").write_text("a b " * 12_000 + "конец конец\n")
    assert "конец" in elman.embed("c.txt", size=4, epochs=1)


def test_the_command_trains_saves_and_says(corpus, call):
    argv = ["embed", "corpus.txt", "--size", "8", "--epochs", "2"]
    code, out, err = call(*argv)
    assert (code, err) == (0, "")
    assert "600 texts, " in out
    assert "Saved to models/corpus-vectors" in out
    code, out, _ = call(*argv, "--json")
    assert (code, json.loads(out)["out"]) == (0, "models/corpus-vectors-2")
    assert json.loads(out)["options"]["negative"] == 5
    code, _, err = call(*argv, "--out", "models/corpus-vectors")
    assert (code, err.count("\n")) == (2, 1)
    assert call(*argv, "--out", "models/corpus-vectors", "-f", "--quiet")[0] == 0
    code, out, _ = call("vectors", "similar", "models/corpus-vectors", "king", "man", "-n", "2")
    assert (code, len(out.splitlines())) == (0, 6)
    code, out, _ = call("vectors", "analogy", "models/corpus-vectors", "king", "man", "woman")
    assert out.startswith("king - man + woman\n")
    code, out, _ = call("vectors", "export", "models/corpus-vectors", "v.txt", "--format", "glove")
    assert (code, Vectors.load("v.txt").size) == (0, 8)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["embed"], "DATA is missing"),
        (["embed", "nothing.txt"], "no file 'nothing.txt'"),
        (["embed", "empty.txt"], "empty.txt is empty"),
        (["embed", "corpus.txt", "--negative", "0"], "nothing would be learnt"),
        (["embed", "corpus.txt", "--min-n", "7"], "min_n is 7 and max_n is 6"),
        (["embed", "corpus.txt", "--size", "0"], "size is 0; it must be"),
        (["embed", "corpus.txt", "--min-count", "9999"], "not two are seen 9999 times"),
        (["embed", "corpus.txt", "--out", "corpus.txt"], "is no Elman model"),
        (["embed", "corpus.txt", "--text", "review"], "review"),
        (["vectors", "similar", "v.txt"], "WORDS are missing"),
        (["vectors", "similar", "v.txt", "kinng"], "'kinng' is not among the 8 words of v.txt"),
        (["vectors", "similar", "v.txt", "king", "--limit", "0"], "--limit is 0"),
        (["vectors", "analogy", "v.txt", "king", "man"], "THIRD is missing"),
        (["vectors", "evaluate", "v.txt"], "FILES are missing"),
        (["vectors", "evaluate", "v.txt", "nothing"], "no file 'nothing'"),
        (["vectors", "map", "v.txt", "--out", "m.pdf"], "give .png or .svg"),
        (["vectors", "map", "v.txt", "--out", "no/m.png"], "there is no folder no"),
        (["vectors", "map", "v.txt", "--words", "king", "--out", "m.png"], "make no map"),
        (["vectors", "export", "v.txt", "v.txt"], "v.txt exists"),
        (["vectors", "similar", "folder", "king"], "folder holds no word vectors"),
        (["predict", "vectors", "text"], "vectors holds word vectors, which answer no texts"),
    ],
)
def test_bad_requests(corpus, call, here, argv, said):
    (here / "empty.txt").write_text("")
    (here / "folder").mkdir()
    (here / "v.txt").write_bytes(text_of(WORDS, rows()))
    if argv[0] == "predict":
        elman.embed(corpus, out="vectors", size=4, epochs=1)
    code, out, err = call(*argv)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err


def test_the_docs_have_the_table_of_options():
    from pathlib import Path

    from elman.training.embed import EmbedOptions
    from elman.training.options import table

    page = Path(__file__).parent.parent / "docs" / "vectors.md"
    assert table(EmbedOptions) in page.read_text(encoding="utf-8"), table(EmbedOptions)


def test_a_misspelt_option_is_answered_with_the_nearest(corpus):
    with pytest.raises(ConfigError, match="no option windw; did you mean window"):
        elman.embed(corpus, windw=3)


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("words.tsv", lambda data: data[:-4], "is damaged or of another model"),
        ("model.safetensors", lambda data: data[:-4], "is damaged or of another model"),
        ("words.tsv", None, "words.tsv is missing"),
        ("SHA256SUMS", None, "SHA256SUMS is missing"),
        ("config.json", lambda data: data[:20], "config.json is damaged"),
        (
            "config.json",
            lambda data: data.replace(b'"format_version": 2', b'"format_version": 9'),
            "format version 9",
        ),
        ("config.json", lambda data: data.replace(b'"embed"', b'"tag"'), "and no word vectors"),
    ],
)
def test_a_damaged_folder_is_one_sentence(corpus, name, damage, said):
    elman.embed(corpus, out="v", size=4, epochs=1)
    file = corpus.parent / "v" / name
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(BundleError, match=said):
        Vectors.load("v")


def test_evaluate_tells_what_has_no_vector(here, call):
    (here / "v.txt").write_bytes(text_of(WORDS, rows()))
    pairs = "king,queen,9\nman,woman,8\nking,man,7\nprince,man,6\n"
    (here / "pairs.csv").write_text(f"a,b,mark\n{pairs}")
    (here / "questions.txt").write_text(": family\nking queen man woman\nman woman boy girl\n")
    code, out, _ = call("vectors", "evaluate", "v.txt", "pairs.csv", "questions.txt")
    assert code == 0
    assert "3 of 4 pairs judged; 1 have a word without a vector" in out
    assert "1 of 2 questions have a word without a vector" in out
    code, out, _ = call("vectors", "evaluate", "v.txt", "pairs.csv", "questions.txt", "--json")
    pairs, analogies = json.loads(out)["tests"]
    assert (pairs["kind"], pairs["judged"], analogies["judged"]) == ("pairs", 3, 1)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_map_is_a_picture_with_words_that_do_not_cover_each_other(here, call, method):
    from elman.lab import word_map

    words = [*WORDS, *(f"слово{i}" for i in range(20))]
    (here / "v.txt").write_bytes(text_of(words, rows(28)))
    argv = ["vectors", "map", "v.txt", "--method", method, "--out"]
    assert call(*argv, "m.png", "--words", *WORDS)[0] == 0
    assert (here / "m.png").read_bytes().startswith(b"\x89PNG")
    assert call(*argv, "m.png")[0] == 2
    assert call(*argv, "m.svg", "-n", "5")[0] == 0
    first = (here / "m.png").read_bytes()
    assert call(*argv, "m.png", "--words", *WORDS, "--force")[0] == 0
    assert (here / "m.png").read_bytes() == first
    figure = word_map.draw(Vectors(words, rows(28)), words, projection=method)
    boxes = [t.get_window_extent() for t in figure.axes[0].texts if t.get_text()]
    assert len(boxes) == 28
    covered = sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert covered <= 2


def test_without_gensim_it_is_one_sentence(corpus, call, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gensim", None)
    code, out, err = call("embed", "corpus.txt", "--out", "v")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "pip install gensim" in err
    assert not (corpus.parent / "v").exists()


def test_progress_is_told(corpus):
    from elman.data.corpus import read_texts
    from elman.training.embed import EmbedOptions, train

    told = []
    (corpus.parent / "long.txt").write_text("a b\n" * 25_000)
    options = EmbedOptions(size=2, epochs=2)
    train(read_texts("long.txt"), options, lambda share, text: told.append((share, text)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert "20,000 texts read" in told[1][1]
    assert told[-1][0] == pytest.approx(0.9)
    assert "epoch 2/2" in told[-1][1]


@pytest.mark.slow
def test_vectors_of_a_newspaper_agree_with_people(shared_data, here):
    """A million words are few: 1.5 to 2 times the figures come with a hundred million."""
    corpus = shared_data / "wordlm" / "ptb.train.txt.gz"
    vectors = elman.embed(corpus, epochs=10, size=50)
    near = [word for word, _ in vectors.similar("japan", 10)]
    assert {"japanese", "europe", "britain", "germany", "korea", "china"} & {*near}
    scores = judge(vectors, read_test(shared_data / "word2vec" / "wordsim353.tsv"))
    assert scores.judged > 200
    assert scores.spearman > 0.15
    questions = read_test(shared_data / "word2vec" / "questions-words.txt")
    assert judge(vectors, questions).accuracy > 0.02
