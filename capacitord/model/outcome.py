"""What an attempt to send one image, or to reach a destination, came to."""

from __future__ import annotations

import enum

import msgspec


class Verdict(enum.StrEnum):
    """The four things an answer can mean for the queue."""

    DONE = "done"
    DONE_WITH_WARNING = "done-with-warning"
    LATER = "later"
    NEEDS_PERSON = "needs-person"


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """A verdict with its evidence: the DIMSE status if there was an answer, the peer's comment, our words."""

    verdict: Verdict
    reason: str
    status: int | None = None
    comment: str = ""
