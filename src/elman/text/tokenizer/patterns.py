"""What is deleted from texts, and where a word begins and ends.

The patterns are in the syntax of Oniguruma, which the ``tokenizers`` library uses.
"""

from __future__ import annotations

_PICTURE = r"\p{Extended_Pictographic}"  # an emoji without skin tone, whatever its Unicode version
_TAG = r"\x{E0020}-\x{E007F}"  # unseen letters that name a region after a black flag
_UNSPACED = "".join(
    rf"\p{{{script}}}"
    for script in (
        *("Thai", "Lao", "Khmer", "Myanmar", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet"),
        *("Balinese", "Javanese", "Han", "Hiragana", "Katakana"),
    )
)

# What is deleted from lower-cased text before it is split: what nobody sees, unless it tells one
# word or emoji from another. The first set comes before all conditions: by it alone the search
# skips the rest of the text, which is several times faster.
_UNSEEN_WHERE = (
    # soft hyphen, non-joiner, direction marks, variation selectors, U+FEFF ...: anywhere
    rf"(?<![\u0307\u200B\u200D{_TAG}])",
    # a joiner, unless it makes one emoji of two
    rf"(?<=\u200D)(?!{_PICTURE})",
    rf"(?<=\u200D)(?<![{_PICTURE}\p{{Emoji_Modifier}}\uFE0F]\u200D)",
    # a space of no width, unless it parts words of a script that has no other spaces
    rf"(?<=\u200B)(?<![{_UNSPACED}]\u200B)(?![{_UNSPACED}])",
    # tags, unless they make another flag of the black one
    rf"(?<=[{_TAG}])(?<![\x{{1F3F4}}{_TAG}][{_TAG}])[{_TAG}]*",
    # the dot that lower-casing leaves of the Turkish İ, behind one other mark at most
    r"(?<=i\u0307|i[\p{M}\p{Default_Ignorable_Code_Point}]\u0307)",
)
UNSEEN = r"[\p{Default_Ignorable_Code_Point}\u0307](?:" + "|".join(_UNSEEN_WHERE) + ")"

# A letter, digit or combining mark; neither the frame of a keycap nor a letter drawn as an emoji.
_LETTER = rf"[\w&&[^\u20E3{_PICTURE}]]"
_LETTERS = rf"{_LETTER}+(?!\u20E3)"
_SIGN = rf"[\S&&[^\u200B\u200D]][\p{{M}}\p{{Emoji_Modifier}}{_TAG}]*"

# Handles, hashtags and addresses stay whole; an apostrophe or hyphen inside a word belongs to it;
# any other sign (an emoji of however many code points, a stop) is a token of its own.
WORD_PATTERN = "|".join(
    [
        r"https?://[^\s\u200B]+",
        rf"[@#]?{_LETTERS}(?:['’\-]{_LETTERS})*",
        r"\p{Regional_Indicator}{2}",
        rf"{_SIGN}(?:\u200D{_SIGN})*",
    ]
)
