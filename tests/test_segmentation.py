import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.text.segmentation import Word, segment, word_spans

# Any code point, lone surrogates too, and what the rules look at, more often than chance has it.
PARTS = st.sampled_from(
    [*" \n\t.,!?'’-@:/)(", "  ", "\r\n", "\u2029", "...", "don't", "U.S.", "т.е.", "г.", "Mr.",
     ":-)", "👩‍👧", "❤️", "1,000.50", "www.", "http://", "\ud83d", "\u200d", "é", "a\u0301", "я",
     "слово-", "日本語"]
)  # fmt: skip
ANY = st.characters(exclude_categories=())
TEXTS = st.text(ANY) | st.lists(PARTS | ANY, max_size=30).map("".join)


def words(text):
    return [word.text for word in word_spans(text)]


def sentences(text):
    return [text[one[0].start : one[-1].end] for one in segment(text)]


@given(TEXTS)
def test_nothing_is_lost_but_blanks(text):
    for found in (word_spans(text), [word for one in segment(text) for word in one]):
        place = 0
        for word in found:
            assert word.text == text[word.start : word.end]
            assert word.text
            assert not re.search(r"\s", word.text)
            assert word.start >= place
            assert not text[place : word.start].strip()
            place = word.end
        assert not text[place:].strip()


@given(TEXTS)
def test_no_sentence_is_empty_and_each_is_cut_as_by_itself(text):
    for one in segment(text):
        assert one
        alone = word_spans(text[one[0].start : one[-1].end])
        assert [word.text for word in one] == [word.text for word in alone]


@pytest.mark.parametrize("text", ["", " ", " \n\t\u2029 "])
def test_a_text_without_words_has_no_sentence(text):
    assert segment(text) == []
    assert word_spans(text) == []


def test_offsets_are_those_of_the_text_as_given():
    text = "  Hi 👩‍👧,\n\n double  blanks"
    assert segment(text) == [
        [Word("Hi", 2, 4), Word("👩‍👧", 5, 8), Word(",", 8, 9)],
        [Word("double", 12, 18), Word("blanks", 20, 26)],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "I don't, it's we're DON'T can’t",
            "I | do | n't | , | it | 's | we | 're | DO | N'T | ca | n’t",
        ),
        ("cannot gonna dont im thats", "can | not | gon | na | do | nt | i | m | that | s"),
        ("dogs' o'clock 'em '90s 1980's", "dogs | ' | o'clock | 'em | '90s | 1980's"),
        (
            "al-Ani's well-known e-mail, non-stop",
            "al | - | Ani | 's | well | - | known | e-mail | , | non-stop",
        ),
        (
            "see http://a.org/b?c=1. Or www.x.com, x.org/y!",
            "see | http://a.org/b?c=1 | . | Or | www.x.com | , | x.org/y | !",
        ),
        (
            "(bob.smith@mail.co.uk) @bob: #fun #1",
            "( | bob.smith@mail.co.uk | ) | @bob | : | #fun | # | 1",
        ),
        (
            "1,000.50 $5 US$5 5% 9/11 10:30am 20th 10k",
            "1,000.50 | $ | 5 | US$ | 5 | 5 | % | 9/11 | 10:30 | am | 20th | 10 | k",
        ),
        (
            "713-853-3989 345-9945 1990-2000 11-20-2000",
            "713-853-3989 | 345-9945 | 1990 | - | 2000 | 11-20-2000",
        ),
        ("wait... what?! no!!! -- yes", "wait | ... | what | ?! | no | !!! | -- | yes"),
        ("fine :-) ok:) <3 ^_^", "fine | :-) | ok | :) | <3 | ^_^"),
        (
            "Mr. J. Smith Jr. of the U.S. army etc. now",
            "Mr. | J. | Smith | Jr. | of | the | U.S. | army | etc. | now",
        ),
        ("He left the U.S.", "He | left | the | U.S | ."),
        ("\"AT&T\" and (R&D)", '" | AT&T | " | and | ( | R&D | )'),
    ],
)  # fmt: skip
def test_english_words(text, expected):
    assert " | ".join(words(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Из-за северо-запада, кто-то.", "Из-за | северо-запада | , | кто-то | ."),
        (
            "т.е. и т. д., в 1945 г. и т.п.",
            "т. | е. | и | т. | д. | , | в | 1945 | г. | и | т. | п.",
        ),
        ("А.С. Пушкин — 20-летний, 5%-й", "А. | С. | Пушкин | — | 20-летний | , | 5%-й"),
        ("«Ну», — сказал он))) 1,5 кг", "« | Ну | » | , | — | сказал | он | ))) | 1,5 | кг"),
        ("стари\u0301нами п'ять д'Артаньян", "стари\u0301нами | п'ять | д'Артаньян"),
        ("😍😍🙏🏻 1⃣ ❤️ 🤷‍♀️", "😍😍🙏🏻 | 1⃣ | ❤️ | 🤷‍♀️"),
    ],
)
def test_russian_words(text, expected):
    assert " | ".join(words(text)) == expected


def test_other_scripts():
    assert words("日本語 हिन्दी naïve Straße") == ["日", "本", "語", "हिन्दी", "naïve", "Straße"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Dr. Smith met J. R. Ewing in St. Louis. They talked.", 2),
        ("He lives in the U.S. He likes it.", 2),
        ("The U.S. Army came.", 1),
        ("At 5 p.m. we left. It rained.", 2),
        ("No. 5 is alive.", 1),
        ("Really?! Yes... Well.", 3),
        ("Well... maybe. yes it is", 2),
        ('"Go!" he said. "Now." They went.', 3),
        ("(He left.) She stayed.", 2),
        ("wait . . . what", 1),
        ("Great :) We went. :-) Home", 3),
        ("what? i know! ok", 3),
        ("1. First thing. 2. Second", 2),
        ("Title\n\nText goes\non here.", 2),
        ("Buy:\n- milk\n- bread\n2) tea", 4),
        ("no end", 1),
        ("В 1945 г. в Москве. Он жил там.", 2),
        ("Он умер в 1837 г. В Москве его помнят.", 2),
        ("А. С. Пушкин и т. д. Это всё.", 2),
        ("Книги, тетради и т.п. лежали там.", 1),
        ("— Ты где? — спросил он. — Дома!", 2),
        ("«Пойдём!» — сказал он… Все встали.", 2),
        ("Супер))) Я рада 😍 Спасибо", 3),
    ],
)
def test_sentences(text, count):
    assert len(sentences(text)) == count, sentences(text)


def test_words_of_a_sentence_do_not_depend_on_what_was_cut_before():
    first = words("He left the U.S.")
    words("the U.S. army")
    assert words("He left the U.S.") == first
