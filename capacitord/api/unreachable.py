"""Why nobody answers on the control socket, and what to do about it."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from capacitord.api.socket_path import MAX_BYTES
from capacitord.errors import CapacitordError, NotPermitted, TryAgain, Unreachable

START: Final = "Start it: sudo systemctl start capacitord (or by hand: capacitord run)."
OTHER: Final = "If it listens elsewhere, name its socket with --socket or CAPACITORD_SOCKET."
LOGS: Final = "See what it says: journalctl -u capacitord -n 50; then: sudo systemctl restart capacitord."


def explain(path: Path, error: OSError) -> CapacitordError:
    """Return what to tell a person after connecting to `path` failed with `error`, or an answer never came."""
    where = str(path)
    if isinstance(error, TimeoutError):
        return Unreachable("capacitord accepted the connection but does not answer", where=where, hint=LOGS)
    if error.errno == errno.EAGAIN:
        return TryAgain("capacitord has too many callers", where=where, hint="Try again in a moment.")
    if isinstance(error, PermissionError):
        return _not_permitted(path)
    message, hint = _why(path, error)
    return Unreachable(message, where=where, hint=hint)


def _why(path: Path, error: OSError) -> tuple[str, str]:
    if len(bytes(path)) > MAX_BYTES:
        return "the path of the control socket is too long", f"Use one of at most {MAX_BYTES} bytes."
    if not path.exists():
        return "capacitord is not running: its control socket does not exist", f"{START} {OTHER}"
    mode = path.stat().st_mode
    if not stat.S_ISSOCK(mode):
        return f"this is a {_kind(mode)}, not a control socket", OTHER
    if isinstance(error, ConnectionRefusedError):
        return "capacitord is not running: it crashed or was killed, and left its control socket behind", LOGS
    if isinstance(error, ConnectionError):
        return "capacitord hung up before it answered; it may be restarting", f"Try again in a moment. {LOGS}"
    return f"capacitord cannot be reached: {error.strerror or error}", LOGS


def _kind(mode: int) -> str:
    kinds = {stat.S_IFREG: "regular file", stat.S_IFDIR: "directory", stat.S_IFIFO: "named pipe"}
    return kinds.get(stat.S_IFMT(mode), "device")


def _not_permitted(path: Path) -> NotPermitted:
    """Name the first thing on the way to the socket that keeps this user out, and the group that may pass."""
    folders = [*reversed(path.absolute().parents)]
    blocked = next((folder for folder in folders if not os.access(folder, os.X_OK)), path)
    try:
        gid = blocked.stat().st_gid
    except OSError:
        gid = 0
    if gid == 0:
        hint = "Only root may use it: try again with sudo."
    else:
        group = _name(grp.getgrgid, gid)
        user = _name(pwd.getpwuid, os.geteuid())
        hint = f"Its group is {group}: sudo usermod -aG {group} {user}, then log in again."
    return NotPermitted("you may not use the control socket of capacitord", where=str(blocked), hint=hint)


def _name(look_up: Callable[[int], Sequence[object]], number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)
