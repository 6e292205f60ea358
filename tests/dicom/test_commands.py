"""Command sets: our bytes are those pynetdicom reads and writes, and nothing else is let in."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode as pynetdicom_decode
from pynetdicom.dsutils import encode as pynetdicom_encode

from capacitord.dicom import commands
from capacitord.dicom.commands import Command, CommandField, MalformedCommand, Priority
from tests.fuzz.strategies import commands as any_command

CT = "1.2.840.10008.5.1.4.1.1.2"


def element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


MINIMAL = element(0x00000100, b"\x30\0") + element(0x00000800, b"\x01\x01")


@given(any_command)
def test_what_is_encoded_decodes_to_the_same(command: Command) -> None:
    assert commands.decode(commands.encode(command)) == command


@given(any_command)
def test_group_length_counts_what_follows_it(command: Command) -> None:
    data = commands.encode(command)
    assert struct.unpack_from("<HHLL", data) == (0, 0, 4, len(data) - 12)
    assert len(data) % 2 == 0


@given(st.binary(max_size=300))
@example(MINIMAL)
@example(MINIMAL[:-1])
@example(b"\0" * 7)
def test_garbage_is_refused_by_its_own_error_only(data: bytes) -> None:
    try:
        command = commands.decode(data)
    except MalformedCommand:
        return
    assert 0 <= command.field <= 0xFFFF


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MINIMAL[:4],
        MINIMAL[:9],
        element(0x00000100, b"\x30\0"),
        element(0x00000800, b"\x01\x01"),
        MINIMAL + element(0x00080018, b"1.2\0"),
        MINIMAL + element(0x00000110, b"\x01"),
        MINIMAL + element(0x00000110, b"\x01\0\0\0"),
        MINIMAL + struct.pack("<HHL", 0, 0x1000, 0xFFFFFFFF),
    ],
    ids=[
        "empty",
        "half a header",
        "half a value",
        "no data set type",
        "no command field",
        "a foreign group",
        "half a number",
        "two numbers",
        "a length beyond the end",
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(MalformedCommand):
        commands.decode(data)


def test_pynetdicom_reads_a_store_request() -> None:
    read = pynetdicom_decode(BytesIO(commands.store_request(7, CT, "1.2.3.4", Priority.HIGH)), True, True)
    assert read.CommandField == 0x0001
    assert (read.MessageID, read.Priority, read.AffectedSOPClassUID) == (7, 1, CT)
    assert read.AffectedSOPInstanceUID == "1.2.3.4"
    assert read.CommandDataSetType != commands.NO_DATA_SET


def test_pynetdicom_reads_a_response_with_its_comment() -> None:
    request = Command(CommandField.C_STORE_RQ, message_id=3, sop_class_uid=CT, sop_instance_uid="1.2.3")
    data = commands.response(request, 0xC000, comment="no Study Instance UID", offending=(0x0020000D,))
    read = pynetdicom_decode(BytesIO(data), True, True)
    assert (read.CommandField, read.MessageIDBeingRespondedTo, read.Status) == (0x8001, 3, 0xC000)
    assert read.CommandDataSetType == commands.NO_DATA_SET
    assert read.ErrorComment == "no Study Instance UID"
    assert read.OffendingElement == 0x0020000D
    assert "MessageID" not in read


def test_what_pynetdicom_writes_is_read() -> None:
    ds = Dataset()
    ds.AffectedSOPClassUID = CT
    ds.CommandField = 0x0001
    ds.MessageID = 65535
    ds.Priority = 2
    ds.CommandDataSetType = 1
    ds.AffectedSOPInstanceUID = "1.2.3"
    ds.MoveOriginatorApplicationEntityTitle = "MOVER"
    ds.MoveOriginatorMessageID = 12
    data = pynetdicom_encode(ds, True, True)
    assert data is not None
    assert commands.decode(data) == Command(
        CommandField.C_STORE_RQ,
        message_id=65535,
        sop_class_uid=CT,
        sop_instance_uid="1.2.3",
        priority=2,
        has_data_set=True,
        move_originator="MOVER",
        move_originator_message_id=12,
    )


def test_a_comment_is_cut_to_what_its_vr_allows_and_stays_ascii() -> None:
    request = Command(CommandField.C_ECHO_RQ, message_id=1)
    read = commands.decode(commands.response(request, 0x0110, comment="é" * 100))
    assert read.error_comment == "?" * 64
