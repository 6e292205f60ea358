"""Attributes as a profile names them, checked against the dictionary of the standard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from capacitord.config import dictionary
from capacitord.config.diagnostics import Rejected, nearest
from capacitord.model.attribute import Attribute, NotAllowed, Step, parse

_Read = TypeVar("_Read")
HINT: Final = "Write a keyword like PatientID, a tag like (0010,0020), or (0009,xx02,CREATOR) for a private one."
BINARY: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or OW", "US or SS or OW"})
"""VRs of which no text is a value."""


def with_keywords(read: Callable[[Callable[[str], int | None]], _Read]) -> _Read:
    """Return what `read` makes of keywords, which it is given the dictionary for.

    Raises `Rejected` for its `NotAllowed`, with the keyword that may have been meant.
    """
    unknown: list[str] = []

    def tag_of(keyword: str) -> int | None:
        tag = dictionary.tag_of(keyword)
        if tag is None:
            unknown.append(keyword)
        return tag

    try:
        return read(tag_of)
    except NotAllowed as error:
        near = nearest(unknown[0], dictionary.alike(unknown[0])) if unknown else ""
        raise Rejected(error.message, f"Did you mean {near}?" if near else error.hint) from None


def attribute(text: str) -> Attribute:
    """Return what `text` names. Raises `Rejected`."""
    found = with_keywords(lambda tag_of: parse(text, tag_of))
    for step in found.steps[:-1]:
        if (vr := vr_of(step)) not in {"", "SQ"}:
            msg = f"{text}: only a sequence has attributes within it, and this is {_named(vr)}"
            raise Rejected(msg, "Write it like RequestAttributesSequence.ScheduledProcedureStepID.")
    return found


def owned(text: str) -> Attribute:
    """Return what `text` names; a private attribute must be named with its creator. Raises `Rejected`."""
    found = attribute(text)
    for step in found.steps:
        if step.tag >> 16 & 1 and step.mask >> 16 == 0xFFFF and not step.creator:
            group, element = step.tag >> 16, step.tag & 0xFF
            msg = f"{text} is private, and does not say whose it is"
            raise Rejected(
                msg, f"Write it with its creator, like ({group:04x},xx{element:02x},CREATOR) (PS3.5 §7.8.1)."
            )
    return found


def valued(text: str) -> Attribute:
    """Return what `text` names, which is an attribute that text can be in. Raises `Rejected`."""
    found = owned(text)
    check_valued(found)
    return found


def check_valued(found: Attribute) -> None:
    """Raise `Rejected` for an attribute that no text can be in."""
    vr = vr_of(found.steps[-1])
    if vr == "SQ":
        msg = f"{found.text} is a sequence"
        raise Rejected(msg, f"Name an attribute within it, like {found.text}.CodeValue.")
    if vr in BINARY:
        msg = f"{found.text} is {_named(vr)}, and not text"
        raise Rejected(msg, "Name an attribute that holds text or numbers.")


def vr_of(step: Step) -> str:
    """Return the VR of what a step names, empty if that is not known."""
    return dictionary.vr_of(step.tag) if step.exact and not step.creator else ""


def _named(vr: str) -> str:
    return "binary" if vr in BINARY else f"of VR {vr}"
