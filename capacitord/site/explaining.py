"""What was decided for the images of a study, and what the profile in force would do with them now.

Of images that are of one kind, as far as the catalog knows, one is opened, and no more than `MOST_OPENED` in all: to
explain is to look, and whoever looks does not hold up the scanner.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable, Iterable
from typing import Final, NamedTuple

import msgspec

from capacitord.api import messages as m
from capacitord.api.trial import Explain, Explained, Recorded, StudyExplained, Trial
from capacitord.dicom.outgoing import Came
from capacitord.dicom.trial import tried
from capacitord.errors import CapacitordError
from capacitord.model.profile import Profile
from capacitord.spool.store import Spool

MOST_OPENED: Final = 20


class Kind(NamedTuple):
    """Images of a study between which the catalog knows no difference that a profile might see."""

    images: tuple[m.Image, ...]

    @property
    def example(self) -> m.Image:
        """The first of them that can still be opened, or simply the first."""
        return next((image for image in self.images if not (image.purged or image.corrupt)), self.images[0])


class Explaining:
    """Explains studies of a spool by the profile in force."""

    def __init__(self, spool: Spool, profile: Callable[[], Profile], key: bytes) -> None:
        self._spool, self._profile, self._key = spool, profile, key

    def explain(self, request: Explain) -> tuple[StudyExplained, str]:
        """Return the answer, and the short id of the study. Raises `NotFound` and `Ambiguous`."""
        study, short = self._spool.studies.find(request.study)
        detail = self._spool.studies.detail(study, "")
        images = detail.images
        if request.image:
            wanted = self._spool.studies.image(study, request.image)
            specimen = self._spool.studies.specimen(wanted)
            images = tuple(i for i in images if specimen is not None and i.object_id == specimen.object_id.hex())
        profile = self._profile()
        found = kinds(images)
        opened = [self._explained(study, kind, profile) for kind in found[:MOST_OPENED]]
        unopened = sum(len(kind.images) for kind in found[MOST_OPENED:])
        answer = StudyExplained(
            "fluxctl.study.explain/1", detail.study, profile.version, tuple(merged(opened)), unopened
        )
        return answer, short

    def _explained(self, study: int, kind: Kind, profile: Profile) -> Explained:
        example = kind.example
        trial, problem = None, ""
        try:
            trial = self._tried(study, example, profile)
        except CapacitordError as error:
            problem = error.message
        if trial is None and not problem:
            problem = "its bytes have left this box" if example.purged else "it cannot be read"
        series = f"{example.modality} {example.series_number or ''} {example.series_description}".split()
        return Explained(len(kind.images), 1, (" ".join(series),), example.object_id, recorded(example), trial, problem)

    def _tried(self, study: int, image: m.Image, profile: Profile) -> Trial | None:
        specimen = self._spool.studies.specimen(self._spool.studies.image(study, image.object_id))
        if specimen is None:
            return None
        came = Came(specimen.calling_ae, specimen.called_ae, specimen.received_at)
        return tried(specimen, came, profile, key=self._key, now=dt.datetime.now(dt.UTC)).trial


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
        alike = (each.recorded.profile_version, each.recorded.route, each.recorded.held, _outcome(each))
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
        (image.profile_version, image.route, image.routing, image.held),
        image.conflict,
        image.corrupt,
        image.purged,
    )


def _outcome(explained: Explained) -> Hashable:
    return explained.problem if explained.trial is None else explained.trial.likeness
