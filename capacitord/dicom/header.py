"""What the catalog needs of an image, from the start of its dataset, without holding the pixels.

`HeaderReader` looks at the bytes as they pass until (0028,0008), the last attribute it wants, is behind it.
It does not matter how far into the dataset that is: a key object that refers to ten thousand images has
megabytes of sequences before its study.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from capacitord.dicom.charset import decode
from capacitord.dicom.walker import DatasetWalker, HeaderError, Unreadable
from capacitord.model.image import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capacitord.dicom.intake import Announced

SPECIFIC_CHARACTER_SET: Final = 0x00080005
SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E

LONGEST_TEXT: Final = 256
"""Characters of a text that reach the catalog."""

_INTEGER = re.compile(rb"[ \0]*[+-]?[0-9]+[ \0]*")
_PERSON_NAMES: Mapping[str, int] = MappingProxyType(
    {"referring_physician": 0x00080090, "patient_name": 0x00100010},
)
_TEXTS: Mapping[str, int] = MappingProxyType(
    {
        "study_date": 0x00080020,
        "study_time": 0x00080030,
        "accession_number": 0x00080050,
        "modality": 0x00080060,
        "institution": 0x00080080,
        "station": 0x00081010,
        "study_description": 0x00081030,
        "series_description": 0x0008103E,
        "patient_id": 0x00100020,
        "birth_date": 0x00100030,
        "sex": 0x00100040,
        "body_part": 0x00180015,
        "study_id": 0x00200010,
    }
)
_NUMBERS: Mapping[str, int] = MappingProxyType(
    {"series_number": 0x00200011, "instance_number": 0x00200013, "number_of_frames": 0x00280008},
)
_UIDS = frozenset({SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID})
_WANTED = _UIDS.union({SPECIFIC_CHARACTER_SET}, _PERSON_NAMES.values(), _TEXTS.values(), _NUMBERS.values())


class Mismatch(HeaderError):
    """The dataset is of another SOP class or another SOP instance than the command set says."""


class HeaderReader:
    """Reads the facts of one image while its bytes pass by."""

    __slots__ = ("_announced", "_walker", "feed")

    def __init__(self, announced: Announced) -> None:
        self._announced = announced
        self._walker = DatasetWalker(announced.transfer_syntax_uid, _WANTED)
        self.feed = self._walker.feed

    @property
    def done(self) -> bool:
        """Whether everything wanted has passed."""
        return self._walker.done

    def facts(self) -> Facts:
        """Return what was found, when everything wanted has passed or the dataset has ended.

        An image without a Study or Series Instance UID gets its own UID in that place. Raises `Unreadable` if the
        dataset ended inside an element or has no SOP Instance UID; `Mismatch` if its SOP class or instance is not the
        announced one.
        """
        if self._walker.inside and not self._walker.done:
            msg = "the dataset ends inside an element"
            raise Unreadable(msg)
        values = self._walker.values
        charset = values.get(SPECIFIC_CHARACTER_SET, b"")
        sop_class_uid, sop_instance_uid = self._identity(values)
        texts = {field: decode(values[tag], charset)[:LONGEST_TEXT] for field, tag in _TEXTS.items() if tag in values}
        for field, tag in _PERSON_NAMES.items():
            texts[field] = decode(values.get(tag, b""), charset, person_name=True)[:LONGEST_TEXT]
        return Facts(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=self._announced.transfer_syntax_uid,
            # Palettes and protocols belong to no study (PS3.4 §GG), and scanners forget the attribute. Such an
            # image has to be kept and delivered too, for there may be no other copy: it is a study of its own.
            study_uid=_uid(values, STUDY_INSTANCE_UID) or sop_instance_uid,
            series_uid=_uid(values, SERIES_INSTANCE_UID) or sop_instance_uid,
            **texts,  # type: ignore[arg-type]  # its keys are names of text fields only
            **{field: _number(values.get(tag, b"")) for field, tag in _NUMBERS.items()},  # type: ignore[arg-type]
        )

    def _identity(self, values: Mapping[int, bytes]) -> tuple[str, str]:
        sop_class_uid, sop_instance_uid = _uid(values, SOP_CLASS_UID), _uid(values, SOP_INSTANCE_UID)
        if not sop_instance_uid:
            msg = "the dataset has no SOP Instance UID"
            raise Unreadable(msg, (SOP_INSTANCE_UID,))
        if sop_class_uid != self._announced.sop_class_uid:
            msg = "the dataset is of another SOP class than the request"
            raise Mismatch(msg, (SOP_CLASS_UID,))
        if sop_instance_uid != self._announced.sop_instance_uid:
            msg = "the dataset is of another SOP instance than the request"
            raise Mismatch(msg, (SOP_INSTANCE_UID,))
        return sop_class_uid, sop_instance_uid


def _uid(values: Mapping[int, bytes], tag: int) -> str:
    value = values.get(tag, b"").strip(b"\0 ")
    if len(value) > 64 or not value.isascii():
        msg = "a UID of the dataset is not one"
        raise Unreadable(msg, (tag,))
    return value.decode("ascii")


def _number(value: bytes) -> int | None:
    # PS3.5 §6.2: an integer string has at most twelve characters and fits 32 bits.
    if not _INTEGER.fullmatch(value) or len(value) > 12:
        return None
    number = int(value.strip(b"\0 "))
    return number if -(1 << 31) <= number < 1 << 31 else None


def parse_facts(head: bytes | bytearray | memoryview, announced: Announced) -> Facts:
    """Return the facts of a dataset whose first bytes are at hand, at least up to (0028,0008).

    Raises `Unreadable` or `Mismatch` as `HeaderReader.facts` does.
    """
    reader = HeaderReader(announced)
    reader.feed(head)
    return reader.facts()
