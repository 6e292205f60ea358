"""Filing: which rows an image becomes. Decided here, in memory; written by whoever holds the catalog."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import apsw

from capacitord.model.image import Arrival, Facts
from capacitord.model.states import DELIVERY, STUDY, DeliveryState, StudyState, advance
from capacitord.seal.keys import SiteKey
from capacitord.spool.catalog import fetch, fetch_value
from capacitord.spool.segment import Place

STUDY_SHIFT = 24
"""An image's id is its study's id shifted by this, plus its number: a study's images lie together."""

_REMEMBERED = 256
_PURPOSE = b"capacitord study id 1"

Statement = tuple[str, tuple[object, ...]]


class Filed(NamedTuple):
    """One image as the catalog is to have it. `destinations` is empty for an image that nobody is to get."""

    object_id: bytes
    place: Place
    length: int
    facts: Facts
    arrival: Arrival
    destinations: tuple[str, ...]
    conflict: bool


class Plan(NamedTuple):
    """The image's id, its study's short id, and the statements that file it."""

    image: int
    study: str
    statements: list[Statement]


class _Study:
    """What has to be known of a study to file its next image."""

    __slots__ = ("deliveries", "id", "next_image", "short", "state")

    def __init__(self, study: int, short: str, state: StudyState, next_image: int) -> None:
        self.id, self.short, self.state, self.next_image = study, short, state, next_image
        self.deliveries: dict[str, tuple[int, DeliveryState]] = {}


class Filing:
    """Gives studies, images and deliveries their ids. Not safe by itself: call it with the catalog's lock held."""

    def __init__(self, key: SiteKey) -> None:
        self._key = key
        self._studies: OrderedDict[str, _Study] = OrderedDict()
        self._next_study = self._next_delivery = 0

    def forget(self) -> None:
        """Read everything from the catalog again: after a change that did not go through here."""
        self._studies.clear()
        self._next_study = self._next_delivery = 0

    def short_id(self, study_uid: str) -> str:
        """Return a study's short id: ten hex digits that are the same in every life of this spool."""
        return self._key.derive(_PURPOSE, study_uid.encode(), 5).hex()

    def plan(self, catalog: apsw.Connection, image: Filed) -> Plan:
        """Return what filing the image takes."""
        statements: list[Statement] = []
        study = self._study(catalog, image, statements)
        number = (study.id << STUDY_SHIFT) + study.next_image
        study.next_image += 1
        statements.append(_image(number, image))
        if study.state is not StudyState.RECEIVING:
            study.state = advance(STUDY, study.state, StudyState.RECEIVING)
            statements.append(
                (
                    "UPDATE study SET state = ?, reason = 'A late image arrived.', last_received = ? WHERE id = ?",
                    (study.state, image.arrival.received_at, study.id),
                )
            )
        for destination in image.destinations if not image.conflict else ():
            delivery = self._delivery(catalog, study, destination, image.arrival.received_at, statements)
            statements.append(
                ("INSERT INTO waiting (delivery, image, bytes) VALUES (?, ?, ?)", (delivery, number, image.length))
            )
        return Plan(number, study.short, statements)

    def _study(self, catalog: apsw.Connection, image: Filed, statements: list[Statement]) -> _Study:
        uid = image.facts.study_uid
        known = self._studies.get(uid)
        if known is not None:
            self._studies.move_to_end(uid)
            return known
        for study, short, state in fetch(catalog, "SELECT id, short, state FROM study WHERE uid = ?", (uid,)):
            last = fetch_value(
                catalog,
                "SELECT max(id) FROM image WHERE id BETWEEN ? AND ?",
                (study << STUDY_SHIFT, ((study + 1) << STUDY_SHIFT) - 1),
            )
            known = _Study(study, short, StudyState(state), 0 if last is None else last - (study << STUDY_SHIFT) + 1)
            rows = fetch(catalog, "SELECT destination, id, state FROM delivery WHERE study = ?", (study,))
            known.deliveries = {name: (delivery, DeliveryState(now)) for name, delivery, now in rows}
        if known is None:
            if not self._next_study:
                self._next_study = (fetch_value(catalog, "SELECT max(id) FROM study") or 0) + 1
            known = _Study(self._next_study, self.short_id(uid), StudyState.RECEIVING, 0)
            self._next_study += 1
            statements.append(_new_study(known, image))
        self._studies[uid] = known
        if len(self._studies) > _REMEMBERED:
            self._studies.popitem(last=False)
        return known

    def _delivery(
        self, catalog: apsw.Connection, study: _Study, destination: str, now: int, statements: list[Statement]
    ) -> int:
        delivery, state = study.deliveries.get(destination, (0, DeliveryState.QUEUED))
        if not delivery:
            if not self._next_delivery:
                self._next_delivery = (fetch_value(catalog, "SELECT max(id) FROM delivery") or 0) + 1
            delivery = self._next_delivery
            self._next_delivery += 1
            statements.append(
                (
                    (
                        "INSERT INTO delivery (id, study, destination, state, reason, queued_at) "
                        "VALUES (?, ?, ?, ?, '', ?)"
                    ),
                    (delivery, study.id, destination, state, now),
                )
            )
        elif state in {DeliveryState.DELIVERED, DeliveryState.CONFIRMED, DeliveryState.FAILED}:
            state = advance(DELIVERY, state, DeliveryState.QUEUED)
            statements.append(
                (
                    (
                        "UPDATE delivery SET state = ?, reason = 'A late image arrived.', queued_at = ?, "
                        "delivered_at = NULL, delivered_tick = NULL WHERE id = ?"
                    ),
                    (state, now, delivery),
                )
            )
        study.deliveries[destination] = (delivery, state)
        return delivery

    def note_delivery(self, study: int, destination: str, state: DeliveryState) -> None:
        """Take notice that a delivery's state was changed in the catalog."""
        for known in self._studies.values():
            if known.id == study and destination in known.deliveries:
                known.deliveries[destination] = (known.deliveries[destination][0], state)

    def note_study(self, study: int, state: StudyState) -> None:
        """Take notice that a study's state was changed in the catalog."""
        for known in self._studies.values():
            if known.id == study:
                known.state = state


def run(catalog: apsw.Connection, statements: Sequence[Statement]) -> None:
    """Run planned statements."""
    for sql, values in statements:
        catalog.execute(sql, values)


_IMAGE = (
    "INSERT INTO image (id, object_id, segment, place, length, sop_uid, sop_class, transfer_syntax, series_uid, "
    "series_number, series_description, modality, instance_number, frames, received_at, calling_ae, called_ae, peer, "
    "profile_version, conflict) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_STUDY = (
    "INSERT INTO study (id, uid, short, patient_name, patient_id, birth_date, sex, accession_number, study_date, "
    "study_time, description, state, reason, first_received, last_received) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _image(number: int, image: Filed) -> Statement:
    facts, arrival = image.facts, image.arrival
    return _IMAGE, (
        number,
        image.object_id,
        image.place.segment,
        image.place.offset,
        image.length,
        facts.sop_instance_uid,
        facts.sop_class_uid,
        facts.transfer_syntax_uid,
        facts.series_uid,
        facts.series_number,
        facts.series_description,
        facts.modality,
        facts.instance_number,
        facts.number_of_frames,
        arrival.received_at,
        arrival.calling_ae,
        arrival.called_ae,
        arrival.peer,
        arrival.profile_version,
        int(image.conflict),
    )


def _new_study(study: _Study, image: Filed) -> Statement:
    facts = image.facts
    return _STUDY, (
        study.id,
        facts.study_uid,
        study.short,
        facts.patient_name,
        facts.patient_id,
        facts.birth_date,
        facts.sex,
        facts.accession_number,
        facts.study_date,
        facts.study_time,
        facts.study_description,
        study.state,
        "Images are arriving.",
        image.arrival.received_at,
        image.arrival.received_at,
    )
