"""What an attempt to send one image, or to reach a destination, came to."""

from __future__ import annotations

import enum

import msgspec

from capacitord.model.reasons import Reason


class Verdict(enum.StrEnum):
    """What an attempt can mean for the queue. `HELD`: this box itself does not send the image as it is."""

    DONE = "done"
    DONE_WITH_WARNING = "done-with-warning"
    LATER = "later"
    NEEDS_PERSON = "needs-person"
    HELD = "held"


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """A verdict with its evidence: the DIMSE status if there was an answer, the peer's comment, our words.

    `by_peer` says that the peer said it in another way than by a status: it does not accept such images at all. `held`
    is why this box does not send it, if that is the verdict.
    """

    verdict: Verdict
    reason: str
    status: int | None = None
    comment: str = ""
    by_peer: bool = False
    held: Reason | None = None

    @property
    def is_refusal(self) -> bool:
        """Whether the peer itself does not want the image, now or ever."""
        return self.verdict is Verdict.NEEDS_PERSON and (self.by_peer or self.status is not None)
