"""Where the control socket is: one rule for the daemon's default and for every client."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = "CAPACITORD_SOCKET"
SYSTEM: Final = Path("/run/capacitord/control.sock")
MAX_BYTES: Final = 107
"""The longest path a Unix socket can have on Linux (unix(7): sun_path holds 108 bytes with its final NUL)."""


def user_socket(environment: Mapping[str, str]) -> Path:
    """Return the control socket of a daemon that a user runs for herself."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if not runtime:
        import platformdirs  # noqa: PLC0415 - its import costs more than all the rest, and is seldom needed

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that XDG_RUNTIME_DIR is not set, which is nothing unusual
            return Path(platformdirs.user_runtime_dir("capacitord")) / "control.sock"
    return Path(runtime) / "capacitord" / "control.sock"


def find(explicit: str | None, environment: Mapping[str, str], system: Path = SYSTEM) -> Path:
    """Return the control socket to talk to.

    The first of: `explicit` (from `--socket`), CAPACITORD_SOCKET in `environment`, the system's socket if there
    is one (or if it cannot be seen for lack of permission), the user's own if there is one, the system's.
    """
    named = explicit or environment.get(ENVIRONMENT, "")
    if named:
        return Path(named).expanduser()
    try:
        system.lstat()
    except (FileNotFoundError, NotADirectoryError):
        own = user_socket(environment)
        return own if own.exists() else system
    except PermissionError:
        return system
    return system
