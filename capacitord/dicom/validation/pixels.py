"""The rules of pixels: how they are described, how many there are, and what their compressed frames begin with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from capacitord.dicom.validation import syntaxes
from capacitord.dicom.validation.classes import IMAGES
from capacitord.dicom.validation.codestream import Codec, begins_like, look
from capacitord.dicom.validation.fragments import LONGEST_BEGINNING
from capacitord.dicom.validation.seen import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    DOUBLE_PIXELS,
    FLOAT_PIXELS,
    FRAMES,
    HIGH_BIT,
    PHOTOMETRIC,
    PIXELS,
    PIXELS_ELSEWHERE,
    ROWS,
    SAMPLES,
    Pixels,
    Seen,
)
from capacitord.dicom.validation.syntaxes import Compressed
from capacitord.model.findings import Fault, Finding

_NUMBER: Final = re.compile(rb"[ \0]*\+?([0-9]{1,9})[ \0]*")
_HALVED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Two samples of colour for two pixels (PS3.3 §C.7.6.3.1.2): in native form that is two samples a pixel."""

_SAMPLES_OF: Final[Mapping[str, int]] = MappingProxyType(
    {
        **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
        **dict.fromkeys(("RGB", "HSV", "XYB", "YBR_FULL", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", *_HALVED), 3),
        **dict.fromkeys(("ARGB", "CMYK"), 4),
    }
)
"""Samples per pixel of each photometric interpretation (PS3.3 §C.7.6.3.1.2), the retired ones as well."""

_SHORTEST_HEAD: Final = 64
"""Bytes by which any codec can be told; a frame may be in several fragments, and the first of them shorter."""

_NOTHING_KNOWN: Final = "nothing that is known here"


def without_pixels(seen: Seen) -> Iterator[Finding]:
    """Yield what is wrong with an image that was seen to its end and has no pixels."""
    if seen.sop_class_uid in IMAGES and seen.has_standard_syntax:
        if not seen.text(PIXELS_ELSEWHERE):
            yield Finding(Fault.IMAGE_WITHOUT_PIXELS)
    elif _should_have_pixels(seen):
        yield Finding(Fault.NO_PIXELS)


def of_pixels(seen: Seen, pixels: Pixels) -> Iterator[Finding]:
    """Yield what is wrong with pixels, and with what an image says of them."""
    uid = seen.transfer_syntax_uid
    compressed = syntaxes.COMPRESSED.get(uid)
    if uid in syntaxes.NATIVE or compressed is not None:
        yield from _size(seen, pixels)
        if seen.is_of_the_standard:
            yield from _described(seen, pixels)
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


def _should_have_pixels(seen: Seen) -> bool:
    """Whether an image describes pixels that are in it; those of JPIP are elsewhere, and a private class may differ."""
    known = seen.transfer_syntax_uid in syntaxes.NATIVE or seen.transfer_syntax_uid in syntaxes.COMPRESSED
    return known and seen.is_of_the_standard and all(map(seen.number, (ROWS, COLUMNS, BITS_ALLOCATED)))


def _size(seen: Seen, pixels: Pixels) -> Iterator[Finding]:
    """Yield what is missing of what says how many bytes the pixels are; all of it is of type 1 (PS3.3 §C.7.6.3)."""
    fault = Fault.WITHOUT_SIZE if seen.is_of_the_standard else Fault.UNDESCRIBED
    numbers = (seen.number(ROWS), seen.number(COLUMNS), _allocated(seen, pixels))
    for name, number in zip(("Rows", "Columns", "Bits Allocated"), numbers, strict=True):
        if not number:
            yield Finding(fault, (name,))


def _described(seen: Seen, pixels: Pixels) -> Iterator[Finding]:
    """Yield where what an image says of a pixel contradicts itself (PS3.3 §C.7.6.3.1, PS3.5 §8.1.1)."""
    samples, interpretation = seen.number(SAMPLES), seen.text(PHOTOMETRIC)
    wanted = _SAMPLES_OF.get(interpretation)
    if wanted is not None and samples is not None and samples != wanted:
        yield Finding(Fault.SAMPLES_CONTRADICT, (str(samples), interpretation))
    allocated, stored, high = seen.number(BITS_ALLOCATED), seen.number(BITS_STORED), seen.number(HIGH_BIT)
    # Pixels of floating point have no bits stored.
    if pixels.tag != PIXELS or not allocated:
        return
    if stored and stored > allocated:
        yield Finding(Fault.BITS_CONTRADICT, (str(stored), str(allocated)))
    if high is not None and high >= allocated:
        yield Finding(Fault.HIGH_BIT_OUTSIDE, (str(high), str(allocated)))
    elif high is not None and stored and stored <= allocated and high != stored - 1:
        yield Finding(Fault.HIGH_BIT_ODD, (str(high), str(stored)))


def _native(seen: Seen, pixels: Pixels, length: int) -> Iterator[Finding]:
    if pixels.present is not None and pixels.present + 1 < length:
        yield Finding(Fault.CUT_OFF, (f"{length - pixels.present} bytes of its pixels are missing",))
        return
    if not seen.is_of_the_standard:
        return
    rows, columns, allocated = seen.number(ROWS), seen.number(COLUMNS), _allocated(seen, pixels)
    if not rows or not columns or not allocated:
        return
    samples = 2 if seen.text(PHOTOMETRIC) in _HALVED else seen.number(SAMPLES) or 1
    wanted = (rows * columns * samples * allocated * _frames(seen) + 7) // 8
    if length < wanted:
        yield Finding(Fault.PIXELS_SHORT, (str(length), str(wanted)))
    elif length > wanted + wanted % 2:
        yield Finding(Fault.PIXELS_LONG, (str(length), str(wanted)))


def _allocated(seen: Seen, pixels: Pixels) -> int | None:
    by_tag = {FLOAT_PIXELS: 32, DOUBLE_PIXELS: 64}
    return by_tag.get(pixels.tag) or seen.number(BITS_ALLOCATED)


def _frames(seen: Seen) -> int:
    found = _NUMBER.fullmatch(seen.values.get(FRAMES, b""))
    return max(1, int(found[1])) if found else 1


def _compressed(seen: Seen, pixels: Pixels, syntax: Compressed) -> Iterator[Finding]:
    if pixels.broken:
        yield Finding(Fault.FRAGMENTS_BROKEN)
        return
    if not pixels.ended:
        yield Finding(Fault.CUT_OFF, ("its compressed pixels have no end",))
        return
    if syntax.codec is None or not seen.is_of_the_standard:
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
    if pixels.beginning:
        whole = pixels.fragments <= frames and len(pixels.beginning) < LONGEST_BEGINNING
        yield from _codestream(seen, pixels.beginning, syntax, syntax.codec, whole=whole)


def _codestream(seen: Seen, beginning: bytes, syntax: Compressed, codec: Codec, *, whole: bool) -> Iterator[Finding]:
    """Compare the beginning of the first frame, which is the `whole` of it or not, with what the image says of it."""
    if len(beginning) < _SHORTEST_HEAD and not whole:
        if not begins_like(codec, beginning):
            yield Finding(Fault.OTHER_CODEC, (codec, _NOTHING_KNOWN))
        return
    frame = look(beginning, whole=whole)
    if frame is None or (frame.codec or codec) is not codec or not begins_like(codec, beginning):
        yield Finding(Fault.OTHER_CODEC, (codec, (frame and frame.codec) or _NOTHING_KNOWN))
        return
    if frame.process is not None and syntax.processes and frame.process not in syntax.processes:
        name = syntaxes.PROCESSES.get(frame.process, "another process")
        fault = Fault.OTHER_PROCESS if syntax.reads(frame) else Fault.WRONG_PROCESS
        yield Finding(fault, (syntax.name, name))
    rows, columns, samples = seen.number(ROWS), seen.number(COLUMNS), seen.number(SAMPLES)
    # The height of a JPEG frame may be 0: a marker behind the first scan says it (ISO 10918-1 §B.2.5).
    if rows and columns and frame.columns and frame.rows and (frame.rows, frame.columns) != (rows, columns):
        yield Finding(Fault.OTHER_SIZE, (f"{rows} x {columns}", f"{frame.rows} x {frame.columns}"))
    if samples and frame.samples and frame.samples != samples:
        yield Finding(Fault.OTHER_SAMPLES, (str(samples), str(frame.samples)))
    stored, allocated = seen.number(BITS_STORED), seen.number(BITS_ALLOCATED)
    if frame.bits and stored and allocated and not stored <= frame.bits <= allocated:
        yield Finding(Fault.OTHER_BITS, (f"{stored} of {allocated}", str(frame.bits)))
