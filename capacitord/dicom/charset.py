"""Text of a dataset as `str`, by its Specific Character Set (PS3.5 §6.1, PS3.3 §C.12.1.1.2)."""

from __future__ import annotations

import functools
import re
from types import MappingProxyType
from typing import Final

from pydicom import charset as pydicom_charset

_ISO_IR = re.compile(r"^ISO.IR.")
_ISO_2022 = re.compile(r"^ISO.2022.IR.")
_ESCAPE = b"\x1b"
_PADDING = " \0\t\r\n"
_CONTROLS = MappingProxyType(dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd"))
_FALLBACK = "iso8859"
_PERSON_NAME_DELIMITERS = frozenset({ord("^"), ord("="), ord("\\")})
_TEXT_DELIMITERS = frozenset({ord("\\"), ord("\t"), ord("\n"), ord("\f"), ord("\r")})

LONGEST_CHARSET: Final = 256
"""Bytes of (0008,0005) that are looked at; every combination of the standard is shorter."""


def decode(value: bytes, specific_character_set: bytes, *, person_name: bool = False) -> str:
    """Return `value` as text without padding; what cannot be decoded becomes U+FFFD, never an error.

    So do control characters, which no text of the catalog may hold and a terminal would obey.

    `specific_character_set` is the value of (0008,0005) as encoded. An unknown or absent one is read as
    UTF-8 where the bytes are valid UTF-8 and as Latin-1 otherwise, so that nothing readable is lost.
    """
    if value.isascii() and _ESCAPE not in value:
        text = value.decode("ascii").strip(_PADDING)
    else:
        text = _decoded(value, specific_character_set, person_name=person_name).strip(_PADDING)
    if person_name:
        # PS3.5 §6.2.1.1: delimiters of component groups that stay empty may be there or not.
        text = text.rstrip("=")
    return text if text.isprintable() else text.translate(_CONTROLS)


def _decoded(value: bytes, specific_character_set: bytes, *, person_name: bool) -> str:
    encodings = _encodings(specific_character_set[:LONGEST_CHARSET])
    if not encodings:
        return _guess(value)
    if _ESCAPE not in value:
        return value.decode(encodings[0], "replace")
    delimiters = _PERSON_NAME_DELIMITERS if person_name else _TEXT_DELIMITERS
    try:
        return pydicom_charset.decode_bytes(value, encodings, set(delimiters))
    except (ValueError, LookupError):
        # A program that set pydicom to raise where it otherwise warns gets the same text from us.
        return value.decode(encodings[0], "replace")


def _guess(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode(_FALLBACK, "replace")


def _spelled(name: str) -> str:
    """Return a defined term with the two spelling mistakes mended that devices in the field make."""
    name = name.strip(_PADDING)
    name = _ISO_IR.sub("ISO_IR ", name)
    return _ISO_2022.sub("ISO 2022 IR ", name)


@functools.lru_cache(maxsize=64)
def _encodings(specific_character_set: bytes) -> tuple[str, ...]:
    """Return Python's names for the character sets, the first one being that of unescaped text."""
    names = [_spelled(name) for name in specific_character_set.decode("ascii", "replace").split("\\")]
    if not any(names):
        return ()
    known = pydicom_charset.python_encoding
    if names[0] in pydicom_charset.STAND_ALONE_ENCODINGS:
        # PS3.3 §C.12.1.1.2: these admit no code extensions, so anything after them is an error to overlook.
        return (known[names[0]],)
    found = [known[name] for name in names if name in known and name not in pydicom_charset.STAND_ALONE_ENCODINGS]
    return tuple(found) if names[0] in known else ()
