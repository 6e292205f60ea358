"""What an image becomes for a destination: which transforms look at what, and in which order they act."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import pydicom
import pytest
from pydicom.dataset import Dataset

from capacitord.dicom.deidentify.codes import Codes
from capacitord.dicom.deidentify.engine import NotDeidentified
from capacitord.dicom.elements import EXPLICIT_LITTLE, write, write_item
from capacitord.dicom.outgoing import Came, Keys, Recipe, attributes_after_inbound, attributes_in, changed, recipe
from capacitord.dicom.produce import InMemory, NotProduced, produce
from capacitord.dicom.rewriting import Opened
from capacitord.dicom.transform.failure import NotTransformed
from capacitord.model.codes import Kind
from capacitord.model.compression import Compression
from capacitord.model.conditions import ALWAYS, CalledAs, Condition, Either, Every, Exactly, Has, Never, Values
from capacitord.model.deidentify import Deidentification, Option
from capacitord.model.destination import Destination
from capacitord.model.profile import Profile
from capacitord.model.transform import Hash, Map, On, Operation, Record, Set, Transform
from tests.dicom.transform.kit import Received, at, value, whole
from tests.images import shipped

KEYS = Keys(b"h" * 32, b"c" * 32)
NOW = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)
CAME = Came.at("Europe/Berlin", "SCANNER", "FLUXBOX", 1_700_000_000_000_000_000)
IMAGE = next(image for image in shipped() if image.path.name == "CT_small.dcm")
BEFORE = pydicom.dcmread(IMAGE.path)
PACS, RESEARCH = (Destination(name, name.upper(), "host", 104) for name in ("pacs", "research"))


def transform(on: On, *operations: Operation, match: Condition = ALWAYS, to: tuple[str, ...] = ()) -> Transform:
    return Transform("a transform", on, operations, match, to)


def is_(name: str, text: str) -> Condition:
    return Has(at(name), Values((Exactly(text),)))


def set_(name: str, text: str) -> Set:
    return Set(at(name), value(text))


def profile(*transforms: Transform, how: tuple[Deidentification, ...] = ()) -> Profile:
    return Profile("st-marys", "", 1, "Europe/Berlin", (PACS, RESEARCH), transforms=transforms, deidentifications=how)


def made(what: Recipe) -> Dataset:
    """Return what an image becomes by a recipe."""
    become = changed(Received.of(IMAGE), IMAGE.sop_instance_uid, what, CAME, keys=KEYS, now=NOW)
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(whole(become.image)), force=True)
    assert str(dataset.SOPInstanceUID) == become.sop_instance_uid
    return dataset


def test_a_recipe_has_what_is_meant_for_its_destination() -> None:
    for_all = transform(On.OUTBOUND, set_("StudyID", "1"))
    for_one = transform(On.OUTBOUND, set_("StudyID", "2"), to=("research",))
    inbound = transform(On.INBOUND, set_("StudyID", "3"))
    worklist = transform(On.WORKLIST, set_("StudyID", "4"))
    only_how = transform(On.OUTBOUND, to=("research",))
    how = Deidentification(to=("research",))
    whole_profile = profile(for_all, for_one, inbound, worklist, only_how, how=(how,))
    assert recipe(whole_profile, PACS) == Recipe("pacs", "Europe/Berlin", (inbound,), (), (for_all,))
    assert recipe(whole_profile, RESEARCH) == Recipe(
        "research", "Europe/Berlin", (inbound,), (how,), (for_all, for_one)
    )


@pytest.mark.parametrize(
    ("what", "keeps", "plain"),
    [
        (recipe(profile(), PACS), True, True),
        (recipe(profile(transform(On.WORKLIST, set_("StudyID", "4"))), PACS), True, True),
        (recipe(profile(transform(On.OUTBOUND, set_("StudyID", "4"), to=("research",))), PACS), True, True),
        (recipe(profile(transform(On.INBOUND, set_("StudyID", "4"))), PACS), False, False),
        (recipe(profile(how=(Deidentification(),)), PACS), False, False),
        (Recipe("pacs", "UTC", compress=Compression("1.2.840.10008.1.2.5")), True, False),
        (Recipe("pacs", "UTC", transfer_syntaxes=("1.2.840.10008.1.2.5",)), True, False),
    ],
)
def test_where_nothing_can_change_nothing_is_opened(what: Recipe, *, keeps: bool, plain: bool) -> None:
    assert (what.keeps_attributes, what.is_plain) == (keeps, plain)


def test_inbound_looks_at_what_was_received_and_outbound_at_what_became_of_it() -> None:
    after = made(
        recipe(
            profile(
                transform(On.OUTBOUND, set_("StudyID", "OUT"), match=is_("Modality", "MR")),
                transform(On.OUTBOUND, set_("AccessionNumber", "NEVER"), match=is_("Modality", "CT")),
                transform(On.OUTBOUND, set_("StationName", "NEVER"), match=is_("StudyID", "OUT")),
                transform(On.INBOUND, set_("Modality", "MR")),
                transform(On.INBOUND, set_("BodyPartExamined", "NEVER"), match=is_("Modality", "MR")),
                transform(On.INBOUND, set_("InstitutionName", "{Modality}"), match=is_("Modality", "CT")),
            ),
            PACS,
        )
    )
    assert (after.Modality, after.StudyID, after.InstitutionName) == ("MR", "OUT", "MR")
    assert (after.AccessionNumber, after.StationName) == (BEFORE.AccessionNumber, BEFORE.StationName)
    assert "BodyPartExamined" not in after or after.BodyPartExamined == BEFORE.BodyPartExamined


def test_routes_look_at_the_image_after_the_inbound_transforms() -> None:
    one = profile(
        transform(On.INBOUND, set_("Modality", "MR"), match=CalledAs(Values((Exactly("FLUXBOX"),)))),
        transform(On.INBOUND, Hash(at("PatientID"))),
        transform(On.OUTBOUND, set_("Modality", "NO")),
    )
    seen = attributes_after_inbound(Opened(Received.of(IMAGE)), one, CAME, key=KEYS.hashes, now=NOW)
    assert seen.values(at("Modality")) == ("MR",)
    assert seen.values(at("PatientID")) == (made(recipe(one, PACS)).PatientID,)
    failing = profile(transform(On.INBOUND, Map(at("Modality"), {"MR": "MR"}, strict=True)))
    with pytest.raises(NotTransformed):
        attributes_after_inbound(Opened(Received.of(IMAGE)), failing, CAME, key=KEYS.hashes, now=NOW)


def test_the_first_de_identification_that_matches_is_the_only_one() -> None:
    keeping = Deidentification((Option.RETAIN_INSTITUTION_IDENTITY,), is_("Modality", "CT"))
    everything = Deidentification()
    inbound = transform(On.INBOUND, set_("InstitutionName", "Coach 7"))
    kept = made(recipe(profile(inbound, how=(keeping, everything)), PACS))
    assert kept.InstitutionName == "Coach 7"
    gone = made(recipe(profile(inbound, how=(everything, keeping)), PACS))
    assert gone.get("InstitutionName", "") != "Coach 7"


def test_where_no_de_identification_matches_nothing_leaves() -> None:
    never = Deidentification(match=is_("Modality", "MR"), to=("research",))
    outbound = transform(On.OUTBOUND, set_("StudyID", "1"))
    for transforms in ((), (outbound,)):
        one = profile(*transforms, how=(never,))
        with pytest.raises(NotDeidentified, match="none of the profile's de-identifications for research matches it"):
            made(recipe(one, RESEARCH))
        assert made(recipe(one, PACS)).PatientName == BEFORE.PatientName


def _in_trial(sequence: bytes, *others: bytes) -> InMemory:
    uid = write(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0", EXPLICIT_LITTLE)
    name = write(0x00100010, "PN", b"Muster^Erika", EXPLICIT_LITTLE)
    ordered = write(0x00400275, "SQ", sequence, EXPLICIT_LITTLE)
    return InMemory("1.2.840.10008.1.2.1", memoryview(b"".join((uid, *others, name, ordered))))


@pytest.mark.parametrize(
    "damaged",
    [
        _in_trial(write_item(write(0x00401001, "SH", b"TRIAL7", EXPLICIT_LITTLE), EXPLICIT_LITTLE) + bytes(8)),
        _in_trial(b"", write(0x00081030, "LO", b"TRIAL7\xff\xfe", EXPLICIT_LITTLE)),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_where_it_cannot_be_told_whether_one_matches_nothing_leaves(damaged: InMemory, *, turned: bool) -> None:
    looks = Either((is_("RequestAttributesSequence.RequestedProcedureID", "X"), is_("StudyDescription", "X")))
    first = Deidentification((Option.RETAIN_UIDS,), Never(looks) if turned else looks)
    with pytest.raises(NotDeidentified, match="cannot be read"):
        changed(damaged, "1.2", recipe(profile(how=(first, Deidentification())), PACS), CAME, keys=KEYS, now=NOW)


def test_outbound_transforms_look_at_the_patient_and_write_behind_de_identification() -> None:
    outbound = Transform(
        "trial",
        On.OUTBOUND,
        (set_("ClinicalTrialProtocolID", "T1"),),
        is_("PatientID", BEFORE.PatientID),
        (),
        record=Record(),
    )
    after = made(recipe(profile(outbound, how=(Deidentification(),)), PACS))
    assert after.ClinicalTrialProtocolID == "T1"
    assert BEFORE.PatientID not in str(after)
    assert str(BEFORE.PatientName) not in str(after)


def test_two_destinations_get_different_codes_and_one_always_the_same() -> None:
    one = profile(how=(Deidentification(),))
    uids = [made(recipe(one, where)).SOPInstanceUID for where in (PACS, PACS, RESEARCH)]
    assert uids[0] == uids[1] != uids[2]
    assert IMAGE.sop_instance_uid not in uids


def test_the_codes_that_are_told_are_those_that_stand_in_the_image() -> None:
    issued = transform(On.INBOUND, set_("IssuerOfPatientID", "STM"), set_("StudyID", "S-7"))
    marked = transform(On.OUTBOUND, set_("AccessionNumber", "TRIAL 1 "))
    what = recipe(profile(issued, marked, how=(Deidentification(),)), PACS)
    found = changed(Received.of(IMAGE), BEFORE.SOPInstanceUID, what, CAME, keys=KEYS, now=NOW)
    codes = Codes(KEYS.codes, PACS.name)
    patient = codes.patient_id(BEFORE.PatientID, "STM")
    assert found.codes == (
        (Kind.PATIENT_ID, patient),
        (Kind.PATIENT_NAME, patient),
        (Kind.ACCESSION, "TRIAL 1"),
        (Kind.STUDY_ID, codes.study_id("S-7")),
    )
    plain = changed(Received.of(IMAGE), BEFORE.SOPInstanceUID, recipe(profile(issued), PACS), CAME, keys=KEYS, now=NOW)
    assert plain.codes == ()


def test_all_attributes_that_a_condition_looks_at_are_known() -> None:
    deep = Either((Every((is_("Modality", "CT"), Never(is_("PatientID", "1")))), CalledAs(Values())))
    assert [attribute.text for attribute in attributes_in(deep)] == ["Modality", "PatientID"]


def test_why_nothing_was_produced_says_nothing_of_the_patient() -> None:
    data = memoryview(IMAGE.dataset())
    strict = transform(On.OUTBOUND, Map(at("PatientName"), {"A": "B"}, strict=True))
    with pytest.raises(NotProduced) as raised:
        produce(
            InMemory(IMAGE.transfer_syntax_uid, data),
            IMAGE.sop_instance_uid,
            recipe(profile(strict), PACS),
            CAME,
            (),
            keys=KEYS,
            now=NOW,
        )
    assert str(raised.value).startswith("Transform 'a transform' could not map PatientName: ")
    assert "CompressedSamples" not in str(raised.value)


_WITHOUT_FILES = """
import datetime, sys
from capacitord.dicom import produce as p
from capacitord.dicom.forms import Form
from tests.dicom import test_outgoing as t
from capacitord.model.compression import Compression
data = memoryview(t.IMAGE.dataset())
p.load()
opened = []
sys.addaudithook(lambda event, args: opened.append(args) if event in {"open", "import"} else None)
what = t.recipe(t.profile(t.transform(t.On.INBOUND, t.set_("StudyID", "Zürich")), how=(t.Deidentification(),)), t.PACS)
for uid, how in t.FORMS.items():
    image = p.InMemory(t.IMAGE.transfer_syntax_uid, data)
    made = p.produce(image, t.IMAGE.sop_instance_uid, what, t.CAME, [Form(uid, how)], keys=t.KEYS, now=t.NOW)
    assert made.transfer_syntax_uid == uid
    back = p.InMemory(uid, memoryview(b"".join(made.pieces)))
    native = Form("1.2.840.10008.1.2", Compression("1.2.840.10008.1.2"))
    assert p.produce(back, "1.2", t.Recipe("pacs", "UTC"), t.CAME, [native], keys=t.KEYS, now=t.NOW).length
print(len(opened), [name[0] for name in opened][:5])
"""
FORMS = {
    uid: Compression(uid)
    for uid in (
        "1.2.840.10008.1.2.5",
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.80",
        "1.2.840.10008.1.2.4.90",
        "1.2.840.10008.1.2.4.201",
    )
} | {"1.2.840.10008.1.2.4.91": Compression("1.2.840.10008.1.2.4.91", ratio=5.0)}


def test_once_a_helper_is_ready_it_opens_no_file() -> None:
    ran = subprocess.run([sys.executable, "-c", _WITHOUT_FILES], check=True, capture_output=True, text=True)
    assert ran.stdout == "0 []\n"
