"""Matching of keys: the standard's own examples, each kind of matching, and what hostile queries cost."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydicom.datadict import tag_for_keyword

from capacitord.dicom.elements import Malformed
from capacitord.dicom.worklist.entry import read
from capacitord.dicom.worklist.matching import BadKey, matches, understood
from tests.dicom.samples import BIG_ENDIAN, EXPLICIT, IMPLICIT
from tests.dicom.trees import Node, written
from tests.dicom.worklist.kit import STEP, Said, data, entry, matched, query, step

DATE, TIME = "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime"


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [
        # PS3.4 §C.2.2.2.1.3 note 1: dates and times match by their meaning.
        (step(**{TIME: "2230"}), step(**{TIME: "223000"}), True),
        (step(**{TIME: "223000"}), step(**{TIME: "223000.000000"}), True),
        (step(**{DATE: "20060705"}), step(**{DATE: "2006.07.05"}), True),
        # §C.2.2.2.4 note 1: "*" is universal matching.
        ({"PatientName": "*"}, {}, True),
        ({"PatientID": "*"}, {"PatientID": None}, True),
        # §C.2.2.2.1.1 note: one component group, or all of the name.
        ({"PatientName": "Wang^XiaoDong"}, {"PatientName": "Wang^XiaoDong=王^小東"}, True),
        ({"PatientName": "王^小東"}, {"PatientName": "Wang^XiaoDong=王^小東"}, True),
        ({"PatientName": "*王^小東*"}, {"PatientName": "Wang^XiaoDong=王^小東"}, True),
        ({"PatientName": "Wang^XiaoDong=王^小東"}, {"PatientName": "Wang^XiaoDong=王^小東"}, True),
        ({"PatientName": "*=*"}, {"PatientName": "Wang^XiaoDong"}, True),
        ({"PatientName": "*=*=*"}, {"PatientName": "Wang^XiaoDong=王^小東"}, True),
        # §C.2.2.2.1.1 note 1: accents and case of Latin letters.
        ({"PatientName": "a"}, {"PatientName": "à"}, True),
        ({"PatientName": "a"}, {"PatientName": "ã"}, True),
        ({"PatientName": "a"}, {"PatientName": "ă"}, True),
        ({"PatientName": "a"}, {"PatientName": "Á"}, True),
        ({"PatientName": "a"}, {"PatientName": "ŕ"}, False),
        # §C.2.2.2.5.4 note, table K.6-1: July 5, 10am, until July 7, 6pm.
        (step(**{DATE: "20060705-20060707", TIME: "1000-1800"}), step(**{DATE: "20060706", TIME: "0300"}), True),
        (step(**{DATE: "20060705-20060707", TIME: "1000-1800"}), step(**{DATE: "20060705", TIME: "0959"}), False),
        (step(**{DATE: "20060705-20060707", TIME: "1000-1800"}), step(**{DATE: "20060705", TIME: "1000"}), True),
        (step(**{DATE: "20060705-20060707", TIME: "1000-1800"}), step(**{DATE: "20060707", TIME: "180000"}), True),
        (step(**{DATE: "20060705-20060707", TIME: "1000-1800"}), step(**{DATE: "20060707", TIME: "180001"}), False),
        # §C.2.2.2.5.1 and §C.2.2.2.5.2: both ends are inclusive, each may be open.
        (step(**{DATE: "20060705-20060707"}), step(**{DATE: "20060705"}), True),
        (step(**{DATE: "20060705-20060707"}), step(**{DATE: "20060707"}), True),
        (step(**{DATE: "20060705-20060707"}), step(**{DATE: "20060708"}), False),
        (step(**{DATE: "-20060707"}), step(**{DATE: "20060707"}), True),
        (step(**{DATE: "-20060707"}), step(**{DATE: "20060708"}), False),
        (step(**{DATE: "20060705-"}), step(**{DATE: "20060705"}), True),
        (step(**{DATE: "20060705-"}), step(**{DATE: "20060704"}), False),
        (step(**{DATE: "20060705 - 20060707"}), step(**{DATE: "20060706"}), True),
        (step(**{TIME: "1000-1800"}), step(**{TIME: "12"}), True),
        (step(**{TIME: "-1800"}), step(**{TIME: "235959"}), False),
        # "Range Matching crossing midnight is not supported."
        (step(**{TIME: "2200-0600"}), step(**{TIME: "2300"}), False),
    ],
)
def test_the_standards_examples(asked: Said, there: Said, *, expected: bool) -> None:
    assert matched(asked, there, "ISO_IR 192") is expected


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [
        # Single value: regards case, not padding.
        ({"PatientID": "ab1"}, {"PatientID": "AB1"}, False),
        ({"PatientID": "AB1"}, {"PatientID": " AB1  "}, True),
        ({"PatientID": b"AB1\0"}, {"PatientID": "AB1"}, True),
        ({"PatientID": "  "}, {"PatientID": "AB1"}, True),
        ({"PatientID": "AB"}, {"PatientID": "AB1"}, False),
        ({"PatientID": "AB"}, {}, False),
        # Wildcards: as many characters as they say, case regarded.
        ({"AccessionNumber": "A*9"}, {"AccessionNumber": "A9"}, True),
        ({"AccessionNumber": "A*9"}, {"AccessionNumber": "A1239"}, True),
        ({"AccessionNumber": "A?9"}, {"AccessionNumber": "A9"}, False),
        ({"AccessionNumber": "a*"}, {"AccessionNumber": "A9"}, False),
        ({"AccessionNumber": "A.*"}, {"AccessionNumber": "AB9"}, False),
        ({"AccessionNumber": "[A]*"}, {"AccessionNumber": "A"}, False),
        ({"AccessionNumber": "?*"}, {"AccessionNumber": None}, False),
        ({"AccessionNumber": "**"}, {}, True),
        (step(Modality="C*"), step(Modality="CT"), True),
        (step(ScheduledStationAETitle="COACH?"), step(ScheduledStationAETitle="COACH1 "), True),
        # Several values of the entry, one of which matches; several of the key, one of which has to.
        (step(ScheduledStationAETitle="AA33"), step(ScheduledStationAETitle="AA32\\AA33"), True),
        (step(ScheduledStationAETitle="A*4"), step(ScheduledStationAETitle="AA32\\AA33"), False),
        (step(Modality="CT\\MR"), step(Modality="MR"), True),
        # List of UID, without wildcards.
        ({"StudyInstanceUID": "1.2\\1.3"}, {"StudyInstanceUID": "1.3"}, True),
        ({"StudyInstanceUID": "1.2\\1.3"}, {"StudyInstanceUID": "1.4"}, False),
        ({"StudyInstanceUID": b"1.2.3\0"}, {"StudyInstanceUID": "1.2.3"}, True),
        ({"StudyInstanceUID": "1.*"}, {"StudyInstanceUID": "1.3"}, False),
        # Numbers.
        ({"PatientWeight": "+070.50"}, {"PatientWeight": "70.5"}, True),
        ({"PatientWeight": "7e1"}, {"PatientWeight": "70"}, True),
        ({"PatientWeight": "-0"}, {"PatientWeight": "0.0"}, True),
        ({"PatientWeight": "70"}, {"PatientWeight": "-70"}, False),
        ({"PatientWeight": "7.5"}, {"PatientWeight": "75"}, False),
        ({"PatientWeight": "0.07"}, {"PatientWeight": "7e-2"}, True),
        ({"PregnancyStatus": "4"}, {"PregnancyStatus": "4"}, True),
        ({"PregnancyStatus": "4"}, {"PregnancyStatus": "3"}, False),
        # Names: case, delimiters at the end, components, groups.
        ({"PatientName": "SMITH^JOHN"}, {"PatientName": "Smith^John^^^"}, True),
        ({"PatientName": "Smith^John^^"}, {"PatientName": "Smith^John"}, True),
        ({"PatientName": "Smith"}, {"PatientName": "Smith^John"}, False),
        ({"PatientName": "Smith*"}, {"PatientName": "Smith^John"}, True),
        ({"PatientName": "Smith^*"}, {"PatientName": "Smith"}, True),
        ({"PatientName": "Smith^*"}, {"PatientName": "Smithson^John"}, False),
        ({"PatientName": "*^John"}, {"PatientName": "Smith^John"}, True),
        ({"PatientName": "Smith^*^*"}, {"PatientName": "Smith^John"}, True),
        ({"PatientName": "Sm?th^J*"}, {"PatientName": "SMYTH^JOHN"}, True),
        ({"PatientName": "smith ^ john"}, {"PatientName": "Smith^John"}, True),
        ({"PatientName": "^"}, {"PatientName": "Smith^John"}, True),
        ({"PatientName": "^^^^"}, {"PatientName": None}, True),
        ({"PatientName": "^ ="}, {}, True),
        ({"PatientName": "muller^jorg"}, {"PatientName": "Müller^Jörg"}, True),
        ({"PatientName": "MÜLLER*"}, {"PatientName": "Muller^Jorg"}, True),
        ({"PatientName": "ОЛЬГА"}, {"PatientName": "Ольга"}, True),
        ({"PatientName": "か"}, {"PatientName": "が"}, False),
        ({"PatientName": "=王*"}, {"PatientName": "Wang=王^小東"}, True),
        ({"PatientName": "=李*"}, {"PatientName": "Wang=王^小東"}, False),
        ({"PatientName": "Wang=王^小東"}, {"PatientName": "Wang"}, False),
        ({"RequestingPhysician": "adams"}, {"RequestingPhysician": "ADAMS^A"}, False),
        # Accents count where the VR is not PN; how they are composed does not.
        ({"RequestedProcedureDescription": "Thorax"}, {"RequestedProcedureDescription": "Thórax"}, False),
        ({"RequestedProcedureDescription": "Tho\u0301rax"}, {"RequestedProcedureDescription": "Thórax"}, True),
        # Dates and times are one range, and each for itself where a time has no day.
        (step(**{DATE: "20060705-20060707", TIME: "1000-"}), step(**{DATE: "20060706", TIME: "0900"}), True),
        (step(**{DATE: "20060705-20060707", TIME: "1000-"}), step(**{DATE: "20060705", TIME: "0900"}), False),
        (step(**{DATE: "20060705-20060707", TIME: "1000-"}), step(**{DATE: "20060707", TIME: "2330"}), True),
        (step(**{DATE: "20060705-20060707", TIME: "-0800"}), step(**{DATE: "20060707", TIME: "0900"}), False),
        (step(**{DATE: "20060705-20060707", TIME: "-0800"}), step(**{DATE: "20060705", TIME: "0900"}), True),
        (step(**{DATE: "-20060707", TIME: "1000-1800"}), step(**{DATE: "20060706", TIME: "0900"}), False),
        (step(**{DATE: "20060705-", TIME: "-0800"}), step(**{DATE: "20060706", TIME: "0900"}), False),
        (step(**{DATE: "20060705", TIME: "1000-1800"}), step(**{DATE: "20060705", TIME: "0900"}), False),
        (step(**{DATE: "20060705-", TIME: "1000-"}), step(**{DATE: "20060706", TIME: "0900"}), True),
        (step(**{DATE: "-20060705", TIME: "-1000"}), step(**{DATE: "20060704", TIME: "1100"}), True),
        (step(**{DATE: "20060705-20060707", TIME: "1000-1800"}), step(**{DATE: "20060706"}), True),
        (step(**{DATE: "20060705-20060707", TIME: "1000-1800"}), step(**{DATE: "20060705"}), False),
        (step(**{DATE: "20060707-20060705"}), step(**{DATE: "20060706"}), False),
        (step(**{DATE: "20060705"}), step(**{DATE: "in July"}), False),
        ({"PatientBirthDate": "19700101-19791231"}, {"PatientBirthDate": "19750615"}, True),
        # Sequences: all keys in one item.
        (step(Modality="CT", ScheduledStationAETitle="A"), step(Modality="CT", ScheduledStationAETitle="B"), False),
        (step(), step(Modality="CT"), True),
        ({STEP: []}, step(Modality="CT"), True),
        (step(Modality=None), {}, True),
        (step(Modality="CT"), {}, False),
        (
            step(Modality="CT", ScheduledStationAETitle="B"),
            {
                STEP: [
                    {"Modality": "CT", "ScheduledStationAETitle": "A"},
                    {"Modality": "MR", "ScheduledStationAETitle": "B"},
                ]
            },
            False,
        ),
        (
            step(ScheduledProtocolCodeSequence=[{"CodeValue": "C2"}]),
            step(ScheduledProtocolCodeSequence=[{"CodeValue": "C1"}, {"CodeValue": "C2"}]),
            True,
        ),
        # What is not supported matches everything.
        ({"StudyComments": "no"}, {"StudyComments": "yes"}, True),
        ({"00091002": "x"}, {}, True),
    ],
)
def test_each_kind_of_matching(asked: Said, there: Said, *, expected: bool) -> None:
    assert matched(asked, there, "ISO_IR 192") is expected


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("ISO_IR 100", "ISO_IR 192"),
        ("ISO_IR 192", "ISO_IR 100"),
        ("ISO_IR 100", "ISO 2022 IR 6\\ISO 2022 IR 100"),
    ],
)
def test_text_matches_whatever_sets_it_is_in(asked: str, there: str) -> None:
    name = {"PatientName": "Äneas^Rüdiger"}
    assert query(name, asked).matches(entry(name, there))


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    ],
)
def test_names_of_several_bytes_a_character(characters: str, name: str) -> None:
    there = entry({"PatientName": name}, characters)
    groups = name.split("=")
    for key in (name, *groups, f"*{groups[1][0]}*", f"*={groups[1][0]}*", f"{groups[0][:2]}*", f"={groups[1]}"):
        assert query({"PatientName": key}, "ISO_IR 192").matches(there), key
        assert query({"PatientName": key}, characters).matches(there), key
    assert not query({"PatientName": "=龍*"}, "ISO_IR 192").matches(there)


def test_a_key_in_no_declared_set_is_still_understood() -> None:
    asked = query({"PatientID": "Ä1".encode("latin-1")})
    assert asked.matches(entry({"PatientID": "Ä1"}, "ISO_IR 100"))


def test_nothing_in_an_entry_steers_what_shows_it() -> None:
    names = b"DOE\r\n^A\x1b[2J\x9b2J\x7f"
    there = entry({"PatientName": names, "PatientComments": b"one\r\ntwo\x07", "Modality": b"C\nT "}, "ISO_IR 100")
    assert there.values(tag_for_keyword("PatientName") or 0) == ("DOE??^A?[2J?2J?",)
    assert there.values(tag_for_keyword("PatientComments") or 0) == ("one\r\ntwo?",)
    assert there.values(tag_for_keyword("Modality") or 0) == ("C?T",)


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN])
def test_every_encoding_is_read(syntax: str) -> None:
    there = entry({"PatientName": "Smith^John", "PatientWeight": "70", **step(Modality="CT")}, syntax=syntax)
    assert query({"PatientName": "smith*", **step(Modality="CT")}, syntax=syntax).matches(there)


def test_the_plain_function_takes_datasets() -> None:
    asked, there = entry({"PatientID": "P*"}).dataset, entry({"PatientID": "P1"}).dataset
    assert matches(asked, there)


@pytest.mark.parametrize(
    ("asked", "keyword", "words"),
    [
        (step(**{DATE: "2006-07-05"}), DATE, "date"),
        (step(**{DATE: "20060231"}), DATE, "date"),
        (step(**{DATE: "-"}), DATE, "date"),
        (step(**{TIME: "2500"}), TIME, "time"),
        (step(**{TIME: "10:00-18:00-19:00"}), TIME, "time"),
        (step(**{DATE: "9" * 200}), DATE, "date"),
        ({STEP: [{"Modality": "CT"}, {"Modality": "MR"}]}, STEP, "more than one item"),
        ({"PatientName": "*a" * 400}, "PatientName", "324 characters"),
        ({"StudyInstanceUID": "\\".join(["1.2"] * 1001)}, "StudyInstanceUID", "1000 values"),
    ],
)
def test_keys_that_make_no_sense_are_refused_with_their_tag(asked: Said, keyword: str, words: str) -> None:
    with pytest.raises(BadKey, match=words) as caught:
        query(asked)
    assert caught.value.tag == tag_for_keyword(keyword)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (Node(0x001021C0, "OB", b"\1\2"), "a key cannot be read"),
        (Node(0x00400100, "OB", b"\1\2"), "a sequence cannot be read"),
    ],
)
def test_keys_that_are_not_what_their_vr_says_are_refused(node: Node, words: str) -> None:
    with pytest.raises(BadKey, match=words):
        understood(read(written((node,), EXPLICIT), EXPLICIT).dataset)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"PatientID": "1"}, False),
        ({"StudyComments": None}, True),
        ({"QueryRetrieveLevel": "STUDY"}, True),
        ({"00091002": "x"}, True),
        (step(StudyComments="x"), True),
        (step(ScheduledProtocolCodeSequence=[{"CodeValue": None, "StudyComments": None}]), True),
        ({"TimezoneOffsetFromUTC": "+0200", "PatientID": None}, False),
    ],
)
def test_unsupported_keys_are_known(asked: Said, *, expected: bool) -> None:
    assert query(asked).unsupported is expected


@pytest.mark.parametrize(
    "key",
    ["*a" * 120 + "*", "?" * 300, "*?" * 150, "a*" * 160, "*" * 320 + "b"],
)
@pytest.mark.parametrize("keyword", ["PatientName", "PatientComments"])
def test_a_hostile_wildcard_costs_little(keyword: str, key: str) -> None:
    there: dict[str, Any] = {keyword: "a" * 60000}
    hostile = entry(there)
    hostile.values(0x00104000)
    started = time.process_time()
    query({keyword: key}).matches(hostile)
    # An engine that goes back over the text would take longer than anybody waits.
    assert time.process_time() - started < 2.0


def test_an_entry_in_a_syntax_nobody_agreed_on_is_refused() -> None:
    with pytest.raises(Malformed):
        read(data({"PatientID": "1"}), "1.2.840.10008.1.2.4.50")
