"""Asking the source of the worklist: a connection from the supervisor, one C-FIND over it, a whole list or why none."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import threading

import msgspec

from capacitord.dicom.worklist.scu import Fetched, fetch
from capacitord.errors import CapacitordError
from capacitord.link.messages import Peer
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.profile import Worklist
from capacitord.model.worklist import Days, Sought, Source, days
from capacitord.site.connections import Connections

_OVER = Outcome(Verdict.LATER, "The box is shutting down.")


class SourceClient:
    """Asks the source. Any thread may ask, several at once, and `hang_up` may come from any."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lock = threading.Lock()
        self._lines: set[socket.socket] = set()
        self._over = False

    def ask(self, worklist: Worklist, local: dt.datetime) -> Fetched | Outcome:
        """Return the whole list of the days around `local`, which is in the site's time zone, or why there is none."""
        return self._put(worklist.source, days(local, worklist.past, worklist.future))

    def ask_for(self, source: Source, sought: Sought, patience: float) -> Fetched | Outcome:
        """Return all that the source has of one patient or order, or why it does not say.

        `patience` is how many seconds it may take to connect, to answer, and to send what it has.
        """
        hurried = msgspec.structs.replace(
            source,
            connect_timeout=min(source.connect_timeout, patience),
            response_timeout=min(source.response_timeout, patience),
            fetch_timeout=min(source.fetch_timeout, patience),
        )
        return self._put(hurried, sought)

    def _put(self, source: Source, asked: Days | Sought) -> Fetched | Outcome:
        made = self._connections.open("", source.connect_timeout, Peer.WORKLIST)
        if isinstance(made, Outcome):
            return made
        with self._lock:
            if self._over:
                made.socket.close()
                return _OVER
            # A descriptor of its own, since the other one is closed in its own time.
            line = made.socket.dup()
            self._lines.add(line)
        try:
            found = fetch(made.socket, source, asked)
        except CapacitordError as error:
            return Outcome(Verdict.NEEDS_PERSON, f"{error.message} {error.hint}".rstrip())
        finally:
            with self._lock:
                self._lines.discard(line)
                line.close()
        return found if isinstance(found, Fetched) else found.outcome

    def hang_up(self) -> None:
        """End the questions that are open now, and ask no more."""
        with self._lock:
            self._over = True
            for line in self._lines:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)


def name_of(source: Source) -> str:
    """Return how a person calls a source: its AE title, and where it is."""
    host = f"[{source.host}]" if ":" in source.host else source.host
    return f"{source.ae_title} at {host}:{source.port}"
