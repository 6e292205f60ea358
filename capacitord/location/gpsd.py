"""Positions from gpsd: its JSON protocol over TCP (gpsd_json(5)), read line by line.

A position counts if the receiver has a fix, says how exact it is, and its clock goes on: a receiver, or a gpsd, that
repeats an old fix says nothing. Ages come from two clocks, when a fix arrived here and what time it says itself, so
that fixes which were held up on their way are as old as they are.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import msgspec

from capacitord.location.evidence import Observation, words_of

LONGEST_LINE: Final = 1 << 16
_MOST_RECEIVERS: Final = 8
_GREETING: Final = 5.0
_SILENCE: Final = 10.0
"""Seconds without a line after which gpsd is asked whether it is there, and then given as many to answer."""
_SHORTEST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 10.0
_DRIFT: Final = 0.001
"""Seconds a second that this box's clock may be slower than that of a satellite."""
_SIMULATED: Final = 8
_DEGREE: Final = 111_195.0
"""Metres along a meridian."""
_START: Final = "Look at it: systemctl status gpsd"
_LOOK: Final = "See what the receiver sees: cgps"


class Tpv(msgspec.Struct, frozen=True):
    """A time-position-velocity report, or any other: the parts that count (gpsd_json(5))."""

    kind: str = msgspec.field(name="class")
    device: str = ""
    mode: int = 0
    status: int = 0
    time: str = ""
    lat: float | None = None
    lon: float | None = None
    eph: float | None = None
    epx: float | None = None
    epy: float | None = None


class Position(msgspec.Struct, frozen=True):
    """Where a receiver says it is, in degrees (WGS 84) and right within `accuracy` metres. `mode` 2 is without height.

    `time` is what its satellites say, in seconds since 1970.
    """

    device: str
    latitude: float
    longitude: float
    accuracy: float
    mode: int
    time: float

    def __str__(self) -> str:
        return f"{self.latitude:.5f}, {self.longitude:.5f} ± {self.accuracy:.0f} m"


_decode = msgspec.json.Decoder(Tpv).decode


def report(line: bytes) -> Tpv | None:
    """Return what a line says; None if it is nothing that gpsd would say."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def position(tpv: Tpv) -> tuple[Position | None, str]:
    """Return the position in a report, or None and why there is none."""
    if tpv.mode < 2:
        return None, "the receiver has no fix"
    if tpv.status == _SIMULATED:
        return None, "the receiver only simulates a position"
    if tpv.lat is None or tpv.lon is None or not (abs(tpv.lat) <= 90 and abs(tpv.lon) <= 180):
        return None, "the receiver has a fix and no position"
    accuracy = tpv.eph
    if accuracy is None and tpv.epx is not None and tpv.epy is not None:
        accuracy = math.hypot(tpv.epx, tpv.epy)
    if accuracy is None or not 0 < accuracy < math.inf:
        return None, "the receiver does not say how exact its position is"
    seconds = _seconds(tpv.time)
    if seconds is None:
        return None, "the receiver does not say when it was there"
    return Position(tpv.device, tpv.lat, tpv.lon, accuracy, tpv.mode, seconds), ""


def _seconds(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if found.tzinfo is None else found.timestamp()


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


class Receiver:
    """What one receiver said last, and whether its clock goes on."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.position: Position | None = None
        self.problem = "the receiver has said nothing yet"
        self.heard = 0.0
        self._seen = -math.inf
        self._behind = 0.0
        self._goes = False

    def take(self, tpv: Tpv, now: float) -> None:
        """Take a report that arrived `now`."""
        self.heard = now
        found, problem = position(tpv)
        if found is None:
            # What it said before stays, and grows old: the time of a fix that was lost is not the time of a new one.
            self.problem = problem
            return
        self.problem = ""
        behind = now - found.time
        before = self.position
        if before is None or found.time < before.time:
            # A clock that was put back is as good as a new one, and has to show that it goes.
            self._goes, self._behind = False, behind
        elif found.time > before.time:
            self._goes = True
            self._behind = min(behind, self._behind + _DRIFT * max(0.0, now - self._seen))
        else:
            return
        self.position, self._seen = found, now

    @property
    def goes(self) -> bool:
        """Whether its clock was seen to go on."""
        return self._goes

    def age(self, now: float) -> float:
        """Return how many seconds old its position is."""
        if self.position is None:
            return math.inf
        return max(now - self._seen, now - (self.position.time + self._behind), 0.0)


def judge(receivers: list[Receiver], now: float, max_age: float, max_error: float) -> Observation[Position]:
    """Return the most exact position that counts, or why none does."""
    good = [each for each in receivers if not _fault(each, now, max_age, max_error)]
    good.sort(key=lambda each: each.position.accuracy if each.position else math.inf)
    for other in good[1:]:
        first, second = good[0].position, other.position
        if first is None or second is None:
            continue
        apart = metres_between(first, second)
        if apart > 2 * (first.accuracy + second.accuracy):
            words = f"{first.device} and {second.device} are {apart:.0f} m apart by what they say"
            return _seen(good[0], now, words, "One of them is wrong: name the other one as device in [location].")
    if good:
        return _seen(good[0], now)
    known = sorted(receivers, key=lambda each: each.age(now))
    if not known:
        return Observation(problem="gpsd has no receiver that says anything", hint=_LOOK)
    return _seen(known[0], now, _fault(known[0], now, max_age, max_error), _LOOK)


def _seen(receiver: Receiver, now: float, problem: str = "", hint: str = "") -> Observation[Position]:
    found = receiver.position
    if found is None:
        return Observation(problem=problem, hint=hint)
    words = f"{found}, {'3D' if found.mode > 2 else '2D'} fix of {found.device or 'the receiver'}"
    return Observation(None if problem else found, words, now - receiver.age(now), problem, hint if problem else "")


def _fault(receiver: Receiver, now: float, max_age: float, max_error: float) -> str:
    """Return why the position of a receiver does not count; empty if it does."""
    found = receiver.position
    if receiver.problem or found is None:
        return receiver.problem
    age = receiver.age(now)
    if age > max_age:
        stands = now - receiver.heard <= max_age
        why = " and repeated: the receiver's clock stands" if stands else ""
        return f"the position is {age:.0f} s old{why}"
    if not receiver.goes:
        return "the first position since it was listened to: the next one counts"
    if found.accuracy > max_error:
        return f"the position may be {found.accuracy:.0f} m off, more than {max_error:.0f} m"
    return ""


def metres_between(one: Position, other: Position) -> float:
    """Return how far two positions are apart, near enough for telling whether they are of one coach."""
    narrow = math.cos(math.radians((one.latitude + other.latitude) / 2))
    east = (one.longitude - other.longitude + 180) % 360 - 180
    return _DEGREE * math.hypot(one.latitude - other.latitude, east * narrow)


class _NotGpsd(Exception):
    """What is connected does not speak as gpsd does."""


class Gpsd:
    """A client of one gpsd. It connects again for as long as it is watched."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        device: str | None = None,
        max_age: float = 10.0,
        max_error: float = 100.0,
        silence: float = _SILENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where gpsd listens, and from when on a position is too old (seconds), or not exact enough (metres)."""
        self.where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
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
                    reader, writer = await asyncio.open_connection(*self._address)
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
