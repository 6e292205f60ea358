"""What the catalog needs of an image, and what is wrong with it, from its bytes as they pass and without its pixels.

`HeaderReader` looks at the attributes up to where the pixels begin, and at the lengths of their fragments if they are
compressed. It does not matter how far into the dataset that is: a key object that refers to ten thousand images has
megabytes of sequences before its study.

An image is not refused for what is wrong with it, since the scanner may have no other copy: that becomes findings
(`model.findings`). It is known then by the UIDs of its C-STORE request, and by as much as could be read.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from capacitord.dicom.charset import decode
from capacitord.dicom.validation import rules, seen
from capacitord.dicom.validation.fragments import FragmentsReader
from capacitord.dicom.validation.seen import SERIES_INSTANCE_UID, STUDY_INSTANCE_UID, Pixels, Seen
from capacitord.dicom.walker import DatasetWalker, HeaderError, Unreadable
from capacitord.model.image import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capacitord.dicom.intake import Announced

SPECIFIC_CHARACTER_SET: Final = 0x00080005

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
    {
        "series_number": 0x00200011,
        "instance_number": 0x00200013,
        "images_in_acquisition": 0x00201002,
        "number_of_frames": 0x00280008,
    },
)
_IDENTITY = frozenset({seen.SOP_CLASS_UID, seen.SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID})
_WANTED = _IDENTITY.union({SPECIFIC_CHARACTER_SET}, _PERSON_NAMES.values(), _TEXTS.values(), _NUMBERS.values())
_CHECKED = seen.IN_HEADER | seen.BEHIND_HEADER
_UNDEFINED = 0xFFFFFFFF
_PIXELS = frozenset({seen.FLOAT_PIXELS, seen.DOUBLE_PIXELS, seen.PIXELS})


class HeaderReader:
    """Reads the facts of one image while its bytes pass by."""

    __slots__ = ("_announced", "_fragments", "_trouble", "_walker", "done")

    def __init__(self, announced: Announced) -> None:
        self.done = False
        self._announced = announced
        self._walker = DatasetWalker(announced.transfer_syntax_uid, _WANTED, _CHECKED)
        self._fragments: FragmentsReader | None = None
        self._trouble = ""

    def feed(self, data: bytes | bytearray | memoryview) -> bool:
        """Look at the next bytes of the dataset; return whether `done`: nothing more is to be looked at."""
        if self.done:
            return True
        walker = self._walker
        if self._fragments is not None:
            self.done = self._fragments.feed(data)
            return self.done
        try:
            if not walker.feed(data):
                return False
        except Unreadable as error:
            self._trouble = error.message
            self.done = True
            return True
        stopped = walker.stopped
        if stopped is None or stopped.tag not in _PIXELS or stopped.length != _UNDEFINED:
            self.done = True
        else:
            self._fragments = FragmentsReader()
            self.done = self._fragments.feed(walker.rest)
        walker.rest = memoryview(b"")
        return self.done

    def facts(self, length: int | None = None) -> Facts:
        """Return what was found, when `done` or when the dataset has ended, which has `length` bytes.

        Without a `length` nothing is found wrong with what is behind the bytes that were read. An image without a
        Study or Series Instance UID, or with one that is none, gets its own UID in that place. Raises `HeaderError`
        if there are no bytes at all.
        """
        if length == 0:
            msg = "the data set is empty"
            raise HeaderError(msg)
        values, announced = self._walker.values, self._announced
        charset = values.get(SPECIFIC_CHARACTER_SET, b"")
        texts = {field: decode(values[tag], charset)[:LONGEST_TEXT] for field, tag in _TEXTS.items() if tag in values}
        for field, tag in _PERSON_NAMES.items():
            texts[field] = decode(values.get(tag, b""), charset, person_name=True)[:LONGEST_TEXT]
        return Facts(
            sop_class_uid=announced.sop_class_uid,
            sop_instance_uid=announced.sop_instance_uid,
            transfer_syntax_uid=announced.transfer_syntax_uid,
            study_uid=_uid(values, STUDY_INSTANCE_UID) or announced.sop_instance_uid,
            series_uid=_uid(values, SERIES_INSTANCE_UID) or announced.sop_instance_uid,
            **texts,  # type: ignore[arg-type]  # its keys are names of text fields only
            **{field: _number(values.get(tag, b"")) for field, tag in _NUMBERS.items()},  # type: ignore[arg-type]
            findings=tuple(map(str, rules.findings(self._seen(length)))),
        )

    def _seen(self, length: int | None) -> Seen:
        walker, announced = self._walker, self._announced
        unreadable = odd = cut_off = ""
        if self._trouble:
            unreadable, odd = ("", self._trouble) if walker.past else (self._trouble, "")
        elif walker.inside and not walker.done and (length is not None or not walker.past):
            unreadable, cut_off = ("", _ENDS_INSIDE) if walker.past else (_ENDS_INSIDE, "")
        return Seen(
            announced.sop_class_uid,
            announced.sop_instance_uid,
            announced.transfer_syntax_uid,
            walker.values,
            "big" if walker.big else "little",
            unreadable,
            odd,
            cut_off,
            self._pixels(length),
            length is not None,
        )

    def _pixels(self, length: int | None) -> Pixels | None:
        stopped, fragments = self._walker.stopped, self._fragments
        if stopped is None or stopped.tag not in _PIXELS:
            return None
        if fragments is None:
            # How long a deflated dataset is nobody knows who did not inflate all of it.
            known = length is not None and not self._walker.is_deflated
            present = length - stopped.place if known and length is not None else None
            return Pixels(stopped.tag, stopped.length, present)
        if length is None:
            return None
        return Pixels(
            stopped.tag,
            None,
            None,
            fragments.fragments,
            fragments.offsets,
            fragments.beginning,
            fragments.ended,
            fragments.broken,
        )


_ENDS_INSIDE: Final = "it ends inside an attribute"


def _uid(values: Mapping[int, bytes], tag: int) -> str:
    value = values.get(tag, b"").strip(b"\0 ").decode("latin-1")
    return value if rules.is_like_a_uid(value) else ""


def _number(value: bytes) -> int | None:
    # PS3.5 §6.2: an integer string has at most twelve characters and fits 32 bits.
    if not _INTEGER.fullmatch(value) or len(value) > 12:
        return None
    number = int(value.strip(b"\0 "))
    return number if -(1 << 31) <= number < 1 << 31 else None


def parse_facts(data: bytes | bytearray | memoryview, announced: Announced) -> Facts:
    """Return the facts of a whole dataset. Raises `HeaderError` if it is empty."""
    reader = HeaderReader(announced)
    reader.feed(data)
    return reader.facts(len(data))
