"""What systemd is told (sd_notify(3)): ready, what goes on, still alive, stopping."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

import sdnotify  # type: ignore[import-untyped]


class Notifier:
    """Tells systemd, if it asked to be told; else does nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._systemd = sdnotify.SystemdNotifier()
        self._unsaid = ""
        if self._systemd.socket is not None:
            # A word that systemd has no room for is not waited for, but said again with the next sign of life.
            self._systemd.socket.setblocking(False)
            self._systemd.debug = True
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog = int(microseconds) / 1e6 if ours and microseconds.isdecimal() else 0.0

    def ready(self) -> None:
        """Say that the control socket answers."""
        self._say("READY=1")

    def status(self, text: str) -> None:
        """Say in words what goes on."""
        line = " ".join(text.split()).encode("ascii", "replace").decode()
        self._unsaid = f"STATUS={line}"
        self._repeat()

    def stopping(self, seconds: float) -> None:
        """Say that the end begins, and that it may take so many seconds."""
        self._say(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    async def watchdog(self) -> None:
        """Say "alive" as often as systemd asks, for as long as the event loop runs this; return if it does not ask."""
        while self._watchdog:
            self._say("WATCHDOG=1")
            self._repeat()
            await asyncio.sleep(self._watchdog / 3)

    def _repeat(self) -> None:
        """Say what goes on if systemd has not heard it."""
        if self._unsaid and self._say(self._unsaid):
            self._unsaid = ""

    def _say(self, words: str) -> bool:
        """Tell systemd; return whether it has heard."""
        if self._systemd.socket is None:
            return True
        try:
            self._systemd.notify(words)
        except OSError:
            return False
        return True
