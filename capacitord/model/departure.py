"""Whether the coach may leave a site: decided here, over what is open at this moment.

What only somebody who is there can bring about keeps it (a scan that runs, an image that is missing on the way from the
scanner), and so does what nobody can do once another site is active (to decide on a held study, to deliver where the
profile says stop). What goes on by itself afterwards does not.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

import msgspec

from capacitord.model.delivery import Inactive

LATELY: Final = 86400.0
"""Seconds for which something that a scanner named is waited for."""


class Leave(enum.StrEnum):
    """Whether the coach may leave: nothing is open, what is open goes on by itself, or it is to stay."""

    NOW = "now"
    DRAINING = "draining"
    NOT_YET = "not-yet"


class Matter(msgspec.Struct, frozen=True):
    """Something that is open: a word for programs, a sentence, and the next step; whether it keeps the coach here."""

    reference: str
    message: str
    hint: str
    stays: bool = True


class Facts(NamedTuple):
    """What is open at a site. Counts are of images where nothing else is said.

    `waiting` ones can leave, in `eta` seconds where that is known; something is in the way of `stuck` ones of them at
    this moment. `paused` and `barred` ones wait for a destination to which nothing is sent, `stranded` ones for one
    that the profile does not name. `undecided` ones still get to know where they go. `damaged` ones can't be read any
    more, and no destination took them in. `announced` studies were named by a scanner, and nothing of them is here; of
    `begun` ones it says that they are being made. Of `unreported` requests for storage commitment no scanner was told
    the result yet. `unreadable` says why all this is not of now.
    """

    when_inactive: Inactive
    waiting: int = 0
    stuck: int = 0
    eta: float | None = None
    paused: int = 0
    barred: int = 0
    stranded: int = 0
    undecided: int = 0
    associations: int = 0
    receiving: int = 0
    held_studies: int = 0
    held: int = 0
    held_back: int = 0
    refused: int = 0
    conflicts: int = 0
    damaged: int = 0
    missing: int = 0
    missing_studies: int = 0
    announced: int = 0
    begun: int = 0
    unreported: int = 0
    unreadable: str = ""


class Judgement(NamedTuple):
    """Whether the coach may leave, and all that is open, what keeps it first."""

    leave: Leave
    matters: tuple[Matter, ...]


def judged(facts: Facts) -> Judgement:
    """Return whether the coach may leave, and why."""
    found = [*_arriving(facts), *_for_a_person(facts), *_on_the_way(facts), *_to_be_told(facts)]
    leave = Leave.DRAINING if found else Leave.NOW
    if any(matter.stays for matter in found):
        leave = Leave.NOT_YET
    return Judgement(leave, tuple(sorted(found, key=lambda matter: not matter.stays)))


def _arriving(facts: Facts) -> list[Matter]:
    found = []
    if facts.unreadable:
        found.append(Matter("unreadable", f"what is open can't be read now: {facts.unreadable}", "See: fluxctl status"))
    if facts.associations:
        words = f"{_count(facts.associations, 'association')} of scanners {_is(facts.associations)} open"
        found.append(Matter("receiving", words, "Wait until the scanner has sent everything and closed it."))
    if facts.begun:
        words = f"scanners say that {_studies(facts.begun)} {_is(facts.begun)} still being made"
        found.append(Matter("examination", words, "End the examination at the scanner, and have it send its images."))
    if facts.missing:
        of = f" of {_studies(facts.missing_studies)}"
        words = f"{_count(facts.missing, 'image')}{of} that scanners named {_has(facts.missing)} not arrived"
        found.append(Matter("missing", words, "Send them from the scanner again; see which: fluxctl study show STUDY"))
    if facts.damaged:
        words = (
            f"{_count(facts.damaged, 'image')} {_is(facts.damaged)} damaged on this box, and nobody else took that in"
        )
        hint = "Send these studies from the scanner again; see which: fluxctl study list"
        found.append(Matter("damaged", words, hint))
    if facts.announced:
        words = f"scanners named {_studies(facts.announced)} of which nothing has arrived"
        found.append(Matter("announced", words, "Send them from the scanner."))
    if facts.receiving:
        words = f"{_studies(facts.receiving)} {_is(facts.receiving)} still being received"
        found.append(Matter("studies-open", words, "Wait until they are closed: fluxctl study list --state receiving"))
    return found


def _for_a_person(facts: Facts) -> list[Matter]:
    """Return what goes nowhere until a person acts, which takes that the site is active."""
    found = []
    if facts.held:
        words = f"{_studies(facts.held_studies)} with {_count(facts.held, 'image')} {_is(facts.held_studies)} held"
        found.append(Matter("held", words, "Decide on each: fluxctl held list"))
    for number, reference, words, hint in (
        (facts.refused, "refused", "refused by a destination", "See why: fluxctl queue list"),
        (facts.held_back, "held-back", "held back by this box", "See why: fluxctl queue list"),
        (facts.conflicts, "conflicts", "in conflict with an earlier copy", "Decide: fluxctl study list --undelivered"),
        (facts.paused, "paused", "waiting for a paused destination", "Go on: fluxctl queue resume ALL"),
        (facts.barred, "barred", "waiting where nothing can be sent", "See why: fluxctl queue list"),
        (facts.stranded, "stranded", "waiting for what the profile does not name", "See: fluxctl queue list"),
    ):
        if number:
            found.append(Matter(reference, f"{_count(number, 'image')} {_is(number)} {words}", hint))
    return found


def _on_the_way(facts: Facts) -> list[Matter]:
    number = facts.waiting + facts.undecided
    if not number:
        return []
    words = f"{_count(number, 'image')} {_is(number)} still on the way"
    if facts.stuck:
        some = "" if facts.stuck == number else f"{facts.stuck:,} of them "
        words += f", and {some}meet{'s' if facts.stuck == 1 else ''} trouble at the moment"
    if not facts.when_inactive.drains:
        first = _WHY if facts.stuck else _WAIT
        return [Matter("on-the-way", words, f"{first} {_LATER}")]
    limit = facts.when_inactive.seconds
    if facts.stuck and limit is None:
        return [Matter("on-the-way", words, f"{_WHY} {_TRIED}", stays=False)]
    if facts.stuck:
        return [Matter("on-the-way", words, f"{_WHY} At the next site they are tried for a while only. {_LIMIT}")]
    if limit is not None and facts.eta is not None and facts.eta > limit:
        return [Matter("on-the-way", f"{words}, for longer than they may at the next site", f"{_WAIT} {_LIMIT}")]
    return [Matter("on-the-way", words, "Nothing: they go on leaving at the next site.", stays=False)]


def _to_be_told(facts: Facts) -> list[Matter]:
    """Return what scanners are still to be told. What it is about is safe, and they are told when the box is back."""
    number = facts.unreported
    if not number:
        return []
    words = f"{number:,} result{'' if number == 1 else 's'} of storage commitment could not be told to a scanner yet"
    hint = "Switch that scanner on, or have it connect, before it deletes images. The rest is told at the next visit."
    return [Matter("commitment", words, hint, stays=False)]


_WAIT: Final = "Wait: fluxctl watch."
_WHY: Final = "See why: fluxctl queue list."
_LATER: Final = 'Where they are to leave later, the profile says when_inactive = "drain".'
_TRIED: Final = "They are tried at the next site, too, and leave if they can from there."
_LIMIT: Final = "For how long is in the profile: when_inactive."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _studies(number: int) -> str:
    return "1 study" if number == 1 else f"{number:,} studies"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _has(number: int) -> str:
    return "has" if number == 1 else "have"
