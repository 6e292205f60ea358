"""How a profile names attributes of a dataset: by keyword, by tag, by private creator, along a path of sequences.

============================================= ==================================================================
what is written                               what it names
============================================= ==================================================================
``PatientID``, ``(0010,0020)``, ``00100020``  one attribute
``(0009,xx02,GEMS_IDEN_01)``                  a private element of that creator, whichever block it is in
``(0009,xxxx,GEMS_IDEN_01)``                  all of that creator's block, its creator element too
``(0009,xx02)``, ``(60xx,3000)``              all elements whose other digits are these
``OtherPatientIDsSequence.PatientID``         the attribute in each item of the sequence
``**.PatientID``                              the attribute at the top and in all items of all sequences
============================================= ==================================================================

Private elements are written as PS3.15 table E.3.10-1 writes them, since the block number differs from image to image
(PS3.5 §7.8.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

ANYWHERE: Final = "**."
MOST_STEPS: Final = 16
"""Sequences within sequences that a path may go through; no module of the standard comes near."""

LONGEST: Final = 80
"""Of a longer text, an error quotes the beginning."""
_BARE_TAG: Final = re.compile(r"\[?([0-9A-Fa-fxX]{4})[ ,:]+([0-9A-Fa-fxX]{4})\]?")
_TAG: Final = re.compile(
    r"\(([0-9A-Fa-fxX]{4}) *, *([0-9A-Fa-fxX]{4})(?: *, *([^\\]{1,64}?))? *\)(?=\.[(A-Za-z0-9]|$)"
    r"|([0-9A-Fa-f]{8})(?=\.|$)"
)
_KEYWORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?=\.|$)", re.ASCII)


class NotAllowed(ValueError):
    """A reference or an operation that makes no sense or does harm: what is wrong, and what to do instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attribute of one dataset: the tags that are `tag` in the bits of `mask`, of that private creator if any.

    With a creator, the block number (PS3.5 §7.8.1) is not in the mask.
    """

    tag: int
    mask: int = 0xFFFFFFFF
    creator: str = ""

    @property
    def exact(self) -> bool:
        """Whether it names no more than one attribute of a dataset."""
        return self.mask == (0xFFFF00FF if self.creator else 0xFFFFFFFF)

    def matches(self, tag: int) -> bool:
        """Whether it names `tag`, whoever its creator is."""
        return not (tag ^ self.tag) & self.mask


class Attribute(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reference: the sequences on the way and the attribute itself, outermost first; `text` is how it was written.

    `anywhere`: the first step is looked for at every depth.
    """

    text: str
    steps: tuple[Step, ...]
    anywhere: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.steps) <= MOST_STEPS:
            msg = f"has more than {MOST_STEPS} steps"
            raise NotAllowed(msg)

    @property
    def exact(self) -> bool:
        """Whether it names one attribute, which can be made where it is missing."""
        return not self.anywhere and all(step.exact for step in self.steps)


def parse(text: str, tag_of: Callable[[str], int | None]) -> Attribute:
    """Return what `text` names; `tag_of` returns the tag of a keyword, None if there is none.

    Raises `NotAllowed`.
    """
    rest = text.removeprefix(ANYWHERE)
    steps: list[Step] = []
    position = 0
    while True:
        if tag := _TAG.match(rest, position):
            steps.append(_tagged(tag))
        elif keyword := _KEYWORD.match(rest, position):
            steps.append(_named(keyword[0], tag_of))
        else:
            msg = f"{text!r} names no attribute" if len(text) <= LONGEST else f"{text[:LONGEST]!r}… names no attribute"
            bare = _BARE_TAG.fullmatch(text)
            usual = "Write PatientID, (0010,0020), (0009,xx02,CREATOR) or Sequence.Attribute."
            raise NotAllowed(msg, f"Write ({bare[1]},{bare[2]}), in parentheses." if bare else usual)
        position = (tag or keyword).end()  # type: ignore[union-attr]  # one of the two matched
        if position == len(rest):
            return Attribute(text, tuple(steps), anywhere=rest is not text and rest != text)
        position += 1


def _named(keyword: str, tag_of: Callable[[str], int | None]) -> Step:
    tag = tag_of(keyword)
    if tag is None:
        msg = f"{keyword!r} is not the keyword of an attribute"
        raise NotAllowed(msg, "Keywords are those of PS3.6, like PatientID; a tag does as well: (0010,0020).")
    return Step(tag)


def _tagged(found: re.Match[str]) -> Step:
    digits = found[4] or found[1] + found[2]
    tag = int(re.sub("[xX]", "0", digits), 16)
    mask = int(re.sub("[^xX]", "F", digits).replace("x", "0").replace("X", "0"), 16)
    creator = (found[3] or "").strip()
    if not creator:
        return Step(tag, mask)
    if mask >> 16 != 0xFFFF or not tag >> 16 & 1 or tag >> 16 < 9:
        msg = f"{found[0]} has a private creator, but no private group"
        raise NotAllowed(msg, "Private groups are odd and from 0009 up (PS3.5 §7.8).")
    if mask & 0xFF00:
        msg = f"{found[0]} has a private creator and a block number"
        raise NotAllowed(msg, "The block differs from image to image: write xx for it, like (0009,xx02,CREATOR).")
    return Step(tag, mask, creator)
