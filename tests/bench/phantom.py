"""A CT study that compresses as a patient's does: a body with organs, and the noise of a scanner."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from tests.images import uid

SIDE: Final = 512
_AIR: Final = -1000
_ORGANS: Final = ((0.0, 0.0, 0.86, 0.66, 40), (-0.38, 0.0, 0.3, 0.4, -850), (0.38, 0.05, 0.3, 0.38, -850),
                  (0.0, 0.45, 0.12, 0.12, 700), (0.1, -0.2, 0.2, 0.16, 60))  # fmt: skip
"""Ellipses: centre and half axes in parts of half the side, and Hounsfield units."""
_NOISE: Final = 12.0
"""Hounsfield units, one standard deviation: an abdomen at usual dose."""


def write_phantom(folder: Path, images: int) -> Path:
    """Write a study of axial slices, one file each, unless it is there; return the folder."""
    path = folder / f"phantom-{images}"
    if not path.exists():
        path.mkdir(parents=True)
        noise = np.random.default_rng(20261122)
        for number in range(images):
            _dataset(number, _slice(number / images, noise)).save_as(
                path / f"{number:04}.dcm", enforce_file_format=True
            )
    return path


def _slice(along: float, noise: np.random.Generator) -> NDArray[np.int16]:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    hounsfield = np.full((SIDE, SIDE), float(_AIR))
    for centre_x, centre_y, half_x, half_y, value in _ORGANS:
        shrunk = 1 - 0.3 * along
        inside = ((x - centre_x) / (half_x * shrunk)) ** 2 + ((y - centre_y) / (half_y * shrunk)) ** 2 < 1
        hounsfield[inside] = value
    hounsfield += noise.normal(0, _NOISE, hounsfield.shape)
    stored: NDArray[np.int16] = (hounsfield.clip(-1024, 3071) + 1024).astype(np.int16)
    return stored


def _dataset(number: int, stored: NDArray[np.int16]) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID(uid("phantom", number))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyDate = dataset.SeriesDate = "20261122"
    dataset.StudyTime = "101500"
    dataset.AccessionNumber = "BENCH1"
    dataset.Modality = "CT"
    dataset.Manufacturer = "PHANTOM"
    dataset.InstitutionName = ""
    dataset.PatientName = "Phantom^Body"
    dataset.PatientID = "PHANTOM"
    dataset.PatientBirthDate = "19700101"
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("phantom study"), uid("phantom series")
    dataset.FrameOfReferenceUID = uid("phantom frame")
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", "2", str(number + 1)
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    dataset.SliceThickness, dataset.KVP = "1", "120"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIDE
    dataset.PixelSpacing = [0.8, 0.8]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "-1024", "1", "HU"
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset
