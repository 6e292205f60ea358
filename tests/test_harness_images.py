"""Synthetic images are what they claim to be, the same for the same arguments, and cheap."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import tracemalloc
from pathlib import Path

import pydicom
import pytest

from tests.images import (
    CT,
    DBT,
    HUGE,
    MIB,
    TINY,
    Shape,
    pixels,
    read_image,
    shipped,
    shipped_files,
    uid,
    write_study,
)


@pytest.mark.parametrize(("shape", "mebibytes"), [(TINY, 0.02), (CT, 0.5), (DBT, 60)])
def test_an_image_has_its_size(tmp_path: Path, shape: Shape, mebibytes: float) -> None:
    (image,) = write_study(tmp_path, images=1, shape=shape)
    assert image.size() == pytest.approx(mebibytes * MIB, rel=0.02)
    assert image == read_image(image.path)


def test_a_study_reads_as_dicom(tmp_path: Path) -> None:
    study = write_study(tmp_path, images=3, shape=TINY, seed=7, series_number=4, first=11)
    for number, image in enumerate(study, start=11):
        dataset = pydicom.dcmread(image.path)
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID == image.sop_instance_uid
        assert dataset.StudyInstanceUID == uid(7, "study")
        assert (dataset.SeriesNumber, dataset.InstanceNumber, dataset.PatientID) == (4, number, "COACH-000007")
        assert len(dataset.PixelData) == dataset.Rows * dataset.Columns * 2
    assert subprocess.run(["/usr/bin/dcmftest", study[0].path], capture_output=True, check=False).returncode == 0


def test_frames_are_told_apart(tmp_path: Path) -> None:
    (image,) = write_study(tmp_path, images=1, shape=DBT)
    dataset = pydicom.dcmread(image.path, stop_before_pixels=True)
    assert (dataset.NumberOfFrames, dataset.Modality) == (30, "MG")
    blocks = list(pixels(DBT.pixel_bytes, 0, 1))
    assert len(set(blocks)) == len(blocks) == 60


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_study(tmp_path / name, images=4, shape=TINY, seed=3) for name in ("a", "b"))
    assert [i.sha256() for i in first] == [i.sha256() for i in second]
    other = write_study(tmp_path / "c", images=4, shape=TINY, seed=4)
    everything = [*first, *other]
    assert len({i.sha256() for i in everything}) == len({i.sop_instance_uid for i in everything}) == 8


def test_a_study_can_go_on_arriving(tmp_path: Path) -> None:
    whole = write_study(tmp_path / "whole", images=6, shape=TINY)
    parts = [
        *write_study(tmp_path / "parts", images=4, shape=TINY),
        *write_study(tmp_path / "parts", images=2, shape=TINY, first=5),
    ]
    assert [i.sha256() for i in whole] == [i.sha256() for i in parts]


def test_four_gibibytes_pass_through_little_memory_and_disk(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        (image,) = write_study(tmp_path, images=1, shape=HUGE, sparse=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.size() > 4088 * MIB
    assert image.path.stat().st_blocks * 512 < 32 * MIB
    assert peak < 4 * MIB


def test_noise_is_streamed_in_order() -> None:
    pieces = itertools.islice(pixels(HUGE.pixel_bytes, 0, 1), 3)
    assert [(len(piece), int.from_bytes(piece[8:16], "little")) for piece in pieces] == [
        (MIB, 0),
        (MIB, 1),
        (MIB, 2),
    ]


def test_what_pydicom_ships_is_known_without_a_download() -> None:
    images = shipped()
    assert len(shipped_files()) > len(images) > 150
    assert len({image.transfer_syntax_uid for image in images}) >= 12
    deflated = next(image for image in images if image.transfer_syntax_uid == "1.2.840.10008.1.2.1.99")
    assert deflated.sha256() == hashlib.sha256(deflated.dataset()).hexdigest()
    assert len(deflated.dataset()) == deflated.size()


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for path in (empty, Path(__file__)):
        with pytest.raises(ValueError, match="not a DICOM file"):
            read_image(path)
