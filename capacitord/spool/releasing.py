"""What a person decides about a study that is held: sent somewhere on purpose, or discarded for good in a while.

Each decision is one transaction, read and written with nobody in between: of two operators one is first, and the other
is told who that was. A crash leaves a study held or released, and nothing in between.

What is discarded is set aside for `GRACE` seconds on the retention clock: it goes nowhere, nobody is shown it as held,
and it can be had back. Then its bytes are overwritten as `Housekeeping.discard` does. Copies that this box does not
send to a destination are left out: that destination does not get them, and the images stay as they are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

import apsw
import msgspec

from capacitord.errors import CapacitordError, Problem, Refused, TryAgain
from capacitord.model.patient import Patient
from capacitord.model.reasons import WORDS, Reason
from capacitord.model.states import STUDY, StudyState, advance
from capacitord.model.transform import Transform
from capacitord.spool import closing, deliveries, outbox, review, whose
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.filing import Filing, bounds
from capacitord.spool.outbox import Deed
from capacitord.spool.routed import BY_A_PERSON, Standing
from capacitord.spool.together import UNDECIDED
from capacitord.spool.whose import Mixture, Whose

GRACE: Final = 86400.0
"""Seconds for which something that was discarded can be had back."""

_HELD: Final = "id BETWEEN ? AND ? AND here AND NOT conflict AND routing > ?"
_BACK: Final = """
SELECT id FROM image WHERE id BETWEEN ?1 AND ?2 AND here AND routing < 0 AND NOT conflict AND NOT EXISTS (
  SELECT 1 FROM image other WHERE other.sop_uid = image.sop_uid AND other.id != image.id AND other.here
    AND (other.routing >= 0 OR other.id > image.id AND NOT other.conflict)
)
"""
_ASIDE_TWICE: Final = "SELECT id FROM image WHERE id BETWEEN ? AND ? AND here AND routing < 0 AND conflict LIMIT 1"
_TWINS: Final = f"SELECT i.id FROM image i WHERE i.id BETWEEN ? AND ? AND {UNDECIDED}"  # noqa: S608 - of constants
_RELEASES: Final = "SELECT id, at, uid, user, operator, reason, destinations, entry, changes FROM release"
_WAIT: Final = """
INSERT OR IGNORE INTO waiting (delivery, image, bytes, since)
SELECT ?1, id, length, ?3 FROM image WHERE id = ?2 AND NOT EXISTS (
  SELECT 1 FROM ack WHERE delivery = ?1 AND image = ?2
)
"""


class Person(NamedTuple):
    """Who decided: the user of the control socket, and the name that was given for a shared login."""

    uid: int
    user: str
    operator: str = ""

    def __str__(self) -> str:
        return f"{self.operator} (as {self.user})" if self.operator else self.user


class Release(NamedTuple):
    """What a person decided: to which destinations, why, with which entry of the worklist, if with one.

    `changes` writes the entry's attributes into what is sent.
    """

    destinations: tuple[str, ...]
    reason: str
    entry: str = ""
    changes: Transform | None = None


class Released(NamedTuple):
    """A release that was made, `at` nanoseconds since the epoch."""

    id: int
    at: int
    by: Person
    what: Release


class SetAside(NamedTuple):
    """A study that was discarded and can be had back until `due` on the retention clock."""

    due: float
    at: int
    by: Person
    reason: str


class Discarded(NamedTuple):
    """What a person discarded of a study: how many images were set aside, and how many copies are left out.

    `left_out` are by destination.
    """

    images: int
    left_out: dict[str, int]


Allow = Callable[[Mixture], None]
"""Raises what speaks against a release of the images of these patients."""

Choose = Callable[[Sequence[Patient]], Collection[Patient]]
"""Says whose images are discarded, of those of whom some wait. Raises `Refused`."""


class Releasing:
    """A person's decisions about studies. Every change is on stable storage when it returns."""

    def __init__(self, catalog: Catalog, filing: Filing) -> None:
        self._catalog, self._filing = catalog, filing

    def release(  # noqa: PLR0917 - as its transaction takes them
        self,
        study: int,
        what: Release,
        by: Person,
        now: int,
        allow: Allow | None = None,
        tell: Callable[[int], Deed] | None = None,
    ) -> int:
        """Send what is held of a study where a person says; return how many images.

        Raises `Refused` if nothing is held, saying who released or discarded it and when, and `TryAgain` while images
        are arriving or it is being decided where they go; and what `allow` raises. Then nothing is changed. `tell` says
        what the audit log is to have of it.
        """
        with self._catalog.change() as catalog:
            images = self._decidable(catalog, study)
            if not images:
                raise _why_not(catalog, study)
            found = whose.mixture(catalog, study, images)
            if allow is not None:
                allow(found)
            number = _written(catalog, study, what, by, now)
            for destination in what.destinations:
                delivery = self._filing.delivery(catalog, study, destination, now)
                for image in images:
                    catalog.execute(_WAIT, (delivery, image, now))
                deliveries.reopen(catalog, self._filing, delivery, f"Released by {by}.", now)
            catalog.execute(
                f"UPDATE image SET routing = ?, route = ?, decided_by = NULL, held = '', release = ? WHERE {_HELD}",  # noqa: S608
                (Standing.DECIDED, BY_A_PERSON, number, *bounds(study), Standing.DECIDED),
            )
            review.keep_released(
                catalog, self._filing, study, now, goes=found.goes.keys(), entry=what.entry, release=number
            )
            self._become(catalog, study, StudyState.RELEASED, f"Released by {by} to {_listed(what.destinations)}.")
            if tell is not None:
                outbox.add(catalog, tell(len(images)))
        return len(images)

    def set_aside(  # noqa: PLR0917 - as its transaction takes them
        self,
        study: int,
        reason: str,
        by: Person,
        clocks: tuple[int, float],
        choose: Choose | None = None,
        tell: Callable[[Discarded], Deed] | None = None,
    ) -> Discarded:
        """Discard what waits for a person in a study: images so that they can be had back for now, and copies.

        Images that wait for nothing but what is held are not discarded: it is decided where they go. `clocks` are the
        time in nanoseconds since the epoch and the retention clock. Raises as `release` does, and what `choose` raises;
        without it the images of all patients are discarded. `tell` as in `release`.
        """
        now, tick = clocks
        with self._catalog.change() as catalog:
            waiting = self._decidable(catalog, study)
            twins = [image for (image,) in fetch(catalog, _TWINS, bounds(study))]
            copies = deliveries.held_copies(catalog, study)
            images = [image for image, standing in waiting.items() if standing is not Standing.TOGETHER]
            if not (images or twins or copies):
                images = list(waiting)
            if not (images or twins or copies):
                raise _why_not(catalog, study)
            of = Whose(catalog, study)
            chosen = of.counted([*images, *twins, *copies])
            if choose is not None:
                chosen = dict.fromkeys(choose(tuple(chosen)), 0)
            images, copies = of.only(images, chosen), of.only(copies, chosen)
            left_out = dict(deliveries.leave_out(catalog, self._filing, study, copies, (now, tick)))
            # Where a copy of one was left out just now, nobody gets it any more.
            twins = of.only((image for (image,) in fetch(catalog, _TWINS, bounds(study))), chosen)
            aside = [*((waiting[image], image) for image in images), *((Standing.DUPLICATE, image) for image in twins)]
            catalog.executemany(
                "UPDATE image SET routing = ? WHERE id = ?", ((-standing, image) for standing, image in aside)
            )
            if aside:
                catalog.execute(
                    "INSERT OR REPLACE INTO set_aside (study, due, at, uid, user, operator, reason) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (study, tick + GRACE, now, *by, reason),
                )
            self._filing.forget(study)
            if images:
                why = reason if reason.endswith((".", "!", "?")) else f"{reason}."
                self._without(catalog, study, f"Discarded by {by}: {why} It can still be had back.")
            elif twins:
                closing.judge_again(catalog, self._filing, study)
            gone = Discarded(len(aside), left_out)
            if tell is not None:
                outbox.add(catalog, tell(gone))
        return gone

    def _without(self, catalog: apsw.Connection, study: int, words: str) -> None:
        """Give a study the state that it has without what was set aside of it."""
        left = "SELECT count(*) FROM image WHERE id BETWEEN ? AND ? AND here AND routing >= 0"
        if fetch_value(catalog, left, bounds(study)):
            closing.judge_again(catalog, self._filing, study)
        else:
            self._become(catalog, study, StudyState.DISCARDED, words)

    def restore(self, study: int, tell: Callable[[int], Deed] | None = None) -> int:
        """Have back what was set aside of a study; return how many images. Raises `Refused` if nothing is.

        An image that came again meanwhile is held anyway, so the one that was discarded stays so. Of one that was
        discarded twice the last is had back. `tell` as in `release`.
        """
        with self._catalog.change() as catalog:
            if fetch_value(catalog, "SELECT 1 FROM set_aside WHERE study = ?", (study,)) is None:
                raise _nothing_aside(catalog, study)
            back = [image for (image,) in fetch(catalog, _BACK, bounds(study))]
            catalog.executemany("UPDATE image SET routing = -routing WHERE id = ?", ((image,) for image in back))
            aside = "id BETWEEN ? AND ? AND here AND routing < 0"
            catalog.execute(
                f"UPDATE image SET routing = ? WHERE {aside} AND conflict",  # noqa: S608
                (Standing.DECIDED, *bounds(study)),
            )
            twins = catalog.changes()
            if not fetch_value(catalog, f"SELECT 1 FROM image WHERE {aside}", bounds(study)):  # noqa: S608
                catalog.execute("DELETE FROM set_aside WHERE study = ?", (study,))
            state = StudyState(fetch_value(catalog, "SELECT state FROM study WHERE id = ?", (study,)))
            if state is StudyState.DISCARDED and back:
                self._become(catalog, study, StudyState.HELD, "")
            closing.judge_again(catalog, self._filing, study)
            self._filing.forget(study)
            if tell is not None:
                outbox.add(catalog, tell(len(back) + twins))
        return len(back) + twins

    def refusal(self, study: int) -> Problem | None:
        """Return why a release of a study would be refused as it is now, None if something of it is held."""
        with self._catalog.read() as catalog:
            try:
                return None if self._decidable(catalog, study) else _why_not(catalog, study).problem()
            except CapacitordError as error:
                return error.problem()

    def patients(self, study: int) -> tuple[Patient, ...]:
        """Return all whom images of a study say."""
        with self._catalog.read() as catalog:
            return whose.patients(catalog, study)

    def awaited(self, study: int) -> tuple[whose.Awaited, ...]:
        """Return whose the images of a study are that wait for a person."""
        with self._catalog.read() as catalog:
            return whose.awaited(catalog, study)

    def over(self, tick: float) -> list[int]:
        """Return the studies of which what was set aside cannot be had back any more; `tick` is the retention clock."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, "SELECT study FROM set_aside WHERE due <= ? ORDER BY study", (tick,))
        return [study for (study,) in rows]

    def last(self, study: int) -> Released | None:
        """Return the last release of a study, None if there was none."""
        with self._catalog.read() as catalog:
            return _last(catalog, study)

    def made(self, number: int) -> Released | None:
        """Return the release of that number, None if there is none."""
        with self._catalog.read() as catalog:
            return _one(catalog, "id = ?", number)

    def entries(self, study: int) -> frozenset[str]:
        """Return as which worklist entries images of a study were released; one is empty if some were as they are."""
        with self._catalog.read() as catalog:
            return frozenset(
                entry for (entry,) in fetch(catalog, "SELECT entry FROM release WHERE study = ?", (study,))
            )

    def aside(self, study: int) -> SetAside | None:
        """Return what a person set aside of a study, None if nothing can be had back.

        Nothing can where all of it came again since.
        """
        with self._catalog.read() as catalog:
            is_there = any(fetch_value(catalog, sql, bounds(study)) for sql in (_ASIDE_TWICE, _BACK))
            return _aside(catalog, study) if is_there else None

    def _decidable(self, catalog: apsw.Connection, study: int) -> dict[int, Standing]:
        """Return the images of a study that go nowhere until a person says so, as they stand. Raises `TryAgain`."""
        state, short, unrouted = fetch(catalog, "SELECT state, short, unrouted FROM study WHERE id = ?", (study,))[0]
        if StudyState(state) is StudyState.RECEIVING:
            raise TryAgain(
                "Images of this study are arriving.",
                where=f"study {short}",
                hint="Wait until the scanner has finished and try again.",
            )
        if StudyState(state) is not StudyState.HELD:
            return {}
        if unrouted:
            raise _being_decided(short)
        rows = fetch(catalog, f"SELECT id, routing FROM image WHERE {_HELD}", (*bounds(study), Standing.DECIDED))  # noqa: S608
        return {image: Standing(routing) for image, routing in rows}

    def _become(self, catalog: apsw.Connection, study: int, state: StudyState, reason: str) -> None:
        now = StudyState(fetch_value(catalog, "SELECT state FROM study WHERE id = ?", (study,)))
        advance(STUDY, now, state)
        catalog.execute("UPDATE study SET state = ?, reason = ? WHERE id = ?", (state, reason, study))
        self._filing.forget(study)


def _written(catalog: apsw.Connection, study: int, what: Release, by: Person, now: int) -> int:
    changes = None if what.changes is None else msgspec.json.encode(what.changes).decode()
    catalog.execute(
        "INSERT INTO release (study, at, uid, user, operator, reason, destinations, entry, changes) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (study, now, *by, what.reason, " ".join(what.destinations), what.entry, changes),
    )
    return int(catalog.last_insert_rowid())


def _last(catalog: apsw.Connection, study: int) -> Released | None:
    return _one(catalog, "study = ?", study)


def _one(catalog: apsw.Connection, which: str, value: int) -> Released | None:
    for number, at, uid, user, operator, reason, destinations, entry, changes in fetch(
        catalog, f"{_RELEASES} WHERE {which} ORDER BY id DESC LIMIT 1", (value,)
    ):
        transform = None if changes is None else msgspec.json.decode(changes, type=Transform)
        what = Release(tuple(destinations.split()), reason, entry, transform)
        return Released(number, at, Person(uid, user, operator), what)
    return None


def _aside(catalog: apsw.Connection, study: int) -> SetAside | None:
    for due, at, uid, user, operator, reason in fetch(
        catalog, "SELECT due, at, uid, user, operator, reason FROM set_aside WHERE study = ?", (study,)
    ):
        return SetAside(due, at, Person(uid, user, operator), reason)
    return None


def _being_decided(short: str) -> TryAgain:
    return TryAgain(
        "It is being decided where images of this study go.",
        where=f"study {short}",
        hint="Try again in a moment.",
    )


def _why_not(catalog: apsw.Connection, study: int) -> CapacitordError:
    aside, released = _aside(catalog, study), _last(catalog, study)
    short, unrouted = fetch(catalog, "SELECT short, unrouted FROM study WHERE id = ?", (study,))[0]
    if unrouted:
        # What was held is judged again, by another list or another version of the profile.
        return _being_decided(short)
    where = f"study {short}"
    if aside is not None and (released is None or aside.at > released.at):
        words = f"This study was discarded by {aside.by} {_when(aside.at)}."
        return Refused(words, where=where, hint=f"Have it back first: `fluxctl held restore {short}`.")
    if released is not None:
        words = (
            f"This study was released by {released.by} {_when(released.at)} to {_listed(released.what.destinations)}."
        )
        return Refused(words, where=where, hint=f"Send it again on purpose: `fluxctl resend {short} --to DEST`.")
    twins = len(fetch(catalog, _TWINS, bounds(study)))
    if twins:
        what = "1 image of this study" if twins == 1 else f"{twins} images of this study"
        words = f"{what} came again with other content under a known UID: that is not released, it is sent by itself."
        return Refused(words, where=where, hint=WORDS[Reason.DUPLICATE].step.format(study=short))
    hint = f"See where it goes, and what of it waits for a person: `fluxctl study show {short}`."
    return Refused("This study is not held.", where=where, hint=hint)


def _nothing_aside(catalog: apsw.Connection, study: int) -> Refused:
    """Return that nothing of a study can be had back, and what of it is held instead."""
    short, held = fetch(catalog, "SELECT short, held FROM study WHERE id = ?", (study,))[0]
    hint = "What is discarded can be for 24 hours that the box is on. Send it from the scanner again."
    words = "Nothing of this study can be had back."
    if held:
        words = f"Nothing of this study is discarded: {held} image{' of it is' if held == 1 else 's of it are'} held."
        hint = f"Look at it: `fluxctl held show {short}`."
    return Refused(words, where=f"study {short}", hint=hint)


def _when(nanoseconds: int) -> str:
    return f"at {dt.datetime.fromtimestamp(nanoseconds // 10**9, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
