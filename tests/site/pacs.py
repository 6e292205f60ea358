"""A PACS that does what a test wants, image by image. Its PDUs are read and written by hand."""

from __future__ import annotations

import contextlib
import enum
import socket
import struct
import threading
from collections import Counter
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
    RJ,
    Acceptor,
    Closed,
    Request,
    associate_ac,
    pdu,
)

STORED, NO_ROOM, FAILED, DUPLICATE, UNKNOWN = 0x0000, 0xA700, 0x0110, 0x0111, 0xC000


class Reaction(enum.Enum):
    """What it does with an image instead of answering."""

    ABORT = enum.auto()
    CLOSE = enum.auto()
    HANG = enum.auto()


@dataclass
class Association:
    """One association as it saw it. `contexts` maps ids to (SOP class, transfer syntax)."""

    calling: str
    contexts: dict[int, tuple[str, str]]
    images: list[str] = field(default_factory=list)


class Pacs:
    """Stores by default. `react` gives a status or a reaction for each image, `welcome` may reject associations.

    `stored` has what it acknowledged by UID: each dataset, in order. `seen` are UIDs in the order they came in whole.
    """

    def __init__(
        self,
        react: Callable[[Request], int | Reaction] = lambda _: STORED,
        *,
        welcome: Callable[[str], tuple[int, int, int] | None] = lambda _: None,
        refused: Callable[[str, str], bool] = lambda _sop_class, _syntax: False,
        comment: str = "",
    ) -> None:
        self._changes: dict[str, str] = {"comment": comment} if comment else {}
        self.react, self.welcome, self.refused = react, welcome, refused
        self.associations: list[Association] = []
        self.rejected = 0
        self.seen: list[str] = []
        self.stored: dict[str, list[bytes]] = {}
        self._lock = threading.Lock()
        self._going = threading.Event()
        self._going.set()
        self._closing = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def open(self) -> int:
        """How many connections are open now."""
        with self._lock:
            return len(self._open)

    @property
    def counts(self) -> Counter[str]:
        """How often each image was acknowledged."""
        with self._lock:
            return Counter({uid: len(data) for uid, data in self.stored.items()})

    def hold(self) -> None:
        """Answer no image until `go_on`."""
        self._going.clear()

    def go_on(self) -> None:
        self._going.set()

    def __enter__(self) -> Self:
        acceptor = threading.Thread(target=self._accept, daemon=True)
        self._threads.append(acceptor)
        acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._going.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(15)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(Closed, OSError):
            self._association(Acceptor(connection))
        with self._lock:
            self._open.discard(connection)

    def _association(self, peer: Acceptor) -> None:
        peer.connection.settimeout(60)
        kind, body = peer.read_pdu()
        if kind != ASSOCIATE_RQ:
            return
        association = read_request(body)
        rejection = self.welcome(association.calling)
        if rejection is not None:
            with self._lock:
                self.rejected += 1
            peer.send(pdu(RJ, bytes([0, *rejection])))
            peer.read_to_the_end()
            return
        with self._lock:
            self.associations.append(association)
        answers = {
            context: (3 if self.refused(*pair) else ACCEPTED, pair[1]) for context, pair in association.contexts.items()
        }
        peer.send(associate_ac(answers, 131072))
        while peer.connection.recv(1, socket.MSG_PEEK) == bytes([DATA]):
            try:
                request = peer.read_store()
            except AssertionError:
                return  # an A-ABORT in the middle of an image
            if not self._image(peer, association, request):
                return
        peer.read_pdu()
        peer.send(pdu(RELEASE_RP))
        peer.read_to_the_end()

    def _image(self, peer: Acceptor, association: Association, request: Request) -> bool:
        with self._lock:
            self.seen.append(request.sop_instance_uid)
            association.images.append(request.sop_instance_uid)
        if not self._going.wait(60) or self._closing:
            return False
        reaction = self.react(request)
        if reaction is Reaction.ABORT:
            peer.send(pdu(ABORT))
            return False
        if reaction is Reaction.CLOSE:
            return False
        if reaction is Reaction.HANG:
            peer.read_to_the_end()
            return False
        assert isinstance(reaction, int)
        if reaction in {STORED, 0xB000}:
            with self._lock:
                self.stored.setdefault(request.sop_instance_uid, []).append(request.data)
        peer.answer(request, reaction, **self._changes)
        return True


def read_request(body: bytes) -> Association:
    """Return what an A-ASSOCIATE-RQ says (PS3.8 §9.3.2)."""
    association = Association(body[20:36].decode().strip(), {})
    for kind, item in _items(body[68:]):
        if kind == 0x20:
            subs = dict(_items(item[4:]))
            association.contexts[item[0]] = (subs[0x30].decode().rstrip("\0"), subs[0x40].decode().rstrip("\0"))
    return association


def _items(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        kind, length = struct.unpack_from(">BxH", data)
        found.append((kind, data[4 : 4 + length]))
        data = data[4 + length :]
    return found
