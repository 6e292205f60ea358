"""SOP classes of the standard by what their objects have to hold (PS3.4 §B.5, PS3.3 §A)."""

from __future__ import annotations

from typing import Final

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."

# Digital X-ray, mammography, intra-oral: each for presentation and for processing.
_X_RAY: Final = ("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1")
_ANGIOGRAPHY: Final = ("12.1", "12.1.1", "12.2", "12.2.1")
_VOLUMES: Final = ("13.1.1", "13.1.2", "13.1.3", "13.1.4", "13.1.5")
_CT: Final = ("2", "2.1", "2.2")
_MR: Final = ("4", "4.1", "4.3", "4.4")
_ULTRASOUND: Final = ("3.1", "6.1", "6.2", "6.3")
_NUCLEAR: Final = ("20", "128", "128.1", "130")
_SECONDARY_CAPTURE: Final = ("7", "7.1", "7.2", "7.3", "7.4")
_COHERENCE_TOMOGRAPHY: Final = ("14.1", "14.2", "77.1.5.4", "77.1.5.7")
_VISIBLE_LIGHT: Final = ("77.1.1", "77.1.2", "77.1.3", "77.1.4", "77.1.6", "77.1.7", "77.1.8", "77.1.9")
_VIDEO: Final = ("77.1.1.1", "77.1.2.1", "77.1.4.1")
_OPHTHALMIC: Final = ("77.1.5.1", "77.1.5.2", "77.1.5.5", "77.1.5.6", "81.1")
_MADE_OF_IMAGES: Final = ("30", "66.4")

IMAGES: Final = frozenset(
    _STORAGE + number
    for numbers in (
        _X_RAY,
        _ANGIOGRAPHY,
        _VOLUMES,
        _CT,
        _MR,
        _ULTRASOUND,
        _NUCLEAR,
        _SECONDARY_CAPTURE,
        _COHERENCE_TOMOGRAPHY,
        _VISIBLE_LIGHT,
        _VIDEO,
        _OPHTHALMIC,
        _MADE_OF_IMAGES,
    )
    for number in numbers
)
"""Kinds of images that are nothing without pixels (PS3.3 §C.7.6.3).

Left out are all others, and whatever is in doubt: retired classes, which may hold curves, all of radiotherapy, and
classes that are newer than this table. An object of those may go without.
"""

BELONG_TO_NO_STUDY: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.38.1",
        "1.2.840.10008.5.1.4.39.1",
        "1.2.840.10008.5.1.4.43.1",
        "1.2.840.10008.5.1.4.44.1",
        "1.2.840.10008.5.1.4.45.1",
        *(_STORAGE + number for number in ("200.1", "200.3", "200.7", "201.1")),
    }
)
"""Non-Patient Object Storage (PS3.4 §GG): hanging protocols, palettes, implants, protocols, inventories."""
