"""Which version of a profile a rollback goes back to if none is named."""

from __future__ import annotations

from collections.abc import Iterable

from capacitord.api.messages import Activation, How


def earlier(activations: Iterable[Activation], now: int | None) -> int | None:
    """Return the version that was in force before `now`, None if there is none; `activations` are oldest first.

    What was left by a rollback does not count: two rollbacks in a row go back by two versions. `now` None: nobody knows
    which version is in force, and the last of which that is known is returned.
    """
    trail: list[int] = []
    for each in activations:
        if each.how is How.ROLLBACK:
            if each.version in trail:
                while trail[-1] != each.version:
                    trail.pop()
                continue
            del trail[-1:]
        if trail[-1:] != [each.version]:
            trail.append(each.version)
    while trail and trail[-1] == now:
        trail.pop()
    return trail[-1] if trail else None
