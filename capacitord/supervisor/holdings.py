"""What the spools of the sites hold that are not served, as far as that was known when they were left."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from capacitord.api.messages import SiteStatus
from capacitord.errors import CapacitordError
from capacitord.supervisor.profile_folder import Held
from capacitord.supervisor.profiles import ProfileStore

_log = logging.getLogger(__name__)


class Holdings:
    """Who holds what, written down with the profiles so that it outlives a restart."""

    def __init__(self, profiles: ProfileStore) -> None:
        self.elsewhere: dict[str, Held] = {}
        """By site; those of which nobody knows are not in it."""
        self.others = 0
        """How many other sites there are."""
        self._profiles = profiles

    async def look_around(self, active: str) -> None:
        """Read all profiles back, and take note of the sites but the active one, and what their spools hold."""

        def look() -> tuple[int, dict[str, Held]]:
            found, _ = self._profiles.listed(active)
            sites = [each.id for each in found if each.id != active]
            return len(sites), {site: held for site in sites if (held := self._profiles.last(site)) is not None}

        try:
            self.others, self.elsewhere = await asyncio.to_thread(look)
        except CapacitordError as error:
            _log.error("the profiles can't be read: %s: %s", error.where, error.message)

    def told(self, site: str, now: SiteStatus) -> None:
        """Take note of what a site's runtime says."""
        self.elsewhere[site] = held_of(now)

    async def remember(self, site: str, held: Held | None) -> None:
        """Write down what a site's spool holds, None if nobody knows. A disk that refuses is in the log."""
        if not site:
            return
        try:
            await asyncio.to_thread(self._profiles.remember, site, held)
        except CapacitordError as error:
            _log.warning("what the spool of %s holds could not be written down: %s", site, error.message)


def held_of(now: SiteStatus) -> Held:
    """Return what a spool holds, by what its runtime tells."""
    spool = now.spool
    return Held(
        datetime.now(UTC),
        spool.undelivered_images,
        spool.held_images + spool.held_back_images + spool.conflicts,
        spool.unrouted_images,
        spool.refused_images,
        spool.held_back_images,
        spool.missing_images,
        spool.announced_studies,
        spool.untold_results,
    )
