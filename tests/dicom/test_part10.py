"""DICOM files, with and without what should stand before their dataset."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pydicom
import pydicom.filereader
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacitord.dicom.part10 import File, NotDicom, preamble
from tests.dicom.samples import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, dataset, element
from tests.images import Image, shipped

UID = "1.2.3.4.5"


def written(folder: Path, data: bytes) -> File:
    path = folder / "image"
    path.write_bytes(data)
    return File(path)


@pytest.mark.parametrize("image", shipped(), ids=lambda image: image.path.name)
def test_a_file_is_read_as_it_is(image: Image) -> None:
    file = File(image.path)
    assert file.transfer_syntax_uid == image.transfer_syntax_uid
    meta = pydicom.filereader.read_file_meta_info(image.path)
    assert (file.sop_class_uid, file.sop_instance_uid) == (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    assert file.source_ae_title == meta.get("SourceApplicationEntityTitle", "").strip()
    assert b"".join(file.chunks()) == image.dataset()
    assert file.length == image.size()
    assert not file.remark


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_without_meta_information_the_first_element_tells_the_syntax(tmp_path: Path, syntax: str) -> None:
    data = dataset(CT, UID, syntax=syntax)
    file = written(tmp_path, data)
    assert (file.transfer_syntax_uid, b"".join(file.chunks())) == (syntax, data)
    assert "does not say its transfer syntax" in file.remark


def test_meta_information_without_a_preamble_will_do(tmp_path: Path) -> None:
    data = dataset(CT, UID)
    file = written(tmp_path, preamble(CT, UID, EXPLICIT, "CT_COACH")[132:] + data)
    assert (file.sop_class_uid, file.sop_instance_uid, file.source_ae_title) == (CT, UID, "CT_COACH")
    assert b"".join(file.chunks()) == data


def test_what_is_written_can_be_read_by_others(tmp_path: Path) -> None:
    written(tmp_path, preamble(CT, UID, EXPLICIT, "") + dataset(CT, UID))
    found = pydicom.dcmread(tmp_path / "image")
    assert (found.file_meta.TransferSyntaxUID, found.SOPInstanceUID) == (EXPLICIT, UID)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"\x08\x00", "does not begin like one"),
        (b"#!/bin/sh\necho hello\n", "does not begin like one"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "does not begin like one"),
        (bytes(128) + b"DICM", "nothing follows"),
        (preamble(CT, UID, EXPLICIT, ""), "nothing follows"),
        (bytes(128) + b"DICM" + element(0x00020010, "UI", b"1.2.840", length=5000), "cannot be read"),
        (bytes(128) + b"DICM" + b"\2\0\x10\0UI", "cannot be read"),
        (preamble("1.2.840.10008.1.3.10", UID, EXPLICIT, "") + dataset(CT, UID), "DICOMDIR"),
    ],
)
def test_what_is_no_image_is_said_to_be_none(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(NotDicom, match=why):
        written(tmp_path, data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", bytes(128) + b"DICM", preamble(CT, UID, DEFLATED, "A")[:-20], b"\x08\x00", b"\x02\x00"]),
)
def test_whatever_a_file_holds_it_is_read_to_its_end_or_refused(tmp_path: Path, data: bytes, start: bytes) -> None:
    with contextlib.suppress(NotDicom):
        file = written(tmp_path, start + data)
        assert (start + data).endswith(b"".join(file.chunks()))
        assert 0 < file.length <= len(start + data)
