"""Since when sites drain: one small file each, so that a time that was set is not begun anew by a restart."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from capacitord.errors import CapacitordError, NotFound
from capacitord.supervisor import files
from capacitord.supervisor.active_site import SITE

_MOST: Final = 64


class DrainRecords:
    """The records in `folder`. All methods block on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, site: str, now: datetime) -> datetime | None:
        """Return since when a site drains, which is now if it did not before; on stable storage on return.

        None if its record can't be read: then nobody knows. Raises `StorageFailed` or `OutOfSpace`.
        """
        path = self._path(site)
        try:
            text = files.read(path, _MOST)
        except NotFound:
            files.make_folder(self._folder)
            files.replace(path, f"{now.astimezone(UTC).isoformat()}\n".encode())
            return now
        except CapacitordError:
            return None
        with contextlib.suppress(ValueError):
            found = datetime.fromisoformat(text.decode("ascii", "replace").strip())
            return found if found.tzinfo is not None else None
        return None

    def forget(self, site: str) -> None:
        """Take note that a site is served again, or gone. Raises `StorageFailed`."""
        path = self._path(site)
        with files.typed(path):
            if path.exists():
                path.unlink()
                files.sync_folder(self._folder)

    def keep_only(self, sites: Collection[str]) -> None:
        """Forget all other sites: one that is removed and comes again begins anew. Raises `StorageFailed`."""
        with files.typed(self._folder):
            kept = [path.name for path in self._folder.iterdir()] if self._folder.exists() else []
        for name in kept:
            if name not in sites and SITE.fullmatch(name) is not None:
                self.forget(name)

    def _path(self, site: str) -> Path:
        if SITE.fullmatch(site) is None:
            msg = "this is no site's id"
            raise NotFound(msg, where=site)
        return self._folder / site
