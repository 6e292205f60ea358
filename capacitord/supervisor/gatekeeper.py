"""Opens and closes the storage port as the gate says. The port is bound in `open` and in no other state."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import logging
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from capacitord.api.messages import Gate
from capacitord.errors import CapacitordError, Problem
from capacitord.link.messages import CloseListener, Listener, ToRuntime
from capacitord.model.states import GATE, GateState, advance
from capacitord.supervisor.gate import Facts, decide, may_listen, walk

_log = logging.getLogger(__name__)
_BACKLOG = 128


class Sender(Protocol):
    """Where messages to the runtime go."""

    def send(self, message: ToRuntime, descriptor: int | None = None) -> None:
        """Send one; raises `CapacitordError` if there is no runtime."""
        ...


class Gatekeeper:
    """The gate and its port. `facts` tells what is known, the port's own facts excepted."""

    def __init__(
        self,
        endpoint: tuple[str, int],
        runtime: Sender,
        *,
        facts: Callable[[], Facts],
        changed: Callable[[Gate], None],
        retry: float,
        grace: float,
    ) -> None:
        self.address, self.port = endpoint
        self.gate = Gate(GateState.PARKED, may_scan=False, reason="capacitord is starting", since=datetime.now(UTC))
        self._runtime = runtime
        self._facts = facts
        self._changed = changed
        self._retry = retry
        self._grace = grace
        self._listener: socket.socket | None = None
        self._problem: Problem | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def bound(self) -> bool:
        """Whether the storage port is bound."""
        return self._listener is not None

    def look(self) -> None:
        """Bring the port and the gate in line with the facts."""
        facts = self._facts()
        if not may_listen(facts):
            self._close()
        elif self._listener is None and self._timer is None:
            self._open()
        self._set(decide(self.gate.state, dataclasses.replace(facts, bound=self.bound, port_problem=self._problem)))

    def _open(self) -> None:
        try:
            listener = bind(self.address, self.port)
        except OSError as error:
            self._postpone(why_not(error, self.address, self.port))
            return
        try:
            self._runtime.send(Listener("storage"), listener.fileno())
        except CapacitordError as error:
            listener.close()
            self._postpone(error.problem())
            return
        self._listener, self._problem = listener, None
        # A port that the system chose stays the same, as the scanner was told it.
        self.port = listener.getsockname()[1]

    def _close(self) -> None:
        self._problem = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._listener is None:
            return
        with contextlib.suppress(CapacitordError):
            self._runtime.send(CloseListener("storage", self._grace))
        # This shuts the port in the runtime as well, whatever that is doing: they are one socket.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None

    def _postpone(self, problem: Problem) -> None:
        if self._problem != problem:
            _log.warning("the storage port is not open: %s", problem.message)
        self._problem = problem
        self._timer = asyncio.get_running_loop().call_later(self._retry, self._again)

    def _again(self) -> None:
        self._timer = None
        self.look()

    def _set(self, gate: Gate) -> None:
        before = self.gate
        state = before.state
        for following in walk(state, gate.state):
            state = advance(GATE, state, following)
        if msgspec.structs.replace(gate, since=before.since) == before:
            return
        since = before.since if state is before.state else datetime.now(UTC)
        self.gate = msgspec.structs.replace(gate, since=since)
        self._changed(self.gate)


def bind(address: str, port: int) -> socket.socket:
    """Return a listening TCP socket; "::" takes IPv4 as well."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    both = address == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((address, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)


def why_not(error: OSError, address: str, port: int) -> Problem:
    """Return what to tell a person when the storage port can't be bound."""
    where = f"{address} port {port}"
    match error.errno:
        case errno.EADDRINUSE:
            message = f"port {port} is in use"
            hint = (
                "If capacitord was restarted, the runtime before may still be finishing: wait a moment. "
                f"Otherwise see who has it: ss -ltnp 'sport = :{port}'"
            )
        case errno.EACCES:
            message = f"this user may not bind port {port}"
            hint = "Ports below 1024 need CAP_NET_BIND_SERVICE; the systemd unit can give it. Or use port 11112."
        case errno.EADDRNOTAVAIL:
            message = f"this machine does not have the address {address}"
            hint = "Correct [storage] address, or plug the network in; it is tried again every few seconds."
        case _:
            message = f"the storage port can't be bound: {os.strerror(error.errno or errno.EIO)}"
            hint = "Check [storage] address and port."
    return Problem("port-unavailable", message, where=where, hint=hint)
