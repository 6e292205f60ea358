"""Connections to peers of the site, asked of the supervisor: this process has no network of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from capacitord.link.channel import LinkClosed
from capacitord.link.messages import Connect, Connected, Peer
from capacitord.model.outcome import Outcome, Verdict

_PATIENCE: Final = 30.0
_LOST: Final = Outcome(Verdict.LATER, "This box has no descriptor left for another connection.")
_OVER: Final = Outcome(Verdict.LATER, "The box is shutting down.")


class Connection(NamedTuple):
    """A connected socket, and how many seconds connecting took."""

    socket: socket.socket
    seconds: float


class _Waiting:
    """A request that has no answer yet."""

    def __init__(self, peer: Peer, destination: str) -> None:
        self.peer, self.destination = peer, destination
        self.answered = threading.Event()
        self.result: Connection | Outcome = Outcome(Verdict.LATER, "The supervisor did not answer in time.")


class Connections:
    """Asks for connections by what the profile calls a peer; any thread may ask, the link's thread answers."""

    def __init__(self, send: Callable[[Connect], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._last = 0
        self._over = False
        self._waiting: dict[int, _Waiting] = {}

    def open(self, destination: str, timeout: float, peer: Peer = Peer.DESTINATION) -> Connection | Outcome:
        """Return a connection to a destination of this site's profile, or to another peer of it, or why there is none.

        `timeout` is what the supervisor allows for connecting, in seconds; the answer may take a little longer.
        """
        waiting = _Waiting(peer, destination)
        with self._lock:
            if self._over:
                return _OVER
            self._last += 1
            number = self._last
            self._waiting[number] = waiting
        try:
            self._send(Connect(number, destination, peer))
        except LinkClosed:
            waiting.result = _OVER
        else:
            waiting.answered.wait(timeout + _PATIENCE)
        with self._lock:
            self._waiting.pop(number, None)
        return waiting.result

    def answer(self, message: Connected, descriptor: int | None) -> None:
        """Hand the supervisor's answer to whoever asked; what nobody waits for any more is closed."""
        with self._lock:
            waiting = self._waiting.pop(message.request, None)
        if descriptor is not None:
            connected = socket.socket(fileno=descriptor)
            connected.setblocking(True)
            if waiting is None or message.failure is not None:
                connected.close()
            else:
                waiting.result = Connection(connected, message.seconds)
        elif waiting is not None:
            waiting.result = _LOST
        if waiting is not None:
            if message.failure is not None:
                waiting.result = message.failure
            waiting.answered.set()

    def give_up(self, destination: str) -> None:
        """Tell those who wait for a connection to this destination that nobody needs it any more."""
        with self._lock:
            for number, waiting in list(self._waiting.items()):
                if waiting.peer is Peer.DESTINATION and waiting.destination == destination:
                    del self._waiting[number]
                    waiting.result = Outcome(Verdict.LATER, "The connection is not needed any more.")
                    waiting.answered.set()

    def close(self) -> None:
        """Tell everybody who waits, and whoever asks from now on, that no answer will come."""
        with self._lock:
            self._over = True
            for waiting in self._waiting.values():
                waiting.result = _OVER
                waiting.answered.set()
            self._waiting.clear()
