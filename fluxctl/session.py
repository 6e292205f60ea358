"""What the options before the command say, and the daemon they lead to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capacitord.api.socket_path import find

if TYPE_CHECKING:
    from capacitord.api.client import Client


@dataclass(frozen=True)
class Session:
    """One run of this program."""

    socket: str | None = None

    @property
    def socket_path(self) -> Path:
        """The control socket to talk to."""
        return find(self.socket, os.environ)


def session(ctx: Any) -> Session:
    """Return the session that a command runs in."""
    found = ctx.find_object(Session)
    return found if isinstance(found, Session) else Session()


def daemon(ctx: Any) -> Client:
    """Return a caller of the daemon; nothing is sent yet."""
    from capacitord.api.client import Client  # noqa: PLC0415 - commands that ask nothing need no HTTP

    return Client(session(ctx).socket_path)
