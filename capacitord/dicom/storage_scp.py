"""The storage SCP: a listening socket in, images to the intake, and a view of who is connected.

The listening socket is bound by somebody else and given to `StorageServer`, which owns it from then on. Each
connection becomes an association of its own with two threads: one that receives, and one that sleeps unless
pynetdicom has to serve something.
"""

from __future__ import annotations

import collections
import errno
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import AddressInformation

from capacitord.dicom import accept
from capacitord.dicom.accept import Proposed, Rejection, StorageSettings
from capacitord.dicom.arriving import describe
from capacitord.dicom.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from capacitord.dicom.intake import Intake
from capacitord.dicom.receive import Context, Correspondents, Receiver, Tally
from capacitord.dicom.statuses import Refusal
from capacitord.dicom.upper_layer import AcceptedAssociation
from capacitord.dicom.wire import Waker, Wire

LOG = logging.getLogger(__name__)

Handler = tuple[evt.EventType, Callable[..., Any]] | tuple[evt.EventType, Callable[..., Any], list[Any]]
"""An event of pynetdicom and what handles it, as `AE.start_server` takes them."""

_REMEMBERED_REFUSALS: Final = 50
_UNDECIDED: Final = 16
"""Connections beyond the maximum of associations that may be about to be rejected; more are closed unheard."""
_JOIN: Final = 3.0
_PAUSE: Final = 0.5
"""Seconds between two tries to accept while this process has no descriptors or no memory for it."""


class AssociationView(msgspec.Struct, frozen=True):
    """An open association as status shows it; nothing in it is about a patient. `since` is in ns since the epoch."""

    calling_ae: str
    called_ae: str
    peer: str
    since: int
    images: int
    bytes: int
    refused: int


class RefusalView(msgspec.Struct, frozen=True):
    """An association, a connection or an image that was turned away. `at` is in ns since the epoch.

    `moment` is the same in seconds of the monotonic clock; `status` is an image's (0000,0900).
    """

    at: int
    moment: float
    peer: str
    calling_ae: str
    called_ae: str
    reason: str
    status: int = 0


class _Entry:
    """What is known of one connection."""

    __slots__ = ("between", "since", "tally")

    def __init__(self) -> None:
        self.since = time.time_ns()
        self.tally = Tally()
        self.between: Correspondents | None = None


class StorageServer:
    """Serves C-STORE and C-ECHO on `listener`, and by pynetdicom whatever `handlers` and `contexts` add.

    `contexts` are presentation contexts of other services, with their transfer syntaxes and roles.
    """

    def __init__(
        self,
        listener: socket.socket,
        intake: Intake,
        settings: StorageSettings,
        *,
        refused: Callable[[RefusalView], None] = lambda _: None,
        handlers: Sequence[Handler] = (),
        contexts: Sequence[PresentationContext] = (),
        storage_classes: frozenset[str] | None = None,
        name: str = "storage port",
    ) -> None:
        """`refused` is told of each image that is refused, by the association's thread.

        Without `storage_classes` it takes all that are known, and the private ones of the settings.
        """
        self._refused = refused
        self._listener = listener
        self._intake = intake
        self._settings = settings
        self._handlers = tuple(handlers)
        self._extra = {str(cx.abstract_syntax): cx for cx in contexts}
        if storage_classes is None:
            storage_classes = accept.storage_classes() | settings.private_sop_classes
        self._storage_classes = storage_classes
        self._classes = self._storage_classes | {accept.VERIFICATION}
        self._syntaxes = accept.transfer_syntaxes() | settings.private_transfer_syntaxes
        self._ae = _application_entity(settings)
        self._changed = threading.Condition()
        self._entries: dict[AcceptedAssociation, _Entry] = {}
        self._refusals: collections.deque[RefusalView] = collections.deque(maxlen=_REMEMBERED_REFUSALS)
        self._closing = False
        self._waker = Waker()
        self._thread = threading.Thread(target=self._accept_loop, name=name, daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        self._listener.setblocking(False)
        self._thread.start()

    def stop(self, grace: float) -> int:
        """Stop accepting at once, let open associations finish for `grace` seconds, then abort the rest.

        Returns how many were aborted. An image whose commit has begun is committed and answered even then.
        """
        self._closing = True
        self._waker.wake()
        if self._thread.is_alive():
            self._thread.join(_JOIN)
        self._listener.close()
        with self._changed:
            waiting = [association for association, entry in self._entries.items() if entry.between is None]
        for association in waiting:
            association.cut()
        with self._changed:
            self._changed.wait_for(lambda: not self._entries, grace)
            rest = list(self._entries)
        for association in rest:
            association.cut()
        with self._changed:
            self._changed.wait_for(lambda: not self._entries, _JOIN)
        self._waker.close()
        return len(rest)

    def associations(self) -> list[AssociationView]:
        """Return the associations that are open now, the oldest first."""
        with self._changed:
            entries = list(self._entries.values())
        return [
            AssociationView(*entry.between, entry.since, entry.tally.images, entry.tally.bytes, entry.tally.refused)
            for entry in entries
            if entry.between is not None
        ]

    def refusals(self) -> list[RefusalView]:
        """Return the last associations and connections that were turned away, the oldest first."""
        with self._changed:
            return list(self._refusals)

    def _image_refused(self, between: Correspondents | None, refusal: Refusal) -> None:
        who = between or Correspondents("", "", "")
        reason = f"{refusal.comment[:1].upper()}{refusal.comment[1:]}."
        now = time.time_ns(), time.monotonic()
        self._refused(RefusalView(*now, who.peer, who.calling_ae, who.called_ae, reason, refusal.status))

    def _accept_loop(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._waker, select.POLLIN)
        starved = False
        while not self._closing:
            poll.poll()
            if self._closing:
                return
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                # Whoever knocked has gone again.
                continue
            except OSError as error:
                if error.errno == errno.EINVAL:
                    # Whoever bound the port has shut it down; `stop` follows.
                    return
                # Out of descriptors or memory. Who knocks stays in the backlog, and the port readable, until there
                # are some: so look again only after a while, and say it once.
                if not starved:
                    LOG.warning("no connection can be accepted for now: %s; those who call wait", error.strerror)
                starved = True
                self._pause()
                continue
            if starved:
                LOG.warning("connections are accepted again")
                starved = False
            try:
                self._admit(sock, AddressInformation.from_tuple(address))
            except Exception as error:  # noqa: BLE001 - one connection fails, the port goes on serving
                # No descriptors, no memory or no threads are left, or the peer has gone already.
                LOG.warning("a connection from %s could not be served: %s", address[0], describe(error))
                sock.close()

    def _pause(self) -> None:
        poll = select.poll()
        poll.register(self._waker, select.POLLIN)
        poll.poll(_PAUSE * 1000)

    def _admit(self, sock: socket.socket, peer: AddressInformation) -> None:
        if not accept.peer_allowed(peer.address, self._settings):
            self._turned_away(peer.address, "its address is not on the list of those allowed")
            sock.close()
            return
        with self._changed:
            crowded = len(self._entries) >= self._settings.maximum_associations + _UNDECIDED
        if crowded:
            self._turned_away(peer.address, "too many connections are open")
            sock.close()
            return
        association = AcceptedAssociation(
            self._ae,
            sock,
            peer,
            artim_timeout=self._settings.artim_timeout,
            stall_timeout=self._settings.stall_timeout,
            open_wire=self._open_wire,
            on_end=self._ended,
        )
        association.bind(evt.EVT_REQUESTED, self._requested, [association])
        for handler in self._handlers:
            association.bind(*handler)
        with self._changed:
            self._entries[association] = _Entry()
        evt.trigger(association, evt.EVT_CONN_OPEN, {"address": peer.as_tuple})
        try:
            association.start()
        except RuntimeError:
            association.ended()
            raise

    def _requested(self, _event: evt.Event, association: AcceptedAssociation) -> None:
        """Decide over an association request, before pynetdicom negotiates it."""
        request = association.requestor.primitive
        if not isinstance(request, A_ASSOCIATE):
            return
        between = Correspondents(
            (request.calling_ae_title or "").strip(), (request.called_ae_title or "").strip(), association.peer
        )
        with self._changed:
            rejection = accept.rejection(
                calling=between.calling_ae,
                called=between.called_ae,
                application_context=str(request.application_context_name or ""),
                others=sum(entry.between is not None for entry in self._entries.values()),
                closing=self._closing,
                settings=self._settings,
            )
            if rejection is None and association in self._entries:
                self._entries[association].between = between
        if rejection is not None:
            self._reject(association, between, rejection)
            return
        association.acceptor.supported_contexts = self._supported(request)

    def _reject(self, association: AcceptedAssociation, between: Correspondents, rejection: Rejection) -> None:
        self._turned_away(between.peer, rejection.words, between.calling_ae, between.called_ae)
        association.acse.send_reject(*rejection.value)
        association.kill()

    def _supported(self, request: A_ASSOCIATE) -> list[PresentationContext]:
        proposed = [
            Proposed(str(cx.abstract_syntax), tuple(map(str, cx.transfer_syntax)))
            for cx in request.presentation_context_definition_list
        ]
        ours = accept.acceptable(proposed, self._classes - self._extra.keys(), self._syntaxes)
        return [build_context(uid, list(syntaxes)) for uid, syntaxes in ours] + list(self._extra.values())

    def _open_wire(self, association: AcceptedAssociation, forward: Callable[[int, int, bytes], None]) -> Wire:
        with self._changed:
            entry = self._entries[association]
        receiver = Receiver(
            contexts=_contexts(association),
            storage_classes=self._storage_classes,
            intake=self._intake,
            between=entry.between or Correspondents("", "", association.peer),
            settings=self._settings,
            answer=association.wire_socket.raw.sendall,
            forward=forward,
            max_pdu=association.requestor.maximum_length or 0,
            tally=entry.tally,
            refused=lambda refusal: self._image_refused(entry.between, refusal),
        )
        return Wire(
            association.wire_socket.raw,
            association.wire_socket.reader,
            receiver,
            association.upper_layer.waker,
            idle_timeout=self._settings.idle_timeout,
        )

    def _ended(self, association: AcceptedAssociation) -> None:
        with self._changed:
            self._entries.pop(association, None)
            self._changed.notify_all()

    def _turned_away(self, peer: str, reason: str, calling_ae: str = "", called_ae: str = "") -> None:
        LOG.warning("%s, calling itself %r, is turned away: %s", peer, calling_ae, reason)
        with self._changed:
            self._refusals.append(RefusalView(time.time_ns(), time.monotonic(), peer, calling_ae, called_ae, reason))


def _application_entity(settings: StorageSettings) -> AE:
    ae = AE(settings.ae_title)
    ae.maximum_pdu_size = settings.max_pdu
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.acse_timeout = settings.artim_timeout
    ae.dimse_timeout = settings.stall_timeout
    # This module counts associations itself; pynetdicom would count those that are being rejected.
    ae.maximum_associations = 1 << 30
    return ae


def _contexts(association: AcceptedAssociation) -> Mapping[int, Context]:
    return {
        cx.context_id: Context(str(cx.abstract_syntax), str(cx.transfer_syntax[0]))
        for cx in association.accepted_contexts
        if cx.context_id is not None
    }
