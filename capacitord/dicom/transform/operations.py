"""One operation carried out on a draft."""

from __future__ import annotations

from typing import Final, NamedTuple

from pydicom import config
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET, TEXT_VRS, wider
from capacitord.dicom.transform.draft import Draft, Path
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import element_of, is_empty, is_left_out, is_sequence, items_of, sequences, vr_of
from capacitord.dicom.transform.rules import OnValues, rule
from capacitord.model.attribute import Attribute
from capacitord.model.representation import NUMBERS, check, split
from capacitord.model.transform import Copy, Operation, Recode, Remove, Set, SetMissing, Source, Template


class _New(NamedTuple):
    path: Path
    vr: str
    values: list[str]


def carry_out(operation: Operation, draft: Draft, key: bytes) -> None:
    """Change the draft as the operation says. Raises `Unfit`; then the draft may be changed in part."""
    match operation:
        case Set():
            _set(operation, draft)
        case Remove(target=target):
            # From the back: what is taken away is never on the way to what comes next.
            for path in reversed(draft.find(target)):
                if draft.element(path) is not None:
                    draft.remove(path)
        case Copy():
            _copy(operation, draft)
        case Recode():
            _recode(operation, draft)
        case _:
            _change_values(operation, draft, key)


def _set(operation: Set, draft: Draft) -> None:
    text = _rendered(operation.value, draft)
    target = operation.target
    for path in draft.make_way(target) if target.exact else draft.find(target):
        if not isinstance(operation, SetMissing) or _is_missing(draft, path):
            write_text(draft, path, text, operation.vr)


def _is_missing(draft: Draft, path: Path) -> bool:
    element = draft.element(path)
    return element is None or is_empty(element)


def write_text(draft: Draft, path: Path, text: str, given_vr: str = "") -> None:
    """Place text as a value in the draft. Raises `Unfit` if the attribute cannot have it."""
    vr = values.vr_to_write(draft.level(path[:-1]), path[-1], given_vr)
    if vr not in values.STRING_VRS and vr not in NUMBERS:
        msg = f"text cannot be written under the VR {vr}"
        raise Unfit(msg)
    _write(draft, _New(path, vr, split(text, vr)))


def _copy(operation: Copy, draft: Draft) -> None:
    sources = draft.find(operation.source)
    if not sources or _is_missing(draft, sources[0]):
        return
    source = sources[0]
    level, characters = draft.level(source[:-1]), draft.characters(source[:-1])
    element = draft.element(source)
    target = operation.target
    for path in draft.make_way(target) if target.exact else draft.find(target):
        vr = vr_of(level, source[-1])
        if vr in values.STRING_VRS or vr in NUMBERS:
            there = draft.level(path[:-1])
            found = values.read(level, source[-1], characters)
            _write(draft, _New(path, values.vr_to_write(there, path[-1], vr), found))
        elif element is not None:
            _copy_whole(draft, source, path, vr)


def _copy_whole(draft: Draft, source: Path, path: Path, vr: str) -> None:
    """Copy what is no text: a sequence, or bytes of the same VR."""
    level = draft.level(source[:-1])
    element = draft.element(source)
    if values.vr_to_write(draft.level(path[:-1]), path[-1], vr) != vr and not is_sequence(element):
        msg = f"a value with the VR {vr} does not fit there"
        raise Unfit(msg)
    if element is None or is_left_out(element):
        msg = "the value to copy is too large to be looked at"
        raise Unfit(msg)
    if is_sequence(element):
        if draft.characters(path[:-1]).terms != draft.characters(source[:-1]).terms:
            msg = "a sequence cannot be copied to where text has another character set"
            raise Unfit(msg)
        content: object = [item[:] for item in items_of(level, source[-1])]
        vr = "SQ"
    else:
        content = element.value
    draft.put(path, DataElement(BaseTag(path[-1]), vr, content, validation_mode=config.IGNORE))


def _recode(operation: Recode, draft: Draft) -> None:
    for path in draft.find(operation.target):
        if not is_sequence(draft.element(path)):
            msg = "is not a code sequence"
            raise Unfit(msg)
        for number in range(len(draft.items(path))):
            item = (*path, number)
            level, characters = draft.level(item), draft.characters(item)
            found = [value for tag in _CODE_VALUES for value in values.read(level, tag, characters)]
            code = operation.codes.get(found[0]) if found else None
            if code is None:
                continue
            for tag in _OF_OLD_CODE:
                if draft.element((*item, tag)) is not None:
                    draft.remove((*item, tag))
            for tag, text in ((_CODE_VALUE, code.value), (_SCHEME, code.scheme), (_MEANING, code.meaning)):
                write_text(draft, (*item, tag), text)


_CODE_VALUE, _SCHEME, _MEANING = 0x00080100, 0x00080102, 0x00080104
_CODE_VALUES: Final = (_CODE_VALUE, 0x00080119, 0x00080120)
"""Code Value, Long Code Value, URN Code Value: one of them is there (PS3.3 table 8.8-1)."""
_OF_OLD_CODE: Final = (*_CODE_VALUES[1:], 0x00080103, 0x00080105, 0x00080106, 0x0008010F, 0x00080117, 0x00080118)
"""What would be untrue of another code: its version, and the context group it is from."""


def _change_values(operation: OnValues, draft: Draft, key: bytes) -> None:
    for path in draft.find(operation.target):
        level = draft.level(path[:-1])
        before = values.read(level, path[-1], draft.characters(path[:-1]))
        if not before:
            continue
        change = rule(operation, vr_of(level, path[-1]), key)
        after = [change(value) if value else value for value in before]
        if after != before:
            vr = values.vr_to_write(level, path[-1])
            _write(draft, _New(path, vr, split("\\".join(after), vr)))


def _rendered(template: Template, draft: Draft) -> str:
    return "".join(part if isinstance(part, str) else _value_of(part, draft) for part in template.parts)


def _value_of(source: Source, draft: Draft) -> str:
    found = first_values(source.attribute, draft)
    if found:
        return "\\".join(found)
    if source.default is None:
        raise Unfit(f"{source.attribute.text}, which it is made from, is missing or empty")
    return source.default


def first_values(attribute: Attribute, draft: Draft) -> list[str]:
    """Return the values of the first element that an attribute names, none if there is none. Raises `Unfit`."""
    for path in draft.find(attribute):
        return values.read(draft.level(path[:-1]), path[-1], draft.characters(path[:-1]))
    return []


def _write(draft: Draft, new: _New) -> None:
    """Place checked values in the draft, with a character set that holds them; the same values change nothing."""
    prefix, tag = new.path[:-1], new.path[-1]
    level = draft.level(prefix)
    element = element_of(level, tag)
    before = _before(draft, new.path)
    if element is not None and before == new.values:
        return
    for value in new.values:
        if value and value not in (before or ()):
            check(value, new.vr)
    if len(new.values) != len(before or ()):
        values.check_count(tag, len(new.values))
    if new.vr in TEXT_VRS:
        widen(draft, prefix, "\\".join(new.values), new.vr)
    draft.put(new.path, values.make(tag, new.vr, new.values))


def _before(draft: Draft, path: Path) -> list[str] | None:
    try:
        return values.read(draft.level(path[:-1]), path[-1], draft.characters(path[:-1]))
    except Unfit:
        return None


def widen(draft: Draft, prefix: Path, text: str, vr: str) -> None:
    """See to it that text has a place in the character set at `prefix`, which is changed only if it must be.

    Then all text that the set is for is encoded anew. Raises `Unfit` if some of that cannot be read.
    """
    declared = draft.characters(prefix)
    if declared.holds(text, vr):
        return
    chosen = next((characters for characters in wider(declared) if characters.holds(text, vr)), None)
    if chosen is None:
        msg = "the value has characters that no character set has a place for"
        raise Unfit(msg)
    scope = draft.scope(prefix)
    try:
        old = list(_other_text(draft, scope))
    except Unfit as error:
        raise Unfit(f"the value needs another Specific Character Set, but an attribute {error}") from None
    for path, found_vr, found in old:
        draft.put(path, values.make(path[-1], found_vr, found), same_text=True)
    element = DataElement(BaseTag(SPECIFIC_CHARACTER_SET), "CS", "\\".join(chosen.terms))
    draft.put((*scope, SPECIFIC_CHARACTER_SET), element)


def _other_text(draft: Draft, prefix: Path) -> list[_New]:
    """Return all text at `prefix` and below whose bytes would mean something else in another set."""
    level, characters = draft.level(prefix), draft.characters(prefix)
    found = []
    for tag in sorted(level.keys()):
        element = element_of(level, tag)
        if not isinstance(element, RawDataElement) or not (is_left_out(element) or _may_depend(element.value or b"")):
            continue
        vr = vr_of(level, tag)
        if vr in TEXT_VRS and not is_sequence(element):
            found.append(_New((*prefix, tag), vr, values.read(level, tag, characters)))
    for sequence in sequences(level):
        for number, item in enumerate(items_of(level, sequence)):
            if element_of(item, SPECIFIC_CHARACTER_SET) is None:
                found += _other_text(draft, (*prefix, sequence, number))
    return found


def _may_depend(value: bytes) -> bool:
    """Whether bytes may mean something else in another character set."""
    return not value.isascii() or b"\x1b" in value
