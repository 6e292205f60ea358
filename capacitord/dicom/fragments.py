"""Messages in fragments: a data set cut into P-DATA-TF PDUs, a command set put together from them (PS3.8 annex E)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from capacitord.dicom.commands import LONGEST_COMMAND
from capacitord.dicom.pdu import COMMAND, DATA_HEADER, LAST, PDV_HEADER, data_header, split
from capacitord.errors import DamagedObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Buffer = bytes | memoryview

BUFFERS_AT_ONCE: Final = 512
"""Parts of one write; Linux takes 1,024 (`IOV_MAX`)."""


class MalformedMessage(ValueError):
    """A P-DATA-TF does not hold fragments of the message that is due."""


def data_set_pdus(
    chunks: Iterable[memoryview], length: int, context_id: int, limit: int
) -> Iterator[tuple[list[Buffer], int]]:
    """Yield a data set of `length` bytes as P-DATA-TF PDUs: the parts of one write, and their bytes in all.

    `limit` is the most bytes of a fragment, and even. Nothing is copied but a single byte now and then: every
    fragment but the last has an even length, which some peers insist on (PS3.7 annex F). What is yielded is valid
    until the next is taken. Raises `DamagedObject`, always before the fragment marked as last was yielded, if the
    chunks are not `length` bytes.
    """
    carried = b""
    left = length
    for chunk in chunks:
        if not chunk:
            continue
        size = len(carried) + len(chunk)
        if size > left:
            raise _wrong_length()
        final = size == left
        usable = size if final else size & ~1
        if usable:
            yield from _chunk_pdus(carried, chunk, usable, context_id, limit, final=final)
        if final:
            return
        left -= usable
        carried = bytes(chunk[-1:]) if usable < size else b""
    raise _wrong_length()


def _chunk_pdus(
    carried: bytes, chunk: memoryview, usable: int, context_id: int, limit: int, *, final: bool
) -> Iterator[tuple[list[Buffer], int]]:
    parts: list[Buffer] = []
    total = 0
    shift = len(carried)
    for start, stop, last in split(usable, limit):
        parts.append(data_header(context_id, LAST if final and last else 0, stop - start))
        if start < shift:
            parts.append(carried)
        parts.append(chunk[max(0, start - shift) : stop - shift])
        total += DATA_HEADER.size + stop - start
        if len(parts) >= BUFFERS_AT_ONCE:
            yield parts, total
            parts, total = [], 0
    if parts:
        yield parts, total


def _wrong_length() -> DamagedObject:
    return DamagedObject(
        "The image's stored bytes are not as many as were received.",
        hint="`fluxctl doctor --verify` says what else is damaged.",
    )


def gather(gathered: bytearray, body: bytes, context_id: int) -> bool:
    """Add the fragments in a P-DATA-TF to the command set `gathered`; return whether it is complete.

    `body` is what follows the PDU's length. Raises `MalformedMessage` unless it is one or more fragments of one
    command set on `context_id`, none of them empty but perhaps the last, with nothing behind that.
    """
    if not body:
        msg = "a P-DATA-TF is empty"
        raise MalformedMessage(msg)
    complete = False
    position = 0
    while position < len(body):
        if len(body) - position < PDV_HEADER.size:
            msg = "a P-DATA-TF ends inside the header of a presentation data value"
            raise MalformedMessage(msg)
        length, context, control = PDV_HEADER.unpack_from(body, position)
        start, position = position + PDV_HEADER.size, position + 4 + length
        if complete or context != context_id or control & ~LAST != COMMAND:
            msg = "a presentation data value belongs to another message"
            raise MalformedMessage(msg)
        complete = bool(control & LAST)
        shortest = start if complete else start + 1
        if not shortest <= position <= len(body):
            msg = "a presentation data value is empty, or longer than what holds it"
            raise MalformedMessage(msg)
        gathered += body[start:position]
        if len(gathered) > LONGEST_COMMAND:
            msg = "a command set is longer than any the standard has"
            raise MalformedMessage(msg)
    return complete
