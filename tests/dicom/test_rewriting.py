"""Bytes in, bytes out: what is touched changes, and nothing else, in every encoding and in any pieces."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.fragments import data_set_pdus
from capacitord.dicom.head import LARGEST_KEPT, LONGEST_HEAD, HeadReader
from capacitord.dicom.reader import Fragment, PduReader
from capacitord.dicom.rewriting import Opened
from capacitord.dicom.transform.failure import NotTransformed, TransformFailed, Unreadable
from capacitord.model.transform import Copy, Hash, Record, Remove, Replace, Set
from tests.dicom.samples import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, dataset, element
from tests.dicom.transform.kit import KEY, NOW, Received, at, rewritten, transform, value, whole
from tests.dicom.trees import ENCAPSULATED, SYNTAXES, Node, changed, fragments, levels, written
from tests.images import Image, shipped

PIXELS = Node(0x7FE00010, "OW", bytes(range(256)) * 4)
SMALL_FILES = [image for image in shipped() if image.size() < 50_000]
syntaxes = st.sampled_from(SYNTAXES)
sizes = st.sampled_from([1, 2, 7, 13, 64, 4096])


@pytest.mark.parametrize("image", shipped(), ids=lambda image: image.path.name)
def test_without_a_change_the_very_same_bytes_come_out(image: Image) -> None:
    data = image.dataset()
    for operations in ((), (Remove(at("(0099,xxxx)")),), (Replace(at("Modality"), "NO SUCH", "x"),)):
        received = Received.of(image, 8192)
        try:
            out = rewritten(received, *operations)
        except Unreadable:
            assert image.path.name == "rtplan_truncated.dcm"
            return
        assert out.is_as_received
        assert whole(out) == data
        assert whole(out) == data


@given(levels, syntaxes, sizes, st.booleans())
def test_what_is_removed_anywhere_is_gone_and_the_rest_stays_as_it_was(
    level: tuple[Node, ...], syntax: str, size: int, with_pixels: bool
) -> None:
    level = (*level, PIXELS) if with_pixels else level
    out = whole(rewritten(Received(syntax, written(level, syntax), size), Remove(at("**.PatientID"))))
    assert out == written(changed(level, 0x00100020, None, anywhere=True), syntax)


@given(levels, syntaxes, sizes)
def test_what_is_set_where_it_is_stands_in_its_place(level: tuple[Node, ...], syntax: str, size: int) -> None:
    out = whole(rewritten(Received(syntax, written(level, syntax), size), Set(at("**.AccessionNumber"), value("A77"))))
    assert out == written(changed(level, 0x00080050, b"A77 ", anywhere=True), syntax)


@given(levels, syntaxes, st.booleans())
def test_what_is_set_and_was_not_there_stands_in_order(level: tuple[Node, ...], syntax: str, with_pixels: bool) -> None:
    level = (*level, PIXELS) if with_pixels else level
    out = whole(rewritten(Received(syntax, written(level, syntax)), Set(at("StudyID"), value("S"))))
    wanted = sorted((*level, Node(0x00200010, "SH", b"S ")), key=lambda node: node.tag)
    assert out == written(tuple(wanted), syntax)


@given(st.binary(max_size=300), st.sampled_from([*SYNTAXES, ENCAPSULATED]), sizes)
def test_garbage_is_refused_by_its_own_error_only(data: bytes, syntax: str, size: int) -> None:
    with contextlib.suppress(NotTransformed):
        whole(rewritten(Received(syntax, data, size), Set(at("PatientName"), value("ü")), Remove(at("**.PatientID"))))


@given(st.sampled_from(SMALL_FILES), st.lists(st.tuples(st.integers(0, 1999), st.integers(0, 255)), max_size=4))
def test_damaged_files_are_refused_by_their_own_error_only(image: Image, damage: list[tuple[int, int]]) -> None:
    data = bytearray(image.dataset())
    for place, byte in damage:
        data[place % len(data)] = byte
    received = Received(image.transfer_syntax_uid, bytes(data), 512)
    operations = (
        Set(at("**.PatientName"), value("山{Modality|}")),
        Remove(at("**.CodeValue")),
        Hash(at("**.PatientID")),
    )
    with contextlib.suppress(NotTransformed):
        whole(rewritten(received, *operations, record=Record(system="BOX")))


@given(levels, st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]), st.data())
def test_a_dataset_cut_off_is_refused_or_ends_with_an_element(
    level: tuple[Node, ...], syntax: str, draw: st.DataObject
) -> None:
    data = written(level, syntax)
    cut = data[: draw.draw(st.integers(0, len(data)))]
    reader = HeadReader(syntax, whole=True)
    try:
        reader.feed(cut)
        reader.finish()
    except ValueError:
        return
    assert reader.end == len(cut)
    assert b"".join(found.data or b"" for found in reader.elements) == cut


def test_pixels_in_fragments_pass_as_they_are() -> None:
    head = written((Node(0x00100020, "LO", b"P1"),), EXPLICIT)
    pixels = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + fragments(
        b"\xff\xd8 one ", b"two!", b"\xfe\xff\xdd\xe0\0\0\0\0"
    )
    tail = written((Node(0xFFFCFFFC, "OB", bytes(8)),), EXPLICIT)
    image = Received(ENCAPSULATED, head + pixels + tail, 5)
    assert whole(rewritten(image, Remove(at("PatientID")))) == pixels + tail
    assert whole(rewritten(image, Remove(at("PatientID")), Remove(at("(FFFC,FFFC)")))) == pixels


def test_private_attributes_behind_the_pixels_are_found() -> None:
    level = (
        PIXELS,
        Node(0x7FE10010, "LO", b"GEMS_Ultrasound_MovieGroup_001"),
        Node(0x7FE11001, "LO", b"PRIVATE "),
        Node(0x7FE11002, "LO", b"KEPT"),
    )
    image = Received(EXPLICIT, written(level, EXPLICIT), 100)
    out = whole(rewritten(image, Remove(at("(7FE1,xx01,GEMS_Ultrasound_MovieGroup_001)"))))
    assert out == written((level[0], level[1], level[3]), EXPLICIT)


def test_text_behind_the_pixels_is_encoded_anew_with_the_rest() -> None:
    level = (
        Node(0x00080005, "CS", b"ISO_IR 100"),
        Node(0x00080080, "LO", "Kö".encode("latin-1") + b" "),
        PIXELS,
        Node(0x7FE10010, "LO", b"ME"),
        Node(0x7FE11001, "LO", "Zürich".encode("latin-1")),
    )
    out = whole(rewritten(Received(EXPLICIT, written(level, EXPLICIT)), Set(at("PatientName"), value("山田"))))
    assert "Zürich".encode() in out
    assert "Kö".encode() in out
    assert "Zürich".encode("latin-1") not in out


def test_a_group_length_stays_right() -> None:
    level = (
        Node(0x00100000, "UL", (20).to_bytes(4, "little")),
        Node(0x00100020, "LO", b"P1"),
        Node(0x00104000, "LT", b"a "),
    )
    image = Received(EXPLICIT, written(level, EXPLICIT))
    out = whole(rewritten(image, Set(at("PatientID"), value("PATIENT"))))
    assert out[8:12] == (26).to_bytes(4, "little")
    out = whole(rewritten(image, Remove(at("PatientID")), Set(at("StudyID"), value("1"))))
    assert out[8:12] == (10).to_bytes(4, "little")


def test_a_private_sequence_of_an_unknown_vr_is_looked_into() -> None:
    inner = written((Node(0x00080050, "SH", b"A1"), Node(0x00100020, "LO", b"P1")), IMPLICIT)
    items = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    data = element(0x00091001, "UN", items) + element(0x00091002, "UN", items[:-2])
    out = whole(rewritten(Received(EXPLICIT, data), Remove(at("**.AccessionNumber"))))
    short = items[:4] + (len(inner) - 10).to_bytes(4, "little") + inner[10:]
    assert out == element(0x00091001, "UN", short) + element(0x00091002, "UN", items[:-2])


def test_a_sequence_of_an_unknown_vr_is_implicit_within() -> None:
    # PS3.5 §6.2.2: UN of undefined length, as a program writes what it does not know.
    inner = written((Node(0x00100020, "LO", b"P1"), Node(0x00080050, "SH", b"A1")), IMPLICIT)
    items = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    data = b"\x10\x00\x02\x10UN\0\0\xff\xff\xff\xff" + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    out = whole(rewritten(Received(EXPLICIT, data), Set(at("OtherPatientIDsSequence.PatientID"), value("PAT1"))))
    assert out == data.replace(inner, inner.replace(b"\x02\0\0\0P1", b"\x04\0\0\0PAT1")).replace(
        items[:8], items[:4] + (len(inner) + 2).to_bytes(4, "little")
    )


def test_an_attribute_that_stands_twice_alike_becomes_one_when_it_is_changed() -> None:
    twice = element(0x00080060, "CS", b"CT") * 2
    image = Received(EXPLICIT, twice + element(0x00100020, "LO", b"P1"))
    assert whole(rewritten(image, Set(at("Modality"), value("MR")))).count(b"CS\x02\0MR") == 1
    assert whole(rewritten(image, Set(at("PatientID"), value("P2")))).startswith(twice)


def test_an_attribute_that_stands_twice_with_two_values_is_refused() -> None:
    data = element(0x00080060, "CS", b"CT") + element(0x00080060, "CS", b"MR")
    with pytest.raises(Unreadable, match="stands twice"):
        rewritten(Received(EXPLICIT, data), Remove(at("PatientID")))


class TestLargeValues:
    DOCUMENT = Node(0x00420011, "OB", bytes(LARGEST_KEPT + 2))
    LEVEL = (Node(0x00100020, "LO", b"P1"), DOCUMENT)

    def test_are_passed_over(self) -> None:
        image = Received(EXPLICIT, written(self.LEVEL, EXPLICIT))
        out = whole(rewritten(image, Set(at("PatientID"), value("P2"))))
        assert out == written((Node(0x00100020, "LO", b"P2"), self.DOCUMENT), EXPLICIT)

    def test_are_passed_over_where_their_vr_is_not_known(self) -> None:
        image = Received(IMPLICIT, written(self.LEVEL, IMPLICIT), 1000)
        out = whole(rewritten(image, Set(at("**.PatientID"), value("P2"))))
        assert out == written((Node(0x00100020, "LO", b"P2"), self.DOCUMENT), IMPLICIT)

    def test_are_looked_into_if_they_are_sequences(self) -> None:
        item = (Node(0x00100020, "LO", b"P1"), Node(0x00104000, "LT", b"x" * 50000))
        for syntax in (EXPLICIT, IMPLICIT):
            level = (Node(0x00091001, "SQ", items=(item,) * 30), self.DOCUMENT)
            out = whole(rewritten(Received(syntax, written(level, syntax), 1000), Remove(at("**.PatientID"))))
            assert out == written((Node(0x00091001, "SQ", items=(item[1:],) * 30), self.DOCUMENT), syntax)

    def test_can_be_removed(self) -> None:
        image = Received(EXPLICIT, written(self.LEVEL, EXPLICIT))
        assert whole(rewritten(image, Remove(at("EncapsulatedDocument")))) == written(self.LEVEL[:1], EXPLICIT)

    def test_cannot_be_read_or_recorded(self) -> None:
        image = Received(EXPLICIT, written(self.LEVEL, EXPLICIT))
        with pytest.raises(TransformFailed, match="too large"):
            rewritten(image, Copy(at("(0043,xx01,ME)"), at("EncapsulatedDocument")))
        with pytest.raises(TransformFailed, match="too large"):
            rewritten(image, Remove(at("EncapsulatedDocument")), record=Record())

    def test_are_there_for_conditions(self) -> None:
        opened = Opened(Received(EXPLICIT, written((*self.LEVEL, PIXELS), EXPLICIT)))
        assert opened.attributes.values(at("EncapsulatedDocument")) == ("…",)
        assert opened.attributes.values(at("PixelData")) == ("…",)
        assert opened.attributes.values(at("PatientID")) == ("P1",)
        assert opened.attributes.values(at("PatientName")) is None


class Gigabyte:
    """An image of a GiB that is nowhere in memory."""

    SIZE = 1 << 30

    def __init__(self, transfer_syntax_uid: str, head: bytes, piece: bytes) -> None:
        self.transfer_syntax_uid = transfer_syntax_uid
        self.length = len(head) + self.SIZE
        self._head = head
        self._piece = memoryview(piece * (self.SIZE // 1024 // len(piece)))

    def chunks(self) -> Iterator[memoryview]:
        yield memoryview(self._head)
        for _ in range(1024):
            yield self._piece


@pytest.mark.parametrize("operation", [Set(at("PatientID"), value("P2")), Remove(at("**.PatientID"))])
def test_a_gigabyte_passes_in_a_few_megabytes(operation: Set | Remove) -> None:
    head = written((Node(0x00100020, "LO", b"P1"),), EXPLICIT)
    image = Gigabyte(EXPLICIT, head + b"\xe0\x7f\x10\x00OW\0\0" + Gigabyte.SIZE.to_bytes(4, "little"), bytes(1 << 20))
    tracemalloc.start()
    try:
        out = Opened(image).rewritten([transform(operation)], key=KEY, now=NOW)
        total = sum(len(piece) for piece in out.chunks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == out.length
    assert total == image.length if isinstance(operation, Set) else image.length - len(head)
    assert peak < 16 << 20


def test_a_deflated_image_comes_out_deflated_and_readable() -> None:
    image = Received(DEFLATED, written((Node(0x00100020, "LO", b"P1"), PIXELS), DEFLATED), 50)
    out = whole(rewritten(image, Set(at("PatientID"), value("P2"))))
    assert out == written((Node(0x00100020, "LO", b"P2"), PIXELS), DEFLATED)


def test_a_damaged_deflated_image_is_refused() -> None:
    data = written((Node(0x00100020, "LO", b"P1"), PIXELS), DEFLATED)
    for broken in (data[: len(data) // 2], b"\xff" * 40, b""):
        with pytest.raises(Unreadable):
            rewritten(Received(DEFLATED, broken), Set(at("PatientID"), value("P2")))


def test_only_the_attributes_are_read_before_the_first_byte_leaves() -> None:
    image = Received(EXPLICIT, dataset(CT, "1.2.3", pixels=1 << 20), 4096)
    out = rewritten(image, Set(at("PatientName"), value("A")))
    assert image.reads == 4096
    whole(out)
    assert image.reads == image.length
    whole(out)
    assert image.reads == 2 * image.length


def test_a_value_too_long_for_explicit_vr_is_refused_by_name() -> None:
    image = Received(EXPLICIT, written((Node(0x00081030, "LO", b"A"),), EXPLICIT))
    many = "\\".join(["X" * 60] * 1100)
    with pytest.raises(NotTransformed, match=r"\(0010,1000\) cannot be written: 67100 bytes"):
        rewritten(image, Set(at("OtherPatientIDs"), value(many)))


def test_attributes_beyond_bounds_are_refused_before_they_are_read() -> None:
    head = b"\x40\x00\x75\x02SQ\0\0" + (LONGEST_HEAD + 2).to_bytes(4, "little")
    image = Received(EXPLICIT, head + bytes(100_000), 1000)
    with pytest.raises(Unreadable, match=f"more than {LONGEST_HEAD >> 20} MiB"):
        Opened(image)
    assert image.reads == 1000


def test_nested_beyond_bounds_is_refused() -> None:
    open_ended = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    with pytest.raises(Unreadable, match="nested too deeply"):
        Opened(Received(EXPLICIT, open_ended * 1000))


def test_what_is_sent_is_not_in_splinters() -> None:
    image = Received(EXPLICIT, dataset(CT, "1.2.3", pixels=1 << 20))
    operations = [Set(at(f"(0010,{number:04X})"), value("x"), "LO") for number in (0x0020, 0x0021, 0x2154, 0x4000)]
    pieces = [len(piece) for piece in rewritten(image, *operations, Remove(at("Modality"))).chunks()]
    assert len(pieces) == 2 + (1 << 20) // (1 << 16)


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED])
def test_it_is_sent_as_any_other_image(syntax: str) -> None:
    image = Received(syntax, written((Node(0x00100020, "LO", b"P1"), PIXELS), syntax), 333)
    out = rewritten(image, Set(at("PatientID"), value("P2")))
    sent = b"".join(bytes(part) for parts, _ in data_set_pdus(out.chunks(), out.length, 1, 100) for part in parts)
    reader, received = PduReader(), b""
    for start in range(0, len(sent), 1000):
        room = reader.room()
        piece = sent[start : start + 1000]
        room[: len(piece)] = piece
        reader.filled(len(piece))
        while isinstance(found := reader.next(), Fragment):
            received += bytes(found.data)
    assert received == whole(out)
