"""What samples of colours mean, as red, green and blue of 8 bits each (PS3.3 §C.7.6.3.1.2)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from capacitord.dicom.preview.failure import NotShown
from capacitord.dicom.preview.pixels import Frame

Numbers = np.ndarray[Any, Any]

_BLOCK: Final = 1 << 20
"""Pixels that are converted at once, so that what is between takes little memory."""

_FULL: Final = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]], np.float32)
_STUDIO: Final = np.array([[1.1644, 0.0, 1.5960], [1.1644, -0.3917, -0.8130], [1.1644, 2.0173, 0.0]], np.float32)


def red_green_blue(frame: Frame) -> Numbers:
    """Return the colours of a frame, shape (rows, columns, 3). Raises `NotShown`."""
    samples = _eight_bits(frame)
    match frame.photometric:
        case "RGB":
            return samples
        case "YBR_FULL" | "YBR_FULL_422":
            return _converted(samples, lambda ybr: _by_matrix(ybr, _FULL, 0))
        case "YBR_PARTIAL_422":
            return _converted(samples, lambda ybr: _by_matrix(ybr, _STUDIO, 16))
        case "ARGB":
            return np.ascontiguousarray(samples[..., 1:])
        case "CMYK":
            return _converted(samples, lambda cmyk: np.clip(255 - cmyk[:, :3].astype(np.int16) - cmyk[:, 3:], 0, 255))
        case "HSV":
            return _converted(samples, _of_hue)
    msg = "The image has a photometric interpretation that is not shown here."
    raise NotShown(msg)


def _eight_bits(frame: Frame) -> Numbers:
    stored = frame.stored
    if frame.signed:
        msg = "The samples of a colour have a sign."
        raise NotShown(msg)
    if frame.bits > 8:
        return (stored >> (frame.bits - 8)).astype(np.uint8)
    if frame.bits < 8:
        most = (1 << frame.bits) - 1
        return ((stored.astype(np.uint16) * 255 + most // 2) // most).astype(np.uint8)
    return stored.astype(np.uint8, copy=False)


def _converted(samples: Numbers, by: Any) -> Numbers:
    rows, columns = samples.shape[:2]
    out = np.empty((rows * columns, 3), np.uint8)
    flat = samples.reshape(rows * columns, -1)
    for start in range(0, len(flat), _BLOCK):
        out[start : start + _BLOCK] = by(flat[start : start + _BLOCK])
    return out.reshape(rows, columns, 3)


def _by_matrix(ybr: Numbers, matrix: Numbers, black: int) -> Numbers:
    centred = ybr.astype(np.float32) - np.array([black, 128, 128], np.float32)
    found: Numbers = np.clip(np.rint(centred @ matrix.T), 0, 255)
    return found


def _of_hue(hsv: Numbers) -> Numbers:
    hue, saturation, value = (hsv[:, place].astype(np.float32) / 255 for place in range(3))
    sixth = (hue * 6)[:, None]
    # Each colour is full around its own sixth of the circle, and fades to both sides.
    apart = np.abs((sixth + np.array([0, 4, 2], np.float32)) % 6 - 3) - 1
    found: Numbers = np.rint(255 * value[:, None] * (1 - saturation[:, None] * (1 - np.clip(apart, 0, 1))))
    return found
