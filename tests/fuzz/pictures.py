"""What the fuzzer throws at the code that makes pictures: whatever the bytes are, a picture or a reason comes of it."""

from __future__ import annotations

import struct
from typing import Final

from pydicom.dataset import Dataset

from capacitord.dicom.preview.engine import NotShown, picture
from capacitord.dicom.preview.png import decoded
from capacitord.dicom.transcode.syntaxes import EXPLICIT_UID
from tests.dicom.transcode import kit
from tests.fuzz.images import SYNTAXES

SIZE: Final = 8


def preview(data: bytes) -> None:
    """Any bytes are a picture within its bounds, or there is none and it is said why."""
    if len(data) < 3:
        return
    syntax, frame, window = SYNTAXES[data[0] % len(SYNTAXES)], data[1], "" if data[2] & 1 else "full"
    try:
        made = picture(memoryview(data)[3:], syntax, size=SIZE, frame=frame, window=window)
    except NotShown:
        return
    assert decoded(made.png).shape[:2] == (made.height, made.width)
    assert max(made.height, made.width) <= SIZE
    assert 1 <= made.frame <= made.frames


def _samples() -> list[Dataset]:
    grey = kit.Kind(rows=4, columns=6, frames=2, stored=12)
    colours = kit.Kind(rows=4, columns=6, samples=3, photometric="RGB", allocated=8, stored=8)
    indexed = kit.Kind(rows=4, columns=6, photometric="PALETTE COLOR", allocated=8, stored=8)
    found = [kit.dataset(kind, kit.native(kind, kit.pixels(kind))) for kind in (grey, colours, indexed)]
    found[0].WindowCenter, found[0].WindowWidth, found[0].VOILUTFunction = [40, 50], [400, 80], "SIGMOID"
    found[0].RescaleSlope, found[0].RescaleIntercept, found[0].PixelPaddingValue = 2, -1000, 0
    table, group = Dataset(), Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 8], struct.pack("<4H", 0, 50, 100, 255)
    table["LUTData"].VR = "OW"
    found[0].VOILUTSequence = [table]
    group.FrameVOILUTSequence = [Dataset()]
    found[0].PerFrameFunctionalGroupsSequence = [group, Dataset()]
    for colour in ("Red", "Green", "Blue"):
        delattr(found[2], f"{colour}PaletteColorLookupTableData")
        setattr(found[2], f"{colour}PaletteColorLookupTableDescriptor", [9, 0, 8])
        segments = struct.pack("<9BL", 0, 2, 9, 200, 1, 4, 10, 2, 1, 4) + b"\0"
        setattr(found[2], f"Segmented{colour}PaletteColorLookupTableData", segments)
    return found


def _seeds() -> tuple[bytes, ...]:
    seeds = []
    for sample in _samples():
        plain = kit.encoded(sample)
        seeds += [(kit.encoded(sample, uid), uid) for uid in SYNTAXES[:2]]
        for uid, how in kit.LOSSLESS.items():
            if kit.refusal(plain, EXPLICIT_UID, how) is None:
                seeds.append((kit.transcoded(plain, EXPLICIT_UID, how)[1], uid))
    return tuple(
        bytes((SYNTAXES.index(uid), number % 3, number % 2)) + data for number, (data, uid) in enumerate(seeds)
    )


SEEDS: Final = _seeds()
"""Inputs worth beginning with."""
