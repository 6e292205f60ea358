"""What the fuzzers throw at the code that changes images: datasets with a few pixels in every transfer syntax.

Whatever the bytes are, they leave as they came, or changed, or they are held with a reason. Nothing else is raised.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Sequence
from typing import Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from capacitord.dicom.deidentify.jpeg import walk_jpeg, walk_jpeg_ls
from capacitord.dicom.deidentify.jpeg2000 import walk_j2k
from capacitord.dicom.deidentify.markers import Unclear
from capacitord.dicom.forms import Form
from capacitord.dicom.outgoing import Came, Keys, Recipe
from capacitord.dicom.produce import AsReceived, InMemory, NotProduced, produce
from capacitord.dicom.rewriting import Opened
from capacitord.dicom.splice import applied
from capacitord.dicom.transcode.syntaxes import EXPLICIT_UID, SOURCES
from capacitord.model.attribute import Attribute, parse
from capacitord.model.compression import Compression
from capacitord.model.deidentify import Deidentification, Option
from capacitord.model.transform import Clean, Copy, Hash, On, Prefix, Record, Remove, Set, Transform, template
from tests.dicom.transcode import kit
from tests.dicom.transcode.decoders import BASELINE, HTJ2K, J2K, JPEG_LS, SV1

KEYS: Final = Keys(b"h" * 32, b"c" * 32)
NOW: Final = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)
CAME: Final = Came("SCANNER", "FLUXBOX", NOW)
INSTANCE: Final = "1.2.3"
SYNTAXES: Final = tuple(SOURCES)
"""The first byte of an input says in which of these it is, the second how it is to leave."""


def _at(text: str) -> Attribute:
    return parse(text, pydicom.datadict.tag_for_keyword)


def _value(text: str) -> Set:
    return Set(_at("InstitutionName"), template(text, pydicom.datadict.tag_for_keyword))


CHANGES: Final = Transform(
    "fuzz",
    On.OUTBOUND,
    (
        _value("Łódź {Modality|none}"),
        Remove(_at("**.(0029,xxxx)")),
        Copy(_at("StudyID"), _at("AccessionNumber")),
        Clean(_at("**.PatientName")),
        Hash(_at("**.PatientID")),
        Prefix(_at("StudyDescription"), "x"),
    ),
    record=Record(system="FLUXBOX"),
)
CHANGING: Final = Recipe("pacs", "UTC", outbound=(CHANGES,))
NAMELESS: Final = tuple(
    Recipe("pacs", "UTC", deidentifications=(Deidentification(options),))
    for options in (
        (),
        (Option.RETAIN_LONGITUDINAL_MODIFIED, Option.RETAIN_SAFE_PRIVATE),
        (Option.CLEAN_DESCRIPTORS, Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_GRAPHICS),
    )
)
TARGETS: Final = tuple(kit.EVERYTHING.values())
WALKS: Final = (walk_jpeg, walk_jpeg_ls, walk_j2k)


def rewriting(data: bytes) -> None:
    """What a transform makes of any bytes is written, and says what it says."""
    made = _made(data, CHANGING)
    if made is None:
        return
    syntax, written = made
    again = Opened(InMemory(syntax, memoryview(written)))
    (name,) = again.attributes.values(_at("InstitutionName")) or ("",)
    assert name.startswith("Łódź ")


def deidentify(data: bytes) -> None:
    """Any bytes are de-identified, or held."""
    if len(data) > 1:
        _made(data, NAMELESS[data[1] % len(NAMELESS)])


def markers(data: bytes) -> None:
    """Of any frame so much is cut out that nothing is left to be cut out, or it is refused."""
    if not data:
        return
    walk = WALKS[data[0] % len(WALKS)]
    try:
        walked = walk(data[1:])
        left = applied(data[1:], walked.cuts)
    except Unclear:
        return
    assert len(left) <= len(data)
    again = walk(left)
    assert again.cuts == []
    assert not any(left[again.end :])


def transcode(data: bytes) -> None:
    """Any bytes are written in another syntax, from which they can be read again, or held."""
    if len(data) < 2:
        return
    wanted = TARGETS[data[1] % len(TARGETS)]
    plain = Recipe("pacs", "UTC", compress=wanted)
    made = _made(data, plain, [Form(wanted.transfer_syntax, wanted)])
    if made is None or wanted.transfer_syntax in kit.NATIVE:
        # What is inside an attribute of unknown VR nobody looks at, where it is only copied.
        return
    syntax, written = made
    native = Form(EXPLICIT_UID, Compression(EXPLICIT_UID))
    assert _produced(syntax, written, Recipe("pacs", "UTC"), [native]) is not None


def _made(data: bytes, what: Recipe, wanted: Sequence[Form] = ()) -> tuple[str, bytes] | None:
    if len(data) < 2:
        return None
    syntax = SYNTAXES[data[0] % len(SYNTAXES)]
    return _produced(syntax, data[2:], what, wanted or [Form(syntax)])


def _produced(syntax: str, data: bytes, what: Recipe, wanted: Sequence[Form]) -> tuple[str, bytes] | None:
    image = InMemory(syntax, memoryview(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = produce(image, INSTANCE, what, CAME, wanted, keys=KEYS, now=NOW)
        except NotProduced:
            return None
    if isinstance(made, AsReceived):
        return None
    written = b"".join(made.pieces)
    assert len(written) == made.length
    return made.transfer_syntax_uid, written


def _seeds() -> tuple[bytes, ...]:
    small = kit.Kind(rows=4, columns=6)
    sample = kit.dataset(small, kit.native(small, kit.pixels(small)), SpecificCharacterSet="ISO_IR 100")
    sample.PatientName, sample.PatientID, sample.StudyDescription = "Müller^Jörg", "P-1", "Head"
    sample.BurnedInAnnotation, sample.StudyDate, sample.AccessionNumber = "NO", "20260101", "A1"
    sample.RequestAttributesSequence = [Dataset()]
    sample.RequestAttributesSequence[0].ScheduledProcedureStepID = "S1"
    explicit = kit.encoded(sample)
    seeds = [(kit.encoded(sample, uid), uid) for uid in SYNTAXES[:3]]
    seeds += [(kit.transcoded(explicit, EXPLICIT_UID, how)[1], uid) for uid, how in kit.LOSSLESS.items()]
    return tuple(
        bytes((SYNTAXES.index(uid), target)) + data
        for number, (data, uid) in enumerate(seeds)
        for target in (0, number)
    )


SEEDS: Final = _seeds()
"""Inputs worth beginning with."""


def _frames() -> tuple[bytes, ...]:
    """Return a frame of each walk, and one that has more than it needs: comments, tables, lengths of packets."""
    small = kit.image(kit.Kind(rows=4, columns=6, allocated=8, stored=8))
    # Nothing is compressed with loss that does not get smaller by it.
    larger = kit.image(kit.Kind(rows=48, columns=48, allocated=8, stored=8))
    texts = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xee\0\x0eAdobe\0d\0\0\0\0\1\xff\xfe\0\7Erika"
    found = []
    for which, uid in ((0, SV1), (0, BASELINE), (1, JPEG_LS), (2, J2K), (2, HTJ2K)):
        written = kit.read(kit.transcoded(larger if uid == BASELINE else small, EXPLICIT_UID, kit.EVERYTHING[uid])[1])
        frame = next(generate_frames(written.PixelData, number_of_frames=1))
        at = frame.index(b"\xff\x90") if which == 2 else 2
        length = int.from_bytes(frame[at + 6 : at + 10], "big") + 9
        found.append(bytes((which,)) + frame[:at] + b"\xff\xdb\0\x43\3" + b"Erika^^^" * 8 + frame[at:])
        more = frame[:at] + b"\xff\x55\0\x09Erika^^\xff\x63\0\7Erika" + frame[at : at + 6] + length.to_bytes(4, "big")
        found.append(bytes((which,)) + more + frame[at + 10 : at + 12] + b"\xff\x58\0\7Erika" + frame[at + 12 :])
        found += [bytes((which,)) + frame, bytes((which,)) + frame[:2] + texts * (which < 2) + frame[2:] + b"Erika"]
    return tuple(found)


FRAMES: Final = _frames()
"""Frames worth beginning with."""
