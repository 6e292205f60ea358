"""Standard attributes that the table does not list: most stay, and those that could tell who somebody is go."""

from __future__ import annotations

import functools
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pydicom.datadict import get_entry

from capacitord.dicom.deidentify.table import Action, Profile, Rule, decided
from capacitord.dicom.transform.characters import TEXT_VRS
from capacitord.model.deidentify import Option

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT: Final = Rule(Action.KEEP, Action.KEEP)
_SIGNATURES: Final = 0x0400
"""Signatures, MACs and encrypted originals: none is right any more."""
_FIRST_KEPT_GROUP: Final = 0x0008
"""Commands, file meta information and directories have no place in a dataset (PS3.15 §E.1.1)."""

_MAC_PARAMETERS: Final = 0x4FFE0001
_LENGTH_TO_END: Final = 0x00080001
_BYTES: Final = frozenset({0x00282000, 0x00700256, 0x54000110, 0x54000112, 0x5400100A, 0x54001010})
"""Colour profiles, fill patterns, waveforms: bytes that are numbers."""
_OVERLAYS: Final = 0x60
_OVERLAY_TEXTS: Final = frozenset({0x0022, 0x1500})
"""Overlay Description and Overlay Label: free text."""
_ADDRESSES: Final = frozenset({0x0008010E, 0x00080120})
"""Of coding schemes, and codes that are addresses."""
_STRUCTURAL: Final = ("SOPClass", "TransferSyntax", "CodingSchemeUID", "ContextUID", "MappingResourceUID")
"""How the names of UIDs begin or end that the standard gives, not a device (PS3.15 §E.3.9)."""

_DATES: Final = MappingProxyType(
    {Option.RETAIN_LONGITUDINAL_FULL: Action.KEEP, Option.RETAIN_LONGITUDINAL_MODIFIED: Action.CLEAN}
)
_UIDS: Final = MappingProxyType({Option.RETAIN_UIDS: Action.KEEP})
_NONE: Final[Mapping[Option, Action]] = MappingProxyType({})


def rule(tag: int, how: Profile) -> Rule:
    """Return what is done to a standard attribute that is not listed."""
    basic, options = _basic(tag)
    return Rule(decided(basic, options, how.options), basic)


@functools.cache
def _basic(tag: int) -> tuple[Action, Mapping[Option, Action]]:
    if tag >> 16 < _FIRST_KEPT_GROUP or tag >> 16 == _SIGNATURES or tag in {_MAC_PARAMETERS, _LENGTH_TO_END}:
        return Action.REMOVE, _NONE
    if tag >> 24 == _OVERLAYS and tag & 0xFFFF in _OVERLAY_TEXTS:
        return Action.REMOVE, _NONE
    try:
        vr, _, _, retired, keyword = get_entry(tag)
    except KeyError:
        # Nobody knows what it is.
        return Action.REMOVE, _NONE
    if vr in {"DA", "DT", "TM"}:
        return Action.REMOVE, _DATES
    if vr == "UI":
        return (Action.KEEP, _NONE) if any(word in keyword for word in _STRUCTURAL) else (Action.UID, _UIDS)
    goes = (
        vr in {"PN", "UN"}
        or (vr == "UR" and tag not in _ADDRESSES)
        or (vr in {"OB", "OB or OW"} and tag not in _BYTES)
        or (bool(retired) and vr in TEXT_VRS)
    )
    return (Action.REMOVE if goes else Action.KEEP), _NONE
