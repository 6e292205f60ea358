"""Every file that pydicom ships in every syntax: written and the same for others, or refused with a reason."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from capacitord.dicom.transcode.engine import NotTranscoded
from capacitord.model.compression import Compression
from tests.dicom.transcode.decoders import EXPLICIT, HTJ2K, IMPLICIT, J2K, decoded, write
from tests.dicom.transcode.kit import DEFLATED, EVERYTHING, LOSSLESS, LOSSY, NATIVE, refusal, transcoded
from tests.images import Image, every
from tests.peers.dciodvfy import errors

pytestmark = pytest.mark.peers

NAMES = {uid: pydicom.uid.UID(uid).keyword for uid in EVERYTHING}
UNREADABLE = {
    "MR_truncated.dcm": "cannot be read to its end",
    "rtplan_truncated.dcm": "cannot be read to its end",
    "DICOMDIR-nooffset": "an item is longer than its sequence",
    "no_meta.dcm": "cannot be read to its end",  # it has a byte too much at its beginning
    "GDCMJ2K_TextGBR.dcm": "does not begin as a JPEG 2000 codestream does",
    "J2K_pixelrep_mismatch.dcm": "whether samples have a sign",
    "JPEG2000-embedded-sequence-delimiter.dcm": "another size",
    "rtdose_expb.dcm": "two ways to read",
    "rtdose_expb_1frame.dcm": "two ways to read",
}
"""Why not even a native syntax is possible."""
KILL_THE_VALIDATOR = {
    *("rtdose.dcm", "rtdose_1frame.dcm", "rtdose_rle.dcm", "rtdose_rle_1frame.dcm"),
    *("SC_rgb_rle_32bit.dcm", "SC_rgb_rle_32bit_2frame.dcm", "badVR.dcm"),
}
"""Native pixels of 32 bits are more than its assertions allow for."""

PALETTES = {
    *("fall.dcm", "hotiron.dcm", "hotmetalblue.dcm", "pet.dcm", "pet20step.dcm", "spring.dcm", "summer.dcm"),
    "winter.dcm",
}
MAY_CHANGE = {
    *("PixelData", "PhotometricInterpretation", "PlanarConfiguration", "BitsStored", "HighBit"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
}
DERIVED = {
    *("SOPInstanceUID", "ImageType", "DerivationDescription", "DerivationCodeSequence", "SourceImageSequence"),
    *("InstanceCreationDate", "InstanceCreationTime"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries"),
}


def _write(path: Path, image: Image, uid: str, data: bytes) -> Path:
    return write(path, image.sop_class_uid, image.sop_instance_uid, uid, data)


def _read(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, force=True)


@pytest.mark.parametrize("uid", EVERYTHING, ids=NAMES.get)
def test_it_is_written_or_refused(uid: str, tmp_path: Path) -> None:
    written = 0
    for number, image in enumerate(every()):
        why = refusal(image.dataset(), image.transfer_syntax_uid, EVERYTHING[uid])
        if why is not None:
            assert str(why).endswith(".")
            assert uid not in NATIVE or UNREADABLE[image.path.name] in str(why)
            continue
        _, data = transcoded(image.dataset(), image.transfer_syntax_uid, EVERYTHING[uid])
        written += 1
        path = _write(tmp_path / f"{number}", image, uid, data)
        _check_attributes(image, path, uid)
        if uid in LOSSLESS and uid != image.transfer_syntax_uid:
            _check_bits(image, path, uid)
    assert written > (15 if uid in LOSSY else 45)


def _check_attributes(image: Image, path: Path, uid: str) -> None:
    old, new = _read(image.path), _read(path)
    free = MAY_CHANGE | (DERIVED if uid in LOSSY else set())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag in old.keys():  # noqa: SIM118  # some values cannot be decoded
            # Without its VR, what only its device knows is read as unknown.
            if keyword_for_tag(tag) in free or tag.is_private or tag.element == 0:
                continue
            assert _value(new, tag) == _value(old, tag), (image.path.name, tag)
    added = {keyword_for_tag(tag) for tag in new.keys() - old.keys()}
    assert added <= free, image.path.name


def _value(ds: Dataset, tag: BaseTag) -> object:
    try:
        return ds[tag].to_json_dict(None, 0)
    except ValueError:
        return ds.get_item(tag).value


def _check_bits(image: Image, path: Path, uid: str) -> None:
    """The bits that somebody else unpacks are those of the image as it was, or as we unpack it."""
    _, data = transcoded(image.dataset(), image.transfer_syntax_uid, Compression(EXPLICIT))
    native = _write(path.with_suffix(".explicit"), image, EXPLICIT, data)
    expected = _read(native)
    original = _read(image.path)
    if image.transfer_syntax_uid in NATIVE:
        assert expected.PixelData == original.PixelData
    found = decoded(path, uid)
    size = expected.Rows * expected.Columns * expected.SamplesPerPixel * expected.BitsAllocated // 8
    size *= int(expected.get("NumberOfFrames") or 1)
    if expected.get("PlanarConfiguration") == 1 and _read(path).PlanarConfiguration == 0:
        plane = size // 3
        planes = expected.PixelData[:size]
        assert found[:size] == bytes(sample for at in range(plane) for sample in planes[at::plane])
    else:
        assert found[:size] == expected.PixelData[:size], image.path.name


@pytest.mark.parametrize("uid", EVERYTHING, ids=NAMES.get)
def test_a_validator_finds_no_new_error(uid: str, tmp_path: Path) -> None:
    for image in every():
        if image.path.name in KILL_THE_VALIDATOR:
            continue
        try:
            written, data = transcoded(image.dataset(), image.transfer_syntax_uid, EVERYTHING[uid])
        except NotTranscoded:
            continue
        # It has not heard of HTJ2K, whose datasets are those of JPEG 2000.
        known = J2K if uid == HTJ2K else uid
        instance = written.sop_instance_uid or image.sop_instance_uid
        path = write(tmp_path / "new", image.sop_class_uid, instance, known, data)
        new = errors(path) - _errors_before(image, tmp_path)
        if uid == IMPLICIT and any("can't set VR for element" in words for words in new):
            # A palette without pixels does not say whether its numbers have a sign, where VRs are not written.
            assert image.path.name in PALETTES
            continue
        assert not new, image.path.name


_FOUND: dict[Path, Counter[str]] = {}


def _errors_before(image: Image, folder: Path) -> Counter[str]:
    """Return the errors in an image as it was, or as we inflated it, since the validator cannot."""
    if image.path not in _FOUND:
        uid, data = image.transfer_syntax_uid, image.dataset()
        if uid == DEFLATED:
            _, data = transcoded(data, uid, Compression(EXPLICIT))
            uid = EXPLICIT
        _FOUND[image.path] = errors(_write(folder / "old", image, uid, data))
    return _FOUND[image.path]
