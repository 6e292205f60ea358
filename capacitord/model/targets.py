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
_REFERENCES: Final = (
    0x00081110,  # Referenced Study Sequence
    0x00081111,  # Referenced Performed Procedure Step Sequence
    0x00081112,  # Referenced Instances by SOP Class Sequence
    0x00081115,  # Referenced Series Sequence
    0x00081120,  # Referenced Patient Sequence
    0x00081125,  # Referenced Visit Sequence
    0x00081134,  # Referenced Stereometric Instance Sequence
    0x0008113A,  # Referenced Waveform Sequence
    0x00081140,  # Referenced Image Sequence
    0x0008114A,  # Referenced Instance Sequence
    0x0008114B,  # Referenced Real World Value Mapping Instance Sequence
    0x00081199,  # Referenced SOP Sequence
    0x00081200,  # Studies Containing Other Referenced Instances Sequence
    0x00082112,  # Source Image Sequence
    0x00089092,  # Referenced Image Evidence Sequence
    0x00089121,  # Referenced Raw Data Sequence
    0x00089124,  # Derivation Image Sequence
    0x00089154,  # Source Image Evidence Sequence
    0x00089237,  # Referenced Presentation State Sequence
    0x00189506,  # Contributing Sources Sequence
    0x00209172,  # Conversion Source Attributes Sequence
    0x00221330,  # Referenced Ophthalmic Axial Length Measurement QC Image Sequence
    0x003A020A,  # Source Waveform Sequence
    0x00400220,  # Referenced Non-Image Composite SOP Instance Sequence
    0x00409094,  # Referenced Image Real World Value Mapping Sequence
    0x0040A360,  # Predecessor Documents Sequence
    0x0040A370,  # Referenced Request Sequence
    0x0040A375,  # Current Requested Procedure Evidence Sequence
    0x0040A385,  # Pertinent Other Evidence Sequence
    0x0040A525,  # Identical Documents Sequence
    0x0040A730,  # Content Sequence
    0x00420013,  # Source Instance Sequence
    0x00640002,  # Deformable Registration Sequence
    0x0066002E,  # Segment Surface Source Instance Sequence
    0x00700308,  # Registration Sequence
    0x00700402,  # Blending Sequence
    0x00700404,  # Referenced Spatial Registration Sequence
    0x00820005,  # Referenced Comparison SOP Instance Sequence
    0x04000403,  # Referenced SOP Instance MAC Sequence
    0x3002011E,  # Referenced Baseline Parameters RT Radiation Instance Sequence
    0x30020132,  # Referenced Position Reference Instance Sequence
    0x30060010,  # Referenced Frame of Reference Sequence
    0x30060012,  # RT Referenced Study Sequence
    0x30060014,  # RT Referenced Series Sequence
    0x30060016,  # Contour Image Sequence
    0x30060018,  # Predecessor Structure Set Sequence
    0x30080030,  # Referenced Treatment Record Sequence
    0x300A0401,  # Referenced Setup Image Sequence
    0x300A0630,  # Referenced RT Radiation Sequence
    0x300A0631,  # Referenced RT Instance Sequence
    0x300A063B,  # Referenced RT Physician Intent Sequence
    0x300A0702,  # Referenced RT Radiation Set Sequence
    0x300A0703,  # Referenced RT Radiation Record Sequence
    0x300C0002,  # Referenced RT Plan Sequence
    0x300C0040,  # Referenced Verification Image Sequence
    0x300C0042,  # Referenced Reference Image Sequence
    0x300C0060,  # Referenced Structure Set Sequence
    0x300C0080,  # Referenced Dose Sequence
    0x3010004A,  # Referenced Direct Segment Instance Sequence
    0x40101077,  # Referenced TDR Instance Sequence
    0x52009229,  # Shared Functional Groups Sequence
    0x52009230,  # Per-Frame Functional Groups Sequence
)
"""Sequences from which references to other instances hang, or the sequences with these (PS3.3 §10.8, table 10-11)."""
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


def refers(target: Attribute) -> bool:
    """Return whether `target` may be a sequence of the standard that is there to refer to other instances."""
    return any(_may_be(target.steps[-1], tag) for tag in _REFERENCES)


def check_replaced(target: Attribute) -> None:
    """Raise `NotAllowed` if `target` is a sequence that refers to other instances, which nothing takes the place of."""
    if refers(target):
        msg = f"{target.text} refers to other instances, and a copy would take the place of that"
        raise NotAllowed(msg, "A transform never changes what refers to what; copy to another attribute.")


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
