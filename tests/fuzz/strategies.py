"""What the hypothesis tests and the coverage-guided fuzzers of the wire draw from."""

from __future__ import annotations

import itertools
import struct

from hypothesis import strategies as st

from capacitord.dicom.commands import Command, CommandField, Priority

uids = st.from_regex(r"[0-2](\.(0|[1-9][0-9]{0,8})){1,6}", fullmatch=True)
shorts = st.integers(0, 0xFFFF)
ascii_text = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=64)
ae_titles = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=16)

commands = st.builds(
    Command,
    field=st.sampled_from(CommandField) | shorts,
    message_id=st.none() | shorts,
    responded_to=st.none() | shorts,
    sop_class_uid=st.just("") | uids,
    sop_instance_uid=st.just("") | uids,
    priority=st.none() | st.sampled_from(Priority),
    has_data_set=st.booleans(),
    status=st.none() | shorts,
    offending=st.lists(st.integers(0, 0xFFFFFFFF), max_size=4).map(tuple),
    error_comment=ascii_text,
    move_originator=st.just("") | ae_titles,
    move_originator_message_id=st.none() | shorts,
)


@st.composite
def values(draw: st.DrawFn, largest: int = 200) -> tuple[int, int, bytes]:
    """Return one presentation data value: context id, message control header, fragment."""
    context_id = 2 * draw(st.integers(0, 127)) + 1
    return context_id, draw(st.integers(0, 3)), draw(st.binary(max_size=largest))


data_pdus = st.lists(values(), min_size=1, max_size=4)
"""P-DATA-TF PDUs as what is in them."""


def encoded_pdu(content: list[tuple[int, int, bytes]]) -> bytes:
    """Return a P-DATA-TF PDU with all these values."""
    body = b"".join(
        struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment
        for context_id, control, fragment in content
    )
    return struct.pack(">BxL", 4, len(body)) + body


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return `data` cut at these places, as a stream could bring it."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:stop] for start, stop in itertools.pairwise(places)]


cuts = st.lists(st.integers(0, 1 << 20), max_size=12)
