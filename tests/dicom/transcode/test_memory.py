"""A large image costs what its result is, and one frame."""

from __future__ import annotations

import mmap
import tracemalloc
from pathlib import Path

import pytest

from capacitord.dicom.transcode.engine import transcode
from capacitord.model.compression import Compression
from tests.dicom.transcode.decoders import EXPLICIT, IMPLICIT, JPEG_LS, RLE
from tests.dicom.transcode.kit import NOW, Kind, image

MIB = 1 << 20


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """64 frames of 512 KiB, all black."""
    said = {"Rows": 512, "Columns": 512, "NumberOfFrames": 64, "PixelData": bytes(32 * MIB)}
    path = tmp_path / "large"
    path.write_bytes(image(Kind(rows=1, columns=1), **said))
    return path


@pytest.mark.parametrize(("wanted", "most"), [(IMPLICIT, 4), (RLE, 8), (JPEG_LS, 8)])
def test_one_frame_at_a_time(wanted: str, most: int, large: Path) -> None:
    with large.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        tracemalloc.start()
        with memoryview(mapped) as data:
            written = transcode(data, EXPLICIT, Compression(wanted), now=NOW)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < most * MIB
            assert written.length == sum(map(len, written.dataset))
            for piece in written.dataset:
                if isinstance(piece, memoryview):
                    piece.release()
