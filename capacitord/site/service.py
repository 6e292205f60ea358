"""One site being served: everything in this process that has the spool."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from capacitord.errors import CapacitordError
from capacitord.link.messages import Call, Connected, FromRuntime, Heartbeat, Note, Profile, Start
from capacitord.site.answers import Answers
from capacitord.site.calls import Calls
from capacitord.site.connections import Connections
from capacitord.site.deliveries import Deliveries
from capacitord.site.port import StoragePort
from capacitord.site.pulse import Pulse
from capacitord.site.reception import Reception
from capacitord.site.routing import Routing
from capacitord.site.site_status import Reporter, site_status
from capacitord.site.upkeep import Upkeep
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
_MARGIN: Final = 3.0

Send = Callable[[FromRuntime], None]


class Service:
    """Serves one site from its construction until `end`. `send` never raises."""

    def __init__(self, start: Start, spool: Spool, routing: Routing, send: Send) -> None:
        self._spool, self._routing, self._send = spool, routing, send
        self._connections = Connections(send)
        self._deliveries = Deliveries(spool, self._connections, self._note)
        self._reception = Reception(spool, routing, self._deliveries.wake)
        self._port = StoragePort(self._reception, start.storage)
        self._calls = Calls(Answers(spool, self._deliveries))
        self._reporter = Reporter(lambda: site_status(spool, self._deliveries, self._reception, self._port), self._send)
        self._pulse = Pulse(lambda: send(Heartbeat(busy=bool(self._port.associations()))))
        self._upkeep = Upkeep(
            spool,
            keep=lambda: routing.profile.keep_delivered,
            quiet=start.limits.study_quiet,
            reason=lambda: f"Sent to every destination of version {routing.profile.version} of the profile.",
            got_on=self._pulse.got_on,
            also=self._deliveries.explain_unnamed,
        )
        self._become(start.profile)

    def update(self, profile: Profile) -> None:
        """Take a version of the profile; images in flight are filed under whichever version holds then."""
        self._routing.profile = profile
        threading.Thread(target=self._become, args=(profile,), name="update", daemon=True).start()

    def _become(self, profile: Profile) -> None:
        try:
            self._deliveries.become(profile.destinations, profile.version)
        except CapacitordError as error:
            LOG.error("Version %d of the profile is not all in force: %s", profile.version, error.message)  # noqa: TRY400

    def listen(self, listener: socket.socket) -> None:
        """Serve the storage port on this listening socket."""
        self._port.open(listener)

    def stop_listening(self, grace: float) -> None:
        """Take no more associations; those that are open finish within `grace` seconds."""
        self._port.close(grace)

    def connected(self, message: Connected, descriptor: int | None) -> None:
        """Hand a connection to the delivery that asked for it."""
        self._connections.answer(message, descriptor)

    def call(self, call: Call, descriptor: int) -> None:
        """Answer a request of the control socket."""
        self._calls.serve(call, descriptor)

    def ask_status(self, request: int) -> None:
        """Send the site's status."""
        self._reporter.ask(request)

    def end(self, grace: float) -> None:
        """Finish what is open within `grace` seconds, all at once: scanners, deliveries, requests; then the spool."""
        deadline = time.monotonic() + grace
        self._connections.close()
        self._port.close(grace)
        others = [
            threading.Thread(target=self._deliveries.stop, args=(grace,), name="end deliveries", daemon=True),
            threading.Thread(target=self._calls.close, args=(grace,), name="end calls", daemon=True),
            threading.Thread(target=self._upkeep.stop, name="end upkeep", daemon=True),
        ]
        for other in others:
            other.start()
        self._port.wait(grace)
        for other in others:
            other.join(max(0.0, deadline + _MARGIN - time.monotonic()))
        self._reporter.stop()
        self._pulse.stop()
        self._spool.close()

    def _note(self, reference: str, message: str, study: str, destination: str) -> None:
        self._send(Note(datetime.now(UTC), reference, message, study, destination))
