"""A disk that fails, while images arrive or while nothing does: it is known, it is told, and it ends by itself."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec
import pytest

from capacitord.api import messages as m
from capacitord.errors import OutOfSpace, Problem, StorageFailed
from capacitord.link import messages as link
from capacitord.model.destination import Destination
from capacitord.site.routing import Routing
from capacitord.site.service import Service
from capacitord.site.soundness import ROOM_HOLDS, Soundness
from capacitord.spool.disk import Disk, Space
from capacitord.spool.sealing import LEAST_ROOM
from capacitord.spool.store import Spool
from tests.site.driver import AE_TITLE, profile
from tests.site.rig import destination
from tests.site.stock import KEY, open_spool, put_images
from tests.spool.faulty import FaultyDisk, faulty_catalog
from tests.wait import wait_for

REFUSED = StorageFailed("The disk refused: could not write images to the spool (EIO).", hint="Look at it.")


class Told:
    """Counts what a `Soundness` tells."""

    def __init__(
        self, spool: Spool, disk: Disk | None = None, *, calm: float = 0.05, room_holds: float = ROOM_HOLDS
    ) -> None:
        self.changes = 0
        self.soundness = Soundness(spool, self.changed, disk=disk, every=0.0, calm=calm, room_holds=room_holds)

    def changed(self) -> None:
        self.changes += 1

    def sound(self) -> bool:
        """Look, and return whether images can be kept."""
        self.soundness.look()
        return self.soundness.trouble is None


def test_a_catalog_that_cannot_be_synced_is_found_while_nothing_arrives(tmp_path: Path) -> None:
    with faulty_catalog() as (disk, vfs):
        spool = open_spool(tmp_path, "pacs", disk=disk)
        told = Told(spool)
        assert told.sound()
        vfs.fail_at(1, apsw.IOError, only="sync", for_good=True)
        assert not told.sound()
        trouble = told.soundness.trouble
        assert trouble is not None
        assert "catalog" in trouble.message
        assert trouble.hint.startswith("Leave the studies on the scanner")
        assert told.changes == 1
        for _ in range(3):
            assert not told.sound()
        assert told.soundness.trouble is not None
        assert told.soundness.trouble.since == trouble.since
        vfs.work_again()
        wait_for(told.sound, what="the trouble to end by itself")
        assert vfs.struck
        spool.close()


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_after_an_image_was_refused_a_trial_of_the_disk_has_to_pass(tmp_path: Path, step: int) -> None:
    disk = FaultyDisk()
    spool = open_spool(tmp_path, "pacs")
    told = Told(spool, disk)
    told.soundness.refused(REFUSED)
    # The trial removes what is left of the last one, creates a file, writes it, syncs it and brings it to the images.
    what = ["remove", "create", "write", "sync", "rename"][step - 1]
    for _ in range(10):
        disk.fail_at(step)
        assert not told.sound()
        assert [call.what for call in disk.struck] == [what]
        time.sleep(0.01)
    wait_for(told.sound, what="the trouble to end by itself")
    assert not list(spool.layout.incoming.iterdir())
    spool.close()


class Room(Disk):
    """The real disk, with as much free space as a test says."""

    free, total = 100 << 20, 1 << 40

    def space(self, path: Path) -> Space:
        del path
        return Space(self.total, self.free)


def test_an_image_that_did_not_fit_needs_more_room_than_there_was(tmp_path: Path) -> None:
    disk = Room()
    spool = open_spool(tmp_path, "pacs", disk=disk, reserve=20 << 20)
    told = Told(spool, disk)
    told.soundness.refused(OutOfSpace("The disk is down to its reserve."), came=60 << 20)
    for _ in range(5):
        assert not told.sound()
    disk.free = 150 << 20
    wait_for(told.sound, what="the trouble to end with more room")
    told.soundness.refused(OutOfSpace("The disk is down to its reserve."))
    disk.free = (20 << 20) + LEAST_ROOM - 1
    assert not told.sound()
    spool.close()


NO_ROOM = OutOfSpace("The disk is down to its reserve.")


def test_an_image_that_no_disk_could_hold_does_not_close_the_box_for_others(tmp_path: Path) -> None:
    disk = Room()
    disk.total = 128 << 20
    spool = open_spool(tmp_path, "pacs", disk=disk, reserve=20 << 20)
    told = Told(spool, disk)
    told.soundness.refused(NO_ROOM, came=80 << 20)
    assert told.soundness.trouble is not None
    wait_for(told.sound, what="the box to take images again, with as much room as before")
    spool.close()


def test_an_image_that_did_not_fit_speaks_for_others_until_one_is_kept_or_for_a_while(tmp_path: Path) -> None:
    disk = Room()
    spool = open_spool(tmp_path, "pacs", disk=disk, reserve=20 << 20)
    told = Told(spool, disk, room_holds=0.4)
    told.soundness.refused(NO_ROOM, came=60 << 20)
    assert not told.sound()
    told.soundness.kept()
    wait_for(told.sound, within=0.3, what="the trouble to end as another image was kept")
    told.soundness.refused(NO_ROOM, came=60 << 20)
    time.sleep(0.1)
    assert not told.sound()
    wait_for(told.sound, what="the trouble to end after a while")
    spool.close()


def test_one_odd_image_is_no_trouble_but_several_in_a_row_are(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    told = Told(spool)
    for _ in range(10):
        told.soundness.refused(ValueError("odd"))
        told.soundness.refused(ValueError("odd"))
        assert told.sound()
        told.soundness.kept()
    assert told.changes == 0
    for _ in range(3):
        told.soundness.refused(ValueError("odd"))
    assert not told.sound()
    wait_for(told.sound, what="the trouble to end by itself")
    spool.close()


def test_what_only_raises_a_doubt_has_the_disk_tried_and_is_no_trouble(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = open_spool(tmp_path, "pacs")
    told = Told(spool, disk)
    assert told.sound()
    told.soundness.doubt()
    assert told.sound()
    assert told.soundness.trouble is None
    told.soundness.doubt()
    disk.fail_at(4)
    assert not told.sound(), "the disk was tried, and failed"
    assert [call.what for call in disk.struck] == ["sync"]
    spool.close()


def test_trouble_that_comes_again_and_again_lasts_longer_until_an_image_is_kept(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    told = Told(spool)

    def lasts() -> float:
        began = time.monotonic()
        told.soundness.refused(REFUSED)
        wait_for(told.sound, what="the trouble to end")
        return time.monotonic() - began

    for least in (0.05, 0.1, 0.2):
        assert lasts() >= least
    told.soundness.kept()
    assert lasts() < 0.2
    spool.close()


def test_one_trouble_is_told_once_and_what_is_not_foreseen_without_its_words(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    told = Told(spool)
    for _ in range(3):
        told.soundness.refused(ValueError("a patient's name"))
    assert told.changes == 1
    assert told.soundness.trouble is not None
    assert "patient" not in told.soundness.trouble.message
    spool.close()


# --- the service --------------------------------------------------------------------------------------------


class Stuck(Disk):
    """The real disk, but no segment can be removed from it."""

    refused = 0

    def remove(self, path: Path) -> None:
        if path.suffix == ".seg":
            self.refused += 1
            raise OSError(errno.EPERM, "it is immutable")
        super().remove(path)


class Served:
    """A service in this process, and what it says."""

    def __init__(self, service: Service, sent: list[link.FromRuntime]) -> None:
        self.service, self._sent = service, sent

    def last_beat(self) -> link.Heartbeat | None:
        return next((each for each in reversed(list(self._sent)) if isinstance(each, link.Heartbeat)), None)

    def beats(self) -> int:
        return sum(isinstance(each, link.Heartbeat) for each in list(self._sent))

    def troubles(self) -> list[Problem]:
        return [each.trouble for each in list(self._sent) if isinstance(each, link.Heartbeat) and each.trouble]

    def last_status(self) -> m.SiteStatus | None:
        found = [each.status for each in list(self._sent) if isinstance(each, link.StatusReport)]
        return msgspec.json.decode(found[-1], type=m.SiteStatus) if found else None

    def notes(self) -> list[str]:
        return [each.reference for each in list(self._sent) if isinstance(each, link.Note)]

    def update(self, version: int, *destinations: Destination) -> None:
        self.service.update(profile(destinations, version, 86400.0))


@contextmanager
def served(root: Path, spool: Spool, *destinations: Destination) -> Iterator[Served]:
    start = link.Start(
        profile(destinations, 1, 86400.0), str(root), KEY.secret, link.Storage(AE_TITLE), link.SpoolSettings(0, 0)
    )
    sent: list[link.FromRuntime] = []

    def send(message: link.FromRuntime) -> bool:
        sent.append(message)
        return True

    service = Service(start, spool, Routing(start.profile), send)
    try:
        yield Served(service, sent)
    finally:
        service.end(1.0)


def test_a_heartbeat_does_not_look_healthy_while_the_upkeep_fails(tmp_path: Path) -> None:
    with faulty_catalog() as (disk, vfs):
        spool = open_spool(tmp_path, "pacs", disk=disk)
        with served(tmp_path, spool, destination("pacs", 1)) as box:
            beat = wait_for(box.last_beat, what="a heartbeat")
            assert (beat.trouble, beat.failing) == (None, None)
            vfs.fail_at(1, apsw.FullError, only="write", for_good=True)
            wait_for(lambda: (now := box.last_beat()) and now.trouble, within=20, what="a heartbeat that says so")
            assert box.notes().count("storage-failed") == 1
            vfs.work_again()
            wait_for(
                lambda: (now := box.last_beat()) and now.trouble is None and now.failing is None,
                within=20,
                what="healthy heartbeats",
            )
            assert "storage-works" in box.notes()


def test_housekeeping_that_fails_is_said_and_does_not_say_that_images_cannot_be_kept(tmp_path: Path) -> None:
    disk = Stuck()
    spool = open_spool(tmp_path, disk=disk)
    put_images(spool, 1)
    spool.close()
    # Less than the warning is free, so the upkeep purges at each look.
    spool = open_spool(tmp_path, disk=disk, warning=1 << 60)
    time.sleep(0.02)
    assert spool.close_arrived(0.0)
    spool.housekeeping.discard(spool.studies.find("1.2.3")[0], time.time_ns(), "A test.")
    with served(tmp_path, spool) as box:
        beat = wait_for(
            lambda: now if (now := box.last_beat()) and now.failing else None, within=10, what="the failure to be said"
        )
        assert beat.failing is not None
        assert "could not purge" in beat.failing.message
        beats = box.beats()
        wait_for(lambda: box.beats() > beats + 3, within=10, what="more heartbeats")
        assert disk.refused > 1
        assert box.troubles() == []


def test_the_first_status_comes_after_a_trial_of_the_disk(tmp_path: Path) -> None:
    with faulty_catalog() as (disk, vfs):
        spool = open_spool(tmp_path, "pacs", disk=disk)
        with served(tmp_path, spool, destination("pacs", 1)) as box:
            vfs.fail_at(1, apsw.IOError, only="sync", for_good=True)
            box.service.ask_status(1)
            status = wait_for(box.last_status, what="the first status")
            assert vfs.struck
            assert status.trouble is not None
            vfs.work_again()


def test_a_version_that_could_not_be_put_in_force_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with faulty_catalog() as (disk, vfs):
        spool = open_spool(tmp_path, "old", disk=disk)
        put_images(spool, 3)
        with served(tmp_path, spool, destination("old", 1)) as box:
            vfs.fail_at(1, apsw.IOError, only="write", for_good=True)
            box.update(2, destination("new", 1))
            wait_for(lambda: "Version 2 of the profile is not all in force" in caplog.text, what="the log to say so")
            wait_for(lambda: (now := box.last_beat()) and now.failing, within=20, what="a heartbeat that says so")
            vfs.work_again()

            def explained() -> bool:
                deliveries = spool.studies.detail(spool.studies.find("1.2.3")[0], "").study.deliveries
                return [each.reason for each in deliveries] == ["Version 2 of the profile does not name old."]

            wait_for(explained, within=20, what="the images that wait to say why")
            wait_for(lambda: (now := box.last_beat()) and now.failing is None, within=20, what="healthy heartbeats")
