"""In which transfer syntax a destination is sent its images, and how much of them may be lost."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec


class Loss(enum.StrEnum):
    """What says how much a transfer syntax loses."""

    NONE = "none"
    QUALITY = "quality"
    RATIO = "ratio or quality"
    NEAR = "near"


CAN_COMPRESS: Final[Mapping[str, Loss]] = MappingProxyType(
    {
        "ExplicitVRLittleEndian": Loss.NONE,
        "RLELossless": Loss.NONE,
        "JPEGBaseline8Bit": Loss.QUALITY,
        "JPEGExtended12Bit": Loss.QUALITY,
        "JPEGLosslessSV1": Loss.NONE,
        "JPEGLSLossless": Loss.NONE,
        "JPEGLSNearLossless": Loss.NEAR,
        "JPEG2000Lossless": Loss.NONE,
        "JPEG2000": Loss.RATIO,
        "HTJ2KLossless": Loss.NONE,
    }
)
"""The transfer syntaxes an image can be written in, by keyword."""


class Compression(msgspec.Struct, frozen=True, omit_defaults=True):
    """`compress` of a destination.

    `transfer_syntax` is a UID. Of `quality` (1 to 100), `ratio` (10 is a tenth of the size) and `near` (the largest
    difference of a sample) the one counts that the transfer syntax knows; None everywhere is lossless. `quality` is
    that of JPEG; of JPEG 2000 it is the peak signal-to-noise ratio in dB.
    Mammograms are compressed with loss only with `lossy_mammography`.
    """

    transfer_syntax: str
    quality: int | None = None
    ratio: float | None = None
    near: int | None = None
    lossy_mammography: bool = False

    @property
    def lossy(self) -> bool:
        """Whether something is lost."""
        return (self.quality, self.ratio, self.near) != (None, None, None)
