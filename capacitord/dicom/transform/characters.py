"""Text to bytes and back in a Specific Character Set, exactly or not at all (PS3.5 §6.1, PS3.3 §C.12.1.1.2)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from pydicom import charset as pydicom_charset

from capacitord.dicom.transform.failure import Unfit

SPECIFIC_CHARACTER_SET: Final = 0x00080005
TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""The VRs whose text is in the Specific Character Set."""

_ESCAPE: Final = b"\x1b"
_NAME_DELIMITERS: Final = re.compile(r"([\\^=])")
_TEXT_DELIMITERS: Final = re.compile(r"([\\\t\n\f\r])")
_NAME_RESETS: Final = frozenset(b"\\^=")
_TEXT_RESETS: Final = frozenset(b"\\\t\n\f\r")
_FRAGMENTS: Final = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_MISSPELLED: Final = ((re.compile(r"^ISO.IR."), "ISO_IR "), (re.compile(r"^ISO.2022.IR."), "ISO 2022 IR "))
_SELF_ESCAPING: Final = frozenset({"iso2022_jp", "iso2022_jp_2"})
"""Python's codecs of these sets write and read the escape sequences themselves."""

_ESCAPES_LEFT_OUT: Final = MappingProxyType(
    {"iso_ir_58": b"\x1b$)A"}
    | {name: code for code, name in pydicom_charset.CODES_TO_ENCODINGS.items() if code.startswith(b"\x1b-")}
)
"""Sets in G1, by Python's names, with what selects them (PS3.3 tables C.12-3 and C.12-4)."""


class CharacterSet:
    """The terms of (0008,0005) in force for a dataset. Without any it is the default repertoire, ASCII.

    Terms that nobody knows are taken for ASCII too, so that text beyond it is refused rather than guessed.
    """

    def __init__(self, terms: tuple[str, ...]) -> None:
        self.terms = terms
        self._encodings = _encodings(terms)

    @property
    def is_default(self) -> bool:
        """Whether nothing but the default repertoire was declared."""
        return self.terms in {(), ("ISO_IR 6",)}

    @property
    def is_known(self) -> bool:
        """Whether all terms are defined ones, as PS3.3 spells them."""
        return all(term in pydicom_charset.python_encoding for term in self.terms)

    def decode(self, value: bytes, vr: str) -> str:
        """Return the text. Raises `Unfit` if any of it is not in the set."""
        if value.isascii() and _ESCAPE not in value:
            return value.decode("ascii")
        try:
            if _ESCAPE not in value or len(self._encodings) == 1:
                return value.decode(self._encodings[0])
            return "".join(self._decode_fragment(found, vr) for found in _FRAGMENTS.findall(value))
        except (ValueError, LookupError):
            msg = "holds text that is not in its Specific Character Set"
            raise Unfit(msg) from None

    def _decode_fragment(self, fragment: bytes, vr: str) -> str:
        """Return the text up to the next escape sequence (PS3.5 §6.1.2.5), each in the set that its own selects."""
        first = self._encodings[0]
        if not fragment.startswith(_ESCAPE):
            return fragment.decode(first)
        size = 4 if fragment.startswith((b"\x1b$(", b"\x1b$)")) else 3
        encoding = pydicom_charset.CODES_TO_ENCODINGS[fragment[:size]]
        if encoding == pydicom_charset.default_encoding:
            encoding = first
        elif encoding not in self._encodings:
            raise LookupError(encoding)
        if encoding in _SELF_ESCAPING:
            return fragment.decode(encoding)
        rest = fragment[size:]
        reset = next((at for at, byte in enumerate(rest) if byte in _resets(vr)), len(rest))
        return rest[:reset].decode(encoding) + rest[reset:].decode(first)

    def encode(self, text: str, vr: str) -> bytes:
        """Return the bytes. Raises `Unfit` if the set has no place for some character."""
        if text.isascii() and "\x1b" not in text:
            return text.encode("ascii")
        delimiters = _NAME_DELIMITERS if vr == "PN" else _TEXT_DELIMITERS
        encoded = b"".join(map(self._encode_run, delimiters.split(text)))
        if self.decode(encoded, vr) != text:
            raise Unfit(_NO_PLACE)
        return encoded

    def holds(self, text: str, vr: str) -> bool:
        """Whether the set has a place for every character."""
        try:
            self.encode(text, vr)
        except Unfit:
            return False
        return True

    def _encode_run(self, run: str) -> bytes:
        """Return text in which no delimiter goes back to the first set (PS3.5 §6.1.2.5.3)."""
        first = self._encodings[0]
        if first not in _SELF_ESCAPING and all(_has(first, char) for char in run):
            return run.encode(first)
        # Asked for a character it has no place for, pydicom would write a question mark.
        if "\x1b" in run or not all(any(_has(name, char) for name in self._encodings) for char in set(run)):
            raise Unfit(_NO_PLACE)
        for name in self._encodings[1:]:
            # pydicom leaves the escape sequences of these out, or takes the default repertoire for Latin-1.
            escape = _ESCAPES_LEFT_OUT.get(name, b"")
            if escape and all(_has(name, char) for char in run):
                return escape + run.encode(name)
        # It also knows the default repertoire by a name of its own.
        names = [pydicom_charset.default_encoding if name == "ascii" else name for name in self._encodings]
        return pydicom_charset.encode_string(run, names)


_NO_PLACE: Final = "has characters that the Specific Character Set has no place for"


def _resets(vr: str) -> frozenset[int]:
    return _NAME_RESETS if vr == "PN" else _TEXT_RESETS


def _has(encoding: str, char: str) -> bool:
    """Whether a set among others has a place for a character, as pydicom encodes it."""
    try:
        encoded = char.encode(encoding)
    except UnicodeError:
        return False
    if encoding == "shift_jis":
        return len(encoded) == 1
    if encoding in _SELF_ESCAPING:
        return encoded.startswith(pydicom_charset.ENCODINGS_TO_CODES[encoding])
    return True


def _spelled(term: str) -> str:
    for pattern, right in _MISSPELLED:
        term = pattern.sub(right, term)
    return term


def _encodings(terms: tuple[str, ...]) -> list[str]:
    known = pydicom_charset.python_encoding
    alone = pydicom_charset.STAND_ALONE_ENCODINGS
    names = [_spelled(term) for term in terms] or [""]
    if names[0] not in known:
        return ["ascii"]
    first = known[names[0]] if names[0] not in {"", "ISO_IR 6", "ISO 2022 IR 6"} else "ascii"
    if names[0] in alone:
        return [first]
    return [first, *(known[name] for name in names[1:] if name in known and name not in alone)]


@functools.lru_cache(maxsize=64)
def character_set(value: str) -> CharacterSet:
    """Return the set that a value of (0008,0005) means; its terms are separated by backslashes."""
    terms = tuple(term.strip(" \0") for term in value.split("\\"))
    return CharacterSet(terms if any(terms) else ())


def wider(declared: CharacterSet) -> Iterator[CharacterSet]:
    """Yield the sets to try for text that the declared one has no place for: the most widely understood first."""
    if declared.is_default:
        yield character_set("ISO_IR 100")
    yield character_set("ISO_IR 192")
