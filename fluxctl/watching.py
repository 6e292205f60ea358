"""News from the daemon for as long as somebody watches, through its restarts."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Final

from capacitord.api.messages import Event, EventQuery
from capacitord.errors import CapacitordError, NotPermitted

if TYPE_CHECKING:
    from capacitord.api.client import Client
    from capacitord.api.connection import Lines

PAUSES: Final = (0.2, 0.5, 1.0, 2.0)
"""Seconds between attempts to reach the daemon again; the last one for ever."""
TICK: Final = 0.1
ENDED: Final = "it ended the conversation; it may be restarting"


@dataclass(frozen=True)
class Lost:
    """There is no news, and why."""

    reason: str


class News:
    """Events for as long as somebody listens, through restarts of the daemon."""

    def __init__(self, client: Client, interval: float) -> None:
        self._client = client
        self._query = EventQuery(interval=interval)
        self._stop = threading.Event()
        self._lines: Lines[Event] | None = None

    def __iter__(self) -> Iterator[Event | Lost]:
        """Yield events, and `Lost` whenever they end. Raises if the first attempt fails, or is not permitted."""
        attempt, known = 0, False
        while not self._stop.is_set():
            try:
                with self._client.events(self._query) as self._lines:
                    for event in () if self._stop.is_set() else self._lines:
                        attempt, known = 0, True
                        yield event
                lost = Lost(ENDED)
            except CapacitordError as error:
                if not known or isinstance(error, NotPermitted):
                    raise
                lost = Lost(error.message)
            if not self._stop.is_set():
                yield lost
            self._stop.wait(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1

    def close(self) -> None:
        """Hang up, from any thread; whoever iterates comes to the end."""
        self._stop.set()
        if self._lines is not None:
            self._lines.hang_up()


class Feed:
    """News read by a thread of its own."""

    def __init__(self, client: Client, interval: float) -> None:
        self._queue: queue.SimpleQueue[Event | Lost | BaseException] = queue.SimpleQueue()
        self._news = News(client, interval)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for item in self._news:
                self._queue.put(item)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that watches
            self._queue.put(error)

    def waiting(self, seconds: float) -> list[Event | Lost]:
        """Return what has come in, waiting at most `seconds` for the first. Raises what the reader met."""
        found: list[Event | Lost] = []
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._queue.get(timeout=0 if found else seconds)
                if isinstance(item, BaseException):
                    raise item
                found.append(item)
        return found

    def close(self) -> None:
        """End the conversation."""
        self._news.close()
        self._thread.join(timeout=2.0)


@contextlib.contextmanager
def keys() -> Iterator[int | None]:
    """Read single keys unseen; yield the descriptor to read, None without a terminal. Puts the terminal back."""
    if not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def orderly_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this as an exception, so that the terminal is put back; do not stop half-way."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pressed_q(descriptor: int | None) -> bool:
    """Return whether q was pressed since the last look."""
    if descriptor is None or not select.select([descriptor], [], [], 0)[0]:
        return False
    return b"q" in os.read(descriptor, 64).lower()


def watch_live(client: Client, interval: float) -> None:
    """Draw the live page until q or Ctrl-C."""
    from rich.live import Live  # noqa: PLC0415 - only at a terminal

    from fluxctl.render.look import stdout_look  # noqa: PLC0415
    from fluxctl.render.page import console, harmless  # noqa: PLC0415
    from fluxctl.render.watch import Picture, after, page  # noqa: PLC0415

    picture = Picture()
    feed = Feed(client, interval)
    try:
        items = feed.waiting(30.0)  # before the screen is taken: a daemon that is not there is an ordinary error
        page_of = console(stdout_look(), sys.stdout)
        live = Live(console=page_of, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        drawn = 0.0
        with orderly_end(), keys() as keyboard, live:
            while not pressed_q(keyboard):
                for item in items:
                    picture = replace(picture, lost=item.reason) if isinstance(item, Lost) else after(picture, item)
                if items or time.monotonic() - drawn >= 1:
                    look = stdout_look()
                    page_of.width = look.width
                    live.update(harmless(page(picture, look), look), refresh=True)
                    drawn = time.monotonic()
                items = feed.waiting(TICK)
    finally:
        feed.close()
