"""De-identification of one image's dataset for one destination, on every level of it (PS3.15 Annex E).

The rules come from tables; here they are carried out. Each value is looked at even where its attribute may stay: text
that tells who the patient is goes wherever it stands, and what cannot be read goes too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from capacitord.dicom import elements
from capacitord.dicom.deidentify import content, marks, pixels, private, risk, single, unlisted, words
from capacitord.dicom.deidentify.single import NotDeidentified, made
from capacitord.dicom.deidentify.subject import PATIENT_ID, PATIENT_NAME, Place, Subject, read
from capacitord.dicom.deidentify.table import Action, Rule, profile
from capacitord.dicom.elements import DEEPEST_NESTING
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET, CharacterSet
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import (
    AnyElement,
    declared,
    element_of,
    is_empty,
    is_left_out,
    is_sequence,
    items_of,
    shallow,
)
from capacitord.model.deidentify import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydicom.dataelem import DataElement

    from capacitord.dicom.deidentify.codes import Codes
    from capacitord.dicom.deidentify.words import Identity
    from capacitord.model.deidentify import Deidentification

__all__ = ["NotDeidentified", "deidentified", "identity_of"]

_FIRST_GROUP: Final = 0x0008
_PIXELS: Final = 0x7FE0
_OVERLAYS: Final = 0x60
_OVERLAY_DATA: Final = 0x3000
_PIXEL_DATA: Final = frozenset({*pixels.PIXEL_ELEMENTS, *pixels.TABLES})
_DELIMITER: Final = 8
"""Bytes of one that ends an item or a sequence: its tag, and a length of zero."""
_CONTENT: Final = frozenset({content.CONTENT_SEQUENCE, 0x00400555, 0x00400610, 0x0040B020})
"""Sequences that the option CleanStructuredContent cleans."""
_DUMMIED: Final = frozenset(
    {Action.DUMMY, Action.EMPTY_OR_DUMMY, Action.REMOVE_OR_DUMMY, Action.REMOVE_OR_EMPTY_OR_DUMMY}
)
"""Which of these an attribute needs depends on the object it is in; a dummy is right in all."""
_NOT_TRUSTED: Final = Rule(Action.CLEAN, Action.DUMMY)


def deidentified(
    dataset: Dataset, how: Deidentification, *, codes: Codes, large: Callable[[int], bytes] | None = None
) -> Dataset:
    """Return the dataset as it may leave for a destination; the one that is given stays as it is.

    `dataset` has been read to its end: with only the head, what is behind the pixel data would leave as it is. Its
    pixels, and other values too large to be kept, need not be there: `pixels.cleaned` looks at the former, and `large`
    reads one of the latter by its tag. `codes` are those of the site for this destination. Raises `NotDeidentified`.
    """
    chosen = profile(frozenset(how.options))
    found = risk.found_in(risk.picture(dataset), chosen)
    if found is not None:
        raise NotDeidentified(found.reason, found.held)
    subject = Subject(dataset, chosen, codes, large)
    after, _ = _Walk(subject).level(dataset, declared(dataset))
    if element_of(dataset, PATIENT_NAME) is not None or element_of(dataset, PATIENT_ID) is not None:
        for tag, vr in ((PATIENT_NAME, "PN"), (PATIENT_ID, "LO")):
            after[BaseTag(tag)] = made(tag, vr, codes.patient(subject.patient))
    marks.add(after, chosen)
    return after


def identity_of(dataset: Dataset, how: Deidentification, *, codes: Codes) -> Identity:
    """Return the words by which somebody would know the patient of a dataset, as `deidentified` looks for them."""
    return Subject(dataset, profile(frozenset(how.options)), codes).identity


class _Walk:
    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._how = subject.how

    def inside(
        self, item: Dataset, place: Place, *, strict: bool = False, rules: Mapping[int, Rule] | None = None
    ) -> tuple[Dataset, bool]:
        """Return an item of the sequence at `place` de-identified, and whether that changed anything."""
        return self.level(item, place.characters, place.depth + 1, strict=strict or place.strict, rules=rules)

    def level(
        self,
        original: Dataset,
        outer: CharacterSet,
        depth: int = 0,
        *,
        strict: bool = False,
        rules: Mapping[int, Rule] | None = None,
    ) -> tuple[Dataset, bool]:
        """Return one level de-identified, and whether that changed anything; `rules` go before those of the tables."""
        if depth > DEEPEST_NESTING:
            msg = "its sequences are nested too deeply"
            raise NotDeidentified(msg)
        # Reading a sequence leaves it read in the level, and the original is to stay as it is.
        level = shallow(original)
        characters = declared(level) if element_of(level, SPECIFIC_CHARACTER_SET) is not None else outer
        safe = private.safe_in(level) if self._how.chose(Option.RETAIN_SAFE_PRIVATE) else {}
        found: dict[int, AnyElement] = {}
        for tag in original.keys():  # noqa: SIM118  # values stay undecoded
            element = element_of(original, tag)
            if element is None:
                continue
            place = Place(level, tag, element, characters, depth, strict)
            if tag >> 16 & 1:
                kept = self._private(place, safe.get(tag))
            else:
                kept = self._standard(place, (rules or {}).get(tag))
            if kept is not None:
                found[tag] = kept
        _add_creators(found, original)
        _drop_overlays_without_data(found)
        after = Dataset({BaseTag(tag): found[tag] for tag in sorted(found)})
        implicit, little = original.original_encoding
        after.set_original_encoding(implicit, little, original.original_character_set)
        same = len(found) == len(original) and all(found[tag] is element_of(original, tag) for tag in found)
        return after, not same

    def _standard(self, place: Place, rule: Rule | None) -> AnyElement | None:
        tag, element = place.tag, place.element
        if tag >> 16 == _PIXELS:
            # Of icons, which may show what was cleaned; and what else is about pixels need not stay true.
            return element if place.depth == 0 and tag in _PIXEL_DATA else None
        if not tag & 0xFFFF:
            # Group lengths are retired, and whatever bytes stand in one are no length any more.
            return None
        if tag >> 16 < _FIRST_GROUP:
            return None
        rule = rule or self._how.rule(tag) or unlisted.rule(tag, self._how)
        if place.strict and rule == unlisted.KEPT and tag not in content.CODE and place.vr in single.CLEANED_VRS:
            rule = _NOT_TRUSTED
        if rule.action is Action.REMOVE:
            return None
        if is_empty(element):
            return element
        if rule.action is Action.CLEAN:
            cleaned = self._cleaned(place)
            return cleaned if cleaned is not None else self._by(rule.basic, place)
        return self._by(rule.action, place)

    def _by(self, action: Action, place: Place) -> AnyElement | None:
        if action is Action.REMOVE:
            return None
        if action is Action.EMPTY or action in _DUMMIED:
            code = single.coded(place, self._subject)
            if code is not None:
                return code
        if is_sequence(place.element):
            if action in {Action.KEEP, Action.REMOVE_OR_EMPTY_OR_UID}:
                return self._kept_sequence(place)
            return self._dummy_sequence(place) if action in _DUMMIED else made(place.tag, "SQ", Sequence())
        if action is Action.KEEP:
            return single.swept(place, self._subject)
        if action in {Action.UID, Action.REMOVE_OR_EMPTY_OR_UID}:
            return single.mapped(place, self._subject)
        return single.dummy(place, self._subject) if action in _DUMMIED else made(place.tag, place.vr, None)

    def _private(self, place: Place, vr: str | None) -> AnyElement | None:
        """Return a private attribute if the list has it for safe, with the VR that it has there."""
        if vr is None or is_left_out(place.element):
            return None
        if vr == "SQ":
            return self._kept_sequence(place) if is_sequence(place.element) else None
        return single.safe_private(place, vr, self._subject)

    def _kept_sequence(self, place: Place) -> AnyElement | None:
        """Return a sequence with the rules carried out within, None if it cannot be read."""
        items = _items(place)
        if items is None:
            return None
        done = [self._kept_item(item, place) for item in items]
        if not any(changed for _, changed in done) and not _has_more_than_items(place.element):
            return place.element
        left = [item for item, _ in done if item is not None]
        # Many code sequences have to have an item, above all the name of a content item.
        return made(place.tag, "SQ", Sequence(left or [content.no_code()]))

    def _kept_item(self, item: Dataset, place: Place) -> tuple[Dataset | None, bool]:
        """Return an item of a sequence that is kept, None if it may not stay, and whether that changed anything."""
        if not content.is_code(item):
            return self.inside(item, place)
        if not content.is_public(item):
            return None, True
        after, changed = self.inside(item, place)
        return after, self._says_less(after, item, place) or changed

    def _says_less(self, code: Dataset, original: Dataset, place: Place) -> bool:
        """Clean the meaning of a code, which is free text to many devices; return whether that changed it."""
        said = "\\".join(read(original, content.CODE_MEANING, place.characters))
        meaning = words.cleaned(said, self._subject.identity) or content.code_value(code)
        if meaning == said:
            return False
        code[BaseTag(content.CODE_MEANING)] = made(content.CODE_MEANING, "LO", meaning)
        return True

    def _cleaned(self, place: Place) -> AnyElement | None:
        if not is_sequence(place.element):
            return single.cleaned(place, self._subject)
        items = _items(place) or []
        may_go = not content.refers_by_number(items)
        cleaned = [self._cleaned_item(item, place, may_go=may_go) for item in items]
        left = [item for item in cleaned if item is not None]
        return made(place.tag, "SQ", Sequence(left)) if left else None

    def _cleaned_item(self, item: Dataset, place: Place, *, may_go: bool) -> Dataset | None:
        """Return an item of a sequence to be cleaned; a code stays if its scheme is public, with a safe meaning."""
        is_code = content.is_code(item)
        if is_code and not content.is_public(item):
            return None
        rules: dict[int, Rule] = {}
        if place.tag in _CONTENT:
            verdict = content.verdict(content.concept(item), self._how, may_go=may_go)
            if verdict.removed:
                return None
            if verdict.rule is not None:
                rules[verdict.tag] = verdict.rule
        after, _ = self.inside(item, place, strict=True, rules=rules)
        if is_code:
            self._says_less(after, item, place)
        return after

    def _dummy_sequence(self, place: Place) -> DataElement | None:
        """Return a sequence of one item that is like the first, but without anything that was said in it."""
        if place.tag == content.CONTENT_SEQUENCE:
            return made(place.tag, "SQ", content.empty_report())
        items = _items(place)
        if not items:
            return None
        item, _ = self.inside(items[0], place)
        characters = declared(item) if element_of(item, SPECIFIC_CHARACTER_SET) is not None else place.characters
        for tag in sorted(item.keys()):
            element = element_of(item, tag)
            if element is None or is_empty(element):
                continue
            inside = Place(item, tag, element, characters, place.depth + 1)
            if inside.vr in {"CS", "UI"}:
                # Terms of the standard, and UIDs that are codes by now.
                continue
            dummy = self._dummy_sequence(inside) if is_sequence(element) else single.dummy(inside, self._subject)
            if dummy is None:
                del item[tag]
            else:
                item[tag] = dummy
        return made(place.tag, "SQ", Sequence([item]))


def _has_more_than_items(element: AnyElement) -> bool:
    """Whether there are bytes in a sequence, not yet decoded, that are of no item: behind the last, or in its end."""
    if not isinstance(element, RawDataElement):
        return False
    own = elements.Encoding(implicit=element.is_implicit_VR, big=not element.is_little_endian)
    found, tail = elements.items(element.value or b"", elements.inner(element.VR or "", own))
    ends = (tail, *(item[2] for item in found))
    return any(len(end) > _DELIMITER or any(end[_DELIMITER // 2 :]) for end in ends)


def _items(place: Place) -> list[Dataset] | None:
    """Return the items of a sequence, None if it cannot be read."""
    try:
        return list(items_of(place.level, place.tag))
    except Unfit:
        return None


def _add_creators(found: dict[int, AnyElement], original: Dataset) -> None:
    """Keep the private creators of what is kept, without which nobody knows what it is (PS3.5 §7.8.1)."""
    for tag in [tag for tag in found if tag >> 16 & 1]:
        creator = element_of(original, private.creator_of(tag))
        if creator is not None:
            found[private.creator_of(tag)] = creator


def _drop_overlays_without_data(found: dict[int, AnyElement]) -> None:
    for tag in [tag for tag in found if tag >> 24 == _OVERLAYS and tag & 0xFFFF != _OVERLAY_DATA]:
        if tag & 0xFFFF0000 | _OVERLAY_DATA not in found:
            del found[tag]
