"""What codes stand for in images that leave this box de-identified."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Kind(enum.StrEnum):
    """What a code stands for."""

    PATIENT_ID = "patient id"
    PATIENT_NAME = "patient name"
    ACCESSION = "accession number"
    STUDY_ID = "study id"
    STUDY = "study UID"
    SERIES = "series UID"
    IMAGE = "SOP instance UID"


class Code(NamedTuple):
    """A code as it stands in an image that was sent."""

    kind: Kind
    code: str


class Coded(NamedTuple):
    """The codes of one image, and the destination it was sent to."""

    destination: str
    codes: tuple[Code, ...]
