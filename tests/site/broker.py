"""A supervisor's broker for tests: connects for `Connections` as the profile would say, and can be slow about it."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Self

from capacitord.link.messages import Connect, Connected, Peer
from capacitord.model.outcome import Outcome, Verdict
from capacitord.site.connections import Connections

REFUSED = Outcome(Verdict.LATER, "Nothing listens there.")


class Broker:
    """Answers each request for a connection in a thread, but for destinations in `never`.

    `asked` counts requests by destination; the worklist's source goes by the name of "worklist".
    """

    def __init__(self, **targets: int) -> None:
        """`targets` are ports of this machine by destination."""
        self.targets = dict(targets)
        self.asked: dict[str, int] = {}
        self.never: set[str] = set()
        self.connections = Connections(self._ask)
        self._answering = threading.Event()
        self._answering.set()
        self._threads: list[threading.Thread] = []

    def hold(self) -> None:
        """Answer nobody until `go_on`: a connection that does not come about."""
        self._answering.clear()

    def go_on(self) -> None:
        self._answering.set()

    def _ask(self, wanted: Connect) -> None:
        name = _named(wanted)
        self.asked[name] = self.asked.get(name, 0) + 1
        if name in self.never:
            return
        thread = threading.Thread(target=self._connect, args=(wanted,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _connect(self, wanted: Connect) -> None:
        began = time.monotonic()
        assert self._answering.wait(60)
        try:
            made = socket.create_connection(("127.0.0.1", self.targets[_named(wanted)]), timeout=10)
        except OSError:
            self.connections.answer(Connected(wanted.request, time.monotonic() - began, REFUSED), None)
            return
        made.setblocking(False)
        self.connections.answer(Connected(wanted.request, time.monotonic() - began), made.detach())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connections.close()
        self.go_on()
        for thread in self._threads:
            thread.join(15)
            assert not thread.is_alive()


def _named(wanted: Connect) -> str:
    return wanted.destination if wanted.peer is Peer.DESTINATION else wanted.peer
