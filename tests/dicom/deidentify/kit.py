"""Datasets to de-identify, and the standard's table to check them against."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian

from capacitord.dicom.deidentify.codes import Codes
from capacitord.dicom.deidentify.engine import deidentified
from capacitord.model.deidentify import Deidentification, Option

KEY = bytes(range(32))
CODES = Codes(KEY, "research")
WORD = "Zarquon"
"""A word that is nowhere but in the attribute that is looked at."""

COLUMNS = {
    "uids": Option.RETAIN_UIDS,
    "device": Option.RETAIN_DEVICE_IDENTITY,
    "institution": Option.RETAIN_INSTITUTION_IDENTITY,
    "patient": Option.RETAIN_PATIENT_CHARACTERISTICS,
    "full": Option.RETAIN_LONGITUDINAL_FULL,
    "modified": Option.RETAIN_LONGITUDINAL_MODIFIED,
    "descriptors": Option.CLEAN_DESCRIPTORS,
    "content": Option.CLEAN_STRUCTURED_CONTENT,
    "graphics": Option.CLEAN_GRAPHICS,
}
NEWER = {
    0x00081301: "SQ",
    0x00081302: "SQ",
    0x00081303: "SQ",
    0x00081304: "SQ",
    0x00100011: "SQ",
    0x00100012: "LT",
    0x00100013: "UT",
    0x00100014: "SQ",
    0x00100015: "SQ",
    0x00100016: "UT",
    0x00100041: "SQ",
    0x00100042: "UT",
    0x00100043: "SQ",
    0x00100044: "SQ",
    0x00100045: "UT",
    0x00100046: "SQ",
    0x00100047: "UR",
    0x00102162: "UC",
    0x0040A034: "DT",
    0x0040A035: "DT",
    0x0040B034: "DT",
    0x0040B036: "DT",
    0x0040B03B: "LO",
    0x0040B03F: "SH",
    0x0040E012: "UR",
}
"""The VRs of attributes that pydicom's dictionary does not have yet."""


class Row(NamedTuple):
    """One row of Table E.1-1: an attribute, what the basic profile does, and what each option says instead."""

    tag: int
    basic: str
    options: dict[Option, str]


def table() -> list[Row]:
    """Return the rows that are about standard attributes, with an example of those about repeating groups."""
    path = Path(__file__).with_name("table_e_1_1.tsv")
    columns, *rows = (line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#"))
    found = []
    for row in rows:
        each = dict(zip(columns, row, strict=True))
        name = each.pop("tag")
        if name == "private":
            continue
        name = "50020110" if name == "50xxxxxx" else name.replace("xx", "04")
        options = {option: each[column] for column, option in COLUMNS.items() if each[column] != "-"}
        found.append(Row(int(name, 16), each["basic"], options))
    return found


def vr_of(tag: int) -> str:
    """Return the VR that an attribute of the table has."""
    vr = NEWER.get(tag) or str(dictionary_VR(tag))
    return {"OB or OW": "OB", "US or SS": "US", "OB or UN": "OB"}.get(vr, vr)


def add(level: Dataset, tag: int, value: object, vr: str = "") -> None:
    """Add an element of the VR that it has in the standard."""
    level[BaseTag(tag)] = DataElement(BaseTag(tag), vr or vr_of(tag), value, validation_mode=pydicom.config.IGNORE)


def ct(**attributes: object) -> Dataset:
    """Return an original slice of a CT, of which the attributes can be set."""
    dataset = Dataset()
    found: dict[str, object] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "SOPInstanceUID": "1.2.3.4.100",
        "StudyInstanceUID": "1.2.3.4.1",
        "SeriesInstanceUID": "1.2.3.4.10",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientName": "Muster^Erika",
        "PatientID": "PAT-4711",
        "PatientBirthDate": "19620412",
        "PatientSex": "F",
        "StudyDate": "20240229",
        "StudyTime": "081500",
        "AccessionNumber": "ACC-0815",
        "StudyID": "S-77",
        "Rows": 2,
        "Columns": 2,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": bytes(8),
    } | attributes
    for keyword, value in found.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW"
    dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    return dataset


def item(**attributes: object) -> Dataset:
    """Return an item with these attributes."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def sequence(*items: Dataset) -> Sequence:
    """Return a sequence of these items."""
    return Sequence(items)


def done(dataset: Dataset, *options: Option, codes: Codes = CODES) -> Dataset:
    """Return what leaves with these options."""
    return deidentified(dataset, Deidentification(options), codes=codes)


def written(dataset: Dataset) -> bytes:
    """Return the bytes of a dataset."""
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=True, force_encoding=True)
    return file.getvalue()


def encoded(dataset: Dataset) -> Dataset:
    """Return the dataset as it is when read from its bytes, none of it decoded."""
    file = io.BytesIO(written(dataset))
    found = pydicom.dcmread(file, force=True)
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    plain = Dataset({tag: found.get_item(tag) for tag in found.keys()})  # noqa: SIM118
    plain.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding=["iso8859"])
    return plain
