"""The `match` of a rule: a table that a person writes, to a condition.

==========================  ==========================================================================
``Modality = "CT"``         exactly this; one value of several is enough
``= ["CT", "MR"]``          one of them
``= "*STROKE*"``            `*` is any characters, `?` is one
``= "!CT"``                 not this; nor if it is among several values
``= ""``, ``= "!"``         empty or not there; there with a value (also ``false`` and ``true``)
``= ">= 2026-01-01"``       numbers, dates, times and ages in their order: ``<``, ``<=``, ``>``, ``>=``
``= "/^CT.*HEAD/"``         an RE2 expression
``= "=*"``                  what follows, literally
==========================  ==========================================================================

All entries of a table must hold. `any` and `all` take lists of tables, `not` takes one. An attribute within a sequence
is written `Sequence.Attribute`, as a key in quotes or as a table in a table.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

import pydantic

from capacitord.config import attributes, dictionary
from capacitord.config.diagnostics import Finding, Rejected, Rejections, nearest, quoted, suggestion
from capacitord.config.fields import WINDOW, ae_title, regex
from capacitord.config.positions import Key
from capacitord.config.schedules import HINT as SCHEDULE_HINT
from capacitord.config.schedules import parse_window
from capacitord.model import representation
from capacitord.model.attribute import Attribute
from capacitord.model.compare import EXAMPLES, KINDS, Comparison, Kind, Relation, read
from capacitord.model.conditions import (
    CalledAs,
    CalledBy,
    Condition,
    During,
    Either,
    Empty,
    Every,
    Exactly,
    Glob,
    Has,
    Never,
    Ordered,
    Regex,
    Test,
    Values,
)
from capacitord.model.representation import Unfit
from capacitord.model.schedule import Window

DEEPEST: Final = 16
_GROUPS: Final = ("any", "all", "not")
_TITLES: Final = ("calling_ae_title", "called_ae_title")
_OWN: Final = (*_GROUPS, *_TITLES, "time")
_RELATIONS: Final = (Relation.AT_MOST, Relation.AT_LEAST, Relation.LESS, Relation.MORE)
_VALUE_HINT: Final = 'Write it like "CT", ["CT", "MR"], "*STROKE*", "!CT", "<= 1.5", "/^CT/" or true.'


def parse_match(tables: object) -> Condition:
    """Return the condition that a table says. Raises `Rejections` with all that is wrong in it."""
    reader = _Reader()
    condition = reader.table(tables, ())
    if reader.findings:
        raise Rejections(reader.findings)
    return condition


class _Reader:
    """Reads tables, and notes what is wrong instead of stopping there."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def wrong(self, key: Key, message: str, hint: str = "", *, at_key: bool = False) -> None:
        self.findings.append(Finding(key, message, hint, at_key))

    def table(self, tables: object, key: Key) -> Condition:
        if not isinstance(tables, Mapping):
            self.wrong(key, "must be a table", 'Write it like { Modality = "CT" }.')
            return Every()
        if len(key) > DEEPEST:
            self.wrong(key, "is nested too deeply", "Say it with fewer groups.")
            return Every()
        parts = [part for name, value in tables.items() for part in self._entry(str(name), value, (*key, str(name)))]
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _entry(self, name: str, value: object, key: Key) -> list[Condition]:
        if name == "not":
            return [Never(self.table(value, key))]
        if name in _GROUPS:
            parts = tuple(self.table(part, (*key, number)) for number, part in enumerate(self._list(value, key)))
            return [Either(parts) if name == "any" else Every(parts)]
        if name == "time":
            return [During(self._windows(value, key))]
        if name in _TITLES:
            titles = self._values(value, None, key)
            return [CalledBy(titles) if name == "calling_ae_title" else CalledAs(titles)]
        if name.islower() and name.isidentifier():
            near = nearest(name, _OWN)
            keyword = "" if near else nearest(name, dictionary.alike(name))
            hint = f"Did you mean {near or keyword}?" if near or keyword else suggestion(name, _OWN)
            self.wrong(key, "is not known here", hint, at_key=True)
            return []
        return self._attribute(name, value, key)

    def _attribute(self, name: str, value: object, key: Key) -> list[Condition]:
        if isinstance(value, Mapping):
            if not value:
                self.wrong(key, "must not be empty", "Name an attribute of the sequence in it.")
            if len(key) > DEEPEST:
                self.wrong(key, "is nested too deeply", "No attribute is that deep.")
                return []
            if _is_text(name) and all(str(inner).islower() for inner in value):
                self.wrong(key, "must not be a table", _VALUE_HINT)
                return []
            return [
                part
                for inner, wanted in value.items()
                for part in self._attribute(f"{name}.{inner}", wanted, (*key, str(inner)))
            ]
        present = isinstance(value, bool) or value in ("", "!")
        try:
            found = attributes.owned(name) if present else attributes.valued(name)
            _in_dataset(found)
        except Rejected as error:
            self.wrong(key, error.message, error.hint, at_key=True)
            return []
        return [Has(found, self._values(value, found, key))]

    def _values(self, value: object, attribute: Attribute | None, key: Key) -> Values:
        wanted: list[Test] = []
        unwanted: list[Test] = []
        entries = enumerate(self._list(value, key)) if isinstance(value, list) else [(None, value)]
        for number, entry in entries:
            try:
                negated, test = _test(entry, attribute)
            except Rejected as error:
                self.wrong(key if number is None else (*key, number), error.message, error.hint)
                continue
            (unwanted if negated else wanted).append(test)
        return Values(tuple(wanted), tuple(unwanted))

    def _windows(self, value: object, key: Key) -> tuple[Window, ...]:
        windows = []
        entries = enumerate(self._list(value, key)) if isinstance(value, list) else [(None, value)]
        for number, entry in entries:
            try:
                if not isinstance(entry, str):
                    msg = "must be a window of time"
                    raise Rejected(msg, SCHEDULE_HINT)  # noqa: TRY301 - one way out for all that is wrong
                windows.append(parse_window(entry))
            except Rejected as error:
                self.wrong(key if number is None else (*key, number), error.message, error.hint)
        return tuple(windows)

    def _list(self, value: object, key: Key) -> list[object]:
        if isinstance(value, list) and value:
            return value
        group = key[-1] in _GROUPS
        hint = 'Write it like [{ Modality = "CT" }, { Modality = "MR" }].' if group else _VALUE_HINT
        self.wrong(key, "must not be empty" if value == [] else "must be a list of tables", hint)
        return []


def _is_text(name: str) -> bool:
    """Return whether a name is that of an attribute that is known to be no sequence."""
    try:
        return attributes.vr_of(attributes.attribute(name).steps[-1]) not in {"", "SQ"}
    except Rejected:
        return False


def _in_dataset(attribute: Attribute) -> None:
    """Raise `Rejected` for what is never part of a dataset: command elements and file meta information."""
    step = attribute.steps[0]
    if step.exact and step.tag >> 16 in {0x0000, 0x0002}:
        msg = f"{attribute.text} is not part of an image's dataset, and matches nothing"
        raise Rejected(msg, "Groups 0000 and 0002 are for messages and files (PS3.7 §E, PS3.10 §7.1).")


def _test(value: object, attribute: Attribute | None) -> tuple[bool, Test]:
    """Return a test, and whether it is negated; `attribute` is None for an AE title."""
    vr = "AE" if attribute is None else attributes.vr_of(attribute.steps[-1])
    if isinstance(value, bool) and attribute is not None:
        return value, Empty()
    if isinstance(value, dt.date | dt.time):
        value = value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{value} is not a number"
        raise Rejected(msg, 'Write it like 1.5, or "> 1.5".')
    if isinstance(value, int | float) and not isinstance(value, bool):
        if KINDS.get(vr, Kind.NUMBER) is not Kind.NUMBER or (vr and vr not in KINDS):
            msg = f"must be a text in quotes: {attribute.text if attribute else 'an AE title'} is of VR {vr}"
            raise Rejected(msg, f'Write "{value}".')
        return False, Ordered(Comparison(Kind.NUMBER, Relation.EQUAL, repr(value)))
    if not isinstance(value, str):
        msg = "must be a text, a number, true or false, or a list of them"
        raise Rejected(msg, _VALUE_HINT)
    text = value.removeprefix("!").strip()
    return value.startswith("!"), _positive(text, vr)


def _positive(text: str, vr: str) -> Test:
    if not text:
        return Empty()
    if text.startswith("="):
        return Exactly(text[1:].strip())
    for relation in _RELATIONS:
        if text.startswith(relation):
            return _compared(relation, text.removeprefix(relation).strip(), vr)
    if text.startswith("/") and text.endswith("/") and len(text) > 2:
        return Regex(regex(text[1:-1]))
    if "*" in text or "?" in text:
        return Glob(text)
    if vr in KINDS:
        return _compared(Relation.EQUAL, text, vr)
    return Exactly(_possible(text, vr))


def _possible(text: str, vr: str) -> str:
    """Return a text as it is. Raises `Rejected` for what no value of the VR can be, so that it would never match."""
    if vr == "AE":
        return ae_title(text)
    if vr == "CS" and text != text.upper():
        msg = f"{quoted(text)} never matches: values of VR CS are in capitals"
        raise Rejected(msg, f'Write "{text.upper()}", or "={text}" if it really is sent like that.')
    try:
        if vr in _LIMITED:
            representation.check(text, vr)
    except Unfit as error:
        example = ", like 1.2.840.10008.5.1.4.1.1.2 (PS3.6 Annex A)" if vr == "UI" else ""
        msg = f"{quoted(text)} never matches: it {str(error).removeprefix('the value ')}"
        raise Rejected(msg, f"Write one value{example}; with = before it if it really is sent like that.") from None
    return text


_LIMITED: Final = frozenset({"CS", "LO", "SH", "UI"})
"""VRs whose values are told from what is none."""


def _compared(relation: Relation, operand: str, vr: str) -> Ordered:
    kind = KINDS.get(vr)
    if vr and kind is None:
        msg = f"{relation} {operand}: values of VR {vr} have no order"
        raise Rejected(msg, "Numbers, dates, times and ages have one.")
    if kind is None:
        kind = Kind.NUMBER if read(Kind.NUMBER, operand) is not None else Kind.DATE
    if not _is_one(kind, operand):
        words = "an age" if kind is Kind.AGE else "a date and time" if kind is Kind.MOMENT else f"a {kind}"
        msg = f"{operand!r} is not {words}"
        raise Rejected(msg, f'Write it like "{EXAMPLES[kind]}".')
    return Ordered(Comparison(kind, relation, operand))


def _is_one(kind: Kind, operand: str) -> bool:
    """Return whether an operand is what it is compared as; a date must be one of the calendar."""
    parts = read(kind, operand)
    if parts is None or kind not in {Kind.DATE, Kind.MOMENT}:
        return parts is not None
    try:
        dt.date(*(int(part) for part in parts[:3]))
    except ValueError:
        return False
    return True


_SCALAR: Final[dict[str, Any]] = {"type": ["string", "number", "boolean"]}
_VALUE: Final[dict[str, Any]] = {
    "description": "What the attribute must be. " + _VALUE_HINT,
    "anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}, {"type": "object", "minProperties": 1}],
}
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TEXTS: Final[dict[str, Any]] = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
_WINDOW: Final[dict[str, Any]] = {**_TEXT, "pattern": f"^(?:{WINDOW})$"}
_WINDOWS: Final[dict[str, Any]] = {"anyOf": [_WINDOW, {"type": "array", "items": _WINDOW, "minItems": 1}]}
SCHEMA_NAME: Final = "Match"
_SELF: Final[dict[str, Any]] = {"$ref": f"#/$defs/{SCHEMA_NAME}"}
_USUAL: Final = (
    "AccessionNumber",
    "BodyPartExamined",
    "InstitutionName",
    "Manufacturer",
    "Modality",
    "PatientAge",
    "PatientID",
    "PerformedStationAETitle",
    "ProtocolName",
    "ReferringPhysicianName",
    "RequestedProcedureDescription",
    "SOPClassUID",
    "SeriesDescription",
    "SeriesNumber",
    "StationName",
    "StudyDate",
    "StudyDescription",
)
SCHEMA: Final[dict[str, Any]] = {
    "title": SCHEMA_NAME,
    "type": "object",
    "description": "When the rule applies: all entries must hold. An empty table always does.",
    "properties": {
        "any": {"type": "array", "items": _SELF, "minItems": 1, "description": "One of them holds."},
        "all": {"type": "array", "items": _SELF, "minItems": 1, "description": "All of them hold."},
        "not": {**_SELF, "description": "It does not hold."},
        "time": {**_WINDOWS, "description": 'When the image came, at the site: "18:00-07:00", "Sat-Sun".'},
        "calling_ae_title": {**_TEXTS, "description": "What the sender calls itself."},
        "called_ae_title": {**_TEXTS, "description": "What the sender calls this box."},
        **dict.fromkeys(_USUAL, _VALUE),
    },
    "patternProperties": {r"^(\*\*\.)?[A-Z(0-9]": _VALUE},
    "additionalProperties": False,
}

Match = Annotated[Condition, pydantic.PlainValidator(parse_match), pydantic.WithJsonSchema({"title": SCHEMA_NAME})]
"""A condition as a field of a table."""
