"""Codes: stable, different from place to place, never the original, and found again by who has the key."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.deidentify.codes import (
    LONGEST_SHIFT,
    SHORTEST_SHIFT,
    Codes,
    Patient,
    Sought,
    spellings,
)
from tests.dicom.deidentify.kit import KEY

CODE = re.compile(r"[0-9A-HJKMNP-TV-Z]{12}")
UID = re.compile(r"(?=.{1,64}$)2\.25\.[1-9]\d*")
ids = st.text(min_size=1, max_size=64).filter(lambda text: text.strip(" \0"))
uids = st.from_regex(r"1(\.(0|[1-9][0-9]{0,8})){3,6}", fullmatch=True)


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Codes(b"short", "research")


@given(ids, ids, uids)
def test_codes_are_stable_and_never_the_original(number: str, issuer: str, uid: str) -> None:
    one, other = Codes(KEY, "research"), Codes(KEY, "research")
    for made, again, original in (
        (one.patient_id(number, issuer), other.patient_id(number, issuer), number),
        (one.accession_number(number), other.accession_number(f" {number} "), number),
        (one.study_id(number), other.study_id(number), number),
    ):
        assert made == again
        assert CODE.fullmatch(made)
        assert original != made
    assert one.uid(uid) == other.uid(uid + "\0") != uid
    assert UID.fullmatch(one.uid(uid))
    assert one.days(Patient(number, issuer)) == other.days(Patient(number, issuer))


@given(ids, uids)
def test_another_destination_or_site_has_other_codes(number: str, uid: str) -> None:
    places = [Codes(KEY, "research"), Codes(KEY, "teaching"), Codes(KEY[::-1], "research")]
    assert len({codes.patient_id(number) for codes in places}) == 3
    assert len({codes.uid(uid) for codes in places}) == 3


@given(st.lists(st.tuples(ids, ids), max_size=60, unique_by=lambda pair: tuple(part.strip(" \0") for part in pair)))
def test_no_two_patients_share_a_code(patients: list[tuple[str, str]]) -> None:
    codes = Codes(KEY, "research")
    keys = {Patient(*each).key for each in patients}
    assert len({codes.patient_id(*each) for each in patients}) == len(keys)


def test_no_collisions_among_many() -> None:
    codes = Codes(KEY, "research")
    assert len({codes.patient_id(str(number)) for number in range(20_000)}) == 20_000
    assert len({codes.uid(f"1.2.{number}") for number in range(20_000)}) == 20_000
    assert len({codes.ae_title(f"CT{number}") for number in range(20_000)}) == 20_000


def test_a_code_says_nothing_of_what_another_kind_of_it_is() -> None:
    codes = Codes(KEY, "research")
    assert len({codes.patient_id("7"), codes.accession_number("7"), codes.study_id("7")}) == 3


def test_a_uid_is_a_uuid_of_its_own_making() -> None:
    for number in range(200):
        found = uuid.UUID(int=int(Codes(KEY, "research").uid(f"1.2.{number}").removeprefix("2.25.")))
        assert found.variant == uuid.RFC_4122
        assert found.version == 8


@given(ids)
def test_dates_move_back_within_bounds(number: str) -> None:
    assert SHORTEST_SHIFT <= -Codes(KEY, "research").days(Patient(number)) <= LONGEST_SHIFT


def test_days_are_spread() -> None:
    assert len({Codes(KEY, "research").days(Patient(str(number))) for number in range(300)}) > 250


def test_who_a_patient_is() -> None:
    assert Patient("7", "A").key != Patient("7", "B").key != Patient("7").key
    assert Patient(" 7 ", "A\0", name="Muster").key == Patient("7", "A", birth_date="19620412").key
    assert (
        Patient(name="Muster^Erika", birth_date="19620412").key
        == Patient(name="MUSTER^ERIKA ", birth_date="19620412").key
    )
    assert Patient(name="Muster^Erika", birth_date="19620412").key != Patient(name="Muster^Erika").key
    assert Patient(name="UNKNOWN", study_uid="1.2.3").key != Patient(name="UNKNOWN", study_uid="1.2.4").key
    assert Patient(sop_uid="1.2.3").key != Patient(sop_uid="1.2.4").key
    assert Patient(study_uid="1.2.3").key != Patient(study_uid="1.2.4").key
    assert Patient("e\u0301").key == Patient("\u00e9").key


@pytest.mark.parametrize("destination", ["research", "teaching"])
def test_a_code_is_known_by_what_it_stands_for(destination: str) -> None:
    codes, elsewhere = Codes(KEY, destination), Codes(KEY, "elsewhere")
    for patient in (Patient("P1"), Patient("P2", "ISSUER"), Patient(name="A^B", birth_date="19620412"), Patient()):
        sought = Sought(codes.patient(patient), codes)
        assert sought.is_patient(patient)
        assert not sought.is_patient(Patient("P3"))
        assert not Sought(elsewhere.patient(patient), codes).is_patient(patient)
    assert Sought(codes.accession_number("A1"), codes).is_accession_number("A1 ")
    assert not Sought(codes.accession_number("A1"), codes).is_accession_number("A2")
    assert not Sought(codes.accession_number(""), codes).is_accession_number("")
    assert not Sought(codes.patient_id("A1"), codes).is_accession_number("A1")
    assert not Sought("P1", codes).is_patient(Patient("P1"))


@given(uids, uids)
def test_a_uid_is_known_by_what_it_stands_for(uid: str, other: str) -> None:
    codes = Codes(KEY, "research")
    sought = Sought(f" {codes.uid(uid)} ", codes)
    assert sought.is_uid(uid)
    assert sought.is_uid(f"{uid}\0")
    assert sought.is_uid(other) == (uid == other)
    # One that begins the same is another: what is left of it counts as well.
    assert not Sought(f"2.25.{int(codes.uid(uid)[5:]) ^ 1}", codes).is_uid(uid)
    assert not Sought(Codes(KEY, "elsewhere").uid(uid), codes).is_uid(uid)


@given(st.text(max_size=60) | st.text("0123456789", max_size=60).map(lambda digits: f"2.25.{digits}"))
def test_whatever_is_typed_stands_for_nothing(typed: str) -> None:
    codes = Codes(KEY, "research")
    sought = Sought(typed, codes)
    assert not sought.is_uid("1.2.3")
    assert not sought.is_patient(Patient("P1"))
    assert spellings(typed)


def test_a_code_may_be_typed_as_it_is_read() -> None:
    for number in range(200):
        codes = Codes(KEY, "research")
        code = codes.patient_id(str(number))
        typed = f" {code[:4]}-{code[4:8]} {code[8:]} ".lower().replace("0", "o").replace("1", "l")
        assert Sought(typed, codes).is_patient(Patient(str(number)))
        assert code in spellings(typed)
