"""The control plane: every route of `api.routes` over HTTP/1.1, through one dispatcher.

Who asks is decided by the socket's peer credentials, what is asked by the route's types. A change is in the audit log
before it is made. Every refusal is a typed JSON answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from capacitord.api import wire
from capacitord.api.messages import EventQuery, ProfileImport
from capacitord.api.preflight import RunPreflight
from capacitord.api.routes import ROUTES, Answers, Form, Permission, Route
from capacitord.errors import CapacitordError, Invalid
from capacitord.supervisor import http
from capacitord.supervisor.audit_reading import BEGUN, DONE, OPERATOR
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.naming import fit_to_record
from capacitord.supervisor.openapi import PATH, document
from capacitord.supervisor.peers import Peer, Policy, credentials, look_up
from capacitord.supervisor.relay import Answer, CutOff
from capacitord.supervisor.unsealed import BROKEN_OFF

_log = logging.getLogger(__name__)
_SITE_BODY: Final = 1 << 16
_ID_BYTES: Final = 16
_IMPORT: Final = "profile.import"
_NAMED_IN_AUDIT: Final = ("profile", "site", "destination", "destinations")

_SITE_OF: Final = re.compile(r"""^id[ \t]*=[ \t]*["']([a-z0-9-]{1,64})["']""", re.ASCII | re.MULTILINE)
"""Which site a profile is of: also of one that is refused, and may be no TOML."""

Identify: TypeAlias = Callable[[web.Request], Awaitable[Peer]]


class Outcome(msgspec.Struct, frozen=True):
    """An answer of the box, and what the audit log should say of it."""

    answer: msgspec.Struct
    subjects: tuple[str, ...] = ()
    detail: str = ""


class Entry(NamedTuple):
    """What the audit log is to say of a request; `deed` is what its entries have in common."""

    action: str
    subjects: tuple[str, ...]
    detail: str
    result: str
    deed: str


class Services(Protocol):
    """What the control plane asks of the rest of the daemon."""

    async def answer(self, route: Route, peer: Peer, request: Any) -> Outcome:
        """Answer one of the box's routes. Raises `CapacitordError`."""
        ...

    def events(self, query: EventQuery) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a stream of events, each a line. Raises `TryAgain` if there are too many."""
        ...

    def ask_site(
        self, route: Route, peer: Peer, request: Any, gone: Callable[[], bool], deed: str
    ) -> AbstractAsyncContextManager[Answer]:
        """Ask the runtime of the open site, for as long as whoever asks is not `gone`.

        `deed` is the id by which the audit log has it begun, empty for what is not in there. Raises `CapacitordError`
        if it can't answer.
        """
        ...

    def ask_scanners(
        self, request: RunPreflight, gone: Callable[[], bool], note: Callable[[str], None]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Have the probe ask the scanners, for as long as whoever asks is not `gone`.

        `note` is told what each time came to, in words that are free of patient data.
        The pieces are its answer, to be passed on unread; they raise `CutOff` if it is not whole. Raises
        `CapacitordError` if nobody can be asked.
        """
        ...

    async def name_study(self, peer: Peer, reference: str, gone: Callable[[], bool]) -> str:
        """Return the short id of the study of the open site that is called so. Raises `CapacitordError` if none is."""
        ...

    async def name_entry(self, peer: Peer, reference: str, gone: Callable[[], bool]) -> str:
        """Return the short id of the worklist entry that is called so. Raises `CapacitordError` if none is."""
        ...

    async def write_audit(self, peer: Peer, entry: Entry) -> None:
        """Write an entry; it is on stable storage on return. Raises `StorageFailed`."""
        ...


async def by_credentials(request: web.Request) -> Peer:
    """Return who connected the Unix socket a request came by."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError
    uid, gid = credentials(transport.get_extra_info("socket"))
    return await asyncio.to_thread(look_up, uid, gid)


def application(
    services: Services, policy: Policy, bounds: Bounds, identify: Identify = by_credentials
) -> web.Application:
    """Return the whole interface as an application, whatever socket it is then served on."""
    app = web.Application(middlewares=[_refusals(bounds)], client_max_size=bounds.body)
    dispatcher = _Dispatcher(services, policy, bounds, identify)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, dispatcher.handler(route))
    app.router.add_route("GET", PATH, dispatcher.openapi)
    return app


class _Dispatcher:
    def __init__(self, services: Services, policy: Policy, bounds: Bounds, identify: Identify) -> None:
        self._services = services
        self._policy = policy
        self._bounds = bounds
        self._identify = identify
        self._openapi = msgspec.json.encode(document())

    def handler(self, route: Route) -> Handler:
        """Return what aiohttp calls for a route."""

        async def handle(request: web.Request) -> web.StreamResponse:
            peer = await self._admit(request, route.permission, route.name, route.shows)
            message = await self._read(route, request)
            if not route.is_audited:
                return await _Exchange(
                    self._services, self._bounds, request, route=route, peer=peer, message=message
                ).run()
            return await self._audited(request, route, peer, message)

        return handle

    async def openapi(self, request: web.Request) -> web.StreamResponse:
        """Answer with the OpenAPI document."""
        await self._admit(request, Permission.READ, "openapi")
        return await send(request, self._openapi, self._bounds, "openapi")

    async def _admit(self, request: web.Request, permission: Permission, action: str, shows: str = "") -> Peer:
        peer = await self._identify(request)
        try:
            self._policy.demand(peer, permission, shows)
        except CapacitordError as error:
            _log.warning("refused %s (uid %d) %s: %s", peer.user, peer.uid, action, error.message)
            raise
        return peer

    async def _read(self, route: Route, request: web.Request) -> msgspec.Struct:
        try:
            most = self._bounds.import_body if route.name == _IMPORT else self._bounds.body
            async with asyncio.timeout(self._bounds.slow_request):
                body = await request.clone(client_max_size=most).read()
        except TimeoutError:
            request.protocol.close()
            msg = f"the request did not arrive within {self._bounds.slow_request:g} s"
            raise http.TooSlow(msg, hint="Send it in one go.") from None
        if route.answers is Answers.SITE and len(body) > _SITE_BODY:
            msg = f"the body of {route.name} has more than {_SITE_BODY} bytes"
            raise http.TooLarge(msg, hint="Ask for less at once.")
        unread = "a body" if route.method == "GET" and body else "a query" if route.method != "GET" else ""
        if unread == "a body" or (unread and request.query_string):
            msg = f"{route.method} {route.path} does not take {unread}"
            raise http.BadRequest(msg, hint="GET takes a query, POST a JSON object.")
        try:
            return wire.decode(route, request.match_info, request.query.items(), body)
        except Invalid as error:
            raise http.BadRequest(error.message, where=error.where, hint=error.hint) from None

    async def _audited(
        self, request: web.Request, route: Route, peer: Peer, message: msgspec.Struct
    ) -> web.StreamResponse:
        """Do what is asked between its two entries in the audit log."""
        exchange = _Exchange(self._services, self._bounds, request, route=route, peer=peer, message=message)
        studies, unnamed = await self._studies_in(exchange)
        entries: tuple[str, ...] = ()
        if unnamed is None:
            entries, unnamed = await self._entries_in(exchange)
        exchange.subjects = tuple(dict.fromkeys((*studies, *named_in(message), *entries)))
        exchange.detail = said_in(message)
        await self._services.write_audit(peer, exchange.noted(BEGUN))
        result, written = "failed", False

        async def came(result: str) -> None:
            nonlocal written
            if not written:
                written = True
                await self._write_result(exchange, result)

        exchange.came = came
        try:
            if unnamed is not None:
                raise unnamed
            response = await exchange.run()
            result = exchange.result
        except CapacitordError as error:
            result = error.reference
            exchange.detail = _joined(exchange.detail, error.done)
            raise
        finally:
            await came(result)
        return response

    async def _studies_in(self, exchange: _Exchange) -> tuple[tuple[str, ...], CapacitordError | None]:
        """Return the study that a request names as the audit log has it, and why it is not done if that is unknown.

        What names no study is refused here: nothing is begun of which the log could not say what it was done to.
        """
        reference = exchange.study
        if not reference:
            return (), None
        try:
            return (await self._services.name_study(exchange.peer, reference, exchange.gone),), None
        except CapacitordError as error:
            return ((reference,) if fit_to_record(reference) else ()), error

    async def _entries_in(self, exchange: _Exchange) -> tuple[tuple[str, ...], CapacitordError | None]:
        """Return the same of the worklist entry that a study is to go as, if it is one; it is asked for by its id then.

        How it was called is never in the log: it may be an accession number.
        """
        if not exchange.entry:
            return (), None
        try:
            short = await self._services.name_entry(exchange.peer, exchange.entry, exchange.gone)
        except CapacitordError as error:
            return (), error
        exchange.entry = short
        return (short,), None

    async def _write_result(self, exchange: _Exchange, result: str) -> None:
        peer, name = exchange.peer, exchange.route.name
        try:
            await self._services.write_audit(peer, exchange.noted(result))
        except CapacitordError as error:
            # It was done and can't be undone; that the log does not say so is said here.
            _log.critical(
                "%s by uid %d: %s, and the audit log took no entry: %s", name, peer.uid, result, error.message
            )


class _Exchange:
    """One request that was admitted, and its answer."""

    def __init__(
        self,
        services: Services,
        bounds: Bounds,
        request: web.Request,
        *,
        route: Route,
        peer: Peer,
        message: msgspec.Struct,
    ) -> None:
        self.route = route
        self.peer = peer
        self.subjects: tuple[str, ...] = ()
        self.detail = ""
        self.result = DONE
        self._deed = secrets.token_hex(_ID_BYTES) if route.is_audited else ""
        self.came: Callable[[str], Awaitable[None]] = _nobody_notes
        """Is told what came of it, before whoever asked is: she may look into the audit log next."""
        self._services = services
        self._bounds = bounds
        self._request = request
        self._message = message

    @property
    def study(self) -> str:
        """The study of the open site that the request is about, as it was given; empty if it is about none."""
        return str(getattr(self._message, "study", "")) if self.route.answers is Answers.SITE else ""

    @property
    def entry(self) -> str:
        """The worklist entry as which a study is to be sent; empty for every other request, and if there is none."""
        return str(getattr(self._message, "match", ""))

    @entry.setter
    def entry(self, short: str) -> None:
        self._message = msgspec.structs.replace(self._message, match=short)

    async def run(self) -> web.StreamResponse:
        """Answer. Raises `CapacitordError` as long as no answer has begun."""
        if self.route.answers is Answers.SITE:
            async with self._services.ask_site(self.route, self.peer, self._message, self.gone, self._deed) as answer:
                return await self._relay(answer)
        if isinstance(self._message, RunPreflight):
            async with self._services.ask_scanners(self._message, self.gone, self._note) as pieces:
                return await self._stream(pieces, self.route.form.value, 200, None)
        if isinstance(self._message, EventQuery):
            async with self._services.events(self._message) as lines:
                return await self._stream(lines, self.route.form.value, 200, None)
        outcome = await self._services.answer(self.route, self.peer, self._message)
        self.subjects = tuple(dict.fromkeys((*self.subjects, *outcome.subjects)))
        self.detail = _joined(self.detail, outcome.detail)
        await self.came(self.result)
        return await send(self._request, msgspec.json.encode(outcome.answer), self._bounds, self.route.name)

    def noted(self, result: str) -> Entry:
        """Return what the audit log is to say, with what came of it."""
        return Entry(self.route.name, self.subjects, self.detail, result, self._deed)

    def gone(self) -> bool:
        """Return whether whoever asked has hung up."""
        return self._request.transport is None or self._request.transport.is_closing()

    def _note(self, words: str) -> None:
        self.detail = words

    async def _relay(self, answer: Answer) -> web.StreamResponse:
        head = answer.head
        self.subjects = tuple(dict.fromkeys((*self.subjects, *head.subjects)))
        self.detail = _joined(self.detail, head.detail)
        if head.refusal or head.status != HTTPStatus.OK:
            self.result = head.refusal or f"HTTP status {head.status}"
        form = head.form if head.form in {*Form} else Form.JSON.value
        # What is streamed has come to its end only when it has arrived.
        if form == Form.JSON.value:
            await self.came(self.result)
        return await self._stream(answer.pieces, form, head.status, head.length)

    async def _stream(
        self, pieces: AsyncIterator[bytes], form: str, status: int, length: int | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": form})
        response.content_length = length
        try:
            await _within(self._bounds.slow_reader, response.prepare(self._request))
            async for piece in pieces:
                await _within(self._bounds.slow_reader, response.write(piece))
            await _within(self._bounds.slow_reader, response.write_eof())
        except (CutOff, TimeoutError, ConnectionError) as cause:
            self.result = BROKEN_OFF
            _log.info("%s broke off: %s", self.route.name, _cause(cause))
            _hang_up(self._request)
        return response


async def _nobody_notes(result: str) -> None:
    """Take no note of `result`: what is not in the audit log needs none."""


async def send(request: web.Request, body: bytes, bounds: Bounds, name: str) -> web.Response:
    """Send a JSON answer whole, to a reader who takes it in time; hang up on one who does not."""
    return await _send(request, web.Response(body=body, content_type="application/json"), bounds, name)


async def _send(request: web.Request, response: web.Response, bounds: Bounds, name: str) -> web.Response:
    try:
        async with asyncio.timeout(bounds.slow_reader):
            await response.prepare(request)
            await response.write_eof()
    except (TimeoutError, ConnectionError) as cause:
        _log.info("%s broke off: %s", name, _cause(cause))
        _hang_up(request)
    return response


def named_in(message: msgspec.Struct) -> tuple[str, ...]:
    """Return what a request names that the audit log may hold: sites and destinations, never a study as given."""
    found: list[str] = []
    if isinstance(message, ProfileImport):
        texts = (message.text, *(each.text for each in message.others))
        found += [site[1] for text in texts if (site := _SITE_OF.search(text.partition("\n[")[0])) is not None]
    for field in _NAMED_IN_AUDIT:
        value = getattr(message, field, ())
        found.extend((value,) if isinstance(value, str) else value)
    return tuple(found)


def said_in(message: msgspec.Struct) -> str:
    """Return what a person said of why she does it, and who she says she is: of the requests that have both.

    Other requests keep their reasons with what they are about, since they may name a patient.
    """
    operator = getattr(message, "operator", None)
    if operator is None:
        return ""
    said = [f"{OPERATOR}{operator.replace(';', ',')}"] if operator else []
    reason = getattr(message, "reason", "")
    return "; ".join([*said, *([f"reason: {reason}"] if reason else [])])


def _joined(*details: str) -> str:
    return "; ".join(filter(None, details))


async def _within(seconds: float, step: Awaitable[object]) -> None:
    async with asyncio.timeout(seconds):
        await step


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _cause(cause: Exception) -> str:
    if isinstance(cause, CutOff):
        return "whoever answered went away"
    return "the reader was too slow" if isinstance(cause, TimeoutError) else "the reader hung up"


def _refusals(bounds: Bounds) -> Middleware:
    """Return what turns everything that is raised into a typed answer."""

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            if not isinstance(error, CapacitordError | web.HTTPException):
                _log.exception("an error in this program while answering %s", request.method)
            if request.writer.output_size:
                # An answer has begun; nothing can be said any more but that it is not whole.
                _hang_up(request)
                raise ConnectionResetError from error
            return await _send(request, _refusal(request, error), bounds, "a refusal")

    return refuse


def _refusal(request: web.Request, error: Exception) -> web.Response:
    headers: dict[str, str] = {}
    match error:
        case CapacitordError():
            refused = error
        case web.HTTPRequestEntityTooLarge():
            most = "16 MiB" if request.path == "/v1/profiles" else "1 MiB"
            refused = http.TooLarge(f"the request is larger than {most}", hint="This takes no more at once.")
        case web.HTTPMethodNotAllowed():
            headers["Allow"] = ", ".join(sorted(error.allowed_methods))
            refused = http.NoSuchMethod(f"{request.method} is not for this path", hint=f"It takes {headers['Allow']}.")
        case web.HTTPNotFound():
            refused = http.NoSuchRoute("there is nothing at this path", hint=f"See what there is: GET {PATH}")
        case web.HTTPException():
            refused = http.BadRequest(error.reason, hint=f"See what there is: GET {PATH}")
        case _:
            refused = CapacitordError("an error in this program", hint="Please report what its log says about it.")
    body = http.refusal(refused.problem())
    return web.Response(body=body, status=http.status_of(refused), headers=headers, content_type="application/json")
