"""De-identification (PS3.15 Annex E): the basic profile and its options, as a profile names them."""

from __future__ import annotations

import enum

import msgspec

from capacitord.model.conditions import ALWAYS, Condition


class Option(enum.StrEnum):
    """The options of PS3.15 §E.3."""

    CLEAN_PIXEL_DATA = "CleanPixelData"
    CLEAN_RECOGNIZABLE_VISUAL_FEATURES = "CleanRecognizableVisualFeatures"
    CLEAN_GRAPHICS = "CleanGraphics"
    CLEAN_STRUCTURED_CONTENT = "CleanStructuredContent"
    CLEAN_DESCRIPTORS = "CleanDescriptors"
    RETAIN_LONGITUDINAL_FULL = "RetainLongitudinalFull"
    RETAIN_LONGITUDINAL_MODIFIED = "RetainLongitudinalModified"
    RETAIN_PATIENT_CHARACTERISTICS = "RetainPatientCharacteristics"
    RETAIN_DEVICE_IDENTITY = "RetainDeviceIdentity"
    RETAIN_INSTITUTION_IDENTITY = "RetainInstitutionIdentity"
    RETAIN_UIDS = "RetainUIDs"
    RETAIN_SAFE_PRIVATE = "RetainSafePrivate"


class Deidentification(msgspec.Struct, frozen=True, omit_defaults=True):
    """The Basic Application Level Confidentiality Profile (PS3.15 §E.2) with these options.

    It is for the images that `match`, on their way to the destinations `to`; none means all. Of several that fit an
    image the first is carried out, after the inbound transforms and before the outbound ones. A destination that has
    any gets no image that none of them fits: that image is held.
    """

    options: tuple[Option, ...] = ()
    match: Condition = ALWAYS
    to: tuple[str, ...] = ()
