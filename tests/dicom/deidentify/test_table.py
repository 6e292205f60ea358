"""Every row of PS3.15 Table E.1-1, with the basic profile and with each option, at the top and within a sequence."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from capacitord.dicom.deidentify.codes import Patient
from capacitord.dicom.deidentify.table import basic_profile, columns_of_options, row_of
from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import character_set
from capacitord.dicom.transform.representation import NUMBERS, conforms
from capacitord.model.deidentify import Option
from tests.dicom.deidentify.kit import CODES, WORD, Row, add, ct, done, item, sequence, table, vr_of, written

ROWS = table()
VALUES = {
    "AE": WORD,
    "AS": "077Y",
    "CS": "F",
    "DA": "20240229",
    "DS": "98.7",
    "DT": "20240229081500.5+0100",
    "FD": 77.5,
    "FL": 77.5,
    "IS": "77",
    "LO": f"CHEST {WORD}",
    "LT": f"Chest {WORD}",
    "OB": WORD.encode() + b" ",
    "OW": WORD.encode() + b" ",
    "PN": f"{WORD}^Ford",
    "SH": f"CHEST {WORD}",
    "ST": f"Chest {WORD}",
    "TM": "081501",
    "UC": f"Chest {WORD}",
    "UI": "1.2.3.4.777",
    "UL": 77,
    "UN": WORD.encode() + b" ",
    "UR": f"http://example.org/{WORD}",
    "US": 77,
    "UT": f"Chest {WORD}",
}
ODD = {0x00080201: "+0100"}
CODED = {0x00100010, 0x00100020, 0x00080050, 0x00200010, 0x00120040}
"""What has a code where the table asks for a dummy or nothing."""
OUTER = 0x00409096
"""Real World Value Mapping Sequence: not in the table, so it stays."""


def _value(tag: int) -> object:
    if vr_of(tag) != "SQ":
        return ODD.get(tag) or VALUES[vr_of(tag)]
    inside = item(
        ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        ReferencedSOPInstanceUID="1.2.3.4.777",
        PersonName=f"{WORD}^Ford",
        CodeValue="ZARQ1",
        CodingSchemeDesignator="DCM",
        CodeMeaning=f"Chest {WORD}",
        TextValue=f"Chest {WORD}",
    )
    add(inside, 0x00091001, WORD, "LO")
    add(inside, 0x00090010, "CREATOR", "LO")
    return sequence(inside)


def _with(row: Row) -> Dataset:
    """Return an image with an attribute at the top, in an item, and in an item of an item."""
    dataset = ct()
    inner, middle = Dataset(), Dataset()
    for level in (dataset, middle, inner):
        if row.tag >> 24 == 0x60:
            add(level, row.tag & 0xFFFF0000 | 0x3000, b"\1\0")
            add(level, row.tag & 0xFFFF0000 | 0x0040, "R")
        add(level, row.tag, _value(row.tag))
    add(middle, OUTER, sequence(inner))
    add(dataset, OUTER, sequence(middle))
    return dataset


def _levels(dataset: Dataset) -> list[Dataset]:
    middle = dataset[OUTER].value[0]
    return [dataset, middle, middle[OUTER].value[0]]


def _text(element: DataElement) -> list[str]:
    found: list[str] = values.read(Dataset({element.tag: element}), int(element.tag), character_set(""))
    return found


def _is_dummy(row: Row, element: DataElement) -> bool:
    vr = vr_of(row.tag)
    if vr == "SQ":
        return len(element.value) == 1 and WORD.encode() not in written(element.value[0])
    if element.is_empty or vr != element.VR:
        return False
    if vr == "UI":
        return bool(element.value == CODES.uid(str(_value(row.tag))))
    if vr in values.STRING_VRS or vr in NUMBERS:
        return bool(element.value != _value(row.tag)) and conforms(_text(element), vr)
    return bool(element.value != _value(row.tag))


def _is_empty(row: Row, element: DataElement) -> bool:
    return len(element.value or ()) == 0 and vr_of(row.tag) == element.VR


def _is_mapped(row: Row, element: DataElement) -> bool:
    if vr_of(row.tag) == "SQ":
        uids = [each.ReferencedSOPInstanceUID for each in element.value]
        return uids == [CODES.uid("1.2.3.4.777")] and _is_clean_sequence(element)
    return bool(element.value == CODES.uid(str(_value(row.tag))))


def _is_clean_sequence(element: DataElement) -> bool:
    return len(element.value) > 0 and all(
        0x00091001 not in each and 0x00090010 not in each and WORD not in str(each.get("PersonName", ""))
        for each in element.value
    )


def _is_kept(row: Row, element: DataElement) -> bool:
    if vr_of(row.tag) == "SQ":
        return _is_clean_sequence(element)
    return bool(element.value == _value(row.tag))


def _mentions(level: Dataset) -> bool:
    return any(
        any(map(_mentions, element.value)) if element.VR == "SQ" else WORD.lower() in str(element.value).lower()
        for element in level
    )


def _fits_basic(row: Row, element: DataElement | None) -> bool:
    """Whether an attribute came out as its letters of the basic profile say."""
    if element is None:
        return "X" in row.basic or row.tag >> 16 < 8
    ways = set(row.basic.split("/"))
    return (
        bool("Z" in ways and (_is_empty(row, element) or (row.tag in CODED and _is_dummy(row, element))))
        or bool("D" in ways and _is_dummy(row, element))
        or bool(ways & {"U", "U*"} and _is_mapped(row, element))
    )


def _fits_cleaned(row: Row, element: DataElement | None, option: Option) -> bool:
    vr = vr_of(row.tag)
    if option is Option.RETAIN_LONGITUDINAL_MODIFIED and vr in {"DA", "DT"}:
        days = CODES.days(Patient("PAT-4711"))
        date = f"{dt.date(2024, 2, 29) + dt.timedelta(days):%Y%m%d}"
        return element is not None and element.value == date + str(_value(row.tag))[8:]
    if option is Option.RETAIN_LONGITUDINAL_MODIFIED and (vr == "TM" or row.tag in ODD):
        return element is not None and element.value == _value(row.tag)
    if vr == "AE":
        return element is not None and re.fullmatch("AE[0-9A-HJKMNP-TV-Z]{10}", str(element.value)) is not None
    if vr in {"LO", "LT", "SH", "ST", "UC", "UT"}:
        return element is not None and str(element.value).upper() == "CHEST"
    if vr == "SQ":
        return element is not None and len(element.value) == 1 and _is_clean_sequence(element)
    if row.tag & 0xFF00FFFF == 0x60003000:
        return element is not None and _is_kept(row, element)
    return _fits_basic(row, element)


def _fits(row: Row, element: DataElement | None, option: Option | None) -> bool:
    letter = row.options.get(option, "") if option is not None else ""
    if not letter or row.tag >> 16 < 8:
        return _fits_basic(row, element)
    if letter == "C" and option is not None:
        return _fits_cleaned(row, element, option)
    return element is not None and _is_kept(row, element)


def _failures(option: Option | None) -> list[str]:
    failed = []
    for row in ROWS:
        after = done(_with(row), *([option] if option is not None else []))
        for depth, level in enumerate(_levels(after)):
            element = level.get(row.tag)
            if depth == 0 and row.tag in {0x00100010, 0x00100020}:
                # At the top these are the patient's own, not the ones that were put there.
                assert element is not None
                assert element.value == CODES.patient_id("PAT-4711" if row.tag == 0x00100010 else VALUES["LO"])  # type: ignore[arg-type]
            elif not _fits(row, element, option):
                failed.append(f"{row.tag:08X} {vr_of(row.tag)} {row.basic} at depth {depth}: {element}")
        letter = row.options.get(option) if option is not None else None
        stays = letter == "K" or (row.basic == "X/Z/U*" and not letter) or row.tag == 0x60043000
        if not stays and _mentions(after):
            failed.append(f"{row.tag:08X} leaks")
    return failed


@pytest.mark.parametrize("option", [None, *Option])
def test_every_attribute_comes_out_as_the_table_says(option: Option | None) -> None:
    without_pixels = {Option.CLEAN_PIXEL_DATA, Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES}
    if option in without_pixels:
        assert all(option not in row.options for row in ROWS)
        return
    assert _failures(option) == []


def test_all_attributes_at_once() -> None:
    """What one attribute becomes does not depend on the others being there."""
    dataset = ct()
    for row in ROWS:
        if row.tag not in dataset:
            add(dataset, row.tag, _value(row.tag))
    after = done(dataset)
    assert WORD.lower().encode() not in written(after).lower()
    for row in ROWS:
        if row.basic == "X":
            assert row.tag not in after


def test_the_tables_that_are_used_are_the_standards() -> None:
    assert len(ROWS) == 655
    assert {row_of(row.tag): row.basic for row in ROWS} == dict(basic_profile())
    ours = {
        name: {option: action.value for option, action in found.items()} for name, found in columns_of_options().items()
    }
    assert ours == {row_of(row.tag): row.options for row in ROWS if row.options}
