"""What is too much to be read is refused before it is read, however it is written; objects of many frames are not."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from capacitord.dicom import elements as encoded
from capacitord.dicom.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, ITEM, ITEM_END, SEQUENCE_END, UNDEFINED
from capacitord.dicom.head import LONGEST_HEAD
from capacitord.dicom.rewriting import Opened
from capacitord.dicom.tally import MOST_READ
from capacitord.dicom.transcode.engine import NotTranscoded, transcode
from capacitord.dicom.transform.failure import Unreadable
from capacitord.model.compression import Compression
from tests.dicom.samples import BIG_ENDIAN, EXPLICIT, IMPLICIT
from tests.dicom.transform.kit import NOW, Received, at

BEGIN = encoded.write(0x00080016, "UI", b"1.2.3\0", IMPLICIT_LITTLE)
EMPTY_ITEM = encoded.write_item(b"", IMPLICIT_LITTLE)
REQUESTS = 0x00400275
MANY = MOST_READ + 10


def mark(tag: int, length: int = 0) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, length)


def sequence(content: bytes, tag: int = REQUESTS) -> bytes:
    return encoded.write(tag, "SQ", content, IMPLICIT_LITTLE)


def open_ended(content: bytes, tag: int = REQUESTS) -> bytes:
    return encoded.write_undefined(tag, "SQ", content, IMPLICIT_LITTLE)


class Counted:
    """An image of which is known how much of it was asked for."""

    def __init__(self, data: bytes, syntax: str = IMPLICIT) -> None:
        self.transfer_syntax_uid, self.length, self._data = syntax, len(data), data
        self.reads = 0

    def chunks(self) -> Iterator[memoryview]:
        for start in range(0, self.length, 1 << 16):
            self.reads += 1
            yield memoryview(self._data)[start : start + (1 << 16)]


def frames(count: int, wrap: bool) -> bytes:
    """Return functional groups with twenty elements a frame."""

    def group(tag: int, leaves: int) -> bytes:
        inside = b"".join(
            encoded.write(0x00200000 | 0x9000 + leaf, "DS", b"1.25", EXPLICIT_LITTLE) for leaf in range(leaves)
        )
        return (
            encoded.write_undefined(tag, "SQ", item(inside), EXPLICIT_LITTLE)
            if wrap
            else (encoded.write(tag, "SQ", item(inside), EXPLICIT_LITTLE))
        )

    def item(content: bytes) -> bytes:
        if wrap:
            return mark(ITEM, UNDEFINED) + content + mark(ITEM_END)
        return encoded.write_item(content, EXPLICIT_LITTLE)

    frame = item(b"".join(group(0x00209111 + 2 * number, 3) for number in range(5)))
    content = frame * count
    written = encoded.write_undefined if wrap else encoded.write
    return written(0x52009230, "SQ", content, EXPLICIT_LITTLE)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded.write(0x00080020, "DA", b"", IMPLICIT_LITTLE) * MANY, id="elements"),
        pytest.param(sequence(EMPTY_ITEM * MANY), id="items"),
        pytest.param(open_ended(EMPTY_ITEM * MANY), id="items, no length"),
        pytest.param(sequence(EMPTY_ITEM * MANY, 0x00091001), id="items, no known VR"),
        pytest.param(sequence(encoded.write_item(sequence(EMPTY_ITEM * MANY), IMPLICIT_LITTLE)), id="items below"),
        pytest.param(
            sequence(mark(ITEM, UNDEFINED) + sequence(EMPTY_ITEM * MANY) + mark(ITEM_END)), id="items below, no length"
        ),
        pytest.param(
            b"".join(sequence(EMPTY_ITEM * (MANY // 10), REQUESTS + number) for number in range(10)), id="in all"
        ),
        pytest.param(
            sequence(encoded.write_item(b"\x08\0\x20\0\xff\0\0\0", IMPLICIT_LITTLE) + EMPTY_ITEM * MANY),
            id="behind an item that cannot be read",
        ),
        pytest.param(
            sequence(
                mark(ITEM, UNDEFINED) + open_ended(mark(ITEM_END) + EMPTY_ITEM) + mark(ITEM_END) + EMPTY_ITEM * MANY
            ),
            id="behind a delimiter astray",
        ),
        pytest.param(
            sequence(encoded.write_item(mark(SEQUENCE_END), IMPLICIT_LITTLE) + EMPTY_ITEM * MANY),
            id="behind the end of no sequence",
        ),
    ],
)
def test_more_than_can_be_read_is_refused_with_words(data: bytes) -> None:
    with pytest.raises(Unreadable, match="more than 200,000 elements and items"):
        Opened(Counted(BEGIN + data))


def test_it_is_refused_as_soon_as_there_is_too_much() -> None:
    for data in (mark(0x00080020) * (LONGEST_HEAD // 8), open_ended(EMPTY_ITEM * (LONGEST_HEAD // 16))):
        image = Counted(BEGIN + data)
        with pytest.raises(Unreadable, match="elements and items"):
            Opened(image)
        assert image.reads * (1 << 16) <= 8 * MANY + (1 << 17)


def test_one_piece_of_any_size_is_looked_at_in_parts() -> None:
    image = Received(IMPLICIT, BEGIN + mark(0x00080020) * (LONGEST_HEAD // 8), LONGEST_HEAD * 2)
    with pytest.raises(Unreadable, match="elements and items"):
        Opened(image)


def test_what_has_to_be_walked_again_and_again_is_refused() -> None:
    data = EMPTY_ITEM * (MOST_READ // 2)
    for _ in range(30):
        data = mark(ITEM, UNDEFINED) + open_ended(data) + mark(ITEM_END)
    with pytest.raises(Unreadable, match="too deep within one another"):
        Opened(Counted(BEGIN + sequence(data)))


@pytest.mark.parametrize("wrap", [False, True])
def test_thousands_of_frames_can_be_read(wrap: bool) -> None:
    opened = Opened(
        Counted(encoded.write(0x00080016, "UI", b"1.2.3\0", EXPLICIT_LITTLE) + frames(5_000, wrap), EXPLICIT)
    )
    found = opened.attributes.values(at("PerFrameFunctionalGroupsSequence.PlanePositionSequence.(0020,9001)"))
    assert found == ("1.25",) * 5_000


def test_fragments_of_pixels_are_no_items_to_be_read() -> None:
    fragments = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + EMPTY_ITEM * MANY + mark(SEQUENCE_END)
    behind = encoded.write(0xFFFCFFFC, "OB", b"12", EXPLICIT_LITTLE)
    opened = Opened(
        Counted(encoded.write(0x00080016, "UI", b"1.2.3\0", EXPLICIT_LITTLE) + fragments + behind, EXPLICIT), whole=True
    )
    assert 0xFFFCFFFC in opened.dataset


def test_nor_is_it_written_in_another_transfer_syntax() -> None:
    with pytest.raises(NotTranscoded, match="more than 200,000 elements and items"):
        transcode(BEGIN + sequence(EMPTY_ITEM * MANY), IMPLICIT, Compression(EXPLICIT), now=NOW)


def test_in_big_endian_too() -> None:
    item = encoded.write_item(b"", encoded.EXPLICIT_BIG)
    data = encoded.write(0x00080016, "UI", b"1.2.3\0", encoded.EXPLICIT_BIG)
    with pytest.raises(Unreadable, match="more than 200,000 elements and items"):
        Opened(Counted(data + encoded.write(REQUESTS, "SQ", item * MANY, encoded.EXPLICIT_BIG), BIG_ENDIAN))
