"""Pixels of one frame compressed, and what was compressed without loss decoded again and compared."""

from __future__ import annotations

import math
from typing import Any, Final

import imagecodecs
import numpy as np

from capacitord.dicom.transcode import rle
from capacitord.dicom.transcode.codestream import as_extended, without_spiff
from capacitord.dicom.transcode.decoding import CODEC_ERRORS, decode
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.layout import Layout
from capacitord.dicom.transcode.padding import Padding
from capacitord.dicom.transcode.syntaxes import Method, Target
from capacitord.model.compression import Compression, Loss

Pixels = np.ndarray[Any, Any]

_DECIBELS_A_BIT: Final = 20 * math.log10(2)
_NEAR_ENOUGH: Final = 0.9
_ATTEMPTS: Final = 7
_LEAST_DECIBELS: Final = 10.0
_WAVELET_LEVELS: Final = 5


class Encoder:
    """Compresses the frames of one image.

    `layout` is that of the pixels as they are given; `written` that of the compressed image. Loss leaves the same
    samples in `padding`.
    """

    def __init__(self, layout: Layout, target: Target, wanted: Compression, padding: Padding | None = None) -> None:
        self._padding = padding
        self._target = target
        self._wanted = wanted
        self._decibels = 0.0
        self.layout = layout
        self.written = _written(layout, target)

    def encode(self, pixels: Pixels) -> bytes:
        """Return a frame. Raises `NotTranscoded` if the codec cannot hold what is in it."""
        try:
            if self._target.loss is not Loss.NONE:
                return self._checked(self._with_loss(pixels), pixels)
            return self._without_loss(pixels)
        except CODEC_ERRORS:
            msg = f"{self._target.method.value} cannot hold a frame of this image."
            raise NotTranscoded(msg) from None

    def _without_loss(self, pixels: Pixels) -> bytes:
        frame = lossless(pixels, self._target.method, self.layout)
        again = decode(frame, self._target.method, self.written)
        # What a codec gives back is compared, however long it has been trusted: this is the promise of the name.
        if not np.array_equal(_bits(again), _bits(pixels)):
            msg = f"{self._target.method.value} did not give back a frame of this image bit for bit."
            raise NotTranscoded(msg)
        return frame

    def _checked(self, frame: bytes, pixels: Pixels) -> bytes:
        if self._padding is not None:
            self._padding.check(pixels, decode(frame, self._target.method, self.written))
        return frame

    def _with_loss(self, pixels: Pixels) -> bytes:
        if not is_clean(pixels, self.layout):
            msg = "The image has something in the bits that its samples do not use, which would be lost."
            raise NotTranscoded(msg)
        if self._target.loss is Loss.NEAR:
            return near_lossless(pixels, self._wanted.near or 0, self.layout)
        if self._target.method is Method.JPEG:
            return self._jpeg(pixels)
        if self._wanted.quality is not None:
            return self._j2k(pixels, float(self._wanted.quality))
        return self._by_ratio(pixels, self._wanted.ratio or 1.0)

    def _jpeg(self, pixels: Pixels) -> bytes:
        colours: dict[str, Any] = {}
        if self.layout.samples == 3:
            space = "RGB" if self.layout.photometric == "RGB" else "YCBCR"
            colours = {"colorspace": space, "outcolorspace": "YCBCR", "subsampling": "422"}
        frame = bytes(
            imagecodecs.jpeg8_encode(
                np.ascontiguousarray(pixels), self._wanted.quality, bitspersample=self.written.stored, **colours
            )
        )
        return as_extended(frame) if self._target.bits > 8 else frame

    def _j2k(self, pixels: Pixels, decibels: float) -> bytes:
        return bytes(
            imagecodecs.jpeg2k_encode(
                pixels,
                decibels,  # type: ignore[arg-type]  # OpenJPEG takes fractions of a decibel
                codecformat="j2k",
                reversible=False,
                bitspersample=self.layout.stored,
                mct=self.layout.photometric == "RGB",
            )
        )

    def _by_ratio(self, pixels: Pixels, ratio: float) -> bytes:
        """Return a frame at most 1/ratio as long as it was, and not much shorter, if there is one.

        A bit more or less for each sample is 6 dB more or less of signal to noise.
        """
        most = pixels.nbytes / ratio
        decibels = self._decibels or 6 * self.layout.stored * 0.8
        best = b""
        for _ in range(_ATTEMPTS):
            frame = self._j2k(pixels, decibels)
            fits = len(frame) <= most
            best_fits = bool(best) and len(best) <= most
            if not best or (len(frame) > len(best) if fits and best_fits else fits or len(frame) < len(best)):
                best, self._decibels = frame, decibels
            if _NEAR_ENOUGH * most <= len(frame) <= most:
                break
            wished = (most * (1 + _NEAR_ENOUGH) / 2 - len(frame)) * 8 / pixels.size
            decibels = max(_LEAST_DECIBELS, decibels + _DECIBELS_A_BIT * wished)
        return best


def _written(layout: Layout, target: Target) -> Layout:
    if target.method in {Method.JPEG_2000, Method.HTJ2K} and layout.photometric == "RGB":
        changed = "YBR_RCT" if target.loss is Loss.NONE else "YBR_ICT"
    elif target.method is Method.JPEG and layout.samples == 3:
        changed = "YBR_FULL_422"
    else:
        changed = layout.photometric
    layout = layout._replace(photometric=changed, planar=layout.planar and target.method is Method.RLE)
    if target.method is not Method.JPEG:
        return layout
    # PS3.5 table 8.2.1-1: samples of JPEG have 8 or 12 bits.
    stored = 8 if layout.allocated == 8 else 12
    return layout._replace(stored=stored, high=stored - 1)


def lossless(pixels: Pixels, method: Method, layout: Layout) -> bytes:
    """Return a frame compressed without loss. Raises what the codec raises."""
    if method is Method.RLE:
        return rle.encode(pixels)
    if method is Method.JPEG_LS:
        return _jpeg_ls(pixels)
    if method is Method.HTJ2K:
        colours: dict[str, Any] = {"rgb": layout.photometric == "RGB", "planar": False} if layout.samples > 1 else {}
        # Older decoders stumble over more wavelet levels than there are pixels for.
        levels = max(1, min(_WAVELET_LEVELS, min(pixels.shape[:2]).bit_length() - 1))
        return bytes(imagecodecs.htj2k_encode(pixels, reversible=True, resolutions=levels, **colours))
    bits = layout.stored if is_clean(pixels, layout) else layout.allocated
    if method is Method.JPEG_2000:
        transform = layout.photometric == "RGB"
        return bytes(
            imagecodecs.jpeg2k_encode(pixels, 0, codecformat="j2k", reversible=True, bitspersample=bits, mct=transform)
        )
    # Where it knows luminance from colours, libjpeg-turbo 3.1 makes two Huffman tables, and says that it has one.
    space = None if layout.samples == 1 else "RGB" if layout.photometric == "RGB" else "UNKNOWN"
    return bytes(
        imagecodecs.jpeg8_encode(
            _bits(pixels),
            lossless=True,
            predictor=1,
            bitspersample=layout.allocated if layout.signed else max(bits, 2 if layout.allocated == 8 else 9),
            colorspace=space,
            outcolorspace=space,
        )
    )


def _jpeg_ls(pixels: Pixels, near: int = 0) -> bytes:
    # Noise becomes longer than it was, which the codec does not allow for by itself.
    room = 2 * pixels.nbytes + 4096
    return without_spiff(bytes(imagecodecs.jpegls_encode(_bits(pixels), near, out=room)))


def near_lossless(pixels: Pixels, near: int, layout: Layout) -> bytes:
    """Return a JPEG-LS frame in which no sample differs by more than `near`, nor leaves the range it may have.

    The codec knows the range of 8 or 16 bits only. Where it left a narrower one, the same is done with half of
    `near` and with the samples that far away from the ends, which comes to the same bound.
    """
    least = -(1 << layout.stored - 1) if layout.signed else 0
    most = least + (1 << layout.stored) - 1
    for allowed, margin in ((near, 0), (near // 2, near // 2)):
        given = np.clip(pixels, least + margin, most - margin) if margin else pixels
        frame = _jpeg_ls(given, allowed)
        found = decode(frame, Method.JPEG_LS, layout).astype(np.int32)
        difference = np.abs(found - pixels.astype(np.int32)).max()
        if difference <= near and found.min() >= least and found.max() <= most:
            return frame
    msg = "The image cannot be compressed with so small a loss."
    raise NotTranscoded(msg)


def is_clean(pixels: Pixels, layout: Layout) -> bool:
    """Whether the bits that are not stored are 0, or with a sign those of the sign."""
    if layout.stored == layout.allocated:
        return True
    if not layout.aligned:
        return False
    least = -(1 << layout.stored - 1) if layout.signed else 0
    return bool(pixels.min() >= least and pixels.max() < least + (1 << layout.stored))


def _bits(pixels: Pixels) -> Pixels:
    """Return the samples without their sign, as they lie in memory."""
    return np.ascontiguousarray(pixels).view(f"<u{pixels.dtype.itemsize}")
