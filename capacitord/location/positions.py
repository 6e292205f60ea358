"""Positions as receivers report them by gpsd: which of them count, and how old they are.

A position counts if the receiver has a fix, says how exact it is, and its clock goes on: a receiver, or a gpsd, that
repeats an old fix says nothing. Ages come from two clocks, when a fix arrived here and what time it says itself, so
that fixes which were held up on their way are as old as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

import msgspec

from capacitord.location.evidence import Observation

_DRIFT: Final = 0.001
"""Seconds a second that this box's clock may be slower than that of a satellite."""
_UNMEASURED: Final[Mapping[int, str]] = MappingProxyType(
    {
        5: "the receiver only reckons where it is, from where it was",
        7: "the receiver only tells the time, and repeats where it was set up",
        8: "the receiver only simulates a position",
    }
)
"""Of the `status` of a fix, what comes from no satellite now (gpsd_json(5))."""
_DEGREE: Final = 111_195.0
"""Metres along a meridian."""
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
    if tpv.status in _UNMEASURED:
        return None, _UNMEASURED[tpv.status]
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
