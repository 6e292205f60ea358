"""The port that scanners ask for their worklist."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime

from capacitord.dicom.worklist.asking import QueryView
from capacitord.dicom.worklist.entries import Entries
from capacitord.dicom.worklist.scp import WorklistServer, WorklistSettings
from capacitord.link.messages import WorklistPort as Settings
from capacitord.site.port import SitePort


class WorklistPort(SitePort):
    """Answers queries from `entries`, and counts them."""

    def __init__(self, entries: Entries, settings: Settings) -> None:
        self._entries, self._settings = entries, worklist_settings(settings)
        self._lock = threading.Lock()
        self.queries = 0
        self.last_query: datetime | None = None
        super().__init__("worklist", self._server_on)

    def _server_on(self, listener: socket.socket) -> WorklistServer:
        return WorklistServer(listener, self._entries, self._settings, answered=self._count)

    def _count(self, query: QueryView) -> None:
        with self._lock:
            self.queries += 1
            self.last_query = datetime.fromtimestamp(query.at / 1e9, UTC)


def worklist_settings(settings: Settings) -> WorklistSettings:
    """Return the box's settings as the worklist SCP takes them."""
    return WorklistSettings(
        ae_title=settings.ae_title,
        called_ae_titles=frozenset(settings.called_ae_titles),
        calling_ae_titles=frozenset(settings.calling_ae_titles),
        peers=settings.peers,
        maximum_associations=settings.associations,
    )
