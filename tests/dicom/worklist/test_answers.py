"""Answers: what was asked for and nothing else, in a set the scanner understands, and DCMTK can read them."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from capacitord.dicom.worklist.answers import Answer
from capacitord.dicom.worklist.entry import read
from tests.dicom.samples import BIG_ENDIAN, EXPLICIT, IMPLICIT
from tests.dicom.worklist.kit import STEP, Said, answered, step

DCMDUMP = "/usr/bin/dcmdump"
DCMTK_READS = {EXPLICIT: "-te", IMPLICIT: "-ti", BIG_ENDIAN: "-tb"}
JAPANESE = {"PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"}


def decoded(found: Answer) -> Dataset:
    """Return an answer as pydicom reads its bytes."""
    return read_dataset(BytesIO(found.data), found.encoding.implicit, not found.encoding.big)


def said(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset as the tests write one."""
    return {
        element.keyword: [said(item) for item in element.value] if element.VR == "SQ" else str(element.value or "")
        for element in dataset
    }


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_what_was_asked_for_comes_back_and_nothing_else(syntax: str) -> None:
    asked = {"PatientName": "s*", "PatientID": None, "PatientWeight": None, **step(Modality="CT", PreMedication=None)}
    there = {
        "PatientName": "Smith",
        "PatientID": "P1",
        "PatientSex": "F",
        **step(Modality="CT", ScheduledStationName="X"),
    }
    assert said(decoded(answered(asked, there, syntax=syntax))) == {
        "PatientName": "Smith",
        "PatientID": "P1",
        "PatientWeight": "",
        STEP: [{"Modality": "CT", "PreMedication": ""}],
    }


def test_unsupported_keys_do_not_come_back() -> None:
    found = decoded(answered({"PatientID": None, "StudyComments": "x", "00091002": None}, {"PatientID": "P1"}))
    assert said(found) == {"PatientID": "P1"}


def test_only_items_that_match_come_back() -> None:
    code = "ScheduledProtocolCodeSequence"
    asked = step(**{code: [{"CodeValue": "C2", "CodeMeaning": None}]})
    there = step(**{code: [{"CodeValue": "C1"}, {"CodeValue": "C2", "CodeMeaning": "Two"}]})
    assert said(decoded(answered(asked, there))) == step(**{code: [{"CodeValue": "C2", "CodeMeaning": "Two"}]})


@pytest.mark.parametrize("items", [[], [{}]])
def test_an_empty_sequence_asks_for_all_of_it(items: list[Said]) -> None:
    there = step(Modality="CT", ScheduledProtocolCodeSequence=[{"CodeValue": "C1"}], StudyComments="not ours")
    expected = step(Modality="CT", ScheduledProtocolCodeSequence=[{"CodeValue": "C1"}])
    assert said(decoded(answered({STEP: items}, there))) == expected


def test_all_values_come_back_if_one_matches() -> None:
    found = decoded(answered(step(ScheduledStationAETitle="A2"), step(ScheduledStationAETitle="A1\\A2")))
    assert said(found[STEP].value[0]) == {"ScheduledStationAETitle": "['A1', 'A2']"}


def test_numbers_come_back_as_numbers() -> None:
    there = {"PregnancyStatus": "4", "PatientWeight": "70.5"}
    found = decoded(answered({"PregnancyStatus": None, "PatientWeight": None}, there))
    assert (found.PregnancyStatus, str(found.PatientWeight)) == (4, "70.5")


@pytest.mark.parametrize(
    ("asked_in", "there_in", "name", "expected"),
    [
        # Nothing beyond ASCII: nothing to declare but what the scanner itself says.
        ("", "ISO_IR 100", "Smith", None),
        ("ISO_IR 100", "ISO_IR 192", "Smith", "ISO_IR 100"),
        ("", "", "Smith", None),
        # What the scanner asked for, where it has a place for the text.
        ("ISO_IR 100", "ISO_IR 192", "Müller", "ISO_IR 100"),
        ("ISO_IR 192", "ISO_IR 100", "Müller", "ISO_IR 192"),
        ("\\ISO 2022 IR 87", "ISO_IR 192", JAPANESE["PatientName"], ["", "ISO 2022 IR 87"]),
        ("\\ISO 2022 IR 149", "ISO_IR 192", "Hong^Gildong=洪^吉洞=홍^길동", ["", "ISO 2022 IR 149"]),
        ("\\ISO 2022 IR 58", "GB18030", "Zhang^XiaoDong=张^小东", ["", "ISO 2022 IR 58"]),
        ("GB18030", "\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东", "GB18030"),
        ("ISO 2022 IR 6\\ISO 2022 IR 100", "ISO_IR 100", "Müller", ["ISO 2022 IR 6", "ISO 2022 IR 100"]),
        # Otherwise the source's own, as if the box were not there.
        ("", "ISO_IR 100", "Müller", "ISO_IR 100"),
        ("ISO_IR 100", "\\ISO 2022 IR 87", JAPANESE["PatientName"], ["", "ISO 2022 IR 87"]),
        ("ISO_IR 101", "ISO_IR 144", "Иванов", "ISO_IR 144"),
        # A set nobody knows is no set.
        ("ISO_IR 999", "ISO_IR 100", "Müller", "ISO_IR 100"),
    ],
)
def test_the_character_set_of_an_answer(asked_in: str, there_in: str, name: str, expected: Any) -> None:
    encoded = answered({"PatientName": None}, {"PatientName": name}, asked_in=asked_in, there_in=there_in)
    found = decoded(encoded)
    declared = found.get("SpecificCharacterSet")
    assert (list(declared) if isinstance(expected, list) else declared or None) == expected
    assert read(encoded.data, EXPLICIT).values(0x00100010) == (name,)


@pytest.mark.parametrize(
    ("characters", "name", "expected"),
    [
        # PS3.5 §H.3.1, §H.3.2, §I.2, §K.2.
        (
            "\\ISO 2022 IR 87",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        ),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        ),
        (
            "\\ISO 2022 IR 149",
            "Hong^Gildong=洪^吉洞=홍^길동",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        ),
        (
            "\\ISO 2022 IR 58",
            "Zhang^XiaoDong=张^小东",
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
        ),
    ],
)
def test_names_are_written_as_the_standard_writes_them(characters: str, name: str, expected: bytes) -> None:
    found = answered({"PatientName": None}, {"PatientName": name}, asked_in=characters, there_in="ISO_IR 192")
    assert expected in found.data


def test_text_that_was_in_no_set_becomes_readable() -> None:
    found = decoded(answered({"PatientName": None}, {"PatientName": "Müller".encode("latin-1")}))
    assert str(found.PatientName) == "Müller"
    assert found.SpecificCharacterSet == "ISO_IR 100"


def test_text_that_is_not_in_its_set_gets_question_marks() -> None:
    found = decoded(answered({"PatientID": None}, {"PatientID": b"A\xff\xfeB"}, there_in="ISO_IR 192"))
    assert found.PatientID == "A??B"


def test_items_with_a_set_of_their_own_are_put_into_that_of_the_answer() -> None:
    there = {
        "PatientName": "Müller",
        STEP: [{"SpecificCharacterSet": "ISO_IR 192", "ScheduledProcedureStepDescription": "Schädel".encode()}],
    }
    asked = {"PatientName": None, **step(ScheduledProcedureStepDescription=None)}
    found = decoded(answered(asked, there, there_in="ISO_IR 100"))
    assert said(found) == {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientName": "Müller",
        **step(ScheduledProcedureStepDescription="Schädel"),
    }


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("characters", ["\\ISO 2022 IR 58", "GB18030", "ISO_IR 192"])
def test_dcmtk_reads_an_answer(tmp_path: Path, syntax: str, characters: str) -> None:
    there = {"PatientName": "Wang^XiaoDong=王^小东", **step(Modality="CT")}
    found = answered({"PatientName": None, STEP: []}, there, asked_in=characters, there_in="ISO_IR 192", syntax=syntax)
    (tmp_path / "answer.dcm").write_bytes(found.data)
    shown = subprocess.run(
        [DCMDUMP, "+U8", "-f", DCMTK_READS[syntax], str(tmp_path / "answer.dcm")],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert "PN [Wang^XiaoDong=王^小东" in shown.stdout
    assert "CS [CT]" in shown.stdout
