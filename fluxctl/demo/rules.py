"""What the demonstration's profile says, and how one can tell at the other end that it was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from capacitord.api.demo import DemoImage, Kept
from fluxctl.demo.verdict import unchanged

SITE, NEXT_SITE = "demo", "next"
PACS, ARCHIVE, SPOOL = "pacs", "archive", "spool"
INSTITUTION: Final = "Demo Hospital"
NEXT_INSTITUTION: Final = "Next Clinic"
CHANGED: Final = "MR"
"""The modality whose images get the institution's name on their way to the PACS."""
UNROUTED: Final = "ECG"
"""The modality that no route is for."""
COMPRESSED: Final = "JPEG 2000 Image Compression (Lossless Only)"
_NATIVE: Final = frozenset({"Explicit VR Little Endian", "Implicit VR Little Endian"})
_BITS: Final = frozenset({8, 16})


def profile(ports: Mapping[str, int]) -> dict[str, Any]:
    """Return the profile for destinations at these ports of 127.0.0.1."""
    archive = {"compress": "JPEG2000Lossless"}
    return {
        "schema": 1,
        "id": SITE,
        "name": INSTITUTION,
        "version": 1,
        "timezone": "UTC",
        "destination": [
            {"name": name, "ae_title": name.upper(), "host": "127.0.0.1", "port": port}
            | (archive if name == ARCHIVE else {})
            for name, port in ports.items()
        ],
        "route": [
            {"match": {"StudyDescription": "*HEAD*"}, "to": [PACS, ARCHIVE], "priority": "stat"},
            {"match": {"Modality": f"!{UNROUTED}"}, "to": [PACS, ARCHIVE]},
        ],
        "transform": [
            {"name": "our name", "to": [PACS], "match": {"Modality": CHANGED}, "set": {"InstitutionName": INSTITUTION}}
        ],
    }


def next_profile(port: int) -> dict[str, Any]:
    """Return the profile of the site where the coach goes next, with a PACS at this port of 127.0.0.1."""
    return {
        "schema": 1,
        "id": NEXT_SITE,
        "name": NEXT_INSTITUTION,
        "version": 1,
        "timezone": "UTC",
        "destination": [{"name": PACS, "ae_title": PACS.upper(), "host": "127.0.0.1", "port": port}],
    }


def is_routed(image: DemoImage) -> bool:
    """Whether a route is for an image."""
    return image.modality != UNROUTED


def right_at_pacs(image: DemoImage, copy: Kept) -> bool:
    """Whether a copy is as the profile wants it for the PACS: with the institution's name, or untouched."""
    if image.modality == CHANGED:
        return copy.institution == INSTITUTION and copy.transfer_syntax == image.transfer_syntax
    return unchanged(image, copy)


def right_at_archive(image: DemoImage, copy: Kept) -> bool:
    """Whether a copy is as the profile wants it for the archive: compressed without loss where there are pixels."""
    if image.transfer_syntax in _NATIVE and image.bits in _BITS:
        return copy.transfer_syntax == COMPRESSED
    return copy.transfer_syntax == COMPRESSED or unchanged(image, copy)
