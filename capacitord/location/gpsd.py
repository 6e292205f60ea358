"""A client of gpsd: its JSON protocol over TCP (gpsd_json(5)), read line by line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from capacitord.location.connecting import Resolve, connect
from capacitord.location.evidence import Observation, seconds, words_of
from capacitord.location.positions import Position, Receiver, judge, report

LONGEST_LINE: Final = 1 << 16
_MOST_RECEIVERS: Final = 8
_GREETING: Final = 5.0
_SILENCE: Final = 10.0
"""Seconds without a line after which gpsd is asked whether it is there, and then given as many to answer."""
_SHORTEST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 10.0
_START: Final = "Look at it: systemctl status gpsd"


class Lines:
    """Bytes cut into lines. A line that is too long is passed over to its end."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that are whole now; at most `longest` bytes are kept of one that is not."""
        *whole, rest = (self._rest + data).split(b"\n")
        for line in whole:
            if not self._skipping and len(line) <= self._longest:
                yield line
            self._skipping = False
        self._skipping |= len(rest) > self._longest
        self._rest = b"" if self._skipping else rest


class _NotGpsd(Exception):
    """What is connected does not speak as gpsd does."""


class Gpsd:
    """A client of one gpsd. It connects again for as long as it is watched."""

    def __init__(
        self,
        resolve: Resolve,
        host: str,
        port: int,
        *,
        device: str | None = None,
        max_age: float = 10.0,
        max_error: float = 100.0,
        silence: float = _SILENCE,
        clock: Callable[[], float] = seconds,
    ) -> None:
        """Take where gpsd listens, and from when on a position is too old (seconds), or not exact enough (metres)."""
        self.where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._resolve = resolve
        self._address = (host, port)
        self._device = device
        self._limits = (max_age, max_error)
        self._silence = silence
        self._clock = clock
        self._receivers: dict[str, Receiver] = {}
        self._greeted = False
        self._problem = f"gpsd at {self.where} was not asked yet"

    @property
    def latest(self) -> Observation[Position]:
        """The position as of now."""
        found = judge(list(self._receivers.values()), self._clock(), *self._limits)
        if not self._problem:
            return found
        # What was heard until the connection broke counts for as long as it is young.
        return found if found.value is not None else msgspec.structs.replace(found, problem=self._problem, hint=_START)

    @property
    def connected(self) -> bool:
        """Whether gpsd answers."""
        return not self._problem

    async def watch(self) -> None:
        """See `evidence.Plug`."""
        wait = _SHORTEST_WAIT
        while True:
            self._greeted = False
            try:
                async with asyncio.timeout(_GREETING):
                    reader, writer = await connect(self._resolve, *self._address, own=True)
            except TimeoutError:
                self._problem = f"gpsd at {self.where} does not answer"
            except OSError as error:
                self._problem = f"gpsd at {self.where} can't be reached ({words_of(error)})"
            else:
                self._problem = await self._session(reader, writer)
            wait = _SHORTEST_WAIT if self._greeted else min(2 * wait, _LONGEST_WAIT)
            await asyncio.sleep(wait)

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Take what gpsd says until it says nothing more; return why that is."""
        watch = {"enable": True, "json": True, **({"device": self._device} if self._device else {})}
        writer.write(f"?WATCH={json.dumps(watch, separators=(',', ':'))};\n".encode())
        lines = Lines()
        try:
            async with asyncio.timeout(_GREETING):
                while not self._greeted:
                    await self._read(reader, lines)
            while True:
                try:
                    async with asyncio.timeout(self._silence):
                        await self._read(reader, lines)
                except TimeoutError:
                    writer.write(b"?VERSION;\n")
                    async with asyncio.timeout(self._silence):
                        await self._read(reader, lines)
        except TimeoutError:
            return f"gpsd at {self.where} does not answer"
        except _NotGpsd:
            return f"what answers at {self.where} is not gpsd"
        except OSError:
            return f"gpsd at {self.where} hung up"
        finally:
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, lines: Lines) -> None:
        """Take what has arrived, when something has. Raises `OSError` at the end of the stream."""
        data = await reader.read(1 << 16)
        if not data:
            raise ConnectionResetError
        for line in lines.feed(data):
            self._take(line)

    def _take(self, line: bytes) -> None:
        said = report(line)
        if not self._greeted:
            if said is None or said.kind != "VERSION":
                raise _NotGpsd
            self._greeted, self._problem = True, ""
        if said is None or said.kind != "TPV" or (self._device and said.device != self._device):
            return
        receiver = self._receivers.get(said.device)
        if receiver is None:
            if len(self._receivers) == _MOST_RECEIVERS:
                del self._receivers[min(self._receivers, key=lambda name: self._receivers[name].heard)]
            receiver = self._receivers[said.device] = Receiver(said.device)
        receiver.take(said, self._clock())
