"""What stands for a patient, a study or a UID at one destination: codes that only this site's key makes.

The same original always becomes the same code, so images that belong together stay together, on any day and after any
restart. Whoever has the key and the originals finds by trying which one a code stands for. Whoever has only codes can
neither guess an original nor join what two destinations hold.
"""

from __future__ import annotations

import hmac
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_LENGTH: Final = 32
"""Bytes of a site's key for this purpose."""

SHORTEST_SHIFT: Final = 30
LONGEST_SHIFT: Final = 3650
"""Days by which dates are moved back, at least and at most."""

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no letter looks like a digit."""
_LOOKALIKES: Final = str.maketrans("OIL", "011", " -")
_LENGTH: Final = 12
_UID: Final = "uid"
_UID_ROOT: Final = "2.25."
_MOST_DIGITS: Final = 39
_AE_LENGTH: Final = 10
_SEPARATOR: Final = "\x1f"


class Patient(NamedTuple):
    """Who a patient is. `key` is what codes are made of.

    That is Patient ID with its issuer, without padding. Where there is no Patient ID it is the name together with the
    birth date; where one of these is missing the study, and without that the image, so that two unknown patients never
    become one.
    """

    id: str = ""
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    study_uid: str = ""
    sop_uid: str = ""

    @property
    def key(self) -> str:
        """One text a patient; no two ways of telling patients apart share any."""
        if normal(self.id):
            return _SEPARATOR.join(("id", normal(self.id), normal(self.issuer)))
        if normal(self.name) and normal(self.birth_date):
            return _SEPARATOR.join(("name", normal(self.name).upper(), normal(self.birth_date)))
        if normal(self.study_uid):
            return _SEPARATOR.join(("study", normal(self.study_uid)))
        return _SEPARATOR.join(("image", normal(self.sop_uid)))


class Codes:
    """The codes of one site for one destination. `key` has 32 bytes and is for this purpose only."""

    def __init__(self, key: bytes, destination: str) -> None:
        if len(key) != KEY_LENGTH:
            msg = f"a key for codes has {KEY_LENGTH} bytes, not {len(key)}"
            raise ValueError(msg)
        self._key = hmac.digest(key, b"codes\x1f" + destination.encode(), "sha256")

    def uid(self, original: str) -> str:
        """Return the UID that stands for another one: "2.25." and a UUID (PS3.5 §B.2), 44 characters at most."""
        number = int.from_bytes(self._digest(_UID, normal(original))[:16], "big")
        # Version 8 of RFC 9562, made by a rule of one's own, and the variant of all its UUIDs.
        number = number & ~(0xF << 76) | 8 << 76
        return f"{_UID_ROOT}{number & ~(3 << 62) | 2 << 62}"

    def uid_test(self, wanted: str) -> Callable[[str], bool]:
        """Return what says of a UID whether this one stands for it: for very many, and faster than making each."""
        if not is_uid(wanted):
            return lambda _: False
        beginning = (int(wanted.removeprefix(_UID_ROOT)) >> 80 & 0xFFFFFFFFFFFF).to_bytes(6, "big")

        def test(original: str) -> bool:
            # What is left of the number is where version and variant are, and is compared only if this is the same.
            return self._digest(_UID, normal(original))[:6] == beginning and self.uid(original) == wanted

        return test

    def patient_id(self, original: str, issuer: str = "") -> str:
        """Return the 12 letters and digits that stand for a patient who has an id."""
        return self.patient(Patient(original, issuer))

    def patient_name(self, original: str, issuer: str = "") -> str:
        """Return the name that stands for that of a patient who has an id: the same code, so that people see it."""
        return self.patient_id(original, issuer)

    def patient(self, patient: Patient) -> str:
        """Return the code of any patient."""
        return self._text("patient", patient.key)

    def accession_number(self, original: str) -> str:
        """Return the 12 letters and digits that stand for an accession number."""
        return self._text("accession", normal(original))

    def study_id(self, original: str) -> str:
        """Return the 12 letters and digits that stand for a Study ID."""
        return self._text("study id", normal(original))

    def ae_title(self, original: str) -> str:
        """Return the AE title that stands for another one."""
        return "AE" + self._text("ae", normal(original))[:_AE_LENGTH]

    def days(self, patient: Patient) -> int:
        """Return by how many days the dates of a patient are moved: a negative number, so none comes to lie ahead."""
        spread = int.from_bytes(self._digest("days", patient.key)[:8], "big")
        return -(SHORTEST_SHIFT + spread % (LONGEST_SHIFT - SHORTEST_SHIFT + 1))

    def _text(self, purpose: str, original: str) -> str:
        number = int.from_bytes(self._digest(purpose, original)[:8], "big")
        return "".join(_ALPHABET[number >> 5 * at & 31] for at in range(_LENGTH))

    def _digest(self, purpose: str, original: str) -> bytes:
        return hmac.digest(self._key, f"{purpose}\x1e{original}".encode("utf-8", "surrogatepass"), "sha256")


def normal(text: str) -> str:
    """Return a value without padding, in one spelling of its characters."""
    return unicodedata.normalize("NFC", text.strip(" \0"))


def is_uid(code: str) -> bool:
    """Return whether a code may be one that stands for a UID."""
    root, digits = code[: len(_UID_ROOT)], code[len(_UID_ROOT) :]
    return root == _UID_ROOT and digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS


def spellings(typed: str) -> tuple[str, ...]:
    """Return what somebody may have meant who typed a code: that, and what it is in the alphabet of codes.

    A code may be typed in small letters, with spaces or hyphens, and with O, I or L for a digit.
    """
    meant = normal(typed)
    return tuple(dict.fromkeys((meant, meant.upper().translate(_LOOKALIKES))))


class Sought:
    """A code that somebody typed, to be compared with what stands for originals at one destination."""

    def __init__(self, typed: str, codes: Codes) -> None:
        self._spellings, self._codes = frozenset(spellings(typed)), codes
        self._is_uid = codes.uid_test(normal(typed))

    def is_patient(self, patient: Patient) -> bool:
        """Return whether it stands for a patient."""
        return self._codes.patient(patient) in self._spellings

    def is_accession_number(self, original: str) -> bool:
        """Return whether it stands for an accession number."""
        return bool(original) and self._codes.accession_number(original) in self._spellings

    def is_uid(self, original: str) -> bool:
        """Return whether it stands for a UID."""
        return self._is_uid(original)
