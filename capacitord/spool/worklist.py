"""The worklist of the site, in the catalog: the last whole list as its source sent it, and what vanished from it.

It is no index of anything here, and it is lost with the catalog: then the source has it. A whole list takes the place
of the one before in one transaction. Most of a fresh list is what was there before, so only what differs is written.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import apsw

from capacitord.model.worklist import EntryKey, Listed
from capacitord.model.worklist_cache import Cache, Held
from capacitord.spool.catalog import Catalog, fetch, fetch_value

_ALL: Final = """
SELECT step, study, accession, procedure, patient, copy, data, transfer_syntax, since, seen, vanished, out_of_days,
  sought
FROM worklist ORDER BY rowid
"""
_PUT: Final = "INSERT OR REPLACE INTO worklist VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REMOVE: Final = """
DELETE FROM worklist WHERE step = ? AND study = ? AND accession = ? AND procedure = ? AND patient = ? AND copy = ?
"""
_REFERRED: Final = """
SELECT EXISTS (SELECT 1 FROM study WHERE uid = ?1 AND bytes > 0)
  OR EXISTS (SELECT 1 FROM study WHERE accession_number = ?2 AND accession_number != '' AND bytes > 0)
"""

_Row = tuple[Any, ...]


class Worklist:
    """Keeps what is known of the worklist. Any thread may call anything."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._saving = threading.Lock()
        self._saved: dict[EntryKey, _Row] | None = None

    def load(self) -> Cache:
        """Return what was saved last. Of tries that failed since it knows nothing."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _ALL)
            state = fetch(catalog, "SELECT fetched, source FROM worklist_fetch")
        fetched, source = state[0] if state else (None, "")
        return Cache(tuple(_held(row, fetched) for row in rows), fetched=fetched, source=source)

    def save(self, cache: Cache) -> None:
        """Keep a list that was fetched, and what vanished, in place of what was kept before; all of it or nothing.

        A cache that was never fetched changes nothing. Raises `StorageFailed`, `OutOfSpace` or `DamagedObject`.
        """
        if cache.fetched is None:
            return
        after = {held.key: _row(held) for held in cache.entries}
        with self._saving:
            # Unless this gets to its end nobody knows what is there.
            before, self._saved = self._saved, None
            with self._catalog.change() as catalog:
                if before is None:
                    before = {_key(row): row for row in fetch(catalog, _ALL)}
                _write(catalog, before, after)
                catalog.execute("INSERT OR REPLACE INTO worklist_fetch VALUES (1, ?, ?)", (cache.fetched, cache.source))
            self._saved = after

    def entries(self) -> tuple[Held, ...]:
        """Return all entries that are kept: those on the list, and those that vanished from it (`Held.vanished`)."""
        return self.load().entries

    def referred(self, key: EntryKey) -> bool:
        """Tell whether a study that is here may refer to an entry: by Study Instance UID or accession number."""
        with self._catalog.inside() as catalog:
            return bool(fetch_value(catalog, _REFERRED, (key.study, key.accession)))


def _write(catalog: apsw.Connection, before: dict[EntryKey, _Row], after: dict[EntryKey, _Row]) -> None:
    catalog.executemany(_REMOVE, [row[:6] for key, row in before.items() if key not in after])
    catalog.executemany(_PUT, [row for key, row in after.items() if before.get(key) != row])


def _row(held: Held) -> _Row:
    key, listed = held.key, held.listed
    is_listed = held.vanished is None and held.sought is None
    return (
        *(key.step, key.study, key.accession, key.procedure, key.patient, key.copy),
        *(
            listed.data,
            listed.transfer_syntax_uid,
            held.since,
            None if is_listed else held.seen,
            held.vanished,
            int(held.left),
            held.sought,
        ),
    )


def _key(row: _Row) -> EntryKey:
    return EntryKey(*row[:6])


def _held(row: _Row, fetched: float | None) -> Held:
    data, syntax, since, seen, vanished, left, sought = row[6:]
    if seen is None:
        seen = since if fetched is None else fetched
    return Held(Listed(_key(row), data, syntax), since, seen, vanished, bool(left), sought)
