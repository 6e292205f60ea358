"""Every file that pydicom ships, by a profile that uses every operation, to several destinations: valid, or held."""

from __future__ import annotations

import io
from collections import Counter

import pydicom
import pytest
from pydicom.dataset import Dataset

from capacitord.dicom.part10 import preamble
from capacitord.dicom.transcode.syntaxes import SOURCES
from tests.dicom.journey import Arrival, Outcome, Validator, profile_of, recipes, travel
from tests.images import Image, every

pytestmark = pytest.mark.peers

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
J2K, J2K_LOSSY, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5"
DEPARTMENTS = "Coach 7 für CT,CT imaging\r\nCoach 7 für MR,MR imaging\r\n".encode()
PROFILE = r"""
schema = 1
id = "st-marys"
name = "St. Mary's"
version = 1
timezone = "Europe/Berlin"

[[destination]]
name = "pacs"
ae_title = "PACS"
host = "10.0.0.1"
port = 104

[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "10.0.0.2"
port = 104
compress = "JPEG2000Lossless"

[[destination]]
name = "reader"
ae_title = "READER"
host = "10.0.0.3"
port = 104
transfer_syntaxes = ["ImplicitVRLittleEndian"]
compress = { transfer_syntax = "JPEG2000", ratio = 10 }

[[destination]]
name = "research"
ae_title = "RESEARCH"
host = "10.0.0.4"
port = 104
compress = "RLELossless"

[[transform]]
name = "as it should have come"
on = "inbound"
set = { InstitutionName = "Coach 7 für {Modality|none}", BurnedInAnnotation = "NO" }
set_missing.IssuerOfPatientID = "STM"
set_missing.Manufacturer = "unknown"
set_missing."RequestAttributesSequence.ScheduledProcedureStepID" = "S1"
clean = ["StationName"]

[[transform]]
name = "as they want it"
to = ["pacs", "archive", "reader"]
remove = ["(0009,xxxx,GEMS_IDEN_01)", "**.(0029,xxxx)", "**.PatientTelephoneNumbers"]
copy = { InstitutionalDepartmentName = "InstitutionName" }
map.InstitutionalDepartmentName = { file = "departments.csv", default = "Radiology" }
map.BodyPartExamined = { table = { HEAD = "BRAIN" } }
replace = { "**.PatientID" = { pattern = "^([^ ])", with = "STM\\1" } }
hash = ["AccessionNumber", "**.ReferencedPatientSequence.PatientID"]
prefix = { StudyID = "C" }
suffix = { "**.SeriesDescription" = " *" }
record = { reason = "COERCE", system = "FLUXBOX" }

[[transform]]
name = "without a name"
to = ["research"]
deidentify = { profile = "basic", options = ["RetainLongitudinalModified", "RetainSafePrivate", "CleanDescriptors"] }
set.ClinicalTrialSponsorName = "St. Mary's"
set.ClinicalTrialProtocolID = "T-{Modality|none}"
set.ClinicalTrialSubjectID = "{PatientID|none}"
set_missing = { ClinicalTrialProtocolName = "Trial", ClinicalTrialSiteID = "1", ClinicalTrialSiteName = "St. Mary's" }
"""
ACCEPTED: dict[str, frozenset[str]] = {
    "pacs": frozenset(SOURCES),
    "archive": frozenset({J2K, EXPLICIT, IMPLICIT}),
    "reader": frozenset({J2K_LOSSY, IMPLICIT}),
    "research": frozenset({RLE, EXPLICIT}),
}
"""The transfer syntaxes that each destination accepts."""

BROKEN = {
    "MR_truncated.dcm": "the dataset ends inside an element",
    "rtplan_truncated.dcm": "the dataset ends inside an element",
    "no_meta.dcm": "the dataset ends inside an element",  # it has a byte too much at its beginning
    "DICOMDIR-nooffset": "an item is longer than its sequence",
    "examples_overlay.dcm": "could not prefix StudyID: the value has 17 characters, and the VR SH allows 16",
}
"""What no transform can be carried out on, and why."""
PIXELS = {
    "GDCMJ2K_TextGBR.dcm": "does not begin as a JPEG 2000 codestream does",
    "J2K_pixelrep_mismatch.dcm": "whether samples have a sign",
    "JPEG2000-embedded-sequence-delimiter.dcm": "another size",
    "rtdose_expb.dcm": "two ways to read",
    "rtdose_expb_1frame.dcm": "two ways to read",
}
"""What cannot be written in another transfer syntax, and why."""
NAMELESS = {
    *("DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-empty.dcm", "DICOMDIR-implicit"),
    *("DICOMDIR-nopatient", "DICOMDIR-reordered", "UN_sequence.dcm", "chrSQEncoding.dcm", "chrSQEncoding1.dcm"),
    *("empty_charset_LEI.dcm", "meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm", "no_meta_group_length.dcm"),
    "priv_SQ.dcm",
}
"""What does not say what it is, and is not de-identified."""
KILL_THE_VALIDATOR = {
    *("badVR.dcm", "rtdose.dcm", "rtdose_1frame.dcm", "rtdose_rle.dcm", "rtdose_rle_1frame.dcm"),
    *("rtdose_expb.dcm", "rtdose_expb_1frame.dcm", "SC_rgb_rle_32bit.dcm", "SC_rgb_rle_32bit_2frame.dcm"),
}
"""Native pixels of 32 bits are more than its assertions allow for."""


def _reason(image: Image, name: str) -> str:
    """Return what the reason has to say if an image is held for a destination; empty if it must not be."""
    file = image.path.name
    if file == "examples_overlay.dcm" and name == "research":
        return ""
    if file in NAMELESS and name == "research":
        return "it has no SOP Class, so nobody knows what is in it"
    if file == "badVR.dcm" and name == "research":
        # It does not say how many frames it has.
        return "its pixel data is not as long as its rows, columns, samples and frames make it"
    if file == "JPEG2000-embedded-sequence-delimiter.dcm" and name == "research":
        return "has a segment (FF51) that this box does not know, or that is not in the form it should have"
    return BROKEN.get(file, "") or PIXELS.get(file, "")


def _read(image: Image, uid: str, instance: str, data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(preamble(image.sop_class_uid, instance, uid, "") + data))


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Validator:
    """One for all destinations: what is wrong with an image as it was received is the same for each."""
    return Validator(tmp_path_factory.mktemp("validator"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ACCEPTED)
def test_every_file_arrives_valid_or_is_held_with_a_reason(name: str, validator: Validator) -> None:
    what = recipes(profile_of(PROFILE, {"departments.csv": DEPARTMENTS}))[name]
    outcomes = Counter[Outcome]()
    for image in every():
        arrival = travel(image, what, ACCEPTED[name])
        outcomes[arrival.outcome] += 1
        if arrival.outcome is Outcome.HELD:
            assert _reason(image, name), (image.path, arrival.reason)
            assert _reason(image, name) in arrival.reason
            assert arrival.reason.endswith(".")
            continue
        assert arrival.transfer_syntax_uid in ACCEPTED[name]
        _check_attributes(image, arrival, name)
        new = validator.new_errors(image, arrival)
        if new is None:
            assert image.path.name in KILL_THE_VALIDATOR
        elif arrival.transfer_syntax_uid == IMPLICIT and image.path.parent.name == "palettes":
            # A palette without pixels does not say whether its numbers have a sign, where VRs are not written.
            assert all("can't set VR" in error or "read failed" in error for error in new)
        else:
            assert not new, image.path
    assert set(outcomes) == {Outcome.WRITTEN, Outcome.HELD}
    assert outcomes[Outcome.WRITTEN] > 165


def _check_attributes(image: Image, arrival: Arrival, name: str) -> None:
    """See whether what the profile says was done, and that the pixels which nobody wrote anew are the same."""
    old = _read(image, image.transfer_syntax_uid, image.sop_instance_uid, image.dataset())
    new = _read(image, arrival.transfer_syntax_uid, arrival.sop_instance_uid, arrival.data)
    if name == "research":
        assert new.PatientIdentityRemoved == "YES"
        assert new.ClinicalTrialProtocolID == f"T-{old.get('Modality') or 'none'}"
        assert len(str(old.get("PatientID", ""))) < 5 or str(old.PatientID).encode() not in arrival.data
        assert arrival.sop_instance_uid == new.SOPInstanceUID
        # The standard's own instances, which palettes are, keep their names.
        assert (new.SOPInstanceUID == old.SOPInstanceUID) == old.SOPInstanceUID.startswith("1.2.840.10008.")
        return
    modality = old.get("Modality") or "none"
    assert new.InstitutionName == f"Coach 7 für {modality}"
    assert new.InstitutionalDepartmentName == {"CT": "CT imaging", "MR": "MR imaging"}.get(modality, "Radiology")
    assert new.OriginalAttributesSequence[-1].ModifyingSystem == "FLUXBOX"
    del new.OriginalAttributesSequence
    if str(old.get("PatientID") or " ")[0] != " ":
        assert new.PatientID == f"STM{old.PatientID}"
    if old.get("StudyID"):
        assert new.StudyID == f"C{old.StudyID}"
    if old.get("AccessionNumber"):
        assert new.AccessionNumber != old.AccessionNumber
        assert len(new.AccessionNumber) == 16
    assert not any(element.tag.group == 0x0029 for element in new.iterall())
    assert new.get("BodyPartExamined") == (
        "BRAIN" if old.get("BodyPartExamined") == "HEAD" else old.get("BodyPartExamined")
    )
    if name == "pacs":
        assert new.get("PixelData") == old.get("PixelData")


def test_where_nothing_changes_every_file_arrives_as_it_was_received() -> None:
    only = PROFILE[: PROFILE.index("[[transform]]")]
    found = profile_of(only, {})
    for image in every():
        arrival = travel(image, recipes(found)["pacs"], {image.transfer_syntax_uid})
        assert arrival.outcome is Outcome.AS_RECEIVED
        assert arrival.data == image.dataset()
