"""What is around a box: scanners with patients on them, a PACS at each site, and the processes that the box starts.

All of it stays when the box is killed, but for the processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from capacitord.link.probe import Limits
from capacitord.link.probe import Scanner as Asked
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.preflight import Checked

if TYPE_CHECKING:
    from tests.supervisor.gating.runtime import Probe, SiteRuntime

SITES: Final = ("lakeside", "st-marys", "valley")
SCANNERS: Final = ("CT_1", "MR_2")
_SCANNER_PORT: Final = 10401
_PACS_PORT: Final = 10501
STORAGE_PORT: Final = 10601
"""The port on which the box listens, where it is a fixed one."""


def own_address() -> str:
    """Return an address of this machine that no other process of these tests uses, so that its ports are ours."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16) % 64}.{pid >> 8 & 255}.{pid & 255 or 1}"


HOST: Final = own_address()


class Manner(enum.Enum):
    """How a scanner answers."""

    HONEST = "says who is on it"
    OFF = "cannot be reached"
    REFUSES = "refuses the association"
    FAILS = "answers with an error after some answers"
    GARBAGE = "answers with garbage"
    ENDLESS = "answers forever"
    SILENT = "does not answer"


@dataclass
class Scanner:
    """A scanner, with how many patients are on it."""

    name: str
    port: int
    patients: int = 0
    manner: Manner = Manner.HONEST

    def says(self, limits: Limits) -> Checked:
        """Return what the probe makes of its answer."""
        later = Outcome(Verdict.LATER, f"{self.name} could not be asked.")
        match self.manner:
            case Manner.HONEST:
                done = Outcome(Verdict.DONE, "It answered.", status=0)
                return Checked(self.name, done, self.patients, self.patients)
            case Manner.FAILS:
                return Checked(self.name, Outcome(Verdict.LATER, "It failed.", status=0xC001), at_least=True)
            case Manner.ENDLESS:
                return Checked(self.name, later, limits.answers, limits.answers, at_least=True)
            case _:
                return Checked(self.name, later)


@dataclass
class Association:
    """A scanner's connection to the storage port. `site` is the one that was open when it began."""

    site: str
    socket: socket.socket

    def send(self, image: int) -> bool:
        """Send an image; return whether anybody is there to take it."""
        try:
            self.socket.sendall(f"{image}\n".encode())
        except OSError:
            return False
        return True

    def acknowledged(self) -> list[int]:
        """Return the images that the box said it has, since the last time that was asked."""
        said = b""
        with contextlib.suppress(OSError):
            while piece := self.socket.recv(4096):
                said += piece
        return [int(line) for line in said.split(b"\n") if line]


class Pacs:
    """A PACS of a site. `taken` is everything that came: which runtime said it was, and which image it sent."""

    def __init__(self, site: str, port: int) -> None:
        self.site = site
        self.port = port
        self.taken: list[tuple[str, int]] = []
        self._listener: socket.socket | None = None
        self._open: dict[socket.socket, bytes] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.switch(on=True)

    def switch(self, *, on: bool) -> None:
        """Be reachable, or not."""
        if on and self._listener is None:
            self._listener = listening(self.port)
            self._watch(self._listener)
        elif not on and self._listener is not None:
            self._forget(self._listener)
            self._listener = None

    def join(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Take in what has come, and from now on what comes while that loop runs; with none, break everything off."""
        self.look()
        if loop is None:
            for connection in list(self._open):
                self._forget(connection)
                del self._open[connection]
        if self._loop is not None and self._listener is not None:
            self._loop.remove_reader(self._listener)
        self._loop = loop
        if self._listener is not None:
            self._watch(self._listener)

    def look(self) -> None:
        """Take in what has come."""
        if self._listener is not None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    made, _ = self._listener.accept()
                    made.setblocking(False)
                    self._open[made] = b""
                    self._watch(made)
        for connection in list(self._open):
            self._read(connection)

    def _read(self, connection: socket.socket) -> None:
        data: bytes | None = None
        with contextlib.suppress(BlockingIOError):
            try:
                while data := connection.recv(1 << 16):
                    self._open[connection] += data
            except ConnectionError:
                data = b""
        *lines, self._open[connection] = self._open[connection].split(b"\n")
        for line in lines:
            sender, _, image = line.decode().partition(" ")
            self.taken.append((sender, int(image)))
        if data == b"":
            self._forget(connection)
            del self._open[connection]

    def _watch(self, sock: socket.socket) -> None:
        if self._loop is not None:
            self._loop.add_reader(sock, self.look)

    def _forget(self, sock: socket.socket) -> None:
        if self._loop is not None:
            self._loop.remove_reader(sock)
        sock.close()

    def close(self) -> None:
        """End it."""
        self.join(None)
        self.switch(on=False)


class Start(enum.Enum):
    """What the next runtime does when it is started."""

    READY = "it is ready at once"
    SLOW = "it is ready after a while"
    FAILS = "it fails"
    MUTE = "it never becomes ready"


@dataclass
class World:
    """All of it."""

    scanners: dict[str, Scanner] = field(default_factory=dict)
    pacs: dict[tuple[str, int], Pacs] = field(default_factory=dict)
    """By site and by which of its two: a profile's versions name them in turn."""
    associations: list[Association] = field(default_factory=list)
    runtimes: list[SiteRuntime] = field(default_factory=list)
    """The runtimes that run."""
    probes: list[Probe] = field(default_factory=list)
    place: str = ""
    """Where the GPS is: a site, "elsewhere", or nothing."""
    network: str = ""
    """Whose Wi-Fi the box is in, likewise."""
    start: Start = Start.READY
    stubborn: bool = False
    """Whether runtimes do not end when they are asked to."""
    curious: bool = False
    """Whether runtimes ask for destinations that only another site's profile names."""
    dies: bool = False
    """Whether the probe ends when it is asked."""
    surveys: int = 0
    """How often scanners were asked."""
    clean_at: float = float("-inf")
    """When all scanners last said that no patient was on them, and that was so."""

    _listeners: dict[str, socket.socket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, name in enumerate(SCANNERS):
            self.scanners[name] = Scanner(name, _SCANNER_PORT + number)
            self._listeners[name] = listening(self.scanners[name].port)
        for number, site in enumerate(SITES):
            for turn in (0, 1):
                self.pacs[site, turn] = Pacs(site, pacs_port(number, turn))

    def is_empty(self) -> bool:
        """Tell whether every scanner has no patient and would say so."""
        return all(each.manner is Manner.HONEST and not each.patients for each in self.scanners.values())

    def behave(self, name: str, manner: Manner) -> None:
        """Have a scanner answer in another manner."""
        scanner = self.scanners[name]
        scanner.manner = manner
        here = self._listeners.pop(name, None)
        if manner is Manner.OFF:
            if here is not None:
                here.close()
        else:
            self._listeners[name] = here or listening(scanner.port)

    def find(self, asked: Asked) -> Scanner:
        """Return the scanner that is meant."""
        return next(each for each in self.scanners.values() if each.port == asked.port)

    def accept(self) -> None:
        """Take the connections that were made to scanners; nothing is said on them in these tests."""
        for listener in self._listeners.values():
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()

    def join(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Live with another life of the box, or with none."""
        for pacs in self.pacs.values():
            pacs.join(loop)

    def delivered(self) -> Iterator[tuple[str, str, int]]:
        """Yield each image that came to a PACS: whose that is, which runtime sent it, and which it is."""
        for pacs in self.pacs.values():
            yield from ((pacs.site, sender, image) for sender, image in pacs.taken)

    def close(self) -> None:
        """End it."""
        for association in self.associations:
            association.socket.close()
        for pacs in self.pacs.values():
            pacs.close()
        for listener in self._listeners.values():
            listener.close()


def pacs_port(number: int, turn: int) -> int:
    """Return the port of a site's PACS."""
    return _PACS_PORT + 2 * number + turn


def listening(port: int) -> socket.socket:
    """Return a socket that listens on one of our own ports."""
    listener = socket.create_server((HOST, port))
    listener.setblocking(False)
    return listener
