"""A disk in memory that forgets at a power cut what was not synced, and can fail at any step.

Between two syncs a file or a directory goes through states; a power cut leaves one of them, for each on its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from capacitord.errors import NotFound, StorageFailed, TryAgain

Choice = Callable[[int], int]
"""Picks the state that survives, from that many: 0 is the last that was synced."""


class Stopped(Exception):
    """The program was killed or the power failed here."""


@dataclass
class _File:
    states: list[bytes]


@dataclass
class _Directory:
    states: list[dict[str, _File | _Directory]]

    def change(self, **entries: _File | _Directory | None) -> None:
        merged = self.states[-1] | entries
        self.states.append({name: node for name, node in merged.items() if node is not None})


class MemoryDisk:
    """An implementation of `Disk`. `fail_at` counts down the steps it still takes before it raises, once."""

    def __init__(self) -> None:
        self._root = _Directory([{}])
        self._held: set[Path] = set()
        self._left: int | None = None
        self._failure: Exception = Stopped()

    def fail_at(self, step: int, failure: Exception) -> None:
        self._left = step
        self._failure = failure

    @property
    def fails_no_more(self) -> bool:
        """Whether the failure that was asked for has happened."""
        return self._left is None

    def after_power_cut(self, choose: Choice) -> MemoryDisk:
        survivor = MemoryDisk()
        survivor._root = _survivor(self._root, choose)
        return survivor

    def names(self, directory: Path) -> tuple[str, ...]:
        with contextlib.suppress(NotFound):
            return tuple(sorted(self._directory(directory).states[-1]))
        return ()

    def read(self, path: Path) -> bytes:
        return self._file(path).states[-1]

    def make_directory(self, path: Path) -> None:
        self._step()
        parent = self._directory(path.parent)
        if path.name not in parent.states[-1]:
            parent.change(**{path.name: _Directory([{}])})

    def write(self, path: Path, data: bytes) -> None:
        parent = self._directory(path.parent)
        if path.name in parent.states[-1]:
            msg = "exists"
            raise StorageFailed(msg)
        self._step()
        file = _File([b""])
        parent.change(**{path.name: file})
        self._step()
        file.states.append(data[: len(data) // 2])
        self._step()
        file.states.append(data)
        self._step()
        file.states = [data]

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        assert old.parent == new.parent
        self._directory(old.parent).change(**{old.name: None, new.name: self._node(old)})

    def sync(self, directory: Path) -> None:
        self._step()
        node = self._directory(directory)
        node.states = [node.states[-1]]

    def shred(self, path: Path) -> None:
        file = self._file(path)
        self._step()
        file.states.append(bytes(len(file.states[-1])))
        self._step()
        file.states = [file.states[-1]]
        self._step()
        self._directory(path.parent).change(**{path.name: None})

    def remove_directory(self, path: Path) -> None:
        self._step()
        if self._directory(path).states[-1]:
            msg = "not empty"
            raise StorageFailed(msg)
        self._directory(path.parent).change(**{path.name: None})

    @contextlib.contextmanager
    def hold(self, directory: Path) -> Iterator[None]:
        self._directory(directory)
        if directory in self._held:
            msg = "held"
            raise TryAgain(msg)
        self._held.add(directory)
        try:
            yield
        finally:
            self._held.discard(directory)

    def _step(self) -> None:
        if self._left == 0:
            self._left = None
            raise self._failure
        if self._left is not None:
            self._left -= 1

    def _node(self, path: Path) -> _File | _Directory:
        node: _File | _Directory = self._root
        for name in path.parts[1:]:
            found = node.states[-1].get(name) if isinstance(node, _Directory) else None
            if found is None:
                msg = "missing"
                raise NotFound(msg, where=str(path))
            node = found
        return node

    def _file(self, path: Path) -> _File:
        node = self._node(path)
        if not isinstance(node, _File):
            msg = "not a file"
            raise StorageFailed(msg)
        return node

    def _directory(self, path: Path) -> _Directory:
        node = self._node(path)
        if not isinstance(node, _Directory):
            msg = "not a directory"
            raise StorageFailed(msg)
        return node


def _survivor(directory: _Directory, choose: Choice) -> _Directory:
    entries: dict[str, _File | _Directory] = {}
    for name, node in directory.states[choose(len(directory.states))].items():
        if isinstance(node, _Directory):
            entries[name] = _survivor(node, choose)
        else:
            entries[name] = _File([node.states[choose(len(node.states))]])
    return _Directory([entries])
