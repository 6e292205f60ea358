"""Frames compressed without loss written anew from their pixels, in which nothing else can be.

What a decoder passes over, behind the last of the pixels or between them, no walk through the segments finds. What is
decoded, compressed again and compared has none of it. It costs as much as compressing the image does.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from capacitord.dicom.transcode.decoding import CODEC_ERRORS, decode
from capacitord.dicom.transcode.encoding import lossless
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.syntaxes import SOURCES, Method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capacitord.dicom.transcode.decoding import Pixels
    from capacitord.dicom.transcode.layout import Layout

_LOSSLESS: Final = frozenset({Method.JPEG_LOSSLESS, Method.JPEG_LS, Method.JPEG_2000, Method.HTJ2K})
_RPCL: Final = "1.2.840.10008.1.2.4.202"
"""HTJ2K that says in its main header how long its tiles are."""
_TRANSFORMED: Final[Mapping[str, str]] = MappingProxyType({"YBR_RCT": "RGB", "RGB": "YBR_FULL"})
"""What the encoders of JPEG 2000 are told of colours that are transformed, and of those that are not."""
_TILE: Final = b"\xff\x90\0\x0a\0\0"


def is_reversible(syntax: str, photometric: str) -> bool:
    """Whether frames in this syntax lost nothing, so that they can be written anew."""
    source = SOURCES.get(syntax)
    return source is not None and source.method in _LOSSLESS and not source.may_lose and photometric != "YBR_ICT"


def anew(frame: bytes, syntax: str, layout: Layout, pixels: Pixels) -> bytes:
    """Return a frame of these pixels, which `frame` was decoded to, in the same syntax. Raises `NotTranscoded`."""
    method = SOURCES[syntax].method
    told = layout
    if method in {Method.JPEG_2000, Method.HTJ2K}:
        told = layout._replace(photometric=_TRANSFORMED.get(layout.photometric, layout.photometric))
    try:
        written = lossless(pixels, method, told)
    except CODEC_ERRORS:
        msg = f"{method.value} cannot hold a frame of this image."
        raise NotTranscoded(msg) from None
    if written != frame and not np.array_equal(decode(written, method, layout), pixels):
        msg = f"{method.value} did not give back a frame of this image bit for bit."
        raise NotTranscoded(msg)
    return written


def with_lengths(codestream: bytes, syntax: str) -> bytes:
    """Return a codestream of one part of one tile with its length in the main header, where the syntax wants that.

    ISO 15444-1 §A.7.1.
    """
    if syntax != _RPCL:
        return codestream
    at = codestream.index(_TILE)
    return codestream[:at] + b"\xff\x55\0\x0a\0\x60\0\0" + codestream[at + 6 : at + 10] + codestream[at:]
