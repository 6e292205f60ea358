"""One image written in another transfer syntax: a dataset in, a dataset out, one frame decoded at a time.

Nothing is lost that was not asked for: what is compressed without loss is decoded again and compared, and what
cannot be held in full is refused. What is not about the pixels stays as it was, byte for byte where the encoding
allows it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from capacitord.dicom.elements import EXPLICIT_LITTLE, Element, with_length, write
from capacitord.dicom.head import FIRST_PIXELS
from capacitord.dicom.transcode import derivation
from capacitord.dicom.transcode.dataset import Draft, Opened
from capacitord.dicom.transcode.decoding import decode, decoded_photometric, native_bytes, native_pixels
from capacitord.dicom.transcode.derivation import EXTREMES, MODALITY, SOP_CLASS_UID, is_lossy
from capacitord.dicom.transcode.encapsulate import (
    EXTENDED_LENGTHS,
    EXTENDED_OFFSETS,
    PIXEL_DATA,
    encapsulated,
    tables,
)
from capacitord.dicom.transcode.encoding import Encoder
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.frames import encapsulated_frames, native_frames
from capacitord.dicom.transcode.layout import (
    BITS_ALLOCATED,
    BITS_STORED,
    HIGH_BIT,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SUBSAMPLED,
    Layout,
    layout_of,
)
from capacitord.dicom.transcode.padding import padding_of
from capacitord.dicom.transcode.recode import swapped
from capacitord.dicom.transcode.syntaxes import (
    LOSSY_ALREADY,
    SOURCES,
    TARGETS,
    Method,
    Source,
    Target,
    encoding_of,
    possible,
)
from capacitord.model.compression import Compression, Loss

__all__ = ["NotTranscoded", "Written", "possible", "transcode"]

LONGEST_NATIVE: Final = 1 << 31
"""Bytes that pixel data may unpack to; all of it is in memory until it has been sent."""

NO_GAIN: Final = "With loss it would not be smaller, so nothing is lost."
"""Why an image is not compressed with loss although it could be."""

_DOUBLE_FLOAT_PIXELS: Final = 0x7FE00009
_METHODS: Final = {Method.JPEG: "ISO_10918_1", Method.JPEG_LS: "ISO_14495_1"}

Piece = bytes | memoryview
Pixels = np.ndarray[Any, Any]


class Written(NamedTuple):
    """An image in another transfer syntax. `dataset` are its bytes in pieces, `length` is how many they are.

    Pieces that did not change are views of the original, which has to stay open as long as they are used.

    `lossy` is whether something was lost just now. Then it is another instance, and `sop_instance_uid` is the UID
    that stands in it; otherwise that is empty, and the UID is what it was.
    """

    transfer_syntax_uid: str
    dataset: list[Piece]
    length: int
    lossy: bool
    sop_instance_uid: str = ""


def transcode(data: memoryview | bytes, transfer_syntax_uid: str, wanted: Compression, *, now: dt.datetime) -> Written:
    """Return an image as `wanted` says.

    `data` is the whole dataset in `transfer_syntax_uid`, without file meta information. `now`, with a time zone, is
    when a new instance says it was created: given the same moment, e.g. that of its reception, the same bytes come
    out. Raises `NotTranscoded`.
    """
    why = possible(transfer_syntax_uid, wanted)
    if why:
        raise NotTranscoded(why)
    opened = Opened(data, transfer_syntax_uid)
    source, target = SOURCES[transfer_syntax_uid], TARGETS[wanted.transfer_syntax]
    if wanted.lossy:
        _check_may_lose(opened, wanted, transfer_syntax_uid)
    elif wanted.transfer_syntax == transfer_syntax_uid and opened.encoding == encoding_of(transfer_syntax_uid):
        return _written(wanted, [opened.data])
    if opened.has_compressed_icon:
        msg = "The image has a compressed image inside a sequence, which would stay in the old transfer syntax."
        raise NotTranscoded(msg)
    pixels = opened.attributes.element(PIXEL_DATA)
    if target.method is not Method.NATIVE:
        return _Compression(opened, pixels, source, target, wanted).carried_out(now)
    if source.method is Method.NATIVE or pixels is None:
        return _written(wanted, _reencoded(opened, wanted, pixels).pieces())
    return _written(wanted, _unpacked(opened, pixels, source, wanted).pieces())


def _check_may_lose(opened: Opened, wanted: Compression, source_uid: str) -> None:
    if is_lossy(opened.attributes):
        raise NotTranscoded(LOSSY_ALREADY)
    sop_class_uid, modality = opened.attributes.text(SOP_CLASS_UID), opened.attributes.text(MODALITY)
    why = possible(source_uid, wanted, sop_class_uid=sop_class_uid, modality=modality)
    if why:
        raise NotTranscoded(why)


def _written(wanted: Compression, pieces: list[Piece], *, lossy: bool = False, uid: str = "") -> Written:
    return Written(wanted.transfer_syntax, pieces, sum(map(len, pieces)), lossy, uid)


def _reencoded(opened: Opened, wanted: Compression, pixels: Element | None) -> Draft:
    """Return the dataset from one native syntax in another."""
    if pixels is not None and pixels.undefined:
        raise NotTranscoded(_COMPRESSED_IN_NATIVE)
    if pixels is not None:
        _check_order(opened, pixels)
    return Draft(opened, encoding_of(wanted.transfer_syntax))


def _check_order(opened: Opened, pixels: Element) -> None:
    """Raise `NotTranscoded` if it is not certain in which order the bytes of Big Endian pixel data are."""
    allocated = opened.attributes.number(BITS_ALLOCATED) or 0
    if opened.encoding.big and (not 1 <= allocated <= 16 or (pixels.vr != "OW" and allocated > 8)):
        # Some programs swap the bytes of words of 16 bits, others those of whole samples, some none in OB.
        msg = "The image is in Big Endian, and there are two ways to read its samples."
        raise NotTranscoded(msg)


def _unpacked(opened: Opened, pixels: Element, source: Source, wanted: Compression) -> Draft:
    """Return the dataset with its compressed pixel data in native format."""
    layout = _readable(layout_of(opened.attributes), pixels)
    photometric = decoded_photometric(source.method, layout)
    planar = layout.planar and source.method is Method.RLE
    unpacked = layout._replace(photometric=photometric, planar=planar)
    length = unpacked.frame_size * layout.frames
    if length > LONGEST_NATIVE:
        msg = f"The image would unpack to more than {LONGEST_NATIVE >> 30} GiB."
        raise NotTranscoded(msg)
    encoding = encoding_of(wanted.transfer_syntax)
    value = opened.value(pixels)
    draft = Draft(opened, encoding, without=(PIXEL_DATA, EXTENDED_OFFSETS, EXTENDED_LENGTHS))
    frames = [
        native_bytes(decode(frame, source.method, layout), planar=planar)
        for frame in encapsulated_frames(value, layout.frames)
    ]
    head = write(PIXEL_DATA, "OB" if layout.allocated <= 8 else "OW", b"", encoding)
    draft.put(PIXEL_DATA, [with_length(head, length + length % 2, encoding), *frames, *([b"\0"] if length % 2 else [])])
    _put_layout(draft, opened, layout, unpacked, wanted)
    _remember_loss(draft, opened, source, ratio=length / max(1, len(value)))
    return draft


def _remember_loss(draft: Draft, opened: Opened, source: Source, *, ratio: float) -> None:
    """Write that the pixels had a lossy syntax, where only the syntax said so (PS3.3 §C.7.6.1.1.5)."""
    said = opened.attributes.text(derivation.LOSSY_IMAGE_COMPRESSION)
    certain = source.method is Method.JPEG
    if source.may_lose and said != "01" and (certain or not said):
        method = _METHODS.get(source.method, "ISO_15444_1")
        derivation.note_loss(draft, opened.attributes, ratio=ratio, method=method)


def _readable(layout: Layout, pixels: Element) -> Layout:
    if not pixels.undefined:
        msg = "The pixel data is native, and the transfer syntax says that it is compressed."
        raise NotTranscoded(msg)
    return layout


def _put_layout(draft: Draft, opened: Opened, old: Layout, new: Layout, wanted: Compression) -> None:
    encoding = encoding_of(wanted.transfer_syntax)
    if new.photometric != old.photometric:
        text = new.photometric.encode() + b" " * (len(new.photometric) % 2)
        draft.put(PHOTOMETRIC_INTERPRETATION, [write(PHOTOMETRIC_INTERPRETATION, "CS", text, encoding)])
    said = opened.attributes.number(PLANAR_CONFIGURATION)
    if new.samples > 1 and said != int(new.planar):
        draft.put(PLANAR_CONFIGURATION, [write(PLANAR_CONFIGURATION, "US", bytes((new.planar, 0)), encoding)])
    for tag, before, after in ((BITS_STORED, old.stored, new.stored), (HIGH_BIT, old.high, new.high)):
        if before != after:
            draft.put(tag, [write(tag, "US", bytes((after, 0)), encoding)])


class _Compression:
    """One image being compressed."""

    def __init__(
        self, opened: Opened, pixels: Element | None, source: Source, target: Target, wanted: Compression
    ) -> None:
        if pixels is None:
            raise NotTranscoded(_no_pixels(opened))
        if FIRST_PIXELS in opened.attributes or _DOUBLE_FLOAT_PIXELS in opened.attributes:
            raise NotTranscoded(_FLOATS)
        self._opened = opened
        self._pixels = pixels
        self._source = source
        self._target = target
        self._wanted = wanted
        self._layout = layout_of(opened.attributes)
        # The pixels once they are decoded, their samples side by side.
        self._decoded = self._decoded_layout()
        _check_held(self._decoded, target)

    def carried_out(self, now: dt.datetime) -> Written:
        """Return the compressed image. Raises `NotTranscoded`."""
        lossy = self._target.loss is not Loss.NONE
        padding = padding_of(self._opened.attributes, self._decoded) if lossy else None
        encoder = Encoder(self._decoded, self._target, self._wanted, padding)
        without = (PIXEL_DATA, EXTENDED_OFFSETS, EXTENDED_LENGTHS, *(EXTREMES if lossy else ()))
        draft = Draft(self._opened, EXPLICIT_LITTLE, without=without)
        frames = [encoder.encode(pixels) for pixels in self._each()]
        if lossy and sum(map(len, frames)) >= len(self._opened.value(self._pixels)):
            raise NotTranscoded(NO_GAIN)
        found = tables([len(frame) for frame in frames])
        if found.extended_offsets:
            draft.put(EXTENDED_OFFSETS, [found.extended_offsets])
            draft.put(EXTENDED_LENGTHS, [found.extended_lengths])
        draft.put(PIXEL_DATA, encapsulated(frames, found.basic))
        _put_layout(draft, self._opened, self._layout, encoder.written, self._wanted)
        ratio = self._decoded.frame_size * self._decoded.frames / max(1, sum(map(len, frames)))
        attributes = self._opened.attributes
        if not lossy:
            _remember_loss(draft, self._opened, self._source, ratio=self._ratio_of_source())
            return _written(self._wanted, draft.pieces())
        derivation.note_loss(draft, attributes, ratio=ratio, method=self._target.code)
        uid = derivation.note_derivation(draft, attributes, self._wanted, ratio=ratio, now=now)
        return _written(self._wanted, draft.pieces(), lossy=True, uid=uid)

    def _ratio_of_source(self) -> float:
        return self._decoded.frame_size * self._decoded.frames / max(1, len(self._opened.value(self._pixels)))

    def _decoded_layout(self) -> Layout:
        layout = self._layout
        if self._source.method is not Method.NATIVE:
            photometric = decoded_photometric(self._source.method, _readable(layout, self._pixels))
            planar = layout.planar and self._source.method is Method.RLE
            return layout._replace(photometric=photometric, planar=planar)
        if self._pixels.undefined:
            raise NotTranscoded(_COMPRESSED_IN_NATIVE)
        if layout.photometric in {"YBR_RCT", "YBR_ICT"}:
            msg = f"The image says that it is {layout.photometric}, and a native image cannot be."
            raise NotTranscoded(msg)
        if layout.photometric == SUBSAMPLED:
            if self._target.method is not Method.JPEG:
                msg = "The image has subsampled colour, which only JPEG with loss can hold."
                raise NotTranscoded(msg)
            return layout._replace(photometric="YBR_FULL", planar=False)
        return layout

    def _each(self) -> Iterator[Pixels]:
        value = self._opened.value(self._pixels)
        if self._source.method is Method.NATIVE:
            _check_order(self._opened, self._pixels)
            if self._opened.encoding.big and self._pixels.vr == "OW":
                value = memoryview(b"".join(swapped(value, 2)))
            for frame in native_frames(value, self._layout):
                yield native_pixels(frame, self._layout)
            return
        for data in encapsulated_frames(value, self._layout.frames):
            yield decode(data, self._source.method, self._layout)


def _check_held(layout: Layout, target: Target) -> None:
    """Raise `NotTranscoded` for what the target cannot hold (PS3.5 §8.2)."""
    name = target.method.value
    if layout.allocated not in target.allocated:
        msg = f"{name} cannot hold samples of {layout.allocated} bits."
        raise NotTranscoded(msg)
    if layout.stored > target.bits:
        msg = f"{name} with loss holds {target.bits} bits a sample, and the image has {layout.stored}."
        raise NotTranscoded(msg)
    if target.method is Method.JPEG and layout.samples > 1 and layout.allocated > 8:
        msg = "JPEG with loss holds colours of 8 bits only."
        raise NotTranscoded(msg)
    if layout.signed and not target.signed:
        msg = f"{name} with loss cannot hold samples with a sign."
        raise NotTranscoded(msg)
    if layout.photometric == "PALETTE COLOR" and not target.palette:
        msg = "The samples of the image are numbers of colours in a palette, which must not change."
        raise NotTranscoded(msg)


def _no_pixels(opened: Opened) -> str:
    if FIRST_PIXELS in opened.attributes or _DOUBLE_FLOAT_PIXELS in opened.attributes:
        return _FLOATS
    return "There are no pixels in it that could be compressed."


_FLOATS: Final = "The pixels are floating-point numbers, which are not compressed."
_COMPRESSED_IN_NATIVE: Final = "The pixel data is compressed, and the transfer syntax says that it is not."
