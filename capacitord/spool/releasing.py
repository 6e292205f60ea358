"""What a person decides about a study that is held: sent somewhere on purpose, or discarded for good in a while.

Each decision is one transaction, read and written with nobody in between: of two operators one is first, and the other
is told who that was. A crash leaves a study held or released, and nothing in between.

What is discarded is set aside for `GRACE` seconds on the retention clock: it goes nowhere, nobody is shown it as held,
and it can be had back. Then its bytes are overwritten as `Housekeeping.discard` does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final, NamedTuple

import apsw
import msgspec

from capacitord.errors import Refused, TryAgain
from capacitord.model.states import STUDY, StudyState, advance
from capacitord.model.transform import Transform
from capacitord.spool import closing, deliveries, review
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.filing import Filing, bounds
from capacitord.spool.routed import BY_A_PERSON, Standing

GRACE: Final = 86400.0
"""Seconds for which something that was discarded can be had back."""

_HELD: Final = "id BETWEEN ? AND ? AND here AND NOT conflict AND routing > ?"
_BACK: Final = """
SELECT id FROM image WHERE id BETWEEN ?1 AND ?2 AND here AND routing < 0 AND NOT EXISTS (
  SELECT 1 FROM image other WHERE other.sop_uid = image.sop_uid AND other.id != image.id AND other.here
    AND (other.routing >= 0 OR other.id > image.id)
)
"""
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


class Releasing:
    """A person's decisions about studies. Every change is on stable storage when it returns."""

    def __init__(self, catalog: Catalog, filing: Filing) -> None:
        self._catalog, self._filing = catalog, filing

    def release(self, study: int, what: Release, by: Person, now: int) -> int:
        """Send what is held of a study where a person says; return how many images.

        Raises `Refused` if nothing is held, saying who released or discarded it and when, and `TryAgain` while images
        are arriving.
        """
        with self._catalog.change() as catalog:
            images = self._decidable(catalog, study)
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
            review.keep_released(catalog, self._filing, study, now, entry=what.entry, release=number)
            self._become(catalog, study, StudyState.RELEASED, f"Released by {by} to {_listed(what.destinations)}.")
        return len(images)

    def set_aside(self, study: int, reason: str, by: Person, clocks: tuple[int, float]) -> int:
        """Discard what is held of a study, for now so that it can be had back; return how many images.

        `clocks` are the time in nanoseconds since the epoch and the retention clock. Raises as `release` does.
        """
        now, tick = clocks
        with self._catalog.change() as catalog:
            images = self._decidable(catalog, study)
            catalog.execute(
                f"UPDATE image SET routing = -routing WHERE {_HELD}",  # noqa: S608
                (*bounds(study), Standing.DECIDED),
            )
            catalog.execute(
                "INSERT OR REPLACE INTO set_aside (study, due, at, uid, user, operator, reason) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (study, tick + GRACE, now, *by, reason),
            )
            left = fetch_value(
                catalog, "SELECT count(*) FROM image WHERE id BETWEEN ? AND ? AND here AND routing >= 0", bounds(study)
            )
            if left:
                closing.judge_again(catalog, self._filing, study)
            else:
                words = f"Discarded by {by}: {reason} It can still be had back."
                self._become(catalog, study, StudyState.DISCARDED, words)
        return len(images)

    def restore(self, study: int) -> int:
        """Have back what was set aside of a study; return how many images. Raises `Refused` if nothing is.

        An image that came again meanwhile is held anyway, so the one that was discarded stays so. Of one that was
        discarded twice the last is had back.
        """
        with self._catalog.change() as catalog:
            if fetch_value(catalog, "SELECT 1 FROM set_aside WHERE study = ?", (study,)) is None:
                raise Refused(
                    "Nothing of this study can be had back.",
                    hint="What is discarded can be for 24 hours that the box is on. Send it from the scanner again.",
                )
            back = [number for (number,) in fetch(catalog, _BACK, bounds(study))]
            catalog.executemany("UPDATE image SET routing = -routing WHERE id = ?", ((number,) for number in back))
            if not fetch_value(
                catalog, "SELECT 1 FROM image WHERE id BETWEEN ? AND ? AND here AND routing < 0", bounds(study)
            ):
                catalog.execute("DELETE FROM set_aside WHERE study = ?", (study,))
            state = StudyState(fetch_value(catalog, "SELECT state FROM study WHERE id = ?", (study,)))
            if state is StudyState.DISCARDED and back:
                self._become(catalog, study, StudyState.HELD, "")
            closing.judge_again(catalog, self._filing, study)
        return len(back)

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

    def aside(self, study: int) -> SetAside | None:
        """Return what a person set aside of a study, None if nothing can be had back."""
        with self._catalog.read() as catalog:
            return _aside(catalog, study)

    def _decidable(self, catalog: apsw.Connection, study: int) -> list[int]:
        """Return the images of a study that wait for a person. Raises `Refused` and `TryAgain`."""
        state, short, unrouted = fetch(catalog, "SELECT state, short, unrouted FROM study WHERE id = ?", (study,))[0]
        if StudyState(state) is StudyState.RECEIVING:
            raise TryAgain(
                "Images of this study are arriving.",
                where=f"study {short}",
                hint="Wait until the scanner has finished and try again.",
            )
        if StudyState(state) is StudyState.HELD and unrouted:
            raise TryAgain(
                "It is being decided where images of this study go.",
                where=f"study {short}",
                hint="Try again in a moment.",
            )
        rows = fetch(catalog, f"SELECT id FROM image WHERE {_HELD}", (*bounds(study), Standing.DECIDED))  # noqa: S608
        if StudyState(state) is StudyState.HELD and rows:
            return [image for (image,) in rows]
        raise _decided_before(catalog, study, short)

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


def _decided_before(catalog: apsw.Connection, study: int, short: str) -> Refused:
    aside, released = _aside(catalog, study), _last(catalog, study)
    where = f"study {short}"
    if aside is not None and (released is None or aside.at > released.at):
        words = f"This study was discarded by {aside.by} {_when(aside.at)}."
        return Refused(words, where=where, hint=f"Have it back first: `fluxctl held restore {short}`.")
    if released is not None:
        words = (
            f"This study was released by {released.by} {_when(released.at)} to {_listed(released.what.destinations)}."
        )
        return Refused(words, where=where, hint=f"Send it again on purpose: `fluxctl resend {short} --to DEST`.")
    return Refused("This study is not held.", where=where, hint=f"See where it goes: `fluxctl study show {short}`.")


def _when(nanoseconds: int) -> str:
    return f"at {dt.datetime.fromtimestamp(nanoseconds // 10**9, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
