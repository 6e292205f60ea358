"""What becomes of images by the profile in force, for all destinations of a site."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from capacitord.dicom.outgoing import Keys, Recipe, recipe
from capacitord.model.profile import Profile
from capacitord.seal.keys import SiteKey
from capacitord.site.preparation.pool import Pool

_HASHES: Final = b"capacitord transform hash"
_CODES: Final = b"capacitord de-identification codes"


def keys_of(site: SiteKey) -> Keys:
    """Return the keys of a site for preparing images."""
    return Keys(site.derive(_HASHES), site.derive(_CODES))


class _InForce(NamedTuple):
    """A version of the profile and its recipes."""

    version: int
    recipes: Mapping[str, Recipe]


class Preparation:
    """The recipes in force and the pool that carries them out. For all threads; `close` it in the end."""

    def __init__(self, keys: Keys, profile: Profile, pool: Pool | None = None) -> None:
        self.keys = keys
        self.pool = Pool(keys) if pool is None else pool
        # Replaced and never changed, so that whoever looks needs no lock.
        self._in_force = _InForce(0, MappingProxyType({}))
        self.take(profile)

    def take(self, profile: Profile) -> None:
        """Take a version of the profile. What was prepared by another recipe is not sent any more."""
        before = self._in_force.recipes
        made = (recipe(profile, destination) for destination in profile.destinations)
        # One that says the same stays the same, so that nothing is prepared anew for it.
        recipes = {
            each.destination: before[each.destination] if before.get(each.destination) == each else each
            for each in made
        }
        self._in_force = _InForce(profile.version, MappingProxyType(recipes))

    def recipe(self, destination: str) -> Recipe | None:
        """Return what is in force for a destination; None if the profile does not name it."""
        return self._in_force.recipes.get(destination)

    def version_of(self, what: Recipe) -> int | None:
        """Return the version of the profile under which a recipe is in force; None if it is no more."""
        now = self._in_force
        return now.version if now.recipes.get(what.destination) is what else None

    def close(self) -> None:
        """End what is under way."""
        self.pool.close()
