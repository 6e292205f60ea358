"""RLE Lossless (PS3.5 annex G): PackBits by rows of each byte of each sample, the most significant byte first."""

from __future__ import annotations

import struct
from typing import Any, Final

import imagecodecs
import numpy as np

from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.layout import Layout

_HEADER: Final = struct.Struct("<16L")
HEADER_LENGTH: Final = _HEADER.size
"""Bytes of the offsets in which a frame begins; those that no segment needs are zero."""
Pixels = np.ndarray[Any, Any]


def encode(pixels: Pixels) -> bytes:
    """Return a frame of shape (rows, columns[, samples]) in RLE."""
    rows, columns = pixels.shape[:2]
    size = pixels.dtype.itemsize
    planes = np.ascontiguousarray(pixels).view(np.uint8).reshape(rows, columns, -1, size)
    segments = []
    for sample in range(planes.shape[2]):
        for byte in reversed(range(size)):
            packed = bytes(imagecodecs.packbits_encode(np.array(planes[:, :, sample, byte], order="C"), axis=-1))
            segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [_HEADER.size]
    for segment in segments[:-1]:
        offsets.append(offsets[-1] + len(segment))
    head = _HEADER.pack(len(segments), *offsets, *[0] * (15 - len(offsets)))
    return b"".join([head, *segments])


def decode(data: bytes | memoryview, layout: Layout) -> Pixels:
    """Return the pixels of a frame, shape (rows, columns[, samples]), unsigned. Raises `NotTranscoded`."""
    size = layout.allocated // 8
    count = layout.samples * size
    if len(data) < _HEADER.size:
        raise NotTranscoded(_DAMAGED)
    found, *offsets = _HEADER.unpack_from(data)
    if found != count or count > 15 or offsets[0] != _HEADER.size:
        raise NotTranscoded(_DAMAGED)
    ends = [*offsets[1:count], len(data)]
    planes = np.empty((layout.rows * layout.columns, layout.samples, size), np.uint8)
    for number, (start, end) in enumerate(zip(offsets, ends, strict=False)):
        if not _HEADER.size <= start <= end <= len(data):
            raise NotTranscoded(_DAMAGED)
        planes[:, number // size, size - 1 - number % size] = _unpacked(data[start:end], len(planes))
    shape = (layout.rows, layout.columns, *([layout.samples] if layout.samples > 1 else []))
    return planes.view(f"<u{size}").reshape(shape)


def _unpacked(data: bytes | memoryview, length: int) -> Pixels:
    # A byte of the data stands for at most 64; what cannot suffice is not tried.
    if len(data) * 64 < length:
        raise NotTranscoded(_DAMAGED)
    out = bytearray(length)
    try:
        found = imagecodecs.packbits_decode(bytes(data), out=out)
    except (RuntimeError, ValueError):
        raise NotTranscoded(_DAMAGED) from None
    if len(found) < length:
        raise NotTranscoded(_DAMAGED)
    return np.frombuffer(found, np.uint8, length)


_DAMAGED: Final = "A frame in RLE is damaged, or is not as large as the image says."
