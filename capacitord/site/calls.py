"""Serving requests of the control socket: each comes with a socket of its own, on which the answer goes out."""

from __future__ import annotations

import contextlib
import logging
import socket
from concurrent.futures import ThreadPoolExecutor

import msgspec

from capacitord.api.http_status import http_status
from capacitord.api.messages import Refusal
from capacitord.api.routes import Form, route
from capacitord.errors import CapacitordError, Invalid, Problem
from capacitord.link.messages import Call, CallHead
from capacitord.site.answers import Answers, Body, one

LOG = logging.getLogger(__name__)
_AT_ONCE = 16
_PATIENCE = 60.0


class Calls:
    """Answers calls in threads, a bounded number at once; the others wait their turn."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="call")

    def serve(self, call: Call, descriptor: int) -> None:
        """Answer a call on its socket, and close it."""
        connection = socket.socket(fileno=descriptor)
        connection.settimeout(_PATIENCE)
        self._pool.submit(self._serve, call, connection)

    def close(self) -> None:
        """Take no more calls; the ones being answered end with their sockets."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _serve(self, call: Call, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            try:
                request = msgspec.json.decode(bytes(call.body), type=route(call.route).request)
                body, status = self._answers.answer(call.route, request), 200
            except CapacitordError as error:
                body, status = _refused(error.problem()), http_status(error)
            except (KeyError, msgspec.MsgspecError):
                hint = "Update fluxctl and capacitord together."
                wrong = Invalid("The request is not one of this site's.", hint=hint)
                body, status = _refused(wrong.problem()), http_status(wrong)
            except Exception as error:
                LOG.error("%s failed in an unforeseen way: %s", call.route, type(error).__name__)  # noqa: TRY400
                LOG.debug("Where", exc_info=True)
                problem = Problem("failed", "An unforeseen error in the runtime.", call.route, "Look into the log.")
                body, status = _refused(problem), 500
            _send(connection, body, status, call.route)


def _refused(problem: Problem) -> Body:
    return one(Refusal("fluxctl.error/1", problem))


def _send(connection: socket.socket, body: Body, status: int, name: str) -> None:
    head = CallHead(status, body.form.value, body.subjects, body.length)
    connection.sendall(msgspec.json.encode(head) + b"\n")
    try:
        for piece in body.pieces:
            connection.sendall(piece)
    except CapacitordError as error:
        if body.form is Form.NDJSON:
            connection.sendall(msgspec.json.encode(Refusal("fluxctl.error/1", error.problem())) + b"\n")
        LOG.warning("%s ended early: %s", name, error.message)
        # A tar stream without its end is seen as such by whoever unpacks it.
        connection.shutdown(socket.SHUT_RDWR)
