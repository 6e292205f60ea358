"""Short ways to say transforms, and images that are rewritten by them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from capacitord.dicom.rewriting import Opened, Rewritten
from capacitord.dicom.transform.engine import Transformed, apply
from capacitord.model.attribute import Attribute, parse
from capacitord.model.transform import On, OnError, Operation, Record, Template, Transform, template
from tests.images import Image

KEY = b"k" * 32
NOW = dt.datetime(2026, 2, 28, 8, 15, 0, 250000, dt.UTC)


def at(text: str) -> Attribute:
    """Return the attribute that a profile writes so."""
    return parse(text, tag_for_keyword)


def value(text: str) -> Template:
    """Return the template that a profile writes so."""
    return template(text, tag_for_keyword)


def transform(*operations: Operation, record: Record | None = None, on_error: OnError = OnError.HOLD) -> Transform:
    """Return an outbound transform called `test`."""
    return Transform("test", On.OUTBOUND, operations, record=record, on_error=on_error)


def applied(dataset: Dataset, *operations: Operation, **how: Any) -> Transformed:
    """Return what the operations make of a dataset."""
    return apply([transform(*operations, **how)], dataset, key=KEY, now=NOW)


class Received:
    """An image in memory, as it was received, in chunks of `size` bytes that are overwritten by the next one."""

    def __init__(self, transfer_syntax_uid: str, data: bytes, size: int = 1 << 16) -> None:
        self.transfer_syntax_uid = transfer_syntax_uid
        self.length = len(data)
        self.reads = 0
        self._data = data
        self._size = size

    @classmethod
    def of(cls, image: Image, size: int = 1 << 16) -> Received:
        """Return an image of a file."""
        return cls(image.transfer_syntax_uid, image.dataset(), size)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes, as a sealed object does."""
        buffer = bytearray(self._size)
        for start in range(0, self.length, self._size):
            piece = self._data[start : start + self._size]
            buffer[: len(piece)] = piece
            self.reads += len(piece)
            yield memoryview(buffer)[: len(piece)]
            buffer[:] = b"\xee" * self._size


def rewritten(image: Received, *operations: Operation, **how: Any) -> Rewritten:
    """Return what the operations make of an image."""
    return Opened(image).rewritten([transform(*operations, **how)], key=KEY, now=NOW)


def whole(image: Rewritten) -> bytes:
    """Return the bytes of a rewritten image, which are as many as it said before."""
    data = b"".join(bytes(piece) for piece in image.chunks())
    assert len(data) == image.length
    return data
