"""One request of the control plane that was admitted, and its answer, whoever gives it."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from capacitord.api.messages import EventQuery
from capacitord.api.preflight import RunPreflight
from capacitord.api.routes import Answers, Form, Route
from capacitord.supervisor.audit_reading import BEGUN, DONE
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.peers import Peer
from capacitord.supervisor.relay import Answer, CutOff
from capacitord.supervisor.services import Entry, Services
from capacitord.supervisor.unsealed import BROKEN_OFF

_log = logging.getLogger(__name__)
_ID_BYTES: Final = 16
_REFERENCE: Final = re.compile(r"[a-z-]{1,64}", re.ASCII)


class Exchange:
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
        return getattr(self._message, "match", None) or ""

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
        self.detail = joined(self.detail, outcome.detail)
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
        self.detail = joined(self.detail, head.detail)
        if head.refusal or head.status != HTTPStatus.OK:
            # It is another process's word, and no error is called as what is begun or done.
            is_one = _REFERENCE.fullmatch(head.refusal) is not None and head.refusal not in {BEGUN, DONE}
            self.result = head.refusal if is_one else "failed"
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
            hang_up(self._request)
        return response


async def _nobody_notes(result: str) -> None:
    """Take no note of `result`: what is not in the audit log needs none."""


async def send(request: web.Request, body: bytes, bounds: Bounds, name: str) -> web.Response:
    """Send a JSON answer whole, to a reader who takes it in time; hang up on one who does not."""
    return await deliver(request, web.Response(body=body, content_type="application/json"), bounds, name)


async def deliver(request: web.Request, response: web.Response, bounds: Bounds, name: str) -> web.Response:
    """Send an answer whole, to a reader who takes it in time; hang up on one who does not."""
    try:
        async with asyncio.timeout(bounds.slow_reader):
            await response.prepare(request)
            await response.write_eof()
    except (TimeoutError, ConnectionError) as cause:
        _log.info("%s broke off: %s", name, _cause(cause))
        hang_up(request)
    return response


def joined(*details: str) -> str:
    """Return what the audit log says as its detail, of parts that may be empty."""
    return "; ".join(filter(None, details))


async def _within(seconds: float, step: Awaitable[object]) -> None:
    async with asyncio.timeout(seconds):
        await step


def hang_up(request: web.Request) -> None:
    """End the connection at once: an answer that has begun and is not whole is seen to be so."""
    if request.transport is not None:
        request.transport.abort()


def _cause(cause: Exception) -> str:
    if isinstance(cause, CutOff):
        return "whoever answered went away"
    return "the reader was too slow" if isinstance(cause, TimeoutError) else "the reader hung up"
