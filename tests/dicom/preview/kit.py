"""Pictures, ours and those of others."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from capacitord.dicom.part10 import preamble
from capacitord.dicom.preview.engine import NotShown, Shown, shown
from tests.dicom.transcode import kit

Numbers = np.ndarray[Any, Any]
DCMJ2PNM = "/usr/bin/dcmj2pnm"
DCML2PNM = "/usr/bin/dcml2pnm"
EXPLICIT = "1.2.840.10008.1.2.1"


def show(ds: Dataset, syntax: str = EXPLICIT, **how: Any) -> Shown:
    """Return what is shown of a dataset, written in a native syntax."""
    return shown(memoryview(kit.encoded(ds, syntax)), syntax, **how)


def refusal(ds: Dataset, syntax: str = EXPLICIT, **how: Any) -> str:
    """Return why nothing is shown of a dataset."""
    try:
        show(ds, syntax, **how)
    except NotShown as error:
        return str(error)
    msg = "it was shown"
    raise AssertionError(msg)


def grey(stored: Numbers, *, signed: bool = False, bits: int = 0, **attributes: Any) -> Dataset:
    """Return a grey image of these samples."""
    allocated = stored.dtype.itemsize * 8
    rows, columns = stored.shape
    kind = kit.Kind(rows, columns, allocated=allocated, stored=bits or allocated, signed=signed)
    data = stored.tobytes()
    return kit.dataset(kind, data + b"\0" * (len(data) % 2), **attributes)


def write(ds: Dataset, path: Path, syntax: str = EXPLICIT) -> Path:
    """Write a dataset as a file."""
    path.write_bytes(preamble(ds.SOPClassUID, ds.SOPInstanceUID, syntax, "") + kit.encoded(ds, syntax))
    return path


def by_dcmtk(path: Path, out: Path, *options: str, program: str = DCMJ2PNM) -> Numbers | str:
    """Return the picture that DCMTK makes of a file, or why it makes none."""
    command = [program, "--no-overlays", *options, str(path), str(out)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    if done.returncode:
        return done.stderr.decode("latin-1").strip().splitlines()[-1]
    return pnm(out.read_bytes())


def pnm(data: bytes) -> Numbers:
    """Return a picture in raw PGM or PPM with 8 bits."""
    words: list[bytes] = []
    position = 0
    while len(words) < 4:
        end = data.index(b"\n", position)
        if data[position : position + 1] != b"#":
            words += data[position:end].split()
        position = end + 1
    columns, rows = int(words[1]), int(words[2])
    shape = (rows, columns, 3) if words[0] == b"P6" else (rows, columns)
    return np.frombuffer(data, np.uint8, offset=position).reshape(shape)


def apart(one: Numbers, other: Numbers) -> int:
    """Return by how much two pictures differ at most."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())
