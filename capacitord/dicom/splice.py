"""Changes to a dataset put into its bytes: what no change touches stays as it is, byte for byte."""

from __future__ import annotations

import collections
import itertools
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from capacitord.dicom import elements as encoded
from capacitord.dicom.elements import Element, Encoding, Malformed
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.values import encode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from capacitord.dicom.transform.draft import Edit


SMALL: Final = 1 << 14
"""Bytes of a piece that costs less to copy than to send by itself."""


class Cut(NamedTuple):
    """The bytes from `start` up to `stop` are replaced; where both are the same, something is put in."""

    start: int
    stop: int
    data: bytes

    @property
    def growth(self) -> int:
        """How many bytes longer the dataset becomes."""
        return len(self.data) - (self.stop - self.start)


def cuts(level: Sequence[Element], edits: Sequence[Edit], encoding: Encoding, end: int) -> list[Cut]:
    """Return what to cut for these edits, in order; `end` is where a new last element goes.

    Raises `Unfit` or `Malformed` if an edit cannot be written.
    """
    found: list[Cut] = []
    added: dict[int, bytes] = {}
    growth: collections.Counter[int] = collections.Counter()
    by_tag: dict[int, list[Element]] = {}
    for element in level:
        by_tag.setdefault(element.tag, []).append(element)
    for tag, group in itertools.groupby(sorted(edits, key=lambda edit: edit.path[0]), lambda edit: edit.path[0]):
        each = list(group)
        places = by_tag.get(tag, [])
        if not places and each[0].element is not None:
            added[tag] = _new(each[0], encoding)
            growth[tag >> 16] += len(added[tag])
        for place in places:
            if len(each[0].path) > 1:
                data = _rebuilt(place, each)
            else:
                # An attribute that stands twice stands once when it was changed.
                data = _new(each[0], encoding) if place is places[0] else b""
            if data != place.data:
                found.append(Cut(place.start, place.start + place.size, data))
                growth[tag >> 16] += found[-1].growth
    found += _insertions(level, added, end)
    found += _group_lengths(level, growth, {edit.path[0] for edit in edits}, encoding)
    return sorted(found, key=lambda cut: (cut.start, cut.stop))


def _new(edit: Edit, encoding: Encoding) -> bytes:
    if edit.element is None:
        return b""
    try:
        return encode(edit.element, edit.characters, encoding)
    except (Malformed, Unfit) as error:
        raise Unfit(f"{edit.element.tag} cannot be written: {error}") from None


def spliced(chunks: Iterable[bytes | memoryview], wanted: Sequence[Cut]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of `chunks` with the cuts made, none of them copied; each piece is valid until the next."""
    position = at = number = 0
    for chunk in chunks:
        view = memoryview(chunk)
        end = position + len(view)
        while number < len(wanted) and wanted[number].start < end:
            cut = wanted[number]
            if cut.start > at:
                yield view[at - position : cut.start - position]
            if cut.data:
                yield cut.data
            at = max(at, cut.stop)
            number += 1
        if at < end:
            yield view[at - position :]
            at = end
        position = end
    for cut in wanted[number:]:
        if cut.data:
            yield cut.data


def joined(pieces: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
    """Yield the same bytes with small pieces put together, since each one is sent as a PDU of its own."""
    gathered = bytearray()
    for piece in pieces:
        if len(piece) < SMALL:
            gathered += piece
        if gathered and (len(gathered) >= SMALL or len(piece) >= SMALL):
            yield memoryview(bytes(gathered))
            gathered.clear()
        if len(piece) >= SMALL:
            yield memoryview(piece)
    if gathered:
        yield memoryview(bytes(gathered))


def applied(data: bytes, wanted: Sequence[Cut]) -> bytes:
    """Return `data` with the cuts made."""
    return b"".join(spliced([data], wanted))


def _rebuilt(sequence: Element, edits: Sequence[Edit]) -> bytes:
    """Return a sequence with changes in its items, which are as many as before."""
    data = sequence.data
    if data is None:
        msg = "a sequence that was not kept cannot be changed"
        raise Malformed(msg)
    encoding = encoded.inner(sequence.vr, sequence.encoding)
    items, rest = encoded.items(sequence.value, encoding)
    below: dict[int, list[Edit]] = {}
    for edit in edits:
        below.setdefault(edit.path[1], []).append(edit._replace(path=edit.path[2:]))
    value = b"".join(_changed(item, below.get(number, ()), encoding) for number, item in enumerate(items)) + rest
    if sequence.undefined:
        return data[: sequence.header] + value + data[sequence.header + sequence.length :]
    return encoded.with_length(data[: sequence.header], len(value), sequence.encoding) + value


def _changed(item: encoded.Item, edits: Sequence[Edit], encoding: Encoding) -> bytes:
    if not edits:
        return b"".join(item)
    level = list(encoded.elements(item.content, encoding))
    content = applied(item.content, cuts(level, edits, encoding, len(item.content)))
    return (item.head if item.tail else encoded.item_head(len(content), encoding)) + content + item.tail


def _insertions(level: Sequence[Element], added: dict[int, bytes], end: int) -> Iterator[Cut]:
    places: dict[int, bytes] = {}
    for tag, data in sorted(added.items()):
        place = next((element.start for element in level if element.tag > tag), end)
        places[place] = places.get(place, b"") + data
    for place, data in places.items():
        yield Cut(place, place, data)


def _group_lengths(
    level: Sequence[Element], growth: Mapping[int, int], edited: Collection[int], encoding: Encoding
) -> Iterator[Cut]:
    """Yield the group lengths that the cuts make wrong (PS3.5 §7.2: retired, but old programs go by them)."""
    order: Literal["big", "little"] = "big" if encoding.big else "little"
    for element in level:
        group = element.tag >> 16
        is_group_length = not element.tag & 0xFFFF and element.length == 4 and element.tag not in edited
        if element.data is not None and is_group_length and growth.get(group):
            length = int.from_bytes(element.value, order) + growth[group]
            if 0 <= length < 1 << 32:
                data = element.data[: element.header] + length.to_bytes(4, order)
                yield Cut(element.start, element.start + element.size, data)
