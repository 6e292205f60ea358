"""The control plane: every route of `api.routes` over HTTP/1.1, through one dispatcher.

Who asks is decided by the socket's peer credentials, what is asked by the route's types. A change is in the audit log
before it is made. Every refusal is a typed JSON answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from capacitord.api import wire
from capacitord.api.messages import ProfileImport
from capacitord.api.routes import ROUTES, Answers, Permission, Route
from capacitord.errors import CapacitordError, Invalid
from capacitord.supervisor import http
from capacitord.supervisor.audit_reading import BEGUN, OPERATOR
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.exchange import Exchange, deliver, hang_up, joined, send
from capacitord.supervisor.naming import fit_to_record, may_be_named
from capacitord.supervisor.openapi import PATH, document
from capacitord.supervisor.peers import Peer, Policy, credentials, look_up
from capacitord.supervisor.services import Services

_log = logging.getLogger(__name__)
_SITE_BODY: Final = 1 << 16
_IMPORT: Final = "profile.import"
_NAMED_IN_AUDIT: Final = ("profile", "site", "destination", "destinations")

_SITE_OF: Final = re.compile(r"""^id[ \t]*=[ \t]*["']([a-z0-9-]{1,64})["']""", re.ASCII | re.MULTILINE)
"""Which site a profile is of: also of one that is refused, and may be no TOML."""

Identify: TypeAlias = Callable[[web.Request], Awaitable[Peer]]


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
                return await Exchange(
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
        exchange = Exchange(self._services, self._bounds, request, route=route, peer=peer, message=message)
        reason = getattr(message, "reason", "")
        studies, unnamed = await self._studies_in(exchange, reason)
        entries: tuple[str, ...] = ()
        if unnamed is None:
            entries, unnamed = await self._entries_in(exchange, reason)
        exchange.subjects = tuple(dict.fromkeys((*studies, *named_in(message), *entries)))
        # What is said of a study, or of an entry, that is not named may name the patient.
        exchange.detail = "" if unnamed is not None else said_in(message)
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
            exchange.detail = joined(exchange.detail, error.done)
            raise
        finally:
            await came(result)
        return response

    async def _studies_in(self, exchange: Exchange, reason: str) -> tuple[tuple[str, ...], CapacitordError | None]:
        """Return the study that a request names as the audit log has it, and why it is not done if that is unknown.

        What names no study is refused here: nothing is begun of which the log could not say what it was done to.
        """
        reference = exchange.study
        if not reference:
            return (), None
        try:
            return (await self._services.name_study(exchange.peer, reference, exchange.gone, reason),), None
        except CapacitordError as error:
            return ((reference,) if fit_to_record(reference) else ()), error

    async def _entries_in(self, exchange: Exchange, reason: str) -> tuple[tuple[str, ...], CapacitordError | None]:
        """Return the same of the worklist entry that a study is to go as, if it is one; it is asked for by its id then.

        How it was called is never in the log: it may be an accession number.
        """
        if not exchange.entry:
            return (), None
        try:
            short = await self._services.name_entry(exchange.peer, exchange.entry, exchange.gone, reason)
        except CapacitordError as error:
            return (), error
        exchange.entry = short
        return (short,), None

    async def _write_result(self, exchange: Exchange, result: str) -> None:
        peer, name = exchange.peer, exchange.route.name
        try:
            await self._services.write_audit(peer, exchange.noted(result))
        except CapacitordError as error:
            # It was done and can't be undone; that the log does not say so is said here.
            _log.critical(
                "%s by uid %d: %s, and the audit log took no entry: %s", name, peer.uid, result, error.message
            )


def named_in(message: msgspec.Struct) -> tuple[str, ...]:
    """Return what a request names that the audit log may hold: sites and destinations, never a study as given."""
    found: list[str] = []
    if isinstance(message, ProfileImport):
        texts = (message.text, *(each.text for each in message.others))
        found += [site[1] for text in texts if (site := _SITE_OF.search(text.partition("\n[")[0])) is not None]
    for field in _NAMED_IN_AUDIT:
        value = getattr(message, field, ())
        found.extend(filter(may_be_named, (value,) if isinstance(value, str) else value))
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
                hang_up(request)
                raise ConnectionResetError from error
            return await deliver(request, _refusal(request, error), bounds, "a refusal")

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
