"""How attributes are written in a profile."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.model.attribute import Attribute, NotAllowed, Step, parse

TAGS = {
    "PatientID": 0x00100020,
    "OtherPatientIDsSequence": 0x00101002,
    "RequestAttributesSequence": 0x00400275,
    "ScheduledProcedureStepID": 0x00400009,
}


def read(text: str) -> Attribute:
    return parse(text, TAGS.get)


@pytest.mark.parametrize(
    ("text", "steps", "anywhere"),
    [
        ("PatientID", [Step(0x00100020)], False),
        ("(0010,0020)", [Step(0x00100020)], False),
        ("00100020", [Step(0x00100020)], False),
        ("(0010, 00aF)", [Step(0x001000AF)], False),
        ("(60xx,3000)", [Step(0x60003000, 0xFF00FFFF)], False),
        ("(0009,XX02)", [Step(0x00090002, 0xFFFF00FF)], False),
        ("(0009,xx02,GEMS_IDEN_01)", [Step(0x00090002, 0xFFFF00FF, "GEMS_IDEN_01")], False),
        ("(0029,xxxx,SIEMENS MED. (X), 1)", [Step(0x00290000, 0xFFFF0000, "SIEMENS MED. (X), 1")], False),
        ("**.PatientID", [Step(0x00100020)], True),
        (
            "RequestAttributesSequence.ScheduledProcedureStepID",
            [Step(0x00400275), Step(0x00400009)],
            False,
        ),
        (
            "**.(0029,xx10,A.B).(0010,0020)",
            [Step(0x00290010, 0xFFFF00FF, "A.B"), Step(0x00100020)],
            True,
        ),
    ],
)
def test_what_is_written_is_what_is_meant(text: str, steps: list[Step], anywhere: bool) -> None:
    assert read(text) == Attribute(text, tuple(steps), anywhere)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PatientId",
        "(0010,0020",
        "(0010;0020)",
        "0010,0020",
        "PatientID.",
        ".PatientID",
        "**",
        "**.",
        "PatientID PatientID",
        "(0010,0020)(0010,0020)",
        "(0008,xx02,A)",
        "(0009,1002,A)",
        "(xxxx,xx02,A)",
        "(0007,xx02,A)",
        "(0009,xx02,A\\B)",
        ".".join(["OtherPatientIDsSequence"] * 17),
    ],
)
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        read(text)
    assert refused.value.message


@given(st.text(st.sampled_from("(0019,x).*PatientID GE"), max_size=40))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        found = read(text)
    except NotAllowed:
        return
    assert found.text == text
    assert all(not step.tag & ~step.mask & 0xFFFFFFFF for step in found.steps)


def test_only_what_names_one_attribute_is_exact() -> None:
    assert all(read(text).exact for text in ("PatientID", "(0009,xx02,ME)", "OtherPatientIDsSequence.PatientID"))
    for text in ("(0009,xx02)", "(60xx,3000)", "**.PatientID", "(0009,xxxx,ME)", "(0009,xx0x,ME)"):
        assert not read(text).exact


def test_it_travels_as_json() -> None:
    found = read("**.(0029,xx10,A.B).(0010,0020)")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Attribute) == found
