"""What may leave the disk, and when: delivered images only, oldest first. Decided here, without a disk.

Time is the retention clock: seconds that this spool was open and running, never the wall clock. A clock that
jumps purges nothing early; a box that was switched off keeps its images that much longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Candidate(NamedTuple):
    """A study of which every image was acknowledged by every destination; `tick` is when the last one was."""

    study: int
    tick: float
    bytes: int


def due(candidates: Iterable[Candidate], tick: float, keep: float, shortage: int) -> list[int]:
    """Return the studies to purge, oldest delivery first.

    A study goes when `keep` seconds have passed since its delivery; while `shortage` bytes are lacking more go
    before their time, as few as will do. A `tick` from the future (a restored catalog) counts as just delivered.
    """
    chosen: list[int] = []
    for candidate in sorted(candidates, key=lambda one: (one.tick, one.study)):
        if tick - candidate.tick >= keep or shortage > 0:
            chosen.append(candidate.study)
            shortage -= candidate.bytes
    return chosen
