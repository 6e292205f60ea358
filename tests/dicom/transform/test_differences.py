"""What differs between two datasets, put into the bytes of the first, makes those of the second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from capacitord.dicom.head import LARGEST_KEPT, HeadReader
from capacitord.dicom.splice import applied, cuts
from capacitord.dicom.transform.differences import edits
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import dataset_of, items_of, shallow
from tests.dicom.samples import BIG_ENDIAN, EXPLICIT, IMPLICIT
from tests.dicom.trees import Node, levels, written

syntaxes = st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN])
LATIN = Node(0x00080005, "CS", b"ISO_IR 100")
PIXELS = Node(0x7FE00010, "OW", bytes(range(256)))


def _head(data: bytes, syntax: str) -> HeadReader:
    head = HeadReader(syntax, whole=True)
    head.feed(data)
    head.finish()
    return head


def _read(data: bytes, syntax: str) -> Dataset:
    head = _head(data, syntax)
    return dataset_of(head.elements, head.encoding)


def _changed(data: bytes, syntax: str, before: Dataset, after: Dataset) -> bytes:
    head = _head(data, syntax)
    return applied(data, cuts(head.elements, edits(before, after), head.encoding, head.end))


def _set(level: Dataset, tag: int, vr: str, value: object) -> None:
    level[BaseTag(tag)] = DataElement(BaseTag(tag), vr, value)


@given(levels, syntaxes)
def test_nothing_differs_from_itself(level: tuple[Node, ...], syntax: str) -> None:
    before = _read(written(level, syntax), syntax)
    assert edits(before, shallow(before)) == ()


@given(levels, syntaxes, st.sets(st.integers(0, 9)))
def test_what_is_gone_is_cut_out(level: tuple[Node, ...], syntax: str, gone: set[int]) -> None:
    data = written(level, syntax)
    before = _read(data, syntax)
    after = shallow(before)
    for number in gone & set(range(len(level))):
        del after[level[number].tag]
    wanted = tuple(node for number, node in enumerate(level) if number not in gone)
    assert _changed(data, syntax, before, after) == written(wanted, syntax)


@given(levels, syntaxes)
def test_what_is_new_or_other_is_put_in(level: tuple[Node, ...], syntax: str) -> None:
    data = written(level, syntax)
    before = _read(data, syntax)
    after = shallow(before)
    _set(after, 0x00100020, "LO", "CODE")
    _set(after, 0x00120062, "CS", "YES")
    rest = [node for node in level if node.tag != 0x00100020]
    wanted = [*rest, Node(0x00100020, "LO", b"CODE"), Node(0x00120062, "CS", b"YES ")]
    assert _changed(data, syntax, before, after) == written(tuple(sorted(wanted, key=lambda node: node.tag)), syntax)


@given(levels, levels, syntaxes)
def test_one_dataset_becomes_another(one: tuple[Node, ...], other: tuple[Node, ...], syntax: str) -> None:
    data = written(one, syntax)
    before, after = _read(data, syntax), _read(written(other, syntax), syntax)
    assert _read(_changed(data, syntax, before, after), syntax) == after


def test_a_sequence_in_which_something_changed_is_one_edit() -> None:
    inner = (Node(0x00080050, "SH", b"A1"), Node(0x00100020, "LO", b"P1"))
    level = (Node(0x00081110, "SQ", items=(inner, inner), open_ended=True), PIXELS)
    data = written(level, EXPLICIT)
    before = _read(data, EXPLICIT)
    after = shallow(before)
    items = [shallow(item) for item in items_of(shallow(before), 0x00081110)]
    del items[1][0x00100020]
    _set(after, 0x00081110, "SQ", Sequence(items))
    assert [edit.path for edit in edits(before, after)] == [(0x00081110,)]
    wanted = (Node(0x00081110, "SQ", items=(inner, inner[:1])), PIXELS)
    assert _changed(data, EXPLICIT, before, after) == written(wanted, EXPLICIT)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_text_is_encoded_anew_in_another_character_set(syntax: str) -> None:
    umlaut, name = "Kö".encode("latin-1") + b" ", "Müller".encode("latin-1")
    own = (LATIN, Node(0x00100010, "PN", name))
    inner = (Node(0x00080080, "LO", umlaut), Node(0x00100020, "LO", b"P1"))
    level = (
        LATIN,
        Node(0x00080080, "LO", umlaut),
        Node(0x00081110, "SQ", items=(inner, own)),
        Node(0x00081140, "SQ", items=((Node(0x00100020, "LO", b"P1"),),), open_ended=True),
        Node(0x00100010, "PN", name),
        PIXELS,
    )
    data = written(level, syntax)
    before = _read(data, syntax)
    after = shallow(before)
    _set(after, 0x00080005, "CS", "ISO_IR 192")
    _set(after, 0x00100020, "LO", "山田")
    utf = Node(0x00080080, "LO", "Kö ".encode())
    wanted = (
        Node(0x00080005, "CS", b"ISO_IR 192"),
        utf,
        Node(0x00081110, "SQ", items=((utf, Node(0x00100020, "LO", b"P1")), own)),
        level[3],
        Node(0x00100010, "PN", "Müller ".encode()),
        Node(0x00100020, "LO", "山田".encode()),
        PIXELS,
    )
    changed = _changed(data, syntax, before, after)
    assert [edit.path[0] for edit in edits(before, after)] == [
        0x00080005,
        0x00080080,
        0x00081110,
        0x00100010,
        0x00100020,
    ]
    assert changed == written(wanted, syntax)


def test_a_value_too_large_to_be_kept_can_be_cut_out() -> None:
    large = Node(0x00420011, "OB", bytes(LARGEST_KEPT + 2))
    data = written((LATIN, large, PIXELS), EXPLICIT)
    before = _read(data, EXPLICIT)
    after = shallow(before)
    del after[0x00420011]
    assert _changed(data, EXPLICIT, before, after) == written((LATIN, PIXELS), EXPLICIT)
    _set(after, 0x00420011, "OB", b"\0\0")
    wanted = (LATIN, Node(0x00420011, "OB", b"\0\0"), PIXELS)
    assert _changed(data, EXPLICIT, before, after) == written(wanted, EXPLICIT)


def test_a_value_that_is_not_there_cannot_be_copied() -> None:
    before, after = Dataset(), Dataset()
    after[BaseTag(0x00420011)] = RawDataElement(BaseTag(0x00420011), "OB", 1 << 21, None, 0, False, True)
    with pytest.raises(Unfit, match="too large"):
        edits(before, after)
