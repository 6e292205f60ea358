"""The answer to a matching entry: the keys that were asked for, in a character set the scanner can read.

The set of an answer is the first of these that has a place for all of its text (PS3.4 §C.2.2.2, PS3.3 §C.12.1.1.2):

1. the one that the query was written in, which the scanner understands;
2. the entry's own, in which the scanner would have got it from the source;
3. ISO_IR 100, if neither says more than the default repertoire;
4. UTF-8 (ISO_IR 192), which has a place for everything.

A supported key that the entry has nothing for comes back empty, an unsupported one not at all (PS3.4 §C.2.2.1.3), and
nothing that was not asked for but Specific Character Set, which has to be there where text is beyond ASCII.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from capacitord.dicom.elements import Encoding
from capacitord.dicom.transform.characters import TEXT_VRS, CharacterSet, character_set, wider
from capacitord.dicom.transform.level import public_vr
from capacitord.dicom.worklist.encoding import Content, Leaf, encode
from capacitord.dicom.worklist.entry import Entry
from capacitord.dicom.worklist.keys import CHARACTER_SET, SUPPORTED, Keys

if TYPE_CHECKING:
    from capacitord.dicom.worklist.matching import Level, Query


class Answer(NamedTuple):
    """An identifier of a pending response: its bytes in the encoding that was asked for, and the set of its text."""

    data: bytes
    characters: CharacterSet
    encoding: Encoding


def answer(query: Query, entry: Entry, encoding: Encoding) -> Answer:
    """Return what is answered for an entry that matches."""
    returned = _returned(query.level, entry, SUPPORTED)
    texts = [(text, vr) for text, vr in _texts(returned) if not text.isascii()]
    characters = _chosen(texts, query.characters, entry.characters)
    declares = bool(texts) or (query.level.asks_characters and not characters.is_default)
    if declares:
        returned = {CHARACTER_SET: Leaf("CS", list(characters.terms)), **returned}
    elif query.level.asks_characters:
        returned = {CHARACTER_SET: Leaf("CS", []), **returned}
    return Answer(encode(returned, characters, encoding), characters, encoding)


def _returned(level: Level, entry: Entry, supported: Keys) -> Content:
    """Return what of an entry is answered, by tag."""
    found: Content = {}
    for tag in level.returned:
        found[tag] = Leaf(public_vr(tag), entry.values(tag))
    for tag, below in level.sequences.items():
        inside = supported[tag] or {}
        items = entry.items(tag)
        if below is None:
            found[tag] = [_whole(item, inside) for item in items]
        else:
            found[tag] = [_returned(below, item, inside) for item in items if below.matches(item)]
    return found


def _whole(item: Entry, supported: Keys) -> Content:
    """Return all of an item that this box knows."""
    found: Content = {}
    for tag in item.tags():
        if tag in supported:
            inside = supported[tag]
            if inside is None:
                found[tag] = Leaf(public_vr(tag), item.values(tag))
            else:
                found[tag] = [_whole(each, inside) for each in item.items(tag)]
    return found


def _texts(level: Content) -> Iterator[tuple[str, str]]:
    """Yield all text whose bytes depend on the character set, with its VR."""
    for content in level.values():
        if isinstance(content, list):
            for item in content:
                yield from _texts(item)
        elif content.vr in TEXT_VRS:
            yield "\\".join(content.values), content.vr


def _chosen(texts: list[tuple[str, str]], asked: CharacterSet, own: CharacterSet) -> CharacterSet:
    if not texts:
        return asked if asked.is_known else character_set("")
    for candidate in (asked, own, *wider(asked if own.is_default else own)):
        if candidate.is_known and all(candidate.holds(text, vr) for text, vr in texts):
            return candidate
    return character_set("ISO_IR 192")
