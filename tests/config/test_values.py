"""What a transform writes is checked against the VR of its target when the profile is read, not when an image comes."""

from __future__ import annotations

import pytest

from tests.config.test_operations import table, wrong

LONG = "x" * 65


@pytest.mark.parametrize(
    ("text", "key", "words", "hint"),
    [
        ("set = { Modality = 'ct' }", "set.Modality", "'ct' is not 1 to 16 upper-case letters", 'Write "CT".'),
        (f"set = {{ PatientID = '{LONG}' }}", "set.PatientID", "has 65 characters, and the VR LO allows 64", "LO"),
        ("set = { StudyDate = '2026-01-31' }", "set.StudyDate", "is not a date", 'Write "20260131".'),
        ("set = { StudyDate = '20260230' }", "set.StudyDate", "is not a date", "20260131"),
        ("set_missing = { StudyTime = '18:00' }", "set_missing.StudyTime", "is not a time", 'Write "1800".'),
        ("set = { PatientAge = '18y' }", "set.PatientAge", "is not an age", 'Write "018Y".'),
        ("set = { SliceThickness = '1,5' }", "set.SliceThickness", "is not a decimal number", 'Write "1.5".'),
        ("set = { SliceThickness = 0.12345678901234567 }", "set.SliceThickness", "at most 16 characters", ""),
        ("set = { PregnancyStatus = 70000 }", "set.PregnancyStatus", "fits the VR US", ""),
        ("set = { SmallestImagePixelValue = 70000 }", "set.SmallestImagePixelValue", "fits the VR US", ""),
        ("set = { InstanceNumber = '1.5' }", "set.InstanceNumber", "is not a whole number", ""),
        ("set = { DeviceUID = '1..2' }", "set.DeviceUID", "is not a UID", "1.2.840"),
        ("set = { PatientName = 'a^b^c^d^e^f' }", "set.PatientName", "at most five components", "Doe^Jane"),
        ("set = { PatientName = 'a=b=c=d' }", "set.PatientName", "at most three component groups", ""),
        ('set = { InstitutionName = "a\\nb" }', "set.InstitutionName", "control characters", ""),
        ("set = { PatientID = 'A\\B' }", "set.PatientID", "1 value (PS3.6), not 2", "backslash"),
        ("set = { ImageType = 'ORIGINAL' }", "set.ImageType", "2-n values (PS3.6), not 1", ""),
        ("set = { ImageType = 'ORIGINAL\\primary' }", "set.ImageType", "'primary' is not", 'Write "PRIMARY".'),
        ("set = { StationAETitle = 'COACH_CT_NUMBER_7' }", "set.StationAETitle", "is not an AE title", ""),
        ("set = { 'RequestAttributesSequence.StudyID' = \"x\\ty\" }", "", "control characters", ""),
        ("set = { '(0009,xx01,ME)' = { value = 'x', vr = 'CS' } }", 'set."(0009,xx01,ME)".value', "'x' is not", '"X"'),
        ("set = { PatientID = { value = 'x', vr = 'SH' } }", "set.PatientID.value", "is of VR LO, and not SH", "Leave"),
        ("set = { StudyID = 'x{PatientID}yyyyyyyyyyyyyyyy' }", "set.StudyID", "has 17 characters", ""),
        ("set = { Modality = 'x{Modality}' }", "set.Modality", "part of a value of VR CS", 'Write "X".'),
        ("set = { StudyDate = '{SeriesDate|today}' }", "set.StudyDate", "is not a date", ""),
        ("set = { Modality = '{Modality|ct}_1' }", "set.Modality", "part of a value of VR CS", ""),
        ("map = { Modality = { table = { CT = 'ct' } } }", "map.Modality.table.CT", "'ct' is not", 'Write "CT".'),
        ("map = { Modality = { table = { CT = 'CT' }, default = 'x-y' } }", "map.Modality.default", "'x-y' is not", ""),
        ("map = { Modality = { CT = 'MR' } }", "map.Modality", "has no table", "{ table = { CT = "),
        ("replace = { StudyDate = { pattern = '-', with = '/' } }", "replace.StudyDate.with", "of VR DA: that is", ""),
        ("prefix = { PatientSex = 'x' }", "prefix.PatientSex", "of VR CS: that is capitals", 'Write "X".'),
        ("suffix = { PregnancyStatus = '5' }", "suffix.PregnancyStatus", "is a binary number (VR US)", "set"),
        ("suffix = { StationName = '_AT_THE_COACH_NO_7' }", "suffix.StationName", "has 18 characters", ""),
        ('clean = { PatientID = { replacement = "\\u0007" } }', "clean.PatientID.replacement", "control", ""),
        ("hash = ['PatientBirthDate']", "hash[0]", "a hash is not a value of PatientBirthDate", "Remove it"),
        ("hash = { AccessionNumber = { length = 20 } }", "hash.AccessionNumber.length", "VR SH allows 16", "16"),
        ("copy = { AccessionNumber = 'RequestAttributesSequence' }", "copy.AccessionNumber", "is a sequence", "within"),
        ("copy = { Manufacturer = 'PixelData' }", "copy.Manufacturer", "PixelData is binary, and Manu", "text"),
        (
            "copy = { ReferencedStructureSetSequence = 'BeamSequence' }",
            "copy.ReferencedStructureSetSequence",
            "refers to other instances",
            "another attribute",
        ),
        ("set = { Manufacturer = '{PixelData}' }", "set.Manufacturer", "PixelData is binary, and not text", "text"),
        (
            "set_missing = { Manufacturer = '{RequestAttributesSequence}' }",
            "set_missing.Manufacturer",
            "RequestAttributesSequence is a sequence",
            "RequestAttributesSequence.CodeValue",
        ),
    ],
)
def test_what_no_image_may_have_is_refused(text: str, key: str, words: str, hint: str) -> None:
    ((found, message, advice),) = wrong(text)
    assert found == key or not key
    assert words in message
    assert hint in advice
    assert advice


@pytest.mark.parametrize(
    "text",
    [
        "set = { PatientID = '' }",
        "set = { PatientID = '{AccessionNumber}-{StudyID|none}' }",
        "set = { ImageType = 'ORIGINAL\\PRIMARY\\AXIAL', SliceThickness = 1.5, SmallestImagePixelValue = -5 }",
        "set = { StudyDate = '{SeriesDate|20260131}', PatientName = 'Doe^Jane=山田^花子' }",
        'set = { PatientComments = "two\\nlines with a \\\\" }',
        "set = { '(0009,xx01,ME)' = 'whatever', '(0009,xx02,ME)' = { value = '5', vr = 'US' } }",
        "map = { Modality = { table = { ct = 'CT', X = '' }, default = 'OT' } }",
        "replace = { StudyDate = { pattern = '-', with = '' }, PatientID = { pattern = '(.)', with = 'a\\1' } }",
        "hash = ['PatientID', 'AccessionNumber', '(0009,xx01,ME)', 'DeviceUID']",
        "copy = { AccessionNumber = 'StudyID', ProcedureCodeSequence = 'RequestedProcedureCodeSequence' }",
    ],
)
def test_what_may_be_right_is_taken(text: str) -> None:
    assert table(text).operations


def test_each_wrong_value_of_a_table_is_said() -> None:
    text = "map = { Modality = { table = { A = 'a', B = 'B', C = 'c' }, default = 'd' } }"
    assert [key for key, _, _ in wrong(text)] == [
        "map.Modality.default",
        "map.Modality.table.A",
        "map.Modality.table.C",
    ]
