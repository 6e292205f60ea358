"""How a page may look here: its width, its colours, its letters, its clock."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TextIO

WIDEST = 120
"""Lines longer than this are hard to read, however wide the terminal."""


@dataclass(frozen=True)
class Look:
    """What a page may use. `zone` None means the zone of this machine; `now` is what ages are counted from."""

    width: int
    color: bool
    unicode: bool
    now: datetime
    zone: tzinfo | None = None


def look_of(stream: TextIO, environment: Mapping[str, str], now: datetime | None = None) -> Look:
    """Return what `stream` allows: colours only on a terminal and never with NO_COLOR; 80 columns when unknown."""
    terminal = stream.isatty()
    columns = shutil.get_terminal_size((80, 24)).columns if terminal else _number(environment.get("COLUMNS", ""))
    return Look(
        width=max(40, min(columns or 80, WIDEST)),
        color=terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb",
        unicode=speaks_unicode(stream),
        now=now or datetime.now(UTC),
    )


def speaks_unicode(stream: TextIO) -> bool:
    """Return whether `stream` has letters for our symbols."""
    return (stream.encoding or "").lower().startswith("utf")


def stdout_look(now: datetime | None = None) -> Look:
    """Return what this process' standard output allows."""
    return look_of(sys.stdout, os.environ, now)


def stderr_look(now: datetime | None = None) -> Look:
    """Return what this process' standard error allows."""
    return look_of(sys.stderr, os.environ, now)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 5 else 0
