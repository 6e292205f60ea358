"""What stays at a site, in words: the daemon and `fluxctl site list` say it alike."""

from __future__ import annotations

from typing import Final, Protocol

HELD: Final = "held for a decision"
"""Of images that go nowhere until a person, or another version of the profile, says where."""

HELD_BACK: Final = "held back"
"""Of images that this box itself does not send to a destination as the profile is."""


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


def staying(found: Counts) -> str:
    """Return how many images stay, and why; empty if none does."""
    kinds = (
        (found.undelivered_images, "undelivered"),
        (found.held_images - found.held_back_images, HELD),
        (found.held_back_images, HELD_BACK),
        (found.unrouted_images, "to be routed"),
        (found.refused_images, "refused"),
    )
    return ", ".join(f"{images:,} {kind}" for images, kind in kinds if images)
