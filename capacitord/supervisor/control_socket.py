"""The control socket's place in the file system: one daemon at a time, and nothing of others removed.

A lock file beside the socket is held as long as the daemon lives. Only its holder replaces a socket that a killed
daemon left, and only after nobody answered on it. The lock file stays: removing it would let two daemons hold two.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from pathlib import Path
from typing import Final

from capacitord.api.socket_path import MAX_BYTES
from capacitord.errors import Invalid, Refused
from capacitord.supervisor.files import failure, typed

_MODE: Final = 0o666
_PROBE: Final = 2.0


class Lock:
    """A lock file, held until `release` or the end of this process. It names the holder's pid."""

    def __init__(self, path: Path, what: str) -> None:
        """Take the lock; `Refused`, naming the holder, if another process has it. `what` is what it guards."""
        self.path = path
        with typed(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            os.close(handle)
            msg = f"capacitord runs already with this {what}" + (f": process {holder}" if holder else "")
            raise Refused(msg, where=str(path), hint="Stop that one first, or give this one its own.") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle

    def release(self) -> None:
        """Let the lock go."""
        os.close(self._handle)


class ControlSocket:
    """A listening Unix socket at `path`, with its lock."""

    def __init__(self, path: Path) -> None:
        """Bind. Raises `Refused` if a daemon or something foreign is there, `Invalid` for a path too long."""
        if len(str(path).encode()) > MAX_BYTES:
            msg = f"the path of the control socket is longer than {MAX_BYTES} bytes"
            raise Invalid(msg, where=str(path), hint="Choose a shorter one for [control] socket or --socket.")
        self.path = path
        _check_folder(path.parent)
        self._lock = Lock(path.with_name(path.name + ".lock"), "control socket")
        try:
            _clear(path)
            self.listener = _bind(path)
        except BaseException:
            self._lock.release()
            raise
        self._identity = _identity(path)

    def close(self) -> None:
        """Stop listening, remove the socket if it is still ours, and let the lock go."""
        self.listener.close()
        with contextlib.suppress(OSError):
            if _identity(self.path) == self._identity:
                self.path.unlink()
        self._lock.release()


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _check_folder(folder: Path) -> None:
    with typed(folder):
        for missing in reversed([step for step in (folder, *folder.parents) if not step.exists()]):
            missing.mkdir()
            missing.chmod(0o755)
        found = folder.stat()
    if found.st_mode & 0o022 or found.st_uid not in {0, os.geteuid()}:
        msg = "others could put their own socket into this folder"
        hint = f"Give it to the user of capacitord alone: chown {os.geteuid()} {folder}; chmod 755 {folder}"
        raise Refused(msg, where=str(folder), hint=hint)


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on; whoever calls this holds the lock."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise failure(error, path) from None
    if not stat.S_ISSOCK(mode):
        msg = "something that is not a socket is in the place of the control socket"
        raise Refused(msg, where=str(path), hint="Move it away, or name another path with --socket.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ETIMEDOUT} and not isinstance(error, TimeoutError):
                raise failure(error, path) from None
    msg = "another program answers on the control socket"
    raise Refused(msg, where=str(path), hint="Stop it, or name another path with --socket.")


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with typed(path):
            listener.bind(str(path))
            # Everybody may connect: who may do what is decided by the peer's credentials, with an answer that says why.
            path.chmod(_MODE)
        listener.listen(64)
    except BaseException:
        listener.close()
        raise
    return listener
