"""Asking the source of the worklist: a connection from the supervisor, one C-FIND over it, a whole list or why none."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import threading

from capacitord.dicom.worklist.scu import Fetched, fetch
from capacitord.errors import CapacitordError
from capacitord.link.messages import Peer
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.profile import Worklist
from capacitord.model.worklist import Source, days
from capacitord.site.connections import Connections

_OVER = Outcome(Verdict.LATER, "The box is shutting down.")


class SourceClient:
    """Asks one question at a time. `hang_up` may come from any thread."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self._over = False

    def ask(self, worklist: Worklist, local: dt.datetime) -> Fetched | Outcome:
        """Return the whole list of the days around `local`, which is in the site's time zone, or why there is none."""
        source = worklist.source
        made = self._connections.open("", source.connect_timeout, Peer.WORKLIST)
        if isinstance(made, Outcome):
            return made
        with self._lock:
            if self._over:
                made.socket.close()
                return _OVER
            # A descriptor of its own, since the other one is closed in its own time.
            self._line = made.socket.dup()
        try:
            found = fetch(made.socket, source, days(local, worklist.past, worklist.future))
        except CapacitordError as error:
            return Outcome(Verdict.NEEDS_PERSON, f"{error.message} {error.hint}".rstrip())
        finally:
            with self._lock:
                self._line.close()
                self._line = None
        return found if isinstance(found, Fetched) else found.outcome

    def hang_up(self) -> None:
        """End the question that is open now, and ask no more."""
        with self._lock:
            self._over = True
            if self._line is not None:
                with contextlib.suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)


def name_of(source: Source) -> str:
    """Return how a person calls a source: its AE title, and where it is."""
    host = f"[{source.host}]" if ":" in source.host else source.host
    return f"{source.ae_title} at {host}:{source.port}"
