"""One image made as a destination is to get it: attributes changed, then written in a transfer syntax it accepts.

This is the work that takes long, done in a process of its own. It reads and writes memory and nothing else.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import imagecodecs
from pydicom.dataset import Dataset

from capacitord.dicom.contexts import syntax_name
from capacitord.dicom.deidentify.codes import Codes
from capacitord.dicom.deidentify.engine import NotDeidentified, deidentified
from capacitord.dicom.deidentify.private import safe
from capacitord.dicom.deidentify.words import Identity, terms, vocabulary
from capacitord.dicom.forms import Form
from capacitord.dicom.outgoing import Came, Changed, Keys, Recipe, changed
from capacitord.dicom.rewriting import Opened
from capacitord.dicom.transcode.engine import NotTranscoded, Written, transcode
from capacitord.dicom.transform.draft import Edit
from capacitord.dicom.transform.failure import NotTransformed, TransformFailed
from capacitord.dicom.transform.level import declared
from capacitord.model.codes import Code, Kind
from capacitord.model.compression import Compression
from capacitord.model.deidentify import Deidentification, Option
from capacitord.model.reasons import Reason

Piece = bytes | memoryview

NO_FORM: Final = "It cannot be written as the destination accepts it."
_STEP: Final = 1 << 20
_CODECS: Final = (
    *("jpeg8_decode", "jpeg8_encode", "jpegls_decode", "jpegls_encode", "jpeg2k_decode", "jpeg2k_encode"),
    *("htj2k_encode", "packbits_decode", "packbits_encode", "png_encode"),
)
"""Functions whose libraries are loaded when they are first named."""

_CREATED: Final = (0x00080012, 0x00080013)
"""Instance Creation Date and Time."""


class NotProduced(Exception):
    """An image cannot leave in any form it may: a sentence for a person, without anything of the image.

    `held` is which reason to hold it that is.
    """

    def __init__(self, why: str, held: Reason = Reason.NOT_WRITABLE) -> None:
        super().__init__(why)
        self.held = held


class Product(NamedTuple):
    """An image as it is to leave: its bytes in pieces, `length` in all.

    `codes` are those that a de-identified one tells its patient and study by, and the UID of one that was derived with
    loss, which stands for that of the image. `without` are sentences: what the profile lets it leave without.
    """

    transfer_syntax_uid: str
    sop_instance_uid: str
    pieces: Sequence[Piece]
    length: int
    codes: tuple[Code, ...] = ()
    without: tuple[str, ...] = ()


class AsReceived(NamedTuple):
    """An image stays as it is, `without` what the profile asks for and lets it leave without."""

    without: tuple[str, ...] = ()


class InMemory:
    """An image whose bytes are all in memory."""

    def __init__(self, transfer_syntax_uid: str, data: memoryview) -> None:
        self.transfer_syntax_uid, self.data, self.length = transfer_syntax_uid, data, len(data)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes in pieces."""
        for start in range(0, self.length, _STEP):
            yield self.data[start : start + _STEP]


def load() -> None:
    """Load what would be loaded with the first image, so that later no file needs to be opened."""
    for name in _CODECS:
        getattr(imagecodecs, name)
    vocabulary()
    terms()
    safe()
    # A name is looked for as it is written in several encodings.
    Identity(["Anybody"], ())
    sample = Dataset()
    sample.PatientName, sample.StudyDescription, sample.SOPClassUID = "A", "CT of the head", "1.2"
    sample.ContentSequence = [Dataset()]
    for option in Option:
        with contextlib.suppress(NotDeidentified):
            deidentified(sample, Deidentification((option,)), codes=Codes(bytes(32), "none"))


def produce(
    image: InMemory,
    sop_instance_uid: str,
    what: Recipe,
    came: Came,
    wanted: Sequence[Form],
    *,
    keys: Keys,
    now: dt.datetime,
) -> Product | AsReceived:
    """Return an image as it is to leave, in the first of the forms it can be written in.

    A form without `how` is the last that is tried. Raises `NotProduced`.
    """
    become = attributes_changed(image, sop_instance_uid, what, came, keys=keys, now=now)
    data, uid, codes = image.data, sop_instance_uid, () if become is None else become.codes
    if become is not None and not become.image.is_as_received:
        data, uid = memoryview(b"".join(become.image.chunks())), become.sop_instance_uid
    without = () if become is None else left_out(become)
    refused: dict[str, list[str]] = {}
    for syntax, how in wanted:
        if how is None:
            same = data is image.data
            if same:
                return AsReceived(without)
            return Product(image.transfer_syntax_uid, uid, [data], len(data), codes, without)
        try:
            written = _written(data, image.transfer_syntax_uid, how, came)
        except NotTranscoded as error:
            refused.setdefault(str(error), []).append(syntax_name(syntax))
            continue
        if written.lossy:
            if become is not None and become.is_deidentified:
                written = _without_creation(written)
            codes = (*codes, Code(Kind.IMAGE, written.sop_instance_uid))
        return Product(syntax, written.sop_instance_uid or uid, written.dataset, written.length, codes, without)
    reasons = " ".join(f"{', '.join(names)}: {why}" for why, names in refused.items())
    raise NotProduced(f"{NO_FORM} {reasons}")


def attributes_changed(
    image: InMemory, sop_instance_uid: str, what: Recipe, came: Came, *, keys: Keys, now: dt.datetime
) -> Changed | None:
    """Return an image with its attributes changed, None if its recipe changes none. Raises `NotProduced`."""
    if what.keeps_attributes:
        return None
    try:
        return changed(image, sop_instance_uid, what, came, keys=keys, now=now)
    except (NotTransformed, NotDeidentified) as error:
        raise NotProduced(in_words(error), reason_of(error)) from None


def left_out(become: Changed) -> tuple[str, ...]:
    """Return what could not be done to an image and was skipped, as sentences without anything of the image."""
    return tuple(dict.fromkeys(f"Sent without it: {in_words(each)}" for each in become.image.skipped))


def reason_of(error: NotTransformed | NotDeidentified) -> Reason:
    """Return which reason to hold an image it is that its attributes could not be changed."""
    return error.held if isinstance(error, NotDeidentified) else Reason.TRANSFORM_FAILED


def in_words(error: NotTransformed | NotDeidentified) -> str:
    """Return why the attributes of an image could not be changed, as a sentence."""
    if isinstance(error, TransformFailed):
        return f"Transform {error.transform!r} could not {error.operation} {error.attribute}: {error.why}."
    if isinstance(error, NotDeidentified):
        return str(error)
    return f"Its attributes cannot be changed as the profile says: {error}."


def _written(data: memoryview, syntax: str, how: Compression, came: Came) -> Written:
    # By the moment of its reception, so that the same image becomes the same bytes whenever it is sent.
    return transcode(data, syntax, how, now=came.local)


def _without_creation(written: Written) -> Written:
    """Take out when a derived image was created: a date is what de-identification took out before."""
    opened = Opened(InMemory(written.transfer_syntax_uid, memoryview(b"".join(written.dataset))))
    characters = declared(opened.dataset)
    without = opened.edited([Edit((tag,), None, characters) for tag in _CREATED])
    return written._replace(dataset=[b"".join(without.chunks())], length=without.length)
