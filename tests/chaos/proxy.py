"""A TCP link that can be cut, stalled, refused, throttled and corrupted while it carries traffic.

In a test::

    with Proxy(pacs.host, pacs.port) as link:
        link.cut_after(100_000, Way.UP)
        storescu(study, link.host, link.port)

As a program, steered by lines on standard input, each answered by one line of JSON::

    python -m tests.chaos.proxy 127.0.0.1 11112
    {"host": "127.0.0.1", "port": 40404}
    cut-after 100000 up
    {"connections": 3, "open": 1, "unreachable": 0, "cuts": 0, "corrupted": 0, "up": 5120, "down": 342}

Its commands are the methods of `Proxy`: clear, cut, cut-after, stall, refuse, throttle, corrupt, redirect, counters.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.chaos.link import Armed, Counters, Ending, Link, Way

__all__ = ["Counters", "Ending", "Proxy", "Way"]

_Answer = TypeVar("_Answer")

_PATIENCE = 20.0


class Proxy:
    """The link as a context manager, for use from any thread. When a method returns, what it asks for has happened.

    Faults add up; `clear` takes all of them back. A cut and a flipped bit happen once: for another one, ask again.
    """

    host = "127.0.0.1"

    def __init__(self, host: str, port: int, *, listen_port: int = 0) -> None:
        self._target = (host, port)
        self._listen_port = listen_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._opened: Future[Link] = Future()

    @property
    def port(self) -> int:
        """The port to connect to."""
        return self._link.port

    @property
    def counters(self) -> Counters:
        """What has passed until now."""

        async def act() -> Counters:
            return self._link.counters()

        return self._do(act)

    def clear(self) -> None:
        """Pass everything again, at full speed."""

        async def act() -> None:
            self._link.rate = None
            self._link.armed = {way: Armed() for way in Way}
            self._link.flowing.set()
            self._link.listen()

        self._do(act)

    def cut(self, ending: Ending = Ending.RESET) -> int:
        """End every open connection now, and return how many there were. New ones are welcome."""
        return self._do(lambda: self._link.cut(ending))

    def cut_after(self, count: int, way: Way, ending: Ending = Ending.RESET) -> None:
        """Cut the connection that carries the `count`th byte from now on, right behind that byte."""

        async def act() -> None:
            armed = self._link.armed[way]
            armed.cut_in, armed.ending = count, ending

        self._do(act)

    def stall(self) -> None:
        """Carry nothing until `clear`, not even the news that one end has gone. Connections can still be made."""

        async def act() -> None:
            self._link.flowing.clear()

        self._do(act)

    def refuse(self) -> None:
        """Refuse new connections until `clear`; those that are open go on."""
        self._do(self._refuse)

    def throttle(self, bytes_per_second: float) -> None:
        """Carry at most so much in each direction of each connection."""

        async def act() -> None:
            self._link.rate = bytes_per_second

        self._do(act)

    def corrupt(self, offset: int, way: Way, bit: int = 0) -> None:
        """Flip one bit of the byte that comes after `offset` more bytes."""

        async def act() -> None:
            armed = self._link.armed[way]
            armed.flip_in, armed.bit = offset, bit

        self._do(act)

    def redirect(self, host: str, port: int) -> None:
        """Connect to another target from the next connection on."""

        async def act() -> None:
            self._link.target = (host, port)

        self._do(act)

    def __enter__(self) -> Self:
        self._thread.start()
        self._opened.result(_PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._link.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)

    @property
    def _link(self) -> Link:
        return self._opened.result(0)

    async def _refuse(self) -> None:
        await self._link.refuse()

    def _do(self, act: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer:
        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(_PATIENCE)

    def _run(self) -> None:
        self._loop.call_soon(self._open)
        self._loop.run_forever()
        self._loop.close()

    def _open(self) -> None:
        try:
            link = Link(self._target, self._listen_port)
            link.listen()
        except OSError as error:
            self._loop.stop()
            self._opened.set_exception(error)
        else:
            self._opened.set_result(link)


_COMMANDS: dict[str, tuple[Callable[..., object], tuple[Callable[[str], object], ...]]] = {
    "clear": (Proxy.clear, ()),
    "corrupt": (Proxy.corrupt, (int, Way, int)),
    "counters": (lambda _: None, ()),
    "cut": (Proxy.cut, (Ending,)),
    "cut-after": (Proxy.cut_after, (int, Way, Ending)),
    "redirect": (Proxy.redirect, (str, int)),
    "refuse": (Proxy.refuse, ()),
    "stall": (Proxy.stall, ()),
    "throttle": (Proxy.throttle, (float,)),
}


def obey(link: Proxy, line: str) -> dict[str, Any]:
    """Carry out one command of the program form and return its answer: the counters, or an error."""
    name, *words = line.split() or [""]
    if name not in _COMMANDS:
        return {"error": f"no such command: {name}"}
    act, kinds = _COMMANDS[name]
    try:
        act(link, *(kind(word) for kind, word in zip(kinds, words, strict=False)))
    except (TypeError, ValueError) as error:
        return {"error": f"{name}: {error}"}
    return asdict(link.counters)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a link until standard input ends. The first line says where it listens."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.proxy", description="A link that breaks on demand.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--listen", type=int, default=0, metavar="PORT")
    chosen = parser.parse_args(arguments)
    with Proxy(chosen.host, chosen.port, listen_port=chosen.listen) as link, contextlib.suppress(KeyboardInterrupt):
        print(json.dumps({"host": link.host, "port": link.port}), flush=True)
        for line in sys.stdin:
            print(json.dumps(obey(link, line)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
