"""A PACS that writes everything down: what came, over which association, and what it answered when.

It is a plain receiver in this process and shares no code with the daemon. Images are told apart by digest and not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.dicom.acceptor import (
    ABORT,
    ACCEPTED,
    ASSOCIATE_RQ,
    DATA,
    RELEASE_RP,
    RELEASE_RQ,
    associate_ac,
    pdu,
    pdv,
    store_response,
)

AE_TITLE = "RECORDER"
SUCCESS, MISMATCH = 0x0000, 0xA900
_LONGEST_PDU = 1 << 17
_LARGEST_IMAGE = 64 << 20
_PATIENCE = 60.0
_SOP_INSTANCE = re.compile(rb"\x08\x00\x18\x00UI(..)", re.DOTALL)


@dataclass
class Association:
    """One connection, and how it ended: "released", "aborted" or "broken"; "" while it is open."""

    number: int
    accepted: float
    ended: float = 0.0
    how: str = ""


@dataclass
class Reception:
    """One C-STORE request. Times are monotonic, and 0.0 if it did not come that far.

    `answered` is when the answer was about to be sent: whether it arrived nobody here knows.
    """

    association: Association
    sop_instance_uid: str
    begun: float
    digest: str = ""
    completed: float = 0.0
    status: int = -1
    answered: float = 0.0


class Malformed(Exception):
    """What came is not what the protocol allows: a bit was flipped on the way."""


@dataclass
class Records:
    """Everything that was written down; lists only grow."""

    associations: list[Association] = field(default_factory=list)
    receptions: list[Reception] = field(default_factory=list)


class RecordingPacs:
    """The server as a context manager. `look(uid, dataset, digest)` is called with every complete image."""

    host = "127.0.0.1"

    def __init__(self, look: Callable[[str, bytes, str], None] | None = None) -> None:
        self.records = Records()
        self._look = look
        self._server = socket.create_server((self.host, 0), backlog=64)
        self.port: int = self._server.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        # Closing alone would not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="PACS", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
                association = Association(len(self.records.associations), time.monotonic())
                self.records.associations.append(association)
            self._start(self._serve, connection, association)

    def _serve(self, connection: socket.socket, association: Association) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_PATIENCE)
        try:
            how = _Conversation(connection, association, self._keep, self._look).hold()
        except (OSError, EOFError):
            how = "broken"
        except (Malformed, struct.error, UnicodeDecodeError, KeyError):
            how = "aborted"
            with contextlib.suppress(OSError):
                connection.sendall(pdu(ABORT, b"\0\0\2\0"))
        with self._lock:
            self._open.discard(connection)
            association.ended, association.how = time.monotonic(), how
        connection.close()

    def _keep(self, reception: Reception) -> None:
        with self._lock:
            self.records.receptions.append(reception)


class _Conversation:
    """One association, from its request to its end."""

    def __init__(
        self,
        connection: socket.socket,
        association: Association,
        keep: Callable[[Reception], None],
        look: Callable[[str, bytes, str], None] | None,
    ) -> None:
        self._connection, self._association, self._keep, self._look = connection, association, keep, look
        self._file = connection.makefile("rb", buffering=1 << 18)

    def hold(self) -> str:
        """Serve until the end, and return how it came."""
        kind, body = self._read()
        if kind != ASSOCIATE_RQ:
            raise Malformed
        self._connection.sendall(associate_ac(_accepted(body), _LONGEST_PDU))
        while True:
            kind, body = self._read()
            if kind == RELEASE_RQ:
                self._connection.sendall(pdu(RELEASE_RP))
                return "released"
            if kind == ABORT:
                return "aborted"
            self._store(kind, body)

    def _read(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxL", self._exactly(6))
        if length > _LONGEST_PDU + 1024:
            raise Malformed
        return kind, self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def _store(self, kind: int, body: bytes) -> None:
        """Take one C-STORE request whose first PDU is at hand, and answer it."""
        command, dataset, reception = bytearray(), bytearray(), None
        while True:
            if kind != DATA:
                raise Malformed
            position, last = 0, False
            while position < len(body):
                length, context_id, control = struct.unpack_from(">LBB", body, position)
                fragment = body[position + 6 : position + 4 + length]
                if length < 2 or len(fragment) != length - 2 or last or control > 3:
                    raise Malformed
                position += 4 + length
                (command if control & 1 else dataset).extend(fragment)
                if control == 3:
                    values = dict(_elements(bytes(command)))
                    uid = values[0x1000].rstrip(b"\0").decode("ascii")
                    reception = Reception(self._association, uid, time.monotonic())
                    self._keep(reception)
                last = control == 2
            if last:
                break
            if len(dataset) > _LARGEST_IMAGE:
                raise Malformed
            kind, body = self._read()
        if reception is None:
            raise Malformed
        reception.digest = hashlib.sha256(dataset).hexdigest()
        reception.status = SUCCESS if _instance_uid(dataset) == reception.sop_instance_uid else MISMATCH
        if self._look is not None:
            self._look(reception.sop_instance_uid, bytes(dataset), reception.digest)
        reception.completed = time.monotonic()
        (message_id,) = struct.unpack("<H", values[0x0110])
        response = store_response(message_id, reception.status, sop_instance=reception.sop_instance_uid)
        # Before it is sent: afterwards the daemon may already have written it down, or been killed.
        reception.answered = time.monotonic()
        self._connection.sendall(pdu(DATA, pdv(response, context_id)))


def _accepted(body: bytes) -> dict[int, tuple[int, str]]:
    """Accept every proposed context in its first transfer syntax (PS3.8 §9.3.2)."""
    contexts: dict[int, tuple[int, str]] = {}
    position = 68
    while position < len(body):
        kind, length = struct.unpack_from(">BxH", body, position)
        item = body[position + 4 : position + 4 + length]
        position += 4 + length
        if kind == 0x20:
            inner = 4
            while inner < len(item):
                sub, size = struct.unpack_from(">BxH", item, inner)
                if sub == 0x40:
                    contexts.setdefault(item[0], (ACCEPTED, item[inner + 4 : inner + 4 + size].decode("ascii")))
                inner += 4 + size
    return contexts


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Return the elements of a command set (PS3.7 §6.3.1)."""
    found: list[tuple[int, bytes]] = []
    position = 0
    while position < len(data):
        group, tag, length = struct.unpack_from("<HHL", data, position)
        if group != 0 or position + 8 + length > len(data):
            raise Malformed
        found.append((tag, data[position + 8 : position + 8 + length]))
        position += 8 + length
    return found


def _instance_uid(dataset: bytearray) -> str:
    """Return the SOP Instance UID of a dataset in Explicit VR Little Endian, "" if it cannot be read."""
    found = _SOP_INSTANCE.search(dataset, 0, 4096)
    if found is None:
        return ""
    (length,) = struct.unpack("<H", found[1])
    return dataset[found.end() : found.end() + length].rstrip(b"\0").decode("ascii", "replace")
