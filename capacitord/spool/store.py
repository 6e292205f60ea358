"""The spool of one site: what the rest of the program sees of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from capacitord.errors import CapacitordError, DamagedObject, TryAgain, WrongKey
from capacitord.model.image import Arrival, Facts
from capacitord.model.states import STUDY, StudyState, advance
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import SealedObject
from capacitord.spool.admission import Admission, Incoming
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.disk import Disk, failure
from capacitord.spool.filing import Filing, run
from capacitord.spool.housekeeping import Housekeeping
from capacitord.spool.ledger import Doubt, Ledger
from capacitord.spool.recovery import Recovery, Report
from capacitord.spool.sealing import clear_incoming
from capacitord.spool.segment import Layout
from capacitord.spool.space import SpaceGuard
from capacitord.spool.stored import Stored
from capacitord.spool.studies import Studies
from capacitord.spool.writer import SegmentWriter


class Counts(NamedTuple):
    """The size of the spool. `bytes` counts what is still here."""

    studies: int
    images: int
    bytes: int
    undelivered: int
    conflicts: int
    corrupt: int


class Spool:
    """A site's durable queue: sealed objects, the encrypted catalog, the ledger of acknowledgements."""

    def __init__(
        self,
        root: Path,
        key: SiteKey,
        *,
        reserve: int,
        warning: int,
        destinations: Callable[[Facts], tuple[str, ...]],
        names: Callable[[str], str] = str,
        disk: Disk | None = None,
    ) -> None:
        """Open the spool at `root`, making it if it is not there, and mend what a crash left.

        `destinations` decides where an image goes, `names` gives UIDs their names. Raises `TryAgain` if another process
        has it open, `WrongKey`, `OutOfSpace` or `StorageFailed`.
        """
        began = time.monotonic()
        self.key, self.layout, self.report = key, Layout(root), Report()
        self._disk = disk or Disk()
        self._rebuilt = False
        self._lock = self._own()
        try:
            self.report.removed += clear_incoming(self._disk, self.layout)
            self._catalog = self._open_catalog()
            self._filing = Filing(key)
            first = Recovery(
                key, self._disk, self.layout, self._catalog, self._filing, destinations=destinations, report=self.report
            ).run()
            self._writer = SegmentWriter(self._disk, self.layout, first, self._announce)
            self.space = SpaceGuard(self._disk, root, reserve, warning)
        except BaseException:
            os.close(self._lock)
            raise
        self._admission = Admission(
            key, self._disk, self.layout, self._catalog, self._filing, self._writer, self.space, destinations
        )
        self.ledger = Ledger(self._catalog, self._filing, key, self._disk, self.layout)
        self.studies = Studies(self._catalog, names, lambda place: Stored(key, self._disk, self.layout, place))
        self.housekeeping = Housekeeping(key, self._disk, self.layout, self._catalog, self._filing, self._writer)
        self._tick_base, self._tick_start = self._resume(), time.monotonic()
        self.report.images = self.counts().images
        self.report.seconds = time.monotonic() - began

    def _own(self) -> int:
        try:
            for folder in (self.layout.objects, self.layout.incoming, self.layout.corrupt):
                self._disk.make_folder(folder)
            lock = os.open(self.layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise failure(error, "open the spool") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise TryAgain(
                "Another process has this site's spool open.",
                hint="An earlier runtime is still finishing; it is tried again by itself.",
            ) from None
        return lock

    def _open_catalog(self) -> Catalog:
        path = self.layout.catalog
        try:
            return Catalog(path, self.key)
        except WrongKey:
            if self._fits_objects() is False:
                raise
            reason = "could not be opened"
        except DamagedObject:
            reason = "is damaged"
        aside = (
            self.layout.corrupt / f"catalog-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}.db"
        )
        try:
            for suffix in ("", "-wal", "-shm"):
                part = path.with_name(path.name + suffix)
                if part.exists():
                    self._disk.rename(part, aside.with_name(aside.name + suffix))
            self._disk.sync_folder(self.layout.corrupt)
            self._disk.sync_folder(self.layout.root)
        except OSError as error:
            raise failure(error, "set the damaged catalog aside") from error
        self._rebuilt = True
        self.report.notes.append(
            f"The catalog {reason}; it was set aside as {aside.name} and is rebuilt from the sealed objects. "
            "What was acknowledged by destinations before is not known any more and is sent again."
        )
        return Catalog(path, self.key)

    def _fits_objects(self) -> bool | None:
        """Return whether the key opens an object of this spool; None if there is none to try."""
        for number in self.layout.segments():
            with contextlib.suppress(OSError), self.layout.segment(number).open("rb", buffering=0) as file:
                descriptor = file.fileno()
                try:
                    SealedObject(self.key, lambda offset, into, fd=descriptor: os.preadv(fd, [into], offset))
                except WrongKey:
                    return False
                except DamagedObject:
                    continue
                return True
        return False if self.layout.segments() else None

    def _resume(self) -> float:
        with self._catalog.change() as catalog:
            catalog.execute(
                "UPDATE delivery SET state = 'queued', reason = '', next_try = NULL "
                "WHERE state IN ('sending', 'deferred')"
            )
            # What was being sent when the last life ended, or what another catalog knew, may have arrived.
            known = (Doubt.NONE,) if self._rebuilt else (Doubt.HANDED_OUT,)
            catalog.execute("UPDATE waiting SET doubt = ? WHERE doubt = ?", (Doubt.UNANSWERED, *known))
            tick = fetch_value(catalog, "SELECT value FROM fact WHERE name = 'retention tick'")
            rows = fetch(catalog, "SELECT short FROM study WHERE state = ?", (StudyState.RECEIVING,))
        self._admission.expect([short for (short,) in rows])
        return float(tick or 0.0)

    def _announce(self, number: int) -> None:
        with self._catalog.inside():
            self._catalog.gather(
                lambda catalog: run(
                    catalog,
                    [
                        ("UPDATE segment SET closed = 1 WHERE NOT closed", ()),
                        ("INSERT OR IGNORE INTO segment (id) VALUES (?)", (number,)),
                    ],
                )
            )

    def begin(self, arrival: Arrival) -> Incoming:
        """Begin to take an image in. Raises `OutOfSpace` when the disk is down to its reserve."""
        return self._admission.begin(arrival)

    def close_quiet(self, quiet: float, reason: str) -> list[str]:
        """Close the studies of which nothing arrived for `quiet` seconds; return their short ids."""
        now = time.monotonic()
        done = [short for short, last in self._admission.receiving().items() if now - last >= quiet]
        for short in done:
            with self._catalog.change() as catalog:
                if not self._admission.close(short, now - quiet):
                    continue
                for study, state in fetch(catalog, "SELECT id, state FROM study WHERE short = ?", (short,)):
                    complete = advance(STUDY, StudyState(state), StudyState.COMPLETE)
                    matched = advance(STUDY, complete, StudyState.MATCHED)
                    catalog.execute("UPDATE study SET state = ?, reason = ? WHERE id = ?", (matched, reason, study))
                    self._filing.note_study(study, matched)
        return done

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
            studies = fetch_value(catalog, "SELECT count(*) FROM study")
            images, size, conflicts, corrupt = fetch(
                catalog,
                "SELECT total(purged_at IS NULL), total(CASE WHEN purged_at IS NULL THEN length END), "
                "total(conflict AND purged_at IS NULL), total(corrupt) FROM image",
            )[0]
            undelivered = fetch_value(catalog, "SELECT count(DISTINCT image) FROM waiting")
        return Counts(studies, int(images), int(size), undelivered, int(conflicts), int(corrupt))

    def settle(self) -> None:
        """Make everything that was taken in visible to the queue."""
        self._catalog.settle()

    def close(self) -> None:
        """Close everything; a later `Spool` goes on where this one ended."""
        with contextlib.suppress(CapacitordError):
            self.save_tick()
        self._writer.finish()
        self._catalog.close()
        os.close(self._lock)
