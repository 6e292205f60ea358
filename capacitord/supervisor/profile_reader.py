"""All profiles in force, read anew only where they have changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from capacitord.config.profile import Profile
from capacitord.errors import CapacitordError
from capacitord.supervisor.profiles import ProfileStore

_log = logging.getLogger(__name__)


class ProfileReader:
    """Reads one store. One thread at a time may call."""

    def __init__(self, store: ProfileStore) -> None:
        self._store = store
        self._known: dict[str, tuple[object, Profile]] = {}

    def read(self) -> Mapping[str, Profile]:
        """Return the profiles in force by their sites; one that can't be read is left out. Blocks on the disk."""
        found: dict[str, tuple[object, Profile]] = {}
        for each in self._store.listed("")[0]:
            mark = (each.version, each.sha256, each.imported_at)
            if (known := self._known.get(each.id)) is not None and known[0] == mark:
                found[each.id] = known
                continue
            try:
                found[each.id] = (mark, self._store.read(each.id).profile)
            except CapacitordError as error:
                _log.error("the profile of %s can't be read: %s", each.id, error.message)
        self._known = found
        return {site: profile for site, (_, profile) in found.items()}
