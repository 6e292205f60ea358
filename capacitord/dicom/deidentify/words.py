"""Text made safe, and text found unsafe.

A description is cleaned as PS3.15 §E.3.5 suggests: words known to be useful and safe are kept, all others dropped.
What must not be found anywhere is who the patient is, in whatever attribute somebody wrote it.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_TOKENS: Final = re.compile(r"\d+[.,]\d+[^\W\d_]*%?|[^\W_]+[%+]?")
_MEASURE: Final = re.compile(r"(?:\d{1,2}(?:[.,]\d{1,2})?)(?:mm|cm|s|ms|t|kv|%)", re.ASCII | re.IGNORECASE)
_COMPONENTS: Final = re.compile(r"[\^= ]")
_NAME_PARTS: Final = re.compile(r"[\W\d_]+")

SHORTEST_NAME: Final = 2
_OWN_PARTS: Final = 3
"""Components of a name that are somebody's own: family, given and middle name; then come titles (PS3.5 §6.2.1.1)."""
_PARTICLES: Final = frozenset({"al", "bu", "da", "de", "di", "do", "du", "el", "la", "le", "lo", "of", "te", "zu"})
"""Short words within longer names that are in any text; a name that is nothing else is a name all the same."""
SHORTEST_ID: Final = 4
SHORTEST_NUMBER: Final = 6
_BOUNDED: Final = 5
"""Shorter words are looked for as whole words only: any text has a "lee" somewhere."""
_IDEOGRAPHS: Final = re.compile("[\u2e80-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]")
"""Script in which one character may be a name, and words stand without spaces."""


class Identity:
    """The words by which somebody would know the patient. `names` are split at what is no letter, `ids` are not."""

    def __init__(self, names: Sequence[str], ids: Iterable[str]) -> None:
        self.words = {word for name in names for word in _words_of(name)}
        numbered = (part for name in names for part in _COMPONENTS.split(name) if any(map(str.isdigit, part)))
        stripped = (each.strip(" \0").casefold() for each in (*ids, *numbered))
        self._ids = {each for each in stripped if len(each) >= SHORTEST_ID}
        self._anything = _pattern(self.words | self._ids)
        self._only_ids = _pattern(self._ids)
        numbers = {each for each in self._ids if each.isdecimal() and len(each) >= SHORTEST_NUMBER}
        self._numbers = re.compile(rf"(?<![\d.])(?:{'|'.join(sorted(numbers))})(?![\d.])") if numbers else None
        self._long = _pattern({word for word in self.words | self._ids if len(word) >= _BOUNDED})
        written = sorted({form for word in self.words | self._ids for form in _written(word)})
        self._noise = re.compile(b"|".join(map(re.escape, written))) if written else None

    def is_in(self, text: str) -> bool:
        """Whether a text tells who the patient is."""
        return self._anything is not None and self._anything.search(text.casefold()) is not None

    def has_id_in(self, text: str) -> bool:
        """Whether an id, date or UID of the patient is in a text, whatever the patient is called."""
        return self._only_ids is not None and self._only_ids.search(text.casefold()) is not None

    def is_in_code(self, text: str) -> bool:
        """Whether one value of a code string tells who the patient is; a term of the standard does not by its words."""
        return self.has_id_in(text) if text.strip() in terms() else self.is_in(text)

    def has_number_in(self, text: str) -> bool:
        """Whether a long number of the patient is among numbers; a short one may be any measure."""
        return self._numbers is not None and self._numbers.search(text) is not None

    def is_in_bytes(self, value: bytes) -> bool:
        """Whether bytes tell who the patient is; short words are found in any bytes, and not looked for."""
        if self._long is not None and self._long.search(value.decode("latin-1").casefold()) is not None:
            return True
        return self.is_in_noise(value)

    def is_in_noise(self, value: bytes) -> bool:
        """Whether bytes that are as good as random tell who the patient is, in Latin-1, UTF-8 or UTF-16.

        A word in small letters, in capitals, or with a capital first: so that chance finds none in a year of images.
        """
        return self._noise is not None and self._noise.search(value) is not None


def _words_of(name: str) -> Iterator[str]:
    """Yield the words of a name by which somebody would be known, in small letters."""
    for group in name.split("="):
        components = group.strip(" \0").split("^")
        for number, component in enumerate(components):
            parts = [part.casefold() for part in _NAME_PARTS.split(component) if len(part) >= SHORTEST_NAME]
            particles = _PARTICLES if len(parts) > 1 else frozenset()
            for part in parts:
                is_own = number < _OWN_PARTS and part not in particles
                if is_own or len(part) > SHORTEST_NAME or _IDEOGRAPHS.search(part):
                    yield part
        together = "".join(components[:_OWN_PARTS]).casefold()
        if len(together) >= SHORTEST_NAME and _IDEOGRAPHS.match(together):
            # Each part may be one character, and that is a word of everybody's.
            yield together


def _written(word: str) -> Iterator[bytes]:
    """Yield a word as it may stand in bytes; nothing if it is so short that it stands in any."""
    if len(word) < _BOUNDED and not (len(word) > 1 and _IDEOGRAPHS.search(word)):
        return
    for form in {word, word.upper(), word.title(), word.capitalize()}:
        for encoding in ("latin-1", "utf-8", "utf-16-le", "utf-16-be"):
            encoded = form.encode(encoding, "ignore")
            if len(encoded) >= _BOUNDED:
                yield encoded


def _pattern(words: set[str]) -> re.Pattern[str] | None:
    if not words:
        return None
    parts = (
        re.escape(word)
        if len(word) >= _BOUNDED or _IDEOGRAPHS.search(word)
        else rf"(?<![^\W_]){re.escape(word)}(?![^\W_])"
        for word in sorted(words, key=lambda word: (-len(word), word))
    )
    return re.compile("|".join(parts))


def cleaned(text: str, identity: Identity) -> str:
    """Return those words of a text that are known to be safe; none may be left."""
    kept = []
    for token in _TOKENS.findall(text):
        word = token.casefold()
        if word not in identity.words and (word in vocabulary() or _MEASURE.fullmatch(token)):
            kept.append(token if token.isascii() else word)
    return " ".join(kept)


@functools.cache
def vocabulary() -> frozenset[str]:
    """Return the words that are safe, in small letters."""
    return frozenset(word for line in _lines("words.txt") for word in line.split())


@functools.cache
def terms() -> frozenset[str]:
    """Return the terms of code strings that stay although a patient may be called like one of them."""
    return frozenset(_lines("terms.txt"))


def _lines(name: str) -> Iterator[str]:
    lines = resources.files(__package__).joinpath(name).read_text(encoding="utf-8").splitlines()
    return (line for line in lines if not line.startswith("#"))
