"""What a site knows of its worklist, and what follows from it: pure, over seconds since the epoch.

A whole fresh list takes the place of the old one; nothing else does. An entry that is not on it any more has vanished:
it is not served, but kept and marked, because images of it may be on their way or wait for a person. A fetch that
failed changes nothing but what is known of the source.

What the source gave for a question about one patient or order (`added`) is served beside the list: until a list of
its day comes without it, and else for a day after it was given last. Of such entries that no list had only so many are
kept (`bounded`).

========== ===================================================== =================================
state      when                                                  what the scanner gets
========== ===================================================== =================================
preparing  the list of the last life is being read at the start  an empty list, with a warning
never      no list was ever fetched                              an empty list, with a warning
fresh      the last whole list is not older than `stale_after`   the list
stale      it is older, the clock says it is of the future, or   the list, with a warning
           it is of the source that the profile had before
========== ===================================================== =================================
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from capacitord.model.worklist import EntryKey, Listed

CLOCK_SLACK: Final = 60.0
"""Seconds a clock may be set back without a list being taken for one of unknown age."""

LEAP: Final = 86400.0
"""Seconds between two lists that say that the clock was set, or that the box was off."""


SOUGHT_FOR: Final = 86400.0
"""Seconds that an entry is served which the source gave for a scanner, and which is of other days than the list."""


LOOK: Final = 8.0
"""Seconds a scanner's query waits for the source."""

AT_ONCE: Final = 2
"""Questions about one patient or order that may be open at the source at a time."""

MOST: Final = 30
"""Such questions within `Rhythm.demand` seconds."""


MOST_SOUGHT: Final = 2000
"""Entries that are kept of those which the source gave for scanners, and which were on no list."""


class ListState(enum.StrEnum):
    """How far a worklist can be relied on."""

    PREPARING = "preparing"
    NEVER = "never"
    FRESH = "fresh"
    STALE = "stale"


class Rhythm(msgspec.Struct, frozen=True):
    """How often the source is asked, in seconds, and how long what it sent is relied on.

    After a failure it is asked again in `retry`, then in twice that, and so on up to `refresh`. Between two fetches
    for a scanner that looks for somebody lie at least `demand`, and as long between two questions about the same one.
    Entries that vanished are kept for `keep`, and then until so many lists in a row (`steady`) came without a leap of
    the clock. `source` is what the source is called, empty if it does not matter.
    """

    refresh: float = 120.0
    stale_after: float = 43200.0
    retry: float = 5.0
    demand: float = 10.0
    keep: float = 1209600.0
    steady: int = 30
    source: str = ""


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry: on the list since `since`, seen there last at `seen`, vanished at `vanished` if it has.

    If it `left`, its day was not among those that the source was asked for any more, so the source may still have it.
    `sought` is when the source gave it because a scanner asked for that patient or order, if no list had it since. One
    that never was on a list was `seen` then.
    """

    listed: Listed
    since: float
    seen: float
    vanished: float | None = None
    left: bool = False
    sought: float | None = None

    @property
    def key(self) -> EntryKey:
        """What it is called by."""
        return self.listed.key

    @property
    def is_only_sought(self) -> bool:
        """Whether the source gave it for scanners only, and no list had it."""
        return self.sought is not None and self.seen == self.sought


class Cache(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is known. `fetched` is when the last whole list came, `tried` when the last try ended, well or not.

    `source` says where that list came from. `failures` counts those since, and `failure` says in words what the last
    one was. `steady` counts the lists that came one after the other without a `LEAP` of the clock. While `preparing`
    it is not known yet what the last life left.
    """

    entries: tuple[Held, ...] = ()
    fetched: float | None = None
    tried: float | None = None
    failures: int = 0
    failure: str = ""
    source: str = ""
    steady: int = 0
    preparing: bool = False

    def present(self) -> tuple[Held, ...]:
        """Return the entries of the last whole list, and those that were given since: those that are served."""
        return tuple(held for held in self.entries if held.vanished is None)

    def vanished(self) -> tuple[Held, ...]:
        """Return the entries that were on a list and are no more, those that went last first."""
        gone = [held for held in self.entries if held.vanished is not None]
        return tuple(sorted(gone, key=lambda held: held.vanished or 0.0, reverse=True))

    def find(self, key: EntryKey) -> Held | None:
        """Return an entry, vanished or not."""
        return next((held for held in self.entries if held.key == key), None)


def merged(
    cache: Cache,
    fresh: Sequence[Listed],
    now: float,
    source: str = "",
    outside: Callable[[Held], bool | None] = lambda _: False,
    *,
    asked: float | None = None,
) -> Cache:
    """Return the cache with a whole list that was fetched from `source` just now; its keys differ (see `distinct`).

    `outside` says of an entry whether its day is none of those that the source was asked for, None if it has no day.
    `asked` is when that question began: what the source gave for another one since is newer than the list.
    """
    began = now if asked is None else asked
    before = {held.key: held for held in cache.entries}
    present = tuple(Held(each, before[each.key].since if each.key in before else now, now) for each in fresh)
    keys = {each.key for each in fresh}

    def beside(held: Held) -> Held:
        """Return what becomes of an entry that is not on the list."""
        if held.vanished is not None:
            return held
        is_outside = outside(held)
        if held.sought is not None and (
            held.sought > began or (is_outside is not False and now - held.sought <= SOUGHT_FOR)
        ):
            return held
        sought = held.sought if held.is_only_sought else None
        return msgspec.structs.replace(held, vanished=now, left=bool(is_outside), sought=sought)

    others = tuple(beside(held) for held in cache.entries if held.key not in keys)
    is_steady = cache.fetched is not None and abs(now - cache.fetched) < LEAP
    return Cache(present + others, fetched=now, tried=now, source=source, steady=cache.steady + 1 if is_steady else 0)


def added(cache: Cache, found: Sequence[Listed], now: float) -> Cache:
    """Return the cache with what the source gave for a question about one patient or order; all else stays as it is.

    How old the list is does not change. Keys of what was found differ (see `distinct`).
    """
    if not found:
        return cache
    before = {held.key: held for held in cache.entries}
    fresh = {each.key: Held(each, now, now, sought=now) for each in found}
    for key, held in fresh.items():
        old = before.get(key)
        if old is not None:
            seen = now if old.is_only_sought else old.seen
            fresh[key] = msgspec.structs.replace(held, since=old.since, seen=seen)
    kept = tuple(held for held in cache.entries if held.key not in fresh)
    return msgspec.structs.replace(cache, entries=kept + tuple(fresh.values()))


def bounded(cache: Cache, referred: Callable[[EntryKey], bool], most: int = MOST_SOUGHT) -> Cache:
    """Return the cache with `most` of the entries that were on no list; those go that were given longest ago.

    Those stay that a study refers to, as `referred` says of a key, be they more. What a list had is never touched.
    """
    sought = sorted((held for held in cache.entries if held.is_only_sought), key=lambda held: held.sought or 0.0)
    unreferred = (held.key for held in sought if not referred(held.key))
    gone = frozenset(itertools.islice(unreferred, max(0, len(sought) - most)))
    if not gone:
        return cache
    return msgspec.structs.replace(cache, entries=tuple(held for held in cache.entries if held.key not in gone))


class News(msgspec.Struct, frozen=True):
    """What a fresh list brought: keys of entries that are new on it, that vanished, and that say something else."""

    new: tuple[EntryKey, ...] = ()
    vanished: tuple[EntryKey, ...] = ()
    changed: tuple[EntryKey, ...] = ()


def news(before: Cache, after: Cache) -> News:
    """Return what is different on the list `after` from the one `before`."""
    old = {held.key: held.listed for held in before.present()}
    now = {held.key: held.listed for held in after.present()}
    return News(
        tuple(key for key in now if key not in old),
        tuple(key for key in old if key not in now),
        tuple(key for key, listed in now.items() if key in old and old[key] != listed),
    )


def failed(cache: Cache, why: str, now: float) -> Cache:
    """Return the cache after a fetch that gave no list; `why` is in words, without anything of a patient."""
    return msgspec.structs.replace(cache, tried=now, failures=cache.failures + 1, failure=why)


def pruned(cache: Cache, now: float, rhythm: Rhythm, referred: Callable[[EntryKey], bool]) -> Cache:
    """Return the cache without entries that vanished long ago and that no study refers to.

    `referred` says of a key whether one does. An entry that vanished in what is the future now is kept. After a leap of
    the clock nothing is forgotten for a while: it may be set wrong, or the box was off and images come now.
    """
    if cache.steady < rhythm.steady:
        return cache
    kept = tuple(
        held
        for held in cache.entries
        if held.vanished is None or now - held.vanished <= rhythm.keep or referred(held.key)
    )
    return cache if len(kept) == len(cache.entries) else msgspec.structs.replace(cache, entries=kept)


def age(cache: Cache, now: float) -> float | None:
    """Return how old the list is in seconds; None if there is none, or if it is from the future."""
    if cache.fetched is None or now < cache.fetched - CLOCK_SLACK:
        return None
    return max(0.0, now - cache.fetched)


def state(cache: Cache, now: float, rhythm: Rhythm) -> ListState:
    """Return how far the list can be relied on."""
    if cache.preparing:
        return ListState.PREPARING
    if cache.fetched is None:
        return ListState.NEVER
    if is_of_another(cache, rhythm):
        return ListState.STALE
    old = age(cache, now)
    return ListState.STALE if old is None or old > rhythm.stale_after else ListState.FRESH


def awaited(cache: Cache, served: Cache, *, asks: bool = True) -> str:
    """Return why no study can be matched yet, in words; empty once the list is known.

    `served` is the last one of which all entries were corrected. The list is known once that is one that was fetched,
    in this life or the last; or, where none was kept, or it cannot be read, once the source was asked in this life,
    though in vain. That is bounded by the source's time-outs, so nothing waits for ever for a list that never comes.
    Where nobody `asks` a source, as after the coach has left, there is no more to come than what was kept.
    """
    if not served.preparing and (served.fetched is not None or served.tried is not None):
        return ""
    if cache.preparing or cache.fetched is not None:
        return "The worklist of before the start is being prepared, and images are matched with it after that."
    if not asks:
        return ""
    return "There is no worklist yet and its source is being asked, and images are matched after that."


def is_of_another(cache: Cache, rhythm: Rhythm) -> bool:
    """Whether the list came from a source that is not the one to ask now."""
    return bool(cache.fetched is not None and rhythm.source and cache.source and cache.source != rhythm.source)


def warning(cache: Cache, now: float, rhythm: Rhythm, *, unasked: bool = False) -> str:
    """Return what a scanner is told with its answer, at most 64 characters of ASCII; empty for a fresh list.

    With `unasked` the source was to be asked for whom the scanner wants, and did not answer.
    """
    match state(cache, now, rhythm):
        case ListState.PREPARING:
            return "The worklist is being prepared: ask again in a moment."
        case ListState.NEVER if cache.present():
            return "No whole worklist has been fetched yet: this is a part of it."
        case ListState.NEVER:
            return "No worklist has been fetched yet: this list is empty."
        case ListState.FRESH:
            return "The source could not be asked for this patient or order." if unasked else ""
        case ListState.STALE if is_of_another(cache, rhythm):
            return "This worklist is of the source before; the new one is silent."
        case ListState.STALE:
            old = age(cache, now)
            if old is None:
                return "This worklist is of unknown age: the clock was set back."
            if unasked:
                return f"The source could not be asked; the list is of {_ago(old)}."
            return f"This worklist is old: fetched {_ago(old)}."


def sentence(cache: Cache, now: float, rhythm: Rhythm) -> str:
    """Return the same for a person, with why the source does not answer if it does not."""
    found = state(cache, now, rhythm)
    old = age(cache, now)
    if found is ListState.PREPARING:
        words = "The worklist of before the start is being read from the disk, and scanners are told to ask again."
    elif found is ListState.NEVER:
        words = "No worklist has been fetched yet, and scanners get an empty one."
    elif is_of_another(cache, rhythm):
        words = f"The worklist is of the source before, {cache.source}: the new one has not sent its list yet."
    elif old is None:
        words = "The worklist is of unknown age, because the clock was set back since it was fetched."
    else:
        words = f"The worklist was fetched {_ago(old)}{' and is out of date' if found is ListState.STALE else ''}."
    if not cache.failures:
        return words
    times = "The last try failed" if cache.failures == 1 else f"The last {cache.failures} tries failed"
    return f"{words} {times}: {cache.failure}"


def due_in(cache: Cache, now: float, rhythm: Rhythm, jitter: float = 1.0) -> float:
    """Return in how many seconds the source is to be asked, 0 for now.

    `jitter`, from 0 to 1, shortens the wait after a failure to between a half and all of it, so that the boxes of a
    source that was down do not all come back at once. A clock that was set back never makes the wait longer.
    """
    if cache.tried is None or now < cache.tried:
        return 0.0
    pause = rhythm.refresh
    if cache.failures:
        # 2.0 ** 1024 overflows, and long before that the interval holds.
        pause = min(pause, rhythm.retry * 2.0 ** min(cache.failures - 1, 64)) * (0.5 + jitter / 2)
    return max(0.0, cache.tried + pause - now)


def may_ask(cache: Cache, now: float, rhythm: Rhythm) -> bool:
    """Whether the source may be asked out of turn, for a scanner that looks for somebody who is not on the list."""
    return cache.tried is None or not 0 <= now - cache.tried < rhythm.demand


def _ago(seconds: float) -> str:
    minutes = int(seconds // 60)
    if seconds < 5:
        return "just now"
    if minutes < 1:
        return f"{int(seconds)} s ago"
    if minutes < 60:
        return f"{minutes} min ago"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min ago"
    return f"{hours // 24} days ago"
