"""What a person types to say whose images she means, and which patients cannot be one."""

from __future__ import annotations

import pytest

from capacitord.model.matching import MatchKey
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
    assert to_type(JANE, [JANE], SHORT) == (MatchKey.PATIENT_NAME, "Doe^Jane")
    assert to_type(JANE, [JANE, OTHER_JANE], SHORT) == (MatchKey.PATIENT_ID, "P1")
    assert to_type(NAMELESS, [NAMELESS], SHORT) == (MatchKey.PATIENT_ID, "P5")
    assert to_type(NOBODY, [NOBODY], SHORT) == (MatchKey.STUDY_INSTANCE_UID, SHORT)


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
