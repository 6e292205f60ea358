"""Where images go, by the profile in force."""

from __future__ import annotations

from capacitord.model.image import Facts
from capacitord.model.profile import Profile


class Routing:
    """The profile in force. An image is filed under whichever version holds when it is complete."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def destinations(self, _facts: Facts) -> tuple[str, ...]:
        """Return where an image goes: until there are routes, to every destination of the profile."""
        return tuple(destination.name for destination in self.profile.destinations)
