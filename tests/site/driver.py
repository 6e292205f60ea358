"""The supervisor's end of the link to a real runtime: it starts it, connects for it, and asks it things."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from capacitord.api import messages as m
from capacitord.api.routes import route
from capacitord.errors import from_problem
from capacitord.link import messages as link
from capacitord.link.channel import Channel, LinkClosed, pair
from capacitord.model.attribute import Attribute
from capacitord.model.completeness import BY_QUIET, Completeness
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.profile import Matching, Profile, Worklist
from capacitord.model.routes import Route
from tests.site.stock import KEY
from tests.wait import wait_for

SITE = "st-marys"
AE_TITLE = "FLUXBOX"
PATIENCE = 30.0
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Answer:
    """An answer to a call: its head, and as much of its body as came."""

    def __init__(self, head: link.CallHead, body: bytes) -> None:
        self.head, self.body = head, body

    @property
    def whole(self) -> bool:
        """Whether as much came as the head had promised."""
        return self.head.length is None or len(self.body) == self.head.length


class Supervisor:
    """Runs one runtime as a context manager; its process is gone on exit.

    `before` is put in front of the command. `ports` are the destinations' by name; one that is missing refuses.
    """

    def __init__(self, folder: Path, *, log_level: str = "debug", before: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.spool = folder, folder / "spool"
        self.ports: dict[str, int] = {}
        self.received: list[link.FromRuntime] = []
        self.connects: list[str] = []
        self.ended = threading.Event()
        self._requests = 0
        self._command = [*before, sys.executable, "-m", "capacitord.site", "--log-level", log_level]

    # --- its life

    def __enter__(self) -> Self:
        ours, theirs = pair()
        with (self.folder / "runtime.log").open("ab") as sink, theirs:
            self.process = subprocess.Popen(
                [*self._command, "--link-fd", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        self.socket = ours
        self.channel: Channel[link.ToRuntime, link.FromRuntime] = Channel(ours, link.FromRuntime)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        self.channel.close()

    @property
    def log(self) -> str:
        return (self.folder / "runtime.log").read_text(errors="replace")

    def close_link(self) -> None:
        """Go away, as a supervisor does that is killed."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def wait(self, within: float = PATIENCE) -> int:
        """Return the exit code; fails if it has not ended in time."""
        return self.process.wait(within)

    def descriptors(self) -> int:
        """Return how many descriptors the runtime has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 - the count is all that is wanted

    # --- what it says

    def _read(self) -> None:
        while True:
            try:
                message, descriptor = self.channel.receive()
            except (LinkClosed, OSError):
                self.ended.set()
                return
            assert descriptor is None
            self.received.append(message)
            if isinstance(message, link.Connect):
                self.connects.append(message.destination or message.peer)
                threading.Thread(target=self._connect, args=(message,), daemon=True).start()

    def _connect(self, wanted: link.Connect) -> None:
        port = self.ports.get(wanted.destination or wanted.peer, 1)
        with contextlib.suppress(LinkClosed):
            try:
                made = socket.create_connection(("127.0.0.1", port), timeout=10)
            except OSError:
                failure = Outcome(Verdict.LATER, "Nothing listens there.")
                self.channel.send(link.Connected(wanted.request, 0.0, failure))
                return
            with made:
                made.setblocking(False)
                self.channel.send(link.Connected(wanted.request, 0.0), made.fileno())

    def of(self, kind: type[_Struct]) -> list[_Struct]:
        """Return the messages of one kind so far."""
        return [message for message in list(self.received) if isinstance(message, kind)]

    def wait_for(self, kind: type[_Struct], count: int = 1) -> _Struct:
        """Return the last of at least so many messages of one kind."""
        return wait_for(
            lambda: found if len(found := self.of(kind)) >= count else None,
            within=PATIENCE,
            what=f"{kind.__name__}; the runtime said:\n{self.log[-3000:]}",
        )[-1]

    # --- what it is told

    def start(self, *destinations: Destination, **settings: Any) -> link.Ready:
        """Have it serve the site, and wait until it is ready."""
        self.tell_start(*destinations, **settings)
        return self.wait_for(link.Ready)

    def tell_start(
        self,
        *destinations: Destination,
        key: bytes = KEY.secret,
        keep_delivered: float = 86400.0,
        storage: link.Storage | None = None,
        limits: link.SpoolSettings | None = None,
        routes: Sequence[Route] = (),
        order: Sequence[Attribute | None] = (None,),
        completeness: Completeness = BY_QUIET,
        worklist: Worklist | None = None,
        matching: Matching | None = None,
        delivers_only: bool = False,
    ) -> None:
        plain = profile(destinations, 1, keep_delivered, routes, order, completeness, worklist=worklist)
        self._profile = msgspec.structs.replace(plain, matching=matching)
        self.ports.update({each.name: each.port for each in destinations})
        self.channel.send(
            link.Start(
                self._profile,
                str(self.spool),
                key,
                storage or link.Storage(AE_TITLE),
                limits or link.SpoolSettings(reserve=0, warning=0),
                delivers_only=delivers_only,
            )
        )

    def update(
        self,
        *destinations: Destination,
        routes: Sequence[Route] = (),
        order: Sequence[Attribute | None] = (None,),
        worklist: Worklist | None = None,
    ) -> None:
        version = self._profile.version + 1
        self._profile = profile(destinations, version, self._profile.keep_delivered, routes, order, worklist=worklist)
        self.ports.update({each.name: each.port for each in destinations})
        self.channel.send(link.Update(self._profile))

    def listen(self, port_: link.Port = link.Port.STORAGE) -> int:
        """Open a port and return its number."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.channel.send(link.Listener(port_), listener.fileno())
            port: int = listener.getsockname()[1]
            return port

    def call(
        self, name: str, request: msgspec.Struct | None = None, *, body: bytes | None = None, deed: str | None = None
    ) -> Answer:
        """Make a call and return its answer."""
        with self.open_call(name, request, body=body, deed=deed) as stream, stream.makefile("rb") as reader:
            head = msgspec.json.decode(reader.readline(), type=link.CallHead)
            return Answer(head, reader.read())

    def open_call(
        self,
        name: str,
        request: msgspec.Struct | None = None,
        *,
        body: bytes | None = None,
        within: float = PATIENCE,
        deed: str | None = None,
    ) -> socket.socket:
        """Make a call that is to be begun within so many seconds; return the socket on which its answer comes.

        `deed` is the id by which the audit log would have it begun.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            encoded = body if body is not None else msgspec.json.encode(request or m.Empty())
            self.channel.send(
                link.Call(name, msgspec.Raw(encoded), 0, "root", time.monotonic() + within, deed), theirs.fileno()
            )
        ours.settimeout(PATIENCE)
        return ours

    def ask(self, name: str, request: msgspec.Struct | None = None) -> Any:
        """Make a call and return the decoded answer; raises the refusal if it is one."""
        answer = self.call(name, request)
        assert answer.whole
        if answer.head.status != 200:
            raise from_problem(msgspec.json.decode(answer.body, type=m.Refusal).error)
        return msgspec.json.decode(answer.body, type=route(name).response)

    def status(self) -> m.SiteStatus:
        self._requests += 1
        number = self._requests
        self.channel.send(link.AskStatus(number))
        report = wait_for(
            lambda: next((each for each in self.of(link.StatusReport) if each.request == number), None),
            within=PATIENCE,
            what="the status",
        )
        return msgspec.json.decode(bytes(report.status), type=m.SiteStatus)

    def destination(self, name: str = "pacs") -> m.DestinationStatus:
        return next(each for each in self.status().destinations if each.name == name)

    def wait_until_delivered(self, name: str = "pacs", count: int = 1) -> m.DestinationStatus:
        """Wait until a destination has got so many images, and nothing waits for it."""

        def delivered() -> m.DestinationStatus | None:
            status = self.destination(name)
            return status if status.waiting_images == 0 and status.delivered_images >= count else None

        return wait_for(delivered, within=PATIENCE, what=f"{count} images to be delivered to {name}")


def profile(  # noqa: PLR0917 - as tests name what they change
    destinations: Iterable[Destination],
    version: int,
    keep_delivered: float = 86400.0,
    routes: Sequence[Route] = (),
    order: Sequence[Attribute | None] = (None,),
    completeness: Completeness = BY_QUIET,
    *,
    worklist: Worklist | None = None,
) -> Profile:
    """Return a version of the profile; without routes everything goes to all destinations."""
    chosen = tuple(destinations)
    to_all = Route(tuple(destination.name for destination in chosen))
    return Profile(
        SITE,
        "St. Mary's Hospital",
        version,
        "UTC",
        chosen,
        routes=tuple(routes) or (to_all,),
        order=tuple(order),
        keep_delivered=keep_delivered,
        worklist=worklist,
        completeness=completeness,
    )
