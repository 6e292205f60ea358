"""What the spool holds, study by study, in the words of the control socket. Reads only."""

from __future__ import annotations

import json
import time
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import apsw
import msgspec

from capacitord.api import messages as m
from capacitord.errors import Ambiguous, NotFound
from capacitord.model import doubts, findings
from capacitord.model.reasons import WHOSE, WORDS, Reason, Words, suggested
from capacitord.model.review import State
from capacitord.model.routes import Priority
from capacitord.model.states import AckState, DeliveryState, StudyState
from capacitord.model.transform import Transform
from capacitord.seal.sealed import room
from capacitord.spool import evidence
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.filing import bounds
from capacitord.spool.ledger import Doubt
from capacitord.spool.routed import REASONS, Standing
from capacitord.spool.segment import Place
from capacitord.spool.stored import Objects, Stored
from capacitord.spool.together import UNDECIDED

_STUDY: Final = """
SELECT s.id, s.short, s.uid, s.patient_name, s.patient_id, s.birth_date, s.sex, s.accession_number, s.study_date,
  s.study_time, s.description, s.modalities, s.state, s.reason, s.images, s.bytes, s.conflicts, s.corrupt, s.purged,
  s.first_received, s.last_received, s.held, s.unrouted, s.closed_by, s.closed_at,
  EXISTS (SELECT 1 FROM set_aside a WHERE a.study = s.id)
FROM study s
"""
_SOME: Final = "WHERE s.id IN (SELECT value FROM json_each(?))"
_COUNT: Final = "SELECT count(*) FROM study s"
_LISTED: Final = f"""
WHERE (?1 IS NULL OR s.state = ?1) AND (NOT ?2 OR s.held OR s.unrouted OR EXISTS (
  SELECT 1 FROM delivery d WHERE d.study = s.id AND d.open AND (d.waiting > 0 OR d.refused > 0 OR d.held > 0)
) OR (s.conflicts AND EXISTS (
  SELECT 1 FROM image i WHERE i.id BETWEEN s.id << 24 AND (s.id << 24 | 16777215) AND {UNDECIDED}
)))
"""  # noqa: S608 - of constants
_QUEUED: Final = """
JOIN (
  SELECT study, max(priority) AS priority, min(id) AS first FROM delivery
  WHERE open AND (waiting > 0 OR refused > 0 OR held > 0) GROUP BY study
) AS q ON q.study = s.id
ORDER BY q.priority DESC, q.first LIMIT ?
"""
_UNANSWERED: Final[Mapping[Doubt, tuple[AckState, str]]] = MappingProxyType(
    {
        Doubt.NONE: (AckState.WAITING, "It waits to be sent."),
        Doubt.HANDED_OUT: (AckState.WAITING, "It is on its way."),
        Doubt.UNANSWERED: (AckState.DOUBT, "It may have been sent; no answer was recorded."),
    }
)
_ROUTING: Final[Mapping[Standing, str]] = MappingProxyType(
    dict.fromkeys(REASONS, "held") | {Standing.DECIDED: "routed", Standing.OPEN: "unrouted"}
)
_FAILED: Final = """
SELECT f.destination, f.number, s.short, d.reason, f.images FROM (
  SELECT destination, count(*) AS number, min(id) AS first, sum(refused + held) AS images
  FROM delivery WHERE open AND state = 'failed' GROUP BY destination
) AS f JOIN delivery d ON d.id = f.first JOIN study s ON s.id = d.study ORDER BY f.destination
"""
_WAITING_FOR: Final = """
SELECT destination, total(waiting) FROM delivery WHERE open AND waiting > 0 GROUP BY destination ORDER BY destination
"""
_WENT_ELSEWHERE: Final = """
SELECT (SELECT total(moved) FROM delivery WHERE destination = ?1), a.at, s.short, a.reason FROM (
  SELECT id, study FROM delivery WHERE destination = ?1 AND moved > 0 ORDER BY id DESC LIMIT 20
) d CROSS JOIN ack a ON a.delivery = d.id JOIN study s ON s.id = d.study
WHERE a.state = 'moved' ORDER BY a.at DESC LIMIT 1
"""
"""The last of the latest deliveries: to look at all that ever went elsewhere would cost too much."""
_NAMED: Final = """
SELECT id, lower(hex(object_id)) FROM image WHERE id BETWEEN ?1 AND ?2 AND NOT replaced AND {match} ORDER BY id LIMIT ?4
"""
_UNDECIDED: Final = f"""
SELECT s.short, (
  SELECT count(*) FROM image i WHERE i.id BETWEEN s.id << 24 AND (s.id << 24 | 16777215) AND {UNDECIDED}
) AS undecided
FROM study s WHERE s.id BETWEEN ? AND ? AND s.conflicts > 0 ORDER BY s.id DESC
"""  # noqa: S608 - of constants
"""Images in conflict that nobody has asked to be sent: nobody gets them, and nobody has said that this is right."""
_LOST: Final = """
SELECT count(*) FROM study s JOIN image i ON i.id BETWEEN s.id << 24 AND (s.id << 24 | 16777215)
WHERE s.corrupt > 0 AND i.ruin AND NOT EXISTS (
  SELECT 1 FROM delivery d JOIN ack a ON a.delivery = d.id AND a.image = i.id
  WHERE d.study = s.id AND a.state IN ('done', 'warning')
)
"""
_HELD_FOR: Final = """
SELECT routing, count(*) FROM image WHERE id BETWEEN ? AND ? AND here AND routing > 1 GROUP BY 1 ORDER BY 1
"""
_SUGGESTED: Final = "SELECT entry FROM review WHERE study = ? AND state = ?"
_HELD_WITH: Final = """
SELECT findings FROM image WHERE id BETWEEN ? AND ? AND here AND NOT conflict AND routing > 1 AND findings != ''
"""
_HELD_BACK: Final = """
SELECT a.held, d.destination, count(*)
FROM delivery d CROSS JOIN ack a ON a.delivery = d.id JOIN image i ON i.id = a.image
WHERE d.study = ? AND d.held > 0 AND a.state = 'held' AND i.here AND i.routing >= 0 GROUP BY 1, 2 ORDER BY 2, 1
"""
_AWAITED: Final = f"""
SELECT id FROM study WHERE held > 0
UNION SELECT d.study FROM delivery d WHERE d.open AND d.held > 0 AND EXISTS (
  SELECT 1 FROM ack a JOIN image i ON i.id = a.image
  WHERE a.delivery = d.id AND a.state = 'held' AND i.here AND i.routing >= 0
)
UNION SELECT s.id FROM study s WHERE s.conflicts > 0 AND EXISTS (
  SELECT 1 FROM image i WHERE i.id BETWEEN s.id << 24 AND (s.id << 24 | 16777215) AND {UNDECIDED}
)
"""  # noqa: S608 - of constants
"""The studies of which something waits for a person."""
_DISCARDED: Final = "SELECT count(*) FROM image WHERE id BETWEEN ? AND ? AND here AND routing < 0"
_CALLED: Final = """
SELECT id, short FROM study WHERE uid = ?1
UNION SELECT id, short FROM study WHERE accession_number = ?1 AND accession_number != ''
UNION SELECT id, short FROM study WHERE short >= ?2 AND short < ?2 || 'g'
ORDER BY id DESC LIMIT ?3
"""
_NUMBERED: Final = """
SELECT series_uid, series_number, instance_number, acquisition FROM image
WHERE id BETWEEN ? AND ? AND NOT corrupt AND NOT conflict
"""
_MANY: Final = 20
_FAULTS: Final = 4
"""Different faults of a study's images that are told beside why they wait."""
_SHORTEST: Final = 4
_PAGE: Final = 1000
_SENDABLE_PAGE: Final = 200
_BEYOND_ALL: Final = 1 << 40


def _routing(standing: int) -> str:
    return _ROUTING[Standing(standing)] if standing >= 0 else "set aside"


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _ahead(moment: int | None) -> datetime | None:
    """Return the time of a next try, None if it is over: then it is tried as soon as its turn comes."""
    return when(moment) if moment is not None and moment > time.time_ns() else None


def when(nanoseconds: int | None) -> datetime | None:
    """Return a catalog time as an aware datetime."""
    return None if nanoseconds is None else _moment(nanoseconds)


def _held_for(catalog: apsw.Connection, study: int, short: str, uid: str, twins: int) -> Iterator[m.HeldFor]:
    """Yield why something of a study waits: whole images, the gravest reason first, those in conflict, and copies.

    An image has one standing, and may be invalid, or of a study with missing images, beside that: it is told as well.
    While it is not known whose a study is, that is what the next step is about.
    """
    counts = {Standing(standing): count for standing, count in fetch(catalog, _HELD_FOR, bounds(study))}
    faults = [why for (text,) in fetch(catalog, _HELD_WITH, bounds(study)) if (why := _errors(text))]
    if faults:
        counts[Standing.INVALID] = len(faults)
    missing = evidence.missing(catalog, uid).images if counts else 0
    found = sorted((Reason(REASONS[standing].word), standing) for standing in counts)
    order = sorted(found, key=lambda each: list(Reason).index(each[0]))
    said = {standing: Words(REASONS[standing].sentence, REASONS[standing].next_step) for standing in counts}
    later = fetch_value(catalog, _SUGGESTED, (study, State.UNMATCHED)) if Standing.UNMATCHED in counts else ""
    if later:
        said[Standing.UNMATCHED] = suggested(later)
    gravest = said[order[0][1]].step if order and order[0][0] in WHOSE else ""
    for reason, standing in order:
        sentence, step = said[standing]
        details = _told(faults) if standing is Standing.INVALID else ()
        if missing and standing is (Standing.MISSING if Standing.MISSING in counts else order[0][1]):
            details = (*details, f"{missing} image{' is' if missing == 1 else 's are'} missing that the scanner named")
        words = Words(sentence, gravest or step)
        yield msgspec.structs.replace(_waits(reason, words, counts[standing], short), details=details)
    if twins:
        yield _waits(Reason.DUPLICATE, WORDS[Reason.DUPLICATE], twins, short)
    for kind, destination, count in fetch(catalog, _HELD_BACK, (study,)):
        yield _waits(Reason(kind), WORDS[Reason(kind)], count, short, destination)


def _errors(text: str) -> tuple[str, ...]:
    """Return what is wrong with an image so that it is held, of all that was found."""
    return tuple(findings.sentence(line) for line in text.splitlines() if findings.holds(line))


def _told(faults: Collection[tuple[str, ...]]) -> tuple[str, ...]:
    """Return what is wrong with images, the most frequent first, and of how many it is; no more than `_FAULTS`."""
    counted = Counter(sentence for each in faults for sentence in each)
    words = [text if len(faults) == 1 else f"{count} of them: {text}" for text, count in counted.most_common(_FAULTS)]
    more = len(counted) - len(words)
    return (*words, f"{more} other fault{'s' * (more > 1)}") if more else tuple(words)


def _waits(why: Reason, words: Words, count: int, short: str, destination: str = "") -> m.HeldFor:
    sentence, step = (text.format(study=short, destination=destination) for text in words)
    return m.HeldFor(why, count, sentence, step, destination)


def _numbered(catalog: apsw.Connection, study: int) -> list[doubts.Numbered]:
    return [doubts.Numbered._make(row) for row in fetch(catalog, _NUMBERED, bounds(study))]


class Failed(NamedTuple):
    """A destination that did not get studies for good: how many, and of the first its short id and why.

    `images` are those of all these studies that it did not get.
    """

    destination: str
    studies: int
    short: str
    reason: str
    images: int


class Elsewhere(NamedTuple):
    """How many images went to other destinations instead, and of the last one when, of which study, where and why.

    `last` is in nanoseconds since the epoch.
    """

    images: int
    last: int
    short: str
    reason: str


class Sendable(NamedTuple):
    """An image of a study, ready to be read."""

    image: int
    object_id: bytes
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    length: int
    stored: Stored


class Specimen(NamedTuple):
    """An image of a study to be looked into, and how it came; `received_at` is in nanoseconds since the epoch.

    `reconciled` is what writes the attributes of a worklist entry into what is sent of it, as a person said.
    """

    object_id: bytes
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str
    length: int
    received_at: int
    stored: Stored
    reconciled: Transform | None = None

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset chunk by chunk, each valid until the next is asked for. Raises as `Stored.chunks`."""
        return self.stored.chunks()


class Studies:
    """Questions about studies."""

    def __init__(self, catalog: Catalog, names: Callable[[str], str], objects: Objects) -> None:
        """`names` gives the name of a SOP class or transfer syntax UID."""
        self._catalog, self._names, self._objects = catalog, names, objects

    def find(self, reference: str) -> tuple[int, str]:
        """Return the (id, short id) of the study that a short id's beginning, a UID or an accession number names.

        Raises `NotFound`, or `Ambiguous` with the short ids it could be.
        """
        low = reference.lower()
        is_short = len(low) >= _SHORTEST and all(digit in "0123456789abcdef" for digit in low)
        with self._catalog.read() as catalog:
            # What this box itself calls a study is never taken for another one's accession number.
            rows = fetch(catalog, "SELECT id, short FROM study WHERE short = ?", (low,))
            if not rows:
                rows = fetch(catalog, _CALLED, (reference, low if is_short else None, _MANY))
        if not rows:
            raise NotFound(
                "No study here has this short id, Study Instance UID or accession number.",
                hint="List the studies with `fluxctl study list`. A short id needs four digits at least.",
            )
        if len(rows) > 1:
            raise Ambiguous(
                f"This names {len(rows)} studies.",
                hint="Name one of them by its short id.",
                candidates=tuple(short for _, short in rows),
            )
        return int(rows[0][0]), str(rows[0][1])

    def image(self, study: int, reference: str) -> int:
        """Return the id of the image of a study that the beginning of an object id or of a SOP Instance UID names.

        Raises `NotFound`, or `Ambiguous` with the object ids it could be.
        """
        matches = [("sop_uid = ?3", reference)]
        if len(reference) >= _SHORTEST:
            matches += [
                ("substr(lower(hex(object_id)), 1, length(?3)) = ?3", reference.lower()),
                ("substr(sop_uid, 1, length(?3)) = ?3", reference),
            ]
        rows: list[tuple[Any, ...]] = []
        with self._catalog.read() as catalog:
            for match, named in matches:
                rows = rows or fetch(catalog, _NAMED.format(match=match), (*bounds(study), named, _MANY))
        if not rows:
            raise NotFound(
                "The study has no such image.",
                hint="List its images with `fluxctl study show STUDY --images`. "
                "The beginning of an id needs four characters at least.",
            )
        if len(rows) > 1:
            raise Ambiguous(
                f"This names {len(rows)} images of the study.",
                hint="Name one by its object id, as `fluxctl study show STUDY --images` shows it.",
                candidates=tuple(object_id for _, object_id in rows),
            )
        return int(rows[0][0])

    def undecided(self) -> list[tuple[str, int]]:
        """Return the short ids of the studies with images in conflict that nobody decided on, and how many."""
        with self._catalog.read() as catalog:
            return [(short, number) for short, number in fetch(catalog, _UNDECIDED, (0, _BEYOND_ALL)) if number]

    def lost(self) -> int:
        """Return how many images are damaged and were taken in by no destination: nobody else has them, as we know."""
        with self._catalog.read() as catalog:
            return int(fetch_value(catalog, _LOST))

    def page(self, query: m.StudyQuery) -> m.StudyList:
        """Return a page of studies, newest first."""
        limit = max(1, min(query.limit, _PAGE))
        after = int(query.after) if query.after.isdecimal() else _BEYOND_ALL
        listed = (query.state, query.undelivered)
        with self._catalog.read() as catalog:
            total = fetch_value(catalog, _COUNT + _LISTED, listed)
            rows = fetch(
                catalog, _STUDY + _LISTED + "AND s.id < ?3 ORDER BY s.id DESC LIMIT ?4", (*listed, after, limit + 1)
            )
            studies = tuple(self._study(catalog, row) for row in rows[:limit])
        following = str(rows[limit - 1][0]) if len(rows) > limit else ""
        return m.StudyList("fluxctl.study.list/1", studies, total, following)

    def queued(self, limit: int = 200) -> tuple[m.Study, ...]:
        """Return the studies of which something waits, was refused or is held, in the order they will leave."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _STUDY + _QUEUED, (limit,))
            return tuple(self._study(catalog, row) for row in rows)

    def held(self, limit: int = 200) -> tuple[m.Study, ...]:
        """Return the studies that wait for a person's decision, the oldest first."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _STUDY + "WHERE s.state = ? ORDER BY s.id LIMIT ?", (StudyState.HELD, limit))
            return tuple(self._study(catalog, row) for row in rows)

    def held_page(self, limit: int, after: str) -> tuple[list[tuple[int, m.Study]], int, str]:
        """Return studies of which something waits for a person, the oldest first, with their ids.

        With them how many there are in all, and what the next page is `after`; empty if there is none.
        """
        beyond = int(after) if after.isdecimal() else -1
        with self._catalog.read() as catalog:
            waiting = [study for (study,) in fetch(catalog, f"{_AWAITED} ORDER BY 1")]
            page = [study for study in waiting if study > beyond][: limit + 1]
            rows = fetch(catalog, f"{_STUDY} {_SOME} ORDER BY s.id", (json.dumps(page),))
            found = [(row[0], self._study(catalog, row)) for row in rows[:limit]]
        return found, len(waiting), str(rows[limit - 1][0]) if len(rows) > limit else ""

    def held_back(self) -> tuple[int, str, str]:
        """Return how many studies are held, and the short id and the reason of the one that came first."""
        with self._catalog.read() as catalog:
            count = fetch_value(catalog, "SELECT count(*) FROM study WHERE state = ?", (StudyState.HELD,))
            for short, reason in fetch(
                catalog, "SELECT short, reason FROM study WHERE state = ? ORDER BY id LIMIT 1", (StudyState.HELD,)
            ):
                return int(count), short, reason
        return 0, "", ""

    def receiving(self) -> int:
        """Return of how many studies images may still arrive."""
        with self._catalog.read() as catalog:
            return int(fetch_value(catalog, "SELECT count(*) FROM study WHERE state = ?", (StudyState.RECEIVING,)))

    def failed(self) -> list[Failed]:
        """Return the destinations that did not get studies for good, with one study and its reason for each."""
        with self._catalog.read() as catalog:
            return [Failed._make(row) for row in fetch(catalog, _FAILED)]

    def elsewhere(self, destination: str) -> Elsewhere | None:
        """Return what went to others instead of a destination; None if nothing did."""
        with self._catalog.read() as catalog:
            for images, *last in fetch(catalog, _WENT_ELSEWHERE, (destination,)):
                return Elsewhere(int(images), *last)
        return None

    def stranded(self, named: Collection[str]) -> list[tuple[str, int]]:
        """Return the destinations that are not among `named` and for which images wait, and how many."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _WAITING_FOR)
        return [(destination, int(number)) for destination, number in rows if destination not in named]

    def detail(self, study: int, schema: str) -> m.StudyDetail:
        """Return a study with all its images and what each destination answered."""
        with self._catalog.read() as catalog:
            row = fetch(catalog, _STUDY + "WHERE s.id = ?", (study,))[0]
            acks = self._acks(catalog, study)
            images = fetch(
                catalog,
                "SELECT id, sop_uid, sop_class, transfer_syntax, series_uid, series_number, series_description, "
                "modality, instance_number, length, received_at, calling_ae, peer, conflict, corrupt, purged_at, "
                "object_id, routing, route, coalesce(decided_by, profile_version), held, findings, "
                "(SELECT entry FROM release r WHERE r.id = image.release AND r.changes IS NOT NULL) "
                "FROM image WHERE id BETWEEN ? AND ? AND NOT replaced "
                "ORDER BY series_number, series_uid, instance_number, id",
                bounds(study),
            )
            missing = evidence.missing(catalog, row[2])
            return m.StudyDetail(
                schema,
                self._study(catalog, row),
                tuple(self._image(image, acks) for image in images),
                missing.images,
                missing.uids,
                tuple(doubts.doubts(_numbered(catalog, study))),
            )

    def some(self, studies: Collection[int]) -> dict[int, m.Study]:
        """Return those of these studies that there are, each as `page` has it."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _STUDY + _SOME, (json.dumps([*studies]),))
            return {row[0]: self._study(catalog, row) for row in rows}

    def _study(self, catalog: apsw.Connection, row: Sequence[Any]) -> m.Study:
        deliveries = self._deliveries(catalog, row[0])
        twins = self._undecided(catalog, row[0]) if row[16] else 0
        waits = row[21] or twins or any(delivery.held for delivery in deliveries)
        return m.Study(
            id=row[1],
            study_uid=row[2],
            patient_name=row[3],
            patient_id=row[4],
            birth_date=row[5],
            sex=row[6],
            accession_number=row[7],
            study_date=row[8],
            study_time=row[9],
            description=row[10],
            modalities=tuple(kind for kind in row[11].split("\\") if kind),
            state=StudyState(row[12]),
            reason=row[13],
            images=row[14],
            bytes=row[15],
            conflicts=twins,
            corrupt=row[17],
            purged=row[18],
            first_received=_moment(row[19]),
            last_received=_moment(row[20]),
            deliveries=deliveries,
            held=row[21],
            unrouted=row[22],
            held_for=tuple(_held_for(catalog, row[0], row[1], row[2], twins)) if waits else (),
            closed_by=row[23],
            closed_at=when(row[24]),
            discarded=fetch_value(catalog, _DISCARDED, bounds(row[0])) if row[25] else 0,
        )

    @staticmethod
    def _undecided(catalog: apsw.Connection, study: int) -> int:
        return sum(number for _, number in fetch(catalog, _UNDECIDED, (study, study)))

    @staticmethod
    def _deliveries(catalog: apsw.Connection, study: int) -> tuple[m.StudyDelivery, ...]:
        return tuple(
            m.StudyDelivery(
                destination=destination,
                state=DeliveryState(state),
                reason=reason,
                images=waiting + done + warned + refused + held,
                acknowledged=done + warned,
                warnings=warned,
                doubtful=doubtful,
                refused=refused,
                next_try=_ahead(next_try),
                delivered_at=when(delivered_at),
                priority=str(Priority.of(priority)),
                moved=moved,
                held=held,
            )
            for (
                destination,
                state,
                reason,
                waiting,
                done,
                warned,
                refused,
                doubtful,
                next_try,
                delivered_at,
                priority,
                moved,
                held,
            ) in fetch(
                catalog,
                "SELECT destination, state, reason, waiting, done, warned, refused, doubtful, next_try, delivered_at, "
                "priority, moved, held FROM delivery WHERE study = ? ORDER BY destination",
                (study,),
            )
        )

    @staticmethod
    def _acks(catalog: apsw.Connection, study: int) -> dict[int, list[m.Ack]]:
        acks: dict[int, list[m.Ack]] = {}
        for image, destination, doubt, attempts, last in fetch(
            catalog,
            "SELECT w.image, d.destination, w.doubt, w.attempts, w.last "
            "FROM delivery d JOIN waiting w ON w.delivery = d.id WHERE d.study = ? ORDER BY d.destination",
            (study,),
        ):
            state, reason = _UNANSWERED[Doubt(doubt)]
            if last and state is AckState.WAITING:
                reason = f"{reason} The last attempt: {last}"
            acks.setdefault(image, []).append(m.Ack(destination, state, reason, None, "", attempts, None))
        for image, destination, state, reason, status, comment, attempts, at, version, held in fetch(
            catalog,
            "SELECT a.image, d.destination, a.state, a.reason, a.status, a.comment, a.attempts, a.at, "
            "a.profile_version, a.held "
            "FROM delivery d JOIN ack a ON a.delivery = d.id WHERE d.study = ? ORDER BY d.destination",
            (study,),
        ):
            acks.setdefault(image, []).append(
                m.Ack(destination, AckState(state), reason, status, comment, attempts, when(at), version, held)
            )
        return acks

    def _image(self, row: Sequence[Any], acks: dict[int, list[m.Ack]]) -> m.Image:
        return m.Image(
            sop_instance_uid=row[1],
            sop_class_uid=row[2],
            sop_class=self._names(row[2]),
            transfer_syntax_uid=row[3],
            transfer_syntax=self._names(row[3]),
            series_uid=row[4],
            series_number=row[5],
            series_description=row[6],
            modality=row[7],
            instance_number=row[8],
            bytes=row[9],
            received_at=_moment(row[10]),
            calling_ae=row[11],
            peer=row[12],
            conflict=bool(row[13]),
            corrupt=bool(row[14]),
            purged=row[15] is not None,
            object_id=row[16].hex(),
            routing=_routing(row[17]) if row[17] < 0 or not (row[13] or row[14]) else "",
            route=row[18],
            profile_version=row[19],
            held=row[20],
            held_for=REASONS[Standing(row[17])].word if row[17] in REASONS else "",
            findings=tuple(findings.sentence(line) for line in row[21].splitlines()),
            entry=row[22] or "",
            acks=tuple(sorted(acks.get(row[0], []), key=lambda ack: ack.destination)),
        )

    def sendable(self, study: int) -> Iterator[Sendable]:
        """Yield the images of a study that are here and whole, series by series and in each by instance number.

        Series come in the order of their numbers, what has no number comes first, and what has the same in the order
        it arrived. The order is that of the moment the first is asked for: what arrives later is not among them, what
        leaves meanwhile is left out. Of the whole study no more is held than a number for each image.
        """
        with self._catalog.read() as catalog:
            rows = catalog.execute(
                "SELECT id FROM image WHERE id BETWEEN ? AND ? AND here "
                "ORDER BY series_number, series_uid, instance_number, id",
                bounds(study),
            )
            order = array("q", (image for (image,) in rows))
        for start in range(0, len(order), _SENDABLE_PAGE):
            yield from self._sendable(order[start : start + _SENDABLE_PAGE])

    def _sendable(self, images: array[int]) -> Iterator[Sendable]:
        with self._catalog.read() as catalog:
            rows = fetch(
                catalog,
                "SELECT i.id, i.object_id, i.sop_class, i.sop_uid, i.transfer_syntax, i.calling_ae, i.length, "
                "i.segment, i.place FROM json_each(?) AS asked CROSS JOIN image i ON i.id = asked.value "
                "WHERE i.here ORDER BY asked.key",
                (json.dumps(images.tolist()),),
            )
        for row in rows:
            yield Sendable._make((*row[:7], self._stored(row)))

    def object_id(self, image: int) -> str:
        """Return the object id of an image, as `detail` has it."""
        with self._catalog.read() as catalog:
            return str(fetch_value(catalog, "SELECT lower(hex(object_id)) FROM image WHERE id = ?", (image,)))

    def specimen(self, image: int) -> Specimen | None:
        """Return an image to be looked into, None if it is not here or not whole."""
        with self._catalog.read() as catalog:
            rows = fetch(
                catalog,
                "SELECT object_id, sop_class, sop_uid, transfer_syntax, calling_ae, called_ae, length, received_at, "
                "segment, place, (SELECT changes FROM release r WHERE r.id = image.release) "
                "FROM image WHERE id = ? AND here",
                (image,),
            )
        for row in rows:
            place = Place(row[8], row[9], room(row[6]))
            stored = self._objects.stored(row[0], place, lambda: self._catalog.place(image))
            reconciled = None if row[10] is None else msgspec.json.decode(row[10], type=Transform)
            return Specimen._make((*row[:8], stored, reconciled))
        return None

    def _stored(self, row: Sequence[Any]) -> Stored:
        place = Place(row[7], row[8], room(row[6]))
        return self._objects.stored(row[1], place, lambda: self._catalog.place(row[0]))

    def ages(self, destination: str, now: int) -> m.AgeBuckets:
        """Return how long the images in a destination's queue have waited; `now` in nanoseconds since the epoch."""
        minute, ten, hour, day = (now - seconds * 10**9 for seconds in (60, 600, 3600, 86400))
        with self._catalog.read() as catalog:
            counts = fetch(
                catalog,
                "SELECT total(since > ?2), total(since > ?3 AND since <= ?2), total(since > ?4 AND since <= ?3), "
                "total(since > ?5 AND since <= ?4), total(since <= ?5) "
                "FROM delivery d CROSS JOIN waiting w ON w.delivery = d.id "
                "WHERE d.destination = ?1 AND d.open AND d.waiting > 0",
                (destination, minute, ten, hour, day),
            )[0]
        return m.AgeBuckets(*map(int, counts))
