"""Serving requests of the control socket: each comes with a socket of its own, on which the answer goes out."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Final

import msgspec

from capacitord.api.http_status import http_status
from capacitord.api.messages import Refusal
from capacitord.api.routes import Form, route
from capacitord.api.schemas import ERROR
from capacitord.dicom.arriving import describe
from capacitord.errors import CapacitordError, Invalid, TryAgain
from capacitord.link.messages import Call, CallHead
from capacitord.site.answers import Answers, Body, one

LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 16
_PATIENCE: Final = 60.0


class Calls:
    """Answers each call in a thread of its own, a bounded number at once; the others wait their turn."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._closing = False

    def serve(self, call: Call, descriptor: int) -> None:
        """Answer a call on its socket, and close it."""
        connection = socket.socket(fileno=descriptor)
        connection.settimeout(_PATIENCE)
        with self._changed:
            self._open.add(connection)
        threading.Thread(target=self._run, args=(call, connection), name=f"call {call.route}", daemon=True).start()

    def close(self, grace: float) -> None:
        """Begin no more answers; those under way get `grace` seconds, then their sockets end."""
        deadline = time.monotonic() + grace
        with self._changed:
            self._closing = True
            self._changed.wait_for(lambda: not self._open, max(0.0, deadline - time.monotonic()))
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _run(self, call: Call, connection: socket.socket) -> None:
        try:
            with self._turns, contextlib.suppress(OSError):
                body, status = self._answer(call)
                _send(connection, body, status, call.route)
        finally:
            with self._changed:
                self._open.discard(connection)
                connection.close()
                self._changed.notify_all()

    def _answer(self, call: Call) -> tuple[Body, int]:
        if self._closing:
            return _refused(TryAgain("The site's runtime is ending.", hint="Try again in a moment."))
        try:
            request = msgspec.json.decode(bytes(call.body), type=route(call.route).request)
        except (KeyError, msgspec.MsgspecError):
            hint = "Update fluxctl and capacitord together."
            return _refused(Invalid("The request is not one of this site's.", hint=hint))
        try:
            return self._answers.answer(call.route, request), 200
        except CapacitordError as error:
            return _refused(error)
        except Exception as error:  # noqa: BLE001 - whoever asked gets an answer
            LOG.error("%s failed in an unforeseen way: %s", call.route, describe(error))  # noqa: TRY400
            return _refused(_unforeseen(call.route))


def _unforeseen(where: str) -> CapacitordError:
    return CapacitordError("An unforeseen error in the runtime.", where=where, hint="Look into the log.")


def _refused(error: CapacitordError) -> tuple[Body, int]:
    return one(Refusal(ERROR, error.problem())), http_status(error)


def _send(connection: socket.socket, body: Body, status: int, name: str) -> None:
    """Send an answer. One that breaks off is seen as such: by its length, or by its last line."""
    head = CallHead(status, body.form.value, body.subjects, body.length)
    connection.sendall(msgspec.json.encode(head) + b"\n")
    try:
        for piece in body.pieces:
            connection.sendall(piece)
    except OSError:
        raise
    except CapacitordError as error:
        said = error
        LOG.warning("%s ended early: %s", name, error.message)
    except Exception as error:  # noqa: BLE001 - whoever asked is to see that it broke off
        said = _unforeseen(name)
        LOG.error("%s ended early in an unforeseen way: %s", name, describe(error))  # noqa: TRY400
    else:
        return
    if body.form is Form.NDJSON:
        connection.sendall(msgspec.json.encode(Refusal(ERROR, said.problem())) + b"\n")
