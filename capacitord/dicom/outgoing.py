"""What an image becomes on its way to one destination: which of the profile's transforms apply, and in which order.

=================== =============================== =====================================================
step                 its `match` looks at            what it changes
=================== =============================== =====================================================
inbound transforms   the image as it was received    every copy of it, and what routes look at
reconciliation       nothing                         every copy of a study that a person released with an entry of
                                                     the worklist: who the patient is, and the order
de-identification    the image after these           this destination's copy; the first that matches, or it is held
outbound transforms  the image after the inbound     this destination's copy, after de-identification
compression          nothing                         how the pixels are written
=================== =============================== =====================================================

What the spool keeps is the image as it was received. `recipe` decides, without an image, what could happen to any at
all; where that is nothing, no image is looked into.

No image leaves identified for a destination that has a de-identification: where none matches, or where whether one
does cannot be read in the image, it is held. A transform for the destination does not change that.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from capacitord.dicom.deidentify import pixels
from capacitord.dicom.deidentify.codes import Codes, normal
from capacitord.dicom.deidentify.engine import NotDeidentified, deidentified, identity_of
from capacitord.dicom.deidentify.subject import ACCESSION_NUMBER, PATIENT_ID, PATIENT_NAME, STUDY_ID, first
from capacitord.dicom.rewriting import Encoded, Opened, Rewritten, may_be_behind_pixels
from capacitord.dicom.transform.attributes import DatasetAttributes, NotReadable, ReadableAttributes
from capacitord.dicom.transform.differences import edits
from capacitord.dicom.transform.engine import apply
from capacitord.dicom.transform.failure import NotTransformed, Unfit
from capacitord.dicom.transform.level import declared
from capacitord.model.attribute import Attribute
from capacitord.model.codes import Code, Kind
from capacitord.model.compression import Compression
from capacitord.model.conditions import Condition, Either, Every, Has, Never, Subject, holds, local_time
from capacitord.model.deidentify import Deidentification
from capacitord.model.transform import On, Transform, attributes_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from capacitord.model.conditions import Attributes
    from capacitord.model.destination import Destination
    from capacitord.model.profile import Profile

_CODED: Final = (
    (Kind.PATIENT_ID, PATIENT_ID),
    (Kind.PATIENT_NAME, PATIENT_NAME),
    (Kind.ACCESSION, ACCESSION_NUMBER),
    (Kind.STUDY_ID, STUDY_ID),
)


class Recipe(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a profile may do with images for one destination. Two that are equal do the same."""

    destination: str
    timezone: str
    inbound: tuple[Transform, ...] = ()
    deidentifications: tuple[Deidentification, ...] = ()
    outbound: tuple[Transform, ...] = ()
    compress: Compression | None = None
    transfer_syntaxes: tuple[str, ...] = ()
    reconciled: tuple[Transform, ...] = ()

    @property
    def keeps_attributes(self) -> bool:
        """Whether no attribute of any image can change, so that none has to be looked at."""
        return not (self.inbound or self.reconciled or self.deidentifications or self.outbound)

    def conditions(self) -> Iterator[Condition]:
        """Yield all conditions that look at an image."""
        yield from (transform.match for transform in (*self.inbound, *self.outbound))
        yield from (deidentification.match for deidentification in self.deidentifications)

    @property
    def is_plain(self) -> bool:
        """Whether every image leaves as it was received where the destination accepts that."""
        return self.keeps_attributes and self.compress is None and not self.transfer_syntaxes


class Keys(msgspec.Struct, frozen=True):
    """Keys of a site, 32 bytes each, that are for this and nothing else.

    `hashes` is for the operation `hash`, `codes` for what stands for patients and UIDs after de-identification.
    """

    hashes: bytes
    codes: bytes

    def __repr__(self) -> str:
        return "Keys()"


class Came(msgspec.Struct, frozen=True):
    """How an image came in: from whom, for whom, and when on the wall clock of the site."""

    calling_ae_title: str
    called_ae_title: str
    local: dt.datetime

    @classmethod
    def at(cls, timezone: str, calling_ae_title: str, called_ae_title: str, received_at: int) -> Came:
        """Return how an image came in that was received at so many nanoseconds since the epoch."""
        return cls(calling_ae_title, called_ae_title, local_time(received_at, timezone))


def recipe(profile: Profile, destination: Destination) -> Recipe:
    """Return what a profile may do with images for one of its destinations."""
    return Recipe(
        destination.name,
        profile.timezone,
        tuple(each for each in profile.transforms if each.on is On.INBOUND and each.operations),
        tuple(each for each in profile.deidentifications if _is_for(each.to, destination)),
        tuple(
            each
            for each in profile.transforms
            if each.on is On.OUTBOUND and each.operations and _is_for(each.to, destination)
        ),
        destination.compress,
        destination.transfer_syntaxes,
    )


def _is_for(names: tuple[str, ...], destination: Destination) -> bool:
    return not names or destination.name in names


def open_for(image: Encoded, conditions: Iterable[Condition]) -> Opened:
    """Open an image as far as conditions look into it. Raises as `Opened` does."""
    return _open_as_far_as(image, itertools.chain.from_iterable(map(attributes_in, conditions)))


def open_for_routing(image: Encoded, profile: Profile) -> Opened:
    """Open an image as far as `attributes_after_inbound` and what routes and sorts by them look into it.

    Raises as `Opened` does.
    """
    inbound = tuple(each for each in profile.transforms if each.on is On.INBOUND)
    conditions = (*(route.when for route in profile.routes), *(each.match for each in inbound))
    ordering = (attribute for attribute in profile.order if attribute is not None)
    looked_at = itertools.chain.from_iterable(map(attributes_in, conditions))
    return _open_as_far_as(image, itertools.chain(looked_at, ordering, attributes_of(inbound)))


def _open_as_far_as(image: Encoded, looked_at: Iterable[Attribute]) -> Opened:
    return Opened(image, whole=any(map(may_be_behind_pixels, looked_at)))


def attributes_in(condition: Condition) -> Iterator[Attribute]:
    """Yield the attributes that a condition looks at."""
    match condition:
        case Has(attribute, _):
            yield attribute
        case Every(of) | Either(of):
            for part in of:
                yield from attributes_in(part)
        case Never(of):
            yield from attributes_in(of)
        case _:
            return


def fitting(transforms: Iterable[Transform], subject: Subject) -> tuple[Transform, ...]:
    """Return the transforms whose condition holds."""
    return tuple(each for each in transforms if holds(each.match, subject))


def subject_of(attributes: Attributes, came: Came) -> Subject:
    """Return what conditions look at."""
    return Subject(attributes, came.calling_ae_title, came.called_ae_title, came.local)


def attributes_after_inbound(
    opened: Opened, profile: Profile, came: Came, *, key: bytes, now: dt.datetime
) -> Attributes:
    """Return what routes look at: the attributes of an image after the inbound transforms that fit it.

    `key` and `now` are those of `transform.engine.apply`. Raises `NotTransformed`.
    """
    inbound = tuple(each for each in profile.transforms if each.on is On.INBOUND and each.operations)
    fit = fitting(inbound, subject_of(opened.attributes, came))
    return _after(opened, fit, key, now)


def _after(opened: Opened, inbound: tuple[Transform, ...], key: bytes, now: dt.datetime) -> Attributes:
    if not inbound:
        return opened.attributes
    return DatasetAttributes(_dataset_after(opened, inbound, key, now))


def _dataset_after(opened: Opened, inbound: tuple[Transform, ...], key: bytes, now: dt.datetime) -> Dataset:
    return apply(inbound, opened.dataset, key=key, now=now).dataset if inbound else opened.dataset


def _fitting_deidentification(what: Recipe, dataset: Dataset, came: Came) -> Deidentification:
    """Return the first that matches. Raises `NotDeidentified` if none does, or if that cannot be told."""
    subject = subject_of(ReadableAttributes(dataset), came)
    try:
        how = next((each for each in what.deidentifications if holds(each.match, subject)), None)
    except NotReadable:
        msg = (
            f"whether a de-identification of the profile for {what.destination} matches it cannot be told,"
            " as what its `match` looks at cannot be read"
        )
        raise NotDeidentified(msg) from None
    if how is None:
        msg = (
            f"none of the profile's de-identifications for {what.destination} matches it,"
            " and images do not leave for it identified"
        )
        raise NotDeidentified(msg)
    return how


class Changed(NamedTuple):
    """An image with its attributes changed, still in its own transfer syntax.

    `codes` are those that a de-identified one tells its patient and study by, UIDs apart.
    """

    image: Rewritten
    sop_instance_uid: str
    is_deidentified: bool = False
    codes: tuple[Code, ...] = ()


def changed(
    image: Encoded, sop_instance_uid: str, what: Recipe, came: Came, *, keys: Keys, now: dt.datetime
) -> Changed:
    """Return an image with the transforms and the de-identification of a recipe that fit it.

    Reads the attributes and passes the pixels by, whatever their size; only with a de-identification compressed pixel
    data is read into memory. `now`, with a time zone, is for the record of changes. Raises `NotTransformed`,
    `NotDeidentified`, also where a recipe has de-identifications and none matches, and what reading the image raises.
    """
    opened = open_for(image, what.conditions())
    inbound, how, outbound = steps = _steps(opened, what, came, keys=keys, now=now)
    if how is None:
        return Changed(opened.rewritten((*inbound, *outbound), key=keys.hashes, now=now), sop_instance_uid)
    return _deidentified(Opened(image, whole=True), what, steps, how, keys=keys, now=now)


def demand_changeable(image: Encoded, what: Recipe, came: Came, *, keys: Keys, now: dt.datetime) -> None:
    """Raise what `changed` raises, as far as that can be told without the pixels: all of it but de-identification.

    Of that only whether one of the profile's matches the image.
    """
    opened = open_for(image, what.conditions())
    inbound, how, outbound = _steps(opened, what, came, keys=keys, now=now)
    if how is None:
        opened.rewritten((*inbound, *outbound), key=keys.hashes, now=now)


_Steps = tuple[tuple[Transform, ...], Deidentification | None, tuple[Transform, ...]]


def _steps(opened: Opened, what: Recipe, came: Came, *, keys: Keys, now: dt.datetime) -> _Steps:
    """Return what of a recipe fits an image. Raises as `changed` does."""
    inbound = (*fitting(what.inbound, subject_of(opened.attributes, came)), *what.reconciled)
    if not (what.deidentifications or what.outbound):
        return inbound, None, ()
    looked_at = _dataset_after(opened, inbound, keys.hashes, now)
    outbound = fitting(what.outbound, subject_of(DatasetAttributes(looked_at), came))
    how = _fitting_deidentification(what, looked_at, came) if what.deidentifications else None
    return inbound, how, outbound


def _deidentified(
    opened: Opened,
    what: Recipe,
    steps: _Steps,
    how: Deidentification,
    *,
    keys: Keys,
    now: dt.datetime,
) -> Changed:
    inbound, _, outbound = steps
    before = apply(inbound, opened.dataset, key=keys.hashes, now=now)
    codes = Codes(keys.codes, what.destination)
    without = deidentified(before.dataset, how, codes=codes, large=pixels.large_value(opened))
    beside = pixels.cleaned(opened, without.keys(), identity_of(before.dataset, how, codes=codes))
    after = apply(outbound, without, key=keys.hashes, now=now)
    try:
        found = edits(opened.dataset, after.dataset)
    except Unfit as error:
        raise NotTransformed(str(error)) from None
    edited = {edit.path[0] for edit in found}
    image = opened.edited(
        found,
        (*before.changes, *after.changes),
        (*before.skipped, *after.skipped),
        also=[cut for tag, cuts in beside.items() if tag not in edited for cut in cuts],
    )
    uid = str(after.dataset.get("SOPInstanceUID", ""))
    return Changed(image, uid, is_deidentified=True, codes=_codes(after.dataset))


def _codes(dataset: Dataset) -> tuple[Code, ...]:
    characters = declared(dataset)
    found = ((kind, normal(first(dataset, tag, characters))) for kind, tag in _CODED)
    # What is no text can be written nowhere, and nobody could ask for it.
    return tuple(Code(kind, code.encode(errors="replace").decode()) for kind, code in found if code)
