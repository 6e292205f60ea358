"""Has no runtime fill the disk that all sites share: what an honest one does not write, none may.

Below the reserve a runtime takes nothing in, so below half of it no spool grows by much any more. A runtime whose spool
does all the same is ended, and again whenever it goes on: the rest of the room is for the others, and for the records
of this process. Files that it holds open without a name are not seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

_log = logging.getLogger(__name__)
EVERY: Final = 0.5
"""Seconds between two looks at the free room."""
MOST: Final = 256 << 20
"""Bytes by which a spool may grow below half the reserve: images that were on their way, and the catalog."""
_BLOCK: Final = 512


class Runtime(Protocol):
    """What can be ended."""

    def break_off(self, reason: str) -> None:
        """End it, because it broke the contract of the link."""
        ...


class Room(NamedTuple):
    """Bytes of a disk."""

    total: int
    free: int


def room(folder: Path) -> Room:
    """Return how much there is on the disk of a folder. Raises OSError."""
    found = shutil.disk_usage(folder)
    return Room(found.total, found.free)


class Overflow:
    """Watches the disk of the sites' folders.

    `reserve` says what honest runtimes leave free, in bytes, on a disk of a total size; `running` returns the runtimes
    that there are, by site.
    """

    def __init__(
        self,
        folder: Path,
        reserve: Callable[[int], int],
        running: Callable[[], Mapping[str, Runtime]],
        look: Callable[[Path], Room] = room,
    ) -> None:
        self._folder, self._reserve, self._running = folder, reserve, running
        self._room = look
        self._before: dict[str, int] = {}

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            # A disk that does not answer is the runtimes' to tell.
            with contextlib.suppress(OSError):
                await self.look()

    async def look(self) -> None:
        """End each runtime that writes though there is no room for that. Raises OSError."""
        now = self._room(self._folder)
        if now.free >= self._reserve(now.total) // 2:
            self._before.clear()
            return
        for site, runtime in self._running().items():
            size = await asyncio.to_thread(used, self._folder / site)
            least = self._before[site] = min(size, self._before.get(site, size))
            if size - least > MOST:
                _log.error("the runtime of %s fills the disk and is ended", site)
                runtime.break_off("it goes on writing though the disk is far below its reserve")


def used(folder: Path) -> int:
    """Return how many bytes of the disk a folder takes with all that is in it; links are not followed."""
    total, folders = 0, [folder]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
    return total
