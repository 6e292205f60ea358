"""A daemon that answers every route of the contract over a real Unix socket, from samples instead of a box."""

from __future__ import annotations

import http.server
import io
import re
import socketserver
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from capacitord.api import messages as m
from capacitord.api import schemas, wire
from capacitord.api.routes import ROUTES, Form, Route
from capacitord.errors import Ambiguous, CapacitordError, NotFound
from tests.fluxctl import (
    departure_samples,
    geofence_samples,
    held_samples,
    location_samples,
    picture_samples,
    preflight_samples,
    samples,
    trial_samples,
)
from tests.fluxctl import worklist_samples as w

STATUS = {3: 503, 4: 403, 5: 404, 6: 409, 7: 422, 75: 503}
Answer = Callable[[Any], Any]


def resolve(reference: str) -> m.Study:
    """Return the sample study that a reference names."""
    found = [
        study
        for study in samples.STUDIES.studies
        if study.id.startswith(reference) or reference in {study.study_uid, study.accession_number}
    ]
    if not found:
        raise NotFound("there is no such study", where=reference, hint="See: fluxctl study list")
    if len(found) > 1:
        raise Ambiguous(
            "this names several studies",
            where=reference,
            hint="Give more of the short id.",
            candidates=tuple(study.id for study in found),
        )
    return found[0]


def detail(reference: str) -> m.StudyDetail:
    """Return a sample study with its images."""
    study = resolve(reference)
    images = samples.DETAIL.images if study == samples.BREAST else ()
    return m.StudyDetail(schema="fluxctl.study.show/1", study=study, images=images)


def known(destination: str) -> m.DestinationRef:
    """Return a destination's name if the site has it."""
    if destination not in {m.ALL, "pacs", "backup"}:
        raise NotFound("there is no such destination", where=destination, hint="See: fluxctl destination list")
    return m.DestinationRef(destination)


def archive(files: dict[str, bytes]) -> bytes:
    """Return a tar archive of these files."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as opened:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
    return held.getvalue()


EXPORTED = {f"{number:04}.dcm": b"DICM" * 1000 * number for number in range(1, 6)}


def page_of(query: m.StudyQuery) -> m.StudyList:
    """Return a page of the sample studies."""
    fitting = [
        study
        for study in samples.STUDIES.studies
        if (query.state is None or study.state is query.state)
        and (not query.undelivered or any(d.acknowledged < d.images for d in study.deliveries))
    ]
    start = int(query.after or 0)
    end = start + query.limit
    return m.StudyList(
        schema="fluxctl.study.list/1",
        studies=tuple(fitting[start:end]),
        total=len(fitting),
        next=str(end) if end < len(fitting) else "",
    )


def done(words: str) -> Answer:
    """Return an answer that says what was done to the destination of a request."""
    return lambda request: m.Done(message=f"{known(request.destination).destination} {words}")


ANSWERS: dict[str, Answer] = {
    "audit.show": lambda request: samples.changed(samples.AUDIT, entries=samples.AUDIT.entries[-request.limit :]),
    "audit.verify": lambda _: samples.AUDIT_OK,
    "destination.echo": lambda request: (
        samples.ECHO if known(request.destination).destination == "pacs" else samples.NO_ECHO
    ),
    "destination.list": lambda _: samples.DESTINATIONS,
    "doctor.check": lambda _: samples.DOCTOR,
    "doctor.verify": lambda _: samples.VERIFY,
    "events": lambda _: samples.EVENTS,
    "geofence.list": lambda _: geofence_samples.AREAS,
    "held.discard": lambda request: m.Done(message=f"Study {request.study} is discarded."),
    "held.list": lambda _: held_samples.LIST,
    "held.release": lambda request: m.Done(message=f"Study {request.study} is released."),
    "held.restore": lambda request: m.Done(message=f"Study {request.study} is held again."),
    "held.show": lambda _: held_samples.DETAIL,
    "key.export": lambda _: samples.RECOVERY,
    "key.init": lambda _: samples.KEY,
    "key.restore": lambda _: samples.KEY,
    "key.rotate": lambda _: samples.KEY,
    "key.status": lambda _: samples.KEY,
    "key.unlock": lambda _: samples.KEY,
    "preflight.run": lambda _: (preflight_samples.CLEAN,),
    "profile.export": lambda _: samples.FOLDER,
    "profile.history": lambda _: samples.HISTORY,
    "profile.import": lambda _: samples.IMPORTED,
    "profile.list": lambda _: samples.PROFILES,
    "profile.remove": lambda request: m.Done(f"{request.profile} is removed.", (request.profile,)),
    "profile.rollback": lambda _: samples.SUMMARY,
    "profile.show": lambda _: samples.PROFILE,
    "queue.flush": done("is being tried now"),
    "queue.list": lambda _: samples.QUEUE,
    "queue.pause": done("is paused"),
    "queue.resume": done("is resumed"),
    "queue.show": lambda request: detail(request.study),
    "site.activate": lambda request: m.Done(f"{request.site} is active now.", (request.site,)),
    "site.erase": lambda request: m.Done(f"The key of {request.site} is destroyed.", (request.site,)),
    "site.deactivate": lambda _: m.Done("The box is parked: no scanner can send.", ("st-marys",)),
    "site.departure": lambda _: departure_samples.CLEAR,
    "site.follow": lambda _: m.Done("The box follows the evidence of where it is again; lakeside is active."),
    "site.list": lambda _: samples.SITES,
    "site.location": lambda _: location_samples.HERE,
    "status": lambda _: samples.STATUS,
    "study.discard": lambda request: m.Done(message=f"study {request.study} was discarded", subjects=(request.study,)),
    "study.explain": lambda request: samples.changed(trial_samples.EXPLAINED, study=resolve(request.study)),
    "study.export": lambda _: archive(EXPORTED),
    "study.list": page_of,
    "study.preview": lambda _: picture_samples.GREY_PNG,
    "study.resend": lambda request: m.Done(message=f"study {resolve(request.study).id} will be sent again"),
    "study.resolve": lambda request: samples.changed(trial_samples.RESOLVED, searched=request.destinations),
    "study.show": lambda request: detail(request.study),
    "worklist.list": lambda request: w.listed(vanished=request.vanished),
    "worklist.refresh": lambda _: w.REFRESHED,
    "worklist.show": lambda request: w.detail(request.entry),
}


def _pattern(route: Route) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        for route in ROUTES:
            match = _pattern(route).fullmatch(parts.path)
            if match is not None and route.method == self.command:
                path = {name: unquote(value) for name, value in match.groupdict().items()}
                self._answer(route, path, parse_qsl(parts.query, keep_blank_values=True), body)
                return
        self._refuse(NotFound("there is no such route", where=parts.path))

    def _answer(self, route: Route, path: dict[str, str], query: list[tuple[str, str]], body: bytes) -> None:
        try:
            request = wire.decode(route, path, query, body)
            self.server.daemon.requests.append((route.name, request))
            answer = self.server.daemon.answers[route.name](request)
        except CapacitordError as error:
            self._refuse(error)
            return
        if route.form is Form.JSON:
            self._whole(200, msgspec.json.encode(answer), route.form)
        elif route.form is Form.PNG:
            self._whole(200, answer, route.form)
        elif route.form is Form.TAR:
            self._pieces(route.form, (answer[at : at + 65536] for at in range(0, len(answer), 65536)))
        else:
            self._pieces(route.form, (msgspec.json.encode(line) + b"\n" for line in answer))

    def _refuse(self, error: CapacitordError) -> None:
        body = msgspec.json.encode(schemas.error_document(error.problem()))
        self._whole(STATUS.get(error.exit_code, 500), body, Form.JSON)

    def _whole(self, status: int, body: bytes, form: Form) -> None:
        self.send_response(status)
        self.send_header("Content-Type", form.value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _pieces(self, form: Form, pieces: Iterable[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", form.value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for piece in pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except BrokenOff:
            self.close_connection = True
        except OSError:
            self.close_connection = True


class BrokenOff(Exception):
    """Raised by an answer to end a stream in its middle."""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        super().__init__(str(daemon.path), _Handler)

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a caller that hangs up is what some tests are about."""


class Daemon:
    """A daemon on the socket `path`; `answers` may be changed, `requests` are what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers = dict(ANSWERS)
        self.requests: list[tuple[str, Any]] = []
        self._server: _Server | None = None

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self.path.unlink(missing_ok=True)

    @property
    def runs(self) -> bool:
        """Whether it answers."""
        return self._server is not None

    def asked(self, name: str) -> list[Any]:
        """Return the requests of one route so far."""
        return [request for route, request in self.requests if route == name]

    def refuse(self, name: str, error: CapacitordError) -> None:
        """Have a route refuse."""

        def answer(_: Any) -> Any:
            raise error

        self.answers[name] = answer


def broken_off(lines: Iterable[Any], _: Any = None) -> Iterator[Any]:
    """Yield lines, and then break the connection."""
    yield from lines
    raise BrokenOff


def steadily(daemon: Daemon) -> Answer:
    """Return an answer that sends a status again and again, as long as the daemon runs."""

    def events(_: Any) -> Iterator[m.Event]:
        while daemon.runs:
            yield samples.EVENTS[0]
            threading.Event().wait(0.02)
        raise BrokenOff

    return events
