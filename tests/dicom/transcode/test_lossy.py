"""What is compressed with loss says so, loses no more than it may, and is refused where it must not be."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from capacitord.dicom.elements import EXPLICIT_LITTLE, Element
from capacitord.dicom.transcode.dataset import Opened
from capacitord.dicom.transcode.engine import NotTranscoded, possible, transcode
from capacitord.dicom.transcode.layout import Attributes, layout_of
from capacitord.dicom.transcode.padding import padding_of
from capacitord.dicom.transcode.syntaxes import MAMMOGRAPHY
from capacitord.model.compression import Compression
from tests.dicom.transcode.decoders import (
    BASELINE,
    EXPLICIT,
    EXTENDED,
    IMPLICIT,
    J2K,
    J2K_LOSSY,
    JPEG_LS,
    NEAR,
    RLE,
    decoded,
    write,
)
from tests.dicom.transcode.kit import (
    LOSSY,
    NOW,
    SECONDARY_CAPTURE,
    Kind,
    encoded,
    image,
    pixels,
    read,
    refusal,
    transcoded,
)

GREY8 = Kind(rows=64, columns=80, allocated=8, stored=8)
GREY12 = Kind(rows=64, columns=80, stored=12)
GREY16 = Kind(rows=64, columns=80)
SIGNED12 = Kind(rows=64, columns=80, stored=12, signed=True)
SIGNED16 = Kind(rows=64, columns=80, signed=True)
RGB = Kind(rows=64, columns=80, samples=3, photometric="RGB", allocated=8, stored=8)
YBR = RGB._replace(photometric="YBR_FULL")
HOLDS = {BASELINE: GREY8, EXTENDED: GREY12, NEAR: GREY12, J2K_LOSSY: GREY16}
METHODS = {BASELINE: "ISO_10918_1", EXTENDED: "ISO_10918_1", NEAR: "ISO_14495_1", J2K_LOSSY: "ISO_15444_1"}


def _found(data: bytes, uid: str, kind: Kind, folder: Path) -> np.ndarray[Any, Any]:
    raw = decoded(write(folder / "image", SECONDARY_CAPTURE, "1.2.3", uid, data), uid)
    kind_of = f"<{'i' if kind.signed else 'u'}{kind.allocated // 8}"
    return np.frombuffer(raw, kind_of, int(np.prod(kind.shape))).reshape(kind.shape)


def _difference(data: bytes, uid: str, kind: Kind, folder: Path) -> int:
    return int(np.abs(_found(data, uid, kind, folder).astype(int) - pixels(kind).astype(int)).max())


@pytest.mark.peers
@pytest.mark.parametrize("kind", [GREY8, GREY12, GREY16, SIGNED12, SIGNED16, RGB, YBR])
@pytest.mark.parametrize("near", [1, 2, 7])
def test_near_lossless_stays_within_its_bound(kind: Kind, near: int, tmp_path: Path) -> None:
    written, data = transcoded(image(kind), EXPLICIT, Compression(NEAR, near=near))
    assert written.lossy
    found = _found(data, NEAR, kind, tmp_path) if kind is not YBR else pixels(kind)
    assert np.abs(found.astype(int) - pixels(kind).astype(int)).max() <= near
    assert read(data).PhotometricInterpretation == kind.photometric


@pytest.mark.peers
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("near", [1, 3, 20])
def test_near_lossless_never_leaves_the_range_of_the_stored_bits(signed: bool, near: int, tmp_path: Path) -> None:
    kind = Kind(rows=64, columns=64, stored=12, signed=signed)
    least = -2048 if signed else 0
    random = np.random.default_rng(3)
    extreme = np.where(random.random(kind.shape) < 0.5, least, least + 4095) + random.integers(-4, 5, kind.shape)
    extreme = np.clip(extreme, least, least + 4095).astype("<i2" if signed else "<u2")
    _, data = transcoded(image(kind, PixelData=extreme.tobytes()), EXPLICIT, Compression(NEAR, near=near))
    found = _found(data, NEAR, kind, tmp_path)
    assert least <= found.min() <= found.max() <= least + 4095
    assert np.abs(found.astype(int) - extreme.astype(int)).max() <= near


@pytest.mark.peers
@pytest.mark.parametrize(
    ("uid", "kind", "most"),
    [(BASELINE, GREY8, 12), (EXTENDED, GREY8, 12), (EXTENDED, GREY12, 150), (EXTENDED, Kind(64, 80, stored=10), 60)],
)
def test_jpeg_looks_like_the_original(uid: str, kind: Kind, most: int, tmp_path: Path) -> None:
    _, data = transcoded(image(kind), EXPLICIT, Compression(uid, quality=95))
    assert 0 < _difference(data, uid, kind, tmp_path) <= most
    bits = 8 if kind.allocated == 8 else 12
    assert (read(data).BitsStored, read(data).HighBit) == (bits, bits - 1)


@pytest.mark.peers
@pytest.mark.parametrize("uid", [BASELINE, EXTENDED])
def test_jpeg_of_colours_is_ybr_full_422_and_shows_the_same_colours(uid: str, tmp_path: Path) -> None:
    _, data = transcoded(image(RGB), EXPLICIT, Compression(uid, quality=95))
    assert read(data).PhotometricInterpretation == "YBR_FULL_422"
    assert _difference(data, uid, RGB, tmp_path) <= 16
    _, back = transcoded(data, uid, Compression(EXPLICIT))
    assert read(back).PhotometricInterpretation == "RGB"
    ours = np.frombuffer(read(back).PixelData, "u1").reshape(RGB.shape).astype(int)
    assert np.abs(ours - _found(data, uid, RGB, tmp_path).astype(int)).max() <= 2


@pytest.mark.peers
@pytest.mark.parametrize("kind", [GREY8, GREY12, GREY16, SIGNED12, SIGNED16, RGB])
def test_jpeg_2000_by_ratio_has_that_ratio(kind: Kind, tmp_path: Path) -> None:
    kind = kind._replace(rows=256, columns=256)
    written, data = transcoded(image(kind), EXPLICIT, Compression(J2K_LOSSY, ratio=12.0))
    ds = read(data)
    assert 12 <= float(ds.LossyImageCompressionRatio) <= 15
    assert written.lossy
    assert ds.PhotometricInterpretation == ("YBR_ICT" if kind is RGB or kind.samples == 3 else kind.photometric)
    assert 0 < _difference(data, J2K_LOSSY, kind, tmp_path) < (1 << kind.stored) // 8


@pytest.mark.peers
def test_jpeg_2000_by_quality_has_that_signal_to_noise_ratio(tmp_path: Path) -> None:
    for quality in (40, 55):
        _, data = transcoded(image(GREY12), EXPLICIT, Compression(J2K_LOSSY, quality=quality))
        error = _found(data, J2K_LOSSY, GREY12, tmp_path).astype(float) - pixels(GREY12)
        assert abs(10 * np.log10(4095**2 / (error**2).mean()) - quality) < 3


@pytest.mark.parametrize("uid", LOSSY)
def test_the_image_says_what_was_done_to_it(uid: str) -> None:
    source = image(HOLDS[uid], DerivationDescription="was rotated")
    written, data = transcoded(source, EXPLICIT, LOSSY[uid])
    ds, old = read(data), read(source)
    assert written.lossy
    assert ds.LossyImageCompression == "01"
    assert float(ds.LossyImageCompressionRatio) > 1
    assert ds.LossyImageCompressionMethod == METHODS[uid]
    assert list(ds.ImageType) == ["DERIVED", "PRIMARY"]
    assert ds.DerivationDescription.startswith("was rotated; Lossy compression by ")
    assert _code(ds.DerivationCodeSequence[0]) == ("113040", "DCM", "Lossy Compression")
    (reference,) = ds.SourceImageSequence
    assert reference.ReferencedSOPClassUID == old.SOPClassUID
    assert reference.ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert _code(reference.PurposeOfReferenceCodeSequence[0]) == ("121320", "DCM", "Uncompressed predecessor")
    assert (ds.InstanceCreationDate, ds.InstanceCreationTime) == ("20260228", "081500.250000")
    for element in old:
        if element.keyword not in {
            *("ImageType", "SOPInstanceUID", "DerivationDescription", "PixelData", "BitsStored", "HighBit"),
            "PhotometricInterpretation",
        }:
            assert ds[element.tag] == element


@pytest.mark.parametrize("uid", LOSSY)
def test_what_is_said_of_single_samples_is_not_said_of_others(uid: str) -> None:
    extremes = {"SmallestImagePixelValue": 3, "LargestImagePixelValue": 250}
    extremes |= {"SmallestPixelValueInSeries": 2, "LargestPixelValueInSeries": 251}
    source = image(HOLDS[uid], **extremes)
    _, data = transcoded(source, EXPLICIT, LOSSY[uid])
    assert not set(extremes) & {element.keyword for element in read(data)}
    _, same = transcoded(source, EXPLICIT, Compression(J2K))
    assert set(extremes) <= {element.keyword for element in read(same)}


def _round(kind: Kind, padding: int) -> np.ndarray[Any, Any]:
    """Return pixels of which only a circle is picture, and that far away from what is around it."""
    rows, columns = np.mgrid[: kind.rows, : kind.columns]
    outside = (rows - kind.rows / 2) ** 2 + (columns - kind.columns / 2) ** 2 > 700
    return np.where(outside[None, :, :, None], padding, pixels(kind) // 2 + 40).astype(pixels(kind).dtype)


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("uid", LOSSY)
def test_what_is_padding_stays_padding_or_there_is_no_loss(uid: str, form: str) -> None:
    kind = HOLDS[uid]
    padded = image(kind, PixelPaddingValue=0, PixelData=_round(kind, 0).tobytes())
    source = encoded(read(padded), form)
    assert "Pixel Padding Value" in str(refusal(source, form, LOSSY[uid]))
    assert refusal(source, form, Compression(J2K)) is None
    nowhere = image(kind, PixelPaddingValue=0, PixelData=(pixels(kind) // 2 + 40).tobytes())
    assert refusal(encoded(read(nowhere), form), form, LOSSY[uid]) is None
    empty = image(kind, PixelPaddingValue=None, PixelData=_round(kind, 0).tobytes())
    assert refusal(encoded(read(empty), form), form, LOSSY[uid]) is None


def test_a_range_of_padding_leaves_room_for_loss() -> None:
    for kind, padding, limit in ((GREY12, 0, 8), (SIGNED12, -2048, -2040), (SIGNED16, -2048, -2040)):
        found = _round(kind, padding + 4)
        found = np.where(found == padding + 4, found, np.abs(found) // 2 + 100).astype(found.dtype)
        near = Compression(NEAR, near=3)
        for ends in ((padding, limit), (limit, padding)):
            said = {"PixelPaddingValue": ends[0], "PixelPaddingRangeLimit": ends[1]}
            assert refusal(image(kind, PixelData=found.tobytes(), **said), EXPLICIT, near) is None
        said = {"PixelPaddingValue": padding + 3, "PixelPaddingRangeLimit": padding + 4}
        sloping = found + np.arange(found.size).reshape(found.shape).astype(found.dtype) % 2
        assert refusal(image(kind, PixelData=sloping.tobytes(), **said), EXPLICIT, near) is not None


@pytest.mark.parametrize(
    ("said", "signed", "stored", "least"),
    [(2048, True, 12, -2048), (0xF800, True, 12, -2048), (63488, False, 16, 63488), (5, True, 12, 5), (0, False, 8, 0)],
)
def test_a_padding_value_is_a_sample_in_either_way_of_writing_it(
    said: int, signed: bool, stored: int, least: int
) -> None:
    data = image(Kind(stored=stored, signed=signed))
    layout = layout_of(Opened(data, EXPLICIT).attributes)
    value = Element(
        0x00280120, "US", EXPLICIT_LITTLE, 0, 8, 2, 10, undefined=False, data=bytes(8) + said.to_bytes(2, "little")
    )
    assert padding_of(Attributes([value]), layout) == (least, least)
    assert padding_of(Attributes([value]), layout._replace(samples=3)) is None
    assert padding_of(Attributes([]), layout) is None
    with pytest.raises(NotTranscoded, match="cannot be read"):
        padding_of(Attributes([value._replace(vr="LO")]), layout)


def _code(item: Dataset) -> tuple[str, str, str]:
    return item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning


def test_a_compressed_version_is_an_instance_of_its_own_and_always_the_same_one() -> None:
    source = image(GREY16)
    first, data = transcoded(source, EXPLICIT, LOSSY[J2K_LOSSY])
    again, same = transcoded(source, EXPLICIT, LOSSY[J2K_LOSSY])
    other, _ = transcoded(source, EXPLICIT, Compression(J2K_LOSSY, ratio=20.0))
    assert first.sop_instance_uid == read(data).SOPInstanceUID == again.sop_instance_uid
    assert data == same
    assert len({read(source).SOPInstanceUID, first.sop_instance_uid, other.sop_instance_uid}) == 3
    assert UID(first.sop_instance_uid).is_valid


def test_what_was_said_before_stays_and_the_new_is_added() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113041", "DCM", "Apparent Diffusion Coefficient"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = SECONDARY_CAPTURE, "1.2.3.4"
    source = image(
        GREY16,
        DerivationCodeSequence=[code],
        SourceImageSequence=[reference],
        TimezoneOffsetFromUTC="-0530",
        LossyImageCompression="00",
    )
    for form in (EXPLICIT, IMPLICIT):
        _, data = transcoded(encoded(read(source), form), form, LOSSY[J2K_LOSSY])
        ds = read(data)
        assert [_code(item)[0] for item in ds.DerivationCodeSequence] == ["113041", "113040"]
        assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
        assert len(ds.SourceImageSequence) == 2
        assert (ds.InstanceCreationDate, ds.InstanceCreationTime) == ("20260228", "024500.250000")


def test_frames_that_say_their_type_say_that_they_are_derived() -> None:
    frame_type, frame = Dataset(), Dataset()
    frame_type.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    frame_type.PixelPresentation = "MONOCHROME"
    frame.CTImageFrameTypeSequence = [frame_type]
    source = image(GREY16, PerFrameFunctionalGroupsSequence=[frame, frame], SharedFunctionalGroupsSequence=[frame])
    _, data = transcoded(source, EXPLICIT, LOSSY[J2K_LOSSY])
    ds = read(data)
    for found in (*ds.PerFrameFunctionalGroupsSequence, *ds.SharedFunctionalGroupsSequence):
        inside = found.CTImageFrameTypeSequence[0]
        assert list(inside.FrameType) == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
        assert inside.PixelPresentation == "MONOCHROME"


@pytest.mark.parametrize("uid", LOSSY)
@pytest.mark.parametrize("said", [{"Modality": "MG"}, *({"SOPClassUID": uid} for uid in sorted(MAMMOGRAPHY))])
def test_mammograms_only_where_the_profile_says_so(uid: str, said: dict[str, str]) -> None:
    source = image(HOLDS[uid], **said)
    with pytest.raises(NotTranscoded, match="lossy_mammography"):
        transcoded(source, EXPLICIT, LOSSY[uid])
    wanted = LOSSY[uid]
    allowed = Compression(uid, quality=wanted.quality, ratio=wanted.ratio, near=wanted.near, lossy_mammography=True)
    assert transcoded(source, EXPLICIT, allowed)[0].lossy
    assert not transcoded(source, EXPLICIT, Compression(J2K))[0].lossy


@pytest.mark.parametrize("uid", LOSSY)
def test_what_lost_something_already_loses_no_more(uid: str) -> None:
    with pytest.raises(NotTranscoded, match="already"):
        transcoded(image(HOLDS[uid], LossyImageCompression="01"), EXPLICIT, LOSSY[uid])
    _, data = transcoded(image(HOLDS[uid]), EXPLICIT, LOSSY[uid])
    for other in LOSSY:
        with pytest.raises(NotTranscoded, match="already"):
            transcoded(data, uid, LOSSY[other])


@pytest.mark.parametrize("uid", LOSSY)
def test_what_lost_something_is_unpacked_and_compressed_without_loss_and_goes_on_saying_so(uid: str) -> None:
    _, data = transcoded(image(HOLDS[uid]), EXPLICIT, LOSSY[uid])
    for wanted in (EXPLICIT, IMPLICIT, RLE, JPEG_LS, J2K):
        written, back = transcoded(data, uid, Compression(wanted))
        assert not written.lossy
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            assert read(back, wanted)[keyword] == read(data)[keyword]
        assert read(back, wanted).SOPInstanceUID == read(data).SOPInstanceUID


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT])
def test_what_only_its_syntax_said_is_written_down_when_that_changes(form: str) -> None:
    _, data = transcoded(image(GREY8), EXPLICIT, LOSSY[BASELINE])
    silent = read(data)
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        del silent[keyword]
    _, back = transcoded(encoded(silent), BASELINE, Compression(form))
    ds = read(back, form)
    assert (ds.LossyImageCompression, ds.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert float(ds.LossyImageCompressionRatio) > 1


@pytest.mark.parametrize(
    ("uid", "kind", "why"),
    [
        (BASELINE, GREY16, "cannot hold samples of 16 bits"),
        (EXTENDED, GREY16, "holds 12 bits"),
        (EXTENDED, SIGNED12, "a sign"),
        (EXTENDED, Kind(samples=3, photometric="RGB", stored=12), "colours of 8 bits"),
        (NEAR, Kind(photometric="PALETTE COLOR", allocated=8, stored=8), "palette"),
        (J2K_LOSSY, Kind(photometric="PALETTE COLOR", allocated=8, stored=8), "palette"),
        (J2K_LOSSY, Kind(stored=12, dirty=True), "bits that its samples do not use"),
        (NEAR, Kind(stored=12, signed=True, dirty=True), "bits that its samples do not use"),
        (NEAR, Kind(stored=12, high=15, dirty=True), "bits that its samples do not use"),
    ],
)
def test_what_a_codec_cannot_hold_is_refused(uid: str, kind: Kind, why: str) -> None:
    with pytest.raises(NotTranscoded, match=why):
        transcoded(image(kind), EXPLICIT, LOSSY[uid])


def test_subsampled_colours_of_a_native_image_become_jpeg_and_nothing_else() -> None:
    kind = Kind(rows=16, columns=32, samples=3, photometric="YBR_FULL_422", allocated=8, stored=8)
    source = image(kind, PixelData=bytes((40, 60, 120, 140)) * (16 * 16))
    _, data = transcoded(source, EXPLICIT, Compression(BASELINE, quality=100))
    assert read(data).PhotometricInterpretation == "YBR_FULL_422"
    _, back = transcoded(data, BASELINE, Compression(EXPLICIT))
    red, green, blue = np.frombuffer(read(back).PixelData, "u1").reshape(16, 32, 3)[3, 4]
    # 40 + 1.402 * 12, 40 - 0.344 * -8 - 0.714 * 12, 40 + 1.772 * -8 (ITU-R BT.601)
    assert np.abs(np.array([red, green, blue], int) - [57, 34, 26]).max() <= 2
    with pytest.raises(NotTranscoded, match="subsampled"):
        transcoded(source, EXPLICIT, Compression(JPEG_LS))


@pytest.mark.parametrize(
    "wanted",
    [
        Compression(BASELINE),
        Compression(J2K_LOSSY),
        Compression(NEAR),
        Compression(NEAR, quality=3),
        Compression(J2K, ratio=10.0),
        Compression(J2K_LOSSY, quality=40, ratio=10.0),
        Compression("1.2.840.10008.1.2.4.100"),
    ],
)
def test_what_makes_no_sense_is_refused(wanted: Compression) -> None:
    with pytest.raises(NotTranscoded):
        transcode(image(GREY8), EXPLICIT, wanted, now=NOW)


def test_what_is_possible_is_known_before_an_image_is_read() -> None:
    assert possible(EXPLICIT, LOSSY[BASELINE]) == ""
    assert "does not read" in possible("1.2.840.10008.1.2.4.102", LOSSY[BASELINE])
    assert "already" in possible(BASELINE, LOSSY[J2K_LOSSY])
    assert "mammogram" in possible(EXPLICIT, LOSSY[J2K_LOSSY], modality="MG")
    assert possible(EXPLICIT, Compression(J2K), modality="MG") == ""


def test_the_same_moment_in_another_zone_is_the_same_moment() -> None:
    source = image(GREY16, TimezoneOffsetFromUTC="+0100")
    zone = dt.timezone(dt.timedelta(hours=-7))
    one = transcode(source, EXPLICIT, LOSSY[J2K_LOSSY], now=NOW)
    two = transcode(source, EXPLICIT, LOSSY[J2K_LOSSY], now=NOW.astimezone(zone))
    assert b"".join(one.dataset) == b"".join(two.dataset)
