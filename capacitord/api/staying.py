"""What stays at a site, in words: the daemon and `fluxctl site list` say it alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from capacitord.model.delivery import Inactive

HELD: Final = "held for a decision"
"""Of images that go nowhere until a person, or another version of the profile, says where."""

HELD_BACK: Final = "held back"
"""Of images that this box itself does not send to a destination as the profile is."""

_NOTHING: Final = "Nothing becomes of them until {} is active again."


class Counts(Protocol):
    """Images of a site that are on this box, by what they wait for."""

    @property
    def undelivered_images(self) -> int | None:
        """Those that wait for a destination."""
        ...

    @property
    def held_images(self) -> int:
        """Those that wait for a person, the ones that are held back among them."""
        ...

    @property
    def held_back_images(self) -> int:
        """Those that this box does not send to some destination."""
        ...

    @property
    def unrouted_images(self) -> int:
        """Those of which it is not decided yet where they go."""
        ...

    @property
    def refused_images(self) -> int:
        """Those that a destination did not take."""
        ...


def after_leaving(site: str, found: Counts, inactive: Inactive) -> str:
    """Return what becomes of the images of a site that was left, by its profile; empty if none stays."""
    going, resting = leaving(found), waiting(found)
    if not inactive.drains:
        words = staying(found)
        return f" Images that stay at {site}: {words}. {_NOTHING.format(site)}" if words else ""
    said = ""
    if going:
        span = "" if inactive.seconds is None else f", for {duration(inactive.seconds)} at most"
        said = f" Images of {site} go on leaving{span}: {going}."
    if resting:
        said += f" Images that stay at {site}: {resting}. {_NOTHING.format(site)}"
    return said


def leaving(found: Counts) -> str:
    """Return how many images could leave without a person, and as what; empty if none could."""
    return _told(((found.undelivered_images, "undelivered"), (found.unrouted_images, "to be routed")))


def waiting(found: Counts) -> str:
    """Return how many images stay until a person acts, and why; empty if none does."""
    return _told(
        (
            (found.held_images - found.held_back_images, HELD),
            (found.held_back_images, HELD_BACK),
            (found.refused_images, "refused"),
        )
    )


def duration(seconds: float) -> str:
    """Return a time that was set, as a profile writes it: "4h"."""
    rest, words = round(seconds), ""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, length)
        words += f"{number}{unit}" if number else ""
    return words


def _told(kinds: Iterable[tuple[int | None, str]]) -> str:
    return ", ".join(f"{images:,} {kind}" for images, kind in kinds if images)


def staying(found: Counts) -> str:
    """Return how many images stay, and why; empty if none does."""
    kinds = (
        (found.undelivered_images, "undelivered"),
        (found.held_images - found.held_back_images, HELD),
        (found.held_back_images, HELD_BACK),
        (found.unrouted_images, "to be routed"),
        (found.refused_images, "refused"),
    )
    return _told(kinds)
