"""Descriptions of which only safe words are left, and the words by which a patient would be known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.deidentify.words import Identity, cleaned, vocabulary

NOBODY = Identity([], [])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("CT chest abdomen pelvis - 55F Dr. Smith", "CT chest abdomen pelvis"),
        ("Thorax 1.0mm lung", "Thorax 1.0mm lung"),
        ("t2_tse_sag_4mm", "t2 tse sag 4mm"),
        ("Room 4711, 12.04.1962, 0815mm", ""),
        ("Buik λεκάνη", ""),
        ("abdomen w/ C+ 50%", "abdomen w C+ 50%"),
        ("\u212aidney", "kidney"),
        ("", ""),
    ],
)
def test_only_safe_words_are_left(text: str, left: str) -> None:
    assert cleaned(text, NOBODY) == left


@given(st.text(max_size=60))
def test_all_that_is_left_is_known(text: str) -> None:
    left = cleaned(text, NOBODY)
    assert left.isascii()
    for word in left.casefold().split():
        assert word in vocabulary() or word[0].isdigit()


def test_a_safe_word_that_is_a_name_goes() -> None:
    assert cleaned("Hand of Hand", Identity(["Hand^Anna"], [])) == ""


def test_words_of_the_vocabulary_are_written_as_they_are_looked_for() -> None:
    assert all(word == word.casefold() and word.isascii() for word in vocabulary())
    assert len(vocabulary()) > 300


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("Muster^Erika", "for MUSTER", True),
        ("Muster^Erika", "formusterless", True),
        ("Lee^Al", "Lee", True),
        ("Lee^Al", "sleeve, all", False),
        ("Lee^Al", "sleeve, al", True),
        ("Li^Wei", "of Li, referred", True),
        ("Li^Wei", "LI", True),
        ("Li^Wei", "t2_li_4", True),
        ("Li^Wei", "like liver, oli, li2", False),
        ("Wu^Na", "Dr. Wu/1", True),
        ("Wu^Na", "wunderbar", False),
        ("NG^Kah Bo", "Ng's images", True),
        ("NG^Kah Bo", "CT angio", False),
        ("Li Na^Al", "na", True),
        ("Le^Anh", "Le", True),
        ("de la Cruz^Maria", "axial de la tête", False),
        ("de la Cruz^Maria", "Cruz", True),
        ("Smith^Anna^^Dr^MD", "Dr, md", False),
        ("Li^Wei=李^伟", "患者李伟", True),
        ("Li^Wei=李^伟", "桃李", False),
        ("Müller", "MÜLLER", True),
        ("Straße", "STRASSE", True),
        ("^^^", "anything", False),
        ("Yamada^Tarou=山田^太郎", "氏名山田", True),
    ],
)
def test_names_are_found(name: str, text: str, found: bool) -> None:
    assert Identity([name], []).is_in(text) == found


def test_numbers_are_found_also_in_code_strings_and_bytes() -> None:
    identity = Identity(["Head^Anna"], ["PAT-4711", "12", " 0815 "])
    assert identity.has_id_in("X PAT-4711 Y")
    assert not identity.has_id_in("HEAD")
    assert identity.has_id_in("NO 0815")
    assert not identity.has_id_in("10815")
    assert identity.is_in_bytes(b"\0\1pat-4711\xff")
    assert not identity.is_in_bytes(b"head 0815")
    assert not NOBODY.is_in("anything")
    assert not NOBODY.has_id_in("anything")
    assert not NOBODY.is_in_bytes(b"anything")
