"""What a code of a de-identified copy stands for, for an operator who may know.

Two ways lead back. Codes that were sent instead of ids and names were kept, so they are looked up. Codes of UIDs, and
of ids as the catalog has them, are made again from all it knows until one is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from capacitord.api.codes import Resolution, Resolve, Resolved
from capacitord.dicom.deidentify.codes import Codes, Patient, Sought, is_uid, spellings
from capacitord.errors import Invalid, NotFound, TryAgain
from capacitord.model.codes import Kind
from capacitord.model.profile import Profile
from capacitord.site.breather import rest
from capacitord.site.preparation.preparation import Preparation
from capacitord.spool.codebook import KnownStudy
from capacitord.spool.store import Spool

MOST_TOLD: Final = 100
PATIENCE: Final = 120.0
"""Seconds for looking through images: whoever asked waits a little longer."""

LONGEST: Final = 200
"""Characters of a code: a person name has at most three groups of 64 (PS3.5 §6.2)."""

_ORDER: Final[Mapping[Kind, int]] = {kind: place for place, kind in enumerate(Kind)}


class _Found:
    """What was found, by study and destination."""

    def __init__(self) -> None:
        self.kinds: dict[tuple[int, str], set[Kind]] = {}
        self.uids: dict[tuple[int, str], str] = {}
        self.sent: set[tuple[int, str]] = set()

    def add(self, study: int, destination: str, *kinds: Kind, uid: str = "") -> None:
        self.kinds.setdefault((study, destination), set()).update(kinds)
        if uid:
            self.uids[study, destination] = uid


class Resolving:
    """Resolves codes by the catalog of a spool."""

    def __init__(
        self,
        spool: Spool,
        profile: Callable[[], Profile],
        preparation: Preparation,
        receiving: Callable[[], bool],
        *,
        patience: float = PATIENCE,
    ) -> None:
        """`receiving` says whether images arrive at this moment; `patience` is in seconds."""
        self._spool, self._profile, self._preparation, self._receiving = spool, profile, preparation, receiving
        self._patience = patience

    def resolve(self, request: Resolve) -> Resolved:
        """Return what a code stands for.

        Raises `Invalid`, `NotFound` if it stands for nothing that is known, and `TryAgain` if that took too long.
        """
        code = request.code.strip()
        if not code or len(code) > LONGEST:
            msg = f"A code has 1 to {LONGEST} characters."
            raise Invalid(msg, hint="Give it as the destination shows it: a patient id, a name, a number or a UID.")
        destinations = self._destinations(request.destinations)
        sought = {name: Sought(code, Codes(self._preparation.keys.codes, name)) for name in destinations}
        found = _Found()
        for recorded in self._spool.codebook.recorded(spellings(code), destinations):
            found.add(recorded.study, recorded.destination, recorded.kind)
            found.sent.add((recorded.study, recorded.destination))
        self._look_at_studies(sought, found)
        if is_uid(code):
            self._look_at_images(sought, found)
        if not found.kinds:
            raise self._unknown(code, destinations)
        return self._told(found, destinations)

    def _destinations(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """Return the destinations to search. Raises `NotFound`."""
        profile = self._profile()
        named = [destination.name for destination in profile.destinations]
        recipes = {name: self._preparation.recipe(name) for name in named}
        coded = {name for name, recipe in recipes.items() if recipe is not None and recipe.deidentifications}
        coded |= self._spool.codebook.destinations()
        where = f"The active site is {profile.id}"
        for name in wanted:
            if name not in coded and name not in named:
                msg = f"This site has no destination {name}."
                raise NotFound(msg, hint=f"{where}. Its destinations: `fluxctl destination list`.")
            if name not in coded:
                msg = f"{name} gets images with what is in them, so nothing there is a code."
                raise NotFound(msg, hint="Find the study by what is there: `fluxctl study show` with UID or accession.")
        if not coded:
            msg = "No destination of this site gets de-identified images, or got any."
            raise NotFound(msg, hint=f"Codes are made for each destination of each site. {where}.")
        return tuple(sorted(set(wanted) or coded))

    def _look_at_studies(self, sought: Mapping[str, Sought], found: _Found) -> None:
        for page in self._spool.codebook.studies():
            began = time.monotonic()
            for known in page:
                patient = _patient(known)
                for destination, code in sought.items():
                    if code.is_patient(patient):
                        found.add(known.study, destination, Kind.PATIENT_ID, Kind.PATIENT_NAME)
                    if code.is_accession_number(known.accession_number):
                        found.add(known.study, destination, Kind.ACCESSION)
                    if code.is_uid(known.uid):
                        found.add(known.study, destination, Kind.STUDY, uid=known.uid)
            rest(began, self._receiving)

    def _look_at_images(self, sought: Mapping[str, Sought], found: _Found) -> None:
        series_uid = ""
        until = time.monotonic() + self._patience
        for page in self._spool.codebook.images():
            began = time.monotonic()
            if began > until:
                msg = f"There are more images here than can be looked through in {self._patience:.0f} s just now."
                raise TryAgain(msg, hint="Name the destination with --to, or try again when no scanner sends.")
            for known in page:
                # Images of a series mostly lie together.
                is_new = known.series_uid != series_uid
                series_uid = known.series_uid
                for destination, code in sought.items():
                    if code.is_uid(known.sop_uid):
                        found.add(known.study, destination, Kind.IMAGE, uid=known.sop_uid)
                        if self._spool.codebook.was_sent(destination, known.image):
                            found.sent.add((known.study, destination))
                    if is_new and code.is_uid(series_uid):
                        found.add(known.study, destination, Kind.SERIES, uid=series_uid)
            rest(began, self._receiving)

    def _told(self, found: _Found, destinations: tuple[str, ...]) -> Resolved:
        # A higher number came later.
        keys = sorted(found.kinds, key=lambda key: (-key[0], key[1]))
        studies = self._spool.studies.some({study for study, _ in keys[:MOST_TOLD]})
        told = tuple(
            Resolution(
                key[1],
                tuple(sorted(found.kinds[key], key=_ORDER.__getitem__)),
                studies[key[0]],
                found.uids.get(key, ""),
                key in found.sent,
            )
            for key in keys[:MOST_TOLD]
        )
        return Resolved("fluxctl.study.resolve/1", told, destinations, max(0, len(keys) - MOST_TOLD))

    def _unknown(self, code: str, destinations: tuple[str, ...]) -> NotFound:
        where = f"Searched: {', '.join(destinations)} of {self._profile().id}, the active site."
        hint = f"Each destination of each site has codes of its own. {where}"
        if _looks_like_a_uid(code):
            hint = f"UIDs that stand for others begin with 2.25. An original one: `fluxctl study show UID`. {where}"
        return NotFound("This code stands for nothing that is known here.", hint=hint)


def _looks_like_a_uid(code: str) -> bool:
    return code.count(".") > 1 and code.replace(".", "").isdecimal()


def _patient(known: KnownStudy) -> Patient:
    """Return who a study is of as far as the catalog knows, which has no issuers."""
    return Patient(known.patient_id, "", known.patient_name, known.birth_date, known.uid)
