"""What may be wrong with an image that arrives, how bad that is, in words, and what to do about it.

A finding is kept with its image as one short line, a fault and what belongs into its sentence, and never anything of
a patient: so it may stand in a log. Whatever is an error is held for every destination; a warning is only shown.

An error is what hardly any archive could file or show, or an image that does not say of which patient, study and
series it is. What archives in the field take every day is a warning at most, however the standard has it: there is no
second copy of an image that is not delivered.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Severity(enum.StrEnum):
    """Whether an image is held for it."""

    ERROR = "error"
    WARNING = "warning"


class Fault(enum.StrEnum):
    """What was found. These words are in sealed objects: they are never given another meaning."""

    UNREADABLE = "unreadable"
    CUT_OFF = "cut-off"
    ODD_BEHIND_HEADER = "odd-behind-header"
    OTHER_CLASS = "other-class"
    OTHER_INSTANCE = "other-instance"
    NO_UID = "no-uid"
    NOT_A_UID = "not-a-uid"
    ODD_UID = "odd-uid"
    ABSENT = "absent"
    NAMES_NO_PATIENT = "names-no-patient"
    UNDESCRIBED = "undescribed"
    WITHOUT_SIZE = "without-size"
    SAMPLES_CONTRADICT = "samples-contradict"
    BITS_CONTRADICT = "bits-contradict"
    HIGH_BIT_OUTSIDE = "high-bit-outside"
    HIGH_BIT_ODD = "high-bit-odd"
    PIXELS_SHORT = "pixels-short"
    PIXELS_LONG = "pixels-long"
    NO_PIXELS = "no-pixels"
    IMAGE_WITHOUT_PIXELS = "image-without-pixels"
    NOT_COMPRESSED = "not-compressed"
    COMPRESSED = "compressed"
    FRAGMENTS_BROKEN = "fragments-broken"
    FRAMES_MISSING = "frames-missing"
    FRAGMENTS_MANY = "fragments-many"
    OFFSETS = "offsets"
    OTHER_CODEC = "other-codec"
    OTHER_PROCESS = "other-process"
    WRONG_PROCESS = "wrong-process"
    OTHER_SIZE = "other-size"
    OTHER_SAMPLES = "other-samples"
    OTHER_BITS = "other-bits"


class Rule(NamedTuple):
    """How bad a fault is, and its sentence, with a place for each of its details."""

    severity: Severity
    sentence: str


_E, _W, _F = Severity.ERROR, Severity.WARNING, Fault

RULES: Final[Mapping[Fault, Rule]] = MappingProxyType(
    {
        _F.UNREADABLE: Rule(_E, "its attributes cannot be read: {}"),
        _F.CUT_OFF: Rule(_E, "its dataset ends too early: {}"),
        _F.ODD_BEHIND_HEADER: Rule(_W, "its pixels were not checked: {}"),
        _F.OTHER_CLASS: Rule(_E, "its SOP Class UID is not the one of the C-STORE request"),
        _F.OTHER_INSTANCE: Rule(_E, "its SOP Instance UID is not the one of the C-STORE request"),
        _F.NO_UID: Rule(_E, "it has no {}"),
        _F.NOT_A_UID: Rule(_E, "its {} is not a UID (PS3.5 §9.1)"),
        _F.ODD_UID: Rule(_W, "its {} has a component that begins with zero, or is empty (PS3.5 §9.1)"),
        _F.ABSENT: Rule(_E, "it has no {}"),
        _F.NAMES_NO_PATIENT: Rule(_W, "it names no patient: its Patient's Name and Patient ID are empty"),
        _F.UNDESCRIBED: Rule(_W, "it has pixels and no {}, so they were not checked"),
        _F.WITHOUT_SIZE: Rule(_E, "it has pixels and no {}, so nobody can tell how many they are"),
        _F.SAMPLES_CONTRADICT: Rule(_E, "it says {} samples per pixel, and its photometric interpretation is {}"),
        _F.BITS_CONTRADICT: Rule(_E, "it says that {} bits are stored of each sample, and only {} are allocated"),
        _F.HIGH_BIT_OUTSIDE: Rule(_E, "it says that bit {} is the highest of each sample, and only {} are allocated"),
        _F.HIGH_BIT_ODD: Rule(_W, "it says that bit {} is the highest of each sample, and that {} are stored"),
        _F.PIXELS_SHORT: Rule(_E, "its pixels have {} bytes, and rows, columns, frames and bits make {}"),
        _F.PIXELS_LONG: Rule(_W, "its pixels have {} bytes, and rows, columns, frames and bits make only {}"),
        _F.NO_PIXELS: Rule(_W, "it says how many rows, columns and bits it has, and has no pixels"),
        _F.IMAGE_WITHOUT_PIXELS: Rule(_E, "it has no pixels, and an image of its SOP class must have some"),
        _F.NOT_COMPRESSED: Rule(_E, "its transfer syntax says that its pixels are compressed, and they are not"),
        _F.COMPRESSED: Rule(_E, "its transfer syntax says that its pixels are not compressed, and they are"),
        _F.FRAGMENTS_BROKEN: Rule(_E, "its compressed pixels are not in fragments as they should be (PS3.5 §A.4)"),
        _F.FRAMES_MISSING: Rule(_E, "it says it has {} frames, and has {} fragments of pixels"),
        _F.FRAGMENTS_MANY: Rule(_W, "it says it has {} frames, and has {} fragments of pixels"),
        _F.OFFSETS: Rule(_W, "it says it has {} frames, and its table of offsets has {}"),
        _F.OTHER_CODEC: Rule(_E, "its transfer syntax is of {}, and its pixels are of {}"),
        _F.OTHER_PROCESS: Rule(_W, "its transfer syntax is of {}, and its pixels are of {}"),
        _F.WRONG_PROCESS: Rule(_E, "its transfer syntax is of {}, and its pixels are of {}"),
        _F.OTHER_SIZE: Rule(_E, "it says {} rows and columns, and its compressed pixels say {}"),
        _F.OTHER_SAMPLES: Rule(_E, "it says {} samples per pixel, and its compressed pixels say {}"),
        _F.OTHER_BITS: Rule(_W, "it says {} bits, and its compressed pixels say {}"),
    }
)


class Finding(NamedTuple):
    """A fault of an image; `details` are numbers, keywords of attributes and words of this program."""

    fault: Fault
    details: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """Whether the image is held for it."""
        return RULES[self.fault].severity

    @property
    def sentence(self) -> str:
        """What was found, to stand behind the image's name or a colon."""
        return RULES[self.fault].sentence.format(*self.details)

    def __str__(self) -> str:
        return "|".join((self.fault, *self.details))


_UNKNOWN: Final = "another version of capacitord found a fault in it that this one does not know"


def severity(line: str) -> Severity:
    """Return how bad a finding is that was kept; one that this version does not know is an error."""
    found = parse(line)
    return Severity.ERROR if found is None else found.severity


def sentence(line: str) -> str:
    """Return a finding that was kept in words."""
    found = parse(line)
    return _UNKNOWN if found is None else found.sentence


def parse(line: str) -> Finding | None:
    """Return the finding that a line is, None if this version knows no such."""
    word, *details = line.split("|")
    known = Fault(word) if word in list(Fault) else None
    if known is None or RULES[known].sentence.count("{}") != len(details):
        return None
    return Finding(known, tuple(details))


def holds(line: str) -> bool:
    """Return whether an image is held for a finding."""
    return severity(line) is Severity.ERROR


def why_invalid(lines: Iterable[str]) -> str:
    """Return why an image is held with these findings, empty if it is not."""
    return "; ".join(sentence(line) for line in lines if holds(line))
