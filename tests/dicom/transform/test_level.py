"""The VR of a private element is found without looking at all the others."""

from __future__ import annotations

from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from capacitord.dicom.transform.level import blocks_of, creators, known_vr, vr_of

CREATOR = "GEMS_IDEN_01"


class Looked(Dataset):
    """A dataset that counts how often somebody goes through all its elements."""

    passes = 0

    def keys(self) -> Any:
        Looked.passes += 1
        return super().keys()


def raw(tag: int, value: bytes) -> RawDataElement:
    return RawDataElement(BaseTag(tag), None, len(value), value, 0, is_implicit_VR=True, is_little_endian=True)


def level(count: int) -> Looked:
    elements = {0x00090010: raw(0x00090010, CREATOR.encode() + b"\0 ")}
    elements |= {tag: raw(tag, b"x") for tag in range(0x00091000, 0x00091000 + count)}
    return Looked({BaseTag(tag): element for tag, element in elements.items()})


def test_the_vr_of_every_private_element_is_known_without_a_pass_over_the_level() -> None:
    found = level(0x100)
    before = Looked.passes
    vrs = {vr_of(found, tag) for tag in range(0x00091000, 0x00091100)}
    assert Looked.passes == before
    assert {"LO", "UN"} < vrs
    assert known_vr(found, 0x00091001) == "LO"


def test_a_block_nobody_reserved_has_no_vrs() -> None:
    found = level(1)
    assert known_vr(found, 0x00091101) == known_vr(found, 0x00090101) == known_vr(found, 0x00110001) == ""
    assert creators(found, 0x0009) == {0x10: CREATOR}
    assert blocks_of(found, 0x0009, CREATOR) == [0x10]
    assert blocks_of(found, 0x0011, CREATOR) == []
