"""The PDUs of the requestor's side of an association other than P-DATA, as bytes (PS3.8 §9.3).

pynetdicom writes the A-ASSOCIATE-RQ through its public classes. The answers are read here: PS3.8 §9.3.1 wants items of
an unknown type skipped, and pynetdicom 3 refuses the whole answer instead.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import build_context, build_role

from capacitord.dicom.contexts import Answer, Proposal
from capacitord.dicom.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from capacitord.errors import Invalid

LONGEST_ANSWER: Final = 256 * 1024
"""128 accepted contexts take some 10 KiB; a longer answer is refused unread."""

RELEASE_RQ: Final = bytes.fromhex("05 00 00000004 00000000")
RELEASE_RP: Final = bytes.fromhex("06 00 00000004 00000000")

_APPLICATION_CONTEXT = UID("1.2.840.10008.3.1.1.1")
_FIXED_FIELDS = 68
_ITEM = struct.Struct(">BxH")
_CONTEXT = struct.Struct(">BxBx")
_LENGTH = struct.Struct(">L")
_CONTEXT_ITEM, _SYNTAX_ITEM, _USER_INFORMATION_ITEM, _MAXIMUM_LENGTH_ITEM = 0x21, 0x40, 0x50, 0x51


class MalformedPdu(ValueError):
    """The bytes are not the PDU that their first byte says they are."""


class Acceptance(NamedTuple):
    """What an A-ASSOCIATE-AC says: of each context, and how long a P-DATA-TF may be (0: no maximum)."""

    answers: dict[int, Answer]
    max_pdu: int


class Rejection(NamedTuple):
    """What an A-ASSOCIATE-RJ says (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int


class Abort(NamedTuple):
    """What an A-ABORT says (PS3.8 table 9-26)."""

    source: int
    reason: int


def associate_request(called: str, calling: str, proposal: Proposal, max_pdu: int) -> bytes:
    """Return an A-ASSOCIATE-RQ (PS3.8 §9.3.2); `max_pdu` is the longest P-DATA-TF that is wanted in answer.

    Raises `Invalid` if one of the AE titles is none (PS3.5 §6.2: 1 to 16 characters, no control characters).
    """
    longest = MaximumLengthNotification()
    longest.maximum_length_received = max_pdu
    class_uid = ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    request = A_ASSOCIATE()
    request.application_context_name = _APPLICATION_CONTEXT
    contexts = []
    for context_id, pair in proposal.contexts.items():
        context = build_context(pair.sop_class_uid, pair.transfer_syntax_uid)
        context.context_id = context_id
        contexts.append(context)
    request.presentation_context_definition_list = contexts
    request.user_information = [longest, class_uid, version, *map(_provider, proposal.as_scp)]
    try:
        request.called_ae_title = called
        request.calling_ae_title = calling
    except ValueError as error:
        raise Invalid(
            "An AE title has 1 to 16 characters of ASCII, not only spaces.",
            where=f"called {called!r}, calling {calling!r}",
            hint="Correct the destination in the site's profile.",
        ) from error
    return bytes(A_ASSOCIATE_RQ(request).encode())


def _provider(sop_class_uid: str) -> SCP_SCU_RoleSelectionNegotiation:
    return build_role(UID(sop_class_uid), scu_role=False, scp_role=True)


def read_acceptance(body: bytes) -> Acceptance:
    """Return what an A-ASSOCIATE-AC says, given what follows its length (PS3.8 §9.3.3).

    Unknown items are skipped, and so are the reserved fields, which are not to be tested. Raises `MalformedPdu`.
    """
    if len(body) < _FIXED_FIELDS or not body[1] & 1:
        msg = "an A-ASSOCIATE-AC is too short, or of another protocol version"
        raise MalformedPdu(msg)
    answers: dict[int, Answer] = {}
    max_pdu = 0
    for kind, item in _items(body[_FIXED_FIELDS:]):
        if kind == _CONTEXT_ITEM:
            context_id, answer = _read_context(item)
            if context_id in answers:
                msg = f"an A-ASSOCIATE-AC answers context {context_id} twice"
                raise MalformedPdu(msg)
            answers[context_id] = answer
        elif kind == _USER_INFORMATION_ITEM:
            for sub_kind, sub_item in _items(item):
                if sub_kind == _MAXIMUM_LENGTH_ITEM:
                    max_pdu = _unpack(_LENGTH, sub_item)[0]
    return Acceptance(answers, max_pdu)


def _read_context(item: bytes) -> tuple[int, Answer]:
    context_id, result = _unpack(_CONTEXT, item)
    syntax = ""
    if result == 0:
        # What stands in the syntax of a refused context is not significant (PS3.8 table 9-18).
        for kind, sub_item in _items(item[_CONTEXT.size :]):
            if kind == _SYNTAX_ITEM:
                syntax = sub_item.decode("ascii", "replace").rstrip("\0 ")
    return context_id, Answer(result, syntax)


def read_rejection(body: bytes) -> Rejection:
    """Return what an A-ASSOCIATE-RJ says, given what follows its length (PS3.8 §9.3.4). Raises `MalformedPdu`."""
    return Rejection(*_last_three(body))


def read_abort(body: bytes) -> Abort:
    """Return what an A-ABORT says, given what follows its length (PS3.8 §9.3.8). Raises `MalformedPdu`."""
    return Abort(*_last_three(body)[1:])


def _last_three(body: bytes) -> tuple[int, int, int]:
    if len(body) != 4:
        msg = f"a PDU of 4 bytes has {len(body)}"
        raise MalformedPdu(msg)
    return body[1], body[2], body[3]


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        kind, length = _unpack(_ITEM, data, position)
        position += _ITEM.size
        if length > len(data) - position:
            msg = "an item is longer than what holds it"
            raise MalformedPdu(msg)
        yield kind, data[position : position + length]
        position += length


def _unpack(layout: struct.Struct, data: bytes, position: int = 0) -> tuple[int, ...]:
    if len(data) - position < layout.size:
        msg = "a PDU ends inside one of its fields"
        raise MalformedPdu(msg)
    return layout.unpack_from(data, position)
