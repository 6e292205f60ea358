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


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("O'Brien^Sean", "images of Sean O'Brien", True),
        ("Meyer-Schmidt^Anna", "Anna Meyer-Schmidt", True),
        ("Garcia Lopez^Maria", "Maria Garcia", True),
        ("van der Berg^Jan", "Jan Berg", True),
        ("von der Leyen^Ursula", "falscher Eintrag, von der MTRA bestätigt", False),
        ("De La Cruz^Ana", "es de la otra sala", False),
        ("Doe^J", "J was there, doe too", False),
        ("Müller^Jörg", "für Jörg Müller", True),
        ("Smith John", "john smith", True),
    ],
)
def test_names_of_many_words(name: str, text: str, *, expected: bool) -> None:
    assert names_patient(text, [Patient(name)]) is expected


def test_a_birth_date_is_one_of_a_patient() -> None:
    assert names_patient("born 19800101", [JANE])


def test_a_year_is_no_patient() -> None:
    assert not names_patient("study repeated 2026", [Patient("", "2026")], ["0815"])
    assert names_patient("study of 20261", [Patient("", "20261")])


def test_nobody_is_named_by_what_says_nothing() -> None:
    assert not names_patient("anything at all", (Patient(), Patient("^"), Patient("=", "", "")))
