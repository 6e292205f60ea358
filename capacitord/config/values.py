"""Whether the values that a transform writes are ones that their attributes may have (PS3.5 table 6.2-1, PS3.6).

The rules are those that hold when an image is changed; what they would refuse then is said when the profile is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from capacitord.config import attributes, dictionary
from capacitord.config.diagnostics import Rejected, quoted
from capacitord.model import representation
from capacitord.model.attribute import Attribute
from capacitord.model.representation import HASHED_VRS, LONGEST, NUMBERS, Unfit
from capacitord.model.transform import Template

_CHARACTERS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = MappingProxyType(
    {
        "AE": (re.compile(r"[ -\[\]-~]*"), "ASCII characters without backslash"),
        "AS": (re.compile(r"[0-9DWMY]*"), "digits and one of D, W, M and Y"),
        "CS": (re.compile(r"[A-Z0-9 _]*"), "capitals, digits, spaces and underscores"),
        "DA": (re.compile(r"[0-9]*"), "digits"),
        "DT": (re.compile(r"[0-9.+-]*"), "digits, a point and a sign"),
        "TM": (re.compile(r"[0-9.]*"), "digits and a point"),
        "UI": (re.compile(r"[0-9.]*"), "digits and points"),
        **dict.fromkeys(("DS", "FL", "FD"), (re.compile(r"[-+0-9.eE ]*"), "what a number is written with")),
        **dict.fromkeys(
            ("IS", "SL", "SS", "SV", "UL", "US", "UV"),
            (re.compile(r"[-+0-9 ]*"), "what a whole number is written with"),
        ),
    }
)
"""Of which characters a value is, and in words."""
_EXAMPLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AE": "STM_PACS",
        "AS": "042Y",
        "CS": "ORIGINAL",
        "DA": "20260131",
        "DS": "1.5",
        "DT": "20260131180000",
        "IS": "12",
        "PN": "Doe^Jane",
        "TM": "1800",
        "UI": "1.2.840.10008.5.1.4.1.1.2",
        "UR": "https://example.org/x",
        **dict.fromkeys(("FL", "FD"), "1.5"),
        **dict.fromkeys(("SL", "SS", "SV", "UL", "US", "UV"), "12"),
    }
)
_BYTES: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "OB or OW"})
_PUNCTUATED: Final = re.compile(r"[-:. T/]")


def check_template(target: Attribute, template: Template, given: str = "") -> None:
    """Raise `Rejected` if what a template gives can never be the value of an attribute.

    `given` is the VR that the profile says, for an attribute that no dictionary knows.
    """
    known = attributes.vr_of(target.steps[-1])
    if given and known and given not in known.split(" or "):
        msg = f"{target.text} is of VR {known}, and not {given}"
        raise Rejected(msg, "Leave vr out: it is for attributes that no dictionary knows.")
    literals = [part for part in template.parts if isinstance(part, str)]
    defaults = [part.default for part in template.parts if not isinstance(part, str) and part.default]
    if len(literals) == len(template.parts):
        check(target, "".join(literals), given)
        return
    check_part(target, "".join(literals), given)
    for default in defaults:
        (check if len(template.parts) == 1 else check_part)(target, default, given)


def check(target: Attribute, text: str, given: str = "") -> None:
    """Raise `Rejected` if a text can't be the value, or the values, of an attribute."""
    vrs = _vrs(target, given)
    values: list[str] = representation.split(text, vrs[0]) if vrs else []
    _any_of(vrs, values)
    multiplicity = _multiplicity(target)
    try:
        if multiplicity:
            representation.check_count(multiplicity, len(values))
    except Unfit as error:
        raise Rejected(str(error), "A backslash separates values.") from None


def check_value(target: Attribute, value: str) -> None:
    """Raise `Rejected` if a text can't be one of the values of an attribute."""
    _any_of(_vrs(target), [value])


def check_part(target: Attribute, text: str, given: str = "") -> None:
    """Raise `Rejected` if a text can't be part of a value of an attribute."""
    failures = [failure for vr in _vrs(target, given) if (failure := _part_failure(text, vr))]
    if failures and len(failures) == len(_vrs(target, given)):
        raise failures[0]


def check_added(target: Attribute, text: str) -> None:
    """Raise `Rejected` if a text can't be added to the values of an attribute."""
    vrs = _vrs(target)
    if vrs and all(vr in NUMBERS for vr in vrs):
        msg = f"{target.text} is a binary number (VR {' or '.join(vrs)}), and no text can be added to it"
        raise Rejected(msg, "Write a value with set, or change one with map.")
    check_part(target, text)


def check_hash(target: Attribute, length: int) -> None:
    """Raise `Rejected` if a hash of some length can't be the value of an attribute."""
    vrs = _vrs(target)
    for vr in vrs:
        if vr not in HASHED_VRS:
            msg = f"a hash is not a value of {target.text}, which is of VR {vr}"
            raise Rejected(msg, "Remove it, or set it to something.")
        if vr != "UI" and length > LONGEST.get(vr, length):
            msg = f"a hash of {length} characters does not fit {target.text}: the VR {vr} allows {LONGEST[vr]}"
            raise Rejected(msg, f"Write length = {LONGEST[vr]}, or less.")


def check_copy(target: Attribute, source: Attribute) -> None:
    """Raise `Rejected` if one of two attributes is a sequence, or binary, and the other one is not."""
    kinds = [attributes.vr_of(each.steps[-1]) for each in (target, source)]
    if all(kinds) and (kinds[0] == "SQ") != (kinds[1] == "SQ"):
        sequence = target if kinds[0] == "SQ" else source
        msg = f"{sequence.text} is a sequence, and the other one is not"
        raise Rejected(msg, f"Name an attribute within it, like {sequence.text}.CodeValue.")
    for one, other in ((target, source), (source, target)):
        vrs = [attributes.vr_of(each.steps[-1]) for each in (one, other)]
        if all(vrs) and vrs[0] in _BYTES and vrs[1] not in attributes.BINARY:
            msg = f"{one.text} is binary, and {other.text} is not"
            raise Rejected(msg, "Name an attribute that holds text or numbers.")


def _vrs(target: Attribute, given: str = "") -> list[str]:
    """Return the VRs a value may be under, none if that is not known."""
    vr = attributes.vr_of(target.steps[-1]) or given
    return vr.split(" or ") if vr else []


def _multiplicity(target: Attribute) -> str:
    step = target.steps[-1]
    return dictionary.multiplicity_of(step.tag) if step.exact and not step.creator else ""


def _any_of(vrs: list[str], values: Iterable[str]) -> None:
    for value in values:
        failures = [failure for vr in vrs if value and (failure := _failure(value, vr))]
        if failures and len(failures) == len(vrs):
            raise failures[0]


def _failure(value: str, vr: str) -> Rejected | None:
    try:
        representation.check(value, vr)
    except Unfit as error:
        words = str(error).replace("the value", quoted(value), 1)
        return Rejected(words, _hint(value, vr))
    return None


def _part_failure(text: str, vr: str) -> Rejected | None:
    """Return why a text is part of no value of a VR, None if it may be."""
    if vr in _CHARACTERS:
        pattern, words = _CHARACTERS[vr]
        if pattern.fullmatch(text.replace("\\", "")) is None:
            return Rejected(f"{quoted(text)} can't be part of a value of VR {vr}: that is {words}", _hint(text, vr))
        longest = max((len(part) for part in text.split("\\")), default=0)
        if longest > LONGEST.get(vr, longest):
            return Rejected(
                f"{quoted(text)} has {longest} characters, and the VR {vr} allows {LONGEST[vr]}", "Shorten it."
            )
        return None
    failures = (_failure(part, vr) for part in representation.split(text, vr) if part)
    return next((failure for failure in failures if failure), None)


def _hint(value: str, vr: str) -> str:
    """Return what to write instead of a value."""
    mended = _mended(value, vr)
    if mended != value and mended:
        try:
            representation.check(mended, vr)
        except Unfit:
            mended = ""
        if mended:
            return f'Write "{mended}".'
    if vr in _EXAMPLES:
        return f'Write it like "{_EXAMPLES[vr]}".'
    limit = f"at most {LONGEST[vr]} characters" if vr in LONGEST else "text"
    return f"Values of VR {vr} are {limit}, without control characters (PS3.5 §6.2)."


def _mended(value: str, vr: str) -> str:
    """Return what may be meant by a value that is none; it need not be one either."""
    value = value.strip()
    if vr == "CS":
        return value.upper()
    if vr == "AS" and value[-1:].isalpha():
        return f"{value[:-1].zfill(3)}{value[-1].upper()}"
    if vr in {"DA", "DT", "TM"}:
        return _PUNCTUATED.sub("", value)
    return value.replace(",", ".") if vr in {"DS", "FL", "FD"} else value
