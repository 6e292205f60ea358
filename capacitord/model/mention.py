"""Whether what a person says of why she does something names a patient: it is kept for good where no patient may be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from capacitord.model.patient import Patient

_WORDS: Final = re.compile(r"[^\W_]+")
_PARTS: Final = re.compile(r"[\^= ,]+")
_SHORTEST_NUMBER: Final = 4


def names_patient(text: str, patients: Iterable[Patient], numbers: Iterable[str] = ()) -> bool:
    """Return whether a text has the whole name of one of these patients, a patient's id, or one of `numbers`.

    A family name alone may be any word; with a given name it is a person. Case and order do not count. A number is
    looked for if it has a digit and is not too short to come up by chance.
    """
    said = text.casefold()
    words = set(_WORDS.findall(said))
    return any(_is_named(each.name, said, words) or _has(said, each.id) for each in patients) or any(
        _has(said, number) for number in numbers
    )


def _is_named(name: str, said: str, words: set[str]) -> bool:
    # What is written the ideographic or the phonetic way is a name as well (PS3.5 §6.2.1.2).
    for group in name.casefold().split("="):
        parts = [part for part in _PARTS.split(group) if part]
        if len(parts) > 1 and all(_is_said(part, said, words) for part in parts[:2]):
            return True
    return False


def _is_said(part: str, said: str, words: set[str]) -> bool:
    # Some scripts have no spaces between words.
    return part in words if part.isascii() else part in said


def _has(said: str, number: str) -> bool:
    number = number.strip().casefold()
    if len(number) < _SHORTEST_NUMBER or not any(char.isdigit() for char in number):
        return False
    return re.search(rf"(?<!\w){re.escape(number)}(?!\w)", said) is not None
