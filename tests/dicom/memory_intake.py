"""An intake that keeps images in memory, with chunks as small as a test likes and errors where it wants them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from capacitord.dicom.intake import Announced
from capacitord.model.image import Facts


@dataclass(frozen=True)
class Kept:
    """An image that was committed."""

    announced: Announced
    facts: Facts
    data: bytes


@dataclass
class Trouble:
    """An error to raise: when, and after how many bytes of a data set."""

    error: Exception
    when: str
    after: int = 0


class MemoryIncoming:
    """One image, collected in chunks."""

    def __init__(self, intake: MemoryIntake, announced: Announced) -> None:
        self._intake = intake
        self._announced = announced
        self._chunks: list[bytearray] = []
        self._chunk = bytearray(intake.chunk_size)
        self._filled = 0
        self.length = 0

    def space(self) -> memoryview:
        self._intake.troubled("space", self.length)
        if self._filled == len(self._chunk):
            self._chunks.append(self._chunk)
            self._chunk, self._filled = bytearray(self._intake.chunk_size), 0
        return memoryview(self._chunk)[self._filled :]

    def advance(self, count: int) -> None:
        assert 0 < count <= len(self._chunk) - self._filled
        self._intake.troubled("advance", self.length)
        self._filled += count
        self.length += count

    def write(self, data: memoryview) -> None:
        while data:
            space = self.space()
            count = min(len(space), len(data))
            space[:count] = data[:count]
            self.advance(count)
            data = data[count:]

    def commit(self, facts: Facts) -> None:
        self._intake.committing(self._announced)
        self._intake.troubled("commit", self.length)
        data = b"".join(self._chunks) + bytes(self._chunk[: self._filled])
        self._intake.end(self, Kept(self._announced, facts, data))

    def abandon(self) -> None:
        self._intake.end(self, None)
        self._intake.troubled("abandon", self.length)


@dataclass
class MemoryIntake:
    """Keeps every image that is committed, in order; `open` holds those on their way."""

    chunk_size: int = 131056
    trouble: Trouble | None = None
    committing: Callable[[Announced], None] = lambda _: None
    kept: list[Kept] = field(default_factory=list)
    abandoned: int = 0
    open: set[MemoryIncoming] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, announced: Announced) -> MemoryIncoming:
        self.troubled("begin", 0)
        incoming = MemoryIncoming(self, announced)
        with self._lock:
            self.open.add(incoming)
        return incoming

    def troubled(self, when: str, length: int) -> None:
        if self.trouble is not None and self.trouble.when == when and length >= self.trouble.after:
            raise self.trouble.error

    def end(self, incoming: MemoryIncoming, kept: Kept | None) -> None:
        with self._lock:
            self.open.discard(incoming)
            if kept is None:
                self.abandoned += 1
            else:
                self.kept.append(kept)

    def by_uid(self) -> dict[str, Kept]:
        return {kept.announced.sop_instance_uid: kept for kept in self.kept}
