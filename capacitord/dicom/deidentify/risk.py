"""Images that attributes alone cannot de-identify: each is held, with a reason (PS3.15 §E.1.1, §E.3.1 to §E.3.3).

Nobody here looks at pixels. Writing in them is told by Burned In Annotation; where an image does not say, the kind of
image does. An original slice of a scanner passes, a screen capture does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from capacitord.dicom.deidentify.table import Profile
from capacitord.dicom.head import FIRST_PIXELS, LAST_PIXELS
from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import character_set
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import element_of, is_empty
from capacitord.model.deidentify import Option
from capacitord.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset

_ROOT: Final = "1.2.840.10008.5.1.4"
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_SECONDARY_CAPTURE: Final = (_STORAGE + "7",)
_ULTRASOUND: Final = (_STORAGE + "3", _STORAGE + "6")
_PHOTOS: Final = (_STORAGE + "77.1.1", _STORAGE + "77.1.2", _STORAGE + "77.1.4", _STORAGE + "77.1.5")
_SLIDES: Final = (_STORAGE + "77.1.6", _STORAGE + "77.1.7")
_LABELS: Final = frozenset({"LABEL", "OVERVIEW"})
_ENCAPSULATED: Final = (_STORAGE + "104",)
_PRESENTATION_STATES: Final = (_STORAGE + "11",)
_CALCULATED: Final = (_STORAGE + "481.2", _STORAGE + "66.4", _STORAGE + "66.7", _STORAGE + "30")
"""Dose grids, segmentations, parametric maps: their pixels are numbers, no picture of a screen."""

_WRITING: Final = frozenset({"US", "IVUS", "BDUS", "ES", "XC", "GM", "OT", "SC", "DOC", "HC", "DG", "TG", "FID", "DMS"})
"""Modalities whose pictures come with text, or from a camera."""
_SCREENS: Final = ("SCREEN", "CAPTURE", "REPORT", "DOSE", "MONTAGE", "TABLE", "RESULT", "SUMMARY")
_VOLUMES: Final = frozenset({"CT", "MR", "PT", "NM", "XC", "GM"})
_FACELESS: Final = frozenset(
    {"CHEST", "THORAX", "LUNG", "HEART", "CORONARY", "BREAST", "ABDOMEN", "LIVER", "KIDNEY", "PANCREAS", "PELVIS"}
    | {"PROSTATE", "BLADDER", "UTERUS", "TSPINE", "LSPINE", "SSPINE", "SHOULDER", "ARM", "ELBOW", "FOREARM", "WRIST"}
    | {"HAND", "FINGER", "HIP", "THIGH", "LEG", "KNEE", "CALF", "ANKLE", "FOOT", "TOE", "EXTREMITY"}
)
_OVERLAY_DATA: Final = 0x3000
_GRAPHIC_ANNOTATION_SEQUENCE: Final = 0x00700001


class Picture(NamedTuple):
    """What is known of an image without looking at its pixels."""

    sop_class: str
    modality: str
    burned_in: str
    label_in_image: str
    visual_features: str
    image_type: tuple[str, ...]
    conversion_type: str
    body_part: str
    has_pixels: bool
    has_overlay_in_pixels: bool
    has_annotations: bool

    def is_of(self, classes: tuple[str, ...]) -> bool:
        """Whether it is of one of these SOP Classes, or of one below them."""
        return any(self.sop_class == each or self.sop_class.startswith(each + ".") for each in classes)


class Risk(NamedTuple):
    """One reason to hold an image: a sentence, when it is one, and whether Burned In Annotation NO takes it away.

    `held` is which reason that is: something may be seen in the pixels, or such an object has no de-identification.
    """

    reason: str
    applies: Callable[[Picture, Profile], bool]
    unless_said_clean: bool = False
    held: Reason = Reason.BURNED_IN


RISKS: Final = (
    Risk(
        "it has no SOP Class, so nobody knows what is in it",
        lambda it, _: not it.sop_class,
        held=Reason.NOT_DEIDENTIFIED,
    ),
    Risk(
        "it is of a private SOP Class, for which the standard has no de-identification",
        lambda it, _: not it.sop_class.startswith(_ROOT) and it.sop_class != _DIRECTORY,
        held=Reason.NOT_DEIDENTIFIED,
    ),
    Risk(
        "it is a directory of a medium, not an image",
        lambda it, _: it.sop_class == _DIRECTORY,
        held=Reason.NOT_DEIDENTIFIED,
    ),
    Risk(
        "it is an encapsulated document, and what is written in it cannot be taken out",
        lambda it, _: it.is_of(_ENCAPSULATED),
        held=Reason.NOT_DEIDENTIFIED,
    ),
    Risk(
        "it is a presentation state with annotations, which only the option CleanGraphics keeps without their text",
        lambda it, how: it.is_of(_PRESENTATION_STATES) and it.has_annotations and not how.chose(Option.CLEAN_GRAPHICS),
        held=Reason.NOT_DEIDENTIFIED,
    ),
    Risk(
        "it has an overlay within its pixel data, and there may be writing in that",
        lambda it, _: it.has_pixels and it.has_overlay_in_pixels,
    ),
    Risk(
        "Burned In Annotation (0028,0301) is YES: there is writing in its pixels",
        lambda it, _: it.has_pixels and it.burned_in == "YES",
    ),
    Risk(
        "Burned In Annotation (0028,0301) says neither YES nor NO, so there may be writing in its pixels",
        lambda it, _: it.has_pixels and it.burned_in not in {"", "NO"},
    ),
    Risk(
        "Specimen Label In Image (0048,0010) does not say NO, so the label of a slide may be in its pixels",
        lambda it, _: it.has_pixels and it.label_in_image not in {"", "NO"},
    ),
    Risk(
        "its Image Type (0008,0008) tells of the label or the overview of a slide, which has writing on it",
        lambda it, _: it.has_pixels and not _LABELS.isdisjoint(it.image_type),
    ),
    Risk(
        "it is an image of a whole slide, which may show the label,"
        " and Burned In Annotation (0028,0301) does not say NO",
        lambda it, _: it.has_pixels and it.is_of(_SLIDES),
        unless_said_clean=True,
    ),
    Risk(
        "the option CleanPixelData wants its pixels looked at, which this box does not do;"
        " only Burned In Annotation (0028,0301) NO lets it pass",
        lambda it, how: it.has_pixels and how.chose(Option.CLEAN_PIXEL_DATA),
        unless_said_clean=True,
    ),
    Risk(
        "the option CleanRecognizableVisualFeatures wants faces taken out, which this box does not do;"
        " only Recognizable Visual Features (0028,0302) NO or a part of the body without a face lets it pass",
        lambda it, how: (
            it.has_pixels
            and how.chose(Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES)
            and it.visual_features != "NO"
            and (it.visual_features == "YES" or (it.modality in _VOLUMES and it.body_part not in _FACELESS))
        ),
    ),
    Risk(
        "it is a secondary capture, which may have writing in its pixels,"
        " and Burned In Annotation (0028,0301) does not say NO",
        lambda it, _: it.has_pixels and (it.is_of(_SECONDARY_CAPTURE) or bool(it.conversion_type)),
        unless_said_clean=True,
    ),
    Risk(
        "it is an ultrasound image, which mostly has the patient's name in its pixels,"
        " and Burned In Annotation (0028,0301) does not say NO",
        lambda it, _: it.has_pixels and it.is_of(_ULTRASOUND),
        unless_said_clean=True,
    ),
    Risk(
        "it is a photograph or video, which may show a face or a label,"
        " and Burned In Annotation (0028,0301) does not say NO",
        lambda it, _: it.has_pixels and it.is_of(_PHOTOS),
        unless_said_clean=True,
    ),
    Risk(
        "its Modality (0008,0060) is one whose pictures often have writing in them,"
        " and Burned In Annotation (0028,0301) does not say NO",
        lambda it, _: it.has_pixels and it.modality in _WRITING,
        unless_said_clean=True,
    ),
    Risk(
        "its Image Type (0008,0008) tells of a screen or a report,"
        " and Burned In Annotation (0028,0301) does not say NO",
        lambda it, _: it.has_pixels and any(word in value for value in it.image_type for word in _SCREENS),
        unless_said_clean=True,
    ),
    Risk(
        "its Image Type (0008,0008) is not ORIGINAL\\PRIMARY, so it may have been made on a screen,"
        " and Burned In Annotation (0028,0301) does not say NO",
        lambda it, _: it.has_pixels and it.image_type[:2] != ("ORIGINAL", "PRIMARY") and not it.is_of(_CALCULATED),
        unless_said_clean=True,
    ),
)
"""In the order in which they are looked at: the first that applies is the reason."""


def found_in(picture: Picture, how: Profile) -> Risk | None:
    """Return for what an image is held rather than de-identified, None if it need not be."""
    for risk in RISKS:
        if not (risk.unless_said_clean and picture.burned_in == "NO") and risk.applies(picture, how):
            return risk
    return None


def picture(dataset: Dataset) -> Picture:
    """Return what a dataset says of its own pixels. What cannot be read counts as not said."""
    return Picture(
        sop_class=_first(dataset, 0x00080016),
        modality=_first(dataset, 0x00080060),
        burned_in=_said(dataset, 0x00280301),
        label_in_image=_said(dataset, 0x00480010),
        visual_features=_first(dataset, 0x00280302),
        image_type=tuple(value.upper() for value in _values(dataset, 0x00080008)),
        conversion_type=_first(dataset, 0x00080064),
        body_part=_first(dataset, 0x00180015),
        has_pixels=any(FIRST_PIXELS <= tag <= LAST_PIXELS for tag in dataset.keys()),  # noqa: SIM118  # undecoded
        has_overlay_in_pixels=_has_overlay_in_pixels(dataset),
        has_annotations=_has(dataset, _GRAPHIC_ANNOTATION_SEQUENCE),
    )


def _has_overlay_in_pixels(dataset: Dataset) -> bool:
    groups = {tag >> 16 for tag in dataset.keys() if tag >> 24 == 0x60 and not tag >> 16 & 1}  # noqa: SIM118
    return any(not _has(dataset, group << 16 | _OVERLAY_DATA) for group in groups)


def _has(dataset: Dataset, tag: int) -> bool:
    element = element_of(dataset, tag)
    return element is not None and not is_empty(element)


def _said(dataset: Dataset, tag: int) -> str:
    """Return all that an attribute says; one that is there and cannot be read says something unknown."""
    if not _has(dataset, tag):
        return ""
    return "\\".join(_values(dataset, tag)).strip().upper() or "?"


def _first(dataset: Dataset, tag: int) -> str:
    return next(iter(_values(dataset, tag)), "").upper()


def _values(dataset: Dataset, tag: int) -> list[str]:
    try:
        return values.read(dataset, tag, character_set(""))
    except Unfit:
        return []
