"""What is compressed without loss comes back bit for bit from decoders that others wrote."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import pytest
from pydicom.encaps import encapsulate

from capacitord.dicom.transcode.engine import NotTranscoded
from capacitord.model.compression import Compression
from tests.dicom.transcode.decoders import EXPLICIT, HTJ2K, J2K, JPEG_LS, RLE, SV1, decoded, write
from tests.dicom.transcode.kit import (
    LOSSLESS,
    SECONDARY_CAPTURE,
    Kind,
    encoded,
    image,
    native,
    pixels,
    read,
    transcoded,
)

pytestmark = pytest.mark.peers

KINDS = {
    "8 bit": Kind(allocated=8, stored=8),
    "8 bit, 6 stored": Kind(allocated=8, stored=6),
    "8 bit, MONOCHROME1, three frames": Kind(photometric="MONOCHROME1", allocated=8, stored=8, frames=3),
    "16 bit": Kind(),
    "16 bit with sign": Kind(signed=True),
    "10 of 16 bit": Kind(stored=10),
    "12 of 16 bit": Kind(stored=12, frames=2),
    "12 of 16 bit with sign": Kind(stored=12, signed=True),
    "12 of 16 bit, overlay in the others": Kind(stored=12, dirty=True),
    "12 of 16 bit with sign, overlay in the others": Kind(stored=12, signed=True, dirty=True),
    "12 bit that are the highest": Kind(stored=12, high=15, dirty=True),
    "5 of 16 bit": Kind(stored=5),
    "palette of 8 bit": Kind(photometric="PALETTE COLOR", allocated=8, stored=8),
    "palette of 16 bit": Kind(photometric="PALETTE COLOR"),
    "RGB": Kind(samples=3, photometric="RGB", allocated=8, stored=8, frames=2),
    "RGB by planes": Kind(samples=3, photometric="RGB", allocated=8, stored=8, planar=True, frames=2),
    "RGB of 16 bit": Kind(samples=3, photometric="RGB"),
    "YBR_FULL": Kind(samples=3, photometric="YBR_FULL", allocated=8, stored=8),
    "YBR_FULL by planes": Kind(samples=3, photometric="YBR_FULL", allocated=8, stored=8, planar=True),
    "one row": Kind(rows=1, columns=7, allocated=8, stored=8),
    "one pixel": Kind(rows=1, columns=1),
    "3 by 3, an odd number of bytes": Kind(rows=3, columns=3, samples=3, photometric="RGB", allocated=8, stored=8),
}
WIDE = {
    "32 bit": Kind(allocated=32, stored=32),
    "32 bit RGB": Kind(samples=3, photometric="RGB", allocated=32, stored=32),
}
METHODS = {"RLE": RLE, "JPEG Lossless": SV1, "JPEG-LS": JPEG_LS, "JPEG 2000": J2K, "HTJ2K": HTJ2K}
COLOURS = {J2K: {"RGB": "YBR_RCT"}, HTJ2K: {"RGB": "YBR_RCT"}}
CASES = [(method, name) for method in METHODS for name in KINDS] + [("RLE", name) for name in WIDE]


@pytest.mark.parametrize(("method", "name"), CASES)
def test_another_decoder_gives_back_every_bit(method: str, name: str, tmp_path: Path) -> None:
    uid, kind = METHODS[method], (KINDS | WIDE)[name]
    source = image(kind)
    written, data = transcoded(source, EXPLICIT, LOSSLESS[uid])
    assert (written.transfer_syntax_uid, written.lossy, written.sop_instance_uid) == (uid, False, "")
    # RLE keeps the planes apart or together as the image says; all others have no planes.
    expected = native(kind if uid == RLE else kind._replace(planar=False), pixels(kind))
    path = write(tmp_path / "image", SECONDARY_CAPTURE, "1.2.3", uid, data)
    assert decoded(path, uid)[: len(expected)] == expected
    again, back = transcoded(data, uid, Compression(EXPLICIT))
    assert not again.lossy
    assert read(back).PixelData == expected
    assert read(data).PhotometricInterpretation == COLOURS.get(uid, {}).get(kind.photometric, kind.photometric)
    assert read(back).PhotometricInterpretation == kind.photometric


@pytest.mark.parametrize("uid", LOSSLESS)
def test_nothing_else_changes(uid: str) -> None:
    source = image(KINDS["12 of 16 bit"])
    _, data = transcoded(source, EXPLICIT, LOSSLESS[uid])
    start = source.index(b"\xe0\x7f\x10\x00OW")
    assert data[:start] == source[:start]


@pytest.mark.parametrize("uid", LOSSLESS)
def test_one_lossless_syntax_becomes_another(uid: str) -> None:
    kind = KINDS["RGB"]
    _, before = transcoded(image(kind), EXPLICIT, LOSSLESS[uid])
    for other in LOSSLESS:
        _, data = transcoded(before, uid, LOSSLESS[other])
        _, back = transcoded(data, other, Compression(EXPLICIT))
        assert read(back).PixelData == native(kind, pixels(kind))
        assert (data == before) == (other == uid)


@pytest.mark.parametrize("uid", sorted(set(LOSSLESS) - {RLE}))
def test_samples_of_32_bits_are_refused(uid: str) -> None:
    with pytest.raises(NotTranscoded, match="cannot hold samples of 32 bits"):
        transcoded(image(WIDE["32 bit"]), EXPLICIT, LOSSLESS[uid])


@pytest.mark.parametrize("uid", LOSSLESS)
def test_images_of_one_bit_are_refused(uid: str) -> None:
    kind = Kind(rows=16, columns=16, allocated=8, stored=8)
    source = image(kind, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=bytes(range(32)))
    with pytest.raises(NotTranscoded, match="cannot hold samples of 1 bits"):
        transcoded(source, EXPLICIT, LOSSLESS[uid])


def test_noise_that_becomes_longer_is_held(tmp_path: Path) -> None:
    kind = Kind(rows=64, columns=64, samples=3, photometric="RGB", allocated=8, stored=8)
    noise = bytes((n * n * 7919 >> 5) & 0xFF ^ (n * 31 & 0xFF) for n in range(64 * 64 * 3))
    for uid in LOSSLESS:
        _, data = transcoded(image(kind, PixelData=noise), EXPLICIT, LOSSLESS[uid])
        assert decoded(write(tmp_path / "image", SECONDARY_CAPTURE, "1.2.3", uid, data), uid) == noise


def test_colours_with_huffman_tables_of_their_own_are_read() -> None:
    kind = KINDS["YBR_FULL"]
    frame = bytearray(
        imagecodecs.jpeg8_encode(
            pixels(kind)[0], lossless=True, predictor=1, bitspersample=8, colorspace="YCBCR", outcolorspace="YCBCR"
        )
    )
    # The encoder makes two tables, and then forgets to say which component has which (ISO 10918-1 B.2.3).
    scan = frame.index(b"\xff\xda")
    assert frame[scan + 4 : scan + 11] == b"\3\1\0\2\0\3\0"
    frame[scan + 8] = frame[scan + 10] = 0x10
    _, data = transcoded(image(kind), EXPLICIT, LOSSLESS[SV1])
    ds = read(data)
    ds.PixelData = encapsulate([bytes(frame)])
    _, back = transcoded(encoded(ds), SV1, Compression(EXPLICIT))
    assert read(back).PixelData == native(kind, pixels(kind))
