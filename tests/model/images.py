"""Attributes for tests: what a dataset would say, from a plain mapping."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from capacitord.model.attribute import Attribute, Step
from capacitord.model.conditions import Subject

TAGS = {"Modality": 0x00080060, "StudyDescription": 0x00081030, "Rows": 0x00280010, "ImageType": 0x00080008}
MONDAY_NOON = datetime(2026, 11, 2, 12, 0, tzinfo=ZoneInfo("America/Chicago"))


class Image:
    """An image with these values, by the text of an attribute's name; what is not named is not there."""

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        self._values = values

    def values(self, attribute: Attribute) -> tuple[str, ...] | None:
        return self._values.get(attribute.text)


def named(keyword: str) -> Attribute:
    return Attribute(keyword, (Step(TAGS[keyword]),))


def subject(
    values: Mapping[str, tuple[str, ...]] | None = None,
    *,
    calling: str = "CT1",
    called: str = "FLUXBOX",
    local: datetime = MONDAY_NOON,
) -> Subject:
    return Subject(Image(values or {}), calling, called, local)
