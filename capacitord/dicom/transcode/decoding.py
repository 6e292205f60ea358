"""One compressed frame decoded into pixels, its colours as they were encoded."""

from __future__ import annotations

from typing import Any, Final

import imagecodecs
import numpy as np

from capacitord.dicom.transcode import rle
from capacitord.dicom.transcode.codestream import Head, j2k_head, jpeg_head
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.layout import SUBSAMPLED, Layout
from capacitord.dicom.transcode.syntaxes import Method

Pixels = np.ndarray[Any, Any]

CODEC_ERRORS: Final = (RuntimeError, ValueError, TypeError, OverflowError, IndexError, MemoryError)
"""What the codecs raise for what they cannot take."""

_END_OF_IMAGE: Final = b"\xff\xd9"
_LEAST_BELIEVED: Final = 1 << 26
_MOST_EXPANSION: Final = 4096

_PROCESSES: Final = {
    Method.JPEG: frozenset({0xC0, 0xC1, 0xC2}),
    Method.JPEG_LOSSLESS: frozenset({0xC3}),
    Method.JPEG_LS: frozenset({0xF7}),
}


def decoded_photometric(method: Method, layout: Layout) -> str:
    """Return what the pixels of a compressed image mean once they are decoded (PS3.3 §C.7.6.3.1.2).

    The colours of JPEG with loss become RGB, as a viewer shows them: several SOP classes allow no other ones
    outside of JPEG (PS3.3 §C.8.5.6.1.2). What was compressed without loss stays as it is.
    """
    said = layout.photometric
    if method in {Method.JPEG_2000, Method.HTJ2K}:
        if said in {"YBR_RCT", "YBR_ICT"}:
            return "RGB"
        allowed = said != SUBSAMPLED
    elif method is Method.JPEG and said in {"YBR_FULL", SUBSAMPLED}:
        return "RGB"
    else:
        allowed = said not in {SUBSAMPLED, "YBR_RCT", "YBR_ICT"}
    if not allowed:
        msg = f"The image says that it is {said}, and an image in {method.value} cannot be."
        raise NotTranscoded(msg)
    return said


def decode(data: bytes | memoryview, method: Method, layout: Layout) -> Pixels:
    """Return the pixels of a frame: shape (rows, columns[, samples]), little endian, of the layout's type.

    Raises `NotTranscoded`, before memory is taken if the frame is not what the image says.
    """
    if layout.frame_size > max(_LEAST_BELIEVED, _MOST_EXPANSION * len(data)):
        msg = "A frame is far too short for the size that the image says."
        raise NotTranscoded(msg)
    if layout.allocated not in {8, 16, 32}:
        msg = f"Samples of {layout.allocated} bits are not unpacked here."
        raise NotTranscoded(msg)
    if method is Method.RLE:
        return rle.decode(data, layout).view(_type(layout))
    if layout.allocated > 16:
        msg = f"Samples of {layout.allocated} bits are not unpacked from {method.value} here."
        raise NotTranscoded(msg)
    is_j2k = method in {Method.JPEG_2000, Method.HTJ2K}
    head = j2k_head(data) if is_j2k else jpeg_head(data)
    _check(head, method, layout)
    try:
        pixels = _decoded(data, method, layout)
    except CODEC_ERRORS:
        msg = f"A frame in {method.value} is damaged: it does not decode."
        raise NotTranscoded(msg) from None
    return _as_laid_out(pixels, head, layout)


def _check(head: Head, method: Method, layout: Layout) -> None:
    if (head.rows, head.columns, head.components) != (layout.rows, layout.columns, layout.samples):
        msg = "A compressed frame has another size, or other components, than the image says."
        raise NotTranscoded(msg)
    if not 2 <= head.bits <= layout.allocated and not head.bits == layout.stored == 1:
        msg = f"A compressed frame has {head.bits} bits a sample, and the image allocates {layout.allocated}."
        raise NotTranscoded(msg)
    if method in _PROCESSES and head.process not in _PROCESSES[method]:
        msg = "A compressed frame is in another process of JPEG than the transfer syntax says."
        raise NotTranscoded(msg)
    if method not in _PROCESSES and head.signed != layout.signed and head.bits != layout.allocated:
        msg = "The image and its JPEG 2000 frames contradict each other in whether samples have a sign."
        raise NotTranscoded(msg)
    expected = {"RGB": "RGB", "YBR_FULL": "YBR", SUBSAMPLED: "YBR"}.get(layout.photometric, "")
    if method is Method.JPEG and head.colour and head.colour != expected:
        msg = "The image and its JPEG frames contradict each other in what the colours are."
        raise NotTranscoded(msg)
    if head.transformed and layout.photometric not in {"RGB", "YBR_RCT", "YBR_ICT"}:
        msg = "The image and its JPEG 2000 frames contradict each other in what the colours are."
        raise NotTranscoded(msg)
    if layout.photometric in {"YBR_RCT", "YBR_ICT"} and not head.transformed:
        msg = "The image says that its colours were transformed, and its JPEG 2000 frames say that they were not."
        raise NotTranscoded(msg)


def _decoded(data: bytes | memoryview, method: Method, layout: Layout) -> Pixels:
    whole = bytes(data)
    if method is Method.JPEG_LS:
        # Where no marker stops it, CharLS reads on behind the end for many seconds.
        if not whole.rstrip(b"\0").endswith(_END_OF_IMAGE):
            msg = "A frame in JPEG-LS has no end."
            raise NotTranscoded(msg)
        return imagecodecs.jpegls_decode(whole)
    if method in {Method.JPEG_2000, Method.HTJ2K}:
        # OpenJPEG reads the high-throughput block coder, too, and is not put off by components without a transform.
        return imagecodecs.jpeg2k_decode(whole, planar=False)
    # Both colour spaces are named, so that nothing is converted that should not be.
    if layout.samples == 1:
        return imagecodecs.jpeg8_decode(whole)
    space = "RGB" if layout.photometric == "RGB" else "YCBCR"
    shown = "RGB" if method is Method.JPEG else space
    return imagecodecs.jpeg8_decode(whole, colorspace=space, outcolorspace=shown)


def _as_laid_out(pixels: Pixels, head: Head, layout: Layout) -> Pixels:
    shape = (layout.rows, layout.columns, *([layout.samples] if layout.samples > 1 else []))
    kind = _type(layout)
    if pixels.size != layout.rows * layout.columns * layout.samples or pixels.dtype.kind not in "iu":
        msg = "A compressed frame does not decode to what its head says."
        raise NotTranscoded(msg)
    pixels = pixels.reshape(shape)
    if pixels.dtype.itemsize > kind.itemsize:
        msg = "A compressed frame decodes to more bits than the image allocates."
        raise NotTranscoded(msg)
    if layout.signed and not head.signed and head.bits < layout.allocated:
        if head.bits != layout.stored:
            msg = "It cannot be told where the sign of a sample is in a compressed frame."
            raise NotTranscoded(msg)
        shift = layout.allocated - head.bits
        return (pixels.astype(kind) << shift) >> shift
    if pixels.dtype.itemsize == kind.itemsize:
        return np.ascontiguousarray(pixels).view(kind)
    return pixels.astype(kind)


def _type(layout: Layout) -> np.dtype[Any]:
    return np.dtype(f"<{'i' if layout.signed else 'u'}{layout.allocated // 8}")


def native_pixels(data: memoryview, layout: Layout) -> Pixels:
    """Return the pixels of a native frame in Little Endian, the samples of a pixel side by side."""
    pixels = np.frombuffer(data, _type(layout))
    if layout.samples == 1:
        return pixels.reshape(layout.rows, layout.columns)
    if layout.photometric == SUBSAMPLED:
        return _resampled(pixels.reshape(layout.rows, layout.columns // 2, 4))
    if layout.planar:
        return np.ascontiguousarray(pixels.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0))
    return pixels.reshape(layout.rows, layout.columns, layout.samples)


def _resampled(pairs: Pixels) -> Pixels:
    """Return two pixels of three samples for each (Y, Y, Cb, Cr) (PS3.3 §C.7.6.3.1.2)."""
    rows, half = pairs.shape[:2]
    out = np.empty((rows, half, 2, 3), pairs.dtype)
    out[..., 0] = pairs[..., :2]
    out[..., 1:] = pairs[:, :, None, 2:]
    return out.reshape(rows, half * 2, 3)


def native_bytes(pixels: Pixels, *, planar: bool) -> bytes:
    """Return a frame in native format."""
    return pixels.transpose(2, 0, 1).tobytes() if planar else pixels.tobytes()
