"""Where this program reaches into pynetdicom: an association that pynetdicom negotiates and `Wire` serves.

pynetdicom runs an association in two threads that poll each other's queues a thousand times a second: the upper
layer (`DULServiceProvider`), which owns the socket, and the association itself. That costs more than everything
else about receiving an image. So the upper layer here, once the association is established (state Sta6), runs
`Wire.serve` in its own thread and comes back to pynetdicom's loop only for what is not served there: other
messages, release, abort, and what other threads of this program want to send. Meanwhile the association's
thread is held where pynetdicom itself pauses it.

All names of pynetdicom that are used without being documented are used in this module, and listed in
`TOUCH_POINTS` and `TOUCHED_ATTRIBUTES`; a test fails with the name when a release of pynetdicom moves one.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AddressInformation, AssociationSocket

from capacitord.dicom.arriving import describe
from capacitord.dicom.pdu import PDU_HEADER, AbortReason, data_header
from capacitord.dicom.reader import PduReader, ProtocolViolation
from capacitord.dicom.wire import Waker, Wire, Woken, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.dimse_primitives import DimseServiceType

LOG = logging.getLogger(__name__)

TOUCH_POINTS: Final[Mapping[type, tuple[str, ...]]] = MappingProxyType(
    {
        DULServiceProvider: ("_is_transport_event", "_read_pdu_data", "run_reactor", "stop_dul", "kill_dul"),
        Association: ("_serve_request", "_bind_defaults", "run_reactor"),
        AssociationSocket: ("ready", "recv", "send"),
    }
)
"""Methods that are overridden here and are no part of pynetdicom's documented interface."""

TOUCHED_ATTRIBUTES: Final = (
    "_reactor_checkpoint",
    "acse.is_aborted",
    "dimse.msg_queue",
    "dul.event_queue",
    "dul.to_user_queue",
    "dul.state_machine.current_state",
)
"""What is looked at or replaced in an association and what belongs to it."""

LONGEST_PDU: Final = 1 << 20
"""Bytes of a PDU that pynetdicom reads into memory: 128 contexts with 100 transfer syntaxes fit."""

_LINGER = 2.0
_GLANCE = 0.1


class ReactorGate(threading.Event):
    """The association's checkpoint, with a second reason to wait there.

    pynetdicom sets and clears the event when somebody sends a request on the association; `hold` and `release`
    are the upper layer's own and do not disturb that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set()
        self._free = threading.Event()
        self._free.set()

    def hold(self) -> None:
        """Keep the association's thread at its checkpoint."""
        self._free.clear()

    def release(self) -> None:
        """Let it go on."""
        self._free.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is no reason to wait."""
        return self._free.wait(timeout) and super().wait(timeout)


class BufferedSocket(AssociationSocket):
    """pynetdicom's socket, reading first what the fast path has read ahead and within a time."""

    def __init__(self, assoc: Association, sock: socket.socket, timeout: float) -> None:
        super().__init__(assoc, client_socket=sock)
        self.reader = PduReader()
        self.raw = sock
        self._timeout = timeout
        self._returned = b""
        self._sending = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether there is something to read, or to learn about the connection."""
        return bool(self._returned) or self.reader.buffered > 0 or self.wait(0.0)

    def wait(self, timeout: float, waker: Waker | None = None) -> bool:
        """Wait up to `timeout` seconds for bytes from the peer, or for its end; `waker` ends the wait early."""
        if self.socket is None:
            return False
        poll = select.poll()
        poll.register(self.raw, select.POLLIN)
        if waker is not None:
            poll.register(waker, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(timeout * 1000)]
        if waker is not None and waker.fileno() in ready:
            waker.clear()
        return self.raw.fileno() in ready

    def send(self, bytestream: bytes) -> None:
        """Send PDUs for pynetdicom, which is told by an event if the connection is lost."""
        with self._sending:
            super().send(bytestream)

    def send_now(self, data: bytes) -> None:
        """Send whole PDUs past pynetdicom and its queue. For who serves a request. Raises OSError.

        After an error part of a PDU may have been sent: then nothing but the end of the connection may follow.
        """
        with self._sending:
            self.raw.sendall(data)

    def give_back(self, data: bytes) -> None:
        """Have `data` read next."""
        self._returned += data

    def next_length(self) -> int | None:
        """Return the length of the next PDU, or None if the connection ends or falls silent before it is known."""
        if not self._returned and self.reader.buffered < PDU_HEADER.size:
            self.give_back(bytes(self.recv(PDU_HEADER.size)))
        header = self._returned or self.reader.peek(PDU_HEADER.size)
        if len(header) < PDU_HEADER.size:
            return None
        length: int = PDU_HEADER.unpack_from(header)[1]
        return length

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes` bytes, or fewer if the connection ends. Raises TimeoutError if they take too long."""
        got = bytearray(self._returned[:nr_bytes])
        self._returned = self._returned[nr_bytes:]
        got += self.reader.take(nr_bytes - len(got))
        deadline = time.monotonic() + self._timeout
        while len(got) < nr_bytes:
            if not self.wait(max(0.0, deadline - time.monotonic())):
                msg = "a PDU did not come in time"
                raise TimeoutError(msg)
            piece = self.raw.recv(min(nr_bytes - len(got), 65536))
            if not piece:
                break
            got += piece
        return got


class UpperLayer(DULServiceProvider):
    """pynetdicom's upper layer, which lets `Wire` serve what it can."""

    def __init__(self, assoc: AcceptedAssociation) -> None:
        super().__init__(assoc)
        self.daemon = True
        self.waker = Waker()
        self._accepted = assoc
        self._wire: Wire | None = None

    def send_pdu(self, primitive: object) -> None:
        """Queue a primitive for the peer and see to it that it is not left there."""
        super().send_pdu(primitive)  # type: ignore[arg-type]
        self.waker.wake()

    def kill_dul(self) -> None:
        """Ask this thread to end."""
        super().kill_dul()
        self.waker.wake()

    def stop_dul(self) -> bool:
        """End this thread if it is idle; return whether it was."""
        self.waker.wake()
        return super().stop_dul()

    def run_reactor(self) -> None:
        """Run until the connection is closed, whatever happens, and leave nothing half done."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - the thread ends here; the connection is closed below
            LOG.warning("an association ended by an error: %s", describe(error))
        finally:
            self.kill_dul()
            if self._wire is not None:
                self._wire.close()
            # The association's thread may be waiting for a request that will not come.
            self.to_user_queue.put(None)
            self._accepted.ended()

    def _is_transport_event(self) -> bool:
        """Look whether the peer has sent something, and deal with it; return whether it had."""
        if not self.event_queue.empty():
            return False
        state = self.state_machine.current_state
        if state == "Sta6":
            return self._serve()
        if state == "Sta13":
            self._await_close()
            return True
        sock = self._accepted.wire_socket
        if sock.ready or sock.wait(_GLANCE, self.waker):
            self._read_pdu_data()
            return True
        return False

    def _read_pdu_data(self) -> None:
        """Have pynetdicom read a PDU, after a look at how much memory it would take."""
        try:
            length = self._accepted.wire_socket.next_length()
        except OSError:
            length = None
        if length is None:
            self.event_queue.put("Evt17")
        elif length > LONGEST_PDU:
            LOG.warning("a PDU of %d bytes is refused", length)
            self.event_queue.put("Evt19")
        else:
            super()._read_pdu_data()

    def _serve(self) -> bool:
        association = self._accepted
        if self._wire is None:
            self._wire = association.open_wire(self._forward)
        if self.to_user_queue.empty() and association.dimse.msg_queue.empty():
            association.gate.hold()
        try:
            woken = self._wire.serve()
        except ProtocolViolation as violation:
            LOG.warning("association with %s: %s", association.peer, violation.message)
            self._wire.close()
            association.acse.send_ap_abort(violation.reason)
            return True
        finally:
            association.gate.release()
        return self._continue(woken)

    def _continue(self, woken: Woken) -> bool:
        association = self._accepted
        if association.is_cut:
            if self._wire is not None:
                self._wire.close()
            association.abort(block=False)
        elif woken is Woken.OTHER_PDU:
            self._read_pdu_data()
        elif woken is Woken.LOST:
            self.event_queue.put("Evt17")
        elif woken is Woken.STALLED:
            LOG.warning("association with %s: silent inside a message", association.peer)
            association.acse.send_ap_abort(AbortReason.NOT_SPECIFIED)
        elif woken is Woken.IDLE and not association.is_busy:
            LOG.info("association with %s: idle for too long", association.peer)
            association.abort(block=False)
        return woken is not Woken.WORK

    def _forward(self, context_id: int, control: int, fragment: bytes) -> None:
        """Let pynetdicom read a fragment as if it had come in a PDU of its own."""
        self._accepted.wire_socket.give_back(data_header(context_id, control, len(fragment)) + fragment)
        super()._read_pdu_data()

    def _await_close(self) -> None:
        """Say that nothing more will come, and let the peer close the connection (PS3.8 Sta13).

        Closing it while the peer still sends would reset it, and could take our last PDU along.
        """
        sock = self._accepted.wire_socket
        sock.reader.take(sock.reader.buffered)
        deadline = time.monotonic() + _LINGER
        with contextlib.suppress(OSError):
            sock.raw.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0 and sock.wait(left):
                if not sock.raw.recv(65536):
                    break
        sock.close()


class WireOpener(Protocol):
    """Makes the wire of an association that is established."""

    def __call__(self, association: AcceptedAssociation, forward: Callable[[int, int, bytes], None]) -> Wire:
        """Return it; `forward` hands a fragment to pynetdicom."""


class AcceptedAssociation(Association):
    """An association that a peer requested, over a socket that was accepted.

    `open_wire` is called once it is established, `on_end` when its connection is closed, in its own thread.
    `cancelled` has the message ids of requests that the peer cancelled; whoever serves such requests keeps it.
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        sock: socket.socket,
        peer: AddressInformation,
        *,
        artim_timeout: float,
        stall_timeout: float,
        open_wire: WireOpener,
        on_end: Callable[[AcceptedAssociation], None],
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self._open_wire = open_wire
        self._on_end = on_end
        self._serving = 0
        self.is_cut = False
        self.cancelled: set[int] = set()
        self.peer = peer.address
        self.gate = self._reactor_checkpoint = ReactorGate()
        self.dul = self.upper_layer = UpperLayer(self)
        # These set timers of the upper layer, which is another one now; idleness is the wire's own affair.
        self.acse_timeout = artim_timeout
        self.network_timeout = None
        prepare(sock, stall_timeout)
        self.wire_socket = BufferedSocket(self, sock, artim_timeout)
        self.set_socket(self.wire_socket)
        self.acceptor.maximum_length = ae.maximum_pdu_size
        self.acceptor.ae_title = ae.ae_title
        self.acceptor.address_info = AddressInformation.from_tuple(sock.getsockname())
        self.acceptor.implementation_class_uid = ae.implementation_class_uid
        self.acceptor.implementation_version_name = ae.implementation_version_name
        self.requestor.address_info = peer
        self.name = f"association with {self.peer}"

    @property
    def is_busy(self) -> bool:
        """Whether pynetdicom is serving a request."""
        return self._serving > 0

    @property
    def is_gone(self) -> bool:
        """Whether nothing that is sent now can reach the peer any more. For who serves a request."""
        return not self.is_established or self.acse.is_aborted()

    def open_wire(self, forward: Callable[[int, int, bytes], None]) -> Wire:
        """Return what serves the association from now on."""
        return self._open_wire(self, forward)

    def cut(self) -> None:
        """Have the association aborted at once, in its own thread."""
        self.is_cut = True
        with contextlib.suppress(OSError):
            self.wire_socket.raw.shutdown(socket.SHUT_RD)
        self.upper_layer.waker.wake()

    def run_reactor(self) -> None:
        """Run until the association is over."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - the thread ends here, and with it the association
            LOG.warning("an association ended by an error: %s", describe(error))
        finally:
            if not self.upper_layer.is_alive():
                self.ended()

    def ended(self) -> None:
        """Let go of everything; called when the last word has been sent."""
        with contextlib.suppress(OSError):
            self.wire_socket.raw.close()
        self.upper_layer.waker.close()
        self._on_end(self)

    def _bind_defaults(self) -> None:
        """Bind what answers requests nobody handles, but not what writes whole messages into the log."""
        for event in evt._INTERVENTION_EVENTS:  # noqa: SLF001 - there is no public list of them
            self.bind(event, evt.get_default_handler(event))

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        """Have pynetdicom serve a request; an error in it ends the association, not the program."""
        self._serving += 1
        try:
            if msg.MessageIDBeingRespondedTo is None and not msg.is_valid_request:
                # pynetdicom would let it pass in silence, and the peer wait for an answer.
                LOG.warning("a request of %s lacks what a request needs", self.peer)
                self.abort(block=False)
                return
            super()._serve_request(msg, context_id)
        except Exception as error:  # noqa: BLE001 - the peer is told by an abort
            LOG.warning("a request of %s could not be served: %s", self.peer, describe(error))
            self.abort(block=False)
        finally:
            self._serving -= 1
