"""What the fuzzers throw bytes at. Each target fails by an exception that its code does not promise to raise."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

from capacitord.dicom import commands
from capacitord.dicom.accept import VERIFICATION, StorageSettings, storage_classes
from capacitord.dicom.commands import CommandField, MalformedCommand
from capacitord.dicom.header import HeaderReader
from capacitord.dicom.intake import Announced
from capacitord.dicom.pdu import data_pdus
from capacitord.dicom.reader import Fragment, PduReader, ProtocolViolation
from capacitord.dicom.receive import Context, Correspondents, Receiver
from capacitord.model.findings import parse
from capacitord.model.image import Arrival, Facts
from tests.dicom.memory_intake import MemoryIntake
from tests.dicom.samples import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, dataset
from tests.fuzz import images, pictures, sealed_objects, services, worklists

UID = "1.2.3.4.5"
SYNTAXES = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, "1.3.99.private")
ARRIVAL = Arrival("SCANNER", "CAPACITOR", "10.0.0.7", 0)
IMAGE = dataset(CT, UID)
WORKLIST = "1.2.840.10008.5.1.4.31"


def command_set(data: bytes) -> None:
    """What decodes is written again as it was understood."""
    try:
        command = commands.decode(data)
    except MalformedCommand:
        return
    again = commands.decode(commands.encode(command))
    assert (again.field, again.message_id, again.has_data_set) == (
        command.field,
        command.message_id,
        command.has_data_set,
    )


def header(data: bytes) -> None:
    """A data set gives the same facts and findings in one piece and in many."""
    if len(data) < 3:
        return
    request = Announced(CT, UID, SYNTAXES[data[0] % len(SYNTAXES)], ARRIVAL)
    step = data[1] % 32 + 1
    body = data[2:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert _facts(request, [body]) == _facts(request, [body[at : at + step] for at in range(0, len(body), step)])


def _facts(request: Announced, pieces: list[bytes]) -> Facts:
    reader = HeaderReader(request)
    for piece in pieces:
        reader.feed(piece)
    facts = reader.facts(sum(map(len, pieces)))
    assert (facts.sop_class_uid, facts.sop_instance_uid) == (CT, UID)
    assert all(parse(line) is not None for line in facts.findings)
    return facts


def pdu(data: bytes) -> None:
    """An established association survives any bytes, answers Success only for what it kept, and leaves nothing."""
    if not data:
        return
    step = data[0] + 1
    intake = MemoryIntake(chunk_size=64)
    answers: list[bytes] = []
    receiver = Receiver(
        contexts={
            1: Context(CT, EXPLICIT),
            3: Context(VERIFICATION, EXPLICIT),
            5: Context(WORKLIST, EXPLICIT),
        },
        storage_classes=storage_classes(),
        intake=intake,
        between=Correspondents("SCANNER", "CAPACITOR", "10.0.0.7"),
        settings=StorageSettings(drain_limit=4096, foreign_limit=4096),
        answer=answers.append,
        forward=lambda _context_id, _control, _fragment: None,
    )
    with contextlib.suppress(ProtocolViolation):
        _serve(PduReader(256), receiver, memoryview(data)[1:], step)
    receiver.close()
    assert intake.open == set()
    decoded = [commands.decode(answer[12:]) for answer in answers]
    good = [a for a in decoded if a.field == CommandField.C_STORE_RSP and a.status == 0]
    assert len(good) == len(intake.kept)


def _serve(reader: PduReader, receiver: Receiver, data: memoryview, step: int) -> None:
    while data:
        if reader.fragment_left > 16 and not reader.buffered and receiver.takes_directly:
            control = reader.under_way[1]
            into = receiver.direct(min(reader.fragment_left, len(data)))
            into[:] = data[: len(into)]
            data = data[len(into) :]
            receiver.directed(len(into), control, ends=reader.bypass(len(into)))
            continue
        room = reader.room()[:step]
        count = min(len(room), len(data))
        room[:count] = data[:count]
        data = data[count:]
        reader.filled(count)
        while (event := reader.next()) is not None:
            if not isinstance(event, Fragment):
                return
            receiver.fragment(event)


TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {
        "pdu": pdu,
        "command_set": command_set,
        "header": header,
        "sealed": sealed_objects.sealed,
        "rewriting": images.rewriting,
        "deidentify": images.deidentify,
        "markers": images.markers,
        "transcode": images.transcode,
        **worklists.TARGETS,
        "preview": pictures.preview,
        "services": services.services,
    }
)

_STORE = data_pdus(1, commands.store_request(1, CT, UID), command=True, max_pdu=0)
SEEDS: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {
        "pdu": (
            b"\xff" + _STORE + data_pdus(1, IMAGE, command=False, max_pdu=0),
            b"\x07" + _STORE + data_pdus(1, IMAGE, command=False, max_pdu=60),
            b"\x20" + data_pdus(3, commands.echo_request(1), command=True, max_pdu=0) + b"\5\0\0\0\0\4\0\0\0\0",
        ),
        "command_set": (commands.store_request(1, CT, UID), commands.echo_request(2)),
        "header": tuple(
            bytes((number, 11)) + dataset(CT, UID, syntax=syntax)
            for number, syntax in enumerate((EXPLICIT, IMPLICIT, BIG_ENDIAN))
        ),
        "sealed": sealed_objects.SEEDS,
        "rewriting": images.SEEDS,
        "deidentify": images.SEEDS,
        "markers": images.FRAMES,
        "transcode": images.SEEDS,
        **worklists.SEEDS,
        "preview": pictures.SEEDS,
        "services": services.SEEDS,
    }
)
"""Inputs worth beginning with."""
