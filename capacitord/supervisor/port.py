"""A listening socket that a runtime serves on: bound here, handed over, and shut for both at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Protocol

from capacitord.errors import CapacitordError, Problem
from capacitord.link.messages import CloseListener, Listener, ToRuntime
from capacitord.link.messages import Port as Name

_log = logging.getLogger(__name__)
_BACKLOG = 128


class Sender(Protocol):
    """Where messages to the runtime go."""

    def send(self, message: ToRuntime, descriptor: int | None = None) -> None:
        """Send one; raises `CapacitordError` if there is no runtime."""
        ...


class Port:
    """One port of the runtime that runs. `name` is also that of its section in the box's configuration.

    What cannot be bound now is tried again by whoever calls `open`; `again` is called when it is time to.
    """

    def __init__(
        self,
        name: Name,
        endpoint: tuple[str, int],
        runtime: Sender,
        *,
        retry: float,
        grace: float,
        again: Callable[[], None],
    ) -> None:
        self.name = name
        self.address, self.port = endpoint
        self.problem: Problem | None = None
        """Why it is not bound, though it should be."""
        self._runtime, self._retry, self._grace, self._again = runtime, retry, grace, again
        self._listener: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def bound(self) -> bool:
        """Whether it is bound."""
        return self._listener is not None

    def open(self) -> None:
        """Bind it and hand it to the runtime, unless that was done, or failed a moment ago."""
        if self._listener is not None or self._timer is not None:
            return
        try:
            listener = bind(self.address, self.port)
        except OSError as error:
            self._postpone(why_not(error, self.name, self.address, self.port))
            return
        try:
            self._runtime.send(Listener(self.name), listener.fileno())
        except CapacitordError as error:
            listener.close()
            self._postpone(error.problem())
            return
        self._listener, self.problem = listener, None
        # A port that the system chose stays the same, as the scanner was told it.
        self.port = listener.getsockname()[1]

    def try_out(self) -> None:
        """Find out whether it could be bound, unless that failed a moment ago; it is shut, and stays so."""
        self.shut()
        if self._timer is not None:
            return
        try:
            reserve(self.address, self.port).close()
        except OSError as error:
            self._postpone(why_not(error, self.name, self.address, self.port))
        else:
            self.problem = None

    def close(self) -> None:
        """Shut it, and do not try it again until that is asked for."""
        self.problem = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.shut()

    def shut(self) -> None:
        """Shut it, so that whoever connects is refused; open associations may finish."""
        if self._listener is None:
            return
        with contextlib.suppress(CapacitordError):
            self._runtime.send(CloseListener(self.name, self._grace))
        # This shuts the port in the runtime as well, whatever that is doing: they are one socket.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None

    def _postpone(self, problem: Problem) -> None:
        if self.problem != problem:
            _log.warning("the %s port is not open: %s", self.name, problem.message)
        self.problem = problem
        self._timer = asyncio.get_running_loop().call_later(self._retry, self._try_again)

    def _try_again(self) -> None:
        self._timer = None
        self._again()


def bind(address: str, port: int) -> socket.socket:
    """Return a listening TCP socket; "::" takes IPv4 as well."""
    listener = reserve(address, port)
    try:
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def reserve(address: str, port: int) -> socket.socket:
    """Return a TCP socket that is bound as `bind` does it, and does not listen: whoever connects is refused."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Connections of before may not be over yet.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family is socket.AF_INET6:
            both = address == "::" and socket.has_dualstack_ipv6()
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


def why_not(error: OSError, name: Name, address: str, port: int) -> Problem:
    """Return what to tell a person when a port can't be bound."""
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
            hint = "Ports below 1024 need CAP_NET_BIND_SERVICE; the systemd unit can give it. Or use one above 1023."
        case errno.EADDRNOTAVAIL:
            message = f"this machine does not have the address {address}"
            hint = f"Correct [{name}] address, or plug the network in; it is tried again every few seconds."
        case _:
            message = f"the {name} port can't be bound: {os.strerror(error.errno or errno.EIO)}"
            hint = f"Check [{name}] address and port."
    return Problem("port-unavailable", message, where=where, hint=hint)
