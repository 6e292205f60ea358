"""The transfer syntaxes that are read and written here, and what each can hold (PS3.5 §8.2, §A)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from capacitord.dicom.contexts import syntax_name
from capacitord.dicom.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from capacitord.model.compression import Compression, Loss

IMPLICIT_UID: Final = "1.2.840.10008.1.2"
EXPLICIT_UID: Final = "1.2.840.10008.1.2.1"
BIG_ENDIAN_UID: Final = "1.2.840.10008.1.2.2"
DEFLATED_UID: Final = "1.2.840.10008.1.2.1.99"
_JPEG_FAMILY: Final = "1.2.840.10008.1.2.4."


class Method(enum.Enum):
    """How pixels are encoded."""

    NATIVE = "native"
    RLE = "RLE"
    JPEG = "JPEG"
    JPEG_LOSSLESS = "JPEG Lossless"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"
    HTJ2K = "HTJ2K"


class Source(NamedTuple):
    """A syntax that is read. `may_lose` if the name of the syntax does not rule out that something was lost."""

    method: Method
    may_lose: bool = False


class Target(NamedTuple):
    """A syntax that is written: how much it loses, and what a sample may be."""

    method: Method
    loss: Loss = Loss.NONE
    allocated: tuple[int, ...] = (8, 16)
    bits: int = 16
    signed: bool = True
    palette: bool = True
    code: str = ""
    """What (0028,2114) calls it (PS3.3 §C.7.6.1.1.5.1)."""


SOURCES: Final[Mapping[str, Source]] = MappingProxyType(
    {
        IMPLICIT_UID: Source(Method.NATIVE),
        EXPLICIT_UID: Source(Method.NATIVE),
        BIG_ENDIAN_UID: Source(Method.NATIVE),
        DEFLATED_UID: Source(Method.NATIVE),
        "1.2.840.10008.1.2.5": Source(Method.RLE),
        _JPEG_FAMILY + "50": Source(Method.JPEG, may_lose=True),
        _JPEG_FAMILY + "51": Source(Method.JPEG, may_lose=True),
        _JPEG_FAMILY + "57": Source(Method.JPEG_LOSSLESS),
        _JPEG_FAMILY + "70": Source(Method.JPEG_LOSSLESS),
        _JPEG_FAMILY + "80": Source(Method.JPEG_LS),
        _JPEG_FAMILY + "81": Source(Method.JPEG_LS, may_lose=True),
        _JPEG_FAMILY + "90": Source(Method.JPEG_2000),
        _JPEG_FAMILY + "91": Source(Method.JPEG_2000, may_lose=True),
        _JPEG_FAMILY + "201": Source(Method.HTJ2K),
        _JPEG_FAMILY + "202": Source(Method.HTJ2K),
        _JPEG_FAMILY + "203": Source(Method.HTJ2K, may_lose=True),
    }
)

TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        IMPLICIT_UID: Target(Method.NATIVE),
        EXPLICIT_UID: Target(Method.NATIVE),
        "1.2.840.10008.1.2.5": Target(Method.RLE, allocated=(8, 16, 32), bits=32),
        _JPEG_FAMILY + "50": Target(Method.JPEG, Loss.QUALITY, (8,), 8, False, False, "ISO_10918_1"),
        _JPEG_FAMILY + "51": Target(Method.JPEG, Loss.QUALITY, (8, 16), 12, False, False, "ISO_10918_1"),
        _JPEG_FAMILY + "70": Target(Method.JPEG_LOSSLESS),
        _JPEG_FAMILY + "80": Target(Method.JPEG_LS),
        _JPEG_FAMILY + "81": Target(Method.JPEG_LS, Loss.NEAR, palette=False, code="ISO_14495_1"),
        _JPEG_FAMILY + "90": Target(Method.JPEG_2000),
        _JPEG_FAMILY + "91": Target(Method.JPEG_2000, Loss.RATIO, palette=False, code="ISO_15444_1"),
        _JPEG_FAMILY + "201": Target(Method.HTJ2K),
    }
)

MAMMOGRAPHY: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1.2",  # Digital Mammography X-Ray, For Presentation
        "1.2.840.10008.5.1.4.1.1.1.2.1",  # and For Processing
        "1.2.840.10008.5.1.4.1.1.13.1.3",  # Breast Tomosynthesis
        "1.2.840.10008.5.1.4.1.1.13.1.4",  # Breast Projection X-Ray, For Presentation
        "1.2.840.10008.5.1.4.1.1.13.1.5",  # and For Processing
    }
)
MAMMOGRAPHY_MODALITY: Final = "MG"


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Return how the elements of a dataset in this syntax are written (PS3.5 §A)."""
    if transfer_syntax_uid == IMPLICIT_UID:
        return IMPLICIT_LITTLE
    return EXPLICIT_BIG if transfer_syntax_uid == BIG_ENDIAN_UID else EXPLICIT_LITTLE


def is_mammogram(sop_class_uid: str, modality: str) -> bool:
    """Whether an image is one of the breast."""
    return sop_class_uid in MAMMOGRAPHY or modality == MAMMOGRAPHY_MODALITY


def possible(source_uid: str, wanted: Compression, *, sop_class_uid: str = "", modality: str = "") -> str:
    """Return why no image of this kind can be written so, empty if one may be: for planning, before it is read.

    `source_uid` is the transfer syntax it has. The answer is a sentence for a person.
    """
    target = TARGETS.get(wanted.transfer_syntax)
    if target is None:
        return f"This box does not write {syntax_name(wanted.transfer_syntax)}."
    source = SOURCES.get(source_uid)
    if source is None:
        return f"This box does not read the pixels of {syntax_name(source_uid)}."
    return _amount(wanted, target) or _loss(source, wanted, sop_class_uid, modality)


def _amount(wanted: Compression, target: Target) -> str:
    given = {name for name in ("quality", "ratio", "near") if getattr(wanted, name) is not None}
    takes = {
        Loss.NONE: (set(),),
        Loss.QUALITY: ({"quality"},),
        Loss.RATIO: ({"ratio"}, {"quality"}),
        Loss.NEAR: ({"near"},),
    }[target.loss]
    if given in takes:
        return ""
    name = syntax_name(wanted.transfer_syntax)
    if target.loss is Loss.NONE:
        return f"{name} loses nothing, and it is said how much it may lose."
    return f"{name} loses something, and it is not said how much it may lose."


def _loss(source: Source, wanted: Compression, sop_class_uid: str, modality: str) -> str:
    if not wanted.lossy:
        return ""
    if source.may_lose:
        return LOSSY_ALREADY
    if is_mammogram(sop_class_uid, modality) and not wanted.lossy_mammography:
        return "A mammogram is compressed with loss only where the profile has lossy_mammography = true."
    return ""


LOSSY_ALREADY: Final = "The image was compressed with loss already, and is not compressed with loss again."
