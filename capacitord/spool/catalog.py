"""The catalog: an encrypted index of the spool, and the only place that holds what objects cannot (the ledger).

One connection writes, under one lock; readers have their own and never wait for it (write-ahead log). Rows of
images that were just taken in are gathered in an open transaction and committed a moment later together: the
objects are on stable storage before, and a start after a crash reads them again. Everything else (acknowledgements,
purges, a person's decisions) is synced before the call returns.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from capacitord.errors import CapacitordError, DamagedObject, OutOfSpace, StorageFailed, WrongKey
from capacitord.seal.keys import SiteKey

SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE segment (
  id INTEGER PRIMARY KEY, closed INTEGER NOT NULL DEFAULT 0, removed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE study (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, short TEXT NOT NULL UNIQUE,
  patient_name TEXT NOT NULL, patient_id TEXT NOT NULL, birth_date TEXT NOT NULL, sex TEXT NOT NULL,
  accession_number TEXT NOT NULL, study_date TEXT NOT NULL, study_time TEXT NOT NULL, description TEXT NOT NULL,
  state TEXT NOT NULL, reason TEXT NOT NULL, first_received INTEGER NOT NULL, last_received INTEGER NOT NULL
);
CREATE INDEX study_accession ON study (accession_number) WHERE accession_number != '';
CREATE INDEX study_state ON study (state);
CREATE TABLE image (
  id INTEGER PRIMARY KEY,          -- study << 24 | number within the study
  object_id BLOB NOT NULL, segment INTEGER NOT NULL, place INTEGER NOT NULL, length INTEGER NOT NULL,
  sop_uid TEXT NOT NULL, sop_class TEXT NOT NULL, transfer_syntax TEXT NOT NULL,
  series_uid TEXT NOT NULL, series_number INTEGER, series_description TEXT NOT NULL, modality TEXT NOT NULL,
  instance_number INTEGER, frames INTEGER,
  received_at INTEGER NOT NULL, calling_ae TEXT NOT NULL, called_ae TEXT NOT NULL, peer TEXT NOT NULL,
  profile_version INTEGER NOT NULL,
  conflict INTEGER NOT NULL DEFAULT 0, corrupt INTEGER NOT NULL DEFAULT 0, purged_at INTEGER
);
CREATE INDEX image_sop ON image (sop_uid);
CREATE INDEX image_segment ON image (segment);
CREATE TABLE delivery (
  id INTEGER PRIMARY KEY, study INTEGER NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0, queued_at INTEGER NOT NULL, next_try INTEGER, delivered_at INTEGER,
  delivered_tick REAL,
  UNIQUE (study, destination)
);
CREATE INDEX delivery_open ON delivery (destination, priority DESC, id) WHERE state NOT IN ('delivered', 'confirmed');
CREATE TABLE waiting (             -- an image still to be acknowledged by a destination
  delivery INTEGER NOT NULL, image INTEGER NOT NULL, bytes INTEGER NOT NULL,
  doubt INTEGER NOT NULL DEFAULT 0,   -- 1: an association has it; 2: it was sent and no answer was recorded
  attempts INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (delivery, image)
) WITHOUT ROWID;
CREATE TABLE ack (                 -- what a destination answered for an image
  delivery INTEGER NOT NULL, image INTEGER NOT NULL, state TEXT NOT NULL, status INTEGER, reason TEXT NOT NULL,
  comment TEXT NOT NULL, attempts INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (delivery, image)
) WITHOUT ROWID;
CREATE TABLE destination (name TEXT PRIMARY KEY, paused INTEGER NOT NULL DEFAULT 0, last_success INTEGER);
CREATE TABLE fact (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
"""

_PURPOSE: Final = b"capacitord catalog 1"
_CHECKPOINT_PAGES: Final = 8192
_GATHER_SECONDS: Final = 0.01


def _opened(path: Path, key: SiteKey, flags: int) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=flags)
    secret = key.derive(_PURPOSE, key.id).hex()
    connection.pragma("cipher", "sqlcipher")
    connection.execute(f"PRAGMA key = \"x'{secret}'\"")
    connection.set_busy_timeout(5000)
    return connection


def _named(error: apsw.Error, what: str) -> CapacitordError:
    if isinstance(error, apsw.FullError):
        return OutOfSpace(
            f"The disk is full: could not {what}.",
            hint="Restore the links to the destinations, or add space; delivered images are purged on their own.",
        )
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return DamagedObject(
            f"The catalog is damaged: could not {what}.",
            hint="Restart capacitord: it sets the damaged catalog aside and reads the sealed objects again.",
        )
    return StorageFailed(
        f"The catalog could not {what} ({type(error).__name__}).",
        hint="Nothing that depended on it was acknowledged. Check the disk (`dmesg`, SMART).",
    )


def fetch(connection: apsw.Connection, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return all rows of a query, whose types the schema knows and the type checker cannot."""
    return connection.execute(sql, values).fetchall()


def fetch_value(connection: apsw.Connection, sql: str, values: tuple[Any, ...] = ()) -> Any:
    """Return the first column of a query's first row, None if it has none."""
    row = connection.execute(sql, values).fetchone()
    return None if row is None else row[0]


class Catalog:
    """The database and its discipline; the rows' meaning is in the modules that read and write them."""

    def __init__(self, path: Path, key: SiteKey) -> None:
        """Open or create the catalog. Raises `WrongKey` or `DamagedObject` if what is there can't be read."""
        self._path, self._key = path, key
        self._lock = threading.RLock()
        self._gathered: list[Callable[[apsw.Connection], None]] = []
        self._work = threading.Event()
        self._closing = False
        new = not path.exists()
        self._writer = _opened(path, key, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            self._prepare(new=new)
        except apsw.NotADBError:
            self._writer.close()
            raise WrongKey(
                "The catalog does not open with this site's key.",
                where=path.name,
                hint="Restore the site's key from the recovery file, or have the catalog rebuilt from the objects.",
            ) from None
        except apsw.Error as error:
            self._writer.close()
            raise _named(error, "open") from error
        self._readers: list[apsw.Connection] = []
        self._thread = threading.Thread(target=self._commit_gathered, name="catalog", daemon=True)
        self._thread.start()

    def _prepare(self, *, new: bool) -> None:
        writer = self._writer
        if new:
            self._path.chmod(0o600)
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute("PRAGMA foreign_keys = OFF")
        writer.execute("PRAGMA temp_store = MEMORY")
        writer.execute("PRAGMA cache_size = -16384")
        writer.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        version = int(str(writer.pragma("user_version")))
        if version == 0:
            with writer:
                writer.execute(_SCHEMA)
                writer.pragma("user_version", SCHEMA_VERSION)
        elif version > SCHEMA_VERSION:
            raise StorageFailed(
                f"This spool was written by a newer capacitord (catalog version {version}).",
                hint="Install that version again, or a newer one.",
            )

    def gather(self, work: Callable[[apsw.Connection], None]) -> None:
        """Do `work` now, in the open transaction that is committed a moment later with its neighbours.

        For rows that can be read again from sealed objects. If the commit fails the work is done again with the
        next one, so `work` must not depend on anything but its own values.
        """
        with self._lock:
            self._begin()
            try:
                work(self._writer)
            except apsw.Error as error:
                self._undo()
                raise _named(error, "take in an image") from error
            self._gathered.append(work)
        self._work.set()

    def _begin(self) -> None:
        if self._writer.in_transaction:
            return
        try:
            self._writer.execute("PRAGMA synchronous = NORMAL")
            self._writer.execute("BEGIN IMMEDIATE")
            for work in self._gathered:
                work(self._writer)
        except apsw.Error as error:
            self._undo()
            raise _named(error, "begin a change") from error

    def _undo(self) -> None:
        """Roll back; what was gathered stays in the list and is done again with the next transaction."""
        with contextlib.suppress(apsw.Error):
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    def _commit(self) -> None:
        try:
            self._writer.execute("COMMIT")
        except apsw.Error as error:
            self._undo()
            raise _named(error, "commit") from error
        self._gathered.clear()

    def _commit_gathered(self) -> None:
        pause = threading.Event()
        while not self._closing:
            self._work.wait()
            self._work.clear()
            pause.wait(_GATHER_SECONDS)
            with contextlib.suppress(CapacitordError), self._lock:
                if self._writer.in_transaction or self._gathered:
                    self._begin()
                    self._commit()

    def settle(self) -> None:
        """Commit what was gathered, so that readers see it."""
        with self._lock:
            if self._writer.in_transaction or self._gathered:
                self._begin()
                self._commit()

    @contextlib.contextmanager
    def change(self) -> Iterator[apsw.Connection]:
        """One durable transaction: committed and synced when the block ends, undone when it raises."""
        with self._lock:
            self.settle()
            try:
                self._writer.execute("PRAGMA synchronous = FULL")
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
            except apsw.Error as error:
                self._undo()
                raise _named(error, "write a change") from error
            except BaseException:
                self._undo()
                raise
            self._commit()

    @contextlib.contextmanager
    def inside(self) -> Iterator[apsw.Connection]:
        """Read with the writing connection: sees what is gathered, and holds the lock meanwhile. Keep it short."""
        with self._lock:
            if self._gathered:
                self._begin()
            try:
                yield self._writer
            except apsw.Error as error:
                raise _named(error, "be read") from error

    @contextlib.contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """Read a consistent state of what is committed, without waiting for writers."""
        with self._lock:
            connection = self._readers.pop() if self._readers else None
        keep = False
        try:
            if connection is None:
                connection = _opened(self._path, self._key, apsw.SQLITE_OPEN_READONLY)
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")
                keep = True
        except apsw.Error as error:
            keep = False
            raise _named(error, "be read") from error
        finally:
            with self._lock:
                if keep and connection is not None and not self._closing:
                    self._readers.append(connection)
                elif connection is not None:
                    connection.close()

    def close(self) -> None:
        """Commit, write the log back into the database and close."""
        with self._lock:
            with contextlib.suppress(CapacitordError):
                self.settle()
            self._closing = True
            self._work.set()
            for connection in self._readers:
                connection.close()
            self._readers.clear()
        self._thread.join()
        self._writer.close()
