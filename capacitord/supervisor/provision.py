"""What a site's runtime is started with: its folder, its key, its profile, and the settings of this box."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from capacitord.config.box import Box
from capacitord.config.in_force import in_force
from capacitord.errors import StorageFailed
from capacitord.link.messages import Start
from capacitord.supervisor import files, settings
from capacitord.supervisor.erasing import Erasures
from capacitord.supervisor.keyring import Keys
from capacitord.supervisor.profiles import Stored


class Provision:
    """What runtimes of this box need. Sites whose erasure was begun get nothing."""

    def __init__(self, box: Box, keys: Keys, erasures: Erasures) -> None:
        self._box, self._keys, self._erasures = box, keys, erasures

    def folder_of(self, site: str) -> Path:
        """Return where a site's spool is."""
        return self._box.state / "sites" / site

    async def start_of(self, stored: Stored) -> Start:
        """Return what a runtime of this profile's site is started with. Raises `CapacitordError` without a key."""
        profile = in_force(stored.profile)
        folder = self.folder_of(profile.id)
        await asyncio.to_thread(self._erasures.demand_none, profile.id)
        key = await self._keys.site_key(profile.id, new=await asyncio.to_thread(is_empty, folder))
        total = await asyncio.to_thread(_make, folder)
        return Start(
            profile=profile,
            spool=str(folder),
            key=key,
            storage=settings.storage(self._box.storage, self._box.modality),
            worklist=settings.worklist(self._box),
            limits=settings.limits(self._box.spool, total),
        )


def is_empty(folder: Path) -> bool:
    """Tell whether a site's folder holds nothing, or is not there. Raises `StorageFailed`."""
    with files.typed(folder):
        return not folder.exists() or not any(folder.iterdir())


def _make(folder: Path) -> int:
    """Make a site's folder; return the size of its file system. Raises `CapacitordError`."""
    files.make_folder(folder.parent)
    files.make_folder(folder)
    try:
        return shutil.disk_usage(folder).total
    except OSError as error:
        msg = f"the disk of the spool does not answer ({error.strerror})"
        raise StorageFailed(msg, hint="Check the disk: dmesg, SMART.") from None
