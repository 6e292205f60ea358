"""A program that rotates the keys in a directory and kills itself at a given step on the disk."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from capacitord.seal.disk import LocalDisk
from capacitord.seal.keystore import KeyStore


class DeadlyDisk(LocalDisk):
    """This machine's disk, until as many steps were taken as it is given."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def _step(self) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1

    def make_directory(self, path: Path) -> None:
        self._step()
        super().make_directory(path)

    def write(self, path: Path, data: bytes) -> None:
        self._step()
        if self._left == 0:
            path.write_bytes(data[: len(data) // 2])
        self._step()
        super().write(path, data)

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        super().rename(old, new)

    def sync(self, directory: Path) -> None:
        self._step()
        super().sync(directory)

    def shred(self, path: Path) -> None:
        self._step()
        if self._left == 0:
            path.write_bytes(bytes(path.stat().st_size))
        self._step()
        super().shred(path)

    def remove_directory(self, path: Path) -> None:
        self._step()
        super().remove_directory(path)


def main() -> None:
    """Rotate the keys in the directory named first, for as many steps as named second."""
    store = KeyStore(Path(sys.argv[1]), disk=DeadlyDisk(int(sys.argv[2])))
    store.unlock()
    store.rotate()


if __name__ == "__main__":
    main()
