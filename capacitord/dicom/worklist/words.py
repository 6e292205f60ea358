"""What an answer of the worklist's source means, in words; nothing in them is about a patient."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacitord.dicom.classify import clean_comment
from capacitord.model.outcome import Outcome, Verdict

_AGAIN: Final = "The list stays as it was; it is asked again."
_SETUP: Final = "Ask the administrator of {peer} to check how this box is set up there."

_EXACT: Final[Mapping[int, tuple[Verdict, str]]] = MappingProxyType(
    {
        0x0000: (Verdict.DONE, "{peer} has sent its whole worklist."),
        0x0122: (Verdict.NEEDS_PERSON, "{peer} does not support the modality worklist (status {status}). " + _SETUP),
        0x0124: (Verdict.NEEDS_PERSON, "{peer} does not allow this box to ask for the worklist. " + _SETUP),
        0xFE00: (Verdict.LATER, "{peer} cancelled the query itself. " + _AGAIN),
    }
)
_RANGES: Final = (
    (range(0xA700, 0xA800), Verdict.LATER, "{peer} is out of resources (status {status}). " + _AGAIN),
    (range(0xA900, 0xAA00), Verdict.NEEDS_PERSON, "{peer} does not understand the query (status {status}). " + _SETUP),
    (range(0xB000, 0xC000), Verdict.LATER, "{peer} sent only a part of its worklist (status {status}). " + _AGAIN),
    (range(0xC000, 0xD000), Verdict.LATER, "{peer} could not process the query (status {status}). " + _AGAIN),
)
_UNKNOWN: Final = (Verdict.LATER, "{peer} did not send its whole worklist (status {status}). " + _AGAIN)


def find_answer(peer: str, status: int, comment: str = "") -> Outcome:
    """Return what the last status of a C-FIND means (PS3.4 table K.4.1.1.4-1): only Success is a whole list."""
    found = _EXACT.get(status)
    if found is None:
        found = next(((verdict, text) for span, verdict, text in _RANGES if status in span), _UNKNOWN)
    verdict, text = found
    return Outcome(verdict, text.format(peer=peer, status=f"{status:04X}"), status, clean_comment(comment))


def no_worklist(peer: str) -> Outcome:
    """Return what it means that no presentation context of the worklist was accepted."""
    text = "{peer} does not offer the modality worklist to this box. " + _SETUP
    return Outcome(Verdict.NEEDS_PERSON, text.format(peer=peer))


def too_many(peer: str, entries: int, size: int) -> Outcome:
    """Return what it means that the source sent more than is believed, after so many entries and bytes."""
    text = "{peer} sent more than {entries} entries ({size} MiB) and had not ended, which is not believed. " + _AGAIN
    return Outcome(Verdict.LATER, text.format(peer=peer, entries=entries, size=size >> 20))


def unreadable(peer: str, number: int) -> Outcome:
    """Return what it means that an entry is no dataset; `number` is its place in the answer, from 1."""
    text = "Entry {number} of the list of {peer} cannot be read, so none of it is taken. " + _AGAIN
    return Outcome(Verdict.LATER, text.format(peer=peer, number=number))
