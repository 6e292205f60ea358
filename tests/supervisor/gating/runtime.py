"""Processes as the box starts them, without any: they keep the contract of the link from within the event loop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from capacitord.api import messages as m
from capacitord.config.box import IsolationTable
from capacitord.errors import Problem
from capacitord.link import messages as link
from capacitord.link import probe
from capacitord.link.channel import Channel, LinkClosed
from capacitord.supervisor.launched import Launched
from capacitord.supervisor.launcher import Launcher
from tests.supervisor.fake_runtime import FakeRuntime, study
from tests.supervisor.gating.world import Manner, Scanner, Start, World

BEAT: Final = 5.0
SLOW: Final = 20.0
_OPTIONS: Final = dict.fromkeys(
    ("disk_full", "read_only", "failing", "undelivered", "held", "unrouted", "held_back", "refused"), 0
)
_PIDS = itertools.count(100_000)


class Ended(Launched):
    """How the supervisor holds on to what it started."""

    def __init__(self, held: SiteRuntime | Probe) -> None:
        self.pid = next(_PIDS)
        self.exposed = None
        self._held = held

    def kill(self) -> None:
        """See `Launched`."""
        self._held.end(-9)

    async def wait(self) -> int:
        """See `Launched`."""
        await self._held.ended.wait()
        return self._held.code


class Started(Launcher):
    """Starts runtimes, or the probe."""

    def __init__(self, world: World, what: type[SiteRuntime | Probe]) -> None:
        super().__init__((), IsolationTable())
        self._world = world
        self._what = what

    async def launch(self, *descriptors: int, options: Sequence[str] = (), writable: Path | None = None) -> Launched:
        """See `Launcher`."""
        del options, writable  # there is no command, and nothing is hidden
        return Ended(self._what(self._world, socket.socket(fileno=os.dup(descriptors[0]))))


class Probe:
    """The probe: it says what the scanners of this world say, as of the moment in which the last was reached."""

    def __init__(self, world: World, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.ended = asyncio.Event()
        self.code = 0
        self._world = world
        self._socket = sock
        self._channel: Channel[probe.FromProbe, probe.ToProbe] = Channel(sock, probe.ToProbe)
        self._surveys: dict[int, tuple[probe.Survey, int | None, dict[int, bool]]] = {}
        world.probes.append(self)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    def end(self, code: int) -> None:
        """End, as a process does."""
        if self.ended.is_set():
            return
        self._world.probes.remove(self)
        self._loop.remove_reader(self._socket)
        self._channel.close()
        for _, stream, _ in self._surveys.values():
            if stream is not None:
                os.close(stream)
        self.code = code
        self.ended.set()

    def _read(self) -> None:
        try:
            while not self.ended.is_set():
                self._take(*self._channel.receive())
        except BlockingIOError:
            pass
        except LinkClosed:
            self.end(0)

    def _take(self, message: probe.ToProbe, descriptor: int | None) -> None:
        if self._world.dies:
            if descriptor is not None:
                os.close(descriptor)
            self.end(1)
            return
        if isinstance(message, probe.Survey):
            self._world.surveys += 1
            self._surveys[message.request] = (message, descriptor, {})
        elif isinstance(message, probe.Reached):
            if descriptor is not None:
                os.close(descriptor)
            self._world.accept()
            survey, stream, reached = self._surveys[message.request]
            reached[message.scanner] = descriptor is not None
            if len(reached) == len(survey.scanners):
                self._answer(survey, stream, reached)

    def _answer(self, survey: probe.Survey, stream: int | None, reached: dict[int, bool]) -> None:
        scanners = [self._world.find(each) for each in survey.scanners]
        if any(each.manner is Manner.SILENT and reached[number] for number, each in enumerate(scanners)):
            return
        del self._surveys[survey.request]
        if stream is not None:
            os.write(stream, b"{}\n")
            os.close(stream)
        found = tuple(
            scanner.says(survey.limits)
            if reached[number]
            else Scanner(scanner.name, 0, manner=Manner.OFF).says(survey.limits)
            for number, scanner in enumerate(scanners)
        )
        if self._world.is_empty() and len(scanners) == len(self._world.scanners) and all(reached.values()):
            self._world.clean_at = self._loop.time()
        with contextlib.suppress(LinkClosed):
            self._channel.send(probe.Surveyed(survey.request, found))


class SiteRuntime(FakeRuntime):
    """A site's runtime. An image is a number: it is put into a file of the spool, and sent when there is a way."""

    def __init__(self, world: World, sock: socket.socket) -> None:
        sock.setblocking(False)
        super().__init__(Channel(sock, link.ToRuntime), argparse.Namespace(**_OPTIONS))
        self.ended = asyncio.Event()
        self.code = 0
        self.site = ""
        self._world = world
        self._socket = sock
        self._open: dict[socket.socket, bytes] = {}
        self._stopping = False
        self._timers: list[asyncio.TimerHandle] = []
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)
        world.runtimes.append(self)

    @property
    def listens(self) -> bool:
        """Whether a scanner gets through to this runtime: the kernel says so, whatever anybody here believes."""
        return any(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for each in self.listeners.values())

    def end(self, code: int) -> None:
        """End, as a process does."""
        if self.ended.is_set():
            return
        self._world.runtimes.remove(self)
        self._loop.remove_reader(self._socket)
        self.channel.close()
        self._close_ports()
        self._break_off()
        for timer in self._timers:
            timer.cancel()
        self.code = code
        self.ended.set()

    # --- what the supervisor says

    def _read(self) -> None:
        try:
            while not self.ended.is_set():
                self.take(*self.channel.receive())
        except BlockingIOError:
            pass
        except LinkClosed:
            self.end(0)

    def take(self, message: link.ToRuntime, descriptor: int | None) -> None:
        match message:
            case link.Start():
                self.start, self.site = message, message.profile.id
                self._begin()
            case link.Update():
                assert self.start is not None
                self.start = msgspec.structs.replace(self.start, profile=message.profile)
            case link.Listener():
                assert descriptor is not None
                self._listen(message.port, socket.socket(fileno=descriptor))
            case link.CloseListener():
                self._close_ports()
                self._after(message.grace, self._break_off)
            case link.Connected():
                self._connected(descriptor)
            case link.Call():
                assert descriptor is not None
                self._call(message, socket.socket(fileno=descriptor))
            case link.AskStatus():
                self.options.undelivered = len(self._images())
                self._say(link.StatusReport(message.request, msgspec.Raw(msgspec.json.encode(self.status()))))
            case link.Shutdown():
                self._close_ports()
                self._stopping = True
                if not self._world.stubborn:
                    self._after(message.grace, self._finish)
                    self._end_if_idle()

    def _begin(self) -> None:
        manner, self._world.start = self._world.start, Start.READY
        match manner:
            case Start.READY:
                self._ready()
            case Start.SLOW:
                self._after(SLOW, self._ready)
            case Start.FAILS:
                self._say(link.Failed(Problem("wrong-key", "the catalog is sealed under another key", hint="Ask.")))
                self.end(1)
            case Start.MUTE:
                pass

    def _ready(self) -> None:
        self._say(link.Ready(images=0, recovered=0, removed=0, corrupt=0, seconds=0.01))
        self._beat()

    def _beat(self) -> None:
        self._say(link.Heartbeat(busy=bool(self._open)))
        self._deliver()
        self._after(BEAT, self._beat)

    def _after(self, seconds: float, deed: object) -> None:
        assert callable(deed)
        self._timers.append(self._loop.call_later(seconds, deed))

    def _say(self, message: link.FromRuntime) -> None:
        with contextlib.suppress(LinkClosed):
            self.channel.send(message)

    def _finish(self) -> None:
        self.end(0)

    def _end_if_idle(self) -> None:
        if self._stopping and not self._open and not self._world.stubborn:
            self.end(0)

    def _call(self, call: link.Call, stream: socket.socket) -> None:
        body = json.loads(bytes(call.body))
        waiting = tuple(study(f"{number:010x}", "undelivered") for number in self._images())
        with stream:
            page = m.StudyList("fluxctl.study.list/1", waiting[: body.get("limit", 10)], len(waiting))
            self.whole(stream, page)

    # --- what scanners send

    def _listen(self, port: link.Port, listener: socket.socket) -> None:
        listener.setblocking(False)
        self.listeners[port] = listener
        self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            made, _ = listener.accept()
            made.setblocking(False)
            self._open[made] = b""
            self._loop.add_reader(made, self._hear, made)

    def _hear(self, association: socket.socket) -> None:
        try:
            data = association.recv(4096)
        except OSError:
            data = b""
        *lines, self._open[association] = (self._open[association] + data).split(b"\n")
        for line in lines:
            (self._spool / f"image-{int(line)}").touch()
            with contextlib.suppress(OSError):
                association.sendall(line + b"\n")
        if not data:
            self._leave(association)
            self._end_if_idle()

    def _close_ports(self) -> None:
        for listener in self.listeners.values():
            self._loop.remove_reader(listener)
            listener.close()
        self.listeners.clear()

    def _break_off(self) -> None:
        for association in list(self._open):
            self._leave(association)

    def _leave(self, association: socket.socket) -> None:
        self._loop.remove_reader(association)
        association.close()
        del self._open[association]

    # --- what goes to the PACS

    @property
    def _spool(self) -> Path:
        assert self.start is not None
        return Path(self.start.spool)

    def _images(self) -> list[int]:
        return sorted(int(each.name.removeprefix("image-")) for each in self._spool.glob("image-*"))

    def _deliver(self) -> None:
        if self._stopping or self.start is None:
            return
        names = ["pacs"] if self._images() else []
        if self._world.curious:
            names += [each.site for each in self._world.pacs.values() if each.site != self.site]
        for name in names:
            self.requests += 1
            self._say(link.Connect(self.requests, name))

    def _connected(self, descriptor: int | None) -> None:
        if descriptor is None:
            return
        with socket.socket(fileno=descriptor) as made:
            made.setblocking(True)
            made.settimeout(5)
            for number in self._images() or [0]:
                made.sendall(f"{self.site} {number}\n".encode())
                (self._spool / f"image-{number}").unlink(missing_ok=True)
