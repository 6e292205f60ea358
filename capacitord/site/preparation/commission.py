"""An image that is to be prepared, from the order to the result."""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterator
from typing import Protocol

from capacitord.errors import CapacitordError
from capacitord.site.preparation.messages import AsReceived, Done, Drew, Made, NotMade, Work


class Readable(Protocol):
    """An image as it was received."""

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset; raises what the spool raises."""


class Product:
    """A prepared image, in memory: its length, and what it is now."""

    def __init__(self, made: Made, data: memoryview) -> None:
        self.transfer_syntax_uid, self.sop_instance_uid = made.transfer_syntax_uid, made.sop_instance_uid
        self.length, self.data, self.codes, self.without = made.length, data, made.codes, made.without


class Drawn:
    """A picture of an image as a PNG file, in memory, and what it shows."""

    def __init__(self, drew: Drew, data: memoryview) -> None:
        self.rows, self.columns, self.frame, self.frames = drew.rows, drew.columns, drew.frame, drew.frames
        self.window, self.is_whole, self.data = drew.window, drew.is_whole, data


def in_hand(done: Done, data: memoryview) -> Product | Drawn:
    """Return what a helper made."""
    return Product(done, data) if isinstance(done, Made) else Drawn(done, data)


Key = tuple[str, int, int]
"""Which image for whom: destination, delivery, image."""

Result = Product | AsReceived | NotMade | CapacitordError
"""An error is `HelperLost`, or why the image could not be read."""

Drawing = Drawn | NotMade | CapacitordError
"""The same where a picture was asked for."""


class State(enum.Enum):
    """How far an image is."""

    QUEUED = enum.auto()
    WORKING = enum.auto()
    DONE = enum.auto()
    RELEASED = enum.auto()


class Keeper(Protocol):
    """Who counts what commissions take."""

    def release(self, commission: Commission) -> None:
        """Forget a commission."""

    def set_aside(self, commission: Commission) -> None:
        """Keep a commission for whoever asks for the same, as long as there is room."""


class Commission:
    """One image that is to be prepared or drawn. Whoever asked waits, looks at it, and releases it in the end."""

    def __init__(self, image: Readable, job: Work, key: Key, pool: Keeper) -> None:
        self.image, self.job, self.key = image, job, key
        self.state = State.QUEUED
        self.cost = 0
        self.overtaken = 0
        self._result: Result | Drawing | None = None
        self._done = threading.Event()
        self._pool = pool

    @property
    def is_begun(self) -> bool:
        """Whether it is being worked on, or was."""
        return self.state is not State.QUEUED

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for the result; return whether there is one."""
        return self._done.wait(seconds)

    @property
    def result(self) -> Result:
        """What came of an image that was to be prepared. Only when it is done."""
        if self._result is None or isinstance(self._result, Drawn):
            msg = "the image is not prepared yet"
            raise ValueError(msg)
        return self._result

    @property
    def drawing(self) -> Drawing:
        """What came of an image that was to be drawn. Only when it is done."""
        if self._result is None or isinstance(self._result, Product | AsReceived):
            msg = "the image is not drawn yet"
            raise ValueError(msg)
        return self._result

    def finish(self, result: Result | Drawing) -> None:
        """Take the result. For the pool."""
        self._result = result
        self._done.set()

    def release(self) -> None:
        """Say that the result is not needed any more, or that it is not wanted."""
        self._pool.release(self)
        self._result = None

    def set_aside(self) -> None:
        """Say that the result is not needed now, but perhaps soon: for the same image and the same job."""
        self._pool.set_aside(self)
