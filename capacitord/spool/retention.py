"""What may leave the disk, and when: delivered images only, oldest first. Decided here, without a disk.

Time is the retention clock: seconds that this spool was open and running, never the wall clock. A clock that
jumps purges nothing early; a box that was switched off keeps its images that much longer.

A purge gives nothing back by itself: the bytes come free when their segment does, and that takes a while. What is on
its way out already is counted, so that one shortage does not purge twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Candidate(NamedTuple):
    """A study of which every image was acknowledged by every destination; `tick` is when the last one was."""

    study: int
    tick: float


class Share(NamedTuple):
    """What a study has in one segment, in bytes: `own` may leave, `living` is all that is there, `filled` ever was."""

    segment: int
    own: int
    living: int
    filled: int


class Candidates(NamedTuple):
    """What a decision is made from.

    `leaving` bytes were purged and come free without another purge. `shares` tells where a study's images are; it
    is asked only when room is short. When the spool is `cramped` there is no room to move images in.
    """

    studies: Sequence[Candidate]
    leaving: int
    shares: Callable[[int], Iterable[Share]]
    cramped: bool = False


def comes_free(filled: int, living: int, *, cramped: bool) -> int:
    """Return how many bytes of a segment come free as things are.

    All that is not living, once more than a quarter is not: then the rest is moved. Moving needs room.
    """
    dead = filled - living
    return dead if living == 0 or (4 * dead > filled and not cramped) else 0


def due(candidates: Candidates, tick: float, keep: float, shortage: int) -> list[int]:
    """Return the studies to purge, oldest delivery first.

    A study goes when `keep` seconds have passed since its delivery; while `shortage` bytes are lacking, without those
    that are leaving already, more go before their time, as few as will do. A `tick` from the future (a restored
    catalog) counts as just delivered.
    """
    chosen: list[int] = []
    living: dict[int, int] = {}
    lacking = shortage - candidates.leaving
    for candidate in sorted(candidates.studies, key=lambda one: (one.tick, one.study)):
        if tick - candidate.tick < keep and lacking <= 0:
            break
        chosen.append(candidate.study)
        if lacking > 0:
            lacking -= sum(
                _gain(share, living, cramped=candidates.cramped) for share in candidates.shares(candidate.study)
            )
    return chosen


def _gain(share: Share, living: dict[int, int], *, cramped: bool) -> int:
    """Return what comes free in a segment in addition when a share of it leaves; `living` remembers what is left."""
    before = living.get(share.segment, share.living)
    after = living[share.segment] = before - share.own
    return comes_free(share.filled, after, cramped=cramped) - comes_free(share.filled, before, cramped=cramped)
