"""What each operation makes of one value: text in, text out."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import unicodedata
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, Final

from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.values import STRING_VRS
from capacitord.model import patterns
from capacitord.model.representation import HASHED_VRS
from capacitord.model.transform import Clean, Hash, Map, Prefix, Repertoire, Replace, Suffix

Rule = Callable[[str], str]
OnValues = Replace | Map | Clean | Hash | Prefix | Suffix

_SPELLED_OUT: Final = MappingProxyType(
    {
        "ß": "ss", "ẞ": "SS", "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "Ø": "O", "ø": "o", "Đ": "D", "đ": "d",
        "Ð": "D", "ð": "d", "Þ": "Th", "þ": "th", "Ł": "L", "ł": "l", "Ħ": "H", "ħ": "h", "\u0131": "i", "ĸ": "k",
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"',
        "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u2026": "...",
    }
)  # fmt: skip


def rule(operation: OnValues, vr: str, key: bytes) -> Rule:
    """Return what the operation does to a value under this VR. Raises `Unfit` if it makes no sense there."""
    match operation:
        case Replace(pattern=pattern):
            return functools.partial(replaced, pattern, operation.parts())
        case Map(table=table, default=default, strict=strict):
            return functools.partial(_mapped, table, default, strict)
        case Clean(repertoire=repertoire, replacement=replacement):
            if vr == "PN":
                return functools.partial(_cleaned_name, repertoire, replacement)
            return functools.partial(cleaned, repertoire, replacement)
        case Hash(length=length):
            return _hashing(vr, key, length)
        case Prefix(text=text):
            _wants_text(vr)
            return lambda value: text + value
        case Suffix(text=text):
            _wants_text(vr)
            return functools.partial(_with_suffix, text, vr)


def replaced(pattern: str, parts: Sequence[str | int], value: str) -> str:
    """Return `value` with all that matches replaced by text and groups, in time linear in its length (RE2)."""

    def replacement(match: Any) -> bytes:
        return b"".join(part.encode() if isinstance(part, str) else match.group(part) or b"" for part in parts)

    # RE2 works on bytes: with text it would count the characters before each match again.
    found: bytes = patterns.compiled(pattern).sub(replacement, value.encode())
    return found.decode()


def _mapped(table: dict[str, str], default: str | None, strict: bool, value: str) -> str:
    if value in table:
        return table[value]
    if default is None and strict:
        msg = "the value is not in the table"
        raise Unfit(msg)
    return value if default is None else default


def cleaned(repertoire: Repertoire, replacement: str, value: str) -> str:
    """Return `value` with only characters of the repertoire: what it lacks is spelled out, simplified or replaced."""
    return "".join(_cleaned_char(repertoire, replacement, char) for char in unicodedata.normalize("NFC", value))


def _cleaned_char(repertoire: Repertoire, replacement: str, char: str) -> str:
    if _within(char, repertoire):
        return char
    if char in _SPELLED_OUT:
        return _SPELLED_OUT[char]
    # What a character is made of is kept where it fits; marks that only go on top of letters are left away.
    parts = [part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part)]
    if parts and all(_within(part, repertoire) for part in parts):
        return "".join(parts)
    return "" if unicodedata.combining(char) else replacement


def _within(char: str, repertoire: Repertoire) -> bool:
    if char in "\t\n\f\r":
        return True
    if repertoire is Repertoire.LATIN_1:
        return "\x20" <= char <= "\x7e" or "\xa0" <= char <= "\xff"
    return "\x20" <= char <= "\x7e"


def _cleaned_name(repertoire: Repertoire, replacement: str, value: str) -> str:
    """Return a cleaned person name; a component group that nothing is left of goes."""
    groups: list[str] = []
    for group in value.split("="):
        components = [cleaned(repertoire, replacement, component) for component in group.split("^")]
        lost = cleaned(repertoire, "", group).strip("^ ") == "" and group.strip("^ ") != ""
        groups.append("" if lost else "^".join(components))
    return "=".join(groups).rstrip("=")


def _hashing(vr: str, key: bytes, length: int) -> Rule:
    if not key:
        msg = "there is no key to hash with"
        raise Unfit(msg)
    if vr not in HASHED_VRS:
        msg = f"a hash is not a value of the VR {vr}"
        raise Unfit(msg)
    return functools.partial(hashed_uid, key) if vr == "UI" else functools.partial(_hashed, key, length)


def _hashed(key: bytes, length: int, value: str) -> str:
    digest = hmac.digest(key, value.encode(), hashlib.sha256)
    return base64.b32encode(digest).decode("ascii")[:length]


def hashed_uid(key: bytes, value: str) -> str:
    """Return a UID that only the holder of `key` can make: the same for the same value."""
    # PS3.5 §B.2: a UID from 128 bits, here those of a keyed hash.
    digest = hmac.digest(key, value.encode(), hashlib.sha256)
    return f"2.25.{int.from_bytes(digest[:16])}"


def _with_suffix(text: str, vr: str, value: str) -> str:
    if vr != "PN":
        return value + text
    alphabetic, equals, others = value.partition("=")
    return alphabetic + text + equals + others


def _wants_text(vr: str) -> None:
    if vr not in STRING_VRS:
        msg = f"text cannot be added to a value with the VR {vr}"
        raise Unfit(msg)
