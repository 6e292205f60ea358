"""The life of a runtime process as a table, and how long to wait before the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from capacitord.api.messages import RuntimeState

_S = RuntimeState

RUNTIME: Mapping[RuntimeState, frozenset[RuntimeState]] = MappingProxyType(
    {
        _S.ABSENT: frozenset({_S.STARTING}),
        _S.STARTING: frozenset({_S.RUNNING, _S.BACKOFF, _S.STOPPING, _S.ABSENT}),
        _S.RUNNING: frozenset({_S.BACKOFF, _S.STOPPING}),
        _S.BACKOFF: frozenset({_S.STARTING, _S.ABSENT}),
        _S.STOPPING: frozenset({_S.ABSENT}),
    }
)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `first` to `longest` seconds, and begin anew after `stable` seconds of running."""

    first: float
    longest: float
    stable: float

    def failures(self, before: int, ran_for: float) -> int:
        """Return how many runs in a row have failed, after one more that was of use for `ran_for` seconds."""
        return 1 if ran_for >= self.stable else before + 1

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after that many failures in a row, which are at least one."""
        doublings = min(failures - 1, 32)
        return min(self.longest, self.first * float(2**doublings))
