"""What connects the storage SCP with the spool: every image that arrives goes in here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from capacitord.dicom.intake import Announced
from capacitord.dicom.intake import Incoming as OnTheWire
from capacitord.model.image import Facts
from capacitord.site.routing import Routing
from capacitord.spool.admission import Incoming, Kept, Receipt
from capacitord.spool.store import Spool

_AT_THIS_MOMENT: Final = 0.2

NotKept = Callable[[Exception, int], None]
"""Called with why an image was not kept, and how many bytes of it had come."""


class _Arriving:
    """One image on its way into the spool."""

    def __init__(self, incoming: Incoming, kept: Callable[[Receipt, int], None], not_kept: NotKept) -> None:
        self._incoming, self._kept, self._not_kept = incoming, kept, not_kept
        self.space, self.abandon = incoming.space, incoming.abandon

    def advance(self, count: int) -> None:
        """Take note that the first `count` bytes of `space()` are filled."""
        try:
            self._incoming.advance(count)
        except Exception as error:
            self._not_kept(error, self._incoming.length)
            raise

    def write(self, data: memoryview) -> None:
        """Take in bytes that are in memory already."""
        try:
            self._incoming.write(data)
        except Exception as error:
            self._not_kept(error, self._incoming.length)
            raise

    def commit(self, facts: Facts) -> None:
        """Make the image durable and file it."""
        length = self._incoming.length
        try:
            receipt = self._incoming.commit(facts)
        except Exception as error:
            self._not_kept(error, length)
            raise
        self._kept(receipt, length)


class Reception:
    """Takes images into the spool, counts them, and tells delivery that there is something to do."""

    def __init__(
        self,
        spool: Spool,
        routing: Routing,
        arrived: Callable[[Receipt], None],
        not_kept: NotKept,
        kept: Callable[[], None] = lambda: None,
    ) -> None:
        """`arrived` is told of each image that is new, by the association's thread: it must be quick.

        `not_kept` is called for each that the spool did not take, `kept` for each that it took.
        """
        self._spool, self._routing, self._arrived, self._not_kept = spool, routing, arrived, not_kept
        self._was_kept = kept
        self._lock = threading.Lock()
        self.images = self.bytes = 0
        self.last: float | None = None
        self._moment = float("-inf")

    @property
    def receiving(self) -> bool:
        """Whether images arrive at this moment."""
        return time.monotonic() - self._moment < _AT_THIS_MOMENT

    def begin(self, announced: Announced) -> OnTheWire:
        """Begin to take an image in. Raises `OutOfSpace` when the disk is down to its reserve."""
        self._moment = time.monotonic()
        version = self._routing.profile.version
        arrival = msgspec.structs.replace(announced.arrival, profile_version=version)
        try:
            incoming = self._spool.begin(arrival)
        except Exception as error:
            self._not_kept(error, 0)
            raise
        return _Arriving(incoming, self._kept, self._not_kept)

    def _kept(self, receipt: Receipt, length: int) -> None:
        with self._lock:
            self.images += 1
            self.bytes += length
            self.last = time.time()
            self._moment = time.monotonic()
        self._was_kept()
        if receipt.kept is not Kept.KNOWN:
            self._arrived(receipt)
