"""An association acceptor of our own for what no decent program does: it says what a test tells it to, when told.

Its PDUs are put together by hand, so that they share nothing with the code under test.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from capacitord.dicom.contexts import Pair, Proposal, propose
from capacitord.dicom.storage_scu import Opened, StoreAssociation
from capacitord.model.destination import Destination

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"
CT_EXPLICIT = Pair(CT, EXPLICIT)
ONE_CONTEXT = propose([CT_EXPLICIT])

ASSOCIATE_RQ, AC, RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = 1, 2, 3, 4, 5, 6, 7
ACCEPTED = 0
BOUND = 30.0


def pdu(kind: int, body: bytes = b"\0\0\0\0") -> bytes:
    return struct.pack(">BxL", kind, len(body)) + body


def pdv(fragment: bytes, context_id: int = 1, control: int = 3) -> bytes:
    return struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def associate_ac(contexts: dict[int, tuple[int, str]], max_pdu: int | None = 16384, extra: bytes = b"") -> bytes:
    """Return an A-ASSOCIATE-AC that answers each context id with a result and a transfer syntax."""
    body = struct.pack(">HH16s16s32x", 1, 0, b"ANY-SCP".ljust(16), b"FLUXBOX".ljust(16))
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    for context_id, (result, syntax) in contexts.items():
        body += item(0x21, struct.pack(">BxBx", context_id, result) + item(0x40, syntax.encode()))
    user = b"" if max_pdu is None else item(0x51, struct.pack(">L", max_pdu))
    return pdu(AC, body + item(0x50, user + item(0x52, b"1.2.3") + extra))


def element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, tag, len(value)) + value


def command(**values: int | str) -> bytes:
    """Return a command set; names are those of `TAGS`, None leaves an element out."""
    parts = []
    for name, tag in TAGS.items():
        value = values.get(name)
        if isinstance(value, int):
            parts.append(element(tag, struct.pack("<H", value)))
        elif isinstance(value, str):
            text = value.encode("ascii", "surrogateescape")
            parts.append(element(tag, text + b"\0" * (len(text) % 2)))
    body = b"".join(parts)
    return element(0, struct.pack("<L", len(body))) + body


TAGS = {
    "sop_class": 0x0002,
    "field": 0x0100,
    "message_id": 0x0110,
    "responded_to": 0x0120,
    "data_set": 0x0800,
    "status": 0x0900,
    "comment": 0x0902,
    "sop_instance": 0x1000,
}


def store_response(message_id: int, status: int = 0, **changes: int | str) -> bytes:
    """Return a C-STORE-RSP command set, right unless `changes` makes it wrong."""
    right: dict[str, int | str] = {"field": 0x8001, "responded_to": message_id, "data_set": 0x0101, "status": status}
    return command(**right | changes)


@dataclass
class Request:
    """A C-STORE-RQ as it came in."""

    message_id: int
    sop_instance_uid: str
    context_id: int
    data: bytes
    longest_pdu: int
    longest_fragment: int


class Closed(Exception):
    """The requestor closed the connection."""


class Acceptor:
    """The accepting end of one connection, for a script to drive."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(BOUND)
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self.connection.recv(size - len(data))
            if not piece:
                raise Closed
            data += piece
        return bytes(data)

    def read_pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxL", self.read(6))
        return kind, self.read(length)

    def accept(self, max_pdu: int | None = 16384) -> None:
        """Read the A-ASSOCIATE-RQ and accept context 1 as explicit little endian."""
        kind, _ = self.read_pdu()
        assert kind == ASSOCIATE_RQ
        self.send(associate_ac({1: (ACCEPTED, EXPLICIT)}, max_pdu))

    def read_store(self) -> Request:
        """Read one C-STORE-RQ with its whole dataset."""
        command_set, data = bytearray(), bytearray()
        request = Request(0, "", 0, b"", 0, 0)
        while True:
            kind, body = self.read_pdu()
            assert kind == DATA, f"PDU {kind} instead of a C-STORE-RQ"
            request.longest_pdu = max(request.longest_pdu, len(body))
            position = 0
            while position < len(body):
                length, request.context_id, control = struct.unpack_from(">LBB", body, position)
                fragment = body[position + 6 : position + 4 + length]
                position += 4 + length
                request.longest_fragment = max(request.longest_fragment, len(fragment))
                assert control & 2 or len(fragment) % 2 == 0, "an odd fragment that is not the last"
                (command_set if control & 1 else data).extend(fragment)
                if control == 2:
                    assert position == len(body)
                    values = dict(_elements(bytes(command_set)))
                    request.message_id = struct.unpack("<H", values[0x0110])[0]
                    request.sop_instance_uid = values[0x1000].rstrip(b"\0").decode()
                    request.data = bytes(data)
                    return request

    def answer(self, request: Request, status: int = 0, **changes: int | str) -> None:
        response = store_response(request.message_id, status, **changes)
        self.send(pdu(DATA, pdv(response, request.context_id)))

    def serve(self) -> list[Request]:
        """Answer every image with Success until the release, which is answered too; return the images."""
        served: list[Request] = []
        while True:
            first = self.connection.recv(1, socket.MSG_PEEK)
            if first != bytes([DATA]):
                break
            served.append(self.read_store())
            self.answer(served[-1])
        kind, _ = self.read_pdu()
        assert kind == RELEASE_RQ
        self.send(pdu(RELEASE_RP))
        return served

    def expect_abort(self) -> tuple[int, int]:
        """Read on until an A-ABORT, and return its source and reason."""
        while True:
            kind, body = self.read_pdu()
            if kind == ABORT:
                return body[2], body[3]

    def read_to_the_end(self) -> bytes:
        """Return everything until the requestor closes or resets the connection."""
        data = bytearray()
        try:
            while piece := self.connection.recv(1 << 16):
                data += piece
        except ConnectionResetError:
            pass
        return bytes(data)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        _, tag, length = struct.unpack_from("<HHL", data, position)
        yield tag, data[position + 8 : position + 8 + length]
        position += 8 + length


def _connected_by_tcp(receive_buffer: int | None) -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        if receive_buffer is not None:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        ours = socket.create_connection(server.getsockname())
        return ours, server.accept()[0]


Script = Callable[[Acceptor], object]


@contextmanager
def acceptor(script: Script, *, receive_buffer: int | None = None, unix: bool = False) -> Iterator[socket.socket]:
    """Run `script` against the other end of the connected socket this yields; fails if the script failed.

    The two are connected by TCP, or with `unix` by a socket pair, whose buffers drain evenly.
    """
    failures: list[BaseException] = []
    ours, theirs = socket.socketpair() if unix else _connected_by_tcp(receive_buffer)

    def run() -> None:
        with theirs:
            try:
                script(Acceptor(theirs))
            except BaseException as error:  # noqa: BLE001 raised again in the test's own thread
                failures.append(error)

    thread = threading.Thread(target=run, name="acceptor")
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join(BOUND + 5)
    assert not thread.is_alive(), "the acceptor's script did not come to its end"
    if failures:
        raise failures[0]


@dataclass
class MemoryImage:
    """An image made of chunks in memory. A chunk that is an exception is raised when its turn comes."""

    pieces: list[bytes | Exception]
    sop_instance_uid: str = "1.2.3.4"
    sop_class_uid: str = CT
    transfer_syntax_uid: str = EXPLICIT
    length: int = -1
    taken: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.length < 0:
            self.length = sum(len(piece) for piece in self.pieces if isinstance(piece, bytes))

    def chunks(self) -> Iterator[memoryview]:
        for number, piece in enumerate(self.pieces):
            self.taken.append(number)
            if isinstance(piece, Exception):
                raise piece
            # Every piece lives in a buffer of its own that dies with the next, as a decrypted chunk does.
            buffer = bytearray(piece)
            yield memoryview(buffer)
            buffer[:] = b"\xee" * len(buffer)


def some_image(number: int = 1, size: int = 1000, chunk: int = 65536) -> MemoryImage:
    """Return an image of `size` bytes that differ from those of other numbers, in chunks."""
    data = bytes((number * 31 + position * 7 + (position >> 8)) & 0xFF for position in range(min(size, 4096)))
    data = (data * (size // max(1, len(data)) + 1))[:size]
    pieces: list[bytes | Exception] = [data[start : start + chunk] for start in range(0, size, chunk)]
    return MemoryImage(pieces, f"1.2.3.4.{number}")


def content(image: MemoryImage) -> bytes:
    return b"".join(piece for piece in image.pieces if isinstance(piece, bytes))


def destination(timeout: float = BOUND, max_pdu: int = 131072) -> Destination:
    return Destination("pacs", "STM_PACS", "127.0.0.1", 104, response_timeout=timeout, max_pdu=max_pdu)


def association(
    connection: socket.socket, *, timeout: float = BOUND, max_pdu: int = 131072, proposal: Proposal = ONE_CONTEXT
) -> StoreAssociation:
    return StoreAssociation(connection, destination(timeout, max_pdu), "FLUXBOX", proposal)


def established(connection: socket.socket, *, timeout: float = BOUND, max_pdu: int = 131072) -> StoreAssociation:
    """Return an association that the acceptor accepted."""
    assoc = association(connection, timeout=timeout, max_pdu=max_pdu)
    opened = assoc.open()
    assert isinstance(opened, Opened), opened
    return assoc
