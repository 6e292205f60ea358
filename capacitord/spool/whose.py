"""Whose the images of a study are that wait for a person, as they say themselves.

A study's row says what its first image said. An image that says another patient has a row of its own (`stranger`), so
that nobody is shown the name of one patient and decides about the images of another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import apsw

from capacitord.model.patient import Patient
from capacitord.spool.catalog import fetch
from capacitord.spool.filing import bounds
from capacitord.spool.routed import Standing
from capacitord.spool.together import UNDECIDED

_STRANGERS: Final = """
SELECT image, patient_name, patient_id, birth_date FROM stranger WHERE image BETWEEN ? AND ? ORDER BY image
"""
_HELD: Final = """
SELECT id, routing FROM image WHERE id BETWEEN ? AND ? AND here AND NOT conflict AND routing > 1 ORDER BY id
"""
_TWINS: Final = f"SELECT i.id FROM image i WHERE i.id BETWEEN ? AND ? AND {UNDECIDED} ORDER BY 1"  # noqa: S608 - of constants
_COPIES: Final = """
SELECT DISTINCT a.image FROM delivery d CROSS JOIN ack a ON a.delivery = d.id JOIN image i ON i.id = a.image
WHERE d.study = ? AND d.open AND d.held > 0 AND a.state = 'held' AND i.here AND i.routing >= 0 ORDER BY 1
"""
_OTHERS: Final = """
SELECT id FROM image WHERE id BETWEEN ? AND ? AND NOT conflict AND NOT corrupt AND routing BETWEEN 0 AND 1
  AND (purged_at IS NULL OR EXISTS (
    SELECT 1 FROM delivery d JOIN ack a ON a.delivery = d.id AND a.image = image.id WHERE d.study = image.id >> 24
  ))
"""


class Whose:
    """The patients of a study's images."""

    def __init__(self, catalog: apsw.Connection, study: int) -> None:
        rows = fetch(catalog, "SELECT patient_name, patient_id, birth_date FROM study WHERE id = ?", (study,))
        self._own = Patient._make(rows[0])
        self._strangers = {image: Patient(*said) for image, *said in fetch(catalog, _STRANGERS, bounds(study))}

    @property
    def own(self) -> Patient:
        """The patient whom the study's first image says."""
        return self._own

    @property
    def strangers(self) -> frozenset[Patient]:
        """Whom other images say."""
        return frozenset(self._strangers.values())

    def of(self, image: int) -> Patient:
        """Return the patient of an image of the study."""
        return self._strangers.get(image, self._own)

    def only(self, images: Iterable[int], patients: Iterable[Patient]) -> list[int]:
        """Return those of these images that are of one of `patients`."""
        keys = {patient.key for patient in patients}
        return [image for image in images if self.of(image).key in keys]

    def counted(self, images: Iterable[int]) -> Mapping[Patient, int]:
        """Return the patients of these images and how many are of each; who is written alike counts as one."""
        spellings: dict[tuple[str, str, str], Patient] = {}
        return Counter(spellings.setdefault(patient.key, patient) for patient in map(self.of, images))


class Awaited(NamedTuple):
    """How many images of a patient wait for a person: in all, those that a release sends, and that a discard is about.

    The last two may overlap, and a copy that is held for a destination is released by nobody.
    """

    patient: Patient
    images: int
    release: int
    discard: int


class Mixture(NamedTuple):
    """Whose the images are that a release would send, with how many are of each, and those of the rest of the study."""

    goes: Mapping[Patient, int]
    stays: Sequence[Patient]


def patients(catalog: apsw.Connection, study: int) -> tuple[Patient, ...]:
    """Return all whom images of a study say, its own patient first."""
    whose = Whose(catalog, study)
    return (whose.own, *whose.strangers)


def awaited(catalog: apsw.Connection, study: int) -> tuple[Awaited, ...]:
    """Return whose the images of a study are that wait for a person, in the order in which they came."""
    whose = Whose(catalog, study)
    held = {image: Standing(routing) for image, routing in fetch(catalog, _HELD, bounds(study))}
    apart = {image for (image,) in (*fetch(catalog, _TWINS, bounds(study)), *fetch(catalog, _COPIES, (study,)))}
    gone = {*apart, *(image for image, standing in held.items() if standing is not Standing.TOGETHER)} or {*held}
    release, discard = (Counter(whose.of(image).key for image in images) for images in (held, gone))
    waiting = whose.counted(sorted({*held, *apart}))
    return tuple(
        Awaited(patient, images, release[patient.key], discard[patient.key]) for patient, images in waiting.items()
    )


def mixture(catalog: apsw.Connection, study: int, images: Iterable[int]) -> Mixture:
    """Return whose these images of a study are that a release would send, and whose the others of the study are."""
    whose = Whose(catalog, study)
    others = (image for (image,) in fetch(catalog, _OTHERS, bounds(study)))
    return Mixture(whose.counted(images), tuple(whose.counted(others)))
