"""An association by hand: every byte that goes out is ours, in the order we say (PS3.8 §9.3, PS3.7 §9.3.1).

pynetdicom only encodes and decodes the two PDUs of the negotiation; nothing of it runs in the background.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import build_context

from tests.images import Image, uid

APPLICATION_CONTEXT = UID("1.2.840.10008.3.1.1.1")
LARGEST_PDU = 1 << 17

_ACCEPT, _DATA, _RELEASE_ANSWER = 2, 4, 6
_RELEASE = b"\x05\0\0\0\0\x04\0\0\0\0"
_ABORT = b"\x07\0\0\0\0\x04\0\0\0\0"
_COMMAND, _LAST = 1, 2


class Ended(Exception):
    """The peer rejected, aborted or closed the association, or stayed silent for too long."""


class Wire:
    """An association that was accepted; `contexts` are the accepted ones, (SOP class, transfer syntax) to id."""

    def __init__(
        self,
        host: str,
        port: int,
        proposed: Sequence[tuple[str, str]],
        *,
        called: str = "ANY-SCP",
        calling: str = "WIRE",
        within: float = 30.0,
    ) -> None:
        """Connect and negotiate at most 128 pairs of SOP class and transfer syntax. Raises `Ended`."""
        self.contexts: dict[tuple[str, str], int] = {}
        self.max_pdu = LARGEST_PDU
        try:
            self.socket = socket.create_connection((host, port), timeout=within)
        except OSError as error:
            raise Ended(str(error)) from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._negotiate(proposed, called, calling)
        except BaseException:
            self.socket.close()
            raise

    def store(self, image: Image, message_id: int = 1) -> int:
        """Send one C-STORE request with the bytes of the image's file and return the status of the answer."""
        self.send_store(image, message_id)
        return self.read_status()

    def send_store(self, image: Image, message_id: int = 1) -> None:
        """Send one C-STORE request without waiting for the answer. A dataset of odd length is padded (PS3.5 §A.5)."""
        context = self.contexts[image.sop_class_uid, image.transfer_syntax_uid]
        dataset = image.dataset()
        self.send_message(context, store_request(image, message_id), dataset + b"\0" * (len(dataset) % 2))

    def send_message(self, context: int, command: bytes, dataset: bytes = b"") -> None:
        """Send a command set, and a dataset if there is one, in as many P-DATA-TF PDUs as the peer's limit takes."""
        self.send_bytes(b"".join(fragments(context, command, _COMMAND, self.max_pdu)))
        if dataset:
            for pdu in fragments(context, dataset, 0, self.max_pdu):
                self.send_bytes(pdu)

    def send_bytes(self, data: bytes) -> None:
        """Send any bytes. Raises `Ended`."""
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Ended(str(error)) from None

    def read_status(self) -> int:
        """Read one response and return its status (0000,0900). Raises `Ended`."""
        command = b""
        while True:
            kind, body = self.read_pdu()
            if kind != _DATA:
                raise Ended(f"a PDU of type {kind} instead of an answer")
            while body:
                length, control = struct.unpack(">LxB", body[:6])
                if control & _COMMAND:
                    command += body[6 : 4 + length]
                body = body[4 + length :]
                if control == _COMMAND | _LAST:
                    return _status(command)

    def read_pdu(self) -> tuple[int, bytes]:
        """Read one PDU and return its type and what follows its header. Raises `Ended`."""
        kind, length = struct.unpack(">BxL", self._read(6))
        return kind, self._read(length)

    def release(self) -> None:
        """End the association in order. Raises `Ended` if the peer does not agree."""
        self.send_bytes(_RELEASE)
        kind, _ = self.read_pdu()
        self.socket.close()
        if kind != _RELEASE_ANSWER:
            raise Ended(f"a PDU of type {kind} instead of a release")

    def abort(self) -> None:
        """End the association at once, with an A-ABORT."""
        with contextlib.suppress(Ended):
            self.send_bytes(_ABORT)
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def _negotiate(self, proposed: Sequence[tuple[str, str]], called: str, calling: str) -> None:
        self.send_bytes(_associate_request(proposed, called, calling))
        kind, body = self.read_pdu()
        if kind != _ACCEPT:
            raise Ended(f"a PDU of type {kind} instead of an acceptance")
        accept = A_ASSOCIATE_AC()
        accept.decode(struct.pack(">BxL", kind, len(body)) + body)
        answer = accept.to_primitive()
        for result in answer.presentation_context_definition_results_list:
            if result.result == 0 and result.context_id is not None:
                self.contexts[proposed[result.context_id // 2]] = result.context_id
        if 0 < (limit := answer.maximum_length_received or 0) < LARGEST_PDU:
            self.max_pdu = limit

    def _read(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            try:
                piece = self.socket.recv(count - len(found))
            except OSError as error:
                raise Ended(str(error)) from None
            if not piece:
                msg = "the connection was closed"
                raise Ended(msg)
            found += piece
        return bytes(found)


def fragments(context: int, data: bytes, flags: int, max_pdu: int) -> Iterator[bytes]:
    """Yield P-DATA-TF PDUs of one PDV each (PS3.8 §9.3.5); `flags` is 1 for a command set, 0 for a dataset."""
    size = (max_pdu - 6) & ~1
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        control = flags | (_LAST if start + size >= len(data) else 0)
        yield struct.pack(">BxLLBB", _DATA, len(piece) + 6, len(piece) + 2, context, control) + piece


def store_request(image: Image, message_id: int) -> bytes:
    """Return the command set of a C-STORE request (PS3.7 §9.3.1.1), in Implicit VR Little Endian."""
    rest = b"".join(
        (
            _element(0x0002, _uid_value(image.sop_class_uid)),
            _element(0x0100, struct.pack("<H", 0x0001)),
            _element(0x0110, struct.pack("<H", message_id)),
            _element(0x0700, struct.pack("<H", 0)),
            _element(0x0800, struct.pack("<H", 1)),
            _element(0x1000, _uid_value(image.sop_instance_uid)),
        )
    )
    return _element(0x0000, struct.pack("<L", len(rest))) + rest


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def _uid_value(value: str) -> bytes:
    encoded = value.encode("ascii")
    return encoded + b"\0" * (len(encoded) % 2)


def _status(command: bytes) -> int:
    while command:
        number, length = struct.unpack("<2xHL", command[:8])
        if number == 0x0900:
            return int.from_bytes(command[8 : 8 + length], "little")
        command = command[8 + length :]
    msg = "an answer without a status"
    raise Ended(msg)


def _associate_request(proposed: Sequence[tuple[str, str]], called: str, calling: str) -> bytes:
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in proposed]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    limit = MaximumLengthNotification()
    limit.maximum_length_received = LARGEST_PDU
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID(uid("wire"))
    request = A_ASSOCIATE()
    request.application_context_name = APPLICATION_CONTEXT
    request.calling_ae_title, request.called_ae_title = calling, called
    request.presentation_context_definition_list = contexts
    request.user_information = [limit, implementation]
    encoded: bytes = A_ASSOCIATE_RQ(request).encode()
    return encoded
