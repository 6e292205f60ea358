"""What stands for a patient, a study or a UID at one destination: codes that only this site's key makes.

The same original always becomes the same code, so images that belong together stay together, on any day and after any
restart. Nothing is stored: whoever has the key and the originals finds by trying which one a code stands for. Whoever
has only codes can neither guess an original nor join what two destinations hold.
"""

from __future__ import annotations

import enum
import hmac
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_LENGTH: Final = 32
"""Bytes of a site's key for this purpose."""

SHORTEST_SHIFT: Final = 30
LONGEST_SHIFT: Final = 3650
"""Days by which dates are moved back, at least and at most."""

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no letter looks like a digit."""
_LOOKALIKES: Final = str.maketrans("OIL", "011", " -")
_LENGTH: Final = 12
_AE_LENGTH: Final = 10
_SEPARATOR: Final = "\x1f"


class Kind(enum.StrEnum):
    """What a code stands for."""

    PATIENT = "patient"
    ACCESSION = "accession number"
    STUDY_ID = "study id"
    STUDY = "study"
    SERIES = "series"
    IMAGE = "image"


class Patient(NamedTuple):
    """Who a patient is. `key` is what codes are made of.

    That is Patient ID with its issuer, without padding. Where there is no Patient ID it is the name with the birth
    date, and where there is none of these the study, so that two unknown patients never become one.
    """

    id: str = ""
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    study_uid: str = ""

    @property
    def key(self) -> str:
        """One text a patient; no two ways of telling patients apart share any."""
        if normal(self.id):
            return _SEPARATOR.join(("id", normal(self.id), normal(self.issuer)))
        if normal(self.name):
            return _SEPARATOR.join(("name", normal(self.name).upper(), normal(self.birth_date)))
        return _SEPARATOR.join(("study", normal(self.study_uid)))


class Known(NamedTuple):
    """One image that the catalog knows, as far as it knows it; `kind` is what a resolved code stood for.

    Without a Patient ID the code of a patient is found only if the name and birth date are given.
    """

    patient_id: str = ""
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_uid: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    kind: Kind | None = None

    @property
    def patient(self) -> Patient:
        """Whose image it is."""
        return Patient(self.patient_id, self.issuer, self.name, self.birth_date, self.study_uid)


class Codes:
    """The codes of one site for one destination. `key` has 32 bytes and is for this purpose only."""

    def __init__(self, key: bytes, destination: str) -> None:
        if len(key) != KEY_LENGTH:
            msg = f"a key for codes has {KEY_LENGTH} bytes, not {len(key)}"
            raise ValueError(msg)
        self._key = hmac.digest(key, b"codes\x1f" + destination.encode(), "sha256")

    def uid(self, original: str) -> str:
        """Return the UID that stands for another one: "2.25." and a UUID (PS3.5 §B.2), 44 characters at most."""
        number = int.from_bytes(self._digest("uid", normal(original))[:16], "big")
        # Version 8 of RFC 9562, made by a rule of one's own, and the variant of all its UUIDs.
        number = number & ~(0xF << 76) | 8 << 76
        return f"2.25.{number & ~(3 << 62) | 2 << 62}"

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


def resolve(code: str, candidates: Iterable[Known], codes: Codes) -> list[Known]:
    """Return those of the known images for which a code stands, with what kind of code it is.

    A code may be typed in small letters, with spaces or hyphens, and with O, I or L for a digit.
    """
    wanted = code.strip()
    typed = wanted.upper().translate(_LOOKALIKES)
    found = []
    for known in candidates:
        kind = _kind(wanted, typed, known, codes)
        if kind is not None:
            found.append(known._replace(kind=kind))
    return found


def _kind(wanted: str, typed: str, known: Known, codes: Codes) -> Kind | None:
    if wanted.startswith("2.25."):
        uids = ((Kind.STUDY, known.study_uid), (Kind.SERIES, known.series_uid), (Kind.IMAGE, known.sop_uid))
        return next((kind for kind, uid in uids if uid and codes.uid(uid) == wanted), None)
    if codes.patient(known.patient) == typed:
        return Kind.PATIENT
    if known.accession_number and codes.accession_number(known.accession_number) == typed:
        return Kind.ACCESSION
    if known.study_id and codes.study_id(known.study_id) == typed:
        return Kind.STUDY_ID
    return None
