"""The worklist of the site: taken from the spool at the start, asked for again and again, and served meanwhile.

One thread asks the source: when it is due, when an operator wants it, and when a scanner looks for somebody who is not
on the list. Whatever comes of that, there is a list to serve: a whole fresh one, or the one before.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from capacitord.api import messages as m
from capacitord.dicom.arriving import describe
from capacitord.dicom.elements import Malformed
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.worklist.correct import changes_identity
from capacitord.dicom.worklist.entries import Snapshot
from capacitord.dicom.worklist.scu import key_of
from capacitord.dicom.worklist.served import ServedList, Shown
from capacitord.errors import CapacitordError, DamagedObject, Problem, TryAgain
from capacitord.model import worklist_cache as cached
from capacitord.model.outcome import Outcome
from capacitord.model.profile import Profile, Worklist
from capacitord.model.transform import Transform
from capacitord.model.worklist import Days, EntryKey, Listed, Sought, days
from capacitord.model.worklist_cache import LOOK, MOST_SOUGHT, SOUGHT_FOR, Cache, Held, ListState, News, Rhythm
from capacitord.site.breather import rest
from capacitord.site.connections import Connections
from capacitord.site.worklist import telling
from capacitord.site.worklist.lookups import Lookups
from capacitord.site.worklist.rounds import Rounds
from capacitord.site.worklist.source import SourceClient, name_of
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)

PATIENCE: Final = 30.0
"""Seconds an operator waits for it. A fetch may take longer, and goes on then."""

_LOADING: Final = 20.0
_WATCH: Final = 2.0
"""Seconds a query waits for the list to be read from the spool, and at most between two looks at the clock."""

_UNFORESEEN: Final = "An unforeseen error in this box."
_UNREADABLE: Final = "An entry of the list cannot be read, so none of it is taken."


class Came(NamedTuple):
    """What the last try brought: what is different since, None if there is no list, and how long it took."""

    news: News | None
    reason: str
    seconds: float


class Dropped(NamedTuple):
    """How many entries were dropped because the source gave so many for scanners, and when the last of them."""

    entries: int = 0
    at: float = 0.0

    def since(self, now: float) -> int:
        """Return how many they are, if that is not long ago."""
        return self.entries if abs(now - self.at) < SOUGHT_FOR else 0


_NOTHING: Final = Came(None, "", 0.0)


class WorklistKeeper:
    """`Entries` of the worklist port, and all else that is asked of the worklist. Any thread may call anything."""

    def __init__(
        self,
        spool: Spool,
        connections: Connections,
        profile: Profile,
        *,
        hashes: bytes,
        note: Callable[[str, str], None] = lambda *_: None,
        doubt: Callable[[], None] = lambda: None,
        receiving: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
        retry: float = Rhythm().retry,
        look: float = LOOK,
        most_sought: int = MOST_SOUGHT,
        asks: bool = True,
    ) -> None:
        """`hashes` is the site's key for hashes. `note` tells watchers of a change, `doubt` that the disk failed.

        While images arrive (`receiving`) it takes its time. `clock` gives seconds since the epoch, `retry` is after
        how many of them the source is asked again when it failed first, `look` how many a scanner waits for it.
        `most_sought` entries are kept that the source gave for scanners only. One that does not ask (`asks`) has the
        list that was kept, and never gets another one.
        """
        self._kept, self._source = spool.worklist, SourceClient(connections)
        self._note, self._doubt, self._clock, self._retry, self._look_for = note, doubt, clock, retry, look
        self._most_sought, self._asks = most_sought, asks
        self._worklist, self._zone = profile.worklist, ZoneInfo(profile.timezone)
        self._served = ServedList(
            self._corrections(),
            key=hashes,
            zone=self._zone,
            rhythm=self.rhythm,
            clock=clock,
            ask=self._look,
            rest=lambda began: rest(began, receiving),
        )
        self._cache = Cache(preparing=True)
        self._served.begin(self._cache)
        self._rounds = Rounds()
        self._lookups = Lookups(self._look_for_one, pause=self.rhythm.demand, clock=clock)
        self._changing = threading.Lock()
        self._loaded = threading.Event()
        self._to_load, self._to_heed = True, False
        self._came = _NOTHING
        self._unsaved: Problem | None = None
        self._dropped = Dropped()
        self._jitter = 1.0
        self._said: tuple[ListState, str] = (ListState.NEVER, "")
        self._thread = threading.Thread(target=self._run, name="worklist", daemon=True)
        self._thread.start()

    def update(self, profile: Profile) -> None:
        """Act on another version of the profile: corrections are made anew, and another source is asked at once."""
        before, self._worklist = self._worklist, profile.worklist
        self._zone, self._to_heed = ZoneInfo(profile.timezone), True
        if profile.worklist is not None and (before is None or before.source != profile.worklist.source):
            self._rounds.want()
        self._rounds.stir()

    def stop(self) -> None:
        """Ask no more; whoever waits for the source hears so, and a fetch that is under way is broken off."""
        self._rounds.stop()
        self._lookups.stop()
        self._source.hang_up()

    def wait(self) -> None:
        """Wait until nothing more is written into the spool; after `stop`."""
        self._thread.join()
        self._lookups.wait()

    # --- for scanners

    def snapshot(self) -> Snapshot:
        """Return the list as it is served now; at the start that may take until it is read from the spool."""
        self._loaded.wait(_LOADING)
        return self._served.snapshot()

    def look_again(self, sought: Sought | None) -> Snapshot | None:
        """Ask the source once for all who look; see `Entries.look_again`."""
        if self._worklist is None:
            return None
        if sought is None:
            return self._served.look_again()
        if not self._lookups.ask(sought, self._look_for):
            return self._served.snapshot(unasked=True)
        if any(map(changes_identity, self._corrections())):
            # The scanner asks for what only this box calls somebody, so her own source does not know it.
            return self._served.look_again() or self._served.snapshot()
        return self._served.snapshot()

    def _look_for_one(self, sought: Sought) -> bool:
        """Ask the source for one patient or order, take what comes, and return whether it answered."""
        worklist = self._worklist
        if worklist is None:
            return False
        began = time.monotonic()
        try:
            result = self._source.ask_for(worklist.source, sought, self._look_for)
            if isinstance(result, Outcome):
                LOG.warning(
                    "worklist: a scanner looks for somebody, and the source was not to be asked: %s", result.reason
                )
                return False
            if not self._add(result.entries):
                return False
        except Exception as error:  # noqa: BLE001 - the scanner is told that nobody could be asked
            LOG.error("The source was not asked for somebody for an unforeseen reason: %s", describe(error))  # noqa: TRY400
            return False
        seconds = time.monotonic() - began
        LOG.info(
            "worklist: the source has %d entries of whom a scanner looks for (%.2f s)", len(result.entries), seconds
        )
        return True

    def _add(self, found: tuple[Listed, ...]) -> bool:
        """Serve what the source gave for one patient or order, beside the list, and keep it; return whether it is."""
        with self._changing:
            now = self._clock()
            given = cached.added(self._cache, found, now)
            if given is self._cache:
                return True
            try:
                after = cached.bounded(given, self._is_referred(), self._most_sought)
            except CapacitordError as error:
                LOG.error("What the source gave for a scanner is not taken: %s", error.message)  # noqa: TRY400
                self._doubt()
                return False
            self._take(after)
            self._keep(after)
            self._drop_of(len(given.entries) - len(after.entries), now)
        return True

    def _drop_of(self, dropped: int, now: float) -> None:
        """Take notice of entries that were dropped because the source gave so many for scanners."""
        if not dropped:
            return
        before, self._dropped = self._dropped, Dropped(self._dropped.since(now) + dropped, now)
        if not before.since(now):
            LOG.warning("worklist: %s", telling.dropped(self._dropped.entries, self._most_sought))

    def _look(self) -> bool:
        """Have the source asked, and wait for it within `LOOK`; return whether a list came."""
        running = self._rounds.running
        if running is None:
            ended = self._rounds.wait(self._rounds.want(), self._look_for)
        else:
            # One that hangs is waited for once, and not by everybody anew.
            ended = self._rounds.wait(running.number, self._look_for - running.seconds)
        return ended and self._came.news is not None

    # --- for people

    @property
    def worklist(self) -> Worklist | None:
        """What the profile says of it, None if there is none."""
        return self._worklist

    @property
    def cache(self) -> Cache:
        """All that is known of the list."""
        return self._cache

    @property
    def rhythm(self) -> Rhythm:
        """How often the source is asked, and how old a list may be."""
        worklist = self._worklist
        if worklist is None:
            return Rhythm(retry=self._retry)
        retry = min(self._retry, worklist.refresh)
        return Rhythm(worklist.refresh, worklist.stale_after, retry, source=name_of(worklist.source))

    def now(self) -> float:
        """Return the seconds since the epoch, as all times of the list are told."""
        return self._clock()

    def shown(self) -> dict[EntryKey, Shown]:
        """Return all entries, those that vanished too, as they came and as they are served."""
        self._loaded.wait(_LOADING)
        return {each.held.key: each for each in self._served.shown()}

    def whole(self) -> tuple[Cache, Mapping[EntryKey, Shown]]:
        """Return the list that is served, at once; see `ServedList.whole`."""
        return self._served.whole()

    @property
    def awaited(self) -> str:
        """Why no study can be matched yet, in words; empty if the list is known. See `worklist_cache.awaited`."""
        if self._worklist is None:
            return ""
        return cached.awaited(self._cache, self._served.whole()[0], asks=self._asks)

    def refresh(self) -> Came:
        """Have the source asked now, and return what came of it. Raises `TryAgain` if that takes too long."""
        if self._rounds.wait(self._rounds.want(), PATIENCE):
            return self._came
        if self._rounds.over:
            raise TryAgain("The site's runtime is ending.", hint="Try again in a moment.")
        raise TryAgain(
            f"The source has not sent its list within {PATIENCE:.0f} s.",
            hint="It is still being asked, and the list from before goes on being served. See what came of it: "
            "fluxctl worklist list",
        )

    def status(self) -> m.WorklistStatus | None:
        """Return how the worklist is, None if the profile has none."""
        worklist, cache, now = self._worklist, self._cache, self._clock()
        if worklist is None:
            return None
        due = None if self._rounds.running else cached.due_in(cache, now, self.rhythm, self._jitter)
        return telling.status_of(worklist.source, cache, now, self.rhythm, due)

    def advice(self) -> list[m.Advice]:
        """Return what a person should do about the worklist."""
        if self._worklist is None:
            return []
        about_list = telling.advice_on(self._cache, self._clock(), self.rhythm, self._unsaved)
        about_dropped = telling.advice_on_dropped(self._dropped.since(self._clock()), self._most_sought)
        return [*about_list, *telling.advice_on_mishaps(self._served.mishaps()), *about_dropped]

    # --- the thread

    def _run(self) -> None:
        try:
            self._load()
        finally:
            self._loaded.set()
        self._finish()
        while not self._rounds.over:
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 - without this thread the list would grow old unnoticed
                LOG.error("The worklist was not fetched for an unforeseen reason: %s", describe(error))  # noqa: TRY400
                with self._changing:
                    self._take(cached.failed(self._cache, _UNFORESEEN, self._clock()))
                self._end(Came(None, _UNFORESEEN, 0.0))

    def _load(self) -> None:
        """Take the list that was kept. One that the disk does not give now is asked for again before the next fetch."""
        self._to_load = False
        cache = Cache()
        try:
            cache = self._kept.load()
            self._served.begin(cache)
        except CapacitordError as error:
            LOG.error("The worklist that was kept cannot be read: %s", error.message)  # noqa: TRY400
            self._to_load = not isinstance(error, DamagedObject)
            self._doubt()
            self._drop()
        except Exception as error:  # noqa: BLE001 - a fresh list takes its place
            LOG.error("The worklist that was kept cannot be read: %s", describe(error))  # noqa: TRY400
            self._drop()
        else:
            self._cache = cache
            if cache.fetched is not None:
                self._said = (cached.state(cache, self._clock(), self.rhythm), "")
                LOG.info("worklist: %d entries from the last life; %s", len(cache.present()), self._sentence(cache))

    def _finish(self) -> None:
        """Correct the list that was kept, as far as no scanner has asked for it yet."""
        try:
            self._served.finish()
        except Exception as error:  # noqa: BLE001 - a fresh list takes its place
            LOG.error("The worklist that was kept cannot be read: %s", describe(error))  # noqa: TRY400
            self._drop()

    def _drop(self) -> None:
        self._cache = Cache()
        self._served.begin(self._cache)

    def _step(self) -> None:
        """Do the next thing that is to be done, or wait for it."""
        if self._to_heed:
            self._to_heed = False
            self._served.heed(self._corrections(), zone=self._zone, rhythm=self.rhythm)
        worklist = self._worklist if self._asks else None
        if worklist is None:
            # Whoever waits for a list that nobody wants any more is told so.
            self._came = _NOTHING
            self._rounds.end()
        # The clock may be set meanwhile, and a list grows old without anybody saying so.
        due = cached.due_in(self._cache, self._clock(), self.rhythm, self._jitter)
        if self._rounds.begin(_WATCH if worklist is None else min(_WATCH, due)) and worklist is not None:
            self._end(self._fetch(worklist))
        else:
            self._say()

    def _fetch(self, worklist: Worklist) -> Came:
        """Ask the source; take what came, or that nothing did."""
        began = time.monotonic()
        if self._to_load:
            self._load()
            self._finish()
        asked_at = self._clock()
        local = dt.datetime.fromtimestamp(asked_at, self._zone)
        result = self._source.ask(worklist, local)
        seconds = time.monotonic() - began
        now = self._clock()
        with self._changing:
            # A scanner may have had somebody looked for meanwhile.
            before = self._cache
            if isinstance(result, Outcome):
                self._take(cached.failed(before, result.reason, now))
                return Came(None, result.reason, seconds)
            asked = days(local, worklist.past, worklist.future)
            after = cached.merged(
                before,
                result.entries,
                now,
                name_of(worklist.source),
                lambda held: self._is_outside(held, asked),
                asked=asked_at,
            )
            after = self._pruned(after, now)
            try:
                self._take(after)
            except (Malformed, Unfit):
                self._take(cached.failed(before, _UNREADABLE, now))
                return Came(None, _UNREADABLE, seconds)
            self._keep(after)
        news = cached.news(before, after)
        if news != News():
            LOG.info(
                "worklist: %d entries from %s in %.2f s: %d new, %d gone, %d changed",
                len(after.present()),
                worklist.source.ae_title,
                seconds,
                len(news.new),
                len(news.vanished),
                len(news.changed),
            )
        return Came(news, "", seconds)

    def _is_outside(self, held: Held, asked: Days) -> bool | None:
        """Whether an entry is of other days than those that the source was asked for, None if it has none."""
        _, known = self._served.whole()
        dates = known[held.key].start_dates if held.key in known else ()
        return not any(asked.first <= date <= asked.last for date in dates) if dates else None

    def _take(self, cache: Cache) -> None:
        self._served.take(cache)
        self._cache = cache

    def _end(self, came: Came) -> None:
        self._jitter = random.random()  # noqa: S311 - spreads boxes over time
        self._came = came
        self._rounds.end()
        self._say()

    def _pruned(self, cache: Cache, now: float) -> Cache:
        try:
            return cached.pruned(cache, now, self.rhythm, self._is_referred())
        except CapacitordError:
            # Whether a study refers to what vanished is not known now, so nothing is forgotten.
            self._doubt()
            return cache

    def _is_referred(self) -> Callable[[EntryKey], bool]:
        """Return what says whether a study that is here may refer to an entry."""
        shown = {each.held.key: each for each in self._served.shown()}

        def referred(key: EntryKey) -> bool:
            # Images say what the scanner got, which may be corrected, or a UID that was made here.
            return self._kept.referred(key) or (
                key in shown and self._kept.referred(key_of(shown[key].corrected.entry))
            )

        return referred

    def _keep(self, cache: Cache) -> None:
        """Keep a list for the next start. One that cannot be kept is served all the same."""
        if self._to_load:
            # What vanished before is known to the disk only: it is not written over.
            return
        try:
            self._kept.save(cache)
        except CapacitordError as error:
            if self._unsaved is None:
                LOG.error("The worklist is served, and cannot be kept: %s", error.message)  # noqa: TRY400
            words = f"The worklist is served, but would be lost with a restart: {error.message}"
            self._unsaved = Problem("worklist-not-kept", words, hint=error.hint)
            self._doubt()
        else:
            self._unsaved = None

    def _say(self) -> None:
        """Say once that the list is not what it was: out of date, or of today again, or not to be had."""
        cache, now = self._cache, self._clock()
        known = cached.state(cache, now, self.rhythm)
        before, self._said = self._said, (known, cache.failure)
        if self._worklist is None or before == self._said:
            return
        words = self._sentence(cache)
        if known is not ListState.FRESH or cache.failure:
            LOG.warning("worklist: %s", words)
        else:
            LOG.info("worklist: %s", words)
        if before[0] is not known:
            self._note(f"worklist-{known}", words)

    # --- the profile

    def _sentence(self, cache: Cache) -> str:
        return cached.sentence(cache, self._clock(), self.rhythm)

    def _corrections(self) -> tuple[Transform, ...]:
        return () if self._worklist is None else self._worklist.corrections
