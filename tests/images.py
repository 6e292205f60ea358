"""Images to send: those pydicom ships, and synthetic studies of any size, the same for the same seed."""

from __future__ import annotations

import functools
import hashlib
import random
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom

MIB = 1 << 20

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
SECONDARY_CAPTURE_STORAGE = "1.2.840.10008.5.1.4.1.1.7"
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
TOMOSYNTHESIS_STORAGE = "1.2.840.10008.5.1.4.1.1.13.1.3"

_LONG_FORM = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"})
_META = {0x0002: "sop_class_uid", 0x0003: "sop_instance_uid", 0x0010: "transfer_syntax_uid"}


@dataclass(frozen=True)
class Image:
    """A Part 10 file: what a C-STORE request says of it, and where its dataset starts (PS3.10 §7.1)."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    offset: int

    def dataset(self) -> bytes:
        """Return the dataset as encoded: everything after the file meta information."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read()

    def sha256(self) -> str:
        """Return the digest of the dataset as encoded, read piece by piece."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return hashlib.file_digest(file, "sha256").hexdigest()

    def size(self) -> int:
        """Return the length of the dataset in bytes."""
        return self.path.stat().st_size - self.offset


def read_image(path: Path) -> Image:
    """Return what the file meta information of a Part 10 file says; ValueError if it is not one."""
    with path.open("rb") as file:
        found = _read_meta(file)
    if found is None or len(found[0]) < len(_META):
        msg = f"{path} is not a DICOM file with complete meta information"
        raise ValueError(msg)
    meta, offset = found
    return Image(path, **meta, offset=offset)


def _read_meta(file: BinaryIO) -> tuple[dict[str, str], int] | None:
    return _read_meta_elements(file) if file.read(132)[128:] == b"DICM" else None


def _read_meta_elements(file: BinaryIO) -> tuple[dict[str, str], int]:
    found: dict[str, str] = {}
    while True:
        start = file.tell()
        head = file.read(8)
        if len(head) < 8 or head[:2] != b"\x02\x00":
            return found, start
        element, vr, length = struct.unpack("<2xH2sH", head)
        if vr in _LONG_FORM:
            length = int.from_bytes(file.read(4), "little")
        value = file.read(length)
        if element in _META:
            found[_META[element]] = value.decode("ascii").rstrip("\0 ")


@functools.cache
def shipped_files() -> tuple[Path, ...]:
    """Return every file with a DICOM preamble in pydicom's own wheel, also the broken ones; nothing is downloaded."""
    top = Path(pydicom.__file__).parent / "data"
    return tuple(p for p in sorted(top.rglob("*")) if p.is_file() and _has_preamble(p))


@functools.cache
def shipped() -> tuple[Image, ...]:
    """Return the files of pydicom's wheel that can be sent, with the UIDs of the dataset, as C-STORE needs them.

    Left out are directories and files without a SOP class, a SOP instance or a transfer syntax. Some of the rest
    are one SOP instance in several transfer syntaxes, and a few have other UIDs in their meta information.
    """
    return tuple(image for path in shipped_files() if (image := _sendable(path)) is not None)


@functools.cache
def every() -> tuple[Image, ...]:
    """Return every DICOM file in pydicom's wheel as an image to work on, also what nobody would send as one.

    Beside those of `shipped` they are directories, datasets of a few attributes, and bare datasets without a preamble.
    What such a file does not say, this says for it, as a scanner says it in its request: a SOP class, a SOP instance,
    and the transfer syntax that its first bytes show. The only thing left out is a file that is zipped.
    """
    top = Path(pydicom.__file__).parent / "data"
    known = {image.path: image for image in shipped()}
    paths = {*shipped_files(), *top.rglob("*.dcm")}
    return tuple(known[path] if path in known else _completed(path) for path in sorted(paths))


def _completed(path: Path) -> Image:
    with path.open("rb") as file:
        start = 0 if file.read(132)[128:] != b"DICM" else 132
        file.seek(start)
        meta, offset = _read_meta_elements(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    implicit, little = dataset.original_encoding
    seen = IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE if little else EXPLICIT_BIG
    return Image(
        path,
        str(dataset.get("SOPClassUID") or meta.get("sop_class_uid") or SECONDARY_CAPTURE_STORAGE),
        str(dataset.get("SOPInstanceUID") or meta.get("sop_instance_uid") or uid(path.name)),
        meta.get("transfer_syntax_uid", seen),
        offset,
    )


def _has_preamble(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _sendable(path: Path) -> Image | None:
    with path.open("rb") as file:
        found = _read_meta(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"])
        uids = str(dataset.get("SOPClassUID", "")), str(dataset.get("SOPInstanceUID", ""))
    if found is None or not all(uids) or "transfer_syntax_uid" not in found[0]:
        return None
    meta, offset = found
    return Image(path, *uids, meta["transfer_syntax_uid"], offset)


@dataclass(frozen=True)
class Shape:
    """What kind of images a study has. Pixels take 16 bits each."""

    rows: int
    columns: int
    frames: int = 1
    modality: str = "CT"
    sop_class_uid: str = CT_STORAGE

    @property
    def pixel_bytes(self) -> int:
        """The length of the pixel data."""
        return self.rows * self.columns * self.frames * 2


TINY = Shape(100, 100)
"""20 KiB."""
CT = Shape(512, 512)
"""0.5 MiB."""
DBT = Shape(1024, 1024, 30, "MG", TOMOSYNTHESIS_STORAGE)
"""60 MiB in 30 frames."""
HUGE = Shape(2048, 2048, 511, "MG", TOMOSYNTHESIS_STORAGE)
"""Just below 4 GiB, the most that pixel data of defined length can have (PS3.5 §7.1.1)."""


def uid(*words: object) -> str:
    """Return a UID that is the same for the same words (a UUID as PS3.5 §B.2 writes one)."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def write_study(
    folder: Path,
    *,
    images: int = 10,
    shape: Shape = CT,
    seed: int = 0,
    study_uid: str = "",
    series_number: int = 1,
    first: int = 1,
    sparse: bool = False,
) -> list[Image]:
    """Write one series of a synthetic study as Part 10 files into `folder`, which is made, and return them in order.

    Everything follows from the arguments: calling again with the same ones writes the same bytes. `seed` names the
    patient, and the study unless `study_uid` does; `first` is the first instance number, for a study that goes on
    arriving. No more than a mebibyte is held in memory. A `sparse` file has holes where other pixels have
    noise, so that `HUGE` takes 16 MiB of disk and a second.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series = _Series(shape, seed, study_uid or uid(seed, "study"), series_number)
    return [_write_image(folder, series, number, sparse=sparse) for number in range(first, first + images)]


@dataclass(frozen=True)
class _Series:
    shape: Shape
    seed: int
    study_uid: str
    number: int

    @property
    def uid(self) -> str:
        return uid(self.study_uid, "series", self.number)


def _write_image(folder: Path, series: _Series, number: int, *, sparse: bool) -> Image:
    shape = series.shape
    instance_uid = uid(series.uid, number)
    path = folder / f"{shape.modality}.{series.number}.{number:06}.dcm"
    meta = _file_meta(shape.sop_class_uid, instance_uid)
    with path.open("wb") as file:
        file.write(meta)
        file.write(_header(series, instance_uid, number))
        if sparse:
            _write_marks(file, shape.pixel_bytes, number)
        else:
            file.writelines(pixels(shape.pixel_bytes, series.seed, number))
    return Image(path, shape.sop_class_uid, instance_uid, EXPLICIT_LITTLE, len(meta))


def pixels(length: int, seed: int, number: int) -> Iterator[bytes]:
    """Yield `length` bytes of noise in pieces of at most a mebibyte.

    Each mebibyte starts with the image's number and its own, so that pieces in a wrong place are noticed.
    """
    noise = _noise(seed)
    start = number * 7919 * 2 % MIB
    for block in range(-(-length // MIB)):
        size = min(MIB, length - block * MIB)
        piece = _mark(number, block) + noise[start + 16 : start + size]
        yield piece[:size]


def _write_marks(file: BinaryIO, length: int, number: int) -> None:
    start = file.tell()
    for block in range(length // MIB):
        file.seek(start + block * MIB)
        file.write(_mark(number, block))
    file.truncate(start + length)


def _mark(number: int, block: int) -> bytes:
    return struct.pack("<QQ", number, block)


@functools.lru_cache(maxsize=4)
def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(2 * MIB)


def _element(tag: int, vr: str, value: str | bytes | int) -> bytes:
    """Return one data element in Explicit VR Little Endian (PS3.5 §7.1.2)."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if isinstance(value, int):
        return head + struct.pack("<HH", 2, value)
    if isinstance(value, str):
        value = value.encode("latin-1")
    value += (b"\0" if vr in {"UI", "OB"} else b" ") * (len(value) % 2)
    if vr.encode() in _LONG_FORM:
        return head + struct.pack("<HL", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def _file_meta(sop_class_uid: str, instance_uid: str) -> bytes:
    rest = b"".join(
        (
            _element(0x0002_0001, "OB", b"\0\1"),
            _element(0x0002_0002, "UI", sop_class_uid),
            _element(0x0002_0003, "UI", instance_uid),
            _element(0x0002_0010, "UI", EXPLICIT_LITTLE),
            _element(0x0002_0012, "UI", uid("implementation")),
        )
    )
    return b"\0" * 128 + b"DICM" + _element(0x0002_0000, "UL", struct.pack("<L", len(rest))) + rest


def _header(series: _Series, instance_uid: str, number: int) -> bytes:
    """Return the dataset up to and including the header of its pixel data."""
    shape, seed = series.shape, series.seed
    return b"".join(
        (
            _element(0x0008_0005, "CS", "ISO_IR 100"),
            _element(0x0008_0008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"),
            _element(0x0008_0016, "UI", shape.sop_class_uid),
            _element(0x0008_0018, "UI", instance_uid),
            _element(0x0008_0020, "DA", "20240229"),
            _element(0x0008_0030, "TM", "081500"),
            _element(0x0008_0050, "SH", f"ACC{seed:06}"),
            _element(0x0008_0060, "CS", shape.modality),
            _element(0x0008_0070, "LO", "Nobody"),
            _element(0x0008_0080, "LO", "St. Mary's Hospital"),
            _element(0x0008_0090, "PN", "Referring^Physician"),
            _element(0x0008_1010, "SH", "COACH1"),
            _element(0x0008_1030, "LO", f"Synthetic study {seed}"),
            _element(0x0008_103E, "LO", f"Series {series.number}"),
            _element(0x0010_0010, "PN", f"Synthetic^Patient{seed}"),
            _element(0x0010_0020, "LO", f"COACH-{seed:06}"),
            _element(0x0010_0030, "DA", "19500101"),
            _element(0x0010_0040, "CS", "O"),
            _element(0x0018_0015, "CS", "CHEST"),
            _element(0x0018_0050, "DS", "1.25"),
            _element(0x0018_0060, "DS", "120"),
            _element(0x0020_000D, "UI", series.study_uid),
            _element(0x0020_000E, "UI", series.uid),
            _element(0x0020_0010, "SH", f"S{seed}"),
            _element(0x0020_0011, "IS", str(series.number)),
            _element(0x0020_0013, "IS", str(number)),
            _element(0x0020_0032, "DS", f"-180\\-180\\{number * 1.25:g}"),
            _element(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0"),
            _element(0x0020_0052, "UI", uid(series.study_uid, "frame of reference")),
            _element(0x0028_0002, "US", 1),
            _element(0x0028_0004, "CS", "MONOCHROME2"),
            _element(0x0028_0008, "IS", str(shape.frames)) if shape.frames > 1 else b"",
            _element(0x0028_0010, "US", shape.rows),
            _element(0x0028_0011, "US", shape.columns),
            _element(0x0028_0030, "DS", "0.7\\0.7"),
            _element(0x0028_0100, "US", 16),
            _element(0x0028_0101, "US", 16),
            _element(0x0028_0102, "US", 15),
            _element(0x0028_0103, "US", 0),
            struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, shape.pixel_bytes),
        )
    )
