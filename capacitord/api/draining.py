"""Sites that the box has left and whose images go on leaving, in words: the daemon and `fluxctl` say it alike."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacitord.api.messages import Draining, DrainState

_WORDS: Final[Mapping[DrainState, str]] = MappingProxyType(
    {
        DrainState.DRAINING: "draining",
        DrainState.STUCK: "not draining",
        DrainState.WAITING: "waiting to drain",
    }
)
_MINUTE: Final = 60


def told(found: Draining) -> str:
    """Return how a site drains, in one line without its reason: "draining lakeside: 34 images left, about 5 min"."""
    return f"{_WORDS[found.state]} {found.site}: {left(found)}"


def left(found: Draining) -> str:
    """Return what is left of it, and how long that takes."""
    if found.images is None:
        return "what is left is not known yet"
    if not found.images:
        return "nothing is left"
    images = f"{found.images:,} image{'' if found.images == 1 else 's'} left"
    return images if found.state is DrainState.WAITING else f"{images}, {about(found.eta)}"


def about(seconds: float | None) -> str:
    """Return roughly how long something takes; None: nothing was measured."""
    if seconds is None:
        return "how long is unknown"
    if seconds < 60:
        return "less than 1 min"
    minutes = round(seconds / _MINUTE)
    hours, rest = divmod(minutes, _MINUTE)
    if not hours:
        return f"about {minutes} min"
    return f"about {hours:,} h {rest} min" if rest else f"about {hours:,} h"
