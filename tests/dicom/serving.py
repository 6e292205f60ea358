"""A storage SCP for a test, and a requestor that says exactly what a test wants, put together by hand."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pynetdicom.presentation import PresentationContext

from capacitord.dicom.accept import StorageSettings
from capacitord.dicom.intake import Intake
from capacitord.dicom.storage_scp import Handler, StorageServer
from tests.dicom.memory_intake import MemoryIntake
from tests.dicom.samples import CT, EXPLICIT, element
from tests.wait import wait_for

HOST = "127.0.0.1"
VERIFICATION = "1.2.840.10008.1.1"
ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
COMMAND, LAST = 1, 2
BOUND = 30.0


@dataclass
class Scp:
    """A running storage SCP."""

    server: StorageServer
    intake: MemoryIntake
    port: int

    def drained(self) -> None:
        """Wait until nobody is associated and no image is on its way."""
        wait_for(lambda: not self.server.associations() and not self.intake.open, what="every association to be over")


@contextlib.contextmanager
def listening(
    settings: StorageSettings,
    intake: Intake,
    *,
    handlers: Sequence[Handler] = (),
    contexts: Sequence[PresentationContext] = (),
) -> Iterator[tuple[StorageServer, int]]:
    """Run a server on a port of its own; yield both."""
    listener = socket.create_server((HOST, 0), backlog=64)
    port: int = listener.getsockname()[1]
    server = StorageServer(listener, intake, settings, handlers=handlers, contexts=contexts)
    server.start()
    try:
        yield server, port
    finally:
        server.stop(0)


@contextlib.contextmanager
def serving(
    settings: StorageSettings | None = None,
    intake: MemoryIntake | None = None,
    *,
    handlers: Sequence[Handler] = (),
    contexts: Sequence[PresentationContext] = (),
) -> Iterator[Scp]:
    """Run a server that keeps images in memory."""
    intake = intake or MemoryIntake()
    with listening(settings or StorageSettings(), intake, handlers=handlers, contexts=contexts) as (server, port):
        yield Scp(server, intake, port)


def pdu(kind: int, body: bytes = b"\0\0\0\0") -> bytes:
    return struct.pack(">BxL", kind, len(body)) + body


def pdv(fragment: bytes, control: int, context_id: int = 1) -> bytes:
    return struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment


def data_pdu(fragment: bytes, control: int, context_id: int = 1) -> bytes:
    return pdu(DATA, pdv(fragment, control, context_id))


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def associate_rq(
    contexts: dict[int, tuple[str, Sequence[str]]],
    *,
    calling: str = "SCANNER",
    called: str = "CAPACITOR",
    application: str = "1.2.840.10008.3.1.1.1",
) -> bytes:
    body = struct.pack(">HH16s16s32x", 1, 0, called.encode().ljust(16), calling.encode().ljust(16))
    body += item(0x10, application.encode())
    for context_id, (abstract, syntaxes) in contexts.items():
        inside = item(0x30, abstract.encode()) + b"".join(item(0x40, syntax.encode()) for syntax in syntaxes)
        body += item(0x20, struct.pack(">B3x", context_id) + inside)
    return pdu(ASSOCIATE_RQ, body + item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3")))


def command_set(**values: int | str) -> bytes:
    """Return a command set of these elements, by the names of `TAGS`."""
    parts = []
    for name, tag in TAGS.items():
        value = values.get(name)
        if value is not None:
            encoded = struct.pack("<H", value) if isinstance(value, int) else value.encode()
            parts.append(element(tag, "UI", encoded, syntax="1.2.840.10008.1.2"))
    body = b"".join(parts)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


TAGS = {
    "sop_class": 0x0002,
    "field": 0x0100,
    "message_id": 0x0110,
    "responded_to": 0x0120,
    "priority": 0x0700,
    "data_set": 0x0800,
    "status": 0x0900,
    "sop_instance": 0x1000,
}


def store_rq(sop_instance: str, *, sop_class: str = CT, message_id: int = 1) -> bytes:
    return command_set(
        field=1, message_id=message_id, priority=0, data_set=1, sop_class=sop_class, sop_instance=sop_instance
    )


def echo_rq(message_id: int = 1) -> bytes:
    return command_set(field=0x30, message_id=message_id, data_set=0x0101, sop_class=VERIFICATION)


CONTEXTS: dict[int, tuple[str, Sequence[str]]] = {1: (CT, [EXPLICIT]), 3: (VERIFICATION, [EXPLICIT])}


class Requestor:
    """A connection to a server, from its other end."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=BOUND)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def associated(cls, port: int, contexts: dict[int, tuple[str, Sequence[str]]] | None = None) -> Self:
        requestor = cls(port)
        requestor.send(associate_rq(contexts or CONTEXTS))
        kind, _ = requestor.read()
        assert kind == ASSOCIATE_AC
        return requestor

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU; (0, b"") when the connection is closed."""
        header = self._read(6)
        if len(header) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxL", header)
        return kind, self._read(length)

    def status(self) -> int:
        """Return the status of the response that comes next."""
        kind, body = self.read()
        assert kind == DATA, f"PDU type {kind}: {body!r}"
        at = body.index(struct.pack("<HHL", 0, 0x0900, 2))
        (status,) = struct.unpack_from("<H", body, at + 8)
        return int(status)

    def store(self, sop_instance: str, data: bytes) -> int:
        self.send(data_pdu(store_rq(sop_instance), COMMAND | LAST) + data_pdu(data, LAST))
        return self.status()

    def release(self) -> None:
        self.send(pdu(RELEASE_RQ))
        assert self.read()[0] == RELEASE_RP
        self.close()

    def close(self) -> None:
        self.socket.close()

    def _read(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            try:
                piece = self.socket.recv(count - len(got))
            except ConnectionResetError:
                break
            if not piece:
                break
            got += piece
        return got

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
