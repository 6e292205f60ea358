"""The fuzzers' targets for what the worklist reads from the network: queries, entries, and a source's answers."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Mapping

from capacitord.dicom import commands
from capacitord.dicom.commands import Command, CommandField
from capacitord.dicom.elements import Malformed
from capacitord.dicom.fragments import MalformedMessage
from capacitord.dicom.messages import MessageReader
from capacitord.dicom.pdu import data_pdus
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.worklist.answers import answer
from capacitord.dicom.worklist.entry import SYNTAXES, Entry, read
from capacitord.dicom.worklist.keys import CHARACTER_SET, MODALITY_WORKLIST, SUPPORTED
from capacitord.dicom.worklist.matching import BadKey, Level, understood
from capacitord.dicom.worklist.scu import listed
from tests.dicom.worklist import kit

ENTRY = kit.entry({**kit.patient(1, random.Random(1)), "PatientComments": "Grüße"}, "ISO_IR 100")
UIDS = tuple(SYNTAXES)


def _universal(keys: Mapping[int, object]) -> dict[str, object]:
    return {f"{tag:08X}": [_universal(inside)] if isinstance(inside, Mapping) else None for tag, inside in keys.items()}


EVERYTHING = understood(kit.entry(_universal(SUPPORTED), "ISO_IR 100").dataset)


def query(data: bytes) -> None:
    """A query is refused in words, or answered with nothing that it did not ask for."""
    if not data:
        return
    syntax = UIDS[data[0] % len(UIDS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted = understood(read(data[1:], syntax).dataset)
        except (Malformed, Unfit, BadKey):
            return
        wanted.matches(ENTRY)
        _check(wanted.level, read(answer(wanted, ENTRY, SYNTAXES[syntax]).data, syntax))


def _check(level: Level, found: Entry) -> None:
    assert set(found.tags()) <= {*level.returned, *level.sequences, CHARACTER_SET}
    for tag, below in level.sequences.items():
        for item in found.items(tag):
            if below is not None:
                _check(below, item)


def entry(data: bytes) -> None:
    """An entry of the source is refused, or read, matched by a query for everything, and served."""
    if not data:
        return
    syntax = UIDS[data[0] % len(UIDS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            listed(data[1:], syntax)
        except (Malformed, Unfit):
            return
        there = read(data[1:], syntax)
        there.prepare(SUPPORTED)
        assert EVERYTHING.matches(there)
        again = read(answer(EVERYTHING, there, SYNTAXES[syntax]).data, syntax)
        assert EVERYTHING.matches(again)


def answers(data: bytes) -> None:
    """Messages come out the same whether their PDUs are short or long, or are refused."""
    reader = MessageReader(1)
    with contextlib.suppress(MalformedMessage):
        while data:
            size = data[0] + 1
            for message in reader.feed(data[1 : 1 + size]):
                assert message.command.has_data_set is (message.data is not None)
            data = data[1 + size :]


_ASKED = {"PatientName": "mil*=?", "PatientID": None, "StudyComments": "x", "PatientWeight": "70"}
_IN_STEP = {"ScheduledProcedureStepStartDate": "20260301-20260303", "ScheduledProcedureStepStartTime": "0800-1200"}
_RESPONSE = commands.encode(
    Command(CommandField.C_FIND_RSP, responded_to=1, sop_class_uid=MODALITY_WORKLIST, has_data_set=True, status=0xFF00)
)


def _values(pdus: bytes) -> bytes:
    return bytes((len(pdus) - 7,)) + pdus[6:]


SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "worklist_query": tuple(
        bytes((number,)) + kit.data({**_ASKED, **kit.step(Modality="C?", **_IN_STEP)}, "ISO_IR 100", syntax)
        for number, syntax in enumerate(UIDS)
    ),
    "worklist_entry": tuple(
        bytes((number,)) + kit.data(kit.patient(number, random.Random(number)), characters, syntax)
        for number, syntax in enumerate(UIDS)
        for characters in ("", "\\ISO 2022 IR 87", "GB18030")
    ),
    "worklist_answers": (
        _values(data_pdus(1, _RESPONSE, command=True, max_pdu=0))
        + _values(data_pdus(1, kit.data({"PatientID": "P1"}), command=False, max_pdu=0)),
    ),
}
TARGETS = {"worklist_query": query, "worklist_entry": entry, "worklist_answers": answers}
