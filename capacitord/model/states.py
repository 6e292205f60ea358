"""States and the transitions they allow. Everything else is refused here and nowhere else."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar


class IllegalTransition(AssertionError):
    """A state was asked to become one its table does not list: an error in this program."""


class GateState(enum.StrEnum):
    """Whether the box takes images, and for whom."""

    PARKED = "parked"
    CANDIDATE = "candidate"
    PREFLIGHT = "preflight"
    BLOCKED = "blocked"
    OPEN = "open"
    CLOSING = "closing"


class StudyState(enum.StrEnum):
    """What became of a study since its first image arrived. `LET_THROUGH`: it goes, though nothing matches it."""

    RECEIVING = "receiving"
    COMPLETE = "complete"
    MATCHED = "matched"
    LET_THROUGH = "let-through"
    HELD = "held"
    RELEASED = "released"
    DISCARDED = "discarded"


class DeliveryState(enum.StrEnum):
    """One study on its way to one destination. `MOVED`: what it did not get went to another destination instead."""

    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    MOVED = "moved"


class AckState(enum.StrEnum):
    """One image at one destination, as its ledger row says.

    `WAITING`: not sent, or sent and refused for now. `DOUBT`: it may have been sent; no answer was recorded.
    `DONE` and `WARNING`: acknowledged. `REFUSED`: the destination said no for good. `HELD`: this box itself does not
    send it as the profile is. With both a person has to look. `MOVED`: another destination gets it instead.
    """

    WAITING = "waiting"
    DOUBT = "doubt"
    DONE = "done"
    WARNING = "warning"
    REFUSED = "refused"
    HELD = "held"
    MOVED = "moved"


ACKNOWLEDGED = frozenset({AckState.DONE, AckState.WARNING})

_G, _S, _D, _A = GateState, StudyState, DeliveryState, AckState

GATE: Mapping[GateState, frozenset[GateState]] = MappingProxyType(
    {
        _G.PARKED: frozenset({_G.CANDIDATE}),
        _G.CANDIDATE: frozenset({_G.PREFLIGHT, _G.PARKED}),
        _G.PREFLIGHT: frozenset({_G.OPEN, _G.BLOCKED, _G.PARKED}),
        _G.BLOCKED: frozenset({_G.PREFLIGHT, _G.PARKED}),
        _G.OPEN: frozenset({_G.CLOSING}),
        _G.CLOSING: frozenset({_G.PARKED}),
    }
)

STUDY: Mapping[StudyState, frozenset[StudyState]] = MappingProxyType(
    {
        _S.RECEIVING: frozenset({_S.COMPLETE, _S.DISCARDED}),
        _S.COMPLETE: frozenset({_S.RECEIVING, _S.MATCHED, _S.LET_THROUGH, _S.HELD, _S.DISCARDED}),
        _S.MATCHED: frozenset({_S.RECEIVING, _S.LET_THROUGH, _S.HELD, _S.DISCARDED}),
        _S.LET_THROUGH: frozenset({_S.RECEIVING, _S.MATCHED, _S.HELD, _S.DISCARDED}),
        _S.HELD: frozenset({_S.RECEIVING, _S.COMPLETE, _S.MATCHED, _S.LET_THROUGH, _S.RELEASED, _S.DISCARDED}),
        _S.RELEASED: frozenset({_S.RECEIVING, _S.HELD, _S.DISCARDED}),
        _S.DISCARDED: frozenset({_S.RECEIVING, _S.HELD}),
    }
)

DELIVERY: Mapping[DeliveryState, frozenset[DeliveryState]] = MappingProxyType(
    {
        _D.QUEUED: frozenset({_D.SENDING, _D.DEFERRED, _D.DELIVERED, _D.FAILED, _D.MOVED}),
        _D.SENDING: frozenset({_D.QUEUED, _D.DEFERRED, _D.DELIVERED, _D.FAILED, _D.MOVED}),
        _D.DEFERRED: frozenset({_D.QUEUED, _D.SENDING, _D.DELIVERED, _D.FAILED, _D.MOVED}),
        _D.DELIVERED: frozenset({_D.CONFIRMED, _D.QUEUED}),
        _D.CONFIRMED: frozenset({_D.QUEUED}),
        _D.FAILED: frozenset({_D.QUEUED}),
        _D.MOVED: frozenset({_D.QUEUED}),
    }
)

ACK: Mapping[AckState, frozenset[AckState]] = MappingProxyType(
    {
        _A.WAITING: frozenset({_A.DOUBT, _A.DONE, _A.WARNING, _A.REFUSED, _A.HELD, _A.MOVED}),
        _A.DOUBT: frozenset({_A.WAITING, _A.DONE, _A.WARNING, _A.REFUSED, _A.HELD, _A.MOVED}),
        _A.DONE: frozenset({_A.WAITING}),
        _A.WARNING: frozenset({_A.WAITING}),
        _A.REFUSED: frozenset({_A.WAITING}),
        _A.HELD: frozenset({_A.WAITING}),
        _A.MOVED: frozenset({_A.WAITING}),
    }
)

_State = TypeVar("_State", bound=enum.StrEnum)


def advance(table: Mapping[_State, frozenset[_State]], now: _State, then: _State) -> _State:
    """Return `then` if the table lists it after `now` (staying where one is is always allowed).

    Raises `IllegalTransition` otherwise.
    """
    if then is not now and then not in table[now]:
        msg = f"{type(now).__name__}: {now} cannot become {then}"
        raise IllegalTransition(msg)
    return then
