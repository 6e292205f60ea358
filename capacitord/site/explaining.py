"""What was decided for the images of a study, and what the profile in force would do with them now.

Of images that are of one kind, as far as the catalog knows, one is opened, and no more than `MOST_OPENED` in all: to
explain is to look, and whoever looks does not hold up the scanner.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Final, NamedTuple

import msgspec

from capacitord.api import messages as m
from capacitord.api.trial import Explain, Explained, Recorded, StudyExplained, Trial
from capacitord.dicom.arriving import describe
from capacitord.dicom.forms import Form
from capacitord.dicom.outgoing import Came, Recipe
from capacitord.dicom.produce import NotProduced
from capacitord.dicom.trial import Bench, Copy, Make, Subject
from capacitord.errors import CapacitordError, TryAgain
from capacitord.model.profile import Profile
from capacitord.model.reasons import Reason
from capacitord.model.routes import Route
from capacitord.site.breather import rest
from capacitord.site.preparation.commission import Product
from capacitord.site.preparation.messages import AsReceived, Job, NotMade
from capacitord.site.preparation.pool import Pool
from capacitord.site.preparation.preparation import Preparation
from capacitord.spool.routed import REASONS, UNMATCHED_ROUTE
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
MOST_OPENED: Final = 20
LONGEST: Final = 60.0
"""Seconds after which no further image is begun, and that one may take to be written."""

_STAYS: Final = {reason.word: reason for reason in REASONS.values() if not reason.by_profile}
"""What holds an image whatever routes say."""

_LAST: Final = -1_000_000
"""The priority of what nobody but a curious person waits for."""

_NO_DELIVERY: Final = (0, 0)
"""Instead of a delivery and an image: what is written to be told is set aside for nobody."""


class Kind(NamedTuple):
    """Images of a study between which the catalog knows no difference that a profile might see."""

    images: tuple[m.Image, ...]

    @property
    def example(self) -> m.Image:
        """The first of them that can still be opened, or simply the first."""
        return next((image for image in self.images if not (image.purged or image.corrupt)), self.images[0])


class Judges(NamedTuple):
    """The profile in force, and what tries a profile."""

    profile: Profile
    bench: Callable[[Profile], Bench]


class Explaining:
    """Explains studies of a spool by the profile in force."""

    def __init__(
        self,
        spool: Spool,
        profile: Callable[[], Profile],
        preparation: Preparation,
        receiving: Callable[[], bool],
        awaited: Callable[[], str] = lambda: "",
    ) -> None:
        """`receiving` says whether images arrive at this moment, `awaited` why none can be matched yet (`Listing`)."""
        self._awaited = awaited
        self._spool, self._profile, self._preparation, self._receiving = spool, profile, preparation, receiving

    def explain(self, request: Explain) -> tuple[StudyExplained, str]:
        """Return the answer, and the short id of the study. Raises `NotFound` and `Ambiguous`."""
        study, short = self._spool.studies.find(request.study)
        detail = self._spool.studies.detail(study, "")
        images = detail.images
        if request.image:
            wanted = self._spool.studies.object_id(self._spool.studies.image(study, request.image))
            images = tuple(image for image in images if image.object_id == wanted)
        profile, keys, now = self._profile(), self._preparation.keys, dt.datetime.now(dt.UTC)
        judges = Judges(profile, partial(Bench, keys=keys, now=now, make=by_pool(self._preparation.pool)))
        found = kinds(images)
        opened: list[Explained] = []
        until = time.monotonic() + LONGEST
        for kind in found[:MOST_OPENED]:
            began = time.monotonic()
            if began > until:
                break
            opened.append(self._explained(study, short, kind, judges))
            rest(began, self._receiving)
        unopened = sum(len(kind.images) for kind in found[len(opened) :])
        groups = tuple(merged(opened))
        awaits = detail.study.unrouted and profile.matching is not None
        awaited = self._awaited() if awaits else ""
        answer = StudyExplained(
            "fluxctl.study.explain/1", detail.study, profile.version, groups, unopened, awaited=awaited
        )
        return answer, short

    def _explained(self, study: int, short: str, kind: Kind, judges: Judges) -> Explained:
        example = kind.example
        trial, problem = None, ""
        try:
            specimen = self._spool.studies.specimen(self._spool.studies.image(study, example.object_id))
            if specimen is not None:
                came = Came.at(judges.profile.timezone, specimen.calling_ae, specimen.called_ae, specimen.received_at)
                reconciled = () if specimen.reconciled is None else (specimen.reconciled,)
                uids = (specimen.sop_class_uid, specimen.sop_instance_uid)
                trial = as_reviewed(example, short, judges, Subject(specimen, came, *uids, reconciled))
        except CapacitordError as error:
            problem = error.message
        except Exception as error:  # noqa: BLE001 - the other images are explained all the same
            problem = "It cannot be explained for an unforeseen reason; the log of this box says more."
            LOG.error("An image could not be explained: %s", describe(error))  # noqa: TRY400
        if trial is None and not problem:
            problem = "Its bytes have left this box." if example.purged else "It cannot be read."
        return Explained(
            len(kind.images),
            1,
            (_series(example),),
            example.object_id,
            recorded(example),
            trial,
            problem,
            example.entry,
        )


def as_reviewed(image: m.Image, short: str, judges: Judges, subject: Subject) -> Trial:
    """Return what would become of an image now: routes do not decide for one that is held for a person, or let through.

    `short` is the short id of its study. Raises as `Bench.tried` does.
    """
    holds = image.held_for
    profile = judges.profile
    terms = None if profile.matching is None else profile.matching.terms
    if image.route == UNMATCHED_ROUTE and image.routing == "routed":
        if terms is not None and terms.release_to:
            trial = (
                judges.bench(msgspec.structs.replace(profile, routes=(Route(terms.release_to),))).tried(subject).trial
            )
            return msgspec.structs.replace(trial, routes=(), route=UNMATCHED_ROUTE)
        holds = Reason.UNMATCHED.value
    trial = judges.bench(profile).tried(subject).trial
    if holds not in _STAYS:
        return trial
    held = f"{_STAYS[holds].sentence} {_STAYS[holds].next_step}".format(study=short)
    return msgspec.structs.replace(
        trial, held=held, routes=(), route=None, to=(), else_to=(), priority="", destinations=()
    )


def by_pool(pool: Pool) -> Make:
    """Return what writes images in a process of its own, after those that are waited for."""

    def make(subject: Subject, what: Recipe, form: Form) -> Copy:
        image = subject.image
        if image.length > pool.largest:
            msg = f"It is larger than {pool.largest >> 20} MiB, the most this box writes in another transfer syntax."
            raise NotProduced(msg)
        syntax, uid = image.transfer_syntax_uid, subject.sop_instance_uid
        job = Job(syntax, uid, image.length, subject.came, (form,), what)
        commission = pool.submit(image, job, (what.destination, *_NO_DELIVERY), _LAST)
        try:
            if not commission.wait(LONGEST):
                raise TryAgain("The box is busy preparing images.", hint="Try again in a moment.")
            result = commission.result
        finally:
            commission.release()
        match result:
            case NotMade():
                raise NotProduced(result.reason, result.held)
            case Product():
                data = result.data
                return Copy(result.transfer_syntax_uid, result.sop_instance_uid, result.length, lambda: iter((data,)))
            case AsReceived():
                raise NotProduced("It is in that form already.")
            case _:
                raise result

    return make


def kinds(images: Iterable[m.Image]) -> list[Kind]:
    """Return images by kind, in their order."""
    found: dict[Hashable, list[m.Image]] = {}
    for image in images:
        found.setdefault(_kind(image), []).append(image)
    return [Kind(tuple(each)) for each in found.values()]


def merged(found: Iterable[Explained]) -> list[Explained]:
    """Return what was and would be dealt with alike as one, with the first as the example."""
    groups: dict[Hashable, Explained] = {}
    for each in found:
        alike = (each.recorded.profile_version, each.recorded.route, each.recorded.held, each.entry, _outcome(each))
        known = groups.setdefault(alike, each)
        if known is not each:
            groups[alike] = msgspec.structs.replace(
                known,
                images=known.images + each.images,
                opened=known.opened + each.opened,
                series=tuple(dict.fromkeys((*known.series, *each.series))),
            )
    return list(groups.values())


def recorded(image: m.Image) -> Recorded:
    """Return what was decided for an image when it was filed, and what became of it."""
    return Recorded(image.profile_version, image.route, image.routing, image.held, image.acks)


def _kind(image: m.Image) -> Hashable:
    return (
        image.series_uid,
        image.modality,
        image.sop_class_uid,
        image.transfer_syntax_uid,
        image.calling_ae,
        (image.profile_version, image.route, image.routing, image.held, image.held_for, image.entry),
        image.conflict,
        image.corrupt,
        image.purged,
    )


def _series(image: m.Image) -> str:
    number = "" if image.series_number is None else str(image.series_number)
    return " ".join(part for part in (number, image.modality, image.series_description) if part)


def _outcome(explained: Explained) -> Hashable:
    return explained.problem if explained.trial is None else explained.trial.likeness
