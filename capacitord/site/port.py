"""A port of the site: a listening socket comes and goes as the gate opens and closes, open associations finish."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from capacitord.dicom.accept import StorageSettings
from capacitord.dicom.arriving import describe
from capacitord.dicom.services.handlers import contexts, handlers
from capacitord.dicom.services.seam import Notices
from capacitord.dicom.storage_scp import AssociationView, RefusalView, StorageServer
from capacitord.link.messages import Storage
from capacitord.site.reception import Reception

LOG = logging.getLogger(__name__)
_MARGIN: Final = 5.0


class Server(Protocol):
    """An SCP on one listening socket, such as `StorageServer`."""

    def start(self) -> None:
        """Begin to accept connections."""

    def stop(self, grace: float) -> int:
        """Accept no more; return how many associations were aborted after `grace` seconds."""

    def associations(self) -> list[AssociationView]:
        """Return the associations that are open now."""

    def refusals(self) -> list[RefusalView]:
        """Return what was turned away lately."""


class SitePort:
    """Serves on whichever listening socket came last. For the thread of the link, but for the views."""

    def __init__(
        self,
        name: str,
        serve: Callable[[socket.socket], Server],
        cut_off: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`serve` makes what serves on a socket, which is its from then on.

        `cut_off` is told in words of associations that took longer than they may after the port was shut, by a thread
        of its own.
        """
        self._name, self._serve, self._cut_off = name, serve, cut_off
        self._server: Server | None = None
        self._closing: dict[Server, threading.Thread] = {}

    def open(self, listener: socket.socket) -> None:
        """Begin to accept associations on a listening socket, which is this port's from now on."""
        self.close(0.0)
        self._server = self._serve(listener)
        self._server.start()

    def close(self, grace: float) -> None:
        """Accept no more, at once; open associations go on for `grace` seconds without anybody waiting here."""
        server, self._server = self._server, None
        if server is not None:
            thread = threading.Thread(target=self._finish, args=(server, grace), name="closing port", daemon=True)
            self._closing = {**self._closing, server: thread}
            thread.start()

    def _finish(self, server: Server, grace: float) -> None:
        try:
            aborted = server.stop(grace)
            if aborted:
                words = aborted_in_words(aborted, grace)
                LOG.warning("%s: the %s port was shut.", words, self._name)
                self._cut_off(words)
        except Exception as error:  # noqa: BLE001 - the port is shut by the supervisor in any case
            LOG.error("The %s port closed in an unforeseen way: %s", self._name, describe(error))  # noqa: TRY400
        finally:
            self._closing = {one: thread for one, thread in self._closing.items() if one is not server}

    def wait(self, seconds: float) -> None:
        """Wait until the associations of closed sockets have ended, or for so long."""
        deadline = time.monotonic() + seconds + _MARGIN
        for thread in self._closing.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def associations(self) -> list[AssociationView]:
        """Return the associations that are open now. For any thread."""
        return [view for server in self._servers() for view in server.associations()]

    def refusals(self) -> list[RefusalView]:
        """Return what was turned away lately, the oldest first. For any thread."""
        return [view for server in self._servers() for view in server.refusals()]

    def _servers(self) -> list[Server]:
        server = self._server
        return [*self._closing, *([] if server is None else [server])]


def aborted_in_words(associations: int, grace: float) -> str:
    """Return that so many associations were aborted `grace` seconds after their port was shut, in words."""
    were = "1 association was" if associations == 1 else f"{associations} associations were"
    return f"{were} aborted after {grace:g} s"


class StoragePort(SitePort):
    """The port that images come to."""

    def __init__(
        self,
        reception: Reception,
        storage: Storage,
        refused: Callable[[RefusalView], None],
        notices: Notices,
        *,
        cut_off: Callable[[str], None],
    ) -> None:
        """`refused` is told of each image that is refused, by the association's thread; `cut_off` as for all ports.

        `notices` takes what scanners say of their studies.
        """
        settings = storage_settings(storage)
        super().__init__(
            "storage",
            lambda listener: StorageServer(
                listener, reception, settings, refused=refused, handlers=handlers(notices), contexts=contexts()
            ),
            cut_off,
        )


def storage_settings(storage: Storage) -> StorageSettings:
    """Return the box's settings as the storage SCP takes them."""
    return StorageSettings(
        ae_title=storage.ae_title,
        called_ae_titles=frozenset(storage.called_ae_titles),
        calling_ae_titles=frozenset(storage.calling_ae_titles),
        peers=storage.peers,
        maximum_associations=storage.associations,
        max_pdu=storage.max_pdu,
        private_sop_classes=frozenset(storage.private_sop_classes),
        private_transfer_syntaxes=frozenset(storage.private_transfer_syntaxes),
        idle_timeout=storage.idle_timeout,
    )
