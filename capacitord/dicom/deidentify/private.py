"""Private attributes that the standard's list takes for safe (PS3.15 Table E.3.10-1)."""

from __future__ import annotations

import functools
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from capacitord.dicom.deidentify.table import read
from capacitord.dicom.transform.level import creators

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydicom.dataset import Dataset

_BULK: Final = frozenset({"OB", "OW", "OW/OB", "-"})
"""On the list, but with room for whole headers in binary (PS3.15 §E.3.10, note 2): nobody can look into them."""


@functools.cache
def safe() -> Mapping[tuple[str, int, int], str]:
    """Return the VRs of safe attributes by private creator, group and the last two digits of the element number."""
    return MappingProxyType(
        {
            (row["creator"], int(row["group"], 16), int(row["element"], 16)): row["vr"]
            for row in read("private.tsv")
            if row["vr"] not in _BULK
        }
    )


def safe_in(level: Dataset) -> dict[int, str]:
    """Return the VRs of the safe private attributes of one level by their tags."""
    tags = [tag for tag in level.keys() if tag >> 16 & 1 and tag & 0xFFFF > 0xFF]  # noqa: SIM118  # undecoded
    owners = {group: creators(level, group) for group in {tag >> 16 for tag in tags}}
    found: dict[int, str] = {}
    for tag in tags:
        group = tag >> 16
        vr = safe().get((owners[group].get(tag >> 8 & 0xFF, ""), group, tag & 0xFF))
        if vr is not None:
            found[tag] = vr
    return found


def creator_of(tag: int) -> int:
    """Return the tag of the private creator of an attribute's block (PS3.5 §7.8.1)."""
    return tag & 0xFFFF0000 | tag >> 8 & 0xFF
