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
        if self._systemd.socket is not None:
            # A word that systemd has no room for is better lost than waited for.
            self._systemd.socket.setblocking(False)
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog = int(microseconds) / 1e6 if ours and microseconds.isdecimal() else 0.0

    def ready(self) -> None:
        """Say that the control socket answers."""
        self._systemd.notify("READY=1")

    def status(self, text: str) -> None:
        """Say in words what goes on."""
        line = " ".join(text.split()).encode("ascii", "replace").decode()
        self._systemd.notify(f"STATUS={line}")

    def stopping(self, seconds: float) -> None:
        """Say that the end begins, and that it may take so many seconds."""
        self._systemd.notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    async def watchdog(self) -> None:
        """Say "alive" as often as systemd asks, for as long as the event loop runs this; return if it does not ask."""
        while self._watchdog:
            self._systemd.notify("WATCHDOG=1")
            await asyncio.sleep(self._watchdog / 3)
