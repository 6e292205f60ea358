"""A helper process as the runtime sees it: started by exec, given one image at a time, ended by its handle.

What it works on are images from anywhere, read by libraries: so it may crash, hang or take all the memory it is
allowed. That costs the image it had, and nothing else.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from capacitord.errors import CapacitordError
from capacitord.link.channel import Channel, LinkBroken, LinkClosed, pair
from capacitord.site.preparation.memory import NotSealed, mapped
from capacitord.site.preparation.messages import (
    AsReceived,
    Begin,
    Done,
    Follow,
    FromHelper,
    Job,
    NotMade,
    Ready,
    ToHelper,
    Work,
)

START_PATIENCE: Final = 300.0
"""Seconds for loading the libraries, on a machine that has other things to do."""

_END_PATIENCE: Final = 2.0
_AGAIN: Final = "It is tried again."


class HelperLost(CapacitordError):
    """A helper process ended, hung or said what it must not: the image may be prepared by another one."""

    reference = "helper-lost"


class Helper:
    """One helper process: `begin`, then `make`. For one thread; after a `HelperLost` it is of no more use."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it, and wait for nothing. Raises `HelperLost` if it cannot be."""
        ours, theirs = pair()
        self._socket = ours
        self._channel: Channel[ToHelper, FromHelper] = Channel(ours, FromHelper)
        self._recipe: object = None
        self._numbers = itertools.count(1)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr.fileno(),
                )
        except OSError as error:
            ours.close()
            msg = f"A helper process of this box cannot be started: {error.strerror}. {_AGAIN}"
            raise HelperLost(msg) from None
        self.pid = self._process.pid

    def begin(self, begin: Begin) -> None:
        """Wait until it has loaded its libraries, and tell it what it may have. Raises `HelperLost`."""
        answer, descriptor = self._receive(START_PATIENCE)
        if not isinstance(answer, Ready) or descriptor is not None:
            raise self._lost("did not begin as it should")
        self._tell(begin, None)

    def make(self, job: Work, descriptor: int, patience: float) -> tuple[Done, memoryview] | AsReceived | NotMade:
        """Have an image prepared, or drawn; `descriptor` is the memory file of it, which stays the caller's.

        `patience` is in seconds. Raises `HelperLost`.
        """
        if isinstance(job, Job):
            if job.recipe is not None and job.recipe is not self._recipe:
                self._tell(Follow(job.recipe), None)
                self._recipe = job.recipe
            job = msgspec.structs.replace(job, recipe=None)
        number = next(self._numbers)
        self._tell(msgspec.structs.replace(job, number=number), descriptor)
        answer, made = self._receive(patience)
        is_for_it = not isinstance(answer, Ready) and answer.number == number
        if is_for_it and isinstance(answer, Done) and made is not None:
            try:
                return answer, mapped(made, answer.length)
            except NotSealed:
                raise self._lost("handed over what is no memory file") from None
        if made is not None:
            os.close(made)
        elif is_for_it and isinstance(answer, AsReceived | NotMade):
            return answer
        raise self._lost("said what does not belong there")

    def end(self) -> None:
        """End it, which must not have an image in hand."""
        self._channel.close()
        try:
            self._process.wait(_END_PATIENCE)
        except subprocess.TimeoutExpired:
            self._kill()

    def abandon(self) -> None:
        """End it now, and never listen to what it has still to say."""
        self._socket.close()
        self._kill()

    def kill(self) -> None:
        """End it now, whatever it has in hand. For any thread."""
        self._process.kill()

    def _tell(self, message: ToHelper, descriptor: int | None) -> None:
        try:
            self._channel.send(message, descriptor)
        except LinkClosed:
            raise self._lost() from None
        except LinkBroken:
            raise self._lost("cannot be told what to do: the transforms of the profile are too large") from None

    def _receive(self, patience: float) -> tuple[FromHelper, int | None]:
        self._socket.settimeout(patience)
        try:
            return self._channel.receive()
        except TimeoutError:
            raise self._lost(f"did not come to an end within {patience:.0f} s") from None
        except LinkClosed:
            raise self._lost() from None
        except LinkBroken:
            raise self._lost("said what does not belong there") from None

    def _lost(self, how: str = "") -> HelperLost:
        """End it, and return the error to raise; without a `how` it ended by itself."""
        self._socket.close()
        if not how:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_PATIENCE)
        status = self._process.poll()
        self._kill()
        return HelperLost(f"A helper process of this box {how or _ended(status)} while it prepared the image. {_AGAIN}")

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _ended(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was ended by signal {-status} ({signal.strsignal(-status)})"
    return "ended"
