"""What scanners say of their studies goes into the spool, and results of storage commitment go back to them.

A result is reported over an association that the scanner has open, if it has one a moment after it asked; else over a
new one, if the box's configuration says where the scanner is; else when the scanner comes the next time. A request is
kept until the scanner has taken its result, over restarts and crashes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from capacitord.dicom.arriving import describe
from capacitord.dicom.services.report_scu import send_report
from capacitord.dicom.services.seam import ReportChannel
from capacitord.errors import CapacitordError
from capacitord.link.messages import MODALITY
from capacitord.model.destination import Destination
from capacitord.model.evidence import Doing, Named, Result
from capacitord.model.outcome import Outcome
from capacitord.site.connections import Connection, Connections
from capacitord.spool.evidence import Request
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)

MOMENT: Final = 0.5
"""Seconds after which an association that is still open waits for the result."""

_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 300.0
_LOOK_EVERY: Final = 60.0
_LONGEST: Final = 7 * 86400 * 10**9
"""Nanoseconds after which nobody waits for a result any more."""

_CONNECT_TIMEOUT: Final = 10.0


class _Rest(NamedTuple):
    """A scanner that could not be told: when it is tried again (monotonic), and the seconds waited for that."""

    until: float
    seconds: float


class Commitments:
    """Takes notice of what scanners say, and reports to them in a thread of its own."""

    def __init__(self, spool: Spool, connections: Connections, modalities: Collection[str], box_ae_title: str) -> None:
        """`modalities` are the AE titles that a connection can be asked for."""
        self._spool, self._connections = spool, connections
        self._modalities, self._ae_title = frozenset(modalities), box_ae_title
        self._lock = threading.Lock()
        self._channels: list[ReportChannel] = []
        self._rests: dict[str, _Rest] = {}
        self._wanted, self._stopping = threading.Event(), threading.Event()
        self._wanted.set()
        self._thread = threading.Thread(target=self._run, name="commitments", daemon=True)
        self._thread.start()

    # --- what scanners say

    def step_began(self, uid: str, studies: Sequence[str], calling_ae: str) -> Doing:
        """Keep a new performed procedure step for these studies."""
        return self._spool.evidence.step_began(uid, studies, calling_ae, time.time_ns())

    def step_changed(self, uid: str, images: Sequence[Named] | None, *, over: bool) -> Doing:
        """Keep what a step says now."""
        return self._spool.evidence.step_changed(uid, images, time.time_ns(), over=over)

    def commitment_asked(
        self, transaction_uid: str, images: Sequence[Named], calling_ae: str, called_ae: str, channel: ReportChannel
    ) -> None:
        """Keep a storage commitment request; its result is reported in a moment."""
        self._spool.evidence.asked(transaction_uid, images, calling_ae, called_ae, time.time_ns())
        self.channel_opened(channel)

    def channel_opened(self, channel: ReportChannel) -> None:
        """Take notice of an association over which results may be reported."""
        with self._lock:
            self._channels = [each for each in self._channels if each.is_open]
            self._channels.append(channel)
            self._rests.pop(channel.calling_ae, None)
        self._wanted.set()

    def stop(self) -> None:
        """End after the report it is at; what is left is reported by the next life."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join()

    # --- what they are told

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            self._wanted.wait(pause or _LOOK_EVERY)
            self._wanted.clear()
            if self._stopping.wait(MOMENT):
                return
            try:
                pause = self._report_all()
            except CapacitordError as error:
                LOG.error("Results of storage commitment cannot be reported: %s", error.message)  # noqa: TRY400
                pause = _FIRST_PAUSE
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
                LOG.error("Results of storage commitment cannot be reported: %s", describe(error))  # noqa: TRY400
                pause = _FIRST_PAUSE

    def _report_all(self) -> float:
        """Report what can be reported; return the seconds until something may be tried again, 0 for nothing."""
        pauses = [0.0]
        for request in self._spool.evidence.unreported():
            if self._stopping.is_set():
                break
            if time.time_ns() - request.at > _LONGEST:
                LOG.warning("%r could not be told the result of a storage commitment request.", request.calling_ae)
                self._spool.evidence.reported(request.id)
            elif self._report(request):
                self._spool.evidence.reported(request.id)
            elif request.calling_ae in self._modalities:
                pauses.append(max(0.1, self._rests[request.calling_ae].until - time.monotonic()))
        return min(filter(None, pauses), default=0.0)

    def _report(self, request: Request) -> bool:
        result = self._told(request)
        if result is None:
            return False
        self._rests.pop(request.calling_ae, None)
        LOG.info(
            "%r was told the result of a storage commitment request: %d images are safe, %d are not.",
            request.calling_ae,
            len(result.committed),
            len(result.failed),
        )
        return True

    def _told(self, request: Request) -> Result | None:
        """Report a result if there is somebody to tell it to; return it if it was taken.

        What can be promised is looked up when it is told, and not each time that nobody is there.
        """
        with self._lock:
            channels = [each for each in self._channels if each.calling_ae == request.calling_ae and each.is_open]
        if channels:
            result = self._spool.evidence.result(request.id)
            if any(channel.report(request.transaction_uid, result) for channel in channels):
                return result
        if request.calling_ae not in self._modalities:
            return None
        rest = self._rests.get(request.calling_ae)
        if rest is not None and rest.until > time.monotonic():
            return None
        called = self._call(request)
        if isinstance(called, Result):
            return called
        seconds = min(_LONGEST_PAUSE, 2 * rest.seconds) if rest else _FIRST_PAUSE
        self._rests[request.calling_ae] = _Rest(time.monotonic() + seconds, seconds)
        LOG.warning("A result of storage commitment could not be reported: %s", called)
        return None

    def _call(self, request: Request) -> Result | str:
        """Report over an association of our own; return what was taken, or why that did not work."""
        name = MODALITY + request.calling_ae
        connected = self._connections.open(name, _CONNECT_TIMEOUT)
        match connected:
            case Connection(socket=connection):
                peer = Destination(name, request.calling_ae, "", 0)
                result = self._spool.evidence.result(request.id)
                # The scanner knows this box by the title it called.
                title = request.called_ae or self._ae_title
                return send_report(connection, peer, title, request.transaction_uid, result) or result
            case Outcome(reason=reason):
                return reason
