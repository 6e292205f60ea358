"""Images of every layout, and all that can be made of them."""

from __future__ import annotations

import datetime as dt
import io
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from capacitord.dicom.transcode.engine import NotTranscoded, Written, transcode
from capacitord.model.compression import Compression
from tests.dicom.transcode.decoders import (
    BASELINE,
    EXPLICIT,
    EXTENDED,
    HTJ2K,
    IMPLICIT,
    J2K,
    J2K_LOSSY,
    JPEG_LS,
    NEAR,
    RLE,
    SV1,
)

NOW = dt.datetime(2026, 2, 28, 8, 15, 0, 250000, dt.UTC)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

LOSSLESS: Mapping[str, Compression] = {uid: Compression(uid) for uid in (RLE, SV1, JPEG_LS, J2K, HTJ2K)}
LOSSY: Mapping[str, Compression] = {
    BASELINE: Compression(BASELINE, quality=90),
    EXTENDED: Compression(EXTENDED, quality=90),
    NEAR: Compression(NEAR, near=3),
    J2K_LOSSY: Compression(J2K_LOSSY, ratio=10.0),
}
NATIVE: Mapping[str, Compression] = {uid: Compression(uid) for uid in (EXPLICIT, IMPLICIT)}
EVERYTHING: Mapping[str, Compression] = {**NATIVE, **LOSSLESS, **LOSSY}


class Kind(NamedTuple):
    """What an image is like. `dirty` fills the bits that are not stored, too."""

    rows: int = 33
    columns: int = 50
    samples: int = 1
    photometric: str = "MONOCHROME2"
    allocated: int = 16
    stored: int = 16
    signed: bool = False
    frames: int = 1
    planar: bool = False
    dirty: bool = False
    high: int = -1

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all pixels, samples side by side."""
        return (self.frames, self.rows, self.columns, self.samples)


def pixels(kind: Kind, seed: int = 1) -> np.ndarray[Any, Any]:
    """Return pixels that are smooth with some noise, over the whole range of what is stored."""
    random = np.random.default_rng(seed)
    bits = kind.allocated if kind.dirty else kind.stored
    least = -(1 << bits - 1) if kind.signed else 0
    span = (1 << bits) - 1
    wave = (
        np.sin(np.linspace(0, 3, kind.columns))[None, None, :, None]
        * np.cos(np.linspace(0, 5, kind.rows * kind.frames).reshape(kind.frames, kind.rows))[:, :, None, None]
    )
    smooth = least + span * (0.5 + 0.49 * np.broadcast_to(wave, kind.shape)) + random.normal(0, span / 200, kind.shape)
    return np.clip(smooth, least, least + span).astype(f"<{'i' if kind.signed else 'u'}{kind.allocated // 8}")


def native(kind: Kind, found: np.ndarray[Any, Any]) -> bytes:
    """Return pixels as native pixel data."""
    data = found.transpose(0, 3, 1, 2).tobytes() if kind.planar else found.tobytes()
    return data + b"\0" * (len(data) % 2)


def dataset(kind: Kind, data: bytes, **attributes: Any) -> Dataset:
    """Return a secondary capture."""
    ds = Dataset()
    ds.SOPClassUID = SECONDARY_CAPTURE
    ds.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.Modality = "OT"
    ds.PatientName, ds.PatientID = "Nobody^Test", "TEST"
    ds.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.3"
    ds.SamplesPerPixel = kind.samples
    ds.PhotometricInterpretation = kind.photometric
    if kind.samples > 1:
        ds.PlanarConfiguration = int(kind.planar)
    ds.NumberOfFrames = kind.frames
    ds.Rows, ds.Columns = kind.rows, kind.columns
    ds.BitsAllocated, ds.BitsStored = kind.allocated, kind.stored
    ds.HighBit = kind.stored - 1 if kind.high < 0 else kind.high
    ds.PixelRepresentation = int(kind.signed)
    if kind.photometric == "PALETTE COLOR":
        entries = 1 << kind.allocated
        for colour in ("Red", "Green", "Blue"):
            setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [entries % 65536, 0, 16])
            setattr(ds, f"{colour}PaletteColorLookupTableData", bytes(2 * entries))
    ds.PixelData = data
    ds["PixelData"].VR = "OW" if kind.allocated > 8 else "OB"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    """Return a dataset in a native syntax, as pydicom writes it."""
    out = io.BytesIO()
    implicit, little = transfer_syntax_uid == IMPLICIT, transfer_syntax_uid != BIG_ENDIAN
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(out, ds, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    return out.getvalue()


def image(kind: Kind, **attributes: Any) -> bytes:
    """Return an image of this kind in Explicit VR Little Endian."""
    return encoded(dataset(kind, native(kind, pixels(kind)), **attributes))


def transcoded(data: bytes, transfer_syntax_uid: str, wanted: Compression) -> tuple[Written, bytes]:
    """Return what becomes of an image, and its bytes in one."""
    written = transcode(memoryview(data), transfer_syntax_uid, wanted, now=NOW)
    whole = b"".join(written.dataset)
    assert len(whole) == written.length
    return written, whole


def refusal(data: bytes, transfer_syntax_uid: str, wanted: Compression) -> NotTranscoded | None:
    """Return why an image is not written so, None if it is."""
    try:
        written = transcode(data, transfer_syntax_uid, wanted, now=NOW)
    except NotTranscoded as error:
        return error
    assert written.length == sum(map(len, written.dataset))
    return None


def read(data: bytes, transfer_syntax_uid: str = EXPLICIT) -> Dataset:
    """Return a dataset as pydicom reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.filereader.read_dataset(
            io.BytesIO(data),
            is_implicit_VR=transfer_syntax_uid == IMPLICIT,
            is_little_endian=transfer_syntax_uid != BIG_ENDIAN,
        )
