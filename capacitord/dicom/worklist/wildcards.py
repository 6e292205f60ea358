"""Wildcard matching in time linear in the text, whoever wrote the key (PS3.4 §C.2.2.2.4)."""

from __future__ import annotations

import re
from typing import Final

import re2

from capacitord.errors import Invalid
from capacitord.model import patterns

LONGEST: Final = 324
"""Characters of a wildcard key; the three component groups of a person name have 194."""

_STARS: Final = re.compile(r"\*+")
_WILD: Final = re.compile(r"([*?])")


def is_pattern(key: str) -> bool:
    """Whether a key has wildcards in it."""
    return "*" in key or "?" in key


def matches_all(key: str) -> bool:
    """Whether a key matches everything, even what is empty or missing: "*" is universal (§C.2.2.2.4 note 1)."""
    return key != "" and not key.strip("*")


class Pattern:
    """A key with wildcards: "*" is any text, none too, "?" is any one character. Raises `Invalid` if it is too long."""

    __slots__ = ("_compiled",)

    def __init__(self, key: str) -> None:
        if len(key) > LONGEST:
            msg = f"has wildcards and more than {LONGEST} characters"
            raise Invalid(msg, hint="Ask for less in one key.")
        parts = _WILD.split(_STARS.sub("*", key))
        expression = "".join({"*": ".*", "?": "."}.get(part) or _literal(part) for part in parts)
        self._compiled = patterns.compiled(f"(?s){expression}")

    def matches(self, text: str) -> bool:
        """Whether all of a text matches."""
        # On bytes it is compared without counting characters first.
        return self._compiled.fullmatch(text.encode(errors="replace")) is not None


def _literal(text: str) -> str:
    escaped: str = re2.escape(text)
    return escaped
