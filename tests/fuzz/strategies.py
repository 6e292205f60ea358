"""What the hypothesis tests and the coverage-guided fuzzers of the wire draw from."""

from __future__ import annotations

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
