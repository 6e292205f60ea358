"""The list as scanners get it: what the cache holds, corrected once, with what is to be said about its age.

A new list is corrected before it takes the place of the old one, so no query waits for that; and an entry whose bytes
did not change is not corrected again, unless the profile did. The list of the last life takes no other one's place: it
is served at once, and whoever asks for an entry before it was its turn has it corrected. An entry that cannot be
corrected for a reason that nobody foresaw keeps no fresh list from being served (`correct.uncorrected`).
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pydicom.dataset import Dataset

from capacitord.dicom.arriving import describe
from capacitord.dicom.worklist.correct import Corrected, EntryAttributes, Mishap, correct, uncorrected
from capacitord.dicom.worklist.entries import Snapshot
from capacitord.dicom.worklist.entry import Entry, read
from capacitord.dicom.worklist.keys import START_DATE, STEPS, SUPPORTED
from capacitord.model.transform import Transform
from capacitord.model.worklist import EntryKey, Sought
from capacitord.model.worklist_cache import Cache, Held, ListState, Rhythm, age, may_ask, state, warning

LOG = logging.getLogger(__name__)
PATIENCE: Final = 15.0
"""Seconds a scanner's query waits for another one's look at the source."""

_AT_ONCE: Final = 40
"""So many entries are corrected, or read, before there is a rest: some 20 ms of work."""


class _Correction:
    """What is made of an entry, once, when it is first asked for. Any thread may ask."""

    __slots__ = ("_done", "_lock", "_make")

    def __init__(self, make: Callable[[], Corrected]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._done: Corrected | None = None

    def __call__(self) -> Corrected:
        if self._done is None:
            with self._lock:
                if self._done is None:
                    self._done = self._make()
        return self._done

    def withhold(self) -> None:
        """Have the entry not served: what was made of it cannot be read."""
        with self._lock:
            self._done = Corrected(Entry(Dataset()), mishap=Mishap.WITHHELD)


class Shown(NamedTuple):
    """An entry before and after its corrections, for a person to see, and to match studies with."""

    held: Held
    original: Entry
    correction: _Correction

    @property
    def corrected(self) -> Corrected:
        """The entry as it is served."""
        return self.correction()

    @property
    def start_dates(self) -> tuple[dt.date, ...]:
        """The days its steps are scheduled for at the source, as far as they are days."""
        texts = [text for step in self.original.items(STEPS) for text in step.values(START_DATE)]
        return tuple(date for text in texts if (date := _day(text)) is not None)

    @property
    def attributes(self) -> EntryAttributes:
        """The attributes as a scanner got them, so as they are in its images."""
        return EntryAttributes(self.corrected.entry)


def _day(text: str) -> dt.date | None:
    try:
        return dt.datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a day in the site's zone
    except ValueError:
        return None


class _AsCorrected(Iterable[Entry]):
    """The entries as they are served, without those that are withheld; each is corrected when it is looked at."""

    def __init__(self, shown: Sequence[Shown]) -> None:
        self._shown = shown

    def __iter__(self) -> Iterator[Entry]:
        for each in self._shown:
            corrected = each.corrected
            if corrected.mishap is not Mishap.WITHHELD:
                yield corrected.entry


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
        self._now: tuple[Cache, dict[EntryKey, Shown], Iterable[Entry]] = (Cache(), {}, ())
        self._whole: tuple[Cache, Mapping[EntryKey, Shown]] = (Cache(), {})
        self._errors: list[str] = []

    def begin(self, cache: Cache) -> None:
        """Serve the list of the last life, before it is corrected; then call `finish`. Raises `Malformed`."""
        with self._taking:
            shown = {held.key: self._shown(held, None) for held in cache.entries}
            self._now = (cache, shown, _AsCorrected([shown[held.key] for held in cache.present()]))

    def finish(self) -> None:
        """Correct what nobody has asked for yet. Raises `Malformed` or `Unfit` like `take`."""
        with self._taking:
            cache, shown, _ = self._now
            self._set(cache, shown)

    def take(self, cache: Cache) -> None:
        """Serve what the cache holds from now on; called after every fetch, a failed one too.

        Raises `Malformed` or `Unfit`, and goes on with the old list, if an entry cannot be read: `fetch` takes none
        like that, so the cache is damaged.
        """
        with self._taking:
            old, shown, served = self._now
            if cache.entries != old.entries:
                now = {held.key: self._shown(held, shown.get(held.key)) for held in cache.entries}
                known = {id(each.correction) for each in shown.values()}
                self._set(cache, now, [each for each in now.values() if id(each.correction) not in known])
            else:
                self._now, self._whole = (cache, shown, served), (cache, shown)

    def heed(self, transforms: Sequence[Transform], *, zone: dt.tzinfo, rhythm: Rhythm) -> None:
        """Act on another version of the profile: what is served is corrected anew if that says something else."""
        with self._taking:
            same = (tuple(transforms), zone) == (self._transforms, self._zone)
            self._transforms, self._zone, self._rhythm = tuple(transforms), zone, rhythm
            if not same:
                cache = self._now[0]
                self._set(cache, {held.key: self._shown(held, None) for held in cache.entries})

    def _set(self, cache: Cache, shown: dict[EntryKey, Shown], fresh: Sequence[Shown] | None = None) -> None:
        """Serve these entries from now on, once all of them are corrected; only those in `fresh` are not yet."""
        began = time.monotonic()
        fresh = tuple(shown.values()) if fresh is None else fresh
        # A scanner that waits already goes through them from the front, and needs few attributes of them.
        work: list[Callable[[], object]] = [each.correction for each in reversed(fresh)]
        work += [functools.partial(self._prepare, each) for each in fresh]
        for number, do in enumerate(work):
            if number % _AT_ONCE == 0 and number:
                self._rest(began)
                began = time.monotonic()
            do()
        if self._errors:
            LOG.error("%d entries of the worklist could not be corrected: %s", len(self._errors), self._errors[0])
            self._errors.clear()
        served = tuple(_AsCorrected([shown[held.key] for held in cache.present()]))
        self._now, self._whole = (cache, shown, served), (cache, shown)

    def _prepare(self, shown: Shown) -> None:
        try:
            shown.corrected.entry.prepare(SUPPORTED)
        except Exception as error:  # noqa: BLE001 - one entry must not keep the others from scanners
            self._errors.append(describe(error))
            shown.correction.withhold()

    def snapshot(self, *, unasked: bool = False) -> Snapshot:
        """Return the list as it is served now; its warning says so if the source was to be asked and was `unasked`."""
        cache, _, served = self._now
        now = self._clock()
        is_stale = state(cache, now, self._rhythm) is not ListState.FRESH
        return Snapshot(served, age(cache, now), is_stale, warning(cache, now, self._rhythm, unasked=unasked))

    def look_again(self, _sought: Sought | None = None, /) -> Snapshot | None:
        """Ask the source for its list, unless it was a moment ago; of several who look at once, one asks for all."""
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

    def mishaps(self) -> Mapping[Mishap, int]:
        """Return how many entries of the list could not be corrected for a reason that nobody foresaw, by what came."""
        _, shown, _ = self._now
        return Counter(
            each.corrected.mishap
            for each in shown.values()
            if each.corrected.mishap is not None and each.held.vanished is None
        )

    def shown(self) -> tuple[Shown, ...]:
        """Return all entries that are held, vanished ones too, as they came and as they are served."""
        return tuple(self._now[1].values())

    def whole(self) -> tuple[Cache, Mapping[EntryKey, Shown]]:
        """Return the cache that is served, and its entries as `shown`, by key: an object that never changes.

        Corrections that were made anew are another object. At the start there is none until all are corrected.
        """
        return self._whole

    def _shown(self, held: Held, before: Shown | None) -> Shown:
        same = before is not None and before.held.listed == held.listed
        mishap = before.corrected.mishap if before is not None and same else None
        if before is not None and same and mishap is None:
            return before._replace(held=held)
        original = read(held.listed.data, held.listed.transfer_syntax_uid)
        transforms, zone, errors = self._transforms, self._zone, self._errors

        def corrected() -> Corrected:
            now = dt.datetime.fromtimestamp(self._clock(), zone)
            try:
                return correct(original, transforms, key=self._key, now=now)
            except Exception as error:  # noqa: BLE001 - one entry must not keep the others from scanners
                if mishap is None:
                    errors.append(describe(error))
                return uncorrected(original, transforms)

        return Shown(held, original, _Correction(corrected))
