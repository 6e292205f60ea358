"""What is told of two images that differ."""

from __future__ import annotations

from capacitord.api.trial import Changed
from capacitord.dicom.telling import differing
from tests.dicom.samples import EXPLICIT
from tests.dicom.transform.kit import Received
from tests.dicom.trees import Node, written


def recorded(when: bytes, system: bytes) -> Received:
    item = (Node(0x04000562, "DT", when), Node(0x04000563, "LO", system))
    return Received(EXPLICIT, written((Node(0x00100020, "LO", b"P1"), Node(0x04000561, "SQ", items=(item,))), EXPLICIT))


def told(before: Received, after: Received) -> list[str]:
    found: tuple[Changed, ...] = differing(before, after, "write")
    return [each.tag for each in found]


def test_the_time_of_a_record_that_both_have_is_no_change() -> None:
    noon = recorded(b"20261122120000", b"BOX ")
    assert told(noon, recorded(b"20261122120001", b"BOX ")) == []
    assert told(noon, recorded(b"20261122120001", b"BOX2")) == ["(0400,0561)[1].(0400,0563)"]


def test_a_record_that_is_new_is_a_change() -> None:
    bare = Received(EXPLICIT, written((Node(0x00100020, "LO", b"P1"),), EXPLICIT))
    assert told(bare, recorded(b"20261122120000", b"BOX ")) == ["(0400,0561)"]
