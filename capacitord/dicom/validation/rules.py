"""The rules: what was seen of an image against what it has to be. Pure; nothing is read here.

An object that says nothing of pixels has none to be checked. What is in the pixels of a private SOP class or
transfer syntax is its own affair, as long as all of it is there. What is an error and what a warning, `model.findings`
says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from capacitord.dicom.validation import syntaxes
from capacitord.dicom.validation.codestream import Codec, look
from capacitord.dicom.validation.syntaxes import Compressed
from capacitord.model.findings import Fault, Finding

SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
_SAMPLES: Final = 0x00280002
_PHOTOMETRIC: Final = 0x00280004
_FRAMES: Final = 0x00280008
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BITS_ALLOCATED: Final = 0x00280100
_BITS_STORED: Final = 0x00280101
FLOAT_PIXELS: Final = 0x7FE00008
DOUBLE_PIXELS: Final = 0x7FE00009
PIXELS: Final = 0x7FE00010

BEHIND_HEADER: Final = frozenset({_ROWS, _COLUMNS, _BITS_ALLOCATED, _BITS_STORED, FLOAT_PIXELS - 1})
"""What the rules look at that stands behind Number of Frames; the last is where the pixels begin."""

IN_HEADER: Final = frozenset({_SAMPLES, _PHOTOMETRIC, _FRAMES})

_UIDS: Final[Mapping[int, str]] = MappingProxyType(
    {STUDY_INSTANCE_UID: "Study Instance UID", SERIES_INSTANCE_UID: "Series Instance UID"}
)
_MODALITY: Final = 0x00080060
_REQUIRED: Final[Mapping[int, str]] = MappingProxyType(
    {_MODALITY: "Modality", 0x00100010: "Patient's Name", 0x00100020: "Patient ID"}
)
"""What each image of a patient has. The modality is of type 1 (PS3.3 §C.7.3.1), and the others of type 2 (§C.7.1.1):
those may be empty, which says that nobody knows, while their absence says nothing."""

_BELONG_TO_NO_STUDY: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.38.1",
        "1.2.840.10008.5.1.4.39.1",
        "1.2.840.10008.5.1.4.43.1",
        "1.2.840.10008.5.1.4.44.1",
        "1.2.840.10008.5.1.4.45.1",
        "1.2.840.10008.5.1.4.1.1.200.1",
        "1.2.840.10008.5.1.4.1.1.200.3",
        "1.2.840.10008.5.1.4.1.1.200.7",
        "1.2.840.10008.5.1.4.1.1.201.1",
    }
)
"""Non-Patient Object Storage (PS3.4 §GG): hanging protocols, palettes, implants, protocols, inventories."""

_STANDARD: Final = "1.2.840.10008."
"""How every UID of the standard begins; a SOP class with another may describe its pixels as it likes."""

_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_LIKE_A_UID: Final = re.compile(r"[0-9][0-9.]*")
_LONGEST_UID: Final = 64
_NUMBER: Final = re.compile(rb"[ \0]*\+?([0-9]{1,9})[ \0]*")
_HALVED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Two samples of colour for two pixels (PS3.3 §C.7.6.3.1.2): in native form that is two samples a pixel."""

_SHORTEST_HEAD: Final = 64
"""Bytes by which any codec can be told; a frame may be in several fragments, and the first of them shorter."""


class Pixels(NamedTuple):
    """The pixels as they passed by. `length` is what their element says, None if it is undefined (compressed).

    `present` is how many bytes of that were there, None if it is not known. `fragments`, `offsets`, `beginning`,
    `ended` and `broken` are those of `FragmentsReader`.
    """

    tag: int
    length: int | None
    present: int | None = None
    fragments: int = 0
    offsets: int = 0
    beginning: bytes = b""
    ended: bool = True
    broken: bool = False


class Seen(NamedTuple):
    """What is known of an image.

    `values` are attributes of its top level as they are encoded, in `order`. `unreadable` says why the attributes up
    to Number of Frames cannot be read, and `odd` why those behind them cannot; both are empty as a rule. `pixels` is
    None if it has none, or if they were not reached: of an image that `is_whole` it has none.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    values: Mapping[int, bytes]
    order: Literal["big", "little"] = "little"
    unreadable: str = ""
    odd: str = ""
    cut_off: str = ""
    pixels: Pixels | None = None
    is_whole: bool = False

    def text(self, tag: int) -> str:
        """Return a value of letters and digits without padding, empty if there is none."""
        return self.values.get(tag, b"").decode("latin-1").strip("\0 ")

    def number(self, tag: int) -> int | None:
        """Return an unsigned 16-bit number, None if there is none."""
        value = self.values.get(tag, b"")
        return int.from_bytes(value[:2], self.order) if len(value) >= 2 else None


def findings(seen: Seen) -> tuple[Finding, ...]:
    """Return all that is wrong with an image, errors and warnings, in the order of the dataset."""
    if seen.unreadable:
        return (Finding(Fault.UNREADABLE, (seen.unreadable,)),)
    found = [*_identity(seen), *_attributes(seen)]
    if seen.cut_off:
        return (*found, Finding(Fault.CUT_OFF, (seen.cut_off,)))
    if seen.odd:
        return (*found, Finding(Fault.ODD_BEHIND_HEADER, (seen.odd,)))
    if seen.pixels is not None:
        found += _pixels(seen, seen.pixels)
    elif seen.is_whole and _should_have_pixels(seen):
        found.append(Finding(Fault.NO_PIXELS))
    return tuple(found)


def is_uid(text: str) -> bool:
    """Say whether a UID is one to the letter (PS3.5 §9.1)."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def is_like_a_uid(text: str) -> bool:
    """Say whether a UID is at least made of digits and dots: devices in the field write zeros before numbers."""
    return len(text) <= _LONGEST_UID and _LIKE_A_UID.fullmatch(text) is not None


def _identity(seen: Seen) -> Iterator[Finding]:
    if seen.text(SOP_CLASS_UID) != seen.sop_class_uid:
        yield Finding(Fault.OTHER_CLASS)
    if seen.text(SOP_INSTANCE_UID) != seen.sop_instance_uid:
        yield Finding(Fault.OTHER_INSTANCE)
    elif not is_uid(seen.sop_instance_uid):
        yield Finding(Fault.ODD_UID, ("SOP Instance UID",))


def _attributes(seen: Seen) -> Iterator[Finding]:
    if seen.sop_class_uid in _BELONG_TO_NO_STUDY:
        return
    for tag, name in _UIDS.items():
        text = seen.text(tag)
        if not text:
            yield Finding(Fault.NO_UID, (name,))
        elif not is_like_a_uid(text):
            yield Finding(Fault.NOT_A_UID, (name,))
        elif not is_uid(text):
            yield Finding(Fault.ODD_UID, (name,))
    for tag, name in _REQUIRED.items():
        if tag not in seen.values or (tag == _MODALITY and not seen.text(tag)):
            yield Finding(Fault.ABSENT, (name,))


def _should_have_pixels(seen: Seen) -> bool:
    """Whether an image describes pixels that are in it; those of JPIP are elsewhere, and a private class may differ."""
    known = seen.transfer_syntax_uid in syntaxes.NATIVE or seen.transfer_syntax_uid in syntaxes.COMPRESSED
    is_standard = seen.sop_class_uid.startswith(_STANDARD)
    return known and is_standard and all(map(seen.number, (_ROWS, _COLUMNS, _BITS_ALLOCATED)))


def _pixels(seen: Seen, pixels: Pixels) -> Iterator[Finding]:
    uid = seen.transfer_syntax_uid
    compressed = syntaxes.COMPRESSED.get(uid)
    if uid in syntaxes.NATIVE or compressed is not None:
        yield from _size(seen, pixels)
    if uid in syntaxes.NATIVE:
        if pixels.length is None:
            yield Finding(Fault.COMPRESSED)
        else:
            yield from _native(seen, pixels, pixels.length)
    elif compressed is not None:
        if pixels.length is not None:
            yield Finding(Fault.NOT_COMPRESSED)
        else:
            yield from _compressed(seen, pixels, compressed)


def _size(seen: Seen, pixels: Pixels) -> Iterator[Finding]:
    """Yield what is missing of what says how many bytes the pixels are; all of it is of type 1 (PS3.3 §C.7.6.3)."""
    of_the_standard = seen.sop_class_uid.startswith(_STANDARD)
    fault = Fault.WITHOUT_SIZE if of_the_standard else Fault.UNDESCRIBED
    numbers = (seen.number(_ROWS), seen.number(_COLUMNS), _allocated(seen, pixels))
    for name, number in zip(("Rows", "Columns", "Bits Allocated"), numbers, strict=True):
        if not number:
            yield Finding(fault, (name,))


def _native(seen: Seen, pixels: Pixels, length: int) -> Iterator[Finding]:
    if pixels.present is not None and pixels.present + 1 < length:
        yield Finding(Fault.CUT_OFF, (f"{length - pixels.present} bytes of its pixels are missing",))
        return
    if not seen.sop_class_uid.startswith(_STANDARD):
        return
    rows, columns, allocated = seen.number(_ROWS), seen.number(_COLUMNS), _allocated(seen, pixels)
    if not rows or not columns or not allocated:
        return
    samples = 2 if seen.text(_PHOTOMETRIC) in _HALVED else seen.number(_SAMPLES) or 1
    wanted = (rows * columns * samples * allocated * _frames(seen) + 7) // 8
    if length < wanted:
        yield Finding(Fault.PIXELS_SHORT, (str(length), str(wanted)))
    elif length > wanted + wanted % 2:
        yield Finding(Fault.PIXELS_LONG, (str(length), str(wanted)))


def _allocated(seen: Seen, pixels: Pixels) -> int | None:
    by_tag = {FLOAT_PIXELS: 32, DOUBLE_PIXELS: 64}
    return by_tag.get(pixels.tag) or seen.number(_BITS_ALLOCATED)


def _frames(seen: Seen) -> int:
    found = _NUMBER.fullmatch(seen.values.get(_FRAMES, b""))
    return max(1, int(found[1])) if found else 1


def _compressed(seen: Seen, pixels: Pixels, syntax: Compressed) -> Iterator[Finding]:
    if pixels.broken:
        yield Finding(Fault.FRAGMENTS_BROKEN)
        return
    if not pixels.ended:
        yield Finding(Fault.CUT_OFF, ("its compressed pixels have no end",))
        return
    if syntax.codec is None or not seen.sop_class_uid.startswith(_STANDARD):
        return
    frames = _frames(seen)
    counted = str(frames), str(pixels.fragments)
    if pixels.fragments < frames:
        yield Finding(Fault.FRAMES_MISSING, counted)
    elif pixels.fragments > frames and syntax.codec is Codec.RLE:
        # PS3.5 §A.4.2: a frame is exactly one fragment.
        yield Finding(Fault.FRAGMENTS_MANY, counted)
    if pixels.offsets not in {0, frames}:
        yield Finding(Fault.OFFSETS, (str(frames), str(pixels.offsets)))
    if len(pixels.beginning) >= _SHORTEST_HEAD or pixels.fragments <= frames:
        yield from _codestream(seen, pixels.beginning, syntax, syntax.codec)


def _codestream(seen: Seen, beginning: bytes, syntax: Compressed, codec: Codec) -> Iterator[Finding]:
    frame = look(beginning)
    kind = None if frame is None else frame.codec
    if frame is None or kind is not codec:
        if frame is None or kind is not None or not codec.name.startswith("JPEG"):
            yield Finding(Fault.OTHER_CODEC, (codec, kind or "nothing that is known here"))
        return
    if frame.process is not None and syntax.processes and frame.process not in syntax.processes:
        name = syntaxes.PROCESSES.get(frame.process, "another process")
        yield Finding(Fault.OTHER_PROCESS, (syntax.name, name))
    rows, columns, samples = seen.number(_ROWS), seen.number(_COLUMNS), seen.number(_SAMPLES)
    # The height of a JPEG frame may be 0: a marker behind the first scan says it (ISO 10918-1 §B.2.5).
    if rows and columns and frame.columns and frame.rows and (frame.rows, frame.columns) != (rows, columns):
        yield Finding(Fault.OTHER_SIZE, (f"{rows} x {columns}", f"{frame.rows} x {frame.columns}"))
    if samples and frame.samples and frame.samples != samples:
        yield Finding(Fault.OTHER_SAMPLES, (str(samples), str(frame.samples)))
    stored, allocated = seen.number(_BITS_STORED), seen.number(_BITS_ALLOCATED)
    if frame.bits and stored and allocated and not stored <= frame.bits <= allocated:
        yield Finding(Fault.OTHER_BITS, (f"{stored} of {allocated}", str(frame.bits)))
