"""DIMSE command sets as bytes, both ways (PS3.7 §6.3.1, §9.3 and Annex E).

A command set is always Implicit VR Little Endian. The elements that C-STORE and C-ECHO use are fields of
`Command`; those of other services are skipped here, because pynetdicom decodes their messages.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

import msgspec

NO_DATA_SET: Final = 0x0101
"""Value of (0000,0800) when the command set comes alone; any other value announces a data set."""

LONGEST_COMMAND: Final = 65536
"""No command set of the standard comes near this many bytes; a longer one is refused."""

RESPONSE: Final = 0x8000
"""Bit of the command field that tells a response from a request."""


class CommandField(enum.IntEnum):
    """Values of (0000,0100) (PS3.7 table E.1-1)."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_GET_RQ = 0x0110
    N_GET_RSP = 0x8110
    N_SET_RQ = 0x0120
    N_SET_RSP = 0x8120
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130
    N_CREATE_RQ = 0x0140
    N_CREATE_RSP = 0x8140
    N_DELETE_RQ = 0x0150
    N_DELETE_RSP = 0x8150
    C_CANCEL_RQ = 0x0FFF


class Priority(enum.IntEnum):
    """Values of (0000,0700) (PS3.7 table E.1-1)."""

    MEDIUM = 0x0000
    HIGH = 0x0001
    LOW = 0x0002


class MalformedCommand(ValueError):
    """The bytes are not a command set, or lack what every command set has."""


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command set. None and empty text mean that the element is absent.

    `sop_class_uid` and `sop_instance_uid` are the Affected ones. UIDs and text are without padding.
    """

    field: int
    message_id: int | None = None
    responded_to: int | None = None
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    priority: int | None = None
    has_data_set: bool = False
    status: int | None = None
    offending: tuple[int, ...] = ()
    error_comment: str = ""
    move_originator: str = ""
    move_originator_message_id: int | None = None
    event_type: int | None = None


_ELEMENT = struct.Struct("<HHL")
_US_ELEMENT = struct.Struct("<HHLH")
_US = struct.Struct("<H")
_GROUP_LENGTH = struct.Struct("<HHLL")

_AFFECTED_SOP_CLASS = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_RESPONDED_TO = 0x0120
_PRIORITY = 0x0700
_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_OFFENDING = 0x0901
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE = 0x1000
_EVENT_TYPE = 0x1002
_MOVE_ORIGINATOR = 0x1030
_MOVE_ORIGINATOR_MESSAGE_ID = 0x1031

_NUMBERS = frozenset(
    {
        _COMMAND_FIELD,
        _MESSAGE_ID,
        _RESPONDED_TO,
        _PRIORITY,
        _DATA_SET_TYPE,
        _STATUS,
        _EVENT_TYPE,
        _MOVE_ORIGINATOR_MESSAGE_ID,
    }
)


def _elements(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position, end = 0, len(data)
    while position < end:
        if end - position < 8:
            msg = "a command set ends inside an element's header"
            raise MalformedCommand(msg)
        group, element, length = _ELEMENT.unpack_from(data, position)
        position += 8
        if group != 0 or length > end - position:
            msg = "a command set holds a foreign group" if group else "a command set ends inside a value"
            raise MalformedCommand(msg)
        found[element] = data[position : position + length]
        position += length
    return found


def _text(value: bytes | None) -> str:
    if not value:
        return ""
    try:
        return value.rstrip(b"\0 ").lstrip(b" ").decode("ascii")
    except UnicodeDecodeError:
        # PS3.7 leaves no room for other characters here; what cannot be read cannot be a UID or a title.
        return value.decode("ascii", "replace").strip("\0 ")


def decode(data: bytes | bytearray | memoryview) -> Command:
    """Return the command set that `data` holds.

    Raises `MalformedCommand` if it is none, or has no command field or no data set type.
    """
    found = _elements(bytes(data))
    numbers: dict[int, int] = {}
    for element in _NUMBERS & found.keys():
        value = found[element]
        if len(value) != 2:
            msg = f"(0000,{element:04X}) of a command set is not one unsigned short"
            raise MalformedCommand(msg)
        numbers[element] = value[0] | value[1] << 8
    get = numbers.get
    field, data_set_type = get(_COMMAND_FIELD), get(_DATA_SET_TYPE)
    if field is None or data_set_type is None:
        msg = "a command set has no command field or no data set type"
        raise MalformedCommand(msg)
    offending = found.get(_OFFENDING, b"")
    return Command(
        field=field,
        message_id=get(_MESSAGE_ID),
        responded_to=get(_RESPONDED_TO),
        sop_class_uid=_text(found.get(_AFFECTED_SOP_CLASS)),
        sop_instance_uid=_text(found.get(_AFFECTED_SOP_INSTANCE)),
        priority=get(_PRIORITY),
        has_data_set=data_set_type != NO_DATA_SET,
        status=get(_STATUS),
        offending=tuple(
            group << 16 | element for group, element in struct.iter_unpack("<HH", offending[: len(offending) & ~3])
        ),
        error_comment=_text(found.get(_ERROR_COMMENT)),
        move_originator=_text(found.get(_MOVE_ORIGINATOR)),
        move_originator_message_id=get(_MOVE_ORIGINATOR_MESSAGE_ID),
        event_type=get(_EVENT_TYPE),
    )


def _value(element: int, value: bytes, pad: bytes) -> bytes:
    if len(value) & 1:
        value += pad
    return _ELEMENT.pack(0, element, len(value)) + value


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")


def encode(command: Command) -> bytes:
    """Return the bytes of `command`, elements ascending, group length first (PS3.7 §6.3.1)."""
    parts: list[bytes] = []
    number = _US_ELEMENT.pack
    if command.sop_class_uid:
        parts.append(_value(_AFFECTED_SOP_CLASS, _ascii(command.sop_class_uid), b"\0"))
    parts.append(number(0, _COMMAND_FIELD, 2, command.field))
    for element, value in (
        (_MESSAGE_ID, command.message_id),
        (_RESPONDED_TO, command.responded_to),
        (_PRIORITY, command.priority),
        (_DATA_SET_TYPE, 0x0001 if command.has_data_set else NO_DATA_SET),
        (_STATUS, command.status),
    ):
        if value is not None:
            parts.append(number(0, element, 2, value))
    if command.offending:
        tags = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in command.offending)
        parts.append(_value(_OFFENDING, tags, b""))
    if command.error_comment:
        parts.append(_value(_ERROR_COMMENT, _ascii(command.error_comment)[:64], b" "))
    if command.sop_instance_uid:
        parts.append(_value(_AFFECTED_SOP_INSTANCE, _ascii(command.sop_instance_uid), b"\0"))
    if command.event_type is not None:
        parts.append(number(0, _EVENT_TYPE, 2, command.event_type))
    if command.move_originator:
        parts.append(_value(_MOVE_ORIGINATOR, _ascii(command.move_originator), b" "))
    if command.move_originator_message_id is not None:
        parts.append(number(0, _MOVE_ORIGINATOR_MESSAGE_ID, 2, command.move_originator_message_id))
    body = b"".join(parts)
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def store_request(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, priority: Priority = Priority.MEDIUM
) -> bytes:
    """Return a C-STORE-RQ command set (PS3.7 §9.3.1.1)."""
    return encode(
        Command(
            CommandField.C_STORE_RQ,
            message_id=message_id,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            priority=priority,
            has_data_set=True,
        )
    )


def find_request(message_id: int, sop_class_uid: str, priority: Priority = Priority.MEDIUM) -> bytes:
    """Return a C-FIND-RQ command set (PS3.7 §9.3.2.1); the identifier follows."""
    return encode(
        Command(
            CommandField.C_FIND_RQ,
            message_id=message_id,
            sop_class_uid=sop_class_uid,
            priority=priority,
            has_data_set=True,
        )
    )


def cancel_request(message_id: int) -> bytes:
    """Return a C-CANCEL-RQ command set for the request of that id (PS3.7 §9.3.2.3)."""
    return encode(Command(CommandField.C_CANCEL_RQ, responded_to=message_id))


def event_report(message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type: int) -> bytes:
    """Return an N-EVENT-REPORT-RQ command set with a data set to come (PS3.7 §10.3.1.1)."""
    return encode(
        Command(
            CommandField.N_EVENT_REPORT_RQ,
            message_id=message_id,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            has_data_set=True,
            event_type=event_type,
        )
    )


def response(request: Command, status: int, *, comment: str = "", offending: tuple[int, ...] = ()) -> bytes:
    """Return the response to a C-STORE-RQ or C-ECHO-RQ (PS3.7 §9.3.1.2, §9.3.5.2)."""
    return encode(
        Command(
            request.field | RESPONSE,
            responded_to=request.message_id,
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            status=status,
            offending=offending,
            error_comment=comment,
        )
    )


def echo_request(message_id: int) -> bytes:
    """Return a C-ECHO-RQ command set (PS3.7 §9.3.5.1)."""
    return encode(Command(CommandField.C_ECHO_RQ, message_id=message_id, sop_class_uid="1.2.840.10008.1.1"))
