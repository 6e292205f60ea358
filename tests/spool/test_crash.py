"""Kills and power cuts at random moments: every receipt holds afterwards, and nothing is there by half."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from capacitord.errors import OutOfSpace
from capacitord.spool.space import BALLAST_SIZE
from tests.chaos.disk import Disk
from tests.images import MIB
from tests.spool.kit import (
    close_studies,
    content,
    datasets,
    deliver,
    due,
    open_spool,
    opened,
    parts_left,
    sop_uid,
    take,
)
from tests.spool.scanner import image_of, size_of
from tests.wait import wait_for

Image = tuple[int, int]


@dataclass
class Promises:
    """What the program said before it died, and when it said so."""

    kept: dict[Image, int] = field(default_factory=dict)
    sending: dict[Image, int] = field(default_factory=dict)
    delivered: dict[Image, int] = field(default_factory=dict)

    def hear(self, line: bytes) -> None:
        what, *words = line.decode().split()
        if what in {"kept", "sending", "delivered"} and line.endswith(b"\n"):
            study, number, when = map(int, words)
            getattr(self, what).setdefault((study, number), when)

    def take_back(self, since: int) -> None:
        """Forget what was said from a moment (monotonic, nanoseconds) on.

        A file system is not shut down in an instant: a sync that is under way may return as if it had succeeded,
        although its journal commit was given up. Had the power really gone, nobody would have heard of it.
        """
        for said in (self.kept, self.sending, self.delivered):
            for image in [image for image, when in said.items() if when >= since]:
                del said[image]


@dataclass
class Scanner:
    """The program, running, and what it promised. It is killed when the block ends."""

    folder: Path
    first: int
    threads: int
    promises: Promises

    def __enter__(self) -> Self:
        words = (str(self.folder), str(self.first), str(self.threads))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.spool.scanner", *words], stdout=subprocess.PIPE, bufsize=0
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        while line := self._line():
            self.promises.hear(line)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _line(self) -> bytes:
        if self._process.stdout is None:
            raise AssertionError
        return self._process.stdout.readline()

    def hear(self, receipts: int) -> None:
        """Wait until it has given so many receipts more."""
        while receipts:
            line = self._line()
            assert line, "the scanner ended by itself"
            self.promises.hear(line)
            receipts -= line.startswith(b"kept")

    def wait(self) -> int:
        """Wait until it has ended by itself; return its exit code."""
        wait_for(lambda: self._process.poll() is not None, within=30.0, what="the scanner to end")
        return self._process.wait()

    def kill(self) -> None:
        self._process.kill()


def check(folder: Path, promises: Promises) -> int:
    """Open the spool and find everything that was promised; return how many images were found without a row."""
    with opened(folder) as spool:
        found: dict[Image, bytes] = {}
        spool.settle()
        for study in {study for study, _ in promises.kept}:
            for uid, data in datasets(spool, study).items():
                found[image_of(uid)] = data
        assert promises.kept.keys() <= found.keys()
        for image, data in found.items():
            assert data == content(sop_uid(*image), size_of(*image))
        waiting = {image_of(image.sop_instance_uid): image for image in due(spool)}
        assert waiting.keys().isdisjoint(promises.delivered)
        # Without a recorded answer it may have been sent, and the ledger has to say so.
        assert all(waiting[image].repeated for image in waiting.keys() & promises.sending)
        assert parts_left(folder) == []
        assert spool.counts().corrupt == 0
        return spool.report.recovered


def kill_at_random(folder: Path, cycles: int, chance: random.Random) -> Promises:
    """Kill the program at random moments and check the spool after each; it goes on with the same spool.

    Goes on beyond `cycles` until some kill has come between an image and its row.
    """
    promises, recovered, cycle = Promises(), 0, 0
    while cycle < cycles or not recovered:
        assert cycle < 10 * cycles
        with Scanner(folder, 1 + cycle * 1000, chance.randint(1, 3), promises) as scanner:
            scanner.hear(chance.randint(1, 60))
            time.sleep(chance.uniform(0.0, 0.02))
        recovered += check(folder, promises)
        cycle += 1
    return promises


def cut_the_power(folder: Path, cycles: int, chance: random.Random) -> Promises:
    """Take the power away at random moments and check the spool after each."""
    promises = Promises()
    with Disk(folder, size=768 * MIB) as disk:
        for cycle in range(cycles):
            with Scanner(disk.path / "spool", 1 + cycle * 1000, chance.randint(1, 3), promises) as scanner:
                scanner.hear(chance.randint(5, 150))
                time.sleep(chance.uniform(0.0, 0.02))
                cut = time.monotonic_ns()
                disk.power_cut()
                assert scanner.wait() == 3
            promises.take_back(cut)
            disk.power_on()
            check(disk.path / "spool", promises)
    return promises


def test_kills_at_random_moments(tmp_path: Path) -> None:
    promises = kill_at_random(tmp_path, 5, random.Random(1))
    assert promises.delivered


def test_power_cuts_at_random_moments(tmp_path: Path) -> None:
    promises = cut_the_power(tmp_path, 3, random.Random(2))
    assert promises.kept


def test_a_disk_that_others_filled_can_be_emptied_by_delivering(tmp_path: Path) -> None:
    with Disk(tmp_path, size=256 * MIB) as disk:
        root, promises = disk.path / "spool", Promises()
        with Scanner(root, 1, 2, promises) as scanner:
            scanner.hear(100)
        disk.fill()
        check(root, promises)
        spool = open_spool(root, reserve=8 * MIB + BALLAST_SIZE)
        with pytest.raises(OutOfSpace):
            take(spool, 9999, 1)
        kept = spool.counts().images
        deliver(spool)
        close_studies(spool)
        for candidate in spool.housekeeping.candidates().studies:
            kept -= spool.housekeeping.purge(candidate.study, time.time_ns())
        assert kept == spool.counts().images == 0
        assert spool.housekeeping.release_segments() > 0
        assert disk.free() > 32 * MIB
        take(spool, 9999, 1)
        spool.close()
