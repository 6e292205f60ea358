"""A scanner of our own that is asked what is on it: well-behaved, or bad in any way a test chooses."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

from capacitord.dicom.pdu import data_pdus
from tests.dicom.acceptor import ABORT, DATA, Acceptor, Closed, Script, command, pdu
from tests.dicom.worklist import kit

PENDING, SUCCESS, CANCEL = 0xFF00, 0, 0x0FFF
STUDY = {
    "PatientID": "P1",
    "PatientName": "VERMEER^JAN",
    "StudyInstanceUID": "1.2.3.4",
    "StudyDate": "20260301",
    "NumberOfStudyRelatedInstances": "120",
}
Rows = Callable[[], list[Mapping[str, object]]]


def response(said: Mapping[str, object] | None, status: int = PENDING, **changes: int | str) -> bytes:
    """Return a C-FIND response with a data set, or without one."""
    right: dict[str, int | str] = {"field": 0x8020, "responded_to": 1, "data_set": 0x101 if said is None else 1}
    sent = data_pdus(1, command(**right | {"status": status} | changes), command=True, max_pdu=0)
    return sent if said is None else sent + data_pdus(1, kit.data(dict(said)), command=False, max_pdu=0)


def asked(peer: Acceptor) -> None:
    """Accept the association and read a query."""
    peer.accept()
    while peer.read_pdu()[1][5] != 2:
        pass


def says(*parts: bytes) -> Script:
    """Return a scanner that answers the query so, and then takes the release."""

    def script(peer: Acceptor) -> None:
        asked(peer)
        for part in parts:
            peer.send(part)
        if peer.read_pdu()[0] != ABORT:
            peer.send(pdu(6))

    return script


def has(rows: Rows) -> Script:
    """Return a scanner that has these studies when it is asked, and says so as it should."""

    def script(peer: Acceptor) -> None:
        says(*(response(row) for row in rows()), response(None, SUCCESS))(peer)

    return script


def goes_on_for_ever(peer: Acceptor) -> None:
    """Name studies until nobody listens any more, and take no notice of a cancellation."""
    asked(peer)
    with contextlib.suppress(OSError):
        for number in range(10**9):
            peer.send(response({**STUDY, "StudyInstanceUID": f"1.2.{number}"}))


def heeds_a_cancellation(peer: Acceptor) -> None:
    """Name studies until it is asked to stop; fail unless that, and then a release, comes."""
    asked(peer)
    peer.connection.setblocking(True)
    number = 0
    while not _readable(peer):
        peer.send(response({**STUDY, "StudyInstanceUID": f"1.2.{number}"}))
        number += 1
    kind, body = peer.read_pdu()
    assert kind == DATA
    # (0000,0100) is the first element behind the group length, as a cancellation names no SOP class.
    assert struct.unpack_from("<H", body, 6 + 12 + 8) == (CANCEL,)
    peer.send(response(None, 0xFE00))
    assert peer.read_pdu()[0] == 5, "no release"
    peer.send(pdu(6))


def is_silent(peer: Acceptor) -> None:
    """Take the query and say nothing."""
    asked(peer)
    peer.read_to_the_end()


def talks_rubbish(peer: Acceptor) -> None:
    """Answer with what is no DICOM."""
    peer.read_pdu()
    peer.send(b"HTTP/1.0 400 Bad Request\r\n\r\n" * 10)
    peer.read_to_the_end()


def rejects(peer: Acceptor) -> None:
    """Reject the association: the calling AE title is not known."""
    peer.read_pdu()
    peer.send(pdu(3, b"\0\1\1\3"))
    peer.read_to_the_end()


def drips(peer: Acceptor) -> None:
    """Name a study every now and then, for ever."""
    asked(peer)
    with contextlib.suppress(OSError):
        while True:
            peer.send(response(STUDY))
            time.sleep(0.1)


def _readable(peer: Acceptor) -> bool:
    peer.connection.settimeout(0.0)
    try:
        return bool(peer.connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        peer.connection.settimeout(30.0)


class Scanner:
    """A scanner on a port of its own, as a context manager. `script` may be another one for the next association."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        for connection in self._connections():
            self.calls += 1
            self._open.append(connection)
            threading.Thread(target=self._answer, args=(connection, self.script), daemon=True).start()

    def _connections(self) -> Iterator[socket.socket]:
        with contextlib.suppress(OSError):
            while True:
                yield self._server.accept()[0]

    def _answer(self, connection: socket.socket, script: Script) -> None:
        with connection, contextlib.suppress(OSError, Closed):
            script(Acceptor(connection))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.switch_off()

    def switch_off(self) -> None:
        """Have nothing listen on its port any more."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection there is."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
