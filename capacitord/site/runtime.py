"""A site's runtime: one process that has this site's spool and key, and no other's.

It opens nothing by itself. Everything comes over the link from the supervisor: what to serve, the listening
socket, connections to destinations, requests. When the link ends it finishes what is open and exits.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from pathlib import Path
from typing import Final

from capacitord.dicom.arriving import describe
from capacitord.errors import CapacitordError, Problem, TryAgain
from capacitord.link.channel import Channel, LinkBroken, LinkClosed
from capacitord.link.messages import (
    AskStatus,
    Call,
    CloseListener,
    Connected,
    Failed,
    FromRuntime,
    Heartbeat,
    Listener,
    Ready,
    Shutdown,
    Start,
    ToRuntime,
    Update,
    Written,
)
from capacitord.seal.keys import SiteKey
from capacitord.site.answers import uid_name
from capacitord.site.pulse import Pulse
from capacitord.site.routing import Routing
from capacitord.site.service import Service
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
GRACE_WITHOUT_SUPERVISOR: Final = 20.0
_WAIT_FOR_SPOOL: Final = 60.0
_RETRY_SPOOL: Final = 0.25
_UNFORESEEN: Final = Problem(
    "runtime-failed",
    "The site cannot be served because of an unforeseen error.",
    hint="Its log says more: journalctl -u capacitord -n 100",
)


class Runtime:
    """Serves one site until the link says otherwise. `run` returns the process's exit code."""

    def __init__(self, link: socket.socket) -> None:
        self._channel: Channel[FromRuntime, ToRuntime] = Channel(link, ToRuntime)

    def run(self) -> int:
        """Serve. Returns 0 after an orderly end, 1 if the site cannot be served."""
        try:
            start = self._receive_start()
            if start is None:
                return 1
            routing = Routing(start.profile)
            spool = self._open_spool(start, routing)
            self._report_ready(spool)
            service = Service(start, spool, routing, self._send)
        except LinkClosed:
            return 0
        except CapacitordError as error:
            LOG.error("The site cannot be served: %s %s", error.message, error.hint)  # noqa: TRY400
            self._send(Failed(error.problem()))
            return 1
        except Exception as error:  # noqa: BLE001 - a person is to hear of it, and where to look
            LOG.error("The site cannot be served for an unforeseen reason: %s", describe(error))  # noqa: TRY400
            self._send(Failed(_UNFORESEEN))
            return 1
        service.end(self._listen_to_link(service))
        LOG.info("The runtime of %s has finished.", start.profile.id)
        return 0

    def _receive_start(self) -> Start | None:
        try:
            start, descriptor = self._channel.receive()
        except LinkBroken:
            start, descriptor = None, None
        if descriptor is not None:
            os.close(descriptor)
        if isinstance(start, Start):
            return start
        LOG.error("The supervisor did not begin with what to serve.")
        return None

    def _open_spool(self, start: Start, routing: Routing) -> Spool:
        """Open the spool, however long that takes; one that a predecessor still has is waited for.

        Raises `LinkClosed` if nobody is there any more who wants it.
        """
        deadline = time.monotonic() + _WAIT_FOR_SPOOL
        pulse = Pulse(lambda: self._send(Heartbeat(busy=True)), patience=float("inf"))
        try:
            while True:
                try:
                    return Spool(
                        Path(start.spool),
                        SiteKey(start.profile.id, start.key),
                        reserve=start.limits.reserve,
                        warning=start.limits.warning,
                        decide=routing.decide,
                        names=uid_name,
                    )
                except TryAgain:
                    if time.monotonic() > deadline:
                        raise
                    self._channel.send(Heartbeat(busy=True))
                    time.sleep(_RETRY_SPOOL)
        finally:
            pulse.stop()

    def _report_ready(self, spool: Spool) -> None:
        report = spool.report
        for note in report.notes:
            LOG.warning("%s", note)
        LOG.info(
            "The spool is open after %.2f s: %d images, %d re-adopted, %d unfinished removed, %d damaged set aside.",
            report.seconds,
            report.images,
            report.recovered,
            report.removed,
            report.corrupt,
        )
        # The supervisor answers no runtime that is not ready, so this goes before anything is asked.
        self._send(
            Ready(report.images, report.recovered, report.removed, report.corrupt, report.seconds, tuple(report.notes))
        )

    def _listen_to_link(self, service: Service) -> float:
        """Heed the supervisor until the end; return the seconds there are to finish what is open."""
        while True:
            try:
                message, descriptor = self._channel.receive()
            except LinkClosed:
                LOG.warning("The supervisor is gone; finishing what is open.")
                return GRACE_WITHOUT_SUPERVISOR
            except LinkBroken:
                LOG.error("The supervisor sent what is no message; finishing what is open.")  # noqa: TRY400
                return GRACE_WITHOUT_SUPERVISOR
            if isinstance(message, Shutdown):
                return message.grace
            if isinstance(message, Listener) and descriptor is None:
                # The supervisor takes the port for open: better to begin anew than to let scanners call in vain.
                LOG.error("There is no descriptor left for the %s port; finishing what is open.", message.port)
                return GRACE_WITHOUT_SUPERVISOR
            try:
                _heed(message, descriptor, service)
            except Exception as error:  # noqa: BLE001 - whoever is being served does not suffer for it
                LOG.error("%s was not heeded: %s", type(message).__name__, describe(error))  # noqa: TRY400

    def _send(self, message: FromRuntime) -> bool:
        """Tell the supervisor something; return whether it went out."""
        try:
            self._channel.send(message)
        except LinkClosed:
            LOG.debug("Nobody is there to be told.")
        except LinkBroken as error:
            LOG.error("The supervisor could not be told: %s", error)  # noqa: TRY400 - it names types and lengths only
        except OSError as error:
            LOG.error("The supervisor could not be told: %s", error.strerror)  # noqa: TRY400
        else:
            return True
        return False


def _heed(message: ToRuntime, descriptor: int | None, service: Service) -> None:
    match message:
        case Connected():
            service.connected(message, descriptor)
            return
        case Call() if descriptor is not None:
            service.call(message, descriptor)
            return
        case Listener() if descriptor is not None:
            service.listen(message.port, socket.socket(fileno=descriptor))
            return
        case CloseListener():
            service.stop_listening(message.port, message.grace)
        case AskStatus():
            service.ask_status(message.request)
        case Written():
            service.written(message.deeds)
        case Update():
            service.update(message.profile)
        case Call():
            LOG.error("%s came without its descriptor: too many are open.", message.route)
        case _:
            LOG.error("The supervisor sent a message out of turn: %s", type(message).__name__)
    if descriptor is not None:
        os.close(descriptor)
