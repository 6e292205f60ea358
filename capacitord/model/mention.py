"""Whether what a person says of why she does something names a patient: it is kept for good where no patient may be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from capacitord.model.patient import Patient

_WORDS: Final = re.compile(r"[^\W_]+")
_PARTICLES: Final = frozenset(
    {
        *("von", "vom", "van", "zu", "zum", "zur", "der", "den", "dem", "die", "das", "ter", "ten", "het"),
        *("de", "del", "della", "di", "da", "do", "dos", "du", "des"),
        *("la", "las", "le", "los", "el", "al", "bin", "ibn"),
    }
)
"""Words of family names that are words of languages as well."""
_ONLY_DIGITS: Final = 5
_SHORTEST_NUMBER: Final = 4


def names_patient(text: str, patients: Iterable[Patient], numbers: Iterable[str] = ()) -> bool:
    """Return whether a text has a name of one of these patients, an id or a birth date, or one of `numbers`.

    A family name alone may be any word; with a given name it is a person. Case and order do not count. A number counts
    if it is too long to come up by chance, as a year does.
    """
    said = text.casefold()
    words = set(_WORDS.findall(said))
    return any(
        _is_named(each.name, said, words) or _has(said, each.id) or _has(said, each.birth_date) for each in patients
    ) or any(_has(said, number) for number in numbers)


def _is_named(name: str, said: str, words: set[str]) -> bool:
    # What is written the ideographic or the phonetic way is a name as well (PS3.5 §6.2.1.2).
    for group in name.casefold().split("="):
        family, _, given = group.partition("^")
        parts = (_telling(family), _telling(given.replace("^", " ")))
        if not parts[1]:
            # All of it is written as a family name.
            parts = (parts[0][:1], parts[0][1:])
        if all(any(_is_said(word, said, words) for word in part) for part in parts):
            return True
    return False


def _telling(part: str) -> list[str]:
    return [word for word in _WORDS.findall(part) if word not in _PARTICLES and (len(word) > 1 or not word.isascii())]


def _is_said(word: str, said: str, words: set[str]) -> bool:
    # Some scripts have no spaces between words.
    return word in words or (not word.isascii() and word in said)


def _has(said: str, number: str) -> bool:
    number = number.strip().casefold()
    shortest = _ONLY_DIGITS if number.isdecimal() else _SHORTEST_NUMBER
    if len(number) < shortest or not any(char.isdigit() for char in number):
        return False
    return re.search(rf"(?<!\w){re.escape(number)}(?!\w)", said) is not None
