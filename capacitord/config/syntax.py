"""What is wrong with a text that is not TOML, in words for somebody who does not know TOML by heart."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Final, NamedTuple

HINT: Final = "The file is TOML 1.0."
_CURLY: Final = frozenset("\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019\u201a")
_KEY: Final = re.compile(r"\s*([^\s=][^=]*?)\s*=")
_HEADER: Final = re.compile(r"\s*(\[\[?[^\]]*\]?\]?)")
_QUOTED: Final = re.compile(r"'([^']*)'")


class Explained(NamedTuple):
    """What is wrong, what to do, and where on its line: a column, from 1, and a length."""

    message: str
    hint: str
    column: int
    length: int = 1


def explain(words: str, line: str, column: int) -> Explained:
    """Return what `tomllib` means by `words`, which it said of a place in a line."""
    at = line[column - 1 : column]
    if at in _CURLY and at:
        return Explained("has a curly quotation mark", 'Quotation marks are straight: ".', column)
    if at == "\ufeff":
        return Explained("begins with a byte order mark", "Save it as UTF-8 without one (without BOM).", column)
    for said, explained in _EXPLAINED.items():
        if words.startswith(said):
            return explained(words, line, column)
    return Explained(words[:1].lower() + words[1:], HINT, column)


def _escape(_words: str, line: str, column: int) -> Explained:
    start = max(1, column - 2)
    hint = r"Write \\ for a backslash, or put the text between single quotes, where \ is a character like others."
    return Explained(f"has {line[start - 1 : column - 1]} in a text, which means nothing", hint, start, 2)


def _illegal(words: str, _line: str, column: int) -> Explained:
    if r"\n" in words or r"\r" in words:
        return Explained(
            "the text is not closed on its line", 'It ends with the quotation mark it began with: ".', column
        )
    return Explained("has a control character in a text", "Leave it out, or write it like \\u0009.", column)


def _twice(_words: str, line: str, column: int) -> Explained:
    key = _KEY.match(line)
    if key is None:
        return Explained("a key is written twice", "Leave one of them out.", column)
    return Explained(f"{key[1]} is written twice", "Leave one of them out.", key.start(1) + 1, len(key[1]))


def _declared(words: str, line: str, column: int) -> Explained:
    hint = "Put its keys into one table; another entry of a list has double brackets: [[route]]."
    header = _HEADER.match(line)
    message = f"[{_path(words)}] is there twice"
    if header is None:
        return Explained(message, hint, column)
    return Explained(message, hint, header.start(1) + 1, len(header[1]))


def _complete(words: str, line: str, column: int) -> Explained:
    hint = "Say it in one place: either as a value behind =, or in tables of its own."
    header = _HEADER.match(line)
    message = f"{_path(words)} has its value already, and nothing can be added to it"
    if header is None:
        return Explained(message, hint, column)
    return Explained(message, hint, header.start(1) + 1, len(header[1]))


def _inline(words: str, _line: str, column: int) -> Explained:
    return Explained(f"{_path(words)} is written twice in one table", "Leave one of them out.", column)


def _equals(_words: str, _line: str, column: int) -> Explained:
    return Explained("has no = behind the key", 'Write it like port = 104, or name = "pacs".', column)


def _value(_words: str, line: str, column: int) -> Explained:
    word = re.match(r"[^\s,\]}#]*", line[column - 1 :])
    found = word[0] if word else ""
    if not found:
        return Explained("has no value", 'Write one behind the =: a text in quotes ("pacs"), or a number.', column)
    if found.lower() in {"true", "false"}:
        return Explained(f"{found} is not a value", f"Write {found.lower()}.", column, len(found))
    hint = 'A text stands in double quotes, like "pacs".'
    return Explained(f"{found[:40]} is not a value", hint, column, len(found))


def _part(words: str, line: str, column: int) -> Explained:
    if column <= len(line):
        return Explained(words[:1].lower() + words[1:], HINT, column)
    hint = "What is between { and } stands on one line, without a comma at its end; or write it as a [table]."
    return Explained("the line ends within { }", hint, column)


def _end(_words: str, line: str, column: int) -> Explained:
    at, before = line[column - 1 : column], line[: column - 1]
    if at.isdigit() and re.search(r"=\s*0$", before):
        return Explained("a number begins with 0", "Leave the zeros before it out.", column - 1)
    hint = "On a line there is one key with its value and nothing behind it, but a comment after #."
    return Explained("something stands behind what is complete", hint, column)


_EXPLAINED: Final[MappingProxyType[str, Callable[[str, str, int], Explained]]] = MappingProxyType(
    {
        r"Unescaped '\'": _escape,
        "Illegal character": _illegal,
        "Cannot overwrite a value": _twice,
        "Cannot declare": _declared,
        "Cannot mutate": _complete,
        "Duplicate inline table key": _inline,
        "Expected '=' after a key": _equals,
        "Invalid value": _value,
        "Invalid initial character for a key part": _part,
        "Expected newline or end of document": _end,
    }
)
"""By what `tomllib` says; what it says otherwise stays as it is."""


def _path(words: str) -> str:
    return ".".join(_QUOTED.findall(words))
