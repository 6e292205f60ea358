"""The transfer syntaxes a profile may name (PS3.6 Annex A), so that reading a profile needs no DICOM library."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

TRANSFER_SYNTAXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ImplicitVRLittleEndian": "1.2.840.10008.1.2",
        "ExplicitVRLittleEndian": "1.2.840.10008.1.2.1",
        "DeflatedExplicitVRLittleEndian": "1.2.840.10008.1.2.1.99",
        "ExplicitVRBigEndian": "1.2.840.10008.1.2.2",
        "JPEGBaseline8Bit": "1.2.840.10008.1.2.4.50",
        "JPEGExtended12Bit": "1.2.840.10008.1.2.4.51",
        "JPEGLossless": "1.2.840.10008.1.2.4.57",
        "JPEGLosslessSV1": "1.2.840.10008.1.2.4.70",
        "JPEGLSLossless": "1.2.840.10008.1.2.4.80",
        "JPEGLSNearLossless": "1.2.840.10008.1.2.4.81",
        "JPEG2000Lossless": "1.2.840.10008.1.2.4.90",
        "JPEG2000": "1.2.840.10008.1.2.4.91",
        "JPEG2000MCLossless": "1.2.840.10008.1.2.4.92",
        "JPEG2000MC": "1.2.840.10008.1.2.4.93",
        "MPEG2MPML": "1.2.840.10008.1.2.4.100",
        "MPEG2MPMLF": "1.2.840.10008.1.2.4.100.1",
        "MPEG2MPHL": "1.2.840.10008.1.2.4.101",
        "MPEG2MPHLF": "1.2.840.10008.1.2.4.101.1",
        "MPEG4HP41": "1.2.840.10008.1.2.4.102",
        "MPEG4HP41F": "1.2.840.10008.1.2.4.102.1",
        "MPEG4HP41BD": "1.2.840.10008.1.2.4.103",
        "MPEG4HP41BDF": "1.2.840.10008.1.2.4.103.1",
        "MPEG4HP422D": "1.2.840.10008.1.2.4.104",
        "MPEG4HP422DF": "1.2.840.10008.1.2.4.104.1",
        "MPEG4HP423D": "1.2.840.10008.1.2.4.105",
        "MPEG4HP423DF": "1.2.840.10008.1.2.4.105.1",
        "MPEG4HP42STEREO": "1.2.840.10008.1.2.4.106",
        "MPEG4HP42STEREOF": "1.2.840.10008.1.2.4.106.1",
        "HEVCMP51": "1.2.840.10008.1.2.4.107",
        "HEVCM10P51": "1.2.840.10008.1.2.4.108",
        "HTJ2KLossless": "1.2.840.10008.1.2.4.201",
        "HTJ2KLosslessRPCL": "1.2.840.10008.1.2.4.202",
        "HTJ2K": "1.2.840.10008.1.2.4.203",
        "JPIPHTJ2KReferenced": "1.2.840.10008.1.2.4.204",
        "JPIPHTJ2KReferencedDeflate": "1.2.840.10008.1.2.4.205",
        "RLELossless": "1.2.840.10008.1.2.5",
        "SMPTEST211020UncompressedProgressiveActiveVideo": "1.2.840.10008.1.2.7.1",
        "SMPTEST211020UncompressedInterlacedActiveVideo": "1.2.840.10008.1.2.7.2",
        "SMPTEST211030PCMDigitalAudio": "1.2.840.10008.1.2.7.3",
    }
)
"""UIDs by keyword."""
