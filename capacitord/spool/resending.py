"""Sending again what was sent or held, and on purpose what has no route. Call all of this within a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import apsw

from capacitord.errors import Refused, TryAgain
from capacitord.model.patient import several
from capacitord.model.states import ACKNOWLEDGED, AckState, DeliveryState
from capacitord.spool import closing, deliveries, review
from capacitord.spool.catalog import fetch, fetch_value
from capacitord.spool.filing import Filing, bounds
from capacitord.spool.routed import BY_A_PERSON, Standing
from capacitord.spool.whose import mixture

_ITS_WAITING: Final = "SELECT 1 FROM waiting w WHERE w.delivery = d.id AND (?2 IS NULL OR w.image = ?2)"
_ITS_ACK: Final = "SELECT 1 FROM ack a WHERE a.delivery = d.id AND (?2 IS NULL OR a.image = ?2) AND a.state != 'moved'"
_HELD_BEFORE: Final = """
SELECT d.id FROM delivery d WHERE d.destination = ?1 AND d.open AND d.held > 0 AND EXISTS (
  SELECT 1 FROM ack a JOIN image i ON i.id = a.image
  WHERE a.delivery = d.id AND a.state = 'held' AND a.held != 'damaged' AND a.profile_version IS NOT ?2 AND i.here
) ORDER BY d.id
"""
_ITS_HELD: Final = """
SELECT i.id, i.length FROM ack a CROSS JOIN image i ON i.id = a.image
WHERE a.delivery = ?1 AND a.state = 'held' AND a.held != 'damaged' AND a.profile_version IS NOT ?2 AND i.here
  AND a.image > ?3
ORDER BY a.image LIMIT ?4
"""
_AT_ONCE: Final = 500
_NEVER_LOOKED_AT: Final = frozenset({Standing.INVALID, Standing.UNREADABLE, Standing.MISSING})
"""How an image may stand that matching never looked at."""
_ANSWERED: Final = "SELECT state, attempts, may_be_there, since, else_to, else_after FROM ack "
_WAITING: Final = """
INSERT INTO waiting (delivery, image, bytes, attempts, known, since, else_to, else_after)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_UNANSWERED: Final = frozenset({AckState.MOVED, AckState.HELD})
"""What does not tell whether an attempt before it brought the image there."""


class _Known(NamedTuple):
    """What an image that waits again brings with it, as in the catalog."""

    attempts: int = 0
    known: int = 0
    since: int | None = None
    else_to: str = ""
    else_after: float = 0.0


def recipients(catalog: apsw.Connection, study: int, image: int | None) -> list[str]:
    """Return the destinations that a study, or one image of it, was to go to, as its deliveries name them.

    One that another destination stood in for is none of them. An image in conflict was to go nowhere: it gets those of
    its study.
    """
    conflict = image is not None and fetch_value(catalog, "SELECT conflict FROM image WHERE id = ?", (image,))
    rows = fetch(
        catalog,
        f"SELECT DISTINCT d.destination FROM delivery d WHERE d.study = ?1 AND (EXISTS ({_ITS_WAITING}) "  # noqa: S608
        f"OR EXISTS ({_ITS_ACK})) ORDER BY d.id",
        (study, None if conflict else image),
    )
    return [name for (name,) in rows]


def resend(  # noqa: PLR0917 - made for one caller, which names them
    catalog: apsw.Connection,
    filing: Filing,
    study: int,
    destinations: Sequence[str],
    image: int | None,
    now: int,
    *,
    chosen: bool,
    matches: bool,
) -> int:
    """Put images into the queues again, as `Ledger.resend` has it; return how many. Raises what that does."""
    low, high = bounds(study) if image is None else (image, image)
    images = fetch(
        catalog,
        "SELECT id, length, conflict, routing FROM image WHERE id BETWEEN ? AND ? AND id >> 24 = ? AND here "
        "AND (? OR NOT conflict) AND routing >= 0",
        (low, high, study, image is not None),
    )
    if chosen:
        _demand_known(catalog, study, [Standing(row[3]) for row in images], matches=matches)
    twins = [row[0] for row in images if row[2]]
    if twins and (matches or review.is_kept(catalog, study)):
        _demand_one_patient(catalog, study, twins)
    count = 0
    for destination in destinations if images else ():
        delivery = filing.delivery(catalog, study, destination, now)
        again = [
            (number, length)
            for number, length, conflict, _ in images
            if chosen or conflict or _was_to_go(catalog, delivery, number)
        ]
        _put(catalog, filing, delivery, again, now)
        count += len(again)
    if number := review.release_that_holds(catalog, study):
        # She may have corrected whose the study is: what is sent of it again is corrected likewise.
        catalog.executemany(
            "UPDATE image SET release = ? WHERE id = ? AND release IS NULL", ((number, row[0]) for row in images)
        )
    if chosen and destinations:
        _release(catalog, filing, study, destinations, [row[0] for row in images if row[3] > Standing.OPEN])
    if count and any(row[2] for row in images):
        # One in conflict is not in the way of the others any more.
        closing.judge_again(catalog, filing, study)
    return count


def _demand_known(catalog: apsw.Connection, study: int, standings: Sequence[Standing], *, matches: bool) -> None:
    """Raise unless it is known whose a study is and where these images of it go, or at least that nothing says so."""
    matches = matches or review.is_kept(catalog, study)
    short = fetch_value(catalog, "SELECT short FROM study WHERE id = ?", (study,))
    where = f"study {short}"
    if review.waits(catalog, study) or (matches and not _NEVER_LOOKED_AT.isdisjoint(standings)):
        raise Refused(
            "It is not known whose the images are that are held of this study, so it is not sent where somebody says.",
            where=where,
            hint=f"Release them: `fluxctl release {short}`. Or discard what is held: `fluxctl held discard {short}`.",
        )
    if Standing.OPEN in standings:
        raise TryAgain(
            "It is not decided yet where its images go.",
            where=where,
            hint="Try again in a moment. Where whole studies only are sent, wait until it has arrived.",
        )


def _demand_one_patient(catalog: apsw.Connection, study: int, twins: Sequence[int]) -> None:
    """Raise unless a study leaves whose images came again, and these are of its patient: no release sends them."""
    found = mixture(catalog, study, twins)
    if not review.leaves(catalog, study):
        words = (
            "It is not known whose this study is, so nothing is sent that came again under the UID of another image."
        )
    elif several((*found.goes, *found.stays)):
        words = "The image came again and says another patient now, so it is not sent under the same UID."
    else:
        return
    short = fetch_value(catalog, "SELECT short FROM study WHERE id = ?", (study,))
    hint = f"Discard it: `fluxctl held discard {short}`. The scanner can send it as an image of its own."
    raise Refused(words, where=f"study {short}", hint=hint)


def _was_to_go(catalog: apsw.Connection, delivery: int, image: int) -> bool:
    key = (delivery, image)
    if fetch_value(catalog, "SELECT 1 FROM waiting WHERE delivery = ? AND image = ?", key):
        return True
    state = fetch_value(catalog, "SELECT state FROM ack WHERE delivery = ? AND image = ?", key)
    return state is not None and AckState(state) is not AckState.MOVED


def _put(catalog: apsw.Connection, filing: Filing, delivery: int, images: list[tuple[int, int]], now: int) -> None:
    _wait(catalog, delivery, images, now)
    if not images:
        return
    deliveries.become(catalog, filing, delivery, DeliveryState.QUEUED, "Sent again by an operator.")
    catalog.execute(
        "UPDATE delivery SET delivered_at = NULL, delivered_tick = NULL, queued_at = ? WHERE id = ?", (now, delivery)
    )


def _wait(catalog: apsw.Connection, delivery: int, images: Iterable[Sequence[int]], now: int) -> None:
    """Have images wait again, given as id and length, whatever was answered.

    One that was held has waited all the time, and others may stand in for it as before.
    """
    for image, length in images:
        key = (delivery, image)
        attempts, known, since, else_to, else_after = _known(catalog, key)
        catalog.execute("DELETE FROM ack WHERE delivery = ? AND image = ?", key)
        waits = fetch_value(catalog, "SELECT 1 FROM waiting WHERE delivery = ? AND image = ?", key)
        if not waits:
            waited = now if since is None else since
            catalog.execute(_WAITING, (*key, length, attempts, known, waited, else_to, else_after))


def _known(catalog: apsw.Connection, key: tuple[int, int]) -> _Known:
    for state, attempts, may_be_there, *kept in fetch(catalog, _ANSWERED + "WHERE delivery = ? AND image = ?", key):
        unanswered = AckState(state) in _UNANSWERED
        known = int(may_be_there if unanswered else AckState(state) in ACKNOWLEDGED)
        return _Known(attempts, known, *kept) if AckState(state) is AckState.HELD else _Known(attempts, known)
    return _Known()


def _release(catalog: apsw.Connection, filing: Filing, study: int, to: Sequence[str], held: Sequence[int]) -> None:
    """Take notice that a person has decided where images go that were held."""
    for image in held:
        catalog.execute(
            "UPDATE image SET routing = ?, route = ?, decided_by = NULL, held = '' WHERE id = ?",
            (Standing.DECIDED, BY_A_PERSON, image),
        )
    if held:
        closing.release(catalog, filing, study, to)


def held_before(catalog: apsw.Connection, destination: str, profile_version: int) -> list[int]:
    """Return the deliveries to a destination with images that are held under another version of the profile."""
    return [delivery for (delivery,) in fetch(catalog, _HELD_BEFORE, (destination, profile_version))]


def look_again(  # noqa: PLR0917 - made for one caller
    catalog: apsw.Connection, filing: Filing, delivery: int, profile_version: int, now: int, beyond: int
) -> tuple[int, int | None]:
    """Put a page of a delivery's images into its queue again, as `Ledger.look_again` has it: those `beyond` an image.

    Returns how many, and the last of them; None if there are no more.
    """
    images = fetch(catalog, _ITS_HELD, (delivery, profile_version, beyond, _AT_ONCE))
    _wait(catalog, delivery, images, now)
    if images:
        deliveries.reopen(catalog, filing, delivery, f"Version {profile_version} of the profile looks again.", now)
    return len(images), images[-1][0] if len(images) == _AT_ONCE else None
