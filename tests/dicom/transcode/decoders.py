"""Compressed images decoded by programs that share no code with ours: DCMTK, GDCM and OpenJPH."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import generate_frames

from capacitord.dicom.part10 import preamble

JPEG_FAMILY = "1.2.840.10008.1.2.4."
RLE = "1.2.840.10008.1.2.5"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BASELINE, EXTENDED, SV1, JPEG_LS, NEAR, J2K, J2K_LOSSY, HTJ2K = (
    JPEG_FAMILY + last for last in ("50", "51", "70", "80", "81", "90", "91", "201")
)

SINGLE_FRAME = "1.2.840.10008.5.1.4.1.1.7"
DCMDRLE = "/usr/bin/dcmdrle"
DCMDJPEG = "/usr/bin/dcmdjpeg"
DCMDJPLS = "/usr/bin/dcmdjpls"
GDCMCONV = "/usr/bin/gdcmconv"
OJPH_EXPAND = "/usr/bin/ojph_expand"


def write(path: Path, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, data: bytes) -> Path:
    """Write a Part 10 file around a dataset."""
    path.write_bytes(preamble(sop_class_uid, sop_instance_uid, transfer_syntax_uid, "") + data)
    return path


def decoded(path: Path, transfer_syntax_uid: str) -> bytes:
    """Return the pixel data of a file as another program decodes it: native, Little Endian, samples side by side."""
    if transfer_syntax_uid == HTJ2K:
        return _by_openjph(path)
    out = path.with_suffix(".native")
    if transfer_syntax_uid in {J2K, J2K_LOSSY}:
        _allow_frames(path)
    commands: dict[str, list[str | Path]] = {
        RLE: [DCMDRLE, path, out],
        BASELINE: [DCMDJPEG, path, out],
        EXTENDED: [DCMDJPEG, path, out],
        SV1: [DCMDJPEG, "+cn", path, out],
        JPEG_LS: [DCMDJPLS, path, out],
        NEAR: [DCMDJPLS, path, out],
        J2K: [GDCMCONV, "--raw", path, out],
        J2K_LOSSY: [GDCMCONV, "--raw", path, out],
    }
    done = subprocess.run(commands[transfer_syntax_uid], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode("latin-1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(out)
    assert not dataset.file_meta.TransferSyntaxUID.is_encapsulated
    data: bytes = dataset.PixelData
    return data


def _allow_frames(path: Path) -> None:
    """GDCM does not write several frames of a SOP class that has one; some of the files that pydicom ships have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        if dataset.SOPClassUID == SINGLE_FRAME and dataset.get("NumberOfFrames", 1) > 1:
            dataset.SOPClassUID = SINGLE_FRAME + ".3"
            dataset.save_as(path)


def _by_openjph(path: Path) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
    frames = generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
    whole = b"".join(_frame_by_openjph(frame, dataset, path) for frame in frames)
    return whole + b"\0" * (len(whole) % 2)


def _frame_by_openjph(frame: bytes, dataset: pydicom.Dataset, path: Path) -> bytes:
    """Return the samples of a frame. ojph_expand knows no sign: what has one is decoded as if it had none."""
    samples = dataset.SamplesPerPixel
    patched = bytearray(frame)
    for component in range(samples):
        patched[42 + 3 * component] &= 0x7F
    codestream = path.with_suffix(".j2c")
    codestream.write_bytes(patched)
    out = path.with_suffix(".ppm" if samples == 3 else ".pgm")
    done = subprocess.run([OJPH_EXPAND, "-i", codestream, "-o", out], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    size = dataset.BitsAllocated // 8
    count = dataset.Rows * dataset.Columns * samples
    found = np.frombuffer(out.read_bytes()[-count * size :], f">u{size}").astype(f"<u{size}")
    if frame[42] & 0x80:
        found ^= 1 << dataset.BitsAllocated - 1
    return found.tobytes()
