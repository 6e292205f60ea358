"""The worklist SCU: all entries of some days, or of one patient, from the source: whole or not at all.

A list that is not known to be whole would make patients vanish from the scanner. So whatever is not a row of matches
that ends with Success gives `NotFetched` with words: a failure, a cancellation, an abort, silence, an answer that
cannot be read, more answers than are believed, and a peer that goes on for ever.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from capacitord.dicom.classify import End
from capacitord.dicom.elements import DEEPEST_NESTING, Header, Malformed, elements
from capacitord.dicom.find import FindAssociation
from capacitord.dicom.send import AssociationEnded, Line
from capacitord.dicom.tally import Tally
from capacitord.dicom.transform.characters import CharacterSet, character_set
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import items_of, public_vr, sequences
from capacitord.dicom.worklist import words
from capacitord.dicom.worklist.encoding import Content, Leaf, encode
from capacitord.dicom.worklist.entry import SYNTAXES, Entry, read
from capacitord.dicom.worklist.keys import CHARACTER_SET, MODALITY_WORKLIST, START_DATE, STEPS, SUPPORTED, Keys, tag
from capacitord.dicom.worklist.matching import Query, understood
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.worklist import Days, EntryKey, Listed, Sought, Source, distinct

if TYPE_CHECKING:
    import socket

    from pydicom.dataset import Dataset


MOST_PARTS: Final = 2000
"""Elements and items of one entry, on all levels; all that is asked for is some hundred."""


class Bounds(msgspec.Struct, frozen=True):
    """How much of an answer is believed: entries, and bytes, elements and items in all.

    An empty item has eight bytes and takes a thousand once it is read, so bytes alone bound no memory.
    """

    entries: int = 20000
    bytes: int = 128 << 20
    parts: int = 2_000_000


DEFAULT_BOUNDS: Final = Bounds()


@dataclass(frozen=True, slots=True)
class Fetched:
    """All entries that were asked for. `seconds` is how long it took."""

    entries: tuple[Listed, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class NotFetched:
    """There is no list: why, in words, and how the association ended if it ended by itself."""

    outcome: Outcome
    how: End | None = None


def fetch(
    connection: socket.socket, source: Source, asked: Days | Sought, bounds: Bounds = DEFAULT_BOUNDS
) -> Fetched | NotFetched:
    """Ask for the entries of these days, or of one patient or order, release the association and close the socket.

    A source may not support a key, and then sends everybody (PS3.4 §C.2.2.1.3): of these only who was asked for is
    taken. Raises `Invalid` for an AE title that is none.
    """
    started = time.monotonic()
    line = Line(connection, source.ae_title, source.response_timeout, source.max_pdu)
    try:
        return _Fetch(line, source, bounds, started).run(asked)
    except AssociationEnded as end:
        return NotFetched(end.outcome, end.how)
    finally:
        line.close()


def listed(data: bytes, transfer_syntax_uid: str) -> Listed:
    """Return an entry with what it is called by. Raises `Malformed` or `Unfit` if some of it cannot be read."""
    entry = read(data, transfer_syntax_uid)
    _look_through(entry.dataset)
    return Listed(key_of(entry), data, transfer_syntax_uid)


def parts_of(data: bytes, transfer_syntax_uid: str) -> int:
    """Return how many elements and items an entry has. Raises `Malformed` if they are too many, or cannot be read."""
    encoding, tally = SYNTAXES[transfer_syntax_uid], Tally()
    for element in elements(data, encoding):
        tally.add()
        found = Header(element.tag, element.vr, element.length, element.header)
        tally.look_into(data, element.start + element.header, found, encoding)
        if tally.read > MOST_PARTS:
            msg = f"an entry has more than {MOST_PARTS} elements and items"
            raise Malformed(msg)
    return tally.read


def key_of(entry: Entry) -> EntryKey:
    """Return what an entry is called by, as it is or as it is served."""
    steps = entry.items(STEPS)
    step = steps[0] if steps else entry
    return EntryKey(
        step=_first(step, "ScheduledProcedureStepID"),
        study=_first(entry, "StudyInstanceUID"),
        accession=_first(entry, "AccessionNumber"),
        procedure=_first(entry, "RequestedProcedureID"),
        patient=_first(entry, "PatientID"),
    )


def _look_through(level: Dataset, depth: int = 0) -> None:
    """Read all sequences, so that one that cannot be is noticed before its entry is on a list."""
    if depth > DEEPEST_NESTING:
        msg = "the sequences are nested too deeply"
        raise Malformed(msg)
    for at in sequences(level):
        for item in items_of(level, at):
            _look_through(item, depth + 1)


def _first(entry: Entry, keyword: str) -> str:
    return next(iter(entry.values(tag(keyword))), "")


def identifier(asked: Days | Sought, transfer_syntax_uid: str) -> bytes:
    """Return the query for all entries of these days, or of one patient or order whatever the day.

    Every attribute that this box knows is asked for (PS3.4 §K.2.2.1.1).
    """
    keys, characters = _universal(SUPPORTED), character_set("")
    steps = keys[STEPS]
    if isinstance(asked, Sought):
        characters = _characters_of(asked)
        keys.update({at: Leaf(public_vr(at), (text,)) for at, text in asked.keys})
        if not characters.is_default:
            keys[CHARACTER_SET] = Leaf("CS", characters.terms)
    elif isinstance(steps, list):
        steps[0][START_DATE] = Leaf("DA", (f"{asked.first:%Y%m%d}-{asked.last:%Y%m%d}",))
    return encode(keys, characters, SYNTAXES[transfer_syntax_uid])


def _characters_of(sought: Sought) -> CharacterSet:
    """Return the set to ask in: the scanner's own, in which its source would have been asked, where it will do."""
    if all(text.isascii() for _, text in sought.keys):
        return character_set("")
    own = character_set(sought.characters)
    fits = own.is_known and all(own.holds(text, public_vr(at)) for at, text in sought.keys)
    return own if fits else character_set("ISO_IR 192")


def _universal(keys: Keys) -> Content:
    return {at: Leaf(public_vr(at)) if inside is None else [_universal(inside)] for at, inside in keys.items()}


class _Fetch:
    """One C-FIND on one association."""

    def __init__(self, line: Line, source: Source, bounds: Bounds, started: float) -> None:
        self._line = line
        self._source = source
        self._bounds = bounds
        self._started = started
        self._entries: list[Listed] = []
        self._number = 0
        self._bytes = self._parts = 0
        self._only: Query | None = None

    def run(self, asked: Days | Sought) -> Fetched | NotFetched:
        line, source = self._line, self._source
        association = FindAssociation(line, MODALITY_WORKLIST, source.fetch_timeout)
        if not association.open(source.ae_title, source.calling_ae_title, source.max_pdu):
            line.release()
            return NotFetched(words.no_worklist(source.ae_title))
        syntax = association.transfer_syntax_uid
        query = identifier(asked, syntax)
        if isinstance(asked, Sought):
            self._only = understood(read(query, syntax).dataset)
        for data in association.ask(query):
            refused = self._take(data, syntax)
            if refused is not None:
                line.give_up(End.STOPPED)
                return NotFetched(refused)
        line.release()
        outcome = words.find_answer(source.ae_title, association.status, association.comment)
        if outcome.verdict is not Verdict.DONE:
            return NotFetched(outcome)
        return Fetched(distinct(self._entries), time.monotonic() - self._started)

    def _take(self, data: bytes, transfer_syntax_uid: str) -> Outcome | None:
        """Take an entry, or return why this list cannot be taken."""
        self._bytes += len(data)
        self._number += 1
        bounds, number = self._bounds, self._number - 1
        if number >= bounds.entries or self._bytes > bounds.bytes or self._parts > bounds.parts:
            return words.too_many(self._source.ae_title, number, self._bytes)
        try:
            self._parts += parts_of(data, transfer_syntax_uid)
            found = listed(data, transfer_syntax_uid)
            if self._only is None or self._only.matches(read(data, transfer_syntax_uid)):
                self._entries.append(found)
        except (Malformed, Unfit):
            return words.unreadable(self._source.ae_title, self._number)
        return None
