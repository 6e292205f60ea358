"""How long things may take and how much there may be of them; all of it in one place."""

from __future__ import annotations

from dataclasses import dataclass

from capacitord.api.messages import LARGEST_IMPORT


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times in seconds, sizes in bytes. A test takes shorter ones.

    `drains` sites that are not active deliver at once; one of which nothing left for `drain_still` is told of as stuck.
    """

    body: int = 1 << 20
    import_body: int = LARGEST_IMPORT
    connections: int = 128
    streams: int = 16
    idle: float = 30.0
    slow_request: float = 10.0
    slow_reader: float = 30.0
    call_head: float = 150.0
    call_silence: float = 150.0
    status_answer: float = 2.0
    status_old: float = 10.0
    pulse: float = 2.0
    start_silence: float = 600.0
    heartbeat: float = 30.0
    first_delay: float = 0.5
    longest_delay: float = 60.0
    stable_after: float = 60.0
    bind_retry: float = 1.0
    grace: float = 25.0
    grace_margin: float = 5.0
    drains: int = 8
    drain_still: float = 300.0
