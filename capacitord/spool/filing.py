"""Filing: which rows an image becomes. Decided here, in memory; written by whoever holds the catalog."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import apsw

from capacitord.model.image import Arrival, Facts
from capacitord.model.states import DELIVERY, STUDY, DeliveryState, StudyState, advance
from capacitord.seal.keys import SiteKey
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.routed import Routed, Standing
from capacitord.spool.segment import Place

STUDY_SHIFT: Final = 24
"""An image's id is its study's id shifted by this, plus its number: a study's images lie together."""

_REMEMBERED: Final = 256
_PURPOSE: Final = b"capacitord study id 1"

Statement = tuple[str, tuple[object, ...]]


def bounds(study: int) -> tuple[int, int]:
    """Return the lowest and the highest id an image of a study can have."""
    return study << STUDY_SHIFT, ((study + 1) << STUDY_SHIFT) - 1


class Filed(NamedTuple):
    """One image as the catalog is to have it.

    `routed` is None for an image of which it is not decided yet where it goes; nobody gets one in conflict unless a
    person says so. `replaces` are the ids of damaged images of which it is a good copy.
    """

    object_id: bytes
    place: Place
    length: int
    facts: Facts
    arrival: Arrival
    routed: Routed | None
    conflict: bool = False
    replaces: tuple[int, ...] = ()


class Plan(NamedTuple):
    """The image's id, its study's short id, and the statements that file it.

    `urgencies` are the destinations for which it waits then, with how urgent its study is there; `later` says that it
    is still to be decided where it goes.
    """

    image: int
    study: str
    statements: list[Statement]
    urgencies: Mapping[str, int]
    later: bool = False


class _Study:
    """What has to be known of a study to file its next image."""

    __slots__ = ("deliveries", "id", "modalities", "next_image", "patient", "reviewed", "short", "state")

    def __init__(self, study: int, short: str, state: StudyState, next_image: int, modalities: set[str]) -> None:
        self.id, self.short, self.state, self.next_image = study, short, state, next_image
        self.patient: tuple[str, str, str] = ("", "", "")
        self.modalities = modalities
        self.reviewed = False
        self.deliveries: dict[str, _Delivery] = {}


class _Delivery(NamedTuple):
    """What has to be known of a delivery to file another image for it."""

    id: int
    state: DeliveryState
    priority: int


class Filing:
    """Gives studies, images and deliveries their ids. Not safe by itself: call it with the catalog held."""

    def __init__(self, key: SiteKey, catalog: Catalog) -> None:
        self._key, self._catalog = key, catalog
        self._undone = catalog.undone
        self._studies: OrderedDict[str, _Study] = OrderedDict()
        self._uids: dict[int, str] = {}
        self._next_study = self._next_delivery = 0

    def forget(self, study: int) -> None:
        """Read a study from the catalog again: its state, or that of its deliveries, was changed."""
        uid = self._uids.pop(study, None)
        if uid is not None:
            del self._studies[uid]

    def _check(self, catalog: apsw.Connection) -> None:
        """Forget everything if a transaction was rolled back: what was learned in it may be wrong.

        Ids of studies and deliveries are never given twice, so what somebody still remembers means nothing else.
        """
        if self._undone != self._catalog.undone or not self._next_study:
            self._undone = self._catalog.undone
            self._studies.clear()
            self._uids.clear()
            highest = fetch_value(catalog, "SELECT max(id) FROM study") or 0
            self._next_study = max(self._next_study, highest + 1)
            highest = fetch_value(catalog, "SELECT max(id) FROM delivery") or 0
            self._next_delivery = max(self._next_delivery, highest + 1)

    def short_id(self, study_uid: str) -> str:
        """Return a study's short id: ten hex digits that are the same in every life of this spool."""
        return self._key.derive(_PURPOSE, study_uid.encode(), 5).hex()

    def plan(self, catalog: apsw.Connection, image: Filed) -> Plan:
        """Return what filing the image takes."""
        self._check(catalog)
        try:
            return self._plan(catalog, image)
        except BaseException:
            self._undone = -1
            raise

    def _plan(self, catalog: apsw.Connection, image: Filed) -> Plan:
        statements: list[Statement] = []
        study = self._study(catalog, image, statements)
        if study.reviewed and image.routed is not None:
            # What was found for the study decides, and that is not looked at here.
            image = image._replace(routed=None)
        number = (study.id << STUDY_SHIFT) + study.next_image
        study.next_image += 1
        statements.append(_image(number, image))
        patient = _patient(image.facts)
        if patient != study.patient:
            statements.append((_STRANGER, (number, *patient)))
        modality = image.facts.modality
        if modality and modality not in study.modalities:
            study.modalities.add(modality)
            joined = "\\".join(sorted(study.modalities))
            statements.append(("UPDATE study SET modalities = ? WHERE id = ?", (joined, study.id)))
        if study.state is not StudyState.RECEIVING:
            study.state = advance(STUDY, study.state, StudyState.RECEIVING)
            sql = "UPDATE study SET state = ?, reason = 'A late image arrived.' WHERE id = ?"
            statements.append((sql, (study.state, study.id)))
        for ruin in image.replaces:
            statements += _replaced(ruin, image.arrival.received_at)
        routed, now = image.routed, image.arrival.received_at
        if routed is None or image.conflict:
            return Plan(number, study.short, statements, {}, later=routed is None)
        urgencies = {}
        for destination in routed.to:
            delivery = self._delivery(study, destination, routed.priority, now, statements)
            urgencies[destination] = delivery.priority
            waits = (delivery.id, number, image.length, now, " ".join(routed.else_to), routed.else_after)
            statements.append((_WAITING, waits))
        return Plan(number, study.short, statements, urgencies)

    def _study(self, catalog: apsw.Connection, image: Filed, statements: list[Statement]) -> _Study:
        uid = image.facts.study_uid
        known = self._studies.get(uid)
        if known is not None:
            self._studies.move_to_end(uid)
            return known
        known = self._read_study(catalog, uid)
        if known is None:
            known = _Study(self._next_study, self.short_id(uid), StudyState.RECEIVING, 0, set())
            known.patient = _patient(image.facts)
            self._next_study += 1
            statements.append(_new_study(known, image))
        self._studies[uid] = known
        self._uids[known.id] = uid
        if len(self._studies) > _REMEMBERED:
            _, oldest = self._studies.popitem(last=False)
            del self._uids[oldest.id]
        return known

    @staticmethod
    def _read_study(catalog: apsw.Connection, uid: str) -> _Study | None:
        for study, short, state, modalities, *patient in fetch(
            catalog,
            "SELECT id, short, state, modalities, patient_name, patient_id, birth_date FROM study WHERE uid = ?",
            (uid,),
        ):
            last = fetch_value(catalog, "SELECT max(id) FROM image WHERE id BETWEEN ? AND ?", bounds(study))
            following = 0 if last is None else last - (study << STUDY_SHIFT) + 1
            known = _Study(
                study, short, StudyState(state), following, {kind for kind in modalities.split("\\") if kind}
            )
            known.patient = (patient[0], patient[1], patient[2])
            known.reviewed = fetch_value(catalog, "SELECT 1 FROM review WHERE study = ?", (study,)) is not None
            rows = fetch(catalog, "SELECT destination, id, state, priority FROM delivery WHERE study = ?", (study,))
            known.deliveries = {
                name: _Delivery(delivery, DeliveryState(now), priority) for name, delivery, now, priority in rows
            }
            return known
        return None

    def _delivery(
        self, study: _Study, destination: str, priority: int, now: int, statements: list[Statement]
    ) -> _Delivery:
        known = study.deliveries.get(destination)
        if known is None:
            known = _Delivery(self._next_delivery, DeliveryState.QUEUED, priority)
            self._next_delivery += 1
            statements.append((_DELIVERY, (known.id, study.id, destination, known.state, priority, now)))
        else:
            if known.state in ENDED:
                known = known._replace(state=advance(DELIVERY, known.state, DeliveryState.QUEUED))
                statements.append((REOPENED, (known.state, "A late image arrived.", now, known.id)))
            if priority > known.priority:
                known = known._replace(priority=priority)
                statements.append((MORE_URGENT, (priority, known.id)))
        study.deliveries[destination] = known
        return known

    def delivery(
        self, catalog: apsw.Connection, study: int, destination: str, now: int, *, priority: int | None = None
    ) -> int:
        """Return the delivery of a study to a destination, made if there is none; call it in a transaction.

        With a `priority` it becomes at least as urgent.
        """
        found: int | None = fetch_value(
            catalog, "SELECT id FROM delivery WHERE study = ? AND destination = ?", (study, destination)
        )
        if found is None:
            self._check(catalog)
            self.forget(study)
            found = self._next_delivery
            self._next_delivery += 1
            catalog.execute(_DELIVERY, (found, study, destination, DeliveryState.QUEUED, priority or 0, now))
        elif priority is not None:
            catalog.execute(MORE_URGENT, (priority, found))
            if catalog.changes():
                self.forget(study)
        return found


def run(catalog: apsw.Connection, statements: Sequence[Statement]) -> None:
    """Run planned statements."""
    for sql, values in statements:
        catalog.execute(sql, values)


_IMAGE: Final = (
    "INSERT INTO image (id, object_id, segment, place, length, sop_uid, sop_class, transfer_syntax, series_uid, "
    "series_number, series_description, modality, instance_number, frames, received_at, calling_ae, called_ae, peer, "
    "profile_version, conflict, acquisition, findings, routing, route, decided_by, held) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_STUDY: Final = (
    "INSERT INTO study (id, uid, short, patient_name, patient_id, birth_date, sex, accession_number, study_date, "
    "study_time, description, modalities, state, reason, first_received, last_received) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?)"
)
_STRANGER: Final = "INSERT INTO stranger (image, patient_name, patient_id, birth_date) VALUES (?, ?, ?, ?)"
_DELIVERY: Final = (
    "INSERT INTO delivery (id, study, destination, state, reason, priority, queued_at) VALUES (?, ?, ?, ?, '', ?, ?)"
)
ENDED: Final = frozenset({DeliveryState.DELIVERED, DeliveryState.CONFIRMED, DeliveryState.FAILED, DeliveryState.MOVED})
"""The states of a delivery that has to be opened again for another image."""
REOPENED: Final = (
    "UPDATE delivery SET state = ?, reason = ?, queued_at = ?, delivered_at = NULL, delivered_tick = NULL WHERE id = ?"
)
MORE_URGENT: Final = "UPDATE delivery SET priority = ?1 WHERE id = ?2 AND priority < ?1"
ANSWERED: Final = (
    "INSERT INTO ack (delivery, image, state, status, reason, comment, attempts, at, profile_version) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FORGOTTEN: Final = "DELETE FROM ack WHERE image = ?1 AND delivery IN (SELECT id FROM delivery WHERE study = ?1 >> 24)"
_WAITING: Final = "INSERT INTO waiting (delivery, image, bytes, since, else_to, else_after) VALUES (?, ?, ?, ?, ?, ?)"


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
        facts.images_in_acquisition,
        "\n".join(facts.findings),
        *_routing(image),
    )


def _patient(facts: Facts) -> tuple[str, str, str]:
    return facts.patient_name, facts.patient_id, facts.birth_date


def _routing(image: Filed) -> tuple[int, int | None, int | None, str]:
    routed = image.routed
    if image.conflict:
        return Standing.DECIDED, None, None, ""
    if routed is None:
        return Standing.OPEN, None, None, ""
    return routed.standing, routed.route, routed.version, routed.held


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


def _replaced(ruin: int, now: int) -> list[Statement]:
    """Take a damaged image out, for a good copy has come.

    What was acknowledged of it does not count for the copy: nobody can compare the two any more.
    """
    return [
        (_FORGOTTEN, (ruin,)),
        ("UPDATE image SET purged_at = ? WHERE id = ? AND purged_at IS NULL", (now, ruin)),
    ]
