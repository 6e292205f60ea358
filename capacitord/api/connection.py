"""One request and its answer over the control socket: HTTP/1.1, every failure explained."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, Self, TypeVar, cast

import msgspec

from capacitord import __version__
from capacitord.api import wire
from capacitord.api.messages import Refusal
from capacitord.api.routes import Route
from capacitord.api.unreachable import explain
from capacitord.errors import CapacitordError, PartlyDone, Unreachable, from_problem

MAX_LINE: Final = 1 << 24
MAX_REFUSAL: Final = 1 << 20
PIECE: Final = 1 << 16

T = TypeVar("T")


class _Connection(http.client.HTTPConnection):
    """HTTP/1.1 over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("capacitord", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            peer.settimeout(self.timeout)
            peer.connect(str(self.path))
        except BaseException:
            peer.close()
            raise
        self.sock = peer


class Exchange:
    """One request and its answer, which is a success or is raised. `timeout` in seconds bounds each silence."""

    def __init__(self, path: Path, wanted: Route, message: msgspec.Struct, timeout: float) -> None:
        self.path = path
        self._ahead = bytearray()
        self._hung_up = False
        self._connection = _Connection(path, timeout)
        try:
            self._ask(wanted, wire.encode(wanted, message))
            self._peer = self._connection.sock
            self._response = self._connection.getresponse()
            refused = self._response.status != http.HTTPStatus.OK
            body = self._response.read(MAX_REFUSAL) if refused else b""
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise _told(path, error) from None
        if refused:
            self.close()
            raise _refusal(self._response, body)

    def _ask(self, wanted: Route, target: wire.Target) -> None:
        headers = {"Accept": wanted.form.value, "User-Agent": f"fluxctl/{__version__}"}
        if target.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(target.method, target.target, body=target.body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            if self._connection.sock is None:
                raise
            # Refused before all of it was read: the answer says why.

    def read(self, size: int | None = None) -> bytes:
        """Return the next `size` bytes of the answer, fewer only at its end; None reads all."""
        try:
            return self._response.read() if size is None else self._response.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise _told(self.path, error) from None

    def line(self) -> bytes:
        """Return the next line of the answer, empty at its end or after `hang_up`."""
        while (end := self._ahead.find(b"\n") + 1) == 0 and len(self._ahead) < MAX_LINE:
            try:
                piece = self._response.read1(PIECE)
            except (OSError, http.client.HTTPException) as error:
                if self._hung_up:
                    return b""
                raise _told(self.path, error) from None
            if not piece:
                end = len(self._ahead)
                break
            self._ahead += piece
        line, self._ahead = self._ahead[:end], self._ahead[end:]
        return bytes(line)

    def hang_up(self) -> None:
        """End the conversation, from any thread; one that is reading comes to the end."""
        self._hung_up = True
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up and let go of everything."""
        self.hang_up()
        self._response.close()
        self._connection.close()


class _Stream:
    """Something read piece by piece, to be closed."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def hang_up(self) -> None:
        """End the conversation, from any thread; one that is reading comes to the end."""
        self._exchange.hang_up()

    def close(self) -> None:
        """Hang up and let go of everything; for the thread that reads."""
        self._exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Lines(_Stream, Generic[T]):
    """The lines of a stream, decoded one by one as they arrive."""

    def __init__(self, exchange: Exchange, kind: object) -> None:
        super().__init__(exchange)
        self._decoder = msgspec.json.Decoder(kind)

    def __iter__(self) -> Iterator[T]:
        """Yield each line. A refusal in the middle is raised as its own class."""
        while line := self._exchange.line():
            if not line.strip():
                continue
            try:
                yield cast(T, self._decoder.decode(line))
            except msgspec.DecodeError as error:
                raise _refusal_in(line) or mismatch(error) from None


class Tar(_Stream):
    """A tar archive as it arrives; `read` is what `tarfile` wants of a file."""

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, fewer only at the end. Raises `PartlyDone` if the archive breaks off."""
        return self._exchange.read(None if size < 0 else size)


def mismatch(error: msgspec.DecodeError) -> CapacitordError:
    """Return what to tell a person when the answer is not what this version knows."""
    return CapacitordError(
        f"fluxctl {__version__} does not understand the daemon's answer: {error}",
        hint="Compare versions with fluxctl version; restart capacitord after an upgrade.",
    )


def _told(path: Path, error: OSError | http.client.HTTPException) -> CapacitordError:
    if isinstance(error, OSError):  # RemoteDisconnected included
        return explain(path, error)
    if isinstance(error, http.client.IncompleteRead):
        return PartlyDone("the answer broke off in the middle", where=str(path), hint="Try again in a moment.")
    return Unreachable(
        "what answers here does not speak the protocol of capacitord",
        where=str(path),
        hint="Name its control socket with --socket or CAPACITORD_SOCKET.",
    )


def _refusal_in(body: bytes) -> CapacitordError | None:
    try:
        return from_problem(msgspec.json.decode(body, type=Refusal).error)
    except msgspec.DecodeError:
        return None


def _refusal(response: http.client.HTTPResponse, body: bytes) -> CapacitordError:
    return _refusal_in(body) or CapacitordError(
        f"the daemon answered HTTP {response.status} {response.reason} without saying why",
        hint="See what it says: journalctl -u capacitord -n 50.",
    )
