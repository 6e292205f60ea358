"""Sites that were left and whose images go on leaving, on the real box: to the old site's PACS and to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from capacitord.api import messages as m
from capacitord.api.departure import Departure
from capacitord.errors import Refused
from capacitord.model.departure import Leave
from tests.images import TINY, write_study
from tests.peers.storescp import Storescp
from tests.system.box import SITE, Box, Target
from tests.system.test_sites import OTHER, activate, profile, send, uids
from tests.wait import wait_for

pytestmark = pytest.mark.peers


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Storescp]:
    with Storescp(tmp_path / "a", ae_title="PACS_A", keep_copies=True) as pacs:
        yield pacs


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Storescp]:
    with Storescp(tmp_path / "b", ae_title="PACS_B", keep_copies=True) as pacs:
        yield pacs


@pytest.fixture
def box(tmp_path: Path, ours: Storescp, theirs: Storescp) -> Iterator[Box]:
    """A box that serves a site that drains, and knows another one."""
    settings = {"spool": {"study_quiet": "1s"}}
    with Box(tmp_path / "box", Target("pacs", ours.ae_title, ours.port), settings=settings) as found:
        found.client.profile_import(m.ProfileImport(draining(theirs)))
        activate(found, OTHER)
        yield found


def draining(pacs: Storescp, version: int = 1, how: str = "drain") -> str:
    return profile(OTHER, pacs, version, delivery={"when_inactive": how})


def until_drained(box: Box) -> None:
    box.wait(lambda status: not status.draining, what=f"{OTHER} to have drained")


def until_left(box: Box, images: int) -> m.Draining:
    def look(status: m.Status) -> m.Draining | None:
        return next((each for each in status.draining if (each.site, each.images) == (OTHER, images)), None)

    return box.wait(look, what=f"{images} images of {OTHER} to be left")


def wait_for_closed(box: Box) -> Departure:
    """Return what is open at the active site once nothing arrives there any more."""

    def look() -> Departure | None:
        found = box.client.site_departure()
        return None if found.receiving_studies or found.associations else found

    return wait_for(look, within=60.0, what="all studies to be closed")


def entry(box: Box, site: str = OTHER) -> m.SiteEntry:
    return next(each for each in box.client.site_list().sites if each.id == site)


def test_what_was_left_behind_goes_to_the_old_site_alone_over_a_cut_link_and_kills(
    tmp_path: Path, box: Box, ours: Storescp, theirs: Storescp
) -> None:
    old, new = (write_study(tmp_path / f"{n}", images=6, shape=TINY, seed=n) for n in (1, 2))
    theirs.stop()
    assert len(send(box, old)) == 6
    leaving = wait_for_closed(box)
    assert (leaving.leave, leaving.images, leaving.eta) == (Leave.DRAINING, 6, None)
    assert not leaving.is_clear
    activate(box, SITE)
    found = until_left(box, 6)
    assert found.until is None
    box.wait(lambda status: status.draining[0].reason, what="the reason why nothing leaves")
    assert entry(box).draining is not None
    assert len(send(box, new)) == 6
    box.wait_until_delivered()
    since = found.since

    box.kill()
    box.start()
    assert until_left(box, 6).since == since
    theirs.start()
    until_drained(box)
    assert uids(theirs.wait_for_images(6)) == uids(old)
    assert uids(ours.wait_for_images(6)) == uids(new)
    assert wait_for_closed(box).is_clear
    after = entry(box)
    assert (after.draining, after.undelivered_images) == (None, 0)

    box.restart()
    assert "does not drain" in box.log
    assert box.status().draining == ()
    assert box.log.count(f"the runtime of {OTHER} started") == 3


def test_a_kill_in_the_middle_of_draining_loses_nothing_and_mixes_nothing(
    tmp_path: Path, box: Box, ours: Storescp
) -> None:
    old, new = (write_study(tmp_path / f"{n}", images=3, shape=TINY, seed=n) for n in (1, 2))
    with Storescp(tmp_path / "slow", ae_title="PACS_C", options=("--accept-all", "--sleep-during", "1")) as slow:
        box.client.profile_import(m.ProfileImport(draining(slow, 2)))
        assert len(send(box, old)) == 3
        activate(box, SITE)
        wait_for(slow.received, what="the first image to arrive")
        box.kill()
        box.start()
        assert len(send(box, new)) == 3
        until_drained(box)
        box.wait_until_delivered()
        assert uids(slow.images()) == uids(old)
        assert uids(ours.wait_for_images(3)) == uids(new)


def test_coming_back_ends_the_draining_before_the_site_is_served(tmp_path: Path, box: Box) -> None:
    images = write_study(tmp_path / "images", images=6, shape=TINY, seed=1)
    slow_options = ("--accept-all", "--sleep-during", "1")
    with Storescp(tmp_path / "slow", ae_title="PACS_C", options=slow_options, keep_copies=True) as slow:
        box.client.profile_import(m.ProfileImport(draining(slow, 2)))
        assert len(send(box, images)) == 6
        activate(box, SITE)
        wait_for(slow.received, what="the first image to arrive")
        activate(box, OTHER)
        status = box.status()
        assert (status.draining, status.site and status.site.id) == ((), OTHER)
        box.wait_until_delivered()
        assert uids(slow.wait_for_images(6)) == uids(images)
    assert not (box.state / "draining" / OTHER).exists()


def test_another_version_of_the_profile_acts_on_a_site_that_drains(
    tmp_path: Path, box: Box, theirs: Storescp, ours: Storescp
) -> None:
    images = write_study(tmp_path / "images", images=3, shape=TINY, seed=1)
    theirs.stop()
    assert len(send(box, images)) == 3
    activate(box, SITE)
    until_left(box, 3)
    with pytest.raises(Refused, match="1 study of lakeside waits here"):
        box.client.profile_remove(OTHER)
    until_left(box, 3)

    box.client.profile_import(m.ProfileImport(draining(theirs, 2, "stop")))
    until_drained(box)
    wait_for(lambda: f"{OTHER} does not drain any more" in box.log, what="the runtime to end")
    theirs.start()
    assert entry(box).undelivered_images == 3
    assert "undelivered-elsewhere" in {each.reference for each in box.status().advice}

    box.client.profile_rollback(m.ProfileRollback(OTHER, "a test", version=1))
    until_drained(box)
    assert uids(theirs.wait_for_images(3)) == uids(images)
    assert ours.received() == []


def test_a_time_that_was_set_is_not_begun_anew_by_a_restart(tmp_path: Path, box: Box, theirs: Storescp) -> None:
    images = write_study(tmp_path / "images", images=2, shape=TINY, seed=1)
    box.client.profile_import(m.ProfileImport(draining(theirs, 2, "drain 1h")))
    theirs.stop()
    assert len(send(box, images)) == 2
    done = box.client.site_activate(SITE, "a test")
    assert done.message.endswith("Images of lakeside go on leaving, for 1h at most: 2 undelivered.")
    found = until_left(box, 2)
    assert found.until is not None
    assert (found.until - found.since).total_seconds() == 3600

    box.stop()
    record = box.state / "draining" / OTHER
    record.write_text("2020-01-01T00:00:00+00:00\n")
    theirs.start()
    box.start()
    assert box.status().draining == ()
    assert entry(box).undelivered_images == 2
    assert theirs.received() == []

    box.stop()
    record.write_text("yesterday, perhaps\n")
    box.start()
    assert box.status().draining == ()
    activate(box, OTHER)
    box.wait_until_delivered()
    assert uids(theirs.wait_for_images(2)) == uids(images)
