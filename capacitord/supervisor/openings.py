"""For which site scanners could send last: as this process knows it, beside what the record on the disk says of it.

A write that failed may have happened all the same: the name is in its folder, and only that folder was not synced. So
what the record says counts after a write that succeeded, and until then it is to be put right. So is one that names a
site for which the port was not opened in the end: what cleared that site was about the moment in which it did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from capacitord.model.preflight import Last
from capacitord.supervisor.last_open import MISSING, LastOpen

FRESH: Final = 10.0
"""Seconds for which scanners that were found clean count as such: with the port shut one can get a patient, too."""


class Openings:
    """The site that was open last, and its record. `clock` is a monotonic one, in seconds."""

    def __init__(self, record: LastOpen, clock: Callable[[], float]) -> None:
        self.last = MISSING
        """For which site scanners could send last."""
        self._record = record
        self._clock = clock
        self._is_sure = True
        self._named: tuple[str, float] | None = None
        """A site that is on record though the port was not open for it yet, and since when."""
        self._one_write = asyncio.Lock()

    def is_named(self, site: str) -> bool:
        """Tell whether the record certainly names a site, and the port may be opened for it."""
        if self._named is not None and self._is_fresh:
            return self._named[0] == site
        return self._is_sure and not self.last.doubt and self.last.site == site

    @property
    def is_wrong(self) -> bool:
        """Whether the record is to be put right."""
        return not self._is_sure and not self._is_fresh

    @property
    def _is_fresh(self) -> bool:
        return self._named is not None and self._clock() - self._named[1] <= FRESH

    def opened(self) -> None:
        """Take note that the port is open for the site that the record names."""
        if self._named is not None:
            self.last, self._is_sure, self._named = Last(self._named[0]), True, None

    def let_go(self) -> None:
        """Take note that the port will not be opened for the site that was named last, if it is not."""
        self._named = None

    async def read(self, *, used: bool) -> None:
        """Read the record. `used` says that a site may have been open before: then a record that is missing is doubt.

        A new box gets one that says so. Raises `StorageFailed` or `OutOfSpace`.
        """
        self.last = await asyncio.to_thread(self._record.read)
        if self.last == MISSING and not used:
            self.last = await asyncio.to_thread(self._record.write, "")

    async def doubt(self, last: Last) -> None:
        """Take it that nobody knows, for the reason of `last`. Raises `StorageFailed` or `OutOfSpace`."""
        self.last, self._is_sure = last, False
        await self.put_right()

    async def name(self, site: str, still: Callable[[], bool]) -> None:
        """Put down that scanners can send for a site from now on, if that is `still` so when it is on stable storage.

        It counts if the port is `opened` soon. Raises `StorageFailed` or `OutOfSpace`.
        """
        async with self._one_write:
            self._is_sure, self._named = False, None
            written = await asyncio.to_thread(self._record.write, site)
            if written == self.last:
                self._is_sure = True
            elif still():
                self._named = (site, self._clock())

    async def put_right(self) -> None:
        """Have the record say what is so. Raises `StorageFailed` or `OutOfSpace`."""
        async with self._one_write:
            if self.last.doubt:
                self.last = await asyncio.to_thread(self._record.forget)
            else:
                await asyncio.to_thread(self._record.write, self.last.site)
            self._is_sure = True
