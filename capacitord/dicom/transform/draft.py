"""A dataset being changed: the original stays as it is, and what differs is known by its path.

A path is a tag, or the tag of a sequence, the number of an item (from 0), and so on: (tag, item, tag).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from capacitord.dicom.elements import DEEPEST_NESTING
from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET, CharacterSet
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import (
    FIRST_BLOCK,
    LAST_BLOCK,
    AnyElement,
    Items,
    blocks_of,
    declared,
    element_of,
    is_empty,
    is_sequence,
    items_of,
    matching,
    public_vr,
    sequences,
    shallow,
)
from capacitord.model.attribute import Attribute, Step

Path: TypeAlias = tuple[int, ...]


class Edit(NamedTuple):
    """One difference to the original: the element that is at `path` now, if any, and the set its text is in."""

    path: Path
    element: DataElement | None
    characters: CharacterSet


class Logged(NamedTuple):
    """One thing that was done: where, and what was there before, for a person to read."""

    path: Path
    before: str | None


class Draft:
    """A copy of a dataset that is made as far as it is changed."""

    def __init__(self, original: Dataset) -> None:
        self.dataset = shallow(original)
        self._own: dict[Path, Dataset] = {(): self.dataset}
        self._own_sequences: set[Path] = set()
        self._touched: dict[Path, None] = {}
        self.log: list[Logged] = []

    def element(self, path: Path) -> AnyElement | None:
        """Return what is at a path."""
        return element_of(self.level(path[:-1]), path[-1])

    def level(self, prefix: Path) -> Dataset:
        """Return the dataset whose elements have paths that begin so, for reading."""
        if prefix in self._own:
            return self._own[prefix]
        return self.items(prefix[:-1])[prefix[-1]]

    def items(self, path: Path) -> Items:
        """Return the items of the sequence at a path. Raises `Unfit` if they cannot be read."""
        return items_of(self.level(path[:-1]), path[-1])

    def put(self, path: Path, element: DataElement, *, same_text: bool = False) -> None:
        """Place an element, in place of another one or not; `same_text` if it says what the other one did."""
        self._note(path, same_text=same_text)
        self._writable(path[:-1])[BaseTag(path[-1])] = element

    def remove(self, path: Path) -> None:
        """Take away the element at a path."""
        self._note(path, same_text=False)
        del self._writable(path[:-1])[BaseTag(path[-1])]

    def freeze(self) -> Dataset:
        """Return the dataset as it is now, which will stay so."""
        before = self.dataset
        self.dataset = shallow(before)
        self._own = {(): self.dataset}
        self._own_sequences = set()
        return before

    def characters(self, prefix: Path) -> CharacterSet:
        """Return the character set of text in the dataset at `prefix` (PS3.3 §C.12.1.1.2: items inherit it)."""
        return declared(self.level(self.scope(prefix)))

    def scope(self, prefix: Path) -> Path:
        """Return where the character set in force at `prefix` is declared, or would be."""
        while prefix and element_of(self.level(prefix), SPECIFIC_CHARACTER_SET) is None:
            prefix = prefix[:-2]
        return prefix

    def find(self, attribute: Attribute) -> list[Path]:
        """Return the paths of all elements that the attribute names, in the order of the dataset."""
        return list(self._find((), self.dataset, attribute.steps, anywhere=attribute.anywhere))

    def make_way(self, attribute: Attribute) -> list[Path]:
        """Return the paths where the attribute belongs, whether it is there or not.

        Sequences on the way get an item if they have none, and private creators a block. The attribute is exact.
        """
        prefixes: list[Path] = [()]
        for step in attribute.steps[:-1]:
            prefixes = [each for prefix in prefixes for each in self._step_into(prefix, step)]
        return [(*prefix, self._tag(prefix, attribute.steps[-1])) for prefix in prefixes]

    def edits(self) -> tuple[Edit, ...]:
        """Return what was put and taken away, each once, and nothing below something that was."""
        found = []
        for path in self._touched:
            if any(path[:size] in self._touched for size in range(1, len(path), 2)):
                continue
            element = self.level(path[:-1]).get(BaseTag(path[-1]))
            found.append(Edit(path, element, self.characters(path[:-1])))
        return tuple(found)

    def _find(self, prefix: Path, level: Dataset, steps: tuple[Step, ...], *, anywhere: bool) -> Iterator[Path]:
        if len(prefix) > 2 * DEEPEST_NESTING:
            msg = "the sequences are nested too deeply"
            raise Unfit(msg)
        for tag in matching(level, steps[0]):
            if len(steps) == 1:
                yield (*prefix, tag)
            elif is_sequence(element_of(level, tag)):
                for number, item in enumerate(items_of(level, tag)):
                    yield from self._find((*prefix, tag, number), item, steps[1:], anywhere=False)
        if anywhere:
            for tag in sequences(level):
                for number, item in enumerate(items_of(level, tag)):
                    yield from self._find((*prefix, tag, number), item, steps, anywhere=True)

    def _step_into(self, prefix: Path, step: Step) -> list[Path]:
        tag = self._tag(prefix, step)
        element = element_of(self.level(prefix), tag)
        if element is not None and not is_sequence(element) and not is_empty(element):
            msg = f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not a sequence"
            raise Unfit(msg)
        count = len(items_of(self.level(prefix), tag)) if element is not None and is_sequence(element) else 0
        if not count:
            if element is None and not step.creator and public_vr(tag) != "SQ":
                msg = f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not a sequence"
                raise Unfit(msg)
            self.put((*prefix, tag), DataElement(BaseTag(tag), "SQ", Sequence([Dataset()])))
            count = 1
        return [(*prefix, tag, number) for number in range(count)]

    def _tag(self, prefix: Path, step: Step) -> int:
        """Return the tag of an exact step, for which a private creator gets a block if it has none."""
        if not step.creator:
            return step.tag
        group = step.tag >> 16
        level = self.level(prefix)
        blocks = blocks_of(level, group, step.creator)
        if blocks:
            return step.tag | blocks[0] << 8
        inside = [tag & 0xFFFF for tag in level.keys() if tag >> 16 == group]  # noqa: SIM118  # values stay undecoded
        used = {element >> 8 or element for element in inside}
        for block in range(FIRST_BLOCK, LAST_BLOCK + 1):
            if block not in used:
                tag = group << 16 | block
                self.put((*prefix, tag), DataElement(BaseTag(tag), "LO", step.creator))
                return step.tag | block << 8
        msg = f"group {group:04X} has no private block left"
        raise Unfit(msg)

    def _writable(self, prefix: Path) -> Dataset:
        if prefix in self._own:
            return self._own[prefix]
        items, number = self._own_items(prefix[:-1]), prefix[-1]
        items[number] = self._own[prefix] = shallow(items[number])
        return self._own[prefix]

    def _own_items(self, path: Path) -> Sequence:
        """Return the items of a sequence as a list of our own, in which each may be replaced."""
        parent = self._writable(path[:-1])
        tag = BaseTag(path[-1])
        if path not in self._own_sequences:
            items = Sequence(items_of(parent, tag))
            element = DataElement(tag, "SQ", items)
            element.is_undefined_length = parent[tag].is_undefined_length
            parent[tag] = element
            self._own_sequences.add(path)
        found: Sequence = parent[tag].value
        return found

    def _note(self, path: Path, *, same_text: bool) -> None:
        self._touched[path] = None
        if not same_text:
            self.log.append(Logged(path, self.shown(path)))
        if path in self._own_sequences:
            self._own = {prefix: level for prefix, level in self._own.items() if prefix[: len(path)] != path}
            self._own_sequences = {other for other in self._own_sequences if other[: len(path)] != path}

    def shown_if_there(self, path: Path) -> str | None:
        """Return the same, None also if the sequence around it is gone."""
        return None if any(self.element(path[:size]) is None for size in range(1, len(path), 2)) else self.shown(path)

    def shown(self, path: Path) -> str | None:
        """Return what is at a path for a person to read, None if nothing is."""
        return values.show(self.level(path[:-1]), path[-1], self.characters(path[:-1]))
