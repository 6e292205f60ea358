"""What a transform may be asked for at all."""

from __future__ import annotations

import msgspec
import pytest

from capacitord.model.attribute import Attribute, NotAllowed, parse
from capacitord.model.transform import (
    Clean,
    Copy,
    Hash,
    Map,
    On,
    OnError,
    Prefix,
    Record,
    Remove,
    Replace,
    Set,
    SetMissing,
    Source,
    Suffix,
    Template,
    Transform,
    attributes_of,
    template,
)

TAGS = {
    "PatientID": 0x00100020,
    "StudyID": 0x00200010,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "SOPInstanceUID": 0x00080018,
    "SOPClassUID": 0x00080016,
    "SpecificCharacterSet": 0x00080005,
    "ReferencedStudySequence": 0x00081110,
    "PixelData": 0x7FE00010,
}


def at(text: str) -> Attribute:
    return parse(text, TAGS.get)


def value(text: str) -> Template:
    return template(text, TAGS.get)


TARGET = at("PatientID")
OPERATIONS = (
    Set(TARGET, value("A{StudyID}"), "LO"),
    SetMissing(TARGET, value("")),
    Remove(TARGET),
    Copy(TARGET, at("StudyID")),
    Replace(TARGET, "a", "b"),
    Map(TARGET, {"a": "b"}),
    Clean(TARGET),
    Hash(TARGET),
    Prefix(TARGET, "x"),
    Suffix(TARGET, "x"),
)


@pytest.mark.parametrize(
    "text",
    [
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "SOPClassUID",
        "(0020,000D)",
        "(0020,xxxx)",
        "(0020,000x)",
        "(xxxx,0018)",
        "(0008,xx18)",
        "**.StudyInstanceUID",
        "ReferencedStudySequence.SOPInstanceUID",
        "SpecificCharacterSet",
        "(0008,000x)",
        "(0008,1155)",
        "(0008,1150)",
        "(0020,0052)",
        "(0020,0200)",
        "(0020,9161)",
        "**.(0020,0242)",
        "(0028,0304)",
        "ReferencedStudySequence.(0008,1155)",
        "**.(3006,0024)",
        "PixelData",
        "(7FE0,0001)",
        "(7Fxx,0020)",
        "(0002,0010)",
        "(FFFE,E000)",
        "(0000,0900)",
    ],
)
def test_which_image_it_is_and_how_it_is_built_cannot_be_changed(text: str) -> None:
    for make in (
        Remove,
        lambda target: Set(target, value("x")),
        lambda target: SetMissing(target, value("x")),
        lambda target: Copy(target, at("PatientID")),
        lambda target: Replace(target, "a", "b"),
        lambda target: Map(target, {}),
        Clean,
        Hash,
        lambda target: Prefix(target, "x"),
        lambda target: Suffix(target, "x"),
    ):
        with pytest.raises(NotAllowed, match="would change") as refused:
            make(at(text))
        assert refused.value.hint


def test_other_uids_and_private_elements_can() -> None:
    for text in ("(0018,1002)", "(0021,xx0D)", "(0021,xx18,ME)", "ReferencedStudySequence", "(7FE1,xx10)"):
        Remove(at(text))


def test_it_is_refused_in_what_was_sent_too() -> None:
    sent = msgspec.json.encode(Remove(TARGET)).replace(b"1048608", str(0x0020000D).encode())
    with pytest.raises(msgspec.ValidationError, match="would change the Study Instance UID"):
        msgspec.json.decode(sent, type=Remove)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_operations_travel_as_json(operation: Remove) -> None:
    whole = Transform("transform[1]", On.INBOUND, (operation,), to=("pacs",), record=Record())
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Transform) == whole


def test_operations_have_the_names_of_a_profile() -> None:
    assert [operation.name for operation in OPERATIONS] == [
        "set",
        "set_missing",
        "remove",
        "copy",
        "replace",
        "map",
        "clean",
        "hash",
        "prefix",
        "suffix",
    ]


def test_a_failure_holds_by_default_and_nothing_is_recorded() -> None:
    plain = Transform("t", On.OUTBOUND, ())
    assert (plain.on_error, plain.record, plain.to) == (OnError.HOLD, None, ())


def test_all_attributes_in_play_are_known() -> None:
    whole = Transform("t", On.INBOUND, OPERATIONS)
    assert {attribute.text for attribute in attributes_of([whole])} == {"PatientID", "StudyID"}


class TestTemplate:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("", ()),
            ("St. Mary's", ("St. Mary's",)),
            ("{PatientID}", (Source(TARGET),)),
            ("a{PatientID|}b{StudyID|n/a}", ("a", Source(TARGET, ""), "b", Source(at("StudyID"), "n/a"))),
            ("{{{PatientID}}}", ("{", Source(TARGET), "}")),
            ("{(0009,xx02,A|B)}", (Source(at("(0009,xx02,A|B)")),)),
        ],
    )
    def test_what_is_written_is_what_is_meant(self, text: str, parts: tuple[str | Source, ...]) -> None:
        assert value(text) == Template(text, parts)

    @pytest.mark.parametrize(
        "text", ["{", "}", "{}", "{PatientID", "PatientID}", "{Nope}", "{**.PatientID}", "{(60xx,0022)}"]
    )
    def test_what_means_nothing_is_refused(self, text: str) -> None:
        with pytest.raises(NotAllowed):
            value(text)
