"""The preflight as the control socket tells it. What remains on a scanner holds patient data."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from capacitord.api.messages import Answer, Message


class RunPreflight(Message, frozen=True):
    """Ask all scanners what is on them, for `site` or, if that is empty, for the site that is active.

    With `watch` they are asked again and again until they are clean. Each time gives one line.
    """

    site: Annotated[str, msgspec.Meta(max_length=64)] = ""
    watch: bool = False


class Remaining(Answer, frozen=True):
    """A study that is on a scanner; without `study_uid` a patient of whom it names no study.

    Date and time are as in DICOM (DA, TM). `images` is None where the scanner does not say how many there are.
    """

    patient_name: str
    patient_id: str
    study_date: str = ""
    study_time: str = ""
    description: str = ""
    accession_number: str = ""
    modalities: tuple[str, ...] = ()
    study_uid: str = ""
    images: int | None = None


class Scanner(Answer, frozen=True):
    """What is on one scanner. It is clean only if it said itself that nothing is.

    With `at_least` there may be more than it told. `reason` says what it came to, in a sentence.
    """

    ae_title: str
    host: str
    port: int
    clean: bool
    patients: int
    studies: int
    at_least: bool
    reason: str
    remaining: tuple[Remaining, ...] = ()


class Preflight(Answer, frozen=True):
    """What is on all scanners. `needed` says that the site cannot be opened for before this is clean, or why it can."""

    schema: str
    at: datetime
    site: str
    clean: bool
    needed: bool
    why: str
    hint: str
    scanners: tuple[Scanner, ...]
