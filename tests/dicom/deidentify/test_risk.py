"""Which images are held because of what may be in their pixels, and which pass."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from capacitord.dicom.deidentify.engine import NotDeidentified
from capacitord.dicom.deidentify.risk import RISKS
from capacitord.model.deidentify import Option
from tests.dicom.deidentify.kit import add, ct, done, item, sequence

STORAGE = "1.2.840.10008.5.1.4.1.1."
PIXELS = (Option.CLEAN_PIXEL_DATA,)
FACES = (Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES,)


def _reason(dataset: Dataset, *options: Option) -> str:
    try:
        done(dataset, *options)
    except NotDeidentified as held:
        return held.reason
    return ""


def _presentation_state() -> Dataset:
    dataset = ct(SOPClassUID=STORAGE + "11.1", Modality="PR", ImageType=None)
    del dataset.PixelData
    text = item(UnformattedTextValue="Erika")
    dataset.GraphicAnnotationSequence = sequence(item(GraphicLayer="ONE", TextObjectSequence=sequence(text)))
    return dataset


def _overlay_in_pixels() -> Dataset:
    dataset = ct(BurnedInAnnotation="NO")
    add(dataset, 0x60000010, 2)
    add(dataset, 0x60000102, 12)
    return dataset


@pytest.mark.parametrize(
    ("words", "dataset", "options"),
    [
        ("no SOP Class", ct(SOPClassUID=None), ()),
        ("private SOP Class", ct(SOPClassUID="1.3.12.2.1107.5.9.1", BurnedInAnnotation="NO"), ()),
        ("directory", ct(SOPClassUID="1.2.840.10008.1.3.10"), ()),
        ("encapsulated document", ct(SOPClassUID=STORAGE + "104.1", BurnedInAnnotation="NO", Modality="DOC"), ()),
        ("encapsulated document", ct(SOPClassUID=STORAGE + "104.3"), ()),
        ("presentation state", _presentation_state(), ()),
        ("presentation state", _presentation_state(), (Option.CLEAN_DESCRIPTORS,)),
        ("within its pixel data", _overlay_in_pixels(), ()),
        ("is YES", ct(BurnedInAnnotation="YES"), ()),
        ("is YES", ct(BurnedInAnnotation="YES"), PIXELS),
        ("CleanPixelData", ct(), PIXELS),
        ("CleanRecognizableVisualFeatures", ct(), FACES),
        ("CleanRecognizableVisualFeatures", ct(BodyPartExamined="HEAD", BurnedInAnnotation="NO"), FACES),
        ("CleanRecognizableVisualFeatures", ct(BodyPartExamined="CHEST", RecognizableVisualFeatures="YES"), FACES),
        ("secondary capture", ct(SOPClassUID=STORAGE + "7"), ()),
        ("secondary capture", ct(SOPClassUID=STORAGE + "7.4"), ()),
        ("secondary capture", ct(ConversionType="WSD"), ()),
        ("ultrasound", ct(SOPClassUID=STORAGE + "6.1", Modality="US"), ()),
        ("ultrasound", ct(SOPClassUID=STORAGE + "3.1", Modality="US"), ()),
        ("photograph", ct(SOPClassUID=STORAGE + "77.1.1.1", Modality="ES"), ()),
        ("Modality", ct(Modality="OT"), ()),
        ("a screen", ct(ImageType=["ORIGINAL", "PRIMARY", "SCREEN SAVE"]), ()),
        ("a screen", ct(ImageType=["DERIVED", "SECONDARY", "DOSE_INFO"]), ()),
        ("not ORIGINAL", ct(ImageType=["DERIVED", "SECONDARY", "MPR"]), ()),
        ("not ORIGINAL", ct(ImageType=None), ()),
        ("neither YES nor NO", ct(BurnedInAnnotation="UNKNOWN"), ()),
        ("neither YES nor NO", ct(BurnedInAnnotation=["NO", "YES"]), ()),
        ("neither YES nor NO", ct(BurnedInAnnotation=["NO", "NO"]), ()),
        ("neither YES nor NO", ct(BurnedInAnnotation="Y"), ()),
        ("whole slide", ct(SOPClassUID=STORAGE + "77.1.6", Modality="SM"), ()),
        ("whole slide", ct(SOPClassUID=STORAGE + "77.1.7", Modality="SM"), ()),
        ("label or the overview", ct(ImageType=["ORIGINAL", "PRIMARY", "LABEL"], BurnedInAnnotation="NO"), ()),
        ("label or the overview", ct(ImageType=["ORIGINAL", "PRIMARY", "OVERVIEW"]), ()),
        ("Specimen Label", ct(SpecimenLabelInImage="YES", BurnedInAnnotation="NO"), ()),
    ],
)
def test_held(words: str, dataset: Dataset, options: tuple[Option, ...]) -> None:
    assert words in _reason(dataset, *options)


@pytest.mark.parametrize(
    ("dataset", "options"),
    [
        (ct(), ()),
        (ct(SOPClassUID=STORAGE + "4", Modality="MR"), ()),
        (ct(SOPClassUID=STORAGE + "1.2", Modality="MG", ImageType=["DERIVED", "PRIMARY"], BurnedInAnnotation="NO"), ()),
        (ct(SOPClassUID=STORAGE + "6.1", Modality="US", BurnedInAnnotation="NO"), ()),
        (ct(SOPClassUID=STORAGE + "481.2", Modality="RTDOSE", ImageType=None), ()),
        (ct(BurnedInAnnotation="NO"), PIXELS),
        (ct(SOPClassUID=STORAGE + "77.1.6", BurnedInAnnotation="NO", SpecimenLabelInImage="NO"), ()),
        (ct(BodyPartExamined="HEAD", RecognizableVisualFeatures="NO"), FACES),
        (ct(BodyPartExamined="CHEST"), FACES),
        (ct(SOPClassUID=STORAGE + "1.1", Modality="DX", BurnedInAnnotation="NO"), FACES),
        (_presentation_state(), (Option.CLEAN_GRAPHICS,)),
    ],
)
def test_sent(dataset: Dataset, options: tuple[Option, ...]) -> None:
    assert _reason(dataset, *options) == ""


def test_a_report_without_pixels_is_not_asked_for_its_image_type() -> None:
    dataset = ct(SOPClassUID=STORAGE + "88.33", Modality="SR", ImageType=None)
    del dataset.PixelData
    assert _reason(dataset) == ""


def test_reasons_differ_and_are_parts_of_a_sentence() -> None:
    assert len({risk.reason for risk in RISKS}) == len(RISKS)
    assert not any(risk.reason.endswith(".") for risk in RISKS)
