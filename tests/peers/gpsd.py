"""A real gpsd, and receivers for it: pseudo-terminals on which somebody writes NMEA 0183."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from pathlib import Path
from typing import NamedTuple

from tests.peers.program import Program, Server

GPSD = "/usr/sbin/gpsd"
_CYCLE = 0.2
_UERE = 19.0
"""Metres that gpsd takes for each unit of horizontal dilution."""


class Fix(NamedTuple):
    """What a receiver says. `quality` is that of GGA: 0 is none, 1 is one by satellites, 8 is simulated.

    `error` in metres is what gpsd makes of the dilution of precision that is sent.
    """

    latitude: float
    longitude: float
    error: float = 17.1
    quality: int = 1


def sentence(body: str) -> str:
    """Return an NMEA sentence with its checksum."""
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n"


def degrees(value: float, width: int) -> str:
    """Return degrees as NMEA writes them: degrees and minutes in one."""
    whole = int(abs(value))
    return f"{whole:0{width}d}{(abs(value) - whole) * 60:08.5f}"


def cycle(fix: Fix, at: datetime) -> bytes:
    """Return what a receiver sends in one cycle."""
    clock, day = f"{at:%H%M%S}.{at.microsecond // 10000:02d}", f"{at:%d%m%y}"
    place = (
        f"{degrees(fix.latitude, 2)},{'N' if fix.latitude >= 0 else 'S'},"
        f"{degrees(fix.longitude, 3)},{'E' if fix.longitude >= 0 else 'W'}"
    )
    if not fix.quality:
        return (sentence(f"GPGGA,{clock},,,,,0,00,,,M,,M,,") + sentence(f"GPRMC,{clock},V,,,,,,,{day},,,N")).encode()
    hdop = fix.error / _UERE
    return "".join(
        sentence(body)
        for body in (
            f"GPGGA,{clock},{place},{fix.quality},09,{hdop:.1f},180.0,M,-33.0,M,,",
            f"GPGSA,A,3,01,02,03,04,05,06,07,08,09,,,,{hdop + 1:.1f},{hdop:.1f},1.3",
            f"GPRMC,{clock},A,{place},0.0,0.0,{day},,,{'S' if fix.quality == 8 else 'A'}",
        )
    ).encode()


class Receiver:
    """A receiver on a pseudo-terminal: says `fix` five times a second, with the time by `clock`; None is silence."""

    def __init__(self, fix: Fix | None, clock: Callable[[], float] = time.time) -> None:
        self.fix = fix
        self.clock = clock
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        Path(self.path).chmod(0o666)  # gpsd gives its privileges up
        os.set_blocking(self._master, False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._say, daemon=True)
        self._thread.start()

    def _say(self) -> None:
        while not self._ended.wait(_CYCLE):
            if self.fix is not None:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._master, cycle(self.fix, datetime.fromtimestamp(self.clock(), UTC)))
            with contextlib.suppress(BlockingIOError):
                os.read(self._master, 1 << 16)  # what gpsd asks the receiver

    def close(self) -> None:
        """Unplug it."""
        self._ended.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)


@contextlib.contextmanager
def receiver(fix: Fix | None, clock: Callable[[], float] = time.time) -> Iterator[Receiver]:
    """Give a receiver, and unplug it."""
    found = Receiver(fix, clock)
    try:
        yield found
    finally:
        found.close()


class Gpsd(Server):
    """gpsd with receivers, on a port of the loopback."""

    def __init__(self, folder: Path, *devices: str) -> None:
        super().__init__(folder, name="gpsd")
        self._devices = devices

    def launch(self) -> Program:
        """See `Server`."""
        options = ["-N", "-n", "-D", "2", "-S", str(self.port)]
        return Program([GPSD, *options, *self._devices], log=self._log_path)

    def ready(self) -> bool:
        """See `Server`."""
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((self.host, self.port)):
                return False
            with contextlib.suppress(TimeoutError):
                return probe.recv(100).startswith(b'{"class":"VERSION"')
            return False
