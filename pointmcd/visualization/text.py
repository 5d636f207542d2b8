"""Names in pictures, shown letter by letter whatever is in them."""

import unicodedata
from functools import cache
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

NO_TEXT_FONTS = ("Last Resort", "STIXSize", "STIXNonUnicode", "cm")
"""Of matplotlib's own fonts, those whose glyphs are boxes or other letters than their codes say."""
_fallbacks: dict[
    str, str
] = {}  # fonts that hold what the usual one lacks, as they were found, and their files


def plain(text: str, most: int | None = None) -> str:
    """Return a name as matplotlib shows it unchanged: ``$`` begins no formula, and every letter has a glyph.

    Letters that the usual font lacks come from an installed font that has them (``Picture``); where there is
    none, and for what cannot be printed, their code stands: ``\\u6905``.

    Args:
        text: The name.
        most: Shorten it to so many letters, in its middle.
    """
    text = "".join(letter if _shows(letter) else _code(letter) for letter in text)
    if most is not None and len(text) > most:
        head = (most - 1) // 2
        text = f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
    return text.replace("$", r"\$")


def width(text: str) -> int:
    """Return how many Latin letters a text is as wide as, about; East Asian letters are twice as wide."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


class Picture(Figure):
    """A white figure whose texts fall back on the fonts that ``plain`` found.

    Args:
        width: In inches.
        height: In inches.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), dpi=150, facecolor="white")

    def draw(self, renderer: Any) -> None:
        """Draw everything; matplotlib calls it."""
        if _fallbacks:
            family = [*FontProperties().get_family(), *_fallbacks]
            for text in self.findobj(Text):
                text.set_fontfamily(family)
        super().draw(renderer)


def _code(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


@cache
def _shows(letter: str) -> bool:
    """Return whether a font has the letter; where the usual one lacks it, all others are asked once."""
    if letter.isascii() and letter.isprintable():
        return True
    code = ord(letter)
    if not letter.isprintable():
        return False
    if any(code in _letters(path) for path in (findfont(FontProperties()), *_fallbacks.values())):
        return True
    for font in sorted(fontManager.ttflist, key=lambda font: (font.style != "normal", font.weight != 400)):
        if not font.name.startswith(NO_TEXT_FONTS) and code in _letters(font.fname):
            _fallbacks[font.name] = font.fname
            return True
    return False


@cache
def _letters(path: str) -> frozenset[int]:
    """Return the codes of the letters that a font file holds; none where it cannot be read."""
    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError, UnicodeError):
        return frozenset()
