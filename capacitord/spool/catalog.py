"""The catalog: an encrypted index of the spool, and the only place that holds what objects cannot (the ledger).

One connection writes, under one lock; readers have their own and never wait for it (write-ahead log). Rows of
images that were just taken in are gathered in an open transaction and committed a moment later together: the
objects are on stable storage before, and a start after a crash reads them again. Everything else (acknowledgements,
purges, a person's decisions) is synced before the call returns.

The log keeps the order of transactions, so what a power cut takes is always the latest of them: a catalog that
lost rows is one that was true a moment ago.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from capacitord.errors import CapacitordError, DamagedObject, OutOfSpace, StorageFailed
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import room
from capacitord.spool import schema
from capacitord.spool.segment import Place

LOG = logging.getLogger(__name__)

_PURPOSE: Final = b"capacitord catalog 1"
_CHECKPOINT_PAGES: Final = 8192
_GATHER_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 1.0

Work = Callable[[apsw.Connection], None]


def _opened(path: Path, key: SiteKey, flags: int, vfs: str | None) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    try:
        secret = key.derive(_PURPOSE, key.id).hex()
        connection.pragma("cipher", "sqlcipher")
        connection.execute(f"PRAGMA key = \"x'{secret}'\"")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.set_busy_timeout(5000)
    except BaseException:
        connection.close()
        raise
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

    def __init__(
        self, path: Path, key: SiteKey, *, suspect: Path, full: Callable[[], None], vfs: str | None = None
    ) -> None:
        """Open or create the catalog. Raises `DamagedObject` if what is there can't be read with this key.

        `suspect` is a file that is made when damage shows later; whoever opens the catalog next is warned by it.
        `full` is called when the disk has no room for it: perhaps there is some when it is tried again.
        """
        self._path, self._key, self._suspect, self._full, self._vfs = path, key, suspect, full, vfs
        self._lock = threading.RLock()
        self._changing = False
        self._gathered: list[Work] = []
        self._failed = False
        self._work = threading.Event()
        self._closing = threading.Event()
        self.undone = 0
        """How many transactions were rolled back: what was learned within them may be wrong."""
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._writer = _opened(path, key, apsw.SQLITE_OPEN_READWRITE, vfs)
        except OSError as error:
            raise StorageFailed("The catalog could not be opened.", hint="Check the disk and its owner.") from error
        except apsw.Error as error:
            raise _named(error, "be opened") from error
        try:
            self._prepare()
        except apsw.Error as error:
            self._writer.close()
            raise _named(error, "be opened") from error
        except BaseException:
            self._writer.close()
            raise
        self._readers: list[apsw.Connection] = []
        self._thread = threading.Thread(target=self._commit_gathered, name="catalog", daemon=True)
        self._thread.start()

    def _prepare(self) -> None:
        writer = self._writer
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute("PRAGMA foreign_keys = OFF")
        writer.execute("PRAGMA cache_size = -16384")
        writer.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        version = int(str(writer.pragma("user_version")))
        if version < schema.VERSION:
            # All of it or nothing, synced: a crash leaves a catalog of the version before.
            with writer:
                writer.execute(schema.STEPS[version])
                writer.pragma("user_version", schema.VERSION)
        elif version > schema.VERSION:
            raise StorageFailed(
                f"This spool was written by a newer capacitord (catalog version {version}).",
                hint="Install that version again, or a newer one.",
            )

    def _told(self, error: apsw.Error, what: str) -> CapacitordError:
        """Return the error in our words; if it means damage, leave word of it for the next start."""
        said = _named(error, what)
        if isinstance(said, OutOfSpace):
            self._full()
        if isinstance(said, DamagedObject):
            with contextlib.suppress(OSError):
                self._suspect.touch(mode=0o600)
        return said

    def gather(self, work: Work) -> None:
        """Do `work` now, in the open transaction that is committed a moment later with its neighbours.

        For rows that can be read again from sealed objects. If the commit fails the work is done again with the
        next one, so `work` must not depend on anything but its own values. While commits fail nothing is gathered.
        """
        with self._lock:
            self._begin()
            try:
                work(self._writer)
            except apsw.Error as error:
                self._undo()
                raise self._told(error, "take in an image") from error
            except BaseException:
                self._undo()
                raise
            self._gathered.append(work)
        self._work.set()

    def _begin(self) -> None:
        """Begin a transaction, unless there is one, and do again in it what was gathered before."""
        if self._writer.in_transaction:
            return
        try:
            self._mend()
            self._writer.execute("PRAGMA synchronous = NORMAL")
            self._writer.execute("BEGIN IMMEDIATE")
            for work in self._gathered:
                work(self._writer)
        except apsw.Error as error:
            self._undo()
            raise self._told(error, "begin a change") from error
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        """Roll back; what was gathered stays in the list and is done again with the next transaction."""
        self.undone += 1
        with contextlib.suppress(apsw.Error):
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    def _commit(self) -> None:
        try:
            self._writer.execute("COMMIT")
        except apsw.Error as error:
            self._failed = True
            self._undo()
            raise self._told(error, "commit") from error
        self._gathered.clear()

    def _mend(self) -> None:
        """After a failed commit write the whole log back and begin a new one.

        A failed sync can leave a hole in the log which no later sync tells of, and nothing behind a hole counts.
        """
        if not self._failed:
            return
        try:
            busy = fetch_value(self._writer, "PRAGMA wal_checkpoint(TRUNCATE)")
        except apsw.Error as error:
            raise self._told(error, "write its log back") from error
        if busy:
            raise StorageFailed("The catalog is being read and can't recover now.", hint="It is tried again by itself.")
        self._failed = False

    def _commit_gathered(self) -> None:
        while not self._closing.is_set():
            self._work.wait()
            self._work.clear()
            self._closing.wait(_GATHER_SECONDS)
            try:
                self.settle()
            except CapacitordError as error:
                LOG.error("%s It is tried again.", error.message)  # noqa: TRY400 - the message says it all
                self._try_again()
            except Exception as error:  # noqa: BLE001 - without this thread nothing would be committed any more
                LOG.error("Images could not be filed (%s). It is tried again.", type(error).__name__)  # noqa: TRY400
                self._try_again()

    def _try_again(self) -> None:
        self._closing.wait(_RETRY_SECONDS)
        self._work.set()

    def settle(self) -> None:
        """Commit what was gathered, so that readers see it."""
        with self._lock:
            if self._changing:
                raise AssertionError
            if self._writer.in_transaction or self._gathered:
                self._begin()
                self._commit()

    @contextlib.contextmanager
    def change(self) -> Iterator[apsw.Connection]:
        """One durable transaction: committed and synced when the block ends, undone when it raises."""
        with self._lock:
            self.settle()
            self._mend()
            self._changing = True
            try:
                self._writer.execute("PRAGMA synchronous = FULL")
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._commit()
            except apsw.Error as error:
                self._undo()
                raise self._told(error, "write a change") from error
            except BaseException:
                self._undo()
                raise
            finally:
                self._changing = False

    @contextlib.contextmanager
    def inside(self) -> Iterator[apsw.Connection]:
        """Read with the writing connection: sees what is gathered, and holds the lock meanwhile. Keep it short."""
        with self._lock:
            if self._gathered:
                self._begin()
            try:
                yield self._writer
            except apsw.Error as error:
                raise self._told(error, "be read") from error

    @contextlib.contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """Read a consistent state of what is committed, without waiting for writers."""
        with self._lock:
            connection = self._readers.pop() if self._readers else None
        whole = False
        try:
            if connection is None:
                connection = _opened(self._path, self._key, apsw.SQLITE_OPEN_READONLY, self._vfs)
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")
                whole = True
        except apsw.Error as error:
            raise self._told(error, "be read") from error
        finally:
            if connection is not None:
                self._put_back(connection, whole=whole)

    def _put_back(self, connection: apsw.Connection, *, whole: bool) -> None:
        with self._lock:
            if whole and not self._closing.is_set():
                self._readers.append(connection)
            else:
                connection.close()

    def place(self, image: int) -> Place | None:
        """Return where an image is now, None if it is not in the spool."""
        with self.read() as catalog:
            rows = fetch(
                catalog, "SELECT segment, place, length FROM image WHERE id = ? AND purged_at IS NULL", (image,)
            )
        return Place(rows[0][0], rows[0][1], room(rows[0][2])) if rows else None

    def close(self) -> None:
        """Commit, write the log back into the database and close. What cannot be committed is found in the objects."""
        with contextlib.suppress(CapacitordError):
            self.settle()
        self._closing.set()
        self._work.set()
        self._thread.join()
        with self._lock:
            for connection in self._readers:
                connection.close()
            self._readers.clear()
            with contextlib.suppress(apsw.Error):
                self._writer.close()
