"""One level of a dataset: its elements as they are, decoded or not; its sequences, private blocks and VRs."""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable
from typing import Final, TypeAlias

from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from capacitord.dicom import elements as encoded
from capacitord.dicom.elements import Encoding, Malformed
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET, CharacterSet, character_set
from capacitord.dicom.transform.failure import Unfit
from capacitord.model.attribute import Step

AnyElement: TypeAlias = DataElement | RawDataElement
Items: TypeAlias = collections.abc.Sequence[Dataset]

FIRST_BLOCK: Final = 0x10
LAST_BLOCK: Final = 0xFF


def shallow(dataset: Dataset) -> Dataset:
    """Return a dataset with the same elements, none of them decoded."""
    copy = Dataset({tag: dataset.get_item(tag, keep_deferred=True) for tag in dataset.keys()})  # noqa: SIM118
    implicit, little = dataset.original_encoding
    copy.set_original_encoding(implicit, little, dataset.original_character_set)
    return copy


def element_of(level: Dataset, tag: int) -> AnyElement | None:
    """Return an element as it is, decoded or not."""
    return level.get_item(BaseTag(tag), keep_deferred=True)


def is_left_out(element: AnyElement) -> bool:
    """Whether the element is there, but its value was too large to be kept."""
    return isinstance(element, RawDataElement) and element.value is None and element.length != 0


def is_empty(element: AnyElement) -> bool:
    """Whether the element has no value."""
    if isinstance(element, RawDataElement):
        return not element.value and not is_left_out(element)
    return bool(element.is_empty)


def is_sequence(element: AnyElement | None) -> bool:
    """Whether the element is a sequence: one that was written without its VR is if nothing but items is in it."""
    if element is None or isinstance(element, DataElement):
        return element is not None and element.VR == "SQ"
    if element.VR == "SQ":
        return True
    if element.VR not in {None, "UN"}:
        return False
    known = public_vr(element.tag)
    return known == "SQ" or (not known and (element.length == encoded.UNDEFINED or _has_items(element)))


def _has_items(raw: RawDataElement) -> bool:
    """Whether a value of unknown VR consists of items, from its first byte to its last."""
    if not raw.value or raw.value[:4] not in encoded.ITEM_TAGS:
        return False
    try:
        return bool(_read_sequence(raw).value)
    except Unfit:
        return False


def sequences(level: Dataset) -> list[int]:
    """Return the tags of the level's sequences, in order."""
    return sorted(tag for tag in level.keys() if is_sequence(element_of(level, tag)))  # noqa: SIM118


def items_of(level: Dataset, tag: int) -> Items:
    """Return the items of a sequence, which is read if it was not yet. Raises `Unfit`."""
    element = element_of(level, tag)
    if isinstance(element, RawDataElement):
        if is_left_out(element):
            msg = "is a sequence too large to be looked into"
            raise Unfit(msg)
        element = _read_sequence(element)
        level[BaseTag(tag)] = element
    return element.value or () if element is not None else ()


def _read_sequence(raw: RawDataElement) -> DataElement:
    encoding = Encoding(implicit=raw.is_implicit_VR, big=not raw.is_little_endian)
    encoding = encoded.inner(raw.VR or "", encoding)
    try:
        items, _ = encoded.items(raw.value or b"", encoding)
        datasets = [dataset_of(encoded.elements(item.content, encoding), encoding) for item in items]
    except Malformed as error:
        raise Unfit(f"is a sequence that cannot be read: {error}") from None
    element = DataElement(raw.tag, "SQ", Sequence(datasets))
    element.is_undefined_length = raw.length == encoded.UNDEFINED
    return element


def dataset_of(found: Iterable[encoded.Element], encoding: Encoding) -> Dataset:
    """Return a dataset of elements as they lie in the bytes, none of them decoded. Raises `Malformed`."""
    held: dict[BaseTag, DataElement | RawDataElement] = {}
    for element in found:
        tag = BaseTag(element.tag)
        if tag in held:
            if held[tag].value == element.value and element.data is not None:
                # Some devices write an attribute twice; only two values leave open which one counts.
                continue
            msg = f"({element.tag >> 16:04X},{element.tag & 0xFFFF:04X}) stands twice in a dataset"
            raise Malformed(msg)
        held[tag] = RawDataElement(
            tag,
            element.vr or None,
            encoded.UNDEFINED if element.undefined else element.length,
            None if element.data is None else element.value,
            element.start,
            encoding.implicit,
            not encoding.big,
        )
    dataset = Dataset(held)
    characters = declared(dataset)
    # Told of terms it does not know, pydicom would warn, and repeat them in its warning.
    terms = list(characters.terms) if characters.is_known else None
    if terms is None and any("\0" in term.rstrip("\0 ") for term in characters.terms):
        msg = "its Specific Character Set is no text"
        raise Malformed(msg)
    dataset.set_original_encoding(encoding.implicit, not encoding.big, terms or None)
    return dataset


def declared(level: Dataset) -> CharacterSet:
    """Return the character set that the dataset itself declares; none is the default repertoire."""
    element = element_of(level, SPECIFIC_CHARACTER_SET)
    if element is None or not element.value:
        return character_set("")
    value = element.value
    if isinstance(value, bytes):
        return character_set(value.decode("ascii", "replace"))
    return character_set(value if isinstance(value, str) else "\\".join(map(str, value)))


def matching(level: Dataset, step: Step) -> list[int]:
    """Return the tags of the level's elements that a step names, in order."""
    if step.exact and not step.creator:
        return [step.tag] if BaseTag(step.tag) in level else []
    tags: list[int] = sorted(tag for tag in level.keys() if step.matches(tag))  # noqa: SIM118
    if step.creator:
        return _of_creator(level, step, tags)
    if step.tag >> 16 & 1 and step.mask & 0xFFFF == 0x00FF:
        # In a private group, "xx" before two digits stands for a block (PS3.5 §7.8.1).
        return [tag for tag in tags if tag >> 8 & 0xFF >= FIRST_BLOCK]
    return tags


def _of_creator(level: Dataset, step: Step, tags: list[int]) -> list[int]:
    group = step.tag >> 16
    blocks = set(blocks_of(level, group, step.creator))
    found = [tag for tag in tags if tag >> 8 & 0xFF in blocks]
    if not step.mask & 0xFF:
        found = [*(group << 16 | block for block in sorted(blocks)), *found]
    return found


def blocks_of(level: Dataset, group: int, owner: str) -> list[int]:
    """Return the numbers of the blocks that a private creator has reserved (PS3.5 §7.8.1)."""
    return [block for block, found in creators(level, group).items() if found == owner]


def creators(level: Dataset, group: int) -> dict[int, str]:
    """Return the private creators of a group by block number."""
    found = {
        tag & 0xFFFF: creator(level, group, tag & 0xFFFF)
        for tag in level.keys()  # noqa: SIM118
        if tag >> 16 == group and FIRST_BLOCK <= tag & 0xFFFF <= LAST_BLOCK
    }
    return dict(sorted(found.items()))


def creator(level: Dataset, group: int, block: int) -> str:
    """Return the private creator that has reserved a block, empty if none has."""
    element = element_of(level, group << 16 | block)
    value = element.value if element is not None else None
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.strip(" \0")


def vr_of(level: Dataset, tag: int) -> str:
    """Return the VR an element is read with: its own, else that of the dictionaries, UN if they know none."""
    element = element_of(level, tag)
    own = element.VR if element is not None else None
    return own if own and own != "UN" else known_vr(level, tag) or "UN"


def known_vr(level: Dataset, tag: int) -> str:
    """Return the VR that the dictionaries have for a tag, empty if they have none or more than one."""
    if not tag >> 16 & 1:
        vr = public_vr(tag)
        return _signed_or_not(level) if vr == "US or SS" else vr if len(vr) == 2 else ""
    if FIRST_BLOCK <= tag & 0xFFFF <= LAST_BLOCK:
        return "LO"
    block = tag >> 8 & 0xFF
    owner = creator(level, tag >> 16, block) if block >= FIRST_BLOCK else ""
    try:
        vr = private_dictionary_VR(BaseTag(tag), owner) if owner else ""
    except KeyError:
        return ""
    return vr if len(vr) == 2 else ""


def public_vr(tag: int) -> str:
    """Return the VR that PS3.6 has for a tag, more than one as it says so, empty if it has none."""
    if tag >> 16 & 1:
        return ""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def _signed_or_not(level: Dataset) -> str:
    """PS3.5 §A.1: Pixel Representation says which."""
    element = element_of(level, 0x00280103)
    value = element.value if element is not None else None
    if isinstance(value, bytes):
        return "SS" if any(value) else "US"
    return "SS" if value else "US"
