"""Cleaning: what each step does in English and Russian, and that nothing breaks a step."""

import copy
import pickle
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import ConfigError, DataError
from elman.text.cleaning import PRESETS, STEPS, Cleaner, Steps, load_cleaner
from elman.text.cleaning.languages import LANGUAGES, own_stopwords
from elman.text.cleaning.words import NEGATIONS


def clean(steps, text, *others):
    texts = [text, *others]
    return Cleaner.fit(texts, Steps.of(steps)).clean(texts)[0]


# What each step does

EXAMPLES = {
    "html": [
        ("&lt;b&gt;Да&lt;/b&gt;<br/> &amp;amp; <3 <grin>", "Да & <3 <grin>"),
        ("a?x=1&copy=2 <!-- no <b> -->b</b>it x < 1", "a?x=1&copy=2 b it x < 1"),
    ],
    "nfc": [("и\u0306 e\u0301 ﬁ", "й é ﬁ")],
    "nfkc": [("и\u0306 ﬁ Ｈｉ", "й fi Hi")],
    "urls": [
        ("see https://t.co/ab, (www.x.ru). Hello.It", "see , ( ). Hello.It"),
        ("ivan@mail.ru ya.ru/ok? сайт.рф т.д/ещё привет.Мир", "? т.д/ещё привет.Мир"),
    ],
    "mentions": [("@user: hi @user's cat a@b.c @@x@y @иван", ": hi cat a@b.c")],
    "emoji": [
        ("Привет😀👍🏽! 👨‍👩‍👧 ❤️ 1️⃣ 🇷🇺 🏴󠁧󠁢󠁥󠁮󠁧󠁿 №5", "Привет ! №5"),
        ("#1 :) © ™ 100%", "#1 :) © ™ 100%"),
    ],
    "stress": [("за́мок МО́РЕ ё й й è ѝ", "замок МОРЕ ё й й è и")],
    "yo": [("ещё Ёж ёж", "еще Еж еж")],
    "lower": [("ПРИВЕТ Hello İstanbul", "привет hello istanbul")],
    "repeats": [("sooooo good неееет!!!!", "soo good неет!!!!")],
    "digits": [("в 2020 году 3.14 12:30 mp3 1️⃣", "в году mp 1️⃣")],
    "razdel": [
        ("10кг кое-кто/что-то don't@x", "10 кг кое-кто / что-то don't@x"),
        ("т.е. да", "т . е . да"),
    ],
    "negation": [
        ("not good", "not_good"),
        ("I don't like it", "I do not_like it"),
        ("I DON’T LIKE it, can't stand, cannot", "I DO NOT_LIKE it, can not_stand, can not"),
        ("it does n't work, ca n 't play", "it does not_work, can not_play"),
        ("wont dont go ain't nice", "wont do not_go not_nice"),
        ("not a very good film", "a very not_good film"),
        ("it's not. Good", "it's not. Good"),
        ("it is not, good", "it is not, good"),
        ("never not bad", "never not_bad"),
        ("knot good nota bene", "knot good nota bene"),
        ("мне не нравится", "мне не_нравится"),
        ("Не очень хорошо. Нет, спасибо", "очень Не_хорошо. Нет, спасибо"),
        ("нет слов, ни разу, снег идёт", "нет_слов, ни_разу, снег идёт"),
    ],
    "punctuation": [
        ("Hello, «мир»! e-mail don't -- a_b _x_ 'q'", "Hello мир e-mail don't a_b x q"),
        ("5% C++ 😀 1️⃣ #️⃣ кто-то -нет- не_я", "5 C 😀 1️⃣ #️⃣ кто-то нет не_я"),
    ],
    "lemmas": [
        ("The cats weren't Running", "The cat weren't Run"),
        ("Google’s cats' it's", "Google cat' it"),
        ("Люди были не_правы ЕЩЕ", "Человек быть не_правый ЕЩЁ"),
    ],
    "stopwords": [
        ("it’s not on The mat", "not mat"),
        ("он был не в доме её и нет", "не доме нет"),
    ],
    "stem": [("running dogs не_нравилось Красивая", "run dog не_нрав Красив")],
    "rare": [("Кот, кот! dog, Dog one", "Кот, кот! dog, Dog")],
}


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [(step, *pair) for step, pairs in EXAMPLES.items() for pair in pairs],
)
def test_a_step(step, before, after):
    assert clean(step, before) == after


def test_every_step_has_an_example():
    assert [*EXAMPLES] == [*STEPS]


def test_the_lecture():
    texts = (
        "I don't like the cats! I did not like dogs, cats.",
        "Мне не нравится этот фильм! Не нравятся фильмы.",
    )
    assert clean("lecture", *texts) == "not_like cat not_like cat"
    assert clean("lecture", *texts[::-1]) == "не_нравиться фильм не_нравиться фильм"
    assert clean("lecture,yo", "зелёный, зеленые") == "зеленый зеленый"


def test_steps_have_one_order():
    text = "<b>НЕ НРАВИТСЯ</b> 😀 @иван https://t.co/ab ооочень 10"
    names = [*STEPS]
    assert clean(",".join(names), text, text) == clean(",".join(reversed(names)), text, text)


def test_words_seen_twice_are_counted_in_the_training_texts():
    cleaner = Cleaner.fit(["cat dog", "Cats cat"], Steps.of("lemmas,rare"))
    assert cleaner.known == {"cat"}
    assert cleaner.clean(["dog cats bird", "bird"]) == ["cat", ""]


# Stop words and languages


def test_no_negation_is_a_stop_word():
    for word in (*NEGATIONS, "no", "nor", "без", "don't", "nothing", "никогда", "but", "но"):
        assert word not in own_stopwords()


@pytest.mark.parametrize("steps", ["stopwords", "lemmas,stopwords", "lecture,-rare"])
@pytest.mark.parametrize("text", ["it is not", "don't", "он не был", "нет", "no never"])
def test_a_negation_is_never_lost(steps, text):
    kept = clean(steps, text)
    assert any(word in kept for word in ("not", "n't", "не", "нет", "no"))


def test_a_list_of_the_users_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text("# мои\nфильмы Ёлка\ncat", encoding="utf-8-sig")
    assert clean("stopwords=my.txt", "Фильмы the елка фильм CAT") == "the фильм"
    assert clean("lemmas,stopwords=my.txt", "Фильмы the фильм cats") == "the"
    steps = Steps.of("lower,stopwords=my.txt")
    saved = Cleaner.fit([], steps).to_json()
    (tmp_path / "my.txt").unlink()
    assert load_cleaner(saved).clean(["The CAT"]) == ["the"]
    assert str(tmp_path).encode() not in saved


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "my.txt cannot be read \\(no such file"),
        (b"\xff\xff", "my.txt cannot be read \\(it is not text in UTF-8"),
        (b"# nothing", "my.txt have no word"),
    ],
)
def test_a_list_that_is_none(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "my.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        Cleaner.fit([], Steps.of("stopwords=my.txt"))


def test_a_language_is_told_by_its_letters_or_given():
    assert clean("lemmas", "Häuser дома houses 家") == "Häuser дом house 家"
    assert clean("lemmas,language=de", "Häuser дома") == "Haus дом"
    assert clean("stem,language=de", "Häusern running") == "Haus running"
    assert clean("lemmas,language=uk", "книги houses") == "книга house"


@pytest.mark.parametrize("code", [code for code, one in LANGUAGES.items() if one.stemmer])
def test_every_stemmer_is_there(code):
    from elman.text.cleaning.languages import stemmer

    assert isinstance(stemmer(code)("abc"), str)


def test_every_lemmatiser_is_there():
    from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES

    assert {*LANGUAGES} - {"ru"} <= SUPPORTED_LANGUAGES


# How steps are asked for


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("url, Stop-Words,lemma", "urls,lemmas,stopwords"),
        (["lower", "urls"], "urls,lower"),
        ("lecture,-lemmas,-rare", "lower,negation,punctuation,stopwords"),
        ("stem,language=DE", "stem,language=de"),
        ("stopwords=a/b.txt,lower", "lower,stopwords=a/b.txt"),
        ("tweets,lower", "html,nfc,urls,mentions,lower,repeats"),
    ],
)
def test_steps_are_read(given, read):
    steps = Steps.of(given)
    assert str(steps) == read
    assert Steps.of(str(steps)) == steps == Steps.of(steps)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lower,stopword5", "no step of cleaning 'stopword5'; did you mean stopwords\\? there"),
        ("lowr", "did you mean lower\\?"),
        ("xyz", "there are html, nfc, .* rare, and the presets lecture, tweets"),
        ("", "'' names no steps"),
        (" , ", "names no steps"),
        (7, "7 names no steps"),
        (["lower", 7], "names no steps"),
        ("lower,-lower", "leaves no step"),
        ("lower,language=xx", "language is 'xx'; it must be one of ru, en, ar"),
        ("language=", "language= has no value"),
        ("lower=yes", "lower= is no step of cleaning that takes a value"),
        ("stem,language=uk", "no stemmer for Ukrainian; take lemmas"),
        ("stopwords,language=de", "no stop words for German; give a list of your own"),
    ],
)  # fmt: skip
def test_what_is_no_step_is_refused(given, said):
    with pytest.raises(ConfigError, match=said) as caught:
        Steps.of(given)
    assert "\n" not in str(caught.value)


# Any text

PIECES = [
    *("<b>", "<", ">", "<!--", "-->", "<script>", "</script>", "&amp;", "&lt;", "&#38;", "&", ";"),
    *("http://", "www.", ".ru", ".com/", "@", "a", "б", "Ё", "е\u0308", "\u0301", "\u0308", "ѝ"),
    *("İ", "i\u0307", "ß", "Σ", "\ud83d", "\udc00", "😀", "\u200d", "\ufe0f", "\u20e3", "🏽", "1"),
    *("#", "٣", ".", ",", ":", "-", "'", "’", "_", " ", "\n", "\u00ad", "not", "n't", "не", "very"),
    *("очень", "нет", "can", "don't", "家", "\x00", "\u2028", "ааа"),
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=12).map("".join)

# Not these: a stem or a lemma of one may have another, and a negation may meet its word again.
ONCE = [*(name for name in STEPS if name not in ("lemmas", "stem", "negation", "razdel"))]


@pytest.mark.parametrize("name", ONCE)
@given(text=TEXTS)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_twice_is_once(name, text):
    cleaner = Cleaner.fit([text, text], Steps.of(name))
    once = cleaner.clean([text])
    assert cleaner.clean(once) == once


@pytest.mark.parametrize("steps", [*STEPS, *PRESETS, ",".join(STEPS)])
@given(text=TEXTS)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_text_breaks_a_step(steps, text):
    cleaner = Cleaner.fit([text], Steps.of(steps))
    [cleaned] = cleaner.clean([text])
    cleaned.encode()
    assert cleaned == " ".join(cleaned.split())
    assert cleaner.clean_and_count([text]).texts == [cleaned]
    assert load_cleaner(cleaner.to_json()).clean([text]) == [cleaned]


def test_emoji_are_those_of_the_tokenizer():
    """What Unicode draws as a picture by itself goes, and nothing that is a letter or a digit."""
    from tokenizers import Regex, normalizers

    whole = "".join(chr(code) for code in range(0x20, 0x20000) if not 0xD800 <= code < 0xE000)
    shown = normalizers.Replace(Regex(r"[^\p{Emoji_Presentation}]"), "").normalize_str(whole)
    assert len(shown) > 1000
    assert [char for char in shown if clean("emoji", char)] == []
    gone = [char for char in whole if not char.isspace() and not clean("emoji", char)]
    assert {unicodedata.category(char)[0] for char in gone} <= {"S", "P", "C"}


def test_long_texts_take_no_long_time():
    """Each step looks at a text a few times; with one that looks from every place this hangs."""
    for piece in ("a.", "a-", "<a ", "<!--", "@a", "&amp;", "e\u0301", "не очень ", "a+"):
        clean(",".join(STEPS), piece * 10_000)


# Keeping


def test_a_cleaner_is_kept_whole():
    texts = ["Мне не нравятся фильмы", "фильм нравится", "cats and cats"]
    cleaner = Cleaner.fit(texts, Steps.of("lecture,language=en"))
    cleaned = cleaner.clean([*texts, "\ud83d"])
    for other in (
        load_cleaner(cleaner.to_json()),
        pickle.loads(pickle.dumps(cleaner)),
        copy.deepcopy(cleaner),
    ):
        assert other.clean([*texts, "\ud83d"]) == cleaned
        assert other.to_json() == cleaner.to_json()
    assert repr(cleaner) == "<cleaner: lower, negation, punctuation, lemmas, stopwords, rare>"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"version": 2, "steps": ["lower"]}',
        b'{"version": 1, "steps": ["lowr"]}',
        b'{"version": 1, "steps": ["rare"]}',
        b'{"version": 1, "steps": ["lower"], "stopwords": ["a"]}',
        b'{"version": 1, "steps": ["lower"], "more": 1}',
    ],
)
def test_what_is_no_cleaner_is_refused(data):
    with pytest.raises(DataError, match=r"cleaning.json is not a cleaner that Elman wrote"):
        load_cleaner(data)


def test_counts_by_step():
    cleaner = Cleaner.fit([], Steps.of("lower,mentions,repeats"))
    counted = cleaner.clean_and_count(["@a Hello  you", "хорошо", "@b"])
    assert counted.texts == ["hello you", "хорошо", ""]
    assert counted.changed == {"mentions": 2, "lower": 1, "repeats": 0}


# The page


def test_the_page_has_every_step_with_an_example_that_is_true():
    page = (Path(__file__).parent.parent / "docs" / "cleaning.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(.+)` \| `(.+)` \|$", page, re.MULTILINE)
    assert [name for name, _, _ in rows] == [*STEPS]
    for name, before, after in rows:
        before = before.replace("` + `U+0306", "\u0306")
        assert clean(name, before) == after, name
    for name, steps in PRESETS.items():
        assert f"| `{name}` | `{','.join(steps)}` |" in page
