"""Any text on a terminal: harmless, seen, and in as many columns as counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.tasks.classify import pages
from elman.text.terminal import columns, padded, shortened, visible, visible_token

SCOTLAND = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ёж 漢字", "plain ёж 漢字"),
        ("\x1b[31m \x9b1m \x07", r"\x1b[31m \x9b1m \x07"),
        ("a\u202eb\u2066c\u200f", r"a\u202eb\u2066c\u200f"),
        ("сло\u00adво\ufeff", r"сло\xadво\ufeff"),
        ("x\U000e0067", r"x\U000e0067"),
        ("a\nb\u00a0c\u2028d", "a b c d"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्ष"),
        ("👩‍❤️‍👨 👍🏽 1️⃣", "👩‍❤️‍👨 👍🏽 1️⃣"),
        ("\u200da\u200d👍\u200d 👍\u200d\u202e", r"a👍 👍\u202e"),
        (f"{SCOTLAND}\u202e", f"{SCOTLAND}\\u202e"),
        ("\U0001fae9", "\U0001fae9"),  # of 2024: not "printable" for an older Python
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("слово", "слово"),
        (" ", "␣"),
        ("\n", r"\n"),
        ("\u0301", "◌\u0301"),
        ("\u093f", "◌\u093f"),
        ("\u200d", r"\u200d"),
        ("\u202e", r"\u202e"),
        ("\u3164", r"\u3164"),
    ],
)
def test_a_token_alone_is_seen(token, shown):
    assert visible_token(token) == shown
    assert columns(shown) > 0


@given(st.text(min_size=1, max_size=3))
def test_any_token_is_seen(token):
    assert columns(visible_token(token)) > 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("ёж", 2),
        ("漢字", 4),
        ("За\u0301мок", 5),
        ("می\u200cخواهم", 7),
        ("क्\u200dष", 2),
        ("👍🏽", 2),
        ("👩‍👩‍👧", 2),
        ("❤️", 2),
        ("❤", 1),
        ("🇷🇺🇺🇸", 4),
        ("1️⃣", 2),
        ("🏴‍☠️", 2),
        (SCOTLAND, 2),
    ],
)
def test_columns(text, count):
    assert columns(visible(text)) == count


ODD = st.text(
    st.sampled_from("a漢 \u0301\u200d\u200c\u202e\ufe0f\u20e3👍🏽👩❤🇷1🏴\U000e0067क\n"), max_size=12
)


@given(st.text(max_size=30) | ODD, st.integers(2, 20))
def test_padded_and_shortened_fit(text, width):
    assert columns(padded(text, width)) == width
    assert columns(shortened(text, width)) <= width


def test_shortened_cuts_between_signs():
    assert shortened("👩‍👩‍👧" * 9, 6) == "👩‍👩‍👧" * 2 + "…"
    assert shortened("漢字" * 9, 6) == "漢字…"
    assert shortened("a\nb\tc", 5) == "a b c"


def test_steps_are_in_columns_whatever_the_tokens():
    tokens = ["слово", "👩‍👩‍👧", "❤️", SCOTLAND, "1️⃣", "a\u202eb", "می\u200cخواهم", "\u0301", " "]
    probabilities = {"yes": 0.75, "[no]": 0.25}
    row = {
        "text": "".join(tokens),
        "top": [{"label": "yes"}, {"label": "[no]"}],
        "steps": [{"token": token, "probabilities": probabilities} for token in tokens],
    }
    head, *lines = (text.plain for text in pages.answer(row, _Classes, width=80))
    assert len(lines) == len(tokens)
    assert len({columns(line) for line in lines}) == 1
    assert len({columns(line[: line.index("yes")]) for line in lines}) == 1
    assert "\u202e" not in head + "".join(lines)


class _Classes:
    classes = ("yes", "[no]")
