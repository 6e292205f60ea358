"""Corrections of entries, said as a profile says them."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.config import profile
from capacitord.dicom.elements import EXPLICIT_LITTLE
from capacitord.dicom.worklist.answers import answer
from capacitord.dicom.worklist.correct import Corrected, correct, placed
from capacitord.dicom.worklist.entry import Entry, read
from capacitord.dicom.worklist.keys import STEPS, SUPPORTED
from capacitord.model.transform import Transform
from tests.dicom.samples import EXPLICIT
from tests.dicom.transform.kit import at
from tests.dicom.worklist.kit import STEP, Said, data, entry, query, step

KEY = b"k" * 32
NOW = dt.datetime(2026, 3, 2, 8, 15, tzinfo=dt.UTC)
PROFILE = """
schema = 1
id = "a"
name = "A"
version = 1
timezone = "UTC"
[worklist]
source = {{ ae_title = "RIS", host = "10.0.0.1", port = 104 }}
{corrections}
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "10.0.0.2"
port = 104
[[route]]
to = ["pacs"]
"""
WHOLE = {
    "AccessionNumber": "A1",
    "PatientName": "Müller^Jörg",
    "PatientID": "P1",
    "StudyInstanceUID": "1.2.3",
    "RequestedProcedureID": "R1",
    "RequestedProcedureDescription": "Schädel",
    **step(
        Modality="CT",
        ScheduledStationAETitle="ANY",
        ScheduledProcedureStepStartDate="20260302",
        ScheduledProcedureStepStartTime="0815",
        ScheduledProcedureStepID="S1",
        ScheduledProcedureStepDescription="Schädel nativ",
    ),
}


def transforms(corrections: str) -> list[Transform]:
    found = profile.parse(PROFILE.format(corrections=corrections), "p.toml")
    assert found.worklist is not None
    return [each.transform(number) for number, each in enumerate(found.worklist.correct)]


def corrected(said: Said, corrections: str = "", characters: str = "ISO_IR 100", key: bytes = KEY) -> Corrected:
    return correct(entry(said, characters), transforms(corrections), key=key, now=NOW)


def told(found: Corrected) -> dict[str, tuple[str | None, str | None]]:
    return {change.attribute: (change.before, change.after) for change in found.changes}


def test_an_entry_that_needs_nothing_stays_as_it_is() -> None:
    found = corrected(WHOLE)
    assert (found.changes, found.skipped, found.lacking) == ((), (), ())


def test_corrections_are_made_in_the_step_and_told() -> None:
    found = corrected(
        WHOLE,
        """
        [[worklist.correct]]
        match = { Modality = "CT" }
        set = { ScheduledStationAETitle = "COACHCT" }
        [[worklist.correct]]
        match = { Modality = "MR" }
        set = { ScheduledStationAETitle = "COACHMR" }
        [[worklist.correct]]
        clean = ["PatientName", "ScheduledProcedureStepDescription"]
        copy = { PatientComments = "ScheduledProcedureStepID" }
        """,
    )
    assert told(found) == {
        f"{STEP}[1].ScheduledStationAETitle": ("ANY", "COACHCT"),
        "PatientName": ("Müller^Jörg", "Muller^Jorg"),
        f"{STEP}[1].ScheduledProcedureStepDescription": ("Schädel nativ", "Schadel nativ"),
        "PatientComments": (None, "S1"),
    }
    assert found.entry.values(0x00100010) == ("Muller^Jorg",)
    assert found.entry.items(STEPS)[0].values(0x00400001) == ("COACHCT",)


def test_codes_become_those_of_the_scanner() -> None:
    code = {"CodeValue": "CTHD", "CodingSchemeDesignator": "L", "CodeMeaning": "x", "CodingSchemeVersion": "7"}
    other = {**code, "CodeValue": "OTHER"}
    found = corrected(
        {**WHOLE, "RequestedProcedureCodeSequence": [code, other]},
        """
        [[worklist.correct]]
        codes = { RequestedProcedureCodeSequence = { CTHD = { value = "CTHEAD", scheme = "99S", meaning = "Kopf" } } }
        """,
    )
    first, second = found.entry.items(0x00321064)
    assert [first.values(tag) for tag in (0x00080100, 0x00080102, 0x00080103, 0x00080104)] == [
        ("CTHEAD",),
        ("99S",),
        (),
        ("Kopf",),
    ]
    assert second.values(0x00080100) == ("OTHER",)
    assert "RequestedProcedureCodeSequence[1].CodeValue" in told(found)


def test_codes_of_the_step_are_found_in_it() -> None:
    step_codes = {STEP: [{"ScheduledProtocolCodeSequence": [{"LongCodeValue": "LONG"}]}]}
    found = corrected(
        {**WHOLE, **step_codes},
        """
        [[worklist.correct]]
        codes = { ScheduledProtocolCodeSequence = { LONG = { value = "C", scheme = "99S", meaning = "M" } } }
        """,
    )
    (item,) = found.entry.items(STEPS)[0].items(0x00400008)
    assert (item.values(0x00080100), item.values(0x00080119)) == (("C",), ())


def test_a_correction_that_cannot_be_made_is_left_out_and_told() -> None:
    found = corrected(
        WHOLE,
        """
        [[worklist.correct]]
        set = { PatientSex = "{PatientBirthDate}", PatientID = "P9" }
        """,
    )
    (skipped,) = found.skipped
    assert (skipped.transform, skipped.attribute) == ("worklist.correct[0]", "PatientSex")
    assert told(found) == {"PatientID": ("P1", "P9")}


def test_the_original_is_kept() -> None:
    original = entry(WHOLE, "ISO_IR 100")
    found = correct(original, transforms('[[worklist.correct]]\nclean = ["PatientName", "Modality"]'), key=KEY, now=NOW)
    assert found.entry.values(0x00100010) != original.values(0x00100010) == ("Müller^Jörg",)
    assert read(data(WHOLE, "ISO_IR 100"), EXPLICIT).values(0x00100010) == Entry(original.dataset).values(0x00100010)


@pytest.mark.parametrize(
    ("missing", "filled"),
    [
        (("ScheduledProcedureStepID",), {f"{STEP}[1].ScheduledProcedureStepID": "R1"}),
        (("RequestedProcedureID",), {"RequestedProcedureID": "S1"}),
        (
            ("RequestedProcedureID", "ScheduledProcedureStepID"),
            {"RequestedProcedureID": "A1", f"{STEP}[1].ScheduledProcedureStepID": "A1"},
        ),
        (("RequestedProcedureDescription",), {"RequestedProcedureDescription": "Schädel nativ"}),
        (("ScheduledProcedureStepDescription",), {f"{STEP}[1].ScheduledProcedureStepDescription": "Schädel"}),
        (("ScheduledProcedureStepStartTime",), {f"{STEP}[1].ScheduledProcedureStepStartTime": "000000"}),
    ],
)
def test_what_can_be_known_is_filled_in(missing: tuple[str, ...], filled: dict[str, str]) -> None:
    said = {name: value for name, value in WHOLE.items() if name not in missing}
    (inside,) = WHOLE[STEP]
    said[STEP] = [{name: value for name, value in inside.items() if name not in missing}]
    for empty in (said, {**said, **dict.fromkeys(name for name in missing if name in WHOLE)}):
        found = corrected(empty)
        assert {name: after for name, (_, after) in told(found).items()} == filled
        assert found.lacking == ()


def test_a_study_gets_the_same_uid_each_time_and_no_other() -> None:
    said = {name: value for name, value in WHOLE.items() if name != "StudyInstanceUID"}
    (uid,) = corrected(said).entry.values(0x0020000D)
    assert uid.startswith("2.25.")
    assert corrected({**said, "PatientComments": "changed"}).entry.values(0x0020000D) == (uid,)
    assert corrected({**said, "AccessionNumber": "A2"}).entry.values(0x0020000D) != (uid,)
    assert corrected(said, key=b"x" * 32).entry.values(0x0020000D) != (uid,)


def test_all_steps_of_a_procedure_get_the_same_study() -> None:
    said = {name: value for name, value in WHOLE.items() if name != "StudyInstanceUID"}

    def uid_of(number: str, **changed: str | None) -> tuple[str, ...]:
        other = {**said[STEP][0], "ScheduledProcedureStepID": number}
        return corrected({**said, **changed, STEP: [other]}).entry.values(0x0020000D)

    assert uid_of("S1") == uid_of("S2")
    assert uid_of("S1", RequestedProcedureID="R2") != uid_of("S1")
    # Without the number of the order, the next visit's may have the same one.
    assert uid_of("S1", AccessionNumber=None) != uid_of("S2", AccessionNumber=None)
    assert uid_of("S1", RequestedProcedureID=None) != uid_of("S2", RequestedProcedureID=None)


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        ({}, {"PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureID"}),
        ({**WHOLE, "PatientID": None}, {"PatientID"}),
        ({**WHOLE, STEP: []}, {"ScheduledProcedureStepSequence"}),
        ({**WHOLE, **step(ScheduledProcedureStepID="S1")}, {"Modality", "ScheduledStationAETitle"}),
    ],
)
def test_who_and_when_is_never_made_up(said: Said, lacking: set[str]) -> None:
    found = corrected(said)
    assert lacking <= set(found.lacking)
    assert not lacking & set(told(found))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Modality", 2),
        ("PatientName", 1),
        ("ScheduledProcedureStepSequence.Modality", 2),
        ("ScheduledProtocolCodeSequence.CodeValue", 3),
        ("**.Modality", 1),
    ],
)
def test_where_an_attribute_of_a_profile_is(written: str, text: int) -> None:
    assert len(placed(at(written)).steps) == text


NAMES = st.text(st.characters(blacklist_categories=("C", "Z"), blacklist_characters="\\^="), max_size=16)


@given(NAMES, NAMES, st.sampled_from(["ISO_IR 192", "ISO_IR 100"]))
def test_a_corrected_entry_is_served_like_any_other(name: str, words: str, asked_in: str) -> None:
    said = {**WHOLE, "PatientName": name, "RequestedProcedureDescription": None, **step(Modality=None)}
    said[STEP][0]["ScheduledProcedureStepDescription"] = words
    found = corrected(said, '[[worklist.correct]]\nclean = ["PatientName"]', "ISO_IR 192")
    asked = query(dict.fromkeys(("PatientName", "RequestedProcedureDescription")), asked_in)
    again = read(answer(asked, found.entry, EXPLICIT_LITTLE).data, EXPLICIT)
    assert again.values(0x00100010) == found.entry.values(0x00100010)
    assert all(text.isascii() for text in again.values(0x00100010))
    assert again.values(0x00321060) == found.entry.values(0x00321060)
    found.entry.prepare(SUPPORTED)


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("山田^太郎", "P1"),
        ("=山田^太郎=やまだ^たろう", "P1"),
        ("=山田^太郎=Yamada^Tarou", "Yamada^Tarou==Yamada^Tarou"),
        ("Yamada^Tarou=山田^太郎", "Yamada^Tarou"),
        ("", ""),
    ],
)
def test_a_name_that_cleaning_leaves_nothing_of_is_served_as_what_a_scanner_can_show(name: str, served: str) -> None:
    said = {**WHOLE, "PatientName": name}
    found = corrected(said, '[[worklist.correct]]\nclean = ["PatientName"]', "ISO_IR 192")
    assert "=".join(found.entry.values(0x00100010)) == served
    assert ("PatientName" in found.lacking) is (not served)
    left = corrected(said, '[[worklist.correct]]\nset = { PatientName = "" }', "ISO_IR 192")
    assert left.entry.values(0x00100010) != ("P1",), "only what was cleaned away"
