"""Values that say nothing, one for each VR (action D of PS3.15 Table E.1-1a)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

TEXT: Final = "REMOVED"

DUMMIES: Final = MappingProxyType(
    {
        **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), TEXT),
        **dict.fromkeys(("DS", "IS", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"), "0"),
        "AS": "000Y",
        "DA": "19000101",
        "DT": "19000101000000",
        "TM": "000000",
        "UR": "urn:removed",
    }
)
"""By VR; a UID is replaced by its code, and what has none of these VRs by two bytes of zero."""

NO_BYTES: Final = b"\0\0"
