"""Text of numbers: lines, words, and what is said of a word that is not a number."""

import codecs
import contextlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.formats.content import MeshError

_BLANK, _NEWLINE = 32, 10
_SHOWN = 40


def plain_text(data: bytes) -> bytes:
    """Return text without its byte order mark and with ``\\n`` at the ends of its lines.

    It stays bytes: what is read of these formats is ASCII, so that names and comments may be in any
    encoding that extends it.

    Raises:
        MeshError: It is UTF-16, or no text at all.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise MeshError("the text is UTF-16; save it as UTF-8")
    if b"\0" in data:
        raise MeshError("it holds zero bytes, which text never has (is it binary or UTF-16?)")
    return data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class Lines(NamedTuple):
    """The lines of a text that hold any words; L of them.

    Attributes:
        text: All of it.
        begin: (L,) where each line begins,
        end: (L,) and ends.
        words: (L,) how many words it has.
        number: (L,) which line of the file it is, from 1.
    """

    text: bytes
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    words: NDArray[np.int64]
    number: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.begin)

    def rows(self, first: int, count: int) -> "Lines":
        """Return the lines ``first`` to ``first + count``."""
        part = slice(first, first + count)
        return Lines(self.text, self.begin[part], self.end[part], self.words[part], self.number[part])

    def numbers(self, whole: bool = False) -> NDArray:
        """Return (number of words,) all numbers of these lines, which follow each other in the text.

        Args:
            whole: Whole numbers are expected: give int64 where all are such, which is parsed three times as
                fast.

        Raises:
            MeshError: A word is not a number.
        """
        if not len(self.begin):
            return np.zeros(0, np.int64 if whole else np.float64)
        text, count = self.text[self.begin[0] : self.end[-1]], int(self.words.sum())
        for kind in (np.int64, np.float64) if whole else (np.float64,):
            with contextlib.suppress(ValueError):
                values = np.fromstring(text, kind, sep=" ")
                if len(values) == count:
                    return values
        raise MeshError(self._fault())

    def at(self, row: int) -> str:
        """Name the line of ``row`` in an error message."""
        return f"line {self.number[row]}"

    def starts(self) -> NDArray[np.int64]:
        """Return (L,) where in ``numbers()`` each line begins."""
        return np.cumsum(self.words) - self.words

    def _fault(self) -> str:
        """Return names the first word that is not a number."""
        for row in range(len(self.begin)):
            for word in self.text[self.begin[row] : self.end[row]].split():
                try:
                    float(word)
                except ValueError:
                    hint = "; decimals have a point" if b"," in word else ""
                    return f"{self.at(row)}: {shown(word)} is not a number{hint}"
        return "not all words are numbers"


def whole_numbers(numbers: NDArray) -> NDArray[np.int64]:
    """Return the same as integers.

    Raises:
        MeshError: Not all of them are.
    """
    whole = numbers.astype(np.int64)
    if (whole != numbers).any():
        raise MeshError(f"{numbers[whole != numbers][0]:g} is not a whole number")
    return whole


def split_lines(text: bytes, first_number: int = 1) -> Lines:
    """Find the lines and words of a text whose lines end with ``\\n``; the first is numbered as said."""
    codes = np.frombuffer(text + b"\n", np.uint8)
    blank = codes <= _BLANK
    starts_word = ~blank
    starts_word[1:] &= blank[:-1]
    end = np.flatnonzero(codes == _NEWLINE)
    begin = np.concatenate(([0], end[:-1] + 1))
    words = np.add.reduceat(starts_word, begin, dtype=np.int64)
    full = np.flatnonzero(words)
    return Lines(text, begin[full], end[full], words[full], full + first_number)


def shown(word: bytes) -> str:
    """Return a word or line in an error message."""
    text = word.decode("utf-8", "replace")
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
