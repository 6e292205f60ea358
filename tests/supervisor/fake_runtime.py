"""A small runtime that keeps the contract of the link: it accepts, answers and asks, and stores nothing.

Its behaviour is chosen by arguments, so that a test can have one that is slow, silent or broken.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from capacitord.api import messages as m
from capacitord.errors import Problem
from capacitord.link import messages as link
from capacitord.link.channel import Channel, LinkClosed
from capacitord.model.profile import Profile
from capacitord.model.states import DeliveryState, StudyState

HEARTBEAT = 0.2
NAMES = dict.fromkeys(("abc", "a", "abc1234567", "ACC-4711", "1.2.3.4"), "abc1234567")
ENTRIES = dict.fromkeys(("5be10c77", "5be1", "ACC-4711"), "5be10c77")
"""The short ids of studies by what they are called."""


class FakeRuntime:
    """One run. `state` is what it was told."""

    def __init__(self, channel: Channel[link.FromRuntime, link.ToRuntime], options: argparse.Namespace) -> None:
        self.channel = channel
        self.options = options
        self.start: link.Start | None = None
        self.listeners: dict[link.Port, socket.socket] = {}
        self.accepted: list[socket.socket] = []
        self.requests = 0
        self.waiting: dict[int, socket.socket] = {}

    def run(self) -> None:
        last_beat = 0.0
        while True:
            now = time.monotonic()
            if self.start is not None and not self.options.silent and now - last_beat > HEARTBEAT:
                self.channel.send(self.beat())
                last_beat = now
            watched = [self.channel.fileno()]
            watched += [listener.fileno() for listener in self.listeners.values()]
            ready, _, _ = select.select(watched, [], [], HEARTBEAT / 2)
            if self.channel.fileno() in ready:
                self.take(*self.channel.receive())
            for port, listener in self.listeners.items():
                if listener.fileno() in ready:
                    self.accept(port, listener)

    def accept(self, port: link.Port, listener: socket.socket) -> None:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        peer.sendall(f"fake runtime, {port}\n".encode())
        self.accepted.append(peer)

    def beat(self) -> link.Heartbeat:
        trouble = Problem("storage-failed", "The disk has become read-only.", hint="Look at it.")
        failing = Problem("upkeep-failing", "It could not purge.", hint="Look into the log.")
        return link.Heartbeat(
            busy=bool(self.accepted),
            trouble=trouble if self.options.read_only else None,
            failing=failing if self.options.failing else None,
        )

    def take(self, message: link.ToRuntime, descriptor: int | None) -> None:
        match message:
            case link.Start():
                self.begin(message)
            case link.Update():
                self.update(message.profile)
            case link.Listener() | link.CloseListener():
                self.listen(message.port, descriptor)
            case link.Connected():
                self.connected(message, descriptor)
            case link.Written():
                self.done.unlink(missing_ok=True)
                for deed in message.deeds:
                    print("written:", deed, file=sys.stderr, flush=True)
            case link.Call():
                assert descriptor is not None
                threading.Thread(
                    target=self.answer, args=(message, socket.socket(fileno=descriptor)), daemon=self.options.hangs
                ).start()
            case link.AskStatus() if not self.options.no_status:
                self.fill()
                self.channel.send(link.StatusReport(message.request, msgspec.Raw(msgspec.json.encode(self.status()))))
            case link.Shutdown() if not self.options.stubborn:
                os._exit(0)

    @property
    def done(self) -> Path:
        """The file with the id of what was done and not answered."""
        assert self.start is not None
        return Path(self.start.spool) / "done"

    def fill(self) -> None:
        """Write into the spool, as somebody would who wants to harm the others."""
        assert self.start is not None
        if self.start.profile.id == self.options.fills:
            with (Path(self.start.spool) / f"{time.monotonic_ns()}").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, 64 << 20)

    def begin(self, message: link.Start) -> None:
        self.start = message
        if self.options.fails:
            self.channel.send(link.Failed(Problem("wrong-key", "the catalog is sealed under another key", hint="Ask.")))
            os._exit(1)
        if self.options.dies:
            os._exit(3)
        if self.options.never_ready:
            return
        if self.options.garbage:
            os.write(self.channel.fileno(), b'{"kind":"ready"')
            time.sleep(60)
        if self.options.gift:
            with Path(os.devnull).open() as gift:
                self.channel.send(link.Heartbeat(busy=False), gift.fileno())
            time.sleep(60)
        self.channel.send(link.Ready(images=0, recovered=0, removed=0, corrupt=0, seconds=0.01, report=("all well",)))
        if self.done.exists():
            words = "delivered -> discarded, 3 images are gone"
            self.channel.send(
                link.Deed(self.done.read_text(), datetime.now(UTC), "study.discard", ("abc1234567",), words)
            )
        for number in range(self.options.deeds):
            subjects = (f"{number:010x}",)
            self.channel.send(
                link.Deed(f"{number:032x}", datetime.now(UTC), "study.rematch", subjects, "held -> matched")
            )

    def update(self, profile: Profile) -> None:
        assert self.start is not None
        self.start = msgspec.structs.replace(self.start, profile=profile)
        self.note("updated", f"version {profile.version}")

    def listen(self, port: link.Port, descriptor: int | None) -> None:
        before = self.listeners.pop(port, None)
        if before is not None:
            before.close()
        if descriptor is not None:
            self.listeners[port] = socket.socket(fileno=descriptor)

    def note(self, reference: str, message: str) -> None:
        self.channel.send(link.Note(datetime.now(UTC), reference, message))

    def connect(self, destination: str) -> link.Connected:
        """Ask the broker; called from the thread of a call."""
        self.requests += 1
        number = self.requests
        arrived = threading.Event()
        self.pending = {number: arrived}
        self.channel.send(link.Connect(number, destination))
        assert arrived.wait(30)
        return self.answered

    def connected(self, message: link.Connected, descriptor: int | None) -> None:
        if descriptor is not None:
            with socket.socket(fileno=descriptor) as made:
                made.settimeout(5)
                made.sendall(b"hello")
        self.answered = message
        self.pending[message.request].set()

    def answer(self, call: link.Call, stream: socket.socket) -> None:
        """Answer a call: some routes have a meaning of the tests' own."""
        body = json.loads(bytes(call.body))
        with stream:
            match call.route:
                case "destination.echo":
                    self.whole(stream, self.echo(body["destination"]))
                case "destination.list":
                    self.whole(stream, m.DestinationList("fluxctl.destination.list/1", self.status().destinations))
                case "study.list":
                    self.studies(stream, m.StudyQuery(**body))
                case "queue.list":
                    self.whole(stream, m.QueueList("fluxctl.queue.list/1", (), ()))
                case "doctor.verify":
                    self.verify(stream)
                case "study.export":
                    self.export(stream)
                case "study.name" | "worklist.name":
                    self.name(stream, body)
                case "queue.flush" | "queue.pause" | "queue.resume" as route:
                    self.whole(stream, m.Done(f"{route} by {call.user}"), ("abc123",))
                case _:
                    self.misbehave(call.deed or "")
                    self.refuse(stream, "no such study")

    def name(self, stream: socket.socket, body: dict[str, str]) -> None:
        names, wanted = (ENTRIES, body["entry"]) if "entry" in body else (NAMES, body["study"])
        if wanted in names:
            self.whole(stream, m.Done("", (names[wanted],)), (names[wanted],))
        else:
            self.refuse(stream, "no such study or entry")

    def refuse(self, stream: socket.socket, words: str) -> None:
        self.whole(stream, m.Refusal("fluxctl.error/1", Problem("not-found", words, exit_code=5)), (), 404)

    def misbehave(self, deed: str) -> None:
        if self.options.dies_in_discard:
            self.done.write_text(deed)
            os._exit(9)
        if self.options.lingers:
            self.channel.close()
        if self.options.lingers or self.options.hangs:
            time.sleep(20)

    def echo(self, destination: str) -> m.Echo:
        made = self.connect(destination)
        return m.Echo(
            schema="fluxctl.destination.echo/1",
            destination=destination,
            ok=made.failure is None,
            reason="" if made.failure is None else made.failure.reason,
            hint="",
            connect_time=made.seconds,
            associate_time=None,
            echo_time=None,
        )

    def studies(self, stream: socket.socket, query: m.StudyQuery) -> None:
        """Answer with the ids that lie in the spool's folder in the tests' files, named as what they wait for."""
        assert self.start is not None
        if self.options.endless:
            self.head(stream, 200, "application/json")
            while True:
                stream.sendall(bytes(1 << 16))
        found = []
        for kind in ("held", "unrouted", "conflicts", "undelivered"):
            file = Path(self.start.spool) / kind
            found += [study(id_, kind) for id_ in (file.read_text().split() if file.exists() else [])]
        self.whole(stream, m.StudyList("fluxctl.study.list/1", tuple(found[: query.limit]), len(found)))

    def verify(self, stream: socket.socket) -> None:
        self.head(stream, 200, "application/x-ndjson")
        for number in range(3):
            stream.sendall(msgspec.json.encode(m.VerifyProgress(number, 3, 0)) + b"\n")
        report = m.VerifyReport("fluxctl.doctor.verify/1", 3, 0, 0, "all well")
        stream.sendall(msgspec.json.encode(report) + b"\n")

    def export(self, stream: socket.socket) -> None:
        self.head(stream, 200, "application/x-tar")
        for _ in range(self.options.export_pieces):
            stream.sendall(bytes(1 << 16))
        if self.options.dies_in_export:
            os._exit(9)

    def whole(
        self, stream: socket.socket, answer: msgspec.Struct, subjects: tuple[str, ...] = (), status: int = 200
    ) -> None:
        body = msgspec.json.encode(answer)
        refusal = answer.error.reference if isinstance(answer, m.Refusal) else ""
        self.head(stream, status, "application/json", subjects, len(body), refusal)
        stream.sendall(body)

    def head(self, stream: socket.socket, status: int, form: str, *rest: Any) -> None:
        stream.sendall(msgspec.json.encode(link.CallHead(status, form, *rest)) + b"\n")

    def status(self) -> m.SiteStatus:
        assert self.start is not None
        level = m.Level.FAILURE if self.options.disk_full else m.Level.OK
        file = Path(self.start.spool) / "undelivered"
        undelivered = self.options.undelivered + (len(file.read_text().split()) if file.exists() else 0)
        return m.SiteStatus(
            incoming=(),
            images_received=0,
            bytes_received=0,
            last_image=None,
            spool=m.SpoolStatus(
                *(0, 0, 0, undelivered, 0, 0, 0, self.options.held, self.options.unrouted),
                held_back_images=self.options.held_back,
                refused_images=self.options.refused,
            ),
            disk=m.Disk(1 << 40, 1 << 39, self.start.limits.reserve, self.start.limits.warning, level),
            destinations=tuple(
                m.DestinationStatus(
                    name=d.name,
                    ae_title=d.ae_title,
                    host=d.host,
                    port=d.port,
                    circuit=m.CircuitState.CLOSED,
                    paused=False,
                    reason="",
                    next_try=None,
                    last_success=None,
                    waiting_images=self.options.undelivered,
                    waiting_bytes=0,
                    waiting_studies=0,
                    oldest=None,
                    doubtful_images=0,
                    refused_images=self.options.refused,
                    delivered_images=0,
                    rate=0.0,
                    eta=None,
                )
                for d in self.start.profile.destinations
            ),
            advice=(),
        )


def study(id_: str, kind: str) -> m.Study:
    now = datetime.now(UTC)
    text = dict.fromkeys(("study_uid", "patient_name", "patient_id", "birth_date", "sex", "accession_number"), "DOE^J")
    text |= dict.fromkeys(("study_date", "study_time", "description", "reason"), "")
    counts = dict.fromkeys(("images", "bytes", "corrupt", "purged"), 1)
    counts |= {each: int(each == kind) for each in ("conflicts", "held", "unrouted")}
    times = {"first_received": now, "last_received": now}
    owed = m.StudyDelivery("pacs", DeliveryState.QUEUED, "", 1, int(kind != "undelivered"), 0, 0, 0, None, None)
    fields: dict[str, Any] = {**text, **counts, **times}
    return m.Study(id=id_, modalities=("CT",), state=StudyState.COMPLETE, deliveries=(owed,), **fields)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--link-fd", type=int, required=True)
    parser.add_argument("--fills", default="")
    parser.add_argument("--export-pieces", type=int, default=4)
    for name in ("undelivered", "held", "unrouted", "refused", "held-back", "deeds"):
        parser.add_argument(f"--{name}", type=int, default=0)
    for name in ("silent", "no-status", "fails", "dies", "never-ready", "stubborn", "disk-full", "garbage", "gift"):
        parser.add_argument(f"--{name}", action="store_true")
    for name in ("dies-in-export", "dies-in-discard", "lingers", "hangs", "read-only", "failing", "endless"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock = socket.socket(fileno=options.link_fd)
    try:
        FakeRuntime(Channel(sock, link.ToRuntime), options).run()
    except (LinkClosed, OSError, ValueError):
        sys.exit(0)


if __name__ == "__main__":
    main()
