"""What a transform may change: not which image it is or what it refers to, nor how its bytes are to be read."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from capacitord.model.attribute import Attribute, NotAllowed, Step

_IDENTITY: Final = MappingProxyType(
    {
        0x00041510: "Referenced SOP Class UID in File",
        0x00041511: "Referenced SOP Instance UID in File",
        0x00080016: "SOP Class UID",
        0x00080018: "SOP Instance UID",
        0x0008001A: "Related General SOP Class UID",
        0x0008001B: "Original Specialized SOP Class UID",
        0x00080058: "Failed SOP Instance UID List",
        0x00081150: "Referenced SOP Class UID",
        0x00081155: "Referenced SOP Instance UID",
        0x00081167: "Multi-frame Source SOP Instance UID",
        0x0018991E: "Target Frame of Reference UID",
        0x0020000D: "Study Instance UID",
        0x0020000E: "Series Instance UID",
        0x00200052: "Frame of Reference UID",
        0x00200200: "Synchronization Frame of Reference UID",
        0x00200242: "SOP Instance UID of Concatenation Source",
        0x00209161: "Concatenation UID",
        0x00209312: "Volume Frame of Reference UID",
        0x00209313: "Table Frame of Reference UID",
        0x00280304: "Referenced Color Palette Instance UID",
        0x00640003: "Source Frame of Reference UID",
        0x30060024: "Referenced Frame of Reference UID",
        0x300600C2: "Related Frame of Reference UID",
        0x300A0013: "Dose Reference UID",
        0x300A0083: "Referenced Dose Reference UID",
        0x300A0675: "Equipment Frame of Reference UID",
    }
)
"""UIDs by which instances are known, belong together or refer to each other: all that others may point at."""
_CHARACTER_SET: Final = 0x00080005
_PIXELS: Final = (
    0x00280002,
    0x00280004,
    0x00280006,
    0x00280008,
    0x00280009,
    *range(0x00280010, 0x00280012),
    *range(0x00280100, 0x00280104),
    *range(0x00281101, 0x00281104),
    *range(0x00281201, 0x00281204),
    *range(0x00281221, 0x00281224),
)
"""How pixel data is built: samples, rows, columns, frames, bits, sign and palettes (PS3.3 §C.7.6.3, §C.7.9)."""
_UNTOUCHABLE_GROUPS: Final = MappingProxyType(
    {
        0x0000: "command elements",
        0x0002: "file meta information",
        0x7FE0: "pixel data",
        0xFFFE: "item delimiters",
    }
)
_NOT_BUILT: Final = "A transform changes attributes, not how a dataset is built."
_FIRST_BLOCK: Final = 0x10


def check_target(target: Attribute) -> None:
    """Raise `NotAllowed` if no operation may change `target`, at whatever depth it is."""
    step = target.steps[-1]
    for tag, words in _IDENTITY.items():
        if _may_be(step, tag):
            msg = f"{target.text} would change the {words}"
            raise NotAllowed(
                msg, "A transform never changes which image it is, or what refers to it; name other attributes."
            )
    if _may_be(step, _CHARACTER_SET):
        msg = f"{target.text} would change the Specific Character Set"
        raise NotAllowed(msg, "It follows from the text: a set that holds it is chosen where that is needed.")
    for group, words in _UNTOUCHABLE_GROUPS.items():
        if _may_be_in(step, group):
            msg = f"{target.text} would change {words}"
            raise NotAllowed(msg, _NOT_BUILT)
    if any(_may_be(step, tag) for tag in _PIXELS):
        msg = f"{target.text} would change pixel data"
        raise NotAllowed(msg, _NOT_BUILT)
    if not step.creator and step.mask & 0xFFFF == 0xFFFF and not step.tag & 0xFFFF:
        msg = f"{target.text} would change a group length"
        raise NotAllowed(msg, _NOT_BUILT)
    _check_private_creator(target)


def _check_private_creator(target: Attribute) -> None:
    """Raise `NotAllowed` for the element alone that says whose a private block is (PS3.5 §7.8.1)."""
    step = target.steps[-1]
    private = step.mask & step.tag & 0x00010000
    alone = step.mask & 0xFF00 == 0xFF00 and not step.tag & 0xFF00 and (step.tag | ~step.mask) & 0xFF >= _FIRST_BLOCK
    if private and alone and not step.creator:
        msg = f"{target.text} would change a private creator, which says whose a block is"
        raise NotAllowed(msg, f"Remove the block with it: ({step.tag >> 16:04x},xxxx,CREATOR).")


def _may_be(step: Step, tag: int) -> bool:
    return not step.creator and step.matches(tag)


def _may_be_in(step: Step, group: int) -> bool:
    return not (step.tag >> 16 ^ group) & step.mask >> 16
