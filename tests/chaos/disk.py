"""A disk of its own for a test: ext4 in a file, which can lose power and fill up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.images import MIB
from tests.peers.privilege import root_prefix
from tests.wait import wait_for

_COMMAND_TIME = 120.0
_HAVE_ALONE = "import os, sys; os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)"
_BALLAST = "ballast"


class NoLoopMounts(AssertionError):
    """This user, or this machine, cannot mount a file as a disk."""


class Disk:
    """An ext4 file system in a sparse file, mounted while the `with` block runs.

    Mounting needs root, or sudo without a password. Files belong to the user who runs the tests.
    """

    def __init__(self, folder: Path, *, size: int = 256 * MIB) -> None:
        self._image = folder / "disk.img"
        self._size = size
        self.path = folder / "disk"
        prefix = root_prefix()
        if prefix is None:
            msg = "a disk that loses power needs root, or sudo without a password, to mount a file"
            raise NoLoopMounts(msg)
        self._prefix = prefix
        self._device = ""

    def power_cut(self) -> None:
        """Stop the file system at once: what was not synced is lost, and every call from now on fails with EIO.

        The journal is not flushed: that, not `xfs_io`'s `shutdown -f`, is what a power cut does.
        Call `power_on` for what comes after.
        """
        self._run("/usr/sbin/xfs_io", "-x", "-c", "shutdown", str(self.path))

    def power_on(self) -> None:
        """Come back after a power cut: nothing is cached, the journal is replayed and the file system checked.

        Every program that used the disk has to have ended. Fails if the check finds damage.
        """
        self._unmount()
        self._mount()
        self._unmount()
        self._run("/usr/sbin/e2fsck", "-f", "-n", self._device)
        self._mount()

    def free(self) -> int:
        """Return how many bytes can still be written."""
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Take up all space but `leave` bytes, to within a block or two."""
        with (self.path / _BALLAST).open("ab") as ballast:
            taken, step = ballast.tell(), 64 * MIB
            while (step := min(step, self.free() - leave)) > 0:
                try:
                    os.posix_fallocate(ballast.fileno(), taken, step)
                except OSError:
                    step //= 2
                else:
                    taken += step

    def make_room(self) -> None:
        """Give back what `fill` has taken."""
        (self.path / _BALLAST).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as image:
            image.truncate(self._size)
        owner = f"root_owner={os.getuid()}:{os.getgid()}"
        self._run("/usr/sbin/mkfs.ext4", "-q", "-F", "-m", "0", "-E", owner, str(self._image))
        try:
            self._run("/usr/bin/mount", "--bind", "--make-shared", str(self.path), str(self.path))
            self._device = self._run("/usr/sbin/losetup", "--find", "--show", str(self._image)).strip()
            self._mount()
        except NoLoopMounts:
            self._detach()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._unmount()
        finally:
            self._try("/usr/bin/umount", "--lazy", str(self.path))
            self._try("/usr/bin/umount", "--lazy", str(self.path))
            self._detach()
            self._image.unlink()

    def _mount(self) -> None:
        self._run("/usr/bin/mount", "-t", "ext4", "-o", "noatime", self._device, str(self.path))

    def _unmount(self) -> None:
        """Unmount; a program that was killed a moment ago may still hold a file open.

        A container that is made at this moment has a copy of all mounts. As long as it has, mounting again would bring
        the file system back as it was, without power. So the mount is below one that is shared: what is unmounted
        there goes from all copies.
        """
        if not os.path.ismount(self.path):
            return
        wait_for(
            lambda: self._try("/usr/bin/umount", str(self.path)).returncode == 0, what=f"{self.path} to be unmounted"
        )
        alone = (sys.executable, "-c", _HAVE_ALONE, self._device)
        wait_for(lambda: self._try(*alone).returncode == 0, what=f"{self._device} to be in no container any more")

    def _detach(self) -> None:
        if self._device:
            self._try("/usr/sbin/losetup", "--detach", self._device)
            self._device = ""

    def _try(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._prefix, *command], capture_output=True, text=True, check=False, timeout=_COMMAND_TIME
        )

    def _run(self, *command: str) -> str:
        done = self._try(*command)
        if done.returncode:
            msg = f"a disk that loses power needs loop mounts, and {' '.join(command)} failed: {done.stderr.strip()}"
            raise NoLoopMounts(msg)
        return done.stdout
