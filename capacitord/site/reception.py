"""What connects the storage SCP with the spool: every image that arrives goes in here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from capacitord.dicom.intake import Announced
from capacitord.dicom.intake import Incoming as OnTheWire
from capacitord.model.image import Facts
from capacitord.site.routing import Routing
from capacitord.spool.admission import Incoming, Kept, Receipt
from capacitord.spool.store import Spool


class _Arriving:
    """One image on its way into the spool."""

    def __init__(self, incoming: Incoming, kept: Callable[[Receipt, int], None]) -> None:
        self._incoming, self._kept = incoming, kept
        self.space, self.advance, self.write = incoming.space, incoming.advance, incoming.write
        self.abandon = incoming.abandon

    def commit(self, facts: Facts) -> None:
        """Make the image durable and file it."""
        self._kept(self._incoming.commit(facts), self._incoming.length)


class Reception:
    """Takes images into the spool, counts them, and tells delivery that there is something to do."""

    def __init__(self, spool: Spool, routing: Routing, arrived: Callable[[], None]) -> None:
        """`arrived` is called after each image that is new, by the association's thread: it must be quick."""
        self._spool, self._routing, self._arrived = spool, routing, arrived
        self._lock = threading.Lock()
        self.images = self.bytes = 0
        self.last: float | None = None

    def begin(self, announced: Announced) -> OnTheWire:
        """Begin to take an image in. Raises `OutOfSpace` when the disk is down to its reserve."""
        version = self._routing.profile.version
        arrival = msgspec.structs.replace(announced.arrival, profile_version=version)
        return _Arriving(self._spool.begin(arrival), self._kept)

    def _kept(self, receipt: Receipt, length: int) -> None:
        with self._lock:
            self.images += 1
            self.bytes += length
            self.last = time.time()
        if receipt.kept is not Kept.KNOWN:
            self._arrived()
