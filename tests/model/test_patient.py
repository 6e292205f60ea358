"""What a person types to say whose images she means, and which patients cannot be one."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.model.matching import MatchKey, contradictions
from capacitord.model.patient import Patient, several, to_type, typed_for

JANE, EVE = Patient("Doe^Jane", "P1", "19700101"), Patient("Roe^Eve", "P2")
OTHER_JANE = Patient("DOE^JANE", "P9")
NAMELESS, NOBODY = Patient("", "P5"), Patient()
SHORT = "3f2a9c0011"


@pytest.mark.parametrize(
    ("patients", "typed", "meant"),
    [
        ([JANE], "doe^jane ", [JANE]),
        ([JANE], "Roe^Eve", []),
        ([JANE, EVE], "roe^eve", [EVE]),
        ([JANE], "P1", []),
        ([JANE, OTHER_JANE], "Doe^Jane", []),
        ([JANE, OTHER_JANE], "p9", [OTHER_JANE]),
        ([NAMELESS], "", []),
        ([NAMELESS], "nobody", []),
        ([NAMELESS], "P5", [NAMELESS]),
        ([NOBODY], "", []),
        ([NOBODY], SHORT, [NOBODY]),
        ([Patient("^^")], "", []),
        ([NOBODY, EVE], "Roe^Eve", [EVE]),
        ([], "", []),
    ],
)
def test_who_is_meant_by_what_is_typed(patients: list[Patient], typed: str, meant: list[Patient]) -> None:
    assert typed_for(typed, patients, SHORT) == meant


def test_what_is_to_be_typed_is_never_empty() -> None:
    assert to_type([JANE], SHORT)[0] == (MatchKey.PATIENT_NAME, "Doe^Jane")
    assert to_type([JANE, OTHER_JANE], SHORT)[0] == (MatchKey.PATIENT_ID, "P1")
    # What no keyboard has is not asked for.
    assert to_type([Patient("EVIL\u202e^RTL", "P6")], SHORT)[0] == (MatchKey.PATIENT_ID, "P6")
    assert to_type([Patient("EVIL\x1b[0m", "P\x07")], SHORT)[0] == (MatchKey.STUDY_INSTANCE_UID, SHORT)
    assert to_type([NAMELESS], SHORT)[0] == (MatchKey.PATIENT_ID, "P5")
    assert to_type([NOBODY], SHORT)[0] == (MatchKey.STUDY_INSTANCE_UID, SHORT)


@pytest.mark.parametrize(
    ("patients", "different"),
    [
        ([], False),
        ([JANE], False),
        ([JANE, EVE], True),
        ([JANE, Patient("Doe^Jane^M", "p1 ")], False),
        ([JANE, Patient("Doe^Jane", "P1", "19710101")], True),
        ([NOBODY, JANE], True),
        ([NOBODY, NOBODY], False),
    ],
)
def test_who_cannot_be_one_patient(patients: list[Patient], different: bool) -> None:
    assert several(patients) is different


SAID = st.sampled_from(["", " ", "A", "a^", "B"])


@given(
    st.lists(st.builds(Patient, SAID, SAID, st.sampled_from(["", "19700101", "1970.01.01", "19710101"])), max_size=4)
)
def test_who_cannot_be_one_patient_is_told_as_by_comparing_each_with_each(patients: list[Patient]) -> None:
    pairs = itertools.combinations(patients, 2)
    named = {bool(each.name or each.id) for each in patients}
    found = len(named) > 1 or any(contradictions(one.identity, other.identity) for one, other in pairs)
    assert several(patients) is found


def test_a_study_of_thousands_takes_no_longer_for_each_of_them() -> None:
    began = time.process_time()
    assert not several(Patient(f"DOE^{number}", "P1") for number in range(5000))
    found = typed_for("P7", [Patient("DOE^JANE", f"P{number}") for number in range(5000)], SHORT)
    assert found == [Patient("DOE^JANE", "P7")]
    assert time.process_time() - began < 10.0
