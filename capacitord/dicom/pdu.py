"""P-DATA-TF PDUs and A-ABORT as bytes, both ways (PS3.8 §9.3.5, §9.3.8 and Annex E).

A P-DATA-TF PDU is a header and one or more presentation data values (PDVs); a PDV is a length, a
presentation context id, a message control header and a fragment of a command set or a data set::

    04 00 | PDU length | PDV length | context id | control | fragment … | PDV length | …
    1  1    4            4            1            1
                         └──────────────────── PDU length ────────────────────…
                                      └──────────── PDV length ────────────┘

Everything here is pure. Negotiation and release are pynetdicom's.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PDU_HEADER: Final = struct.Struct(">BxL")
"""Type and length of what follows."""

PDV_HEADER: Final = struct.Struct(">LBB")
"""Length of what follows its first four bytes, context id, message control header."""

DATA_HEADER: Final = struct.Struct(">BxLLBB")
"""The two together: a P-DATA-TF PDU that holds exactly one PDV."""

COMMAND: Final = 0x01
"""Message control bit: the fragment belongs to a command set (otherwise to a data set)."""

LAST: Final = 0x02
"""Message control bit: the fragment is the last of its command set or data set."""

LARGEST_FRAGMENT: Final = 1 << 20
"""Our own bound, in bytes, towards a peer that announces no maximum."""


class PduType(enum.IntEnum):
    """The first byte of a PDU (PS3.8 §9.3.1)."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class AbortSource(enum.IntEnum):
    """Who aborts (PS3.8 table 9-26)."""

    SERVICE_USER = 0x00
    SERVICE_PROVIDER = 0x02


class AbortReason(enum.IntEnum):
    """Why the service provider aborts (PS3.8 table 9-26)."""

    NOT_SPECIFIED = 0x00
    UNRECOGNIZED_PDU = 0x01
    UNEXPECTED_PDU = 0x02
    UNRECOGNIZED_PARAMETER = 0x04
    UNEXPECTED_PARAMETER = 0x05
    INVALID_PARAMETER = 0x06


def data_header(context_id: int, control: int, length: int) -> bytes:
    """Return the 12 bytes that go before a fragment of `length` bytes sent as a PDU of its own."""
    return DATA_HEADER.pack(PduType.DATA_TF, length + 6, length + 2, context_id, control)


def fragment_limit(max_pdu: int) -> int:
    """Return how many bytes one PDV may carry to a peer that announced `max_pdu` (PS3.8 §D.1).

    0 means "no maximum" on the wire and gives our own bound. The result is even, as fragments should be,
    and at least 2, so that even a peer that announces nonsense gets its bytes.
    """
    if max_pdu == 0:
        return LARGEST_FRAGMENT
    return max(2, min(max_pdu - 6, LARGEST_FRAGMENT) & ~1)


def split(length: int, limit: int) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, stop, last) of each fragment of `length` bytes; nothing at all is one empty fragment."""
    start = 0
    while length - start > limit:
        yield start, start + limit, False
        start += limit
    yield start, length, True


def data_pdus(context_id: int, message: bytes, *, command: bool, max_pdu: int) -> bytes:
    """Return a whole command set or data set as P-DATA-TF PDUs, one PDV in each."""
    limit = fragment_limit(max_pdu)
    kind = COMMAND if command else 0
    if len(message) <= limit:
        return data_header(context_id, kind | LAST, len(message)) + message
    parts: list[bytes] = []
    for start, stop, last in split(len(message), limit):
        parts.append(data_header(context_id, kind | (LAST if last else 0), stop - start))
        parts.append(message[start:stop])
    return b"".join(parts)


def abort_pdu(source: AbortSource, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> bytes:
    """Return an A-ABORT PDU; the reason is significant only from the service provider."""
    return bytes((PduType.ABORT, 0, 0, 0, 0, 4, 0, 0, source, reason))
