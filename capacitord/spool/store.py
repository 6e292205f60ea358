"""The spool of one site: what the rest of the program sees of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import apsw

from capacitord.errors import CapacitordError, DamagedObject, PartlyDone
from capacitord.model.completeness import BY_QUIET, Completeness
from capacitord.model.image import Arrival
from capacitord.model.states import StudyState
from capacitord.seal.keys import SiteKey
from capacitord.spool import deliveries
from capacitord.spool.admission import Admission, Incoming
from capacitord.spool.catalog import fetch, fetch_value
from capacitord.spool.closer import Closed, Closer
from capacitord.spool.codebook import Codebook
from capacitord.spool.damage import Damage
from capacitord.spool.decisions import Decisions
from capacitord.spool.disk import Disk
from capacitord.spool.evidence import Evidence
from capacitord.spool.filing import Filing
from capacitord.spool.housekeeping import Housekeeping
from capacitord.spool.ledger import Doubt, Ledger
from capacitord.spool.opening import Folder
from capacitord.spool.outbox import Outbox
from capacitord.spool.recovery import Recovery, Report
from capacitord.spool.releasing import Releasing
from capacitord.spool.review import Review
from capacitord.spool.routed import Decide
from capacitord.spool.segment import Layout
from capacitord.spool.space import Ballast, SpaceGuard
from capacitord.spool.spares import Spares
from capacitord.spool.stored import Objects
from capacitord.spool.studies import Studies
from capacitord.spool.twins import Twins
from capacitord.spool.worklist import Worklist
from capacitord.spool.writer import SegmentWriter


class Counts(NamedTuple):
    """The size of the spool. `bytes` counts what is still here.

    `held` images wait for a person, `unrouted` ones for the decision where they go. `held_back` images this box does
    not send to some destination, `refused` ones some destination did not take: each counts once, wherever it was to go.
    """

    studies: int
    images: int
    bytes: int
    undelivered: int
    conflicts: int
    corrupt: int
    held: int = 0
    unrouted: int = 0
    held_back: int = 0
    refused: int = 0


class Spool:
    """A site's durable queue: sealed objects, the encrypted catalog, the ledger of acknowledgements."""

    def __init__(
        self,
        root: Path,
        key: SiteKey,
        *,
        reserve: int,
        warning: int,
        decide: Decide,
        names: Callable[[str], str] = str,
        disk: Disk | None = None,
    ) -> None:
        """Open the spool at `root`, making it if it is not there, and mend what a crash left.

        `decide` says where an image goes, or that it is decided later; `names` gives UIDs their names. Raises
        `TryAgain` if another process has it open, `WrongKey`, `OutOfSpace` or `StorageFailed`.
        """
        began = time.monotonic()
        self.key, self.layout, self.report = key, Layout(root), Report()
        self._disk = disk or Disk()
        self._decide = decide
        self._objects = Objects(key, self._disk, self.layout)
        self.space = SpaceGuard(self._disk, root, reserve, warning)
        with contextlib.ExitStack() as undo:
            ballast = Ballast(self._disk, self.layout.ballast, reserve)
            folder = Folder(self._disk, self.layout, key, ballast)
            undo.enter_context(folder.claimed())
            self.report.removed = folder.clear_incoming()
            first = self._open(folder)
            undo.callback(self._catalog.close)
            spares = Spares(self._disk, self.layout, reserve)
            undo.callback(spares.close)
            self._writer = SegmentWriter(
                self._disk,
                self.layout,
                first,
                spares=spares,
                announce=self._announce,
                close=self._close_segment,
            )
            self._admission = Admission(
                self._objects,
                self._catalog,
                self._filing,
                self._writer,
                self.space,
                self._twins,
                decide=decide,
                tick=self.tick,
            )
            self.evidence = Evidence(self._catalog, self._admission.touch, self._filing.short_id)
            self._closer = Closer(self._catalog, self._filing, self._admission)
            self.ledger = Ledger(self._catalog, self._filing, self._objects)
            self.decisions = Decisions(self._catalog, self._filing, self._objects)
            self.review = Review(self._catalog, self._filing)
            self.releasing = Releasing(self._catalog, self._filing)
            self.codebook = Codebook(self._catalog)
            self.outbox = Outbox(self._catalog)
            self.studies = Studies(self._catalog, names, self._objects)
            self.worklist = Worklist(self._catalog)
            self.housekeeping = Housekeeping(
                self._objects, self._catalog, self._filing, self._writer, self._damage, ballast
            )
            self._resume()
            ballast.take()
            self.report.images = self.counts().images
            self.report.notes[:0] = folder.notes
            self.report.seconds = time.monotonic() - began
            self._undo = undo.pop_all()

    def _open(self, folder: Folder) -> int:
        """Open the catalog and mend it; if it proves damaged on the way, once more with a new one.

        Returns the first number that no segment has had.
        """
        for last in (False, True):
            self._catalog = folder.open_catalog()
            try:
                if folder.begun_anew:
                    # Remembered until all is filed: a start that is cut short must not pass for an ordinary one.
                    with self._catalog.change() as catalog:
                        catalog.execute("INSERT OR REPLACE INTO fact VALUES ('begun anew', 1)")
                self._filing = Filing(self.key, self._catalog)
                self._damage = Damage(self._objects, self._catalog, self._filing)
                self._twins = Twins(self._objects, self._catalog, self._damage)
                return Recovery(
                    self._objects,
                    self._catalog,
                    self._filing,
                    self._twins,
                    decide=self._decide,
                    report=self.report,
                ).run()
            except DamagedObject:
                self._catalog.close()
                if last:
                    raise
            except BaseException:
                self._catalog.close()
                raise
        raise AssertionError

    def _resume(self) -> None:
        """Go on where the last life ended. With a new catalog anything may have been sent before."""
        with self._catalog.change() as catalog:
            anew = fetch_value(catalog, "SELECT 1 FROM fact WHERE name = 'begun anew'")
            doubtful = Doubt.NONE if anew else Doubt.HANDED_OUT
            catalog.execute("DELETE FROM fact WHERE name = 'begun anew'")
            catalog.execute(
                "UPDATE delivery SET state = 'queued', reason = '', next_try = NULL "
                "WHERE state IN ('sending', 'deferred')"
            )
            catalog.execute("UPDATE waiting SET doubt = ? WHERE doubt = ?", (Doubt.UNANSWERED, doubtful))
            tick = fetch_value(catalog, "SELECT value FROM fact WHERE name = 'retention tick'")
            rows = fetch(catalog, "SELECT short FROM study WHERE state = ?", (StudyState.RECEIVING,))
            # A good copy of a damaged image came, and the end was cut short, or the version before did not do it.
            deliveries.settle_replaced(catalog, self._filing, time.time_ns(), float(tick or 0.0))
        self._tick_base, self._tick_start = float(tick or 0.0), time.monotonic()
        self._admission.expect([short for (short,) in rows])
        try:
            self.housekeeping.wipe()
        except PartlyDone as error:
            self.report.notes.append(f"{error.message} {error.hint}")

    def _announce(self, number: int) -> None:
        """Let the catalog know of a segment before its file has a name."""
        self._catalog.gather(lambda catalog: _segment(catalog, "INSERT OR IGNORE INTO segment (id) VALUES (?)", number))

    def _close_segment(self, number: int) -> None:
        self._catalog.gather(lambda catalog: _segment(catalog, "UPDATE segment SET closed = 1 WHERE id = ?", number))

    def begin(self, arrival: Arrival) -> Incoming:
        """Begin to take an image in. Raises `OutOfSpace` when the disk is down to its reserve."""
        return self._admission.begin(arrival)

    def close_arrived(self, quiet: float, rules: Completeness = BY_QUIET, *, matches: bool = False) -> list[Closed]:
        """Close the studies that have arrived by these rules; `quiet` is the box's own, in seconds.

        Where images leave as they arrive, that is done once it is decided where those of a study go. Where the profile
        `matches` studies, one of which images are missing is matched first, and held for that then.
        """
        return self._closer.close_arrived(quiet, rules, matches=matches)

    def tick(self) -> float:
        """Return the retention clock: seconds this spool was open and running, over all its lives."""
        return self._tick_base + time.monotonic() - self._tick_start

    def save_tick(self) -> None:
        """Remember the retention clock."""
        with self._catalog.change() as catalog:
            catalog.execute("INSERT OR REPLACE INTO fact VALUES ('retention tick', ?)", (self.tick(),))

    def counts(self) -> Counts:
        """Return how much the spool holds."""
        self._catalog.settle()
        with self._catalog.read() as catalog:
            totals = fetch(catalog, _TOTALS)[0]
            undelivered, held_back, refused = (int(fetch_value(catalog, each)) for each in _TROUBLED)
        studies, images, size, conflicts, corrupt, held, unrouted = map(int, totals)
        found = corrupt + self.report.corrupt
        return Counts(studies, images, size, undelivered, conflicts, found, held, unrouted, held_back, refused)

    def settle(self) -> None:
        """Make everything that was taken in visible to the queue."""
        self._catalog.settle()

    def close(self) -> None:
        """Close everything; a later `Spool` goes on where this one ended."""
        with self._undo:
            with contextlib.suppress(CapacitordError):
                self.save_tick()
            self._writer.finish()


_TOTALS = """
SELECT count(*), total(images - purged - corrupt), total(bytes), total(conflicts), total(corrupt), total(held),
  total(unrouted) FROM study
"""
_OWED = """
SELECT total(CASE
  WHEN open.deliveries = 1 OR open.most = study.images THEN open.most
  ELSE (SELECT count(DISTINCT w.image) FROM delivery d JOIN {rows} w.delivery = d.id WHERE d.study = study.id)
END)
FROM (
  SELECT study, count(*) AS deliveries, max({count}) AS most FROM delivery WHERE {count} > 0 GROUP BY study
) AS open JOIN study ON study.id = open.study
"""
_TROUBLED = (
    _OWED.format(count="waiting", rows="waiting w ON"),
    _OWED.format(count="held", rows="ack w ON w.state = 'held' AND"),
    _OWED.format(count="refused", rows="ack w ON w.state = 'refused' AND"),
)
"""Counts each image once that waits, is held back, or was refused."""


def _segment(catalog: apsw.Connection, sql: str, number: int) -> None:
    catalog.execute(sql, (number,))
