"""What a transform does, as a person writes it, to the operations that are carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from capacitord.config import attributes, values
from capacitord.config.diagnostics import Finding, Rejected, Rejections, quoted, suggestion, unknown
from capacitord.config.fields import regex
from capacitord.config.positions import Key
from capacitord.model.attribute import Attribute, NotAllowed
from capacitord.model.compare import KINDS
from capacitord.model.targets import check_target
from capacitord.model.transform import (
    Clean,
    Copy,
    Hash,
    Map,
    Operation,
    Prefix,
    Remove,
    Repertoire,
    Replace,
    Set,
    SetMissing,
    Suffix,
    Template,
    template,
)

_VRS: Final = frozenset(KINDS) - {"US or SS"} | {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UR", "UT"}
_LONGEST: Final = 10_240
_Read = Callable[[Attribute, Any], Operation]


def parse(name: str, value: object) -> tuple[Operation, ...]:
    """Return the operations that the key `name` of a transform says. Raises `Rejections` with all that is wrong."""
    listed = name in _LISTS
    if listed and isinstance(value, list):
        entries: list[tuple[Key, Any, Any]] = [((number,), text, None) for number, text in enumerate(value)]
    elif isinstance(value, Mapping) and name != "remove":
        entries = [((str(text),), str(text), wanted) for text, wanted in value.items()]
    else:
        msg = "must be a list of attributes" if listed else "must be a table"
        raise Rejected(msg, f"Write it like {EXAMPLES[name]}.")
    findings = [] if entries else [Finding((), "must not be empty", f"Write it like {EXAMPLES[name]}.")]
    found: list[Operation] = []
    for key, text, wanted in entries:
        try:
            target = _target(name, _text(text))
        except (Rejected, NotAllowed) as error:
            findings.append(Finding(key, error.message, error.hint, at_key=True))
            continue
        try:
            found.append(_READERS[name](target, wanted))
        except Rejections as error:
            findings += [Finding((*key, *each.key), each.message, each.hint, each.at_key) for each in error.findings]
        except (Rejected, NotAllowed) as error:
            findings.append(Finding(key, error.message, error.hint))
    if findings:
        raise Rejections(findings)
    return tuple(found)


def _target(name: str, text: str) -> Attribute:
    """Return the attribute that an operation changes. Raises `Rejected` or `NotAllowed`."""
    find = _WHOLE.get(name, attributes.valued)
    target = find(text)
    check_target(target)
    return target


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = "must be a text in quotes"
        raise Rejected(msg)
    if len(value) > _LONGEST:
        msg = f"must have at most {_LONGEST} characters"
        raise Rejected(msg)
    return value


def _template(value: object) -> Template:
    text = repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else _text(value)
    found = attributes.with_keywords(lambda tag_of: template(text, tag_of))
    for part in found.parts:
        if not isinstance(part, str):
            attributes.check_valued(part.attribute)
    return found


def _set(target: Attribute, wanted: Any) -> Operation:
    return Set(target, *_value_and_vr(target, wanted))


def _set_missing(target: Attribute, wanted: Any) -> Operation:
    return SetMissing(target, *_value_and_vr(target, wanted))


def _value_and_vr(target: Attribute, wanted: Any) -> tuple[Template, str]:
    apart = isinstance(wanted, Mapping)
    parts = _parts(wanted, "value", ("vr",)) if apart else {"value": wanted}
    vr = parts.get("vr", "")
    if vr and vr not in _VRS:
        hint = suggestion(str(vr), _VRS) or "A VR is two letters, like LO (PS3.5 §6.2)."
        raise Rejections([Finding(("vr",), f"{quoted(vr)} is not a VR that text can be in", hint)])
    try:
        value = _template(parts["value"])
        values.check_template(target, value, vr)
    except Rejected as error:
        raise Rejections([Finding(("value",) if apart else (), error.message, error.hint)]) from None
    return value, vr


def _remove(target: Attribute, _: Any) -> Operation:
    return Remove(target)


def _copy(target: Attribute, wanted: Any) -> Operation:
    source = attributes.owned(_text(wanted))
    values.check_copy(target, source)
    return Copy(target, source)


def _replace(target: Attribute, wanted: Any) -> Operation:
    parts = _parts(wanted, "pattern", ("with",))
    pattern, replacement = _text(parts["pattern"]), _text(parts.get("with", ""))
    try:
        regex(pattern)
    except Rejected as error:
        raise Rejections([Finding(("pattern",), error.message, error.hint)]) from None
    try:
        found = Replace(target, pattern, replacement)
        for part in found.parts():
            if isinstance(part, str):
                values.check_part(target, part)
    except (Rejected, NotAllowed) as error:
        raise Rejections([Finding(("with",), error.message, error.hint)]) from None
    return found


def _map(target: Attribute, wanted: Any) -> Operation:
    if isinstance(wanted, Mapping) and "table" not in wanted and not {"default", "strict"} & wanted.keys():
        names = ", ".join(f'{name} = "…"' for name in wanted)
        hint = f'Write {{ table = {{ {names} }} }}, or {{ file = "values.csv" }}.'
        raise Rejections([Finding((), "has no table", hint)])
    parts = _parts(wanted, "table", ("default", "strict"))
    table, default, strict = parts["table"], parts.get("default"), parts.get("strict", False)
    if not isinstance(table, Mapping) or not table or not all(isinstance(each, str) for each in table.values()):
        words = "must be a table of texts that is not empty"
        raise Rejections([Finding(("table",), words, f"Write it like {EXAMPLES['map']}.")])
    if not isinstance(strict, bool):
        raise Rejections([Finding(("strict",), "must be true or false")])
    if strict and default is not None:
        raise Rejections([Finding(("strict",), "does not go with a default", "Leave one of them out.", at_key=True)])
    findings = [] if default is None else _unfit(target, _text(default), ("default",))
    findings += [each for name, value in table.items() for each in _unfit(target, value, ("table", str(name)))]
    if findings:
        raise Rejections(findings)
    return Map(target, dict(table), default, strict)


def _unfit(target: Attribute, value: str, key: Key) -> list[Finding]:
    """Return what is wrong with a text as one of the values of an attribute."""
    try:
        values.check_value(target, value)
    except Rejected as error:
        return [Finding(key, error.message, error.hint)]
    return []


def _clean(target: Attribute, wanted: Any) -> Operation:
    parts = {} if wanted is None else _parts(wanted, "", ("repertoire", "replacement"))
    repertoire = parts.get("repertoire", Repertoire.ASCII)
    if repertoire not in list(Repertoire):
        words = f"{repertoire!r} is not a repertoire"
        raise Rejections([Finding(("repertoire",), words, suggestion(str(repertoire), list(Repertoire)))])
    found = Clean(target, Repertoire(repertoire), _text(parts.get("replacement", "")))
    try:
        values.check_part(target, found.replacement)
    except Rejected as error:
        raise Rejections([Finding(("replacement",), error.message, error.hint)]) from None
    return found


def _hash(target: Attribute, wanted: Any) -> Operation:
    parts = {} if wanted is None else _parts(wanted, "", ("length",))
    length = parts.get("length", 16)
    if not isinstance(length, int) or isinstance(length, bool):
        raise Rejections([Finding(("length",), "must be a whole number")])
    try:
        found = Hash(target, length)
        values.check_hash(target, length)
    except (Rejected, NotAllowed) as error:
        raise Rejections([Finding(("length",) if "length" in parts else (), error.message, error.hint)]) from None
    return found


def _prefix(target: Attribute, wanted: Any) -> Operation:
    values.check_added(target, _text(wanted))
    return Prefix(target, wanted)


def _suffix(target: Attribute, wanted: Any) -> Operation:
    values.check_added(target, _text(wanted))
    return Suffix(target, wanted)


def _parts(value: object, needed: str, others: tuple[str, ...]) -> Mapping[str, Any]:
    """Return a table that has the key `needed` (if that is not empty) and at most `others` beside it."""
    known = tuple(name for name in (needed, *others) if name)
    if not isinstance(value, Mapping):
        msg = "must be a table"
        raise Rejected(msg, f"Its keys are {', '.join(known)}.")
    findings = [unknown((str(name),), known) for name in value if name not in known]
    if needed and needed not in value:
        findings.append(Finding((needed,), "is missing"))
    if findings:
        raise Rejections(findings)
    return value


_READERS: Final[Mapping[str, _Read]] = MappingProxyType(
    {
        "set": _set,
        "set_missing": _set_missing,
        "remove": _remove,
        "copy": _copy,
        "replace": _replace,
        "map": _map,
        "clean": _clean,
        "hash": _hash,
        "prefix": _prefix,
        "suffix": _suffix,
    }
)
NAMES: Final = tuple(_READERS)
"""All operations, by their keys in a profile."""
_WHOLE: Final[Mapping[str, Callable[[str], Attribute]]] = MappingProxyType(
    {"remove": attributes.attribute, "clean": attributes.attribute, "copy": attributes.owned}
)
"""Those that take sequences and binary attributes, too."""
_LISTS: Final = frozenset({"remove", "clean", "hash"})
EXAMPLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "set": '{ InstitutionName = "St. Mary\'s Hospital" }',
        "set_missing": '{ AccessionNumber = "{StudyID}" }',
        "remove": '["PatientAddress", "(0009,xxxx,GEMS_IDEN_01)"]',
        "copy": '{ AccessionNumber = "StudyID" }',
        "replace": '{ PatientID = { pattern = "^COACH-(\\\\d+)$", with = "STM\\\\1" } }',
        "map": '{ BodyPartExamined = { table = { HEAD = "BRAIN" }, default = "OTHER" } }',
        "clean": '["PatientName"]',
        "hash": '["PatientID"]',
        "prefix": '{ AccessionNumber = "STM" }',
        "suffix": '{ StationName = "_COACH" }',
    }
)
