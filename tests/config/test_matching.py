"""The `match` of a rule: what a person writes, what it means, and what is said of what means nothing."""

from __future__ import annotations

import contextlib
import tomllib
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from capacitord.config.diagnostics import Rejections, key_text
from capacitord.config.matching import parse_match
from capacitord.model.conditions import holds
from tests.model.images import MONDAY_NOON, subject

STEP = "RequestAttributesSequence.ScheduledProcedureStepID"


def matches(text: str, values: dict[str, tuple[str, ...]] | None = None, **how: Any) -> bool:
    return holds(parse_match(tomllib.loads(text)), subject(values, **how))


@pytest.mark.parametrize(
    ("text", "values", "result"),
    [
        ("", {}, True),
        ("Modality = 'CT'", {"Modality": ("CT",)}, True),
        ("Modality = 'CT'", {}, False),
        ("Modality = ['CT', 'MR']", {"Modality": ("MR",)}, True),
        ("Modality = '!CT'", {"Modality": ("MR",)}, True),
        ("Modality = '!CT'", {}, True),
        ("Modality = ['!CT', '!MR']", {"Modality": ("US",)}, True),
        ("Modality = ['C*', '!CT']", {"Modality": ("CT",)}, False),
        ("Modality = ['C*', '!CT']", {"Modality": ("CR",)}, True),
        ("Modality = '! CT'", {"Modality": ("CT",)}, False),
        ("InstitutionName = ''", {}, True),
        ("InstitutionName = ''", {"InstitutionName": ("",)}, True),
        ("InstitutionName = ''", {"InstitutionName": ("X",)}, False),
        ("InstitutionName = '!'", {"InstitutionName": ("X",)}, True),
        ("InstitutionName = true", {"InstitutionName": ("X",)}, True),
        ("InstitutionName = true", {"InstitutionName": ("",)}, False),
        ("InstitutionName = false", {}, True),
        ("InstitutionName = ['', 'UNKNOWN']", {}, True),
        ("RequestAttributesSequence = true", {}, False),
        ("StudyDescription = '*STROKE*'", {"StudyDescription": ("A STROKE B",)}, True),
        ("StudyDescription = '=*'", {"StudyDescription": ("*",)}, True),
        ("StudyDescription = '=*'", {"StudyDescription": ("x",)}, False),
        ("StudyDescription = '/(?i)stroke/'", {"StudyDescription": ("Stroke",)}, True),
        ("StudyDescription = '!/STROKE/'", {"StudyDescription": ("A STROKE",)}, False),
        ("Rows = 512", {"Rows": ("512",)}, True),
        ("Rows = '0512'", {"Rows": ("512",)}, True),
        ("Rows = [256, 512]", {"Rows": ("512",)}, True),
        ("SliceThickness = '<= 1.5'", {"SliceThickness": (" 1.25 ",)}, True),
        ("SliceThickness = '!<= 1.5'", {"SliceThickness": ("1.25",)}, False),
        ("StudyDate = 2026-01-31", {"StudyDate": ("20260131",)}, True),
        ("StudyDate = '2026-01-31'", {"StudyDate": ("20260131",)}, True),
        ("StudyDate = '>= 20260101'", {"StudyDate": ("20260131",)}, True),
        ("StudyDate = '2026*'", {"StudyDate": ("20260131",)}, True),
        ("AcquisitionDateTime = '< 2026-01-31T12:00'", {"AcquisitionDateTime": ("20260131115959",)}, True),
        ("StudyTime = '> 18:00'", {"StudyTime": ("180001",)}, True),
        ("StudyTime = 18:00:00", {"StudyTime": ("1800",)}, True),
        ("PatientAge = '< 18Y'", {"PatientAge": ("017Y",)}, True),
        ("PatientName = 'DOE^JOHN'", {"PatientName": ("DOE^JOHN",)}, True),
        (f"{STEP} = 'S1'", {STEP: ("S0", "S1")}, True),
        (f"'{STEP}' = '!S1'", {STEP: ("S0", "S1")}, False),
        ("'(0010,0020)' = 'X'", {"(0010,0020)": ("X",)}, True),
        ("'(0009,xx02,GEMS_IDEN_01)' = '> 3'", {"(0009,xx02,GEMS_IDEN_01)": ("4",)}, True),
        ("'**.CodeValue' = 'X'", {"**.CodeValue": ("X",)}, True),
        ("any = [{ Modality = 'CT' }, { Modality = 'MR' }]", {"Modality": ("MR",)}, True),
        ("all = [{ Rows = '> 1' }, { Rows = '< 3' }]", {"Rows": ("2",)}, True),
        ("not = { Modality = 'CT', Rows = 2 }", {"Modality": ("CT",), "Rows": ("3",)}, True),
        ("Modality = 'CT'\nRows = 2", {"Modality": ("CT",), "Rows": ("3",)}, False),
    ],
)
def test_what_is_written_means(text: str, values: dict[str, tuple[str, ...]], result: bool) -> None:
    assert matches(text, values) is result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("calling_ae_title = 'CT*'", True),
        ("calling_ae_title = ['MR1', 'MR2']", False),
        ("called_ae_title = '!FLUXBOX'", False),
        ("time = '11:00-13:00'", True),
        ("time = '18:00-07:00'", False),
        ("time = ['Sat-Sun', 'Mon 12:00-12:01']", True),
        ("not = { time = 'Mon-Fri' }", False),
    ],
)
def test_how_an_image_came_counts_as_well(text: str, result: bool) -> None:
    assert matches(text) is result


def test_a_night_ends_at_the_sites_own_hour() -> None:
    assert matches("time = 'Sun 18:00-07:00'", local=MONDAY_NOON.replace(hour=6, minute=59))
    assert not matches("time = 'Sun 18:00-07:00'", local=MONDAY_NOON.replace(hour=7))


@pytest.mark.parametrize(
    ("text", "key", "words", "hint"),
    [
        ("Modalty = 'CT'", "Modalty", "not the keyword of an attribute", "Did you mean Modality?"),
        ("modality = 'CT'", "modality", "is not known here", "Did you mean Modality?"),
        ("Modality = 'CT\\MR'", "Modality", "never matches", "with = before it"),
        ("Modality = '!!CT'", "Modality", "never matches", ""),
        ("AccessionNumber = '12345678901234567'", "AccessionNumber", "has 17 characters, and the VR SH allows 16", "="),
        (
            "SOPClassUID = 'CTImageStorage'",
            "SOPClassUID",
            "never matches: it is not a UID",
            "1.2.840.10008.5.1.4.1.1.2",
        ),
        ("TransferSyntaxUID = 'x'", "TransferSyntaxUID", "is not part of an image's dataset", "PS3.10"),
        ("SeriesNumber = nan", "SeriesNumber", "nan is not a number", "1.5"),
        ("StudyDate = '> 2026-02-30'", "StudyDate", "'2026-02-30' is not a date", '"2026-01-31"'),
        ("StudyDate = '20260230'", "StudyDate", "'20260230' is not a date", '"2026-01-31"'),
        ("PatientID = { pattern = 'x' }", "PatientID", "must not be a table", "/^CT/"),
        ("'0008,0060' = 'CT'", '"0008,0060"', "names no attribute", "Write (0008,0060), in parentheses."),
        ("time = '19:00\u201306:00'", "time", "is not a window of time", "the plain one of the keyboard"),
        ("time = 'Fri 7pm-6am'", "time", "is not a window of time", "18:00-07:00"),
        ("time = 'Mon,,Tue 1:00-2:00'", "time", "a day is missing beside a comma", "Mon, Tue"),
        ("calling_ae = 'X'", "calling_ae", "is not known here", "calling_ae_title"),
        ("Modality = 'ct'", "Modality", "in capitals", 'Write "CT"'),
        ("Modality = 5", "Modality", "must be a text in quotes", 'Write "5"'),
        ("Modality = '> CT'", "Modality", "have no order", "Numbers, dates, times and ages"),
        ("Modality = []", "Modality", "must not be empty", ""),
        ("Modality = ['CT', ['MR']]", "Modality[1]", "must be a text, a number", ""),
        ("Rows = 'many'", "Rows", "'many' is not a number", '"1.5"'),
        ("StudyDate = '> 31.1.2026'", "StudyDate", "is not a date", '"2026-01-31"'),
        ("StudyDate = 2026", "StudyDate", "must be a text in quotes", ""),
        ("PatientAge = '> 18'", "PatientAge", "is not an age", '"18Y"'),
        ("StudyTime = '25:00'", "StudyTime", "is not a time", '"18:00"'),
        ("StudyDescription = '/(/'", "StudyDescription", "not a regular expression", "RE2"),
        ("StudyDescription = '/(.)\\1/'", "StudyDescription", "invalid escape sequence", "no back-reference"),
        ("calling_ae_title = 'SEVENTEEN_LETTERS'", "calling_ae_title", "1 to 16 characters", "PS3.5 §6.2"),
        ("calling_ae_title = true", "calling_ae_title", "must be a text", ""),
        ("time = '25:00-07:00'", "time", "25:00 is not a time of day", "24:00"),
        ("time = '7-18'", "time", "is not a window of time", "18:00-07:00"),
        ("time = ['Sat', 'Sunday']", "time[1]", "is not a day of the week", "Write Sun."),
        ("time = 7", "time", "must be a window of time", ""),
        ("'(0009,1002)' = 'X'", '"(0009,1002)"', "does not say whose it is", "(0009,xx02,CREATOR)"),
        ("'(0010,002)' = 'X'", '"(0010,002)"', "names no attribute", "(0010,0020)"),
        ("'(0008,xx02,ME)' = 'X'", '"(0008,xx02,ME)"', "no private group", "odd"),
        ("RequestAttributesSequence = 'X'", "RequestAttributesSequence", "is a sequence", ".CodeValue"),
        ("Modality.CodeValue = 'X'", "Modality.CodeValue", "only a sequence has attributes within", ""),
        ("PixelData = '*'", "PixelData", "is binary", ""),
        ("any = []", "any", "must not be empty", "[{ Modality"),
        ("any = { Modality = 'CT' }", "any", "must be a list of tables", "[{ Modality"),
        ("not = [{ Modality = 'CT' }]", "not", "must be a table", ""),
        ("any = [{ Rows = 'x' }]", "any[0].Rows", "is not a number", ""),
    ],
)
def test_what_means_nothing_is_said(text: str, key: str, words: str, hint: str) -> None:
    with pytest.raises(Rejections) as found:
        parse_match(tomllib.loads(text))
    (finding,) = found.value.findings
    assert key_text(finding.key) == key
    assert words in finding.message
    assert hint in finding.hint


def test_everything_wrong_in_it_is_said_at_once() -> None:
    with pytest.raises(Rejections) as found:
        parse_match(tomllib.loads("Modalty = 'CT'\nRows = ['x', 1, 'y']\nnot = { time = 'x', any = 5 }"))
    assert [key_text(finding.key) for finding in found.value.findings] == [
        "Modalty",
        "Rows[0]",
        "Rows[2]",
        "not.time",
        "not.any",
    ]


def test_what_is_odd_and_said_to_be_meant_is_taken() -> None:
    for text in ("Modality = '=ct'", "SOPClassUID = '=x'", "StudyDate = '202602*'"):
        parse_match(tomllib.loads(text))


def test_what_is_nested_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"RequestAttributesSequence": deep}
    with pytest.raises(Rejections, match="nested too deeply"):
        parse_match(deep)
    tables: dict[str, Any] = {}
    for _ in range(100):
        tables = {"not": tables}
    with pytest.raises(Rejections, match="nested too deeply"):
        parse_match(tables)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.dates(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["any", "not", "time", "Modality", "x", "(0010,0020)"]), inner, max_size=3
            )
        ),
        max_leaves=6,
    )
)
def test_any_tables_are_a_condition_or_refused(tables: Any) -> None:
    with contextlib.suppress(Rejections):
        assert holds(parse_match(tables), subject()) in {True, False}
