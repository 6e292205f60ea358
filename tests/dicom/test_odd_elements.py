"""Elements whose VR is none, and UN with items in Explicit VR: walked over as DCMTK does, if the extent is certain."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.elements import EXPLICIT_LITTLE, Malformed, elements
from capacitord.dicom.head import HeadReader
from capacitord.dicom.header import HeaderReader
from capacitord.model.findings import why_invalid
from capacitord.model.image import Facts
from capacitord.model.transform import Set
from tests.dicom.samples import BIG_ENDIAN, CT, EXPLICIT, IMPLICIT, dataset, element
from tests.dicom.test_header import UID, announced, item, sequence
from tests.dicom.transform.kit import Received, at, rewritten, value, whole
from tests.fuzz.strategies import cuts, pieces

PRIVATE = 0x00091001
UNDEFINED = 0xFFFFFFFF
ODD = [b"??", b"  ", b"\0\0", b"--", b"un", b"O\0"]
LETTERS = [b"ZZ", b"XY", b"OZ"]


def size(order: str = "<") -> dict[int, tuple[str, bytes]]:
    """Return Columns and Bits Allocated, as the samples' Rows and pixels have them."""
    return {tag: ("US", struct.pack(f"{order}H", 8)) for tag in (0x00280011, 0x00280100)}


WHOLE = dataset(CT, UID, more={0x00100020: ("LO", b"COACH-1"), 0x00090010: ("LO", b"SOMEBODY"), **size()})
PLACE = WHOLE.index(element(0x00100010, "PN", b"Sample^Anna"))


def short(tag: int, vr: bytes, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def long(tag: int, vr: bytes, value: bytes, reserved: int = 0, length: int | None = None) -> bytes:
    count = len(value) if length is None else length
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, reserved, count) + value


def with_private(*odd: bytes) -> bytes:
    """Return an image with these elements where its private ones are."""
    return WHOLE[:PLACE] + b"".join(odd) + WHOLE[PLACE:]


def facts(data: bytes, where: list[int] | None = None, syntax: str = EXPLICIT) -> Facts:
    reader = HeaderReader(announced(syntax))
    for piece in pieces(data, where or []):
        reader.feed(piece)
    return reader.facts(len(data))


def is_read(data: bytes, where: list[int] | None = None, syntax: str = EXPLICIT) -> bool:
    """Whether the image is read to its end, by whoever looks at it when it arrives and when it leaves alike."""
    found = facts(data, where, syntax)
    if why_invalid(found.findings):
        return False
    head = HeadReader(syntax, whole=True)
    for piece in pieces(data, where or []):
        head.feed(piece)
    head.finish()
    assert head.end == len(data)
    return (found.patient_id, found.patient_name, found.study_uid) == ("COACH-1", "Sample^Anna", "1.2.3")


def dumped(data: bytes, folder: Path) -> bool:
    """Whether DCMTK finds the patient and the pixels in a dataset."""
    path = folder / "image"
    path.write_bytes(data)
    done = subprocess.run(
        ["/usr/bin/dcmdump", "-f", "-te", "+P", "0010,0020", "+P", "7fe0,0010", path],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 and "[COACH-1]" in done.stdout and "(7fe0,0010)" in done.stdout


KNOWN_EXTENT = {
    **{f"short {vr!r}": with_private(short(PRIVATE, vr, b"abcdef")) for vr in ODD},
    **{f"empty {vr!r}": with_private(short(PRIVATE, vr, b"")) for vr in ODD},
    **{f"long {vr!r}": with_private(long(PRIVATE, vr, bytes(70000))) for vr in LETTERS},
    "a block of them": with_private(*(short(PRIVATE + number, b"??", b"ab" * number) for number in range(20))),
    "inside items": with_private(
        sequence(PRIVATE, [item(short(PRIVATE, b"??", b"abcd"), EXPLICIT, defined=False)], EXPLICIT, defined=False)
    ),
}


@pytest.mark.parametrize("what", KNOWN_EXTENT)
def test_an_element_without_a_vr_is_walked_over_as_dcmtk_does(what: str, tmp_path: Path) -> None:
    assert is_read(KNOWN_EXTENT[what])
    assert dumped(KNOWN_EXTENT[what], tmp_path)


@given(st.sampled_from(sorted(KNOWN_EXTENT)), cuts)
def test_pieces_of_any_size_make_no_difference(what: str, where: list[int]) -> None:
    assert is_read(KNOWN_EXTENT[what], where)


NOT_CERTAIN = {
    "letters with a length of 16 bits": with_private(short(PRIVATE, b"ZZ", b"abcdef")),
    "letters of undefined length": with_private(long(PRIVATE, b"ZZ", b"", length=UNDEFINED)),
    "a length that is wrong": with_private(struct.pack("<HH2sH", 0x0009, 0x1001, b"??", 2) + b"abcdef"),
    "a length of 32 bits behind question marks": with_private(long(PRIVATE, b"??", b"abcdef")),
    "two that differ": with_private(short(PRIVATE, b"??", b"ab"), short(PRIVATE + 1, b"  ", b"ab")),
    "out of order": with_private(short(PRIVATE, b"??", b"ab"), short(PRIVATE, b"??", b"cd")),
    "Implicit VR in between": with_private(element(PRIVATE, "LO", b"abcdef", syntax=IMPLICIT)),
}


@pytest.mark.parametrize("what", NOT_CERTAIN)
def test_one_whose_extent_is_not_certain_holds_the_image(what: str) -> None:
    assert why_invalid(facts(NOT_CERTAIN[what]).findings)
    with pytest.raises(Malformed):
        list(elements(NOT_CERTAIN[what], EXPLICIT_LITTLE))


@given(
    st.lists(st.sampled_from(ODD + LETTERS), min_size=1, max_size=1),
    st.lists(st.binary(max_size=40).map(lambda value: value + b"\0" * (len(value) % 2)), max_size=5),
    cuts,
)
def test_values_of_any_bytes_are_walked_over(vrs: list[bytes], values: list[bytes], where: list[int]) -> None:
    (vr,) = vrs
    write = long if vr in LETTERS else short
    assert is_read(with_private(*(write(PRIVATE + number, vr, value) for number, value in enumerate(values))), where)


@given(st.binary(min_size=8, max_size=200), cuts)
def test_garbage_between_elements_never_makes_another_patient(garbage: bytes, where: list[int]) -> None:
    found = facts(with_private(garbage), where)
    if not why_invalid(found.findings):
        assert (found.patient_id, found.patient_name, found.study_uid) == ("COACH-1", "Sample^Anna", "1.2.3")


def test_big_endian_has_them_too() -> None:
    data = dataset(CT, UID, syntax=BIG_ENDIAN, more=size(">"))
    place = data.index(element(0x00100010, "PN", b"Sample^Anna", syntax=BIG_ENDIAN))
    assert is_read(data[:place] + short(PRIVATE, b"??", b"abcd", ">") + data[place:], syntax=BIG_ENDIAN)


def unknown(*inside: bytes) -> bytes:
    items = [item(each, EXPLICIT, defined=False) for each in inside]
    return with_private(sequence(PRIVATE, items, EXPLICIT, defined=False, vr="UN"))


EXPLICIT_INSIDE = {
    "a name": unknown(element(0x00100010, "PN", b"Other^Bert")),
    "two elements": unknown(element(0x00080100, "SH", b"CODE") + element(0x00080104, "LO", b"Meaning")),
    "two items": unknown(element(0x00080100, "SH", b"CODE"), element(0x00080104, "LO", b"Meaning")),
    "bytes": unknown(element(0x00091101, "OB", bytes(5000)) + element(0x00091102, "LO", b"Meaning")),
    "a sequence": unknown(
        sequence(
            0x00081140, [item(element(0x00081155, "UI", b"1.2"), EXPLICIT, defined=False)], EXPLICIT, defined=False
        )
    ),
    "an empty item": unknown(b"", element(0x00080100, "SH", b"CODE")),
}


@pytest.mark.parametrize("what", EXPLICIT_INSIDE)
def test_explicit_items_inside_un_are_walked_over(what: str, tmp_path: Path) -> None:
    assert is_read(EXPLICIT_INSIDE[what])
    path = tmp_path / "image"
    path.write_bytes(EXPLICIT_INSIDE[what])
    # Without this option DCMTK takes them for Implicit VR, as they should be, and gives up.
    done = subprocess.run(
        ["/usr/bin/dcmdump", "-f", "-te", "-ui", "+P", "0010,0020", path], capture_output=True, text=True, check=False
    )
    assert "[COACH-1]" in done.stdout


@given(st.sampled_from(sorted(EXPLICIT_INSIDE)), cuts)
def test_explicit_items_in_pieces_of_any_size(what: str, where: list[int]) -> None:
    assert is_read(EXPLICIT_INSIDE[what], where)


@given(st.binary(min_size=1, max_size=20), st.sampled_from([b"LO", b"DS", b"PN"]), cuts)
def test_implicit_items_whose_length_looks_like_a_vr_stay_what_they_are(
    value: bytes, vr: bytes, where: list[int]
) -> None:
    value = (value * 30000)[: int.from_bytes(vr, "little")]
    inside = struct.pack("<HHL", 0x0009, 0x1101, len(value)) + value
    inside += element(0x00091102, "LO", b"more", syntax=IMPLICIT)
    items = [item(inside, IMPLICIT, defined=False)]
    assert is_read(with_private(sequence(PRIVATE, items, EXPLICIT, defined=False, vr="UN")), where)


@pytest.mark.parametrize(
    "data", [*KNOWN_EXTENT.values(), *EXPLICIT_INSIDE.values()], ids=[*KNOWN_EXTENT, *EXPLICIT_INSIDE]
)
def test_what_is_walked_over_leaves_as_it_came_whatever_is_changed_beside_it(data: bytes) -> None:
    out = whole(rewritten(Received(EXPLICIT, data), Set(at("PatientID"), value("COACH-2"))))
    assert out == data.replace(b"COACH-1 ", b"COACH-2 ")
