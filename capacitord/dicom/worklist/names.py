"""Person names as keys: what the standard leaves open, decided (PS3.4 §C.2.2.2.1.1, §C.2.2.2.4, PS3.5 §6.2.1).

* Case does not count. Neither do accents on letters of the Latin alphabet, which a scanner's keyboard may not have:
  "muller" finds "Müller". Other letters count as they are; a sound mark of kana is no accent.
* Delimiters at the end, of components and of component groups, count as little as they do in PS3.5, and neither do
  spaces around a component.
* A key of nothing but delimiters and spaces is an empty one, for what is left out at the end says nothing.
* A key without "=" may match the whole name or any component group of it. In a key with "=" each group that is not
  empty has to match its counterpart.
* In a wildcard key a name has as many components as the key asks for: "SMITH^*" finds "Smith".
"""

from __future__ import annotations

import functools
import unicodedata

from capacitord.dicom.worklist.wildcards import Pattern, is_pattern


@functools.lru_cache(maxsize=4096)
def _folded(char: str) -> str:
    """Return a character without what does not count in it; always one character for one."""
    if "LATIN" in unicodedata.name(char, ""):
        char = unicodedata.normalize("NFD", char)[0]
    folded = char.casefold()
    return folded if len(folded) == 1 else char


def folded(name: str) -> tuple[str, ...]:
    """Return the component groups of a name, each without what does not count in it."""
    text = name.lower() if name.isascii() else "".join(map(_folded, unicodedata.normalize("NFC", name)))
    return tuple(_group(group) for group in text.split("="))


def _group(group: str) -> str:
    if " " in group:
        group = "^".join(component.strip(" ") for component in group.split("^"))
    return group.rstrip("^")


def says_nothing(key: str) -> bool:
    """Whether a key has no component with anything in it, like "^": then it is as good as empty (PS3.5 §6.2.1)."""
    return not key.strip("^= ")


class NameKey:
    """What a key of VR PN matches. Raises `Invalid` if it is too long a wildcard."""

    __slots__ = ("_groups", "_whole")

    def __init__(self, key: str) -> None:
        groups = folded(key)
        self._whole = _GroupKey(groups[0]) if len(groups) == 1 else None
        self._groups = tuple(_GroupKey(group) if group else None for group in groups)

    def matches(self, name: tuple[str, ...]) -> bool:
        """Whether a folded name matches."""
        if self._whole is not None:
            if any(map(self._whole.matches, name)):
                return True
            return len(name) > 1 and self._whole.matches("=".join(name))
        padded = (*name, *[""] * len(self._groups))
        return all(key is None or key.matches(group) for key, group in zip(self._groups, padded, strict=False))


class _GroupKey:
    __slots__ = ("_carets", "_pattern", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._carets = text.count("^")
        self._pattern = Pattern(text) if is_pattern(text) else None

    def matches(self, group: str) -> bool:
        if self._pattern is None:
            return group == self._text
        return self._pattern.matches(group + "^" * (self._carets - group.count("^")))
