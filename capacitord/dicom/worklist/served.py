"""The list as scanners get it: what the cache holds, corrected once, with what is to be said about its age.

A new list is corrected before it takes the place of the old one, so no query waits for that; and an entry whose bytes
did not change is not corrected again.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from capacitord.dicom.worklist.correct import Corrected, correct
from capacitord.dicom.worklist.entries import Snapshot
from capacitord.dicom.worklist.entry import Entry, read
from capacitord.model.transform import Transform
from capacitord.model.worklist import EntryKey
from capacitord.model.worklist_cache import Cache, Held, ListState, Rhythm, age, may_ask, state, warning

PATIENCE: Final = 15.0
"""Seconds a scanner's query waits for another one's look at the source."""


class Shown(NamedTuple):
    """An entry before and after its corrections, for a person to see."""

    held: Held
    original: Entry
    corrected: Corrected


class ServedList:
    """`Entries` of the worklist port. Any thread may call anything.

    `transforms` are those of the profile for the worklist, `key` is the site's for hashes, `zone` the site's. `clock`
    returns seconds since the epoch. `ask` asks the source once, hands a list that came to `take`, and returns whether
    one did; it bounds itself.
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
    ) -> None:
        self._transforms, self._key, self._zone = tuple(transforms), key, zone
        self._rhythm, self._clock, self._ask = rhythm, clock, ask
        self._taking = threading.Lock()
        self._looking = threading.Lock()
        self._now: tuple[Cache, dict[EntryKey, Shown], tuple[Entry, ...]] = (Cache(), {}, ())

    def take(self, cache: Cache) -> None:
        """Serve what the cache holds from now on; called after every fetch, a failed one too.

        Raises `Malformed` or `Unfit`, and goes on with the old list, if an entry cannot be read: `fetch` takes none
        like that, so the cache is damaged.
        """
        with self._taking:
            _, before, served = self._now
            if cache.entries != self._now[0].entries:
                shown = {held.key: self._shown(held, before.get(held.key)) for held in cache.entries}
                served = tuple(shown[held.key].corrected.entry for held in cache.present())
                before = shown
            self._now = (cache, before, served)

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

    def _shown(self, held: Held, before: Shown | None) -> Shown:
        if before is not None and before.held.listed == held.listed:
            return before._replace(held=held)
        original = read(held.listed.data, held.listed.transfer_syntax_uid)
        now = dt.datetime.fromtimestamp(self._clock(), self._zone)
        return Shown(held, original, correct(original, self._transforms, key=self._key, now=now))
