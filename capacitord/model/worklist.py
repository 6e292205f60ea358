"""What a worklist is corrected with."""

from __future__ import annotations

import msgspec

from capacitord.model.attribute import Attribute


class Code(msgspec.Struct, frozen=True):
    """A coded entry (PS3.3 §8.1): value, coding scheme, and what it means."""

    value: str
    scheme: str
    meaning: str


class Recode(msgspec.Struct, frozen=True):
    """The items of a code sequence whose value is a key become the code."""

    sequence: Attribute
    codes: dict[str, Code]
