"""A reason that names the patient is no reason to keep."""

from __future__ import annotations

import pytest

from capacitord.model.mention import names_patient
from capacitord.model.patient import Patient

JANE = Patient("Doe^Jane^M", "MRN-4711", "19800101")
WANG = Patient("Wang^XiaoDong=王^小東", "77", "")
MONONYM = Patient("Phantom", "QA", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unscheduled trauma", False),
        ("DOE, Jane came by ambulance", True),
        ("for jane doe", True),
        ("Doe^Jane", True),
        ("doe season", False),
        ("Jane knows", False),
        ("janes does", False),
        ("wrong id, is MRN-4711", True),
        ("wrong id, is mrn-4711.", True),
        ("mrn-47112", False),
        ("accession A1002 was typed wrongly", True),
        ("王小東", True),
        ("Wang xiaodong", True),
        ("number 77", False),
        ("phantom, for QA", False),
        ("", False),
    ],
)
def test_who_is_named(text: str, *, expected: bool) -> None:
    assert names_patient(text, (WANG, MONONYM, JANE), ("A1002", "12", "")) is expected


def test_nobody_is_named_by_what_says_nothing() -> None:
    assert not names_patient("anything at all", (Patient(), Patient("^"), Patient("=", "", "")))
