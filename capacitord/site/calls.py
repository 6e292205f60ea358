"""Serving requests of the control socket: each comes with a socket of its own, on which the answer goes out.

What takes long has a lane of its own, so that nobody who wants to know the status or to pause a queue waits behind an
export. And nothing is done for somebody who has given up waiting: it would happen later, to everybody's surprise.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
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
from capacitord.spool.releasing import Person

LOG = logging.getLogger(__name__)
QUICK: Final = "quick"
LANES: Final[Mapping[str, int]] = MappingProxyType(
    {QUICK: 16, "streams": 4, "echoes": 4, "trials": 1, "searches": 1, "sources": 4, "previews": 2}
)
"""How many calls of each lane are served at once; the others wait their turn."""

_LANE_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        "study.export": "streams",
        "doctor.verify": "streams",
        "destination.echo": "echoes",
        "study.explain": "trials",
        "study.preview": "previews",
        "study.resolve": "searches",
        "worklist.refresh": "sources",
    }
)
_PATIENCE: Final = 60.0
_LOOK: Final = 1.0


class Calls:
    """Answers each call in a thread of its own, a bounded number at once."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._turns = {lane: threading.BoundedSemaphore(most) for lane, most in LANES.items()}
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._closing = False

    def serve(self, call: Call, descriptor: int) -> None:
        """Answer a call on its socket, and close it."""
        connection = socket.socket(fileno=descriptor)
        connection.settimeout(_PATIENCE)
        with self._changed:
            self._open.add(connection)
        thread = threading.Thread(target=self._run, args=(call, connection), name=f"call {call.route}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._close(connection)
            raise

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
        turns = self._turns[_LANE_OF.get(call.route, QUICK)]
        try:
            with contextlib.suppress(OSError):
                self._serve(call, connection, turns)
        except _Gone as gone:
            LOG.info("%s was not done: %s", call.route, gone)
        finally:
            self._close(connection)

    def _serve(self, call: Call, connection: socket.socket, turns: threading.BoundedSemaphore) -> None:
        while not turns.acquire(timeout=_LOOK):
            _demand_caller(call, connection)
        try:
            body, status = self._answer(call, connection)
            if body.length is None or body.form is Form.TAR:
                _send(connection, body, status, call.route)
                return
        finally:
            turns.release()
        # A whole answer costs nothing more: whoever is slow to read it keeps nobody waiting.
        _send(connection, body, status, call.route)

    def _close(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.discard(connection)
            connection.close()
            self._changed.notify_all()

    def _answer(self, call: Call, connection: socket.socket) -> tuple[Body, int]:
        if self._closing:
            return _refused(TryAgain("The site's runtime is ending.", hint="Try again in a moment."))
        try:
            request = msgspec.json.decode(bytes(call.body), type=route(call.route).request)
        except (KeyError, msgspec.MsgspecError):
            hint = "Update fluxctl and capacitord together."
            return _refused(Invalid("The request is not one of this site's.", hint=hint))
        try:
            by = Person(call.uid, call.user)
            demand_caller = partial(_demand_caller, call, connection)
            return self._answers.answer(call.route, request, demand_caller, by, call.deed or ""), 200
        except CapacitordError as error:
            return _refused(error)
        except _Gone:
            raise
        except Exception as error:  # noqa: BLE001 - whoever asked gets an answer
            LOG.error("%s failed in an unforeseen way: %s", call.route, describe(error))  # noqa: TRY400
            return _refused(_unforeseen(call.route))


class _Gone(Exception):
    """Nobody waits for the answer any more."""


def _demand_caller(call: Call, connection: socket.socket) -> None:
    """Raise `_Gone` if whoever asked has hung up, or does not wait any longer."""
    if time.monotonic() > call.until:
        msg = "its time was over before it could begin"
        raise _Gone(msg)
    poll = select.poll()
    poll.register(connection, 0)
    if poll.poll(0):
        msg = "whoever asked has gone"
        raise _Gone(msg)


def _unforeseen(where: str) -> CapacitordError:
    return CapacitordError("An unforeseen error in the runtime.", where=where, hint="Look into the log.")


def _refused(error: CapacitordError) -> tuple[Body, int]:
    return one(Refusal(ERROR, error.problem()))._replace(refusal=error.reference), http_status(error)


def _send(connection: socket.socket, body: Body, status: int, name: str) -> None:
    """Send an answer. One that breaks off is seen as such: by its length, or by its last line."""
    head = CallHead(status, body.form.value, body.subjects, body.length, body.refusal, body.detail)
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
