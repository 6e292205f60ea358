"""Every file that pydicom ships through every operation: DCMTK reads what comes out, and sees no other change."""

from __future__ import annotations

import re
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from capacitord.dicom.part10 import preamble
from capacitord.dicom.transform.engine import Change
from capacitord.dicom.transform.failure import NotTransformed
from capacitord.model.transform import (
    Clean,
    Copy,
    Hash,
    Map,
    Operation,
    Prefix,
    Record,
    Remove,
    Replace,
    Set,
    SetMissing,
    Suffix,
)
from tests.dicom.transform.kit import Received, at, rewritten, value, whole
from tests.images import Image, every

pytestmark = pytest.mark.peers

DCMDUMP = "/usr/bin/dcmdump"
OPERATIONS: Mapping[str, Operation] = {
    "set": Set(at("InstitutionName"), value("St. Mary's {Modality|none}")),
    "set in another character set": Set(at("PatientComments"), value("Łódź 山田")),
    "set in a sequence": Set(at("RequestAttributesSequence.ScheduledProcedureStepID"), value("S1")),
    "set a number": Set(at("SamplesPerPixelUsed"), value("1")),
    "set private": Set(at("(0009,xx77,CAPACITOR TEST)"), value("7"), "LO"),
    "set_missing": SetMissing(at("IssuerOfPatientID"), value("STM")),
    "remove": Remove(at("PatientName")),
    "remove private": Remove(at("(0009,xxxx)")),
    "remove anywhere": Remove(at("**.CodeValue")),
    "copy": Copy(at("AccessionNumber"), at("StudyID")),
    "copy a sequence": Copy(at("PurposeOfReferenceCodeSequence"), at("DerivationCodeSequence")),
    "replace": Replace(at("**.PatientID"), r"(.)", r"\1x"),
    "map": Map(at("Modality"), {"CT": "MR", "MR": "CT"}, default="OT"),
    "clean": Clean(at("**.PatientName")),
    "hash": Hash(at("**.PatientID")),
    "hash a UID": Hash(at("**.DimensionOrganizationUID")),
    "prefix": Prefix(at("**.CodeMeaning"), "x"),
    "suffix": Suffix(at("PatientName"), "-x"),
}
UNREADABLE = {"rtplan_truncated.dcm", "MR_truncated.dcm", "no_meta.dcm", "DICOMDIR-nooffset"}
"""Cut off, with a byte too much at the beginning, with an item that is longer than its sequence."""
_TAG = re.compile(r"\(([0-9a-f]{4}),([0-9a-f]{4})\)")


def _write(path: Path, image: Image, data: bytes) -> Path:
    head = preamble(image.sop_class_uid, image.sop_instance_uid, image.transfer_syntax_uid, "")
    path.write_bytes(head + data)
    return path


def _dumps(paths: list[Path]) -> list[list[str]]:
    """Return what DCMTK sees in the data sets of these files, line by line."""
    done = subprocess.run([DCMDUMP, "-q", "+F", *paths], capture_output=True, check=False)
    text = done.stdout.decode("latin-1")
    found = {}
    for part in re.split(r"^# dcmdump \(\d+/\d+\): ", text, flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        found[name] = rest.partition("# Dicom-Data-Set\n")[2].splitlines()
    return [found.get(str(path), []) for path in paths]


def _untouched(lines: list[str], changes: tuple[Change, ...]) -> list[str]:
    """Return the lines of attributes that nobody touched, but not those of items around one that was."""
    touched = {tag for change in changes for tag in change.path}
    touched |= {tag & 0xFFFF0000 for tag in touched}
    replaced = {change.path[0] for change in changes if len(change.path) == 1}
    same_text = 0x00080005 not in touched
    kept: list[str] = []
    outer = 0
    for line in lines:
        found = _TAG.search(line)
        if not found:
            continue
        tag = int(found[1] + found[2], 16)
        outer = outer if line.startswith(" ") else tag
        if tag in touched or outer in replaced or tag >> 16 == 0xFFFE:
            continue
        if same_text:
            kept.append(line)
        elif line.isascii() and "\x1b" not in line:
            kept.append(line.split("#")[0])
    return kept


@pytest.mark.parametrize("name", OPERATIONS)
def test_dcmtk_sees_the_change_and_no_other(name: str, tmp_path: Path) -> None:
    images = every()
    before: list[Path] = []
    after: list[Path] = []
    changes: list[tuple[Change, ...]] = []
    held: list[str] = []
    changed = 0
    for number, image in enumerate(images):
        received = Received.of(image, 4096)
        try:
            out = rewritten(received, OPERATIONS[name])
        except NotTransformed:
            held.append(image.path.name)
            continue
        data = whole(out)
        assert out.is_as_received == (data == image.dataset())
        assert out.is_as_received == (not out.changes), image.path.name
        changed += not out.is_as_received
        before.append(_write(tmp_path / f"{number}.before", image, image.dataset()))
        after.append(_write(tmp_path / f"{number}.after", image, data))
        changes.append(out.changes)
    assert set(held) <= UNREADABLE
    assert changed > 0
    for path, old, new, done in zip(after, _dumps(before), _dumps(after), changes, strict=True):
        assert _untouched(new, done) == _untouched(old, done), path
        assert bool(new) == bool(old)


def _text_of(dataset: Dataset, touched: set[int]) -> list[tuple[int, str]]:
    return [
        (element.tag, str(element.value))
        for element in dataset.iterall()
        if element.VR in {"LO", "LT", "PN", "SH", "ST", "UC", "UT"} and element.tag not in touched
    ]


@pytest.mark.parametrize("image", every(), ids=lambda image: image.path.name)
def test_all_text_reads_the_same_in_another_character_set(image: Image, tmp_path: Path) -> None:
    try:
        out = rewritten(Received.of(image), OPERATIONS["set in another character set"], record=Record(system="BOX"))
    except NotTransformed:
        assert image.path.name in UNREADABLE
        return
    touched = {0x00104000, 0x04000563}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = pydicom.dcmread(image.path, force=True)
        new = pydicom.dcmread(_write(tmp_path / "after", image, whole(out)))
        assert new.PatientComments == "Łódź 山田"
        recorded = new.OriginalAttributesSequence.pop()
        assert recorded.ModifyingSystem == "BOX"
        assert _text_of(new, touched) == _text_of(old, touched)
        assert new.get("PixelData") == old.get("PixelData")
