"""Every file that pydicom ships: it leaves without a trace of who it was, still valid, or is held with a reason."""

from __future__ import annotations

import collections
import functools
import io
import re
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from capacitord.dicom.deidentify import risk
from capacitord.dicom.deidentify.engine import NotDeidentified, deidentified
from capacitord.dicom.elements import Element
from capacitord.dicom.head import FIRST_PIXELS, LAST_PIXELS, HeadReader
from capacitord.dicom.part10 import preamble
from capacitord.dicom.rewriting import Opened
from capacitord.dicom.splice import applied, cuts
from capacitord.dicom.transform.differences import edits
from capacitord.dicom.transform.failure import NotTransformed
from capacitord.dicom.transform.level import dataset_of
from capacitord.model.deidentify import Deidentification, Option
from tests.dicom.deidentify.kit import CODES, add, table
from tests.dicom.transform.kit import Received
from tests.images import Image, every

pytestmark = pytest.mark.peers

DCIODVFY = "/usr/bin/dciodvfy"
DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
EVERYTHING = tuple(
    option
    for option in Option
    if option
    not in {Option.RETAIN_LONGITUDINAL_FULL, Option.CLEAN_PIXEL_DATA, Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES}
)
OPTIONS: dict[str, tuple[Option, ...]] = {
    "basic": (),
    "modified dates": (Option.RETAIN_LONGITUDINAL_MODIFIED,),
    "cleaned": (
        Option.CLEAN_DESCRIPTORS,
        Option.CLEAN_GRAPHICS,
        Option.CLEAN_STRUCTURED_CONTENT,
        Option.RETAIN_LONGITUDINAL_FULL,
        Option.RETAIN_SAFE_PRIVATE,
    ),
    "all that can be kept": EVERYTHING,
}
UNREADABLE = {"rtplan_truncated.dcm", "MR_truncated.dcm", "no_meta.dcm"}


class Read:
    """A file's dataset read to its end, and the bytes it was read from."""

    def __init__(self, image: Image, data: bytes, syntax: str) -> None:
        self.image = image
        self.data = data
        self.syntax = syntax
        self.head = HeadReader(syntax, whole=True)
        self.head.feed(data)
        self.head.finish()
        self.dataset = dataset_of(self.head.elements, self.head.encoding)

    def without_pixels(self) -> bytes:
        """Return the bytes of all elements but the pixel data."""
        return b"".join(element.data or b"" for element in self.head.elements if not _is_pixels(element))

    def pixels(self) -> bytes:
        """Return the bytes of the pixel data."""
        return b"".join(
            self.data[element.start : element.start + element.size]
            for element in self.head.elements
            if _is_pixels(element)
        )


def _is_pixels(element: Element) -> bool:
    return FIRST_PIXELS <= element.tag <= LAST_PIXELS


@functools.cache
def _files() -> tuple[Read, ...]:
    found = []
    for image in every():
        try:
            plain = b"".join(map(bytes, Opened(Received.of(image), whole=True).plain()))
            syntax = EXPLICIT if image.transfer_syntax_uid == DEFLATED else image.transfer_syntax_uid
            found.append(Read(image, plain, syntax))
        except NotTransformed:
            assert image.path.name in UNREADABLE
    return tuple(found)


def _said_clean(dataset: Dataset) -> Dataset:
    """Return the dataset as of an image whose device says that there is no writing in it."""
    said = Dataset({tag: dataset.get_item(tag, keep_deferred=True) for tag in dataset.keys()})  # noqa: SIM118
    said.set_original_encoding(*dataset.original_encoding)
    add(said, 0x00280301, "NO")
    return said


def _sent(read: Read, options: Sequence[Option]) -> Read:
    """Return what leaves of a file, were its pixels said to be clean."""
    after = deidentified(_said_clean(read.dataset), Deidentification(tuple(options)), codes=CODES)
    wanted = cuts(read.head.elements, edits(read.dataset, after), read.head.encoding, read.head.end)
    return Read(read.image, applied(read.data, wanted), read.syntax)


def _originals(read: Read, options: Sequence[Option]) -> Iterator[bytes]:
    """Yield what must not be found: as written, and in parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(read.image.path, stop_before_pixels=True, force=True)
        texts = [str(dataset.get(name, "")) for name in ("PatientID", "AccessionNumber", "PatientName")]
        texts += [part for part in re.split(r"[\^= ]", str(dataset.get("PatientName", ""))) if len(part) > 4]
        if Option.RETAIN_LONGITUDINAL_FULL not in options:
            texts.append(str(dataset.get("PatientBirthDate", "")))
        if Option.RETAIN_UIDS not in options:
            names = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
            uids = (str(dataset.get(name, "")) for name in names)
            texts += [uid for uid in uids if not uid.startswith("1.2.840.10008.")]
    raw = dataset_of(read.head.elements, read.head.encoding).get_item(0x00100010)
    texts = [text for text in texts if len(text.strip()) >= 4]
    yield from (text.strip().encode() for text in texts)
    if raw is not None and isinstance(raw.value, bytes) and len(raw.value) >= 4:
        yield raw.value.strip(b" \0")


@pytest.mark.parametrize("name", OPTIONS)
def test_nothing_of_who_it_was_is_left(name: str) -> None:
    passed = collections.Counter[str]()
    for read in _files():
        try:
            sent = _sent(read, OPTIONS[name])
        except NotDeidentified as held:
            passed[held.reason] += 1
            continue
        passed["sent"] += 1
        left = sent.without_pixels().lower()
        for original in _originals(read, OPTIONS[name]):
            assert original.lower() not in left, read.image.path.name
        assert sent.pixels() == read.pixels(), read.image.path.name
        if Option.RETAIN_SAFE_PRIVATE not in OPTIONS[name]:
            assert not any(element.tag >> 16 & 1 for element in sent.head.elements)
    assert passed["sent"] > 60, passed


def test_all_that_is_left_is_as_the_table_says() -> None:
    rows = {row.tag: row.basic for row in table()}
    seen = collections.Counter[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in _files():
            if "SOPClassUID" not in read.dataset:
                # What does not say what it is, is held, as the test after this one shows.
                continue
            sent = _sent(read, ())
            syntax = IMPLICIT if sent.head.encoding.implicit else sent.syntax
            file = io.BytesIO(preamble(read.image.sop_class_uid, "1.2.3", syntax, "") + sent.data)
            for element in pydicom.dcmread(file, stop_before_pixels=True).iterall():
                action = rows.get(element.tag, "")
                seen[action] += 1
                assert action != "X", (read.image.path.name, element.tag)
                values = element.value if element.VM > 1 else [element.value]
                if action == "U" or (action and element.VR == "UI"):
                    assert all(str(uid).startswith(("2.25.", "1.2.840.10008.")) for uid in values if uid)
                if element.VR == "PN":
                    assert element.is_empty or re.fullmatch("REMOVED|[0-9A-HJKMNP-TV-Z]{12}", str(element.value))
                if element.VR in {"DA", "DT"}:
                    assert element.is_empty or str(element.value) in {"19000101", "19000101000000"}
                if action == "Z" and element.tag not in {0x00100010, 0x00080050, 0x00200010}:
                    assert element.is_empty
    assert seen["U"] > 400
    assert seen["Z"] > 400
    assert seen["D"] + seen["Z/D"] > 100


def test_what_is_not_said_to_be_clean_is_held_with_a_sentence() -> None:
    reasons = {risk.reason for risk in risk.RISKS}
    outcomes = collections.Counter[str]()
    for read in _files():
        try:
            deidentified(read.dataset, Deidentification(), codes=CODES)
        except NotDeidentified as held:
            outcomes[str(held)] += 1
        else:
            picture = risk.picture(read.dataset)
            assert (
                not picture.has_pixels
                or picture.burned_in == "NO"
                or picture.image_type[:2] == ("ORIGINAL", "PRIMARY")
                or picture.modality in {"RTDOSE", "SEG"}
            )
            outcomes["sent"] += 1
    assert outcomes.pop("sent") > 20
    assert outcomes.total() > 20
    assert set(outcomes) <= {f"This image cannot be de-identified: {reason}." for reason in reasons}


def _errors(paths: Sequence[Path]) -> list[collections.Counter[str]]:
    """Return what a validator that is not ours finds wrong in each file, without the values."""
    found = []
    for path in paths:
        done = subprocess.run([DCIODVFY, path], capture_output=True, check=False)
        lines = (done.stderr + done.stdout).decode("latin-1").splitlines()
        errors = (
            re.sub(r"= <[^>]*>|<[^<>]*>|\[[^\]]*\]|0x[0-9a-f]+|\d+", "", line) for line in lines if "Error" in line
        )
        found.append(collections.Counter(errors))
    return found


@pytest.mark.parametrize("name", ["basic", "all that can be kept"])
def test_a_validator_finds_nothing_new(name: str, tmp_path: Path) -> None:
    before: list[Path] = []
    after: list[Path] = []
    for number, read in enumerate(_files()):
        try:
            sent = _sent(read, OPTIONS[name])
        except NotDeidentified:
            continue
        if read.head.encoding.implicit and read.syntax != IMPLICIT:
            # The validator takes the file's word for it, and reads nothing.
            continue
        for group, each, end in ((before, read, "before"), (after, sent, "after")):
            path = tmp_path / f"{number}.{end}"
            uids = read.image.sop_class_uid, str(each.dataset["SOPInstanceUID"].value)
            path.write_bytes(preamble(*uids, each.syntax, "") + each.data)
            group.append(path)
    for path, old, new in zip(after, _errors(before), _errors(after), strict=True):
        assert set(new) - set(old) == set(), _files()[int(path.stem)].image.path.name
