"""Regular expressions in an engine whose time grows with the text and never faster (RE2)."""

from __future__ import annotations

from typing import Any, Final

import re2

from capacitord.errors import Invalid

LONGEST: Final = 1000
HINT: Final = "It is an RE2 expression: no look-around and no back-reference within it."
_MEMORY: Final = 1 << 20
"""Bytes that one compiled expression may take."""


def compiled(pattern: str) -> Any:
    """Return an expression, compiled; RE2 remembers the last ones. Raises `Invalid` if it is not one.

    It has the methods of Python's `re`: search, fullmatch, sub.
    """
    if len(pattern) > LONGEST:
        msg = f"the regular expression is longer than {LONGEST} characters"
        raise Invalid(msg, hint=HINT)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        msg = f"is not a regular expression this box takes: {_words(error)}"
        raise Invalid(msg, hint=HINT) from None


def found(pattern: str, text: str) -> bool:
    """Return whether an expression matches anywhere in a text. Raises `Invalid` if it is not an expression."""
    return compiled(pattern).search(text.encode(errors="replace")) is not None


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else "it is not text"
