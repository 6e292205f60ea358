"""Erasing a site: its key is destroyed, and with it all that was sealed under it; then the folder goes.

What a person has asked for is written down first. From there on nothing serves the site, and whatever happens to the
program, the next start does the rest: without its key the data is as good as gone already, whole or in part.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from capacitord.errors import CapacitordError, NotFound, Refused
from capacitord.supervisor import files
from capacitord.supervisor.active_site import SITE

_log = logging.getLogger(__name__)
_MOST: Final = 1 << 10
_AGAIN: Final = "Check the disk, then start the daemon again: it goes on with that."


class Erasures:
    """What is being erased, as one file a site in `folder`. `spools` has the sites' folders.

    `erase_key` destroys every copy of a site's key on this box; it raises `NotFound` where there is none.
    """

    def __init__(self, folder: Path, spools: Path, erase_key: Callable[[str], Awaitable[None]]) -> None:
        self._folder = folder
        self._spools = spools
        self._erase_key = erase_key

    async def erase(self, site: str, user: str) -> None:
        """Erase a site that nobody serves. There is no way back, and no way but on. Raises `CapacitordError`."""
        await asyncio.to_thread(self._begin, site, user)
        await self._go_on(site)

    async def resume(self) -> tuple[str, ...]:
        """Go on with what was begun and not ended, and return the sites of which nothing is left now."""
        done = []
        for site in await asyncio.to_thread(self.begun):
            try:
                await self._go_on(site)
            except CapacitordError as error:
                _log.error("the erasing of %s could not be ended: %s: %s", site, error.where, error.message)
            else:
                done.append(site)
        return tuple(done)

    def begun(self) -> tuple[str, ...]:
        """Return the sites that are being erased. Raises `StorageFailed`."""
        with files.typed(self._folder):
            if not self._folder.exists():
                return ()
            return tuple(sorted(each.name for each in self._folder.iterdir() if SITE.fullmatch(each.name)))

    def demand_none(self, site: str) -> None:
        """Raise `Refused` if a site is being erased."""
        if site in self.begun():
            msg = f"{site} is being erased, and that was not ended yet"
            raise Refused(msg, where=str(self._folder / site), hint=_AGAIN)

    def _begin(self, site: str, user: str) -> None:
        files.make_folder(self._folder)
        files.replace(self._folder / site, f"{user}\n".encode()[:_MOST])

    async def _go_on(self, site: str) -> None:
        try:
            await self._erase_key(site)
        except NotFound:
            _log.info("the key of %s is gone", site)
        await asyncio.to_thread(self._empty, site)

    def _empty(self, site: str) -> None:
        folder = self._spools / site
        with files.typed(folder):
            if folder.exists():
                _remove(folder)
                files.sync_folder(folder.parent)
        record = self._folder / site
        with files.typed(record):
            record.unlink()
            files.sync_folder(self._folder)


def _remove_one(each: Path, top: Path) -> None:
    """Remove a file, or a folder however deep it is: what wrote it may have been up to no good."""
    todo = [each]
    while todo:
        path = todo.pop()
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            continue
        path.chmod(0o700)
        for name in os.listdir(path):  # noqa: PTH208 - all of it, before any is removed
            child = path / name
            if child.is_symlink() or not child.is_dir():
                child.unlink()
            else:
                # Brought up, so that no path becomes longer than the kernel takes.
                todo.append(child.rename(top / uuid.uuid4().hex))
        path.rmdir()


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it. One that is a disk of its own, or a link to one, is emptied and stays."""
    for name in os.listdir(folder):  # noqa: PTH208 - all of it, before any is removed
        _remove_one(folder / name, folder)
    files.sync_folder(folder)
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.ENOTDIR}:
            raise
