"""The PDU reader: however a stream is cut, the same fragments come out; what PS3.8 forbids, or nonsense, is refused."""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.pdu import AbortReason, AbortSource, PduType, abort_pdu, data_header
from capacitord.dicom.reader import Fragment, OtherPdu, PduReader, ProtocolViolation, ReaderState
from tests.fuzz.strategies import cuts, data_pdus, encoded_pdu, pieces

SIZE = 64
RELEASE = struct.pack(">BxLL", PduType.RELEASE_RQ, 4, 0)


@dataclass(frozen=True)
class Value:
    """A whole PDV."""

    context_id: int
    control: int
    data: bytes


Seen = Value | OtherPdu | AbortReason


def read(stream: list[bytes], *, bypassing: bool = False, size: int = SIZE) -> list[Seen]:
    """Return what a reader makes of a stream that comes in these pieces, up to a PDU that is not its own."""
    reader = PduReader(size)
    collected = bytearray()
    seen: list[Seen] = []
    for piece in stream:
        rest = memoryview(piece)
        while rest or reader.buffered:
            if bypassing and reader.fragment_left and not reader.buffered:
                past, rest = rest[: reader.fragment_left], rest[reader.fragment_left :]
                collected += past
                context_id, control = reader.under_way
                if past and reader.bypass(len(past)):
                    seen.append(Value(context_id, control, bytes(collected)))
                    collected.clear()
            room = reader.room()
            assert len(room) > 0
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            reader.filled(count)
            rest = rest[count:]
            before = reader.buffered
            try:
                seen += whole(reader, collected)
            except ProtocolViolation as violation:
                return [*seen, violation.reason]
            if seen and isinstance(seen[-1], OtherPdu):
                return seen
            if not rest and reader.buffered == before:
                break
    return seen


def whole(reader: PduReader, collected: bytearray) -> list[Seen]:
    seen: list[Seen] = []
    while (event := reader.next()) is not None:
        if isinstance(event, OtherPdu):
            return [*seen, event]
        collected += event.data
        if event.ends:
            seen.append(Value(event.context_id, event.control, bytes(collected)))
            collected.clear()
    return seen


@given(st.lists(data_pdus, min_size=1, max_size=4), cuts, st.booleans())
def test_every_cut_of_a_stream_gives_the_same_values(
    content: list[list[tuple[int, int, bytes]]], where: list[int], bypassing: bool
) -> None:
    stream = b"".join(encoded_pdu(values) for values in content)
    expected: list[Seen] = [Value(*value) for values in content for value in values]
    assert read(pieces(stream, where), bypassing=bypassing) == expected
    assert read([bytes([byte]) for byte in stream], bypassing=bypassing) == expected


@given(st.binary(max_size=400), cuts)
def test_garbage_gives_the_same_end_however_it_is_cut(garbage: bytes, where: list[int]) -> None:
    assert read(pieces(garbage, where)) == read([garbage])


@given(st.lists(data_pdus, min_size=1, max_size=3), st.data())
def test_a_flipped_byte_never_hangs_or_asks_for_more_memory(
    content: list[list[tuple[int, int, bytes]]], data: st.DataObject
) -> None:
    stream = bytearray(b"".join(encoded_pdu(values) for values in content))
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    for seen in read([bytes(stream)]):
        assert not isinstance(seen, Value) or len(seen.data) <= len(stream)


def test_fragment_tells_the_last_piece_of_the_last_fragment() -> None:
    piece = memoryview(b"xy")
    assert Fragment(1, 3, piece, ends=True).last
    assert not Fragment(1, 3, piece, ends=False).last
    assert not Fragment(1, 1, piece, ends=True).last


BETWEEN, VALUES, FRAGMENT = ReaderState
START = {BETWEEN: b"", VALUES: struct.pack(">BxL", 4, 20), FRAGMENT: data_header(1, 2, 10)}


def other(kind: int) -> tuple[bytes, ReaderState | OtherPdu | AbortReason]:
    header = struct.pack(">BxL", kind, 4)
    return header, OtherPdu(kind, 4) if 1 <= kind <= 7 else AbortReason.UNRECOGNIZED_PDU


BAD = AbortReason.INVALID_PARAMETER
WHAT_FOLLOWS: dict[tuple[ReaderState, str], tuple[bytes, ReaderState | OtherPdu | AbortReason]] = {
    (BETWEEN, "nothing"): (b"", BETWEEN),
    (BETWEEN, "half a header"): (b"\4\0\0", BETWEEN),
    (BETWEEN, "the header of a P-DATA-TF"): (struct.pack(">BxL", 4, 6), VALUES),
    (BETWEEN, "the header of an empty P-DATA-TF"): (struct.pack(">BxL", 4, 0), BAD),
    (BETWEEN, "the header of too short a P-DATA-TF"): (struct.pack(">BxL", 4, 5), BAD),
    (BETWEEN, "the header of the longest P-DATA-TF"): (struct.pack(">BxL", 4, 0xFFFFFFFF), VALUES),
    **{(BETWEEN, f"PDU type {kind}"): other(kind) for kind in (0, 1, 2, 3, 5, 6, 7, 8, 255)},
    (VALUES, "nothing"): (b"", VALUES),
    (VALUES, "half a header"): (b"\0\0\0", VALUES),
    (VALUES, "a header"): (struct.pack(">LBB", 10, 1, 3), FRAGMENT),
    (VALUES, "an empty value with others to come"): (struct.pack(">LBB", 2, 1, 3), VALUES),
    (VALUES, "a value that fills the PDU"): (struct.pack(">LBB", 16, 1, 3) + bytes(14), BETWEEN),
    (VALUES, "a value longer than the PDU"): (struct.pack(">LBB", 17, 1, 3), BAD),
    (VALUES, "a value too short for its own header"): (struct.pack(">LBB", 1, 1, 3), BAD),
    (VALUES, "a value of no length"): (struct.pack(">LBB", 0, 1, 3), BAD),
    (VALUES, "a value that leaves no room for another"): (struct.pack(">LBB", 12, 1, 3) + bytes(10), BAD),
    (FRAGMENT, "nothing"): (b"", FRAGMENT),
    (FRAGMENT, "a part"): (b"123456789", FRAGMENT),
    (FRAGMENT, "the rest"): (b"1234567890", BETWEEN),
    (FRAGMENT, "the rest and the next header"): (b"1234567890" + struct.pack(">BxL", 4, 20), VALUES),
    (FRAGMENT, "the rest and a release"): (b"1234567890" + RELEASE, OtherPdu(PduType.RELEASE_RQ, 4)),
}


@pytest.mark.parametrize(("state", "what"), WHAT_FOLLOWS, ids=lambda v: v if isinstance(v, str) else v.name)
@pytest.mark.parametrize("piecemeal", [False, True], ids=["at once", "byte by byte"])
def test_every_state_with_everything_that_can_come(state: ReaderState, what: str, piecemeal: bool) -> None:
    data, expected = WHAT_FOLLOWS[state, what]
    assert outcome([START[state], *([bytes([b]) for b in data] if piecemeal else [data])]) == expected


def outcome(stream: list[bytes]) -> ReaderState | OtherPdu | AbortReason:
    reader = PduReader(SIZE)
    for piece in stream:
        reader.room()[: len(piece)] = piece
        reader.filled(len(piece))
        try:
            events = [e for e in iter_events(reader) if isinstance(e, OtherPdu)]
        except ProtocolViolation as violation:
            return violation.reason
        if events:
            return events[0]
    return reader.state


def iter_events(reader: PduReader) -> list[Fragment | OtherPdu]:
    events: list[Fragment | OtherPdu] = []
    while (event := reader.next()) is not None:
        events.append(event)
        if isinstance(event, OtherPdu):
            break
    return events


def test_the_table_above_has_every_state() -> None:
    assert {state for state, _ in WHAT_FOLLOWS} == set(ReaderState)


def test_another_pdu_stays_in_the_buffer_for_who_can_read_it() -> None:
    abort = abort_pdu(AbortSource.SERVICE_USER)
    reader = PduReader(SIZE)
    reader.room()[: len(abort)] = abort
    reader.filled(len(abort))
    assert reader.next() == OtherPdu(PduType.ABORT, 4)
    assert reader.next() == OtherPdu(PduType.ABORT, 4)
    assert reader.peek(6) == abort[:6]
    assert reader.take(6) + reader.take(100) == abort
    assert reader.between


def test_the_buffer_never_grows_and_always_has_room() -> None:
    reader = PduReader(SIZE)
    stream = itertools.cycle(data_header(1, 0, 1000) + bytes(1000))
    for _ in range(500):
        room = reader.room()
        assert 0 < len(room) <= SIZE
        room[:] = bytes(itertools.islice(stream, len(room)))
        reader.filled(len(room))
        iter_events(reader)
