"""What a transform does: what a person writes, and the operations that come of it."""

from __future__ import annotations

import tomllib

import pytest

from capacitord.config.diagnostics import fill, key_text
from capacitord.config.tables.transform import TransformTable
from capacitord.model.conditions import Empty, Has
from capacitord.model.deidentify import Deidentification, Option
from capacitord.model.transform import Clean, Copy, Hash, Map, On, OnError, Prefix, Reason, Record, Repertoire, Set

EVERY = r"""
name = "for the PACS"
on = "outbound"
match = { InstitutionName = "" }
to = ["pacs"]
suffix = { StationName = "_COACH" }
set = { InstitutionName = "St. Mary's", AccessionNumber = "{StudyID|0}", "(0009,xx01,ME)" = { value = "5", vr = "LO" } }
set_missing = { PatientComments = 7 }
remove = ["PatientAddress", "(0009,xx00)", "**.OtherPatientIDs", "RequestAttributesSequence"]
copy = { AccessionNumber = "StudyID", ProcedureCodeSequence = "RequestedProcedureCodeSequence" }
replace = { PatientID = { pattern = "^COACH-(\\d+)$", with = 'STM\1' } }
map = { BodyPartExamined = { table = { HEAD = "BRAIN" }, default = "OTHER" } }
clean = ["PatientName"]
hash = { PatientID = { length = 20 } }
prefix = { AccessionNumber = "STM" }
on_error = "skip"
record = { reason = "CORRECT", source = "St. Mary's" }
deidentify = { profile = "basic", options = ["RetainUIDs"] }
"""


def table(text: str) -> TransformTable:
    found, findings = fill(TransformTable, tomllib.loads(text))
    assert found is not None, findings
    return found


def wrong(text: str) -> list[tuple[str, str, str]]:
    findings = fill(TransformTable, tomllib.loads(text))[1]
    return [(key_text(finding.key), finding.message, finding.hint) for finding in findings]


def test_everything_can_be_said_and_is_done_in_the_order_in_which_it_is_written() -> None:
    found = table(EVERY)
    transform = found.transform(3)
    assert " ".join(operation.name for operation in transform.operations) == (
        "suffix set set set set_missing remove remove remove remove copy copy replace map clean hash prefix"
    )
    assert (transform.name, transform.on, transform.to) == ("for the PACS", On.OUTBOUND, ("pacs",))
    assert (transform.on_error, transform.record) == (OnError.SKIP, Record(Reason.CORRECT, "St. Mary's"))
    assert isinstance(transform.match, Has)
    assert transform.match.values.wanted == (Empty(),)
    assert found.deidentification == Deidentification((Option.RETAIN_UIDS,), transform.match, ("pacs",))
    assert table("remove = ['PatientID']").deidentification is None
    private = transform.operations[3]
    assert isinstance(private, Set)
    assert (private.vr, private.value.text, private.target.steps[0].creator) == ("LO", "5", "ME")


def test_short_forms_have_sensible_meanings() -> None:
    found = table("clean = { PatientName = { repertoire = 'latin-1', replacement = '?' } }\nhash = ['PatientID']")
    clean, hashed = found.operations
    assert isinstance(clean, Clean)
    assert isinstance(hashed, Hash)
    assert (clean.repertoire, clean.replacement, hashed.length) == (Repertoire.LATIN_1, "?", 16)
    assert table("set = { PatientID = 'X' }\nrecord = true").transform(0).record == Record()
    assert table("set = { PatientID = 'X' }\nrecord = false").transform(0).record is None
    assert table("set = { PatientID = 'X' }").transform(4).name == "transform 5"


def test_the_value_of_one_attribute_comes_from_another() -> None:
    (copy,) = table("copy = { AccessionNumber = 'StudyID' }").operations
    assert isinstance(copy, Copy)
    assert (copy.target.text, copy.source.text) == ("AccessionNumber", "StudyID")
    (mapped,) = table("map = { Modality = { table = { CT = 'MR' }, strict = true } }").operations
    assert isinstance(mapped, Map)
    assert (mapped.table, mapped.strict, mapped.default) == ({"CT": "MR"}, True, None)
    (prefix,) = table("prefix = { AccessionNumber = 'STM' }").operations
    assert isinstance(prefix, Prefix)


@pytest.mark.parametrize(
    ("text", "key", "words", "hint"),
    [
        ("set = { PatientIdd = 'X' }", "set.PatientIdd", "not the keyword", "Did you mean PatientID?"),
        ("set = { PatientID = ['X'] }", "set.PatientID", "must be a text in quotes", ""),
        ("set = { PatientID = '{StudyIDD}' }", "set.PatientID", "not the keyword", "Did you mean StudyID?"),
        ("set = { PatientID = '{' }", "set.PatientID", "single {", "{{"),
        ("set = { PatientID = { value = 'X', v = '' } }", "set.PatientID.v", "is not known here", "vr"),
        ("set = { '(0009,xx01,ME)' = { value = 'X', vr = 'OB' } }", 'set."(0009,xx01,ME)".vr', "is not a VR", ""),
        ("set = { '(0009,1001)' = 'X' }", 'set."(0009,1001)"', "whose it is", "CREATOR"),
        ("set = { StudyInstanceUID = '1.2' }", "set.StudyInstanceUID", "Study Instance UID", "other attributes"),
        ("set = { SpecificCharacterSet = 'X' }", "set.SpecificCharacterSet", "Specific Character Set", ""),
        ("set = { RequestAttributesSequence = 'X' }", "set.RequestAttributesSequence", "is a sequence", ""),
        ("set = {}", "set", "must not be empty", "InstitutionName"),
        ("set = ['PatientID']", "set", "must be a table", ""),
        ("remove = { PatientID = 'X' }", "remove", "must be a list", "PatientAddress"),
        ("remove = ['PatientIdd']", "remove[0]", "not the keyword", "PatientID"),
        ("remove = [5]", "remove[0]", "must be a text in quotes", ""),
        ("remove = ['SOPInstanceUID']", "remove[0]", "SOP Instance UID", ""),
        ("copy = { AccessionNumber = 'StudyIDD' }", "copy.AccessionNumber", "not the keyword", "StudyID"),
        ("replace = { PatientID = { pattern = '(' } }", "replace.PatientID.pattern", "regular expression", "RE2"),
        ("replace = { PatientID = { with = 'X' } }", "replace.PatientID.pattern", "is missing", ""),
        ("replace = { PatientID = { pattern = 'a', with = '\\1' } }", "replace.PatientID.with", "group 1", ""),
        ("map = { Modality = { table = {} } }", "map.Modality.table", "not empty", "BodyPartExamined"),
        ("map = { Modality = { table = { a = 'b' }, strict = true, default = '' } }", "map.Modality.strict", "", ""),
        ("map = { Modality = 'x' }", "map.Modality", "must be a table", "table"),
        ("clean = { PatientName = { repertoire = 'utf' } }", "clean.PatientName.repertoire", "is not a repertoire", ""),
        ("hash = { PatientID = { length = 3 } }", "hash.PatientID.length", "8 to 52 characters", ""),
        ("deidentify = { profile = 'full' }", "deidentify.profile", "must be basic", "PS3.15"),
        ("deidentify = { options = [] }", "deidentify.profile", "is missing", "PS3.15"),
        ("deidentify = { profile = 'basic', options = 'RetainUIDs' }", "deidentify.options", "must be a list", "["),
        ("deidentify = { profile = 'basic', options = [['x']] }", "deidentify.options[0]", "is not an option", ""),
        ("to = []\nremove = ['PatientID']", "to", "must not be empty", ""),
        ("record = 'yes'", "record", "must be true, false or a table", "COERCE"),
        (
            "deidentify = { profile = 'basic', options = ['RetainUID'] }",
            "deidentify.options[0]",
            "E.3",
            "Did you mean RetainUIDs?",
        ),
        (
            "deidentify = { profile = 'basic', options = ['RetainLongitudinalFull', 'RetainLongitudinalModified'] }",
            "deidentify.options",
            "not both",
            "",
        ),
        ("on = 'inbond'", "on", "must be 'inbound', 'outbound' or 'worklist'", ""),
        ("on_error = 'drop'", "on_error", "must be 'hold' or 'skip'", ""),
        ("record = { reason = 'X' }", "record.reason", "must be 'COERCE' or 'CORRECT'", ""),
        ("sett = {}", "sett", "is not known here", "Did you mean set?"),
    ],
)
def test_what_is_refused(text: str, key: str, words: str, hint: str) -> None:
    ((found, message, advice),) = wrong(text)
    assert found == key
    assert words in message
    assert hint in advice


def test_everything_wrong_is_said_at_once() -> None:
    text = "set = { PatientIdd = 'X', StudyIDD = 'Y' }\nremove = ['a', 'PatientID', 'b']\nclean = 5"
    assert [key for key, _, _ in wrong(text)] == ["set.PatientIdd", "set.StudyIDD", "remove[0]", "remove[2]", "clean"]
