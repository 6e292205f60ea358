"""What differs between two datasets, as a person sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.differing import Difference, differences
from capacitord.dicom.rewriting import Opened
from capacitord.dicom.transform.failure import Unreadable
from tests.dicom.samples import BIG_ENDIAN, CT, EXPLICIT, IMPLICIT, dataset, element
from tests.dicom.transform.kit import Received
from tests.images import Image, shipped

PATIENT_ID, NAME, PRIVATE = 0x00100020, 0x00100010, 0x00091010


def seen(before: bytes, after: bytes, syntax: str = EXPLICIT, later: str = "") -> list[Difference]:
    first, second = Opened(Received(syntax, before)), Opened(Received(later or syntax, after))
    return differences(first.dataset, second.dataset)


def test_what_is_added_changed_and_removed_is_seen() -> None:
    before = dataset(CT, "1.2.3.4.5", more={PATIENT_ID: ("LO", b"A1"), 0x00100040: ("CS", b"F")})
    after = dataset(CT, "1.2.3.4.5", more={PATIENT_ID: ("LO", b"B2"), 0x00200010: ("SH", b"7")})
    assert seen(before, after) == [
        Difference((PATIENT_ID,), "A1", "B2"),
        Difference((0x00100040,), "F", None),
        Difference((0x00200010,), None, "7"),
    ]


def test_within_sequences_it_is_seen_where_it_is() -> None:
    def one(value: bytes) -> bytes:
        item = element(0x00401001, "SH", value)
        head = b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little")
        return dataset(CT, "1.2.3.4.5", more={0x00400275: ("SQ", head + item)})

    assert seen(one(b"R1"), one(b"R2")) == [Difference((0x00400275, 0, 0x00401001), "R1", "R2")]


def test_bytes_of_the_same_length_are_told_apart() -> None:
    before = dataset(CT, "1.2.3.4.5", more={PRIVATE: ("OB", b"\0\1\2\3")})
    after = dataset(CT, "1.2.3.4.5", more={PRIVATE: ("OB", b"\0\1\2\4")})
    assert [each.path for each in seen(before, after)] == [(PRIVATE,)]


def test_the_same_in_another_encoding_does_not_differ() -> None:
    explicit = dataset(CT, "1.2.3.4.5")
    for syntax in (IMPLICIT, BIG_ENDIAN):
        assert seen(explicit, dataset(CT, "1.2.3.4.5", syntax=syntax), EXPLICIT, syntax) == []


@pytest.mark.parametrize("image", shipped(), ids=lambda image: image.path.name)
def test_nothing_differs_from_itself(image: Image) -> None:
    try:
        first, second = Opened(Received.of(image)), Opened(Received.of(image))
    except Unreadable:
        assert image.path.name == "rtplan_truncated.dcm"
        return
    assert differences(first.dataset, second.dataset) == []


@given(
    st.dictionaries(st.sampled_from([0x00080050, 0x00081030, NAME, PATIENT_ID, 0x00200010]), st.text("ABC", max_size=3))
)
def test_each_attribute_that_differs_is_seen_once(values: dict[int, str]) -> None:
    before = dataset(CT, "1.2.3.4.5", more={NAME: ("PN", b"Sample")})
    after = dataset(
        CT, "1.2.3.4.5", more={NAME: ("PN", b"Sample")} | {t: ("LO", v.encode()) for t, v in values.items()}
    )
    found = {each.path[0]: each.after for each in seen(before, after)}
    wanted = {tag: value for tag, value in values.items() if value and (tag, value) != (NAME, "Sample")}
    gone = {tag: None for tag in (NAME, PATIENT_ID) if values.get(tag) == ""}
    assert found == {**wanted, **gone}
