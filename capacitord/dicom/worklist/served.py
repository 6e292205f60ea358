"""The list as scanners get it: what the cache holds, corrected once, with what is to be said about its age.

A new list is corrected before it takes the place of the old one, so no query waits for that; and an entry whose bytes
did not change is not corrected again, unless the profile did.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from capacitord.dicom.worklist.correct import Corrected, EntryAttributes, correct
from capacitord.dicom.worklist.entries import Snapshot
from capacitord.dicom.worklist.entry import Entry, read
from capacitord.model.transform import Transform
from capacitord.model.worklist import EntryKey
from capacitord.model.worklist_cache import Cache, Held, ListState, Rhythm, age, may_ask, state, warning

PATIENCE: Final = 15.0
"""Seconds a scanner's query waits for another one's look at the source."""

_AT_ONCE: Final = 20
"""So many entries are corrected before there is a rest: some 20 ms of work."""


class Shown(NamedTuple):
    """An entry before and after its corrections, for a person to see, and to match studies with."""

    held: Held
    original: Entry
    corrected: Corrected

    @property
    def attributes(self) -> EntryAttributes:
        """The attributes as a scanner got them, so as they are in its images."""
        return EntryAttributes(self.corrected.entry)


class ServedList:
    """`Entries` of the worklist port. Any thread may call anything.

    `transforms` are those of the profile for the worklist, `key` is the site's for hashes, `zone` the site's. `clock`
    returns seconds since the epoch. `ask` asks the source once, hands a list that came to `take`, and returns whether
    one did; it bounds itself. Correcting takes long where there are thousands: `rest` is called now and then with when
    that began (`time.monotonic`), and may sleep.
    """

    def __init__(
        self,
        transforms: Sequence[Transform],
        *,
        key: bytes,
        zone: dt.tzinfo,
        rhythm: Rhythm,
        clock: Callable[[], float],
        ask: Callable[[], bool],
        rest: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._transforms, self._key, self._zone = tuple(transforms), key, zone
        self._rhythm, self._clock, self._ask, self._rest = rhythm, clock, ask, rest
        self._taking = threading.Lock()
        self._looking = threading.Lock()
        self._now: tuple[Cache, dict[EntryKey, Shown], tuple[Entry, ...]] = (Cache(), {}, ())

    def take(self, cache: Cache) -> None:
        """Serve what the cache holds from now on; called after every fetch, a failed one too.

        Raises `Malformed` or `Unfit`, and goes on with the old list, if an entry cannot be read: `fetch` takes none
        like that, so the cache is damaged.
        """
        with self._taking:
            old, shown, served = self._now
            if cache.entries != old.entries:
                shown, served = self._corrected(cache, shown)
            self._now = (cache, shown, served)

    def heed(self, transforms: Sequence[Transform], *, zone: dt.tzinfo, rhythm: Rhythm) -> None:
        """Act on another version of the profile: what is served is corrected anew if that says something else."""
        with self._taking:
            same = (tuple(transforms), zone) == (self._transforms, self._zone)
            self._transforms, self._zone, self._rhythm = tuple(transforms), zone, rhythm
            if not same:
                cache = self._now[0]
                self._now = (cache, *self._corrected(cache, {}))

    def _corrected(
        self, cache: Cache, before: Mapping[EntryKey, Shown]
    ) -> tuple[dict[EntryKey, Shown], tuple[Entry, ...]]:
        shown = {}
        began = time.monotonic()
        for number, held in enumerate(cache.entries):
            if number % _AT_ONCE == 0 and number:
                self._rest(began)
                began = time.monotonic()
            shown[held.key] = self._shown(held, before.get(held.key))
        return shown, tuple(shown[held.key].corrected.entry for held in cache.present())

    def snapshot(self) -> Snapshot:
        """Return the list as it is served now."""
        cache, _, served = self._now
        now = self._clock()
        is_stale = state(cache, now, self._rhythm) is not ListState.FRESH
        return Snapshot(served, age(cache, now), is_stale, warning(cache, now, self._rhythm))

    def look_again(self) -> Snapshot | None:
        """Ask the source, unless it was asked a moment ago; of several who look at once, one asks for all."""
        fetched = self._now[0].fetched
        if not self._looking.acquire(timeout=PATIENCE):
            return None
        try:
            if self._now[0].fetched != fetched:
                return self.snapshot()
            if not may_ask(self._now[0], self._clock(), self._rhythm):
                return None
            return self.snapshot() if self._ask() else None
        finally:
            self._looking.release()

    def shown(self) -> tuple[Shown, ...]:
        """Return all entries that are held, vanished ones too, as they came and as they are served."""
        return tuple(self._now[1].values())

    def whole(self) -> tuple[Cache, Mapping[EntryKey, Shown]]:
        """Return the cache that is served, and its entries as `shown`, by key: an object that never changes.

        Corrections that were made anew are another object.
        """
        cache, shown, _ = self._now
        return cache, shown

    def _shown(self, held: Held, before: Shown | None) -> Shown:
        if before is not None and before.held.listed == held.listed:
            return before._replace(held=held)
        original = read(held.listed.data, held.listed.transfer_syntax_uid)
        now = dt.datetime.fromtimestamp(self._clock(), self._zone)
        return Shown(held, original, correct(original, self._transforms, key=self._key, now=now))
