"""What scanners say of their studies: which images they made, and that they are done. Durable when a call returns.

It is kept for the Study Instance UID that was named, whether or not anything of that study is here yet. Nothing of it
can be read again from sealed objects: a catalog that was lost takes it along, and studies then close by quiet time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple

import apsw

from capacitord.model.completeness import Event, Witness
from capacitord.model.evidence import Doing, Named, Result
from capacitord.spool.catalog import Catalog, fetch, fetch_value

MOST_NAMED: Final = 20
"""Missing images that are named; of the others, how many there are."""

_MISSING: Final = """
FROM (SELECT DISTINCT x.sop_uid FROM evidence e JOIN expected x ON x.evidence = e.id WHERE e.study_uid = ?) AS named
WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.sop_uid = named.sop_uid AND NOT i.corrupt)
"""
_WITNESSES: Final = """
SELECT e.kind, min(e.over),
  (SELECT count(DISTINCT x.sop_uid) FROM expected x JOIN evidence o ON o.id = x.evidence
   WHERE o.study_uid = ?1 AND o.kind = e.kind),
  (SELECT count(DISTINCT x.sop_uid) FROM expected x JOIN evidence o ON o.id = x.evidence
   WHERE o.study_uid = ?1 AND o.kind = e.kind
     AND NOT EXISTS (SELECT 1 FROM image i WHERE i.sop_uid = x.sop_uid AND NOT i.corrupt)),
  (SELECT count(*) FROM image i WHERE i.id BETWEEN ?2 AND ?3 AND NOT i.corrupt AND NOT EXISTS (
     SELECT 1 FROM expected x JOIN evidence o ON o.id = x.evidence
     WHERE o.study_uid = ?1 AND o.kind = e.kind AND x.sop_uid = i.sop_uid))
FROM evidence e WHERE e.study_uid = ?1 GROUP BY e.kind ORDER BY e.kind
"""
_OUTSTANDING: Final = """
SELECT (SELECT s.short FROM study s WHERE s.uid = e.study_uid), min(e.over), (
  SELECT count(DISTINCT x.sop_uid) FROM evidence o JOIN expected x ON x.evidence = o.id
  WHERE o.study_uid = e.study_uid AND o.at >= ?1
    AND NOT EXISTS (SELECT 1 FROM image i WHERE i.sop_uid = x.sop_uid AND NOT i.corrupt)
) FROM evidence e WHERE e.at >= ?1 GROUP BY e.study_uid ORDER BY min(e.id)
"""
_ASKED: Final = "SELECT sop_class, sop_uid FROM asked WHERE request = ? ORDER BY number"
_STATE: Final = """
SELECT i.sop_class FROM image i WHERE i.sop_uid = ?1 AND NOT i.corrupt AND (i.here AND i.routing >= 0 OR EXISTS (
  SELECT 1 FROM delivery d JOIN ack a ON a.delivery = d.id AND a.image = i.id
  WHERE d.study = i.id >> 24 AND a.state IN ('done', 'warning')
))
"""
"""An image for whose safety this box stands: it is here to stay, or a destination has acknowledged it.

One that a person discarded is here for a while, and then it is overwritten.
"""

_ANNOUNCED: Final = """
SELECT e.study_uid, e.calling_ae, max(e.at), min(e.over), (
  SELECT count(DISTINCT x.sop_uid) FROM evidence o JOIN expected x ON x.evidence = o.id WHERE o.study_uid = e.study_uid
) AS named
FROM evidence e WHERE NOT EXISTS (SELECT 1 FROM study s WHERE s.uid = e.study_uid)
GROUP BY e.study_uid HAVING named > 0 OR min(e.over) = 0 ORDER BY 3 DESC, 1
"""
_FORGOTTEN: Final = """
SELECT e.id FROM evidence e WHERE e.at < ?
AND NOT EXISTS (SELECT 1 FROM study s WHERE s.uid = e.study_uid AND s.bytes > 0)
"""


class Missing(NamedTuple):
    """Images of a study that evidence names and that have not arrived: how many, and the UIDs of the first."""

    images: int
    uids: tuple[str, ...]


class Announced(NamedTuple):
    """A study of which something was said and nothing ever came, by short id and UID: by whom, how many images.

    `over` is false while an MPPS of it is in progress; `at` is when it was said last, in nanoseconds since the epoch.
    """

    short: str
    uid: str
    calling_ae: str
    at: int
    over: bool
    images: int


class Request(NamedTuple):
    """A storage commitment request that was accepted and whose result is still to be reported; `at` in ns."""

    id: int
    transaction_uid: str
    calling_ae: str
    called_ae: str
    at: int


class Outstanding(NamedTuple):
    """What scanners named and is not here: images of studies that are `incomplete` (short ids), and whole studies.

    Of the `announced` studies nothing is here. Those that are `begun` are still being made, as far as scanners say.
    """

    missing: int
    incomplete: tuple[str, ...]
    announced: int
    begun: int


NO_SUCH_OBJECT: Final = 0x0112
CLASS_INSTANCE_CONFLICT: Final = 0x0119
"""Failure Reason (0008,1197) (PS3.3 §C.14)."""


class Evidence:
    """Takes evidence in, and answers what follows from it."""

    def __init__(
        self, catalog: Catalog, touched: Callable[[Collection[str]], None], short: Callable[[str], str]
    ) -> None:
        """`touched` is told the Study Instance UIDs of which something was said; `short` gives a study's short id."""
        self._catalog, self._touched, self._short = catalog, touched, short

    # --- modality performed procedure steps (PS3.4 §F.7)

    def step_began(self, uid: str, studies: Sequence[str], calling_ae: str, now: int) -> Doing:
        """Keep a new step of these studies. Returns DONE, or KNOWN if there is one of that UID."""
        with self._catalog.change() as catalog:
            if _step(catalog, uid):
                return Doing.KNOWN
            for study in dict.fromkeys(studies):
                catalog.execute(_ADD, (Event.MPPS, uid, study, 0, now, calling_ae))
        self._touched(studies)
        return Doing.DONE

    def step_changed(self, uid: str, images: Iterable[Named] | None, now: int, *, over: bool) -> Doing:
        """Keep what a step says now: its images, None if it does not say; whether it is `over`, for good or ill.

        Returns DONE, UNKNOWN if there is no such step, or OVER if it may no longer be changed (PS3.4 §F.7.2.2.2).
        """
        named = None if images is None else list(dict.fromkeys(images))
        with self._catalog.change() as catalog:
            rows = _step(catalog, uid)
            if not rows:
                return Doing.UNKNOWN
            if any(ended for _, _, ended in rows):
                return Doing.OVER
            for number, _, _ in rows:
                catalog.execute("UPDATE evidence SET over = ?, at = ? WHERE id = ?", (int(over), now, number))
                if named is not None:
                    catalog.execute("DELETE FROM expected WHERE evidence = ?", (number,))
                    _expect(catalog, number, named)
        self._touched([study for _, study, _ in rows])
        return Doing.DONE

    # --- storage commitment (PS3.4 annex J)

    def asked(self, transaction_uid: str, images: Sequence[Named], calling_ae: str, called_ae: str, now: int) -> None:
        """Keep a request, so that its result is reported even if this process ends now.

        It is evidence for each study of which it names an image that is here; where that is one study alone, what it
        names besides is expected there.
        """
        images = list(dict.fromkeys(images))
        with self._catalog.change() as catalog:
            catalog.execute(
                "DELETE FROM asked WHERE request IN (SELECT id FROM request WHERE uid = ? AND calling_ae = ?)",
                (transaction_uid, calling_ae),
            )
            catalog.execute("DELETE FROM request WHERE uid = ? AND calling_ae = ?", (transaction_uid, calling_ae))
            catalog.execute(
                "INSERT INTO request (uid, calling_ae, called_ae, at) VALUES (?, ?, ?, ?)",
                (transaction_uid, calling_ae, called_ae, now),
            )
            number = catalog.last_insert_rowid()
            catalog.executemany(
                "INSERT INTO asked VALUES (?, ?, ?, ?)", ((number, place, *each) for place, each in enumerate(images))
            )
            by_study = _by_study(catalog, images)
            for study, named in by_study.items():
                # An answer that went astray is asked for again, under the same UID.
                for (old,) in fetch(
                    catalog,
                    "SELECT id FROM evidence WHERE kind = ? AND uid = ? AND study_uid = ?",
                    (Event.COMMITMENT, transaction_uid, study),
                ):
                    _forget(catalog, old)
                catalog.execute(_ADD, (Event.COMMITMENT, transaction_uid, study, 1, now, calling_ae))
                _expect(catalog, catalog.last_insert_rowid(), images if len(by_study) == 1 else named)
        self._touched(list(by_study))

    def unreported(self) -> list[Request]:
        """Return the requests whose result is still to be reported, the oldest first."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, "SELECT id, uid, calling_ae, called_ae, at FROM request ORDER BY id")
        return [Request._make(row) for row in rows]

    def result(self, request: int) -> Result:
        """Return what is to be reported of a request, by what the spool knows at this moment."""
        committed: list[Named] = []
        failed: list[tuple[Named, int]] = []
        # Beside the writing connection, so that a request that names very many keeps no image waiting.
        self._catalog.settle()
        with self._catalog.read() as catalog:
            for sop_class, sop_uid in fetch(catalog, _ASKED, (request,)):
                classes = {found for (found,) in fetch(catalog, _STATE, (sop_uid,))}
                named = Named(sop_class, sop_uid)
                if sop_class in classes:
                    committed.append(named)
                else:
                    failed.append((named, CLASS_INSTANCE_CONFLICT if classes else NO_SUCH_OBJECT))
        return Result(tuple(committed), tuple(failed))

    def reported(self, request: int) -> None:
        """Take note that the result of a request was received, or that nobody wants it any more."""
        with self._catalog.change() as catalog:
            catalog.execute("DELETE FROM asked WHERE request = ?", (request,))
            catalog.execute("DELETE FROM request WHERE id = ?", (request,))

    # ---

    def announced(self) -> list[Announced]:
        """Return the studies of which something was said and no image ever came, the latest first."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _ANNOUNCED)
        return [Announced(self._short(uid), uid, ae, at, bool(over), images) for uid, ae, at, over, images in rows]

    def outstanding(self, since: int) -> Outstanding:
        """Return what was named since a moment (ns since the epoch) and is not here, or not done yet."""
        self._catalog.settle()
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _OUTSTANDING, (since,))
        incomplete = [(short, images) for short, _, images in rows if short is not None and images]
        return Outstanding(
            sum(images for _, images in incomplete),
            tuple(short for short, _ in incomplete),
            sum(1 for short, _, images in rows if short is None and images),
            sum(1 for _, over, _ in rows if not over),
        )

    def forget(self, before: int) -> None:
        """Forget what was said before a moment (ns since the epoch) of studies of which nothing is here any more."""
        with self._catalog.read() as catalog:
            old = [number for (number,) in fetch(catalog, _FORGOTTEN, (before,))]
        if old:
            with self._catalog.change() as catalog:
                for number in old:
                    _forget(catalog, number)


def witnesses(catalog: apsw.Connection, study_uid: str, low: int, high: int) -> list[Witness]:
    """Return what was said of a study, whose images have ids from `low` to `high`, by each kind of evidence."""
    return [
        Witness(Event(kind), bool(over), named, missing, unnamed)
        for kind, over, named, missing, unnamed in fetch(catalog, _WITNESSES, (study_uid, low, high))
    ]


def missing(catalog: apsw.Connection, study_uid: str) -> Missing:
    """Return the images that were named for a study and have not arrived."""
    count = fetch_value(catalog, f"SELECT count(*) {_MISSING}", (study_uid,))
    if not count:
        return Missing(0, ())
    rows = fetch(catalog, f"SELECT named.sop_uid {_MISSING} ORDER BY 1 LIMIT {MOST_NAMED}", (study_uid,))
    return Missing(int(count), tuple(uid for (uid,) in rows))


_ADD: Final = "INSERT INTO evidence (kind, uid, study_uid, over, at, calling_ae) VALUES (?, ?, ?, ?, ?, ?)"


def _step(catalog: apsw.Connection, uid: str) -> list[tuple[int, str, bool]]:
    rows = fetch(catalog, "SELECT id, study_uid, over FROM evidence WHERE kind = ? AND uid = ?", (Event.MPPS, uid))
    return [(number, study, bool(over)) for number, study, over in rows]


def _expect(catalog: apsw.Connection, evidence: int, images: Iterable[Named]) -> None:
    catalog.executemany(
        "INSERT OR IGNORE INTO expected VALUES (?, ?)", ((evidence, each.sop_instance_uid) for each in images)
    )


def _forget(catalog: apsw.Connection, evidence: int) -> None:
    catalog.execute("DELETE FROM expected WHERE evidence = ?", (evidence,))
    catalog.execute("DELETE FROM evidence WHERE id = ?", (evidence,))


def _by_study(catalog: apsw.Connection, images: Sequence[Named]) -> dict[str, list[Named]]:
    """Return the images that are here by the UID of their study."""
    known = {each.sop_instance_uid: each for each in images}
    rows = fetch(
        catalog,
        "SELECT DISTINCT s.uid, i.sop_uid FROM json_each(?) AS asked JOIN image i ON i.sop_uid = asked.value "
        "JOIN study s ON s.id = i.id >> 24 WHERE NOT i.corrupt",
        (json.dumps(list(known)),),
    )
    found: dict[str, list[Named]] = {}
    for study, uid in rows:
        found.setdefault(study, []).append(known[uid])
    return found
