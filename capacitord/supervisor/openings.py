"""For which site scanners could send last: as this process knows it, beside what the record on the disk says of it.

A write that failed may have happened all the same: the name is in its folder, and only that folder was not synced. So
what the record says counts after a write that succeeded, and until then it is to be put right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from capacitord.model.preflight import Last
from capacitord.supervisor.last_open import MISSING, LastOpen


class Openings:
    """The site that was open last, and its record."""

    def __init__(self, record: LastOpen) -> None:
        self.last = MISSING
        """For which site scanners could send last."""
        self._record = record
        self._is_sure = True
        self._one_write = asyncio.Lock()

    @property
    def is_recorded(self) -> bool:
        """Whether the record certainly says which site was open last; where it does not, it is to be put right."""
        return self._is_sure

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

        Raises `StorageFailed` or `OutOfSpace`.
        """
        async with self._one_write:
            self._is_sure = False
            written = await asyncio.to_thread(self._record.write, site)
            if still():
                self.last, self._is_sure = written, True

    async def put_right(self) -> None:
        """Have the record say what is so. Raises `StorageFailed` or `OutOfSpace`."""
        async with self._one_write:
            if self.last.doubt:
                self.last = await asyncio.to_thread(self._record.forget)
            else:
                await asyncio.to_thread(self._record.write, self.last.site)
            self._is_sure = True
