"""One line on standard error that says how far something is; only at a terminal."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Final, Self

from fluxctl.render.words import count, duration, rate

PERIOD: Final = 0.1
SOON: Final = 0.5
"""Seconds after which somebody who waits wants to see that something is going on, and between two looks."""


class Progress:
    """A line that is drawn again and again, and is gone at the end."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._shown = sys.stderr.isatty()
        self._began = time.monotonic()
        self._drawn = 0.0

    def at(self, done: int, total: int, size: int) -> None:
        """Show that `done` images of `total` are through, `size` bytes in all."""
        now = time.monotonic()
        if not self._shown or now - self._drawn < PERIOD:
            return
        self._drawn = now
        self._write(line(self._label, done, total, size, now - self._began))

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r{text}\x1b[K")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._write("")


class Waiting:
    """A line that says for how long something is being waited for; gone at the end."""

    def __init__(self, label: str, most: float) -> None:
        """`most` is how many seconds of silence it is given; 0 if that is not known."""
        self._label, self._most = label, most
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="waiting", daemon=True)
        self._shown = sys.stderr.isatty()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(SOON):
            text = waited(self._label, time.monotonic() - began, self._most)
            sys.stderr.write(f"\r{text}\x1b[K")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        if self._shown:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._shown:
            self._thread.join()
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def waited(label: str, seconds: float, most: float) -> str:
    """Return what is waited for, and for how long: "Asking STM_RIS, 12 s (given up after 40 s of silence)"."""
    bound = f" (given up after {most:.0f} s of silence)" if most else ""
    return f"{label}, {seconds:.0f} s{bound}"


def line(label: str, done: int, total: int, size: int, seconds: float) -> str:
    """Return how far it is, how fast, and how long it will take: "Reading 57 of 120 images, 12.3 MiB/s, 33 s left"."""
    parts = [f"{label} {done:,} of {count(total, 'image')}"]
    if seconds > 1 and size > 0:
        parts.append(rate(size / seconds))
    if seconds > 3 and 0 < done < total:
        parts.append(f"{duration(seconds / done * (total - done))} left")
    return ", ".join(parts)
