"""De-identification of what lies in bytes: the same in every encoding, and damage is refused by its own error only."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from capacitord.dicom.deidentify.engine import NotDeidentified, deidentified
from capacitord.dicom.elements import Malformed
from capacitord.dicom.head import HeadReader
from capacitord.dicom.splice import applied, cuts
from capacitord.dicom.transform.differences import edits
from capacitord.dicom.transform.level import dataset_of
from capacitord.model.deidentify import Deidentification, Option
from capacitord.model.transform import Remove, Set
from tests.dicom.deidentify.kit import CODES
from tests.dicom.samples import BIG_ENDIAN, CT, EXPLICIT, IMPLICIT
from tests.dicom.transform.kit import applied as applied_to
from tests.dicom.transform.kit import at, value
from tests.dicom.trees import Node, changed, levels, written
from tests.images import Image, shipped

SMALL_FILES = [image for image in shipped() if image.size() < 50_000]
OPTIONS = st.sets(st.sampled_from([*Option])).filter(
    lambda found: not {Option.RETAIN_LONGITUDINAL_FULL, Option.RETAIN_LONGITUDINAL_MODIFIED} <= found
)
SAYS_CLEAN = (Node(0x00080016, "UI", CT.encode() + b"\0"), Node(0x00280301, "CS", b"NO"))
PIXELS = Node(0x7FE00010, "OW", bytes(range(256)))


def _left(data: bytes, syntax: str, options: set[Option]) -> tuple[bytes, Dataset]:
    head = HeadReader(syntax, whole=True)
    head.feed(data)
    head.finish()
    before = dataset_of(head.elements, head.encoding)
    after = deidentified(before, Deidentification(tuple(sorted(options))), codes=CODES)
    return applied(data, cuts(head.elements, edits(before, after), head.encoding, head.end)), after


@given(levels, OPTIONS)
def test_every_encoding_leaves_with_the_same(level: tuple[Node, ...], options: set[Option]) -> None:
    # Numbers are the same bytes in all of these trees, so they are other numbers in Big Endian.
    texts = changed(level, 0x00280010, None, anywhere=True)
    whole = tuple(sorted((*texts, *SAYS_CLEAN, PIXELS), key=lambda node: node.tag))
    found = []
    for syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN):
        data, after = _left(written(whole, syntax), syntax, options)
        head = HeadReader(syntax, whole=True)
        head.feed(data)
        head.finish()
        read = dataset_of(head.elements, head.encoding)
        assert data[head.elements[-1].start :] == written((PIXELS,), syntax)
        assert sorted(read.keys()) == sorted(after.keys())
        del read[0x7FE00010]
        found.append(read)
    assert found[0] == found[1] == found[2]


@given(
    st.sampled_from(SMALL_FILES), OPTIONS, st.lists(st.tuples(st.integers(0, 1999), st.integers(0, 255)), max_size=4)
)
def test_damaged_files_are_refused_by_their_own_error_only(
    image: Image, options: set[Option], damage: list[tuple[int, int]]
) -> None:
    data = bytearray(image.dataset())
    for place, byte in damage:
        data[place % len(data)] = byte
    with contextlib.suppress(NotDeidentified, Malformed):
        _left(bytes(data), image.transfer_syntax_uid, options)


def test_operations_may_follow() -> None:
    """A profile's operations come after its de-identification; what both did is put into the bytes at once."""
    inner = (Node(0x00080050, "SH", b"A1"), Node(0x00100020, "LO", b"P1"))
    patient = (Node(0x00100010, "PN", b"A^B "), Node(0x00100020, "LO", b"PAT-4711"))
    level = (*SAYS_CLEAN[:1], Node(0x0008114A, "SQ", items=(inner,)), *patient, *SAYS_CLEAN[1:], PIXELS)
    data = written(level, EXPLICIT)
    head = HeadReader(EXPLICIT, whole=True)
    head.feed(data)
    head.finish()
    before = dataset_of(head.elements, head.encoding)
    after = deidentified(before, Deidentification(), codes=CODES)
    operations = (Set(at("PatientComments"), value("{PatientID}")), Remove(at("**.AccessionNumber")))
    transformed = applied_to(after, *operations).dataset
    left = applied(data, cuts(head.elements, edits(before, transformed), head.encoding, head.end))
    assert left.endswith(written((PIXELS,), EXPLICIT))
    code = CODES.patient_id("PAT-4711").encode()
    assert left.count(code) == 3
    assert CODES.accession_number("A1").encode() not in left
    assert CODES.patient_id("P1").encode() in left
    assert b"PAT-4711" not in left
